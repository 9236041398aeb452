//! What of a node its sampler could not see or did not look at, and what the watching cost.

use crate::model::{
    run::{NodeData, Run},
    series::SignalSet,
    stats::Stat,
    time::Window,
    units::three_digits,
};

/// From this many cores on the cost of watching is worth a note.
const WORTH_A_NOTE: f64 = 0.05;

/// Groups of one controller that were not read with each sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unread {
    /// The resource whose limits those groups set.
    pub(super) resource: &'static str,
    /// The limit in words: `CPU quota`.
    limit: &'static str,
    /// How many.
    left_out: f64,
    /// Of how many.
    limited: f64,
}

impl Unread {
    /// `37 of 101 groups with a CPU quota were not read in each sample`.
    pub(super) fn in_words(&self) -> String {
        format!(
            "{} of {} groups with a {} were not read in each sample",
            three_digits(self.left_out),
            three_digits(self.limited),
            self.limit
        )
    }
}

/// The groups of a node that were not read with each sample of a window, by resource.
pub(super) fn unread(signals: &SignalSet, window: Window) -> Vec<Unread> {
    const CONTROLLERS: [(&str, &str, &str); 4] = [
        ("cpu", "cpu-quota", "CPU quota"),
        ("memory", "memory-limit", "memory limit"),
        ("pids", "pids", "limit of tasks"),
        ("io", "io-limit", "limit on a disk"),
    ];
    let most = |name: &str, controller: &str| {
        signals.get(name, Some(controller)).and_then(|one| one.stat(Stat::Max, window))
    };
    let unvisited = most("cgroups_unread", "any").unwrap_or(0.0);
    CONTROLLERS
        .into_iter()
        .filter_map(|(controller, resource, limit)| {
            let left_out = most("cgroups_unread", controller)? + unvisited;
            let limited = most("cgroups_limited", controller)? + unvisited;
            (left_out > 0.0).then_some(Unread { resource, limit, left_out, limited })
        })
        .collect()
}

/// How many tasks of the machine cannot be seen, and of how many, in a window.
pub(super) fn hidden_tasks(signals: &SignalSet, window: Window) -> Option<(f64, f64)> {
    let median = |name: &str| signals.get(name, None)?.median(window);
    let hidden = median("tasks_hidden").filter(|hidden| *hidden > 0.0)?;
    Some((hidden, median("tasks_total")?))
}

/// Cores that stressor itself used in a window, its workers left out.
pub(super) fn own_cores(signals: &SignalSet, window: Window) -> Option<f64> {
    signals.get("own_cpu_cores", None)?.median(window)
}

/// What the reader must know of how a node was watched.
pub(super) fn notes(run: &Run, node: &NodeData) -> Vec<String> {
    let (signals, window) = (&node.signals, run.whole());
    let name = &node.record.name;
    let mut notes: Vec<String> = unread(signals, window)
        .iter()
        .map(|one| {
            format!(
                "{name}: {}; those that were held back or near their limit came first, the others took turns",
                one.in_words()
            )
        })
        .collect();
    if let Some((hidden, all)) = hidden_tasks(signals, window) {
        notes.push(format!(
            "{name}: {} of the machine's {} tasks cannot be seen from here (hidepid, or a PID namespace), so processes that are named as busy are the busiest of the others",
            three_digits(hidden),
            three_digits(all)
        ));
    }
    let unread = signals.get("processes_unread", None).and_then(|one| one.stat(Stat::Max, window));
    if let Some(unread) = unread.filter(|unread| *unread > 0.0) {
        notes.push(format!(
            "{name}: at times {} processes were not looked at, as there were too many for each scan; they took turns",
            three_digits(unread)
        ));
    }
    if let Some(cores) = own_cores(signals, window).filter(|cores| *cores >= WORTH_A_NOTE) {
        notes.push(format!(
            "{name}: stressor itself used {} cores to watch and to lead the run, its workers left out",
            three_digits(cores)
        ));
    }
    notes
}
