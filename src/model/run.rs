//! A run: what was planned, what happened, what was seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    series::{Key, SignalSet},
    stats::Stat,
    time::{Timestamp, Window},
};

/// The version of `run.json` and of the journals beside it.
pub const RUN_SCHEMA: u32 = 1;

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Still going on, or killed before it could say otherwise.
    Running,
    /// All phases ended as planned.
    Complete,
    /// Stopped by a signal; reported with what was measured.
    Interrupted,
    /// Stopped by an abort condition or a safety guard.
    Aborted,
    /// Stopped by an error of our own.
    Failed,
}

impl State {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }
}

/// The level a ramp phase stood at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// What rises: `workers`, `load`, `rate` or `depth`.
    pub of: String,
    /// The value at this level.
    pub value: f64,
}

/// One change of an intervention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Half of one load.
    Half,
    /// Without one load.
    Away,
    /// With all of them again.
    Back,
}

/// What a phase changes of an earlier one, to see what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Index of the phase that is put to the test.
    pub of: usize,
    /// Which of its loads is changed.
    pub load: usize,
    /// How.
    pub step: Step,
}

/// A phase as it really took place. A ramp is one record a level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// The scenario's name for it.
    pub name: String,
    /// Set for each step of a ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Set for a step of an intervention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// When it began: its workers were made and set themselves up.
    pub start: Timestamp,
    /// When its load was there: files laid down, memory taken, all workers
    /// released at once. Its planned length counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<Timestamp>,
    /// When its load ended; `None` while it goes on or when the run was killed.
    pub end: Option<Timestamp>,
    /// Planned length in seconds.
    pub planned_s: f64,
    /// The load in words, one entry a `[[phase.load]]`; empty for a baseline.
    pub loads: Vec<String>,
}

impl PhaseRecord {
    /// `steps @ 4 workers`, or just the name.
    pub fn label(&self) -> String {
        let label = match &self.level {
            Some(level) => format!("{} @ {} {}", self.name, level.value, level.of),
            None => self.name.clone(),
        };
        match self.probe.map(|probe| probe.step) {
            Some(Step::Half) => format!("{label}, a load halved"),
            Some(Step::Away) => format!("{label}, a load away"),
            Some(Step::Back) => format!("{label}, given back"),
            None => label,
        }
    }
}

/// Where a node's samples come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Our own sampler, from /proc and /sys.
    Embedded,
    /// node_exporter, through the range API of Prometheus.
    Prometheus,
}

impl SourceKind {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Prometheus => "prometheus",
        }
    }
}

/// What is known of a machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// Its own name.
    pub hostname: String,
    /// Kernel release.
    pub kernel: String,
    /// Distribution.
    pub os: String,
    /// CPU model.
    pub cpu_model: String,
    /// Cores online.
    pub cores: u32,
    /// Cores this process may use (affinity mask).
    pub cores_allowed: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// `v1`, `v2`, `hybrid` or `none`.
    pub cgroup: String,
    /// Limits that the own cgroup sets, in words.
    pub limits: Vec<String>,
    /// What cannot be observed here, and why.
    pub absent: Vec<String>,
    /// Who made the machine, by its DMI table (`Amazon EC2`, `QEMU`); empty where it is
    /// not known.
    pub vendor: String,
    /// GPUs on its PCI bus.
    pub gpus: u32,
}

/// A node of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The scenario's name for it.
    pub name: String,
    /// The `instance` label in Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The labels that tell it from other machines with the same `instance`;
    /// nearly always empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where its samples come from.
    pub source: SourceKind,
    /// Whether our load runs here.
    pub loaded: bool,
    /// Whether an agent of ours works there, and sends its sampler's readings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent: bool,
    /// Nominal distance of samples in seconds.
    pub interval_s: f64,
    /// Seconds that a rate averages over.
    pub window_s: f64,
    /// What is known of the machine.
    pub host: HostFacts,
}

impl NodeRecord {
    /// The name under which `signals.jsonl` keeps its signals: its `instance`, with
    /// the labels that tell it from others.
    pub fn series_key(&self) -> String {
        let instance = self.instance.clone().unwrap_or_default();
        if self.labels.is_empty() {
            return instance;
        }
        Key { name: instance, labels: self.labels.clone() }.to_string()
    }
}

/// A reason why the data cannot carry a verdict better than `possible`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// The node it holds for; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// One sentence, with what to do about it.
    pub text: String,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's form.
    pub schema: u32,
    /// `run-42`.
    pub id: String,
    /// Version of the program that made the run.
    pub tool: String,
    /// How far the run came.
    pub state: State,
    /// Whether the state above was found by `report` after a crash.
    #[serde(default)]
    pub recovered: bool,
    /// When the first phase began.
    pub start: Timestamp,
    /// When the last phase ended.
    pub end: Option<Timestamp>,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's description.
    pub description: String,
    /// `--set` values, in order.
    #[serde(default)]
    pub overrides: Vec<String>,
    /// Phases so far, in order.
    pub phases: Vec<PhaseRecord>,
    /// Nodes, in the scenario's order.
    pub nodes: Vec<NodeRecord>,
    /// Telemetry endpoints, without secrets.
    pub telemetry: Vec<String>,
    /// Free labels given by the user.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What the reader must know: limits in force, outages, deviations.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What makes the data doubtful: no verdict is better than `possible`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<Caveat>,
    /// Why the run stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// One line of `workers.jsonl`: what one worker did in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerInterval {
    /// End of the interval.
    pub t: Timestamp,
    /// Length in seconds.
    pub seconds: f64,
    /// Index into the manifest's phases.
    pub phase: usize,
    /// The node it works on; empty for the machine that runs the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Worker number, from 0, unique within the phase and node.
    pub worker: u32,
    /// Which `[[phase.load]]` of the phase it belongs to, from 0.
    pub load: usize,
    /// Whether the worker was still setting itself up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setup: bool,
    /// Worker kind.
    pub kind: String,
    /// What the scenario asks of this worker, in [`WorkerInterval::unit`];
    /// `None` when it asks for as much as there is.
    pub requested: Option<f64>,
    /// What the worker did, in the same unit.
    pub achieved: f64,
    /// `ratio` (of a core), `bytes`, `per_second` or `bytes_per_second`.
    pub unit: String,
    /// Operations completed.
    pub operations: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Operations that failed.
    pub errors: u64,
    /// What the last of those failed at, and the kernel's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// CPU seconds used.
    pub cpu_s: f64,
    /// Bytes held at the end of the interval.
    pub resident: u64,
    /// Bytes read from disks, as the kernel charges them to a disk worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_read: Option<u64>,
    /// Bytes written to disks, as the kernel charges them to a disk worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_written: Option<u64>,
    /// What a kind counts beside that, by name, such as answers by status.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Latencies of the operations in nanoseconds: a HdrHistogram, V2 with
    /// deflate, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
}

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it was noticed.
    pub t: Timestamp,
    /// `phase`, `worker`, `telemetry`, `abort`, `stop`.
    pub kind: String,
    /// One sentence.
    pub text: String,
    /// Index into the manifest's phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<usize>,
    /// The node it happened on; empty for the machine that runs the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Number of the worker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
}

/// A gate of the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Catalogue name.
    pub signal: String,
    /// Only this device; otherwise the worst of all devices counts.
    pub device: Option<String>,
    /// Regular expression over node names.
    pub node: String,
    /// Regular expression over phase names.
    pub phase: String,
    /// Which statistic of the phase's samples.
    pub stat: Stat,
    /// Fails above.
    pub max: Option<f64>,
    /// Fails below.
    pub min: Option<f64>,
}

/// One node of a run, ready to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeData {
    /// Its record in the manifest.
    pub record: NodeRecord,
    /// Its signals.
    pub signals: SignalSet,
    /// What the node's own sampler saw beside its Prometheus, where both looked.
    pub beside: Option<SignalSet>,
}

/// Everything that analysis and report need of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// `run.json`.
    pub manifest: Manifest,
    /// `scenario.toml`, as given.
    pub scenario: String,
    /// The scenario's gates.
    pub thresholds: Vec<Threshold>,
    /// Nodes with their signals.
    pub nodes: Vec<NodeData>,
    /// Worker statistics.
    pub workers: Vec<WorkerInterval>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Run {
    /// When a phase took place. A phase that was cut off ends with the last
    /// sample that anyone took.
    pub fn window(&self, phase: &PhaseRecord) -> Window {
        let last = || {
            let samples = self.nodes.iter().filter_map(|node| node.signals.times.last().copied());
            let workers = self.workers.last().map(|interval| interval.t);
            samples.chain(workers).max().unwrap_or(phase.start).max(phase.start)
        };
        Window { start: phase.start, end: phase.end.or(self.manifest.end).unwrap_or_else(last) }
    }

    /// The part of a phase in which its load was there.
    pub fn steady(&self, phase: &PhaseRecord) -> Window {
        let window = self.window(phase);
        Window { start: phase.steady.unwrap_or(window.start), end: window.end }
    }

    /// From the first phase's start to the last one's end.
    pub fn whole(&self) -> Window {
        let ends = self.manifest.phases.iter().map(|phase| self.window(phase).end);
        let start = self.manifest.start;
        Window { start, end: ends.max().unwrap_or(start) }
    }
}
