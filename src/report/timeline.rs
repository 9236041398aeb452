//! The timeline as data: phases, and charts of load and host on one axis.

use super::chart::{self, Chart, Line};
use crate::{
    analyze::workload,
    model::{
        run::{NodeData, Run, WorkerInterval},
        series::{Signal, SignalSet},
        stats,
        time::Window,
        units::Unit,
    },
};

/// A phase on the time axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Band {
    pub(super) label: String,
    /// Seconds since the run's start.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) loaded: bool,
}

/// Charts of one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) node: String,
    pub(super) charts: Vec<Chart>,
    /// Seconds in which samples are missing.
    pub(super) gaps: Vec<(f64, f64)>,
}

/// The phases.
pub(super) fn bands(run: &Run, whole: Window) -> Vec<Band> {
    run.manifest
        .phases
        .iter()
        .map(|phase| {
            let window = run.window(phase);
            Band {
                label: phase.label(),
                from: chart::offset(window.start, whole),
                to: chart::offset(window.end, whole),
                loaded: !phase.loads.is_empty(),
            }
        })
        .collect()
}

/// The charts of a node.
pub(super) fn panel(run: &Run, node: &NodeData, whole: Window) -> Panel {
    // The load of this node, and of no other.
    let own = &workload::signals_of(run, &node.record);
    let workers: Vec<&WorkerInterval> =
        run.workers.iter().filter(|one| workload::is_on(one, &node.record)).collect();
    let signals = &node.signals;
    let mut charts = Vec::new();
    let mut first = if node.record.loaded {
        load_lines(&workers, node.record.host.cores, whole)
    } else {
        Vec::new()
    };
    for (name, label) in [("cpu_busy", "CPU busy"), ("memory_used_ratio", "memory used")] {
        if let Some(signal) = signals.get(name, None) {
            first.push(chart::line(label, first.len(), signal, whole));
        }
    }
    if let Some((device, signal)) = busiest(signals, "disk_busy") {
        first.push(chart::line(&format!("disk {device} busy"), first.len(), signal, whole));
    }
    if let Some(signal) = signals.all("cgroup_memory_working_ratio").first() {
        first.push(chart::line("cgroup memory of its limit", first.len(), signal, whole));
    }
    charts.extend(Chart::new("Load and utilization", Unit::Ratio, first));
    let waiting = [
        ("cpu_psi_some", "for a core"),
        ("io_psi_some", "for I/O"),
        ("memory_psi_some", "for memory"),
    ]
    .iter()
    .enumerate()
    .filter_map(|(style, (name, label))| {
        Some(chart::line(label, style, signals.get(name, None)?, whole))
    })
    .collect();
    charts.extend(Chart::new("Share of time in which tasks waited (PSI)", Unit::Ratio, waiting));
    let mut disk = Vec::new();
    for (name, label) in [("disk_read_bytes", "read"), ("disk_written_bytes", "written")] {
        if let Some((device, signal)) = busiest(signals, name) {
            disk.push(chart::line(&format!("{device} {label}"), disk.len(), signal, whole));
        }
    }
    charts.extend(
        Chart::new("Disk throughput", Unit::BytesPerSecond, disk)
            .filter(|chart| chart.top >= 4096.0),
    );
    if let Some((device, signal)) = busiest(signals, "disk_queue") {
        charts.extend(
            Chart::new(
                "Requests in flight",
                Unit::Count,
                vec![chart::line(&device, 0, signal, whole)],
            )
            .filter(|chart| chart.top >= 0.5),
        );
    }
    let mut network = Vec::new();
    for (name, label) in [("network_received_bytes", "received"), ("network_sent_bytes", "sent")] {
        if let Some((device, signal)) = busiest(signals, name) {
            network.push(chart::line(&format!("{device} {label}"), network.len(), signal, whole));
        }
    }
    charts.extend(
        Chart::new("Network throughput", Unit::BytesPerSecond, network)
            .filter(|chart| chart.top >= 4096.0),
    );
    if node.record.loaded {
        charts.extend(operations(&workers, whole));
        let latency = [("load_latency_p50", "median"), ("load_latency_p99", "99th percentile")]
            .iter()
            .enumerate()
            .filter_map(|(style, (name, label))| {
                Some(chart::line(label, style, own.get(name, None)?, whole))
            })
            .collect();
        charts.extend(Chart::new("Latency of the load's operations", Unit::Seconds, latency));
    }
    Panel { node: node.record.name.clone(), charts, gaps: gaps(signals, whole) }
}

/// The device that was used most, by the mean of a signal.
fn busiest<'a>(signals: &'a SignalSet, name: &str) -> Option<(String, &'a Signal)> {
    signals
        .all(name)
        .iter()
        .map(|signal| {
            let values: Vec<f64> = signal.points.iter().map(|point| point.v).collect();
            (stats::mean(&values).unwrap_or(0.0), signal)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, signal)| (signal.device.clone().unwrap_or_default(), signal))
}

/// What each kind of load was asked for and achieved, as shares: of all cores
/// for cpu, of what was asked for anything else, and where no amount was
/// asked, of the most it ever did.
fn load_lines(workers: &[&WorkerInterval], cores: u32, whole: Window) -> Vec<Line> {
    let mut kinds: Vec<&str> = Vec::new();
    for interval in workers {
        if !kinds.contains(&interval.kind.as_str()) {
            kinds.push(&interval.kind);
        }
    }
    let mut lines = Vec::new();
    for kind in kinds {
        let mut moments = std::collections::BTreeMap::new();
        for one in workers.iter().filter(|one| one.kind == kind) {
            let (achieved, requested) = moments.entry(one.t).or_insert((0.0, Some(0.0)));
            *achieved += one.achieved;
            *requested = requested.zip(one.requested).map(|(a, b): (f64, f64)| a + b);
        }
        let mut add = |name: String, of: &dyn Fn(f64, Option<f64>) -> Option<f64>| {
            let points: Vec<(f64, f64)> = moments
                .iter()
                .filter_map(|(t, (achieved, requested))| {
                    let share = of(*achieved, *requested).filter(|share| share.is_finite())?;
                    Some((chart::offset(*t, whole), share.clamp(0.0, 1.0)))
                })
                .collect();
            lines.push(Line { name, style: lines.len(), points: chart::thinned(&points) });
        };
        let most = moments.values().map(|(achieved, _)| *achieved).fold(0.0, f64::max);
        let asked = moments.values().all(|(_, requested)| requested.is_some_and(|r| r > 0.0));
        let of_cores = workers.iter().filter(|one| one.kind == kind);
        if of_cores.clone().all(|one| one.unit == Unit::Ratio.name()) && cores > 0 {
            let cores = f64::from(cores);
            add(format!("{kind} asked"), &|_, requested| requested.map(|r| r / cores));
            add(format!("{kind} achieved by the load"), &|achieved, _| Some(achieved / cores));
        } else if asked {
            add(format!("{kind} load, of asked"), &|achieved, requested| {
                Some(achieved / requested?)
            });
        } else {
            add(format!("{kind} load, of its best"), &|achieved, _| {
                (most > 0.0).then(|| achieved / most)
            });
        }
    }
    lines
}

/// How many operations each kind of load did, where it is operations that it is
/// about.
fn operations(workers: &[&WorkerInterval], whole: Window) -> Vec<Chart> {
    let kinds = [
        ("http", "HTTP requests"),
        ("net", "Network operations"),
        ("disk", "Disk operations"),
        ("files", "Files made and removed"),
        ("sync", "Calls of sync"),
        ("switch", "Context switches asked for"),
        ("fork", "Processes made"),
    ];
    let charts = kinds.iter().filter_map(|(kind, title)| {
        let mut moments = std::collections::BTreeMap::new();
        for one in workers.iter().filter(|one| one.kind == *kind && one.seconds > 0.0) {
            let sums = moments.entry(one.t).or_insert([Some(0.0), Some(0.0), Some(0.0)]);
            let rate = one.requested.filter(|_| one.unit == Unit::PerSecond.name());
            let per_second = |count: u64| Some(count as f64 / one.seconds);
            let rates = [rate, per_second(one.operations), per_second(one.errors)];
            *sums = std::array::from_fn(|at| {
                let (sum, rate) = (sums.get(at)?, rates.get(at)?);
                sum.zip(*rate).map(|(sum, rate): (f64, f64)| sum + rate)
            });
        }
        let mut lines = Vec::new();
        for (at, name) in ["asked", "done", "failed"].into_iter().enumerate() {
            let points: Vec<(f64, f64)> = moments
                .iter()
                .filter_map(|(t, sums)| Some((chart::offset(*t, whole), (*sums.get(at)?)?)))
                .collect();
            if points.iter().any(|(_, value)| *value > 0.0) {
                let points = chart::thinned(&points);
                lines.push(Line { name: name.to_owned(), style: lines.len(), points });
            }
        }
        Chart::new(title, Unit::PerSecond, lines)
    });
    charts.collect()
}

fn gaps(signals: &SignalSet, whole: Window) -> Vec<(f64, f64)> {
    let interval_s = signals.interval_s.max(0.001);
    signals
        .times
        .windows(2)
        .filter_map(|pair| {
            let [a, b] = pair else { return None };
            (b.since(*a) > 1.5 * interval_s)
                .then(|| (chart::offset(*a, whole), chart::offset(*b, whole)))
        })
        .filter(|(from, to)| *to > 0.0 && *from < whole.seconds())
        .collect()
}
