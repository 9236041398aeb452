//! Whose load it was: the workers' share of what the node did.

use super::{assess::Assessment, outcome::Cause};
use crate::model::{catalogue, series::SignalSet, stats::Stat, time::Window, units::Unit};

/// From this share on the load was ours.
const MOSTLY: f64 = 0.8;
/// Up to this share it was not.
const HARDLY: f64 = 0.2;

/// `own` are the workers' signals; `loaded` says whether they ran on this node
/// in this phase.
pub(super) fn cause(
    assessment: &Assessment,
    node: &SignalSet,
    own: &SignalSet,
    loaded: bool,
    (window, baseline): (Window, Option<Window>),
) -> Cause {
    if !loaded {
        return Cause::Foreign;
    }
    match (holds_load(assessment, node), is_of_load(assessment)) {
        // The workers are not in it.
        (Some(false), _) => return Cause::Foreign,
        // Nobody else is in it.
        (_, true) => return Cause::Scenario,
        _ => (),
    }
    if is_all_ours_but_the_journal(assessment, node, own, (window, baseline)) {
        return Cause::Scenario;
    }
    match share(assessment, node, own, window) {
        Some(share) if share >= MOSTLY => Cause::Scenario,
        Some(share) if share <= HARDLY => Cause::Foreign,
        Some(_) => Cause::Mixed,
        None => Cause::Unknown,
    }
}

/// Whether it is a cgroup that the run made for a load: it has the name of the load
/// (`phase:kind`) and no path.
fn is_of_load(assessment: &Assessment) -> bool {
    let is_group = assessment.resource.criteria().any(|one| one.signal.starts_with("cgroup_"));
    is_group && assessment.device.as_deref().is_some_and(|device| !device.starts_with('/'))
}

/// Whether the workers are in the cgroup that is at its limit, or below it; `None` for what
/// is no cgroup, and where it is not known which groups they are in.
pub(super) fn holds_load(assessment: &Assessment, node: &SignalSet) -> Option<bool> {
    let is_group = assessment.resource.criteria().any(|one| one.signal.starts_with("cgroup_"));
    let device = assessment.device.as_deref().filter(|_| is_group)?;
    if is_of_load(assessment) {
        return Some(true);
    }
    // A run of an older version, or another source, does not tell.
    let known = !node.all("cgroups_limited").is_empty();
    known.then(|| node.get("cgroup_has_load", Some(device)).is_some())
}

/// A disk, quiet in the baseline, on which nothing but writes go beyond the workers' own and
/// not many of them: the file system's journal, which the kernel charges to nobody.
fn is_all_ours_but_the_journal(
    assessment: &Assessment,
    node: &SignalSet,
    own: &SignalSet,
    (window, baseline): (Window, Option<Window>),
) -> bool {
    /// What a disk at rest does, as a share of what it does under load.
    const QUIET: f64 = 0.05;
    /// Bytes of the journal for each of ours: data, descriptor, commit and inode of a block
    /// that is flushed alone.
    const MOST_JOURNAL: f64 = 4.0;
    /// The share of ours may differ by this between the two halves of a steady phase; more
    /// means that somebody came or went.
    const STEADY: f64 = 0.15;
    let Some(baseline) = baseline.filter(|_| assessment.resource.name == "disk") else {
        return false;
    };
    let device = assessment.device.as_deref();
    let of = |name: &str, window: Window| node.get(name, device)?.median(window);
    let judged = || {
        let ours = own.get("load_disk_bytes", None)?.median(window)?;
        let all = of("disk_bytes", window)?;
        let beyond = (all - ours).max(0.0);
        let middle = window.start.plus(window.seconds() / 2.0);
        let halves = [Window { end: middle, ..window }, Window { start: middle, ..window }];
        let share = |half| {
            let ours = own.get("load_disk_bytes", None)?.median(half)?;
            Some(ours / of("disk_bytes", half)?.max(1.0))
        };
        let (first, second) = (share(halves[0])?, share(halves[1])?);
        let is_steady = (first.min(1.0) - second.min(1.0)).abs() <= STEADY;
        Some(
            of("disk_bytes", baseline)? <= QUIET * all
                && beyond <= of("disk_written_bytes", window)?
                && beyond <= MOST_JOURNAL * ours
                && is_steady,
        )
    };
    judged().unwrap_or(false)
}

/// Our share, 0 to 1; `None` where it is not measured.
pub(super) fn share(
    assessment: &Assessment,
    node: &SignalSet,
    own: &SignalSet,
    window: Window,
) -> Option<f64> {
    let (own_name, total_name) = assessment.resource.own?;
    // What is held at its most is compared at its peak (a worker that was
    // killed for memory held it until then); what flows, by its median.
    let stat = match catalogue::unit_of(total_name)? {
        Unit::Bytes => Stat::Max,
        _ => Stat::Percentile(50),
    };
    let own = own.get(own_name, None)?.stat(stat, window)?;
    let total = node
        .get(total_name, assessment.device.as_deref())
        .or_else(|| node.get(total_name, None))?;
    let total = total.stat(stat, window)?;
    (total > 0.0).then(|| (own / total).clamp(0.0, 1.0))
}
