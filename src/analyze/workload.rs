//! What the load did: the workers' journal as signals and as summaries.

use std::collections::{BTreeMap, BTreeSet};

mod cores;

use super::outcome::{Latency, LoadOutcome};
use crate::model::{
    latency,
    run::{NodeRecord, Run, WorkerInterval},
    series::{Point, Signal, SignalSet},
    stats,
    time::Timestamp,
    units::Unit,
};
pub(super) use cores::{Starved, starved_of_cores};

/// A difference between requested and achieved that is not worth a word.
const CLOSE: f64 = 0.02;

/// A load that got a smaller share than this of what it asked for was held back.
pub(super) const STARVED: f64 = 0.8;

/// Reads one figure of a worker's interval.
type Of = fn(&WorkerInterval) -> f64;

/// The signals of all workers together (`load_…`) over the whole run.
pub fn signals(run: &Run) -> SignalSet {
    of(run.workers.iter())
}

/// The same, of the workers on one node.
pub fn signals_of(run: &Run, node: &NodeRecord) -> SignalSet {
    of(run.workers.iter().filter(|one| is_on(one, node)))
}

/// Whether a worker works on a node.
pub fn is_on(one: &WorkerInterval, node: &NodeRecord) -> bool {
    journal_name(node).is_some_and(|name| one.node == name)
}

/// What the journal calls a node; the machine that runs the run has no name
/// there. `None` for a node without workers.
pub(super) fn journal_name(node: &NodeRecord) -> Option<&str> {
    if node.agent { Some(&node.name) } else { node.loaded.then_some("") }
}

fn of<'a>(workers: impl Iterator<Item = &'a WorkerInterval>) -> SignalSet {
    let mut moments: BTreeMap<Timestamp, Vec<&WorkerInterval>> = BTreeMap::new();
    for interval in workers {
        moments.entry(interval.t).or_default().push(interval);
    }
    let interval_s = stats::median(
        &moments.values().filter_map(|all| Some(all.first()?.seconds)).collect::<Vec<_>>(),
    )
    .unwrap_or(1.0);
    let mut set =
        SignalSet { times: moments.keys().copied().collect(), interval_s, ..SignalSet::default() };
    let mut add = |name: &str, window_s: f64, points: Vec<Point>| {
        if !points.is_empty() {
            set.signals.insert(name.to_owned(), vec![Signal { device: None, points, window_s }]);
        }
    };
    let rates: [(&str, Of); 4] = [
        ("load_operations", |one| one.operations as f64),
        ("load_bytes", |one| one.bytes as f64),
        ("load_errors", |one| one.errors as f64),
        ("load_cpu_cores", |one| one.cpu_s),
    ];
    for (name, of) in rates {
        let points = moments.iter().map(|(t, all)| Point {
            t: *t,
            v: all.iter().map(|one| of(one) / one.seconds.max(1e-6)).sum(),
        });
        add(name, interval_s, points.collect());
    }
    let disk = moments.iter().filter_map(|(t, all)| {
        let mut disk = all.iter().filter(|one| one.kind == "disk").peekable();
        disk.peek()?;
        Some(Point { t: *t, v: disk.map(|one| one.bytes as f64 / one.seconds.max(1e-6)).sum() })
    });
    add("load_disk_bytes", interval_s, disk.collect());
    let resident = moments
        .iter()
        .map(|(t, all)| Point { t: *t, v: all.iter().map(|one| one.resident as f64).sum() });
    add("load_resident_bytes", 0.0, resident.collect());
    for (name, q) in [("load_latency_p50", 0.5), ("load_latency_p99", 0.99)] {
        let points = moments.iter().filter_map(|(t, all)| {
            let merged = merged(all)?;
            Some(Point { t: *t, v: merged.value_at_quantile(q) as f64 / 1e9 })
        });
        add(name, interval_s, points.collect());
    }
    set
}

fn merged(all: &[&WorkerInterval]) -> Option<hdrhistogram::Histogram<u64>> {
    let mut merged = latency::empty()?;
    for histogram in all.iter().filter_map(|one| latency::decode(one.latency.as_deref()?)) {
        merged.add(histogram).ok()?;
    }
    (!merged.is_empty()).then_some(merged)
}

/// Operations each second of a phase; `None` when nothing was counted.
pub fn throughput(run: &Run, phase: usize) -> Option<f64> {
    let mine: Vec<&WorkerInterval> =
        run.workers.iter().filter(|one| one.phase == phase && !one.setup).collect();
    let seconds = covered(&mine)?;
    Some(mine.iter().map(|one| one.operations as f64).sum::<f64>() / seconds)
}

/// The same for one load of the phase.
pub fn throughput_of(run: &Run, phase: usize, load: usize) -> Option<f64> {
    let is_its = |one: &&WorkerInterval| (one.phase, one.load) == (phase, load) && !one.setup;
    let mine: Vec<&WorkerInterval> = run.workers.iter().filter(is_its).collect();
    let seconds = covered(&mine)?;
    Some(mine.iter().map(|one| one.operations as f64).sum::<f64>() / seconds)
}

/// Seconds that the intervals of the busiest worker cover.
fn covered(intervals: &[&WorkerInterval]) -> Option<f64> {
    let mut by_worker: BTreeMap<(&str, u32), f64> = BTreeMap::new();
    for one in intervals {
        *by_worker.entry((&one.node, one.worker)).or_default() += one.seconds;
    }
    by_worker.into_values().max_by(f64::total_cmp).filter(|seconds| *seconds > 0.0)
}

/// The intervals in which a worker did not set itself up any more.
pub(super) fn at_work(run: &Run) -> impl Iterator<Item = &WorkerInterval> {
    run.workers.iter().filter(|one| !one.setup)
}

/// One summary a phase and load.
pub(super) fn summaries(run: &Run) -> Vec<LoadOutcome> {
    let keys: BTreeSet<(usize, usize)> = at_work(run).map(|one| (one.phase, one.load)).collect();
    keys.into_iter()
        .filter_map(|(phase, load)| {
            let mine: Vec<&WorkerInterval> =
                at_work(run).filter(|one| (one.phase, one.load) == (phase, load)).collect();
            summary(run, phase, &mine)
        })
        .collect()
}

fn summary(run: &Run, index: usize, mine: &[&WorkerInterval]) -> Option<LoadOutcome> {
    let record = run.manifest.phases.get(index)?;
    let first = mine.first()?;
    let seconds = covered(mine)?;
    let workers = mine.iter().map(|one| (&one.node, one.worker)).collect::<BTreeSet<_>>().len();
    let unit = unit(&first.unit);
    // Of each worker for a share of a core, of all together for anything else.
    let divisor = if unit == Unit::Ratio { workers as f64 } else { 1.0 };
    let over_time = |of: &dyn Fn(&WorkerInterval) -> f64| {
        mine.iter().map(|one| of(one) * one.seconds).sum::<f64>() / seconds / divisor
    };
    let achieved = match unit {
        // Memory grows to its size and then stays: the most it held.
        Unit::Bytes | Unit::Count => peak(mine),
        _ => over_time(&|one| one.achieved),
    };
    let requested = first.requested.map(|_| match unit {
        Unit::Bytes | Unit::Count => {
            let mut each: BTreeMap<(&str, u32), f64> = BTreeMap::new();
            for one in mine {
                each.insert((&one.node, one.worker), one.requested.unwrap_or(0.0));
            }
            each.into_values().sum()
        }
        _ => over_time(&|one| one.requested.unwrap_or(0.0)),
    });
    let sum = |of: fn(&WorkerInterval) -> f64| mine.iter().map(|one| of(one)).sum::<f64>();
    let device = mine.iter().any(|one| one.device_read.is_some());
    let errors: u64 = mine.iter().map(|one| one.errors).sum();
    let mut outcome = LoadOutcome {
        phase: record.name.clone(),
        level: record.level.as_ref().map(|level| level.value),
        kind: first.kind.clone(),
        workers,
        requested,
        achieved,
        unit: unit.name(),
        operations_per_s: sum(|one| one.operations as f64) / seconds,
        bytes_per_s: sum(|one| one.bytes as f64) / seconds,
        device_bytes_per_s: device.then(|| {
            let of = |one: &WorkerInterval| {
                one.device_read.unwrap_or(0) + one.device_written.unwrap_or(0)
            };
            mine.iter().map(|one| of(one) as f64).sum::<f64>() / seconds
        }),
        counts: mine.iter().flat_map(|one| &one.counts).fold(
            BTreeMap::new(),
            |mut counts, (name, count)| {
                *counts.entry(name.clone()).or_default() += count;
                counts
            },
        ),
        errors,
        fault: mine.iter().rev().find_map(|one| one.fault.clone()),
        cpu_s: sum(|one| one.cpu_s),
        latency: latencies(mine),
        shortfall: None,
        index,
        load: first.load,
    };
    if let Some(unanswered) = unanswered(mine, &outcome) {
        outcome.counts.insert("unanswered".to_owned(), unanswered);
    }
    outcome.shortfall = shortfall(run, mine, &outcome, unit);
    Some(outcome)
}

/// Requests that were due and had no answer when the phase ended. The latencies
/// are those of the others.
fn unanswered(mine: &[&WorkerInterval], outcome: &LoadOutcome) -> Option<u64> {
    if outcome.kind != "http" || outcome.requested.is_none() {
        return None;
    }
    let due: f64 = mine.iter().map(|one| one.requested.unwrap_or(0.0) * one.seconds).sum();
    let ended: u64 = mine.iter().map(|one| one.operations + one.errors).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    let left = (due.round().max(0.0) as u64).saturating_sub(ended);
    (left > 0).then_some(left)
}

fn peak(mine: &[&WorkerInterval]) -> f64 {
    let mut moments: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for one in mine {
        *moments.entry(one.t).or_default() += one.achieved;
    }
    moments.into_values().max_by(f64::total_cmp).unwrap_or(0.0)
}

fn latencies(mine: &[&WorkerInterval]) -> Option<Latency> {
    let merged = merged(mine)?;
    let at = |q: f64| merged.value_at_quantile(q) as f64 / 1e9;
    Some(Latency {
        count: merged.len(),
        p50_s: at(0.5),
        p90_s: at(0.9),
        p99_s: at(0.99),
        p999_s: at(0.999),
        max_s: merged.max() as f64 / 1e9,
    })
}

/// What kept the load from what was asked, as far as it can be seen.
fn shortfall(
    run: &Run,
    mine: &[&WorkerInterval],
    outcome: &LoadOutcome,
    unit: Unit,
) -> Option<String> {
    let requested = outcome.requested.filter(|requested| *requested > 0.0)?;
    if outcome.achieved >= requested * (1.0 - CLOSE) {
        return None;
    }
    let is_mine = |worker: u32| mine.iter().any(|one| one.worker == worker);
    let mut died = run.events.iter().filter(|event| {
        event.kind == "worker"
            && event.phase == Some(outcome.index)
            && event.worker.is_none_or(is_mine)
    });
    let why = if let Some(first) = died.next() {
        match died.count() {
            0 => first.text.clone(),
            more => format!("{}, and {more} more ended early (see the events)", first.text),
        }
    } else if unit == Unit::Ratio {
        cores::shortfall(run, mine, outcome, requested)
    } else if unit == Unit::Bytes && still_grew(run, outcome.index) {
        "the phase was too short to touch it all".to_owned()
    } else if unit == Unit::Bytes {
        "the host's memory reserve was reached, or the kernel refused more".to_owned()
    } else if unit == Unit::Count && outcome.errors > 0 {
        "the kernel refused more".to_owned()
    } else if unit == Unit::Count {
        "the phase was too short, or the host's reserve was reached".to_owned()
    } else if outcome.errors > 0 {
        match &outcome.fault {
            Some(fault) => format!("{} operations failed, the last {fault}", outcome.errors),
            None => format!("{} operations failed", outcome.errors),
        }
    } else if let Some(unanswered) = outcome.counts.get("unanswered") {
        format!(
            "{unanswered} requests were unanswered when the phase ended, and are not in the latencies"
        )
    } else {
        "operations took longer than the rate allows".to_owned()
    };
    Some(format!(
        "achieved {} of {} asked: {why}",
        unit.show(outcome.achieved),
        unit.show(requested)
    ))
}

/// Whether the memory held in a phase was more in its last interval than in
/// the one before.
fn still_grew(run: &Run, phase: usize) -> bool {
    let mut moments: BTreeMap<Timestamp, u64> = BTreeMap::new();
    for one in run.workers.iter().filter(|one| one.phase == phase) {
        *moments.entry(one.t).or_default() += one.resident;
    }
    let mut newest = moments.into_values().rev();
    newest.next().zip(newest.next()).is_some_and(|(last, before)| last > before)
}

fn unit(name: &str) -> Unit {
    [Unit::Ratio, Unit::Bytes, Unit::BytesPerSecond, Unit::PerSecond]
        .into_iter()
        .find(|unit| unit.name() == name)
        .unwrap_or(Unit::Count)
}
