//! How much of the machine a limit binds. Of several limits that are reached, the one that
//! binds the larger part is the root: a monitoring agent at its quota of a twentieth of a
//! core is not what holds back a machine whose cores are all busy.

use super::assess::Assessment;
use crate::model::{series::SignalSet, time::Window};

/// Shares that are nearer to one another than this are equal: what is at 95 % of a ceiling
/// counts as at it.
const EQUAL: f64 = 0.9;

/// A resource that is a part of others: a group's share of the cores or of the memory.
struct Part {
    name: &'static str,
    /// The signal of its size, in the unit of `whole`.
    size: &'static str,
    /// What it is a part of, with how much of the machine each of these is.
    of: &'static [(&'static str, Extent)],
    /// The size of the machine.
    whole: fn(&SignalSet, Window) -> Option<f64>,
}

/// How much of the machine a resource is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it.
    All,
    /// One core.
    Core,
}

const PARTS: &[Part] = &[
    Part {
        name: "cpu-quota",
        size: "cgroup_cpu_quota_cores",
        of: &[("cpu", Extent::All), ("cpu-core", Extent::Core), ("cpu-affinity", Extent::Core)],
        whole: cores,
    },
    Part {
        name: "memory-limit",
        size: "cgroup_memory_limit_bytes",
        of: &[("memory", Extent::All)],
        whole: memory,
    },
];

fn cores(signals: &SignalSet, window: Window) -> Option<f64> {
    signals.get("cpu_cores", None)?.median(window)
}

fn memory(signals: &SignalSet, window: Window) -> Option<f64> {
    let median = |name: &str| signals.get(name, None)?.median(window);
    let ratio = median("memory_used_ratio").filter(|ratio| *ratio > 0.0)?;
    Some(median("memory_used_bytes")? / ratio)
}

fn part(assessment: &Assessment) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.name == assessment.resource.name)
}

/// The share of the machine that a group's limit binds, and that of a resource that it may
/// be a part of; `None` where one has nothing to do with the other, or is not known.
fn shares(
    group: &Assessment,
    other: &Assessment,
    signals: &SignalSet,
    window: Window,
) -> Option<(f64, f64, Extent)> {
    let part = part(group)?;
    let (_, extent) = part.of.iter().find(|(name, _)| *name == other.resource.name)?;
    let whole = (part.whole)(signals, window).filter(|whole| *whole > 0.0)?;
    let size = signals.get(part.size, Some(group.device.as_deref()?))?.median(window)?;
    let of_other = match extent {
        Extent::All => 1.0,
        Extent::Core => 1.0 / whole,
    };
    Some((size / whole, of_other, *extent))
}

/// Whether a group is too small for its limit to be why another resource is used up.
pub(super) fn is_too_small(
    group: &Assessment,
    other: &Assessment,
    signals: &SignalSet,
    window: Window,
) -> bool {
    // That tasks wait for a core beside an idle one, the smallest group can bring about.
    other.met.utilization
        && other.resource.name != "cpu-affinity"
        && shares(group, other, signals, window)
            .is_some_and(|(group, other, _)| group < EQUAL * other)
}

/// Whether a resource at its limit binds more of the machine than a group at its own. What
/// the load's own group is held to is what holds the load: only a resource that the load
/// used up as well (`moved`) is more than that.
pub(super) fn is_outranked(
    group: &Assessment,
    by: &Assessment,
    (signals, window): (&SignalSet, Window),
    moved: bool,
) -> bool {
    let Some((share, other, extent)) = shares(group, by, signals, window) else { return false };
    let is_own = super::cause::holds_load(group, signals) == Some(true);
    share < EQUAL * other && (!is_own || (extent == Extent::All && moved))
}
