//! What was so before the load, or all the time, and is therefore no finding: a file
//! system that has been full for weeks, a thread that polls, a RAID check.

use super::{Case, baseline};
use crate::{
    analyze::{
        assess::{self, Assessment, FEWEST_SAMPLES},
        cause,
        outcome::Kind,
        resources::Standing,
    },
    model::{
        run::{NodeData, Run},
        series::{Point, Signal, SignalSet},
        stats::Stat,
        time::{Timestamp, Window},
    },
};

/// Values of a share that differ by no more than this are one value: a single block
/// more in a file system of a pebibyte is a larger step.
const UNMOVED: f64 = 1e-12;
/// Share of a core from which on it has no idle time (the limit of `cpu-core`).
const NO_IDLE_TIME: f64 = 0.95;
/// A use that changed by less than this did not change with the load.
const SAME_USE: f64 = 0.1;
/// The same for the work that was done, as a share of the larger of the two.
const SAME_WORK: f64 = 0.2;
/// From this share of the work on, a load is part of what a device does.
const TAKES_PART: f64 = 0.2;

/// What each member uses, and the signal that is the largest of them.
const LARGEST: [(&str, &str); 2] =
    [("cpu_core_busy", "cpu_core_max"), ("process_cpu_cores", "process_busiest_cores")];

impl Case<'_> {
    /// Mark what is at its limit, or near it, and was so before.
    pub(super) fn mark_standing(&self, assessments: &mut [Assessment]) {
        for one in assessments.iter_mut() {
            if !matches!(one.kind, Kind::Near | Kind::Full | Kind::Saturated) {
                continue;
            }
            match one.resource.standing {
                Standing::Finding => (),
                Standing::WhileUnmoved => one.standing = self.is_unmoved(one),
                Standing::WhileAsBefore => one.standing = self.is_as_before(one),
                Standing::InDoubt => one.doubts.extend(self.doubt(one)),
            }
            one.standing |= self.is_standing(one);
        }
    }

    /// Whether the share in use was at its limit in the first sample, and every sample
    /// is the same to the last digit: nothing was written and nothing deleted.
    fn is_unmoved(&self, one: &Assessment) -> bool {
        let Some(held) = one.leading() else { return false };
        let signals = &self.node.signals;
        let Some(signal) = signals.get(held.criterion.signal, held.device.as_deref()) else {
            return false;
        };
        let start = baseline(self.run, self.index).map_or(self.window.start, |quiet| quiet.start);
        let points = signal.slice(Window { start, end: self.window.end });
        let Some(first) = points.first() else { return false };
        let limit = held.criterion.near.min(held.criterion.limit);
        points.len() >= FEWEST_SAMPLES
            && first.v >= limit
            && points.iter().all(|point| (point.v - first.v).abs() <= UNMOVED)
    }

    /// Whether it was at its limit in the baseline, too, did the same work then, and our
    /// load has hardly a part in it.
    fn is_as_before(&self, one: &Assessment) -> bool {
        let Some(quiet) = baseline(self.run, self.index) else { return false };
        let signals = &self.node.signals;
        let before = assess::resource(one.resource, signals, quiet, quiet, None);
        let was_at_limit =
            before.iter().any(|other| other.device == one.device && other.at_limit());
        let same_use = one
            .utilization
            .zip(one.utilization_before)
            .is_some_and(|(now, before)| (now - before).abs() < SAME_USE);
        let work = one.resource.own.and_then(|(_, work)| signals.get(work, one.device.as_deref()));
        let same_work = work
            .and_then(|work| work.median(self.window).zip(work.median(quiet)))
            .is_some_and(|(now, before)| (now - before).abs() <= SAME_WORK * now.max(before));
        let is_ours = self.is_loaded()
            && cause::share(one, signals, self.own, self.window)
                .is_some_and(|share| share >= TAKES_PART);
        was_at_limit && same_use && same_work && !is_ours
    }

    /// In a past window, nobody knows what was before: what is at its limit from the
    /// first sample to the last may always be.
    fn doubt(&self, one: &Assessment) -> Option<String> {
        if self.is_part || self.is_loaded() || baseline(self.run, self.index).is_some() {
            return None;
        }
        let held = one.leading()?;
        let signal = self.node.signals.get(held.criterion.signal, held.device.as_deref())?;
        let points = signal.slice(self.window);
        let is_constant = points.iter().all(|point| point.v >= held.criterion.limit);
        is_constant.then(|| {
            format!(
                "{} was at its limit in every sample of the window: a thread that polls for work by design (DPDK, a spinning driver) looks the same. Compare with a window before the load.",
                capitalized(&one.title())
            )
        })
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A node without the cores and processes that were busy all the time before the load
/// and are under it, with a sentence about each; `None` where there are none.
///
/// The largest share of a core says nothing while one of them polls.
pub(super) fn without_busy_before(
    run: &Run,
    node: &NodeData,
    index: usize,
) -> Option<(NodeData, Vec<String>)> {
    let quiet = baseline(run, index)?;
    let window = run.steady(run.manifest.phases.get(index)?);
    let mut notes = Vec::new();
    let mut left: Option<NodeData> = None;
    for (each, largest) in LARGEST {
        let all = node.signals.all(each);
        let is_standing = |signal: &&Signal| {
            is_busy_all_along(signal, quiet, window) && is_counted(node, signal, quiet)
        };
        let standing: Vec<&str> =
            all.iter().filter(is_standing).filter_map(|one| one.device.as_deref()).collect();
        // All cores busy is the CPU's limit, whenever it began.
        if standing.is_empty() || (each == "cpu_core_busy" && standing.len() >= all.len()) {
            continue;
        }
        let what = if each == "cpu_core_busy" { "core" } else { "process" };
        let (plural, were) = if standing.len() == 1 { ("", "was") } else { ("s", "were") };
        let plural = if what == "process" && !plural.is_empty() { "es" } else { plural };
        notes.push(format!(
            "{}{plural} {} {were} busy all the time before this load, too, and {were} left out: a thread that polls, or other work.",
            capitalized(what),
            standing.join(", ")
        ));
        let signals = &mut left.get_or_insert_with(|| node.clone()).signals;
        leave_out(signals, each, largest, &standing);
    }
    left.map(|left| (left, notes))
}

/// Whether a core or a process left no time idle, before the load and under it, and did
/// not change with it.
fn is_busy_all_along(signal: &Signal, quiet: Window, window: Window) -> bool {
    let least = |window: Window| {
        let is_enough = signal.slice(window).len() >= FEWEST_SAMPLES;
        is_enough.then(|| signal.stat(Stat::Percentile(10), window)).flatten()
    };
    let is_same = signal
        .median(quiet)
        .zip(signal.median(window))
        .is_some_and(|(before, now)| (before - now).abs() < SAME_USE);
    is_same && [quiet, window].iter().all(|one| least(*one).is_some_and(|v| v >= NO_IDLE_TIME))
}

/// Whether the cores did at least as much as this one alone: a process cannot have used
/// a core while all cores were idle.
fn is_counted(node: &NodeData, signal: &Signal, window: Window) -> bool {
    let all = node.signals.get("cpu_busy_cores", None).and_then(|all| all.median(window));
    all.zip(signal.median(window)).is_none_or(|(all, one)| all >= one - SAME_USE)
}

/// Take these members out, and compute the largest of the others again.
fn leave_out(signals: &mut SignalSet, each: &str, largest: &str, members: &[&str]) {
    let Some(all) = signals.signals.get_mut(each) else { return };
    all.retain(|one| !one.device.as_deref().is_some_and(|device| members.contains(&device)));
    let mut most: std::collections::BTreeMap<Timestamp, f64> = std::collections::BTreeMap::new();
    for point in all.iter().flat_map(|one| &one.points) {
        most.entry(point.t).and_modify(|v| *v = v.max(point.v)).or_insert(point.v);
    }
    let window_s = all.first().map_or(0.0, |one| one.window_s);
    let with = |v: &dyn Fn(Timestamp, f64) -> Option<f64>| {
        let points = most.iter().filter_map(|(t, most)| Some(Point { t: *t, v: v(*t, *most)? }));
        vec![Signal { device: None, points: points.collect(), window_s }]
    };
    let again = with(&|_, most| Some(most));
    if largest == "cpu_core_max" {
        let waits = signals.get("cpu_psi_some", None).map(|waits| waits.points.clone());
        let unexplained = with(&|t, most| {
            let points = waits.as_ref()?;
            let at = points.binary_search_by_key(&t, |point| point.t).ok()?;
            Some(points.get(at)?.v - most)
        });
        signals.signals.insert("cpu_wait_unexplained".to_owned(), unexplained);
    }
    signals.signals.insert(largest.to_owned(), again);
}
