//! The run's own series: what each load has done so far, on each node. They are
//! scraped from us (`listen`) or pushed by us (`push`).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::{run::WorkerInterval, time::Timestamp};

/// A worker that has said nothing for so long is not there any more.
const SILENT_S: f64 = 3.0;

/// What a load has done so far on a node.
#[derive(Debug, Default)]
struct Totals {
    kind: String,
    /// When each worker was last heard of.
    workers: BTreeMap<u32, Timestamp>,
    operations: u64,
    bytes: u64,
    errors: u64,
    cpu_s: f64,
}

impl Totals {
    fn workers(&self) -> usize {
        let newest = self.workers.values().max();
        let is_there = |t: &&Timestamp| newest.is_some_and(|newest| newest.since(**t) < SILENT_S);
        self.workers.values().filter(is_there).count()
    }
}

/// A family's name, type, help and value.
type Family = (&'static str, &'static str, &'static str, fn(&Totals) -> f64);

const FAMILIES: [Family; 5] = [
    ("stressor_workers", "gauge", "Workers of a load that are there.", |one| one.workers() as f64),
    ("stressor_operations", "counter", "Operations done by a load.", |one| one.operations as f64),
    ("stressor_bytes", "counter", "Bytes moved by a load.", |one| one.bytes as f64),
    ("stressor_errors", "counter", "Operations of a load that failed.", |one| one.errors as f64),
    ("stressor_cpu_seconds", "counter", "CPU time used by a load.", |one| one.cpu_s),
];

/// A series' labels, its name among them, and its value now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// In the order of their names.
    pub(super) labels: BTreeMap<&'static str, String>,
    pub(super) value: f64,
}

/// All series of the run.
#[derive(Debug, Default)]
pub(super) struct Series {
    run: String,
    scenario: String,
    /// What the machine that leads the run is called.
    here: String,
    phase: Option<String>,
    /// By node, phase and load.
    totals: BTreeMap<(String, String, usize), Totals>,
}

/// Shared by the run, who adds, and those who tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Series>>);

impl Shared {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Series) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Series {
    /// Say which run this is, and what this machine is called in it.
    pub(super) fn of(&mut self, run: &str, scenario: &str, here: &str) {
        (self.run, self.scenario, self.here) = (run.into(), scenario.into(), here.into());
    }

    pub(super) fn phase_begins(&mut self, label: &str) {
        self.phase = Some(label.to_owned());
    }

    /// A phase is over: its counters stay, its workers are gone.
    pub(super) fn phase_ends(&mut self) {
        self.phase = None;
        for totals in self.totals.values_mut() {
            totals.workers.clear();
        }
    }

    /// Take in what a worker did.
    pub(super) fn add(&mut self, one: &WorkerInterval, phase: &str) {
        let node = if one.node.is_empty() { &self.here } else { &one.node };
        let totals = self.totals.entry((node.clone(), phase.to_owned(), one.load)).or_default();
        totals.kind.clone_from(&one.kind);
        totals.workers.insert(one.worker, one.t);
        totals.operations += one.operations;
        totals.bytes += one.bytes;
        totals.errors += one.errors;
        totals.cpu_s += one.cpu_s;
    }

    /// Every series with its value now.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let mut samples =
            vec![self.sample("stressor_run_info", &[("scenario", &self.scenario)], 1.0)];
        samples.extend(
            self.phase
                .as_ref()
                .map(|phase| self.sample("stressor_phase", &[("phase", phase)], 1.0)),
        );
        for (name, kind, _, value) in FAMILIES {
            samples.extend(self.family(name, kind, value));
        }
        samples
    }

    /// The series of one family.
    fn family(&self, name: &str, kind: &str, value: fn(&Totals) -> f64) -> Vec<Sample> {
        let suffix = if kind == "counter" { "_total" } else { "" };
        self.totals
            .iter()
            .map(|((node, phase, load), one)| {
                let load = format!("{load}:{}", one.kind);
                let labels = [("node", node.as_str()), ("phase", phase), ("load", &load)];
                self.sample(&format!("{name}{suffix}"), &labels, value(one))
            })
            .collect()
    }

    fn sample(&self, name: &str, labels: &[(&'static str, &str)], value: f64) -> Sample {
        let mut all = BTreeMap::from([
            ("__name__", name.to_owned()),
            ("run", self.run.clone()),
            ("node", self.here.clone()),
        ]);
        all.extend(labels.iter().map(|(label, value)| (*label, (*value).to_owned())));
        Sample { labels: all, value }
    }

    /// OpenMetrics 1.0
    /// (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    pub(super) fn page(&self) -> String {
        let mut text = String::new();
        let samples = self.samples();
        let mut family = |name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
            let full = match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            for one in samples.iter().filter(|one| one.labels.get("__name__") == Some(&full)) {
                let labels: Vec<String> = one
                    .labels
                    .iter()
                    .filter(|(label, _)| **label != "__name__")
                    // The names are those of files and of TOML's keys: no quotes
                    // in them.
                    .map(|(label, value)| format!("{label}=\"{value}\""))
                    .collect();
                let _ = writeln!(text, "{full}{{{}}} {}", labels.join(","), one.value);
            }
        };
        family("stressor_run", "info", "The run that goes on.");
        family("stressor_phase", "gauge", "1 for the phase that goes on.");
        for (name, kind, help, _) in FAMILIES {
            family(name, kind, help);
        }
        text.push_str("# EOF\n");
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::run) fn interval(node: &str, worker: u32, t_s: i64) -> WorkerInterval {
        WorkerInterval {
            t: Timestamp(t_s * 1000),
            seconds: 1.0,
            phase: 0,
            node: node.to_owned(),
            worker,
            load: 0,
            setup: false,
            kind: "cpu".to_owned(),
            requested: None,
            achieved: 1.0,
            unit: "ratio".to_owned(),
            operations: 10,
            bytes: 0,
            errors: 0,
            fault: None,
            cpu_s: 0.5,
            resident: 0,
            device_read: None,
            device_written: None,
            counts: BTreeMap::new(),
            latency: None,
        }
    }

    #[test]
    fn what_workers_did_is_added_up_for_each_node() {
        let mut series = Series::default();
        series.of("run-1", "x", "main");
        series.phase_begins("load");
        for (node, worker, t) in [("", 0, 1), ("", 1, 1), ("b", 0, 1), ("b", 0, 2)] {
            series.add(&interval(node, worker, t), "load");
        }
        let page = series.page();
        let has = |line: &str| assert!(page.lines().any(|one| one == line), "{line}\n{page}");
        has("stressor_run_info{node=\"main\",run=\"run-1\",scenario=\"x\"} 1");
        has("stressor_phase{node=\"main\",phase=\"load\",run=\"run-1\"} 1");
        has("stressor_workers{load=\"0:cpu\",node=\"main\",phase=\"load\",run=\"run-1\"} 2");
        has("stressor_operations_total{load=\"0:cpu\",node=\"b\",phase=\"load\",run=\"run-1\"} 20");
        // One that is silent is gone.
        series.add(&interval("", 0, 9), "load");
        assert!(series.page().contains("node=\"main\",phase=\"load\",run=\"run-1\"} 1\n"));
        series.phase_ends();
        let page = series.page();
        assert!(page.contains(
            "stressor_workers{load=\"0:cpu\",node=\"b\",phase=\"load\",run=\"run-1\"} 0"
        ));
        assert!(!page.contains("stressor_phase{"));
    }
}
