//! Worker counters as journal lines, and the load in one line of words.

use std::time::Duration;

use crate::{
    load::{loader::Progress, shared::Stage},
    model::{
        latency,
        run::WorkerInterval,
        time::Timestamp,
        units::{Unit, short_count, show_bytes, three_digits},
    },
    run::guards::Reading,
    scenario::plan::{LoadPlan, Pattern, Work},
};

/// What the scenario asks of a worker and what it did, in one unit.
fn asked_and_done(work: &Work, progress: &Progress, seconds: f64) -> (Option<f64>, f64, Unit) {
    let per_second = |count: u64| count as f64 / seconds;
    match work {
        Work::Cpu { rate: Some(rate), .. } => {
            (Some(*rate), per_second(progress.operations), Unit::PerSecond)
        }
        Work::Cpu { load, .. } => (Some(*load), progress.cpu.as_secs_f64() / seconds, Unit::Ratio),
        Work::Memory(work) if work.bandwidth.is_some() => (
            work.rate_bytes.map(|rate| rate as f64),
            per_second(progress.bytes),
            Unit::BytesPerSecond,
        ),
        Work::Memory(_) => {
            (Some(progress.target_bytes as f64), progress.resident as f64, Unit::Bytes)
        }
        Work::Sync { rate } | Work::Switch { rate, .. } | Work::Fork { rate } => {
            (*rate, per_second(progress.operations), Unit::PerSecond)
        }
        Work::Http(work) => {
            let asked = work.arrival.map(|_| per_second(progress.scheduled));
            (asked, per_second(progress.operations), Unit::PerSecond)
        }
        Work::Net(work) if work.pattern == Pattern::Stream && work.rate.is_none() => {
            rated(None, work.rate_bytes, progress, seconds)
        }
        Work::Net(work) => match work.rate_bytes {
            Some(_) => rated(None, work.rate_bytes, progress, seconds),
            None => (work.rate, per_second(progress.operations), Unit::PerSecond),
        },
        Work::Files(work) => (work.rate, per_second(progress.operations), Unit::PerSecond),
        Work::Hold(work) => (Some(work.count as f64), progress.held as f64, Unit::Count),
        Work::Disk(work) => rated(work.rate, work.rate_bytes, progress, seconds),
    }
}

/// For a load that may be limited by operations or by bytes.
fn rated(
    operations: Option<f64>,
    bytes: Option<u64>,
    progress: &Progress,
    seconds: f64,
) -> (Option<f64>, f64, Unit) {
    match operations {
        Some(rate) => (Some(rate), progress.operations as f64 / seconds, Unit::PerSecond),
        None => {
            (bytes.map(|bytes| bytes as f64), progress.bytes as f64 / seconds, Unit::BytesPerSecond)
        }
    }
}

/// What an operation failed at last.
fn fault(progress: &Progress) -> Option<String> {
    let (stage, errno) = progress.noted;
    (stage != Stage::None)
        .then(|| format!("{}: {}", stage.words(), std::io::Error::from_raw_os_error(errno)))
}

/// One journal line a worker.
pub(super) fn intervals(
    progress: &[Progress],
    loads: &[LoadPlan],
    (phase, setup): (usize, bool),
    t: Timestamp,
    took: Duration,
) -> Vec<WorkerInterval> {
    let seconds = took.as_secs_f64().max(1e-6);
    progress
        .iter()
        .filter_map(|one| {
            let work = &loads.get(one.load)?.work;
            let (requested, achieved, unit) = asked_and_done(work, one, seconds);
            Some(WorkerInterval {
                t,
                seconds,
                phase,
                node: String::new(),
                worker: one.worker,
                load: one.load,
                setup,
                kind: work.kind().to_owned(),
                requested,
                achieved,
                unit: unit.name().to_owned(),
                operations: one.operations,
                bytes: one.bytes,
                errors: one.errors,
                fault: (one.errors > 0).then(|| fault(one)).flatten(),
                cpu_s: one.cpu.as_secs_f64(),
                resident: one.resident,
                device_read: one.device.map(|device| device.read),
                device_written: one.device.map(|device| device.written),
                counts: work
                    .tallies()
                    .iter()
                    .zip(one.tallies)
                    .filter(|(_, count)| *count > 0)
                    .map(|(name, count)| ((*name).to_owned(), count))
                    .collect(),
                latency: one.latency.as_ref().and_then(latency::encode),
            })
        })
        .collect()
}

/// The workers' own signals at this moment, for guards.
pub(super) fn readings(progress: &[Progress], took: Duration) -> Vec<Reading> {
    let seconds = took.as_secs_f64().max(1e-6);
    let sum = |of: fn(&Progress) -> f64| progress.iter().map(of).sum::<f64>();
    let mut all = latency::empty();
    for histogram in progress.iter().filter_map(|one| one.latency.as_ref()) {
        if let Some(all) = &mut all {
            let _ = all.add(histogram);
        }
    }
    let mut readings = vec![
        ("load_operations", sum(|one| one.operations as f64) / seconds),
        ("load_bytes", sum(|one| one.bytes as f64) / seconds),
        ("load_errors", sum(|one| one.errors as f64) / seconds),
        ("load_cpu_cores", sum(|one| one.cpu.as_secs_f64()) / seconds),
        ("load_resident_bytes", sum(|one| one.resident as f64)),
    ];
    if let Some(all) = all.filter(|all| !all.is_empty()) {
        readings.push(("load_latency_p50", all.value_at_quantile(0.5) as f64 / 1e9));
        readings.push(("load_latency_p99", all.value_at_quantile(0.99) as f64 / 1e9));
    }
    readings
        .into_iter()
        .map(|(signal, value)| Reading { signal: signal.to_owned(), device: None, value })
        .collect()
}

/// `cpu 99.8 of 100 %, memory 1.2 of 2 GiB`.
pub(super) fn in_words(progress: &[Progress], loads: &[LoadPlan], took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-6);
    let mut words = Vec::new();
    for (index, load) in loads.iter().enumerate() {
        let mine: Vec<(Option<f64>, f64, Unit)> = progress
            .iter()
            .filter(|one| one.load == index)
            .map(|one| asked_and_done(&load.work, one, seconds))
            .collect();
        let Some((_, _, unit)) = mine.first() else { continue };
        let achieved: f64 = mine.iter().map(|(_, achieved, _)| achieved).sum();
        let requested: Option<f64> = mine.iter().map(|(requested, ..)| *requested).sum();
        let kind = load.work.kind();
        let workers = mine.len() as f64;
        words.push(match (unit, requested) {
            (Unit::Ratio, Some(requested)) => format!(
                "{kind} {} of {} % each",
                three_digits(achieved / workers * 100.0),
                three_digits(requested / workers * 100.0)
            ),
            (Unit::Bytes, Some(requested)) => {
                format!("{kind} {} of {}", show_bytes(achieved), show_bytes(requested))
            }
            (Unit::Count, Some(requested)) => {
                format!("{kind} {} of {}", short_count(achieved), short_count(requested))
            }
            (Unit::PerSecond, Some(requested)) => {
                format!("{kind} {} of {}/s", short_count(achieved), short_count(requested))
            }
            _ => format!("{kind} {}", unit.show(achieved)),
        });
    }
    words.join(", ")
}
