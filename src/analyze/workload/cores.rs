//! What kept workers from the share of a core that they asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{STARVED, at_work, is_on};
use crate::{
    analyze::outcome::LoadOutcome,
    model::{
        run::{NodeData, Run, WorkerInterval},
        series::SignalSet,
        time::Window,
        units::{Unit, three_digits},
    },
};

/// Workers that got much less of idle cores than they asked for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::analyze) struct Starved {
    /// Cores asked for, at most those that exist.
    pub(in crate::analyze) asked: f64,
    /// Cores got.
    pub(in crate::analyze) got: f64,
    /// Cores that nobody used.
    pub(in crate::analyze) idle: f64,
}

/// Whether the workers on a node got less than four fifths of the cores that they asked for
/// while most of what is missing was idle.
pub(in crate::analyze) fn starved_of_cores(
    run: &Run,
    node: &NodeData,
    phase: usize,
    window: Window,
) -> Option<Starved> {
    /// Cores that are missing and were idle: of the rest another took a part.
    const IDLE: f64 = 0.8;
    let mine = at_work(run)
        .filter(|one| one.phase == phase && one.unit == Unit::Ratio.name())
        .filter(|one| is_on(one, &node.record) && window.contains(one.t));
    let mut workers: BTreeMap<u32, (f64, f64, f64)> = BTreeMap::new();
    for one in mine {
        let (asked, got, seconds) = workers.entry(one.worker).or_default();
        *asked += one.requested? * one.seconds;
        *got += one.achieved * one.seconds;
        *seconds += one.seconds;
    }
    let sum = |of: fn(&(f64, f64, f64)) -> f64| {
        workers.values().map(|one| of(one) / one.2.max(1e-6)).sum::<f64>()
    };
    let median = |name: &str| node.signals.get(name, None)?.median(window);
    let online = median("cpu_cores")?;
    let allowed = f64::from(node.record.host.cores_allowed);
    let asked = sum(|one| one.0).min(if allowed > 0.0 { allowed.min(online) } else { online });
    let got = sum(|one| one.1);
    let idle = (online - median("cpu_busy_cores")?).max(0.0);
    let missing = asked - got;
    (got < STARVED * asked && idle >= IDLE * missing).then_some(Starved { asked, got, idle })
}

/// Why the workers of a load got less of the cores than they asked for.
pub(super) fn shortfall(
    run: &Run,
    mine: &[&WorkerInterval],
    outcome: &LoadOutcome,
    requested: f64,
) -> String {
    let nodes: Vec<&NodeData> =
        run.nodes.iter().filter(|node| mine.iter().any(|one| is_on(one, &node.record))).collect();
    let Some(window) = run.manifest.phases.get(outcome.index).map(|phase| run.steady(phase)) else {
        return String::new();
    };
    // A group that was held back holds its workers back, however few cores there are.
    if let Some(group) = nodes.iter().find_map(|node| held_back(&node.signals, window)) {
        return format!("the CPU quota of cgroup {group} held them back");
    }
    for node in &nodes {
        let on_it: BTreeSet<u32> =
            mine.iter().filter(|one| is_on(one, &node.record)).map(|one| one.worker).collect();
        let asked = requested * on_it.len() as f64;
        let cores = node.record.host.cores_allowed;
        if asked > f64::from(cores) + 0.01 {
            let on = if run.nodes.len() > 1 {
                format!(" on {}", node.record.name)
            } else {
                String::new()
            };
            return format!(
                "{} workers ask for {} cores{on}, and there {} {cores}",
                on_it.len(),
                three_digits(asked),
                if cores == 1 { "is" } else { "are" }
            );
        }
    }
    let starved = nodes.iter().find_map(|node| starved_of_cores(run, node, outcome.index, window));
    if let Some(starved) = starved {
        return format!(
            "they were held back while {} cores were idle, by an affinity mask, a quota that is not visible or the hypervisor",
            three_digits(starved.idle)
        );
    }
    "others used the cores too, or the hypervisor withheld them".to_owned()
}

/// The group of the load that its quota held back most, in a quarter of the periods at least.
fn held_back(signals: &SignalSet, window: Window) -> Option<&str> {
    const OFTEN: f64 = 0.25;
    let holds_load = |group: &str| {
        !group.starts_with('/') || signals.get("cgroup_has_load", Some(group)).is_some()
    };
    signals
        .all("cgroup_cpu_throttled")
        .iter()
        .filter_map(|one| Some((one.median(window)?, one.device.as_deref()?)))
        .filter(|(share, group)| *share >= OFTEN && holds_load(group))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, group)| group)
}
