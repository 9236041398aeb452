//! What analysis yields: the content of `verdict.json`, field by field.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::time::Timestamp;

/// How far a resource is from its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// At its limit, and work waits for it.
    Saturated,
    /// At its limit, and nothing waits yet.
    Full,
    /// Within a fifth of its limit.
    Near,
    /// Observed and clean. In a ranking only.
    Idle,
    /// Every resource observed, none near. In a verdict only.
    None,
    /// The data cannot say.
    Unknown,
}

impl Kind {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Saturated => "saturated",
            Self::Full => "full",
            Self::Near => "near",
            Self::Idle => "idle",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }

    /// Larger is nearer to the limit. What is unknown outranks what is clean:
    /// it must not be hidden by it.
    pub const fn strength(self) -> u8 {
        match self {
            Self::Saturated => 5,
            Self::Full => 4,
            Self::Near => 3,
            Self::Unknown => 2,
            Self::None => 1,
            Self::Idle => 0,
        }
    }
}

/// What a verdict is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Too little data.
    Insufficient,
    /// One class of evidence, or incomplete data, or a rival close by.
    Possible,
    /// Saturation and utilization, or refusals, on complete data.
    Likely,
    /// And a throughput plateau, seen again or shown by an intervention.
    Confirmed,
}

impl Grade {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insufficient => "insufficient",
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        }
    }
}

/// Whose load it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Ours.
    Scenario,
    /// Work that is not ours.
    Foreign,
    /// Both.
    Mixed,
    /// It cannot be told.
    Unknown,
}

impl Cause {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Foreign => "foreign",
            Self::Mixed => "mixed",
            Self::Unknown => "unknown",
        }
    }
}

/// One signal's part in a verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Catalogue name.
    pub signal: String,
    /// Disk, mount, interface, core, cgroup.
    pub device: Option<String>,
    /// `error`, `saturation`, `utilization`, `plateau` or `intervention`.
    pub class: &'static str,
    /// Which statistic of the samples.
    pub stat: String,
    /// The same in the baseline phase, where there is one.
    pub before: Option<f64>,
    /// Its value in this phase.
    pub value: f64,
    /// What it was held against.
    pub threshold: f64,
    /// Unit of the three.
    pub unit: &'static str,
    /// Whether it speaks for the verdict.
    pub supports: bool,
    /// How many samples it rests on.
    pub samples: usize,
    /// Where the threshold comes from.
    pub source: &'static str,
    /// In words.
    pub text: String,
}

/// A resource and why it is mentioned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mention {
    /// The resource.
    pub resource: String,
    /// Its device.
    pub device: Option<String>,
    /// In words.
    pub text: String,
}

/// A verdict on one node in one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// A word of the resource vocabulary.
    pub resource: String,
    /// Its device.
    pub device: Option<String>,
    /// How far from its limit.
    pub kind: Kind,
    /// What that is worth.
    pub grade: Grade,
    /// Whose load.
    pub cause: Cause,
    /// From when.
    pub since: Option<Timestamp>,
    /// In one sentence.
    pub statement: String,
    /// Signals for and against.
    pub evidence: Vec<Evidence>,
    /// What follows from it.
    pub consequences: Vec<Mention>,
    /// What was seen to be clean.
    pub exonerated: Vec<Mention>,
    /// What was not seen.
    pub unobserved: Vec<Mention>,
    /// What would limit next.
    pub next: Option<Mention>,
    /// What the reader must know beside it: what was so before the load, what is left
    /// out of the figures. The statement says it, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Mention>,
}

/// A place in the ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// The resource.
    pub resource: String,
    /// Its device.
    pub device: Option<String>,
    /// How far from its limit.
    pub kind: Kind,
    /// Share of its ceiling in use, where a ceiling is known.
    pub utilization: Option<f64>,
}

/// How complete the samples are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Data {
    /// Samples that are there.
    pub samples: usize,
    /// Samples that should be.
    pub expected: usize,
    /// Holes between samples.
    pub gaps: usize,
    /// Nominal distance in seconds.
    pub interval_s: f64,
}

impl Data {
    /// Whether at least this share of the samples is there. One may fall
    /// outside at the phase's edge.
    pub fn covers(&self, share: f64) -> bool {
        (self.samples + 1) as f64 >= share * self.expected as f64
    }
}

/// One node in one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseOutcome {
    /// The phase's name.
    pub phase: String,
    /// The ramp's level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// All resources, nearest to its limit first.
    pub ranking: Vec<Ranked>,
    /// How complete the samples are.
    pub data: Data,
    /// Index into the manifest's phases.
    #[serde(skip)]
    pub index: usize,
    /// Whether the statement begins or ends with what makes the verdict doubtful.
    #[serde(skip)]
    pub is_qualified: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeOutcome {
    /// Its name.
    pub node: String,
    /// `embedded` or `prometheus`.
    pub source: &'static str,
    /// Phase by phase.
    pub phases: Vec<PhaseOutcome>,
}

/// The run in one verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overall {
    /// Where.
    pub node: String,
    /// In which phase.
    pub phase: String,
    /// At which level of a ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// A word of the resource vocabulary.
    pub resource: String,
    /// Its device.
    pub device: Option<String>,
    /// How far from its limit.
    pub kind: Kind,
    /// What that is worth.
    pub grade: Grade,
    /// Whose load.
    pub cause: Cause,
    /// From when.
    pub since: Option<Timestamp>,
    /// In one sentence.
    pub statement: String,
}

/// What the data are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing speaks against them.
    Valid,
    /// The verdict stands, with the notes next to it.
    Degraded,
    /// They cannot carry a verdict.
    Invalid,
}

impl Level {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Degraded => "degraded",
            Self::Invalid => "invalid",
        }
    }
}

/// Whether the data can carry the verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validity {
    /// They can.
    pub ok: bool,
    /// How far they can.
    pub level: Level,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// A gate, judged on one node and phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// Catalogue name.
    pub signal: String,
    /// Disk, mount, interface, core.
    pub device: Option<String>,
    /// Where.
    pub node: String,
    /// When.
    pub phase: String,
    /// Which statistic.
    pub stat: String,
    /// Whether it held. Without data it did not.
    pub ok: bool,
    /// What was measured.
    pub value: Option<f64>,
    /// What was allowed.
    pub limit: f64,
    /// Unit of both.
    pub unit: &'static str,
    /// In words.
    pub text: String,
}

/// What one `[[phase.load]]` did in one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadOutcome {
    /// The phase's name.
    pub phase: String,
    /// The ramp's level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Worker kind.
    pub kind: String,
    /// Number of workers.
    pub workers: usize,
    /// What was asked of all workers together (of each one, for a share of a
    /// core); `None` for as much as there is.
    pub requested: Option<f64>,
    /// What they did.
    pub achieved: f64,
    /// Unit of both.
    pub unit: &'static str,
    /// Operations each second.
    pub operations_per_s: f64,
    /// Bytes each second.
    pub bytes_per_s: f64,
    /// Bytes each second that the kernel charged to the workers as read from
    /// or written to disks; for disk loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_bytes_per_s: Option<f64>,
    /// What the kind counted beside that, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Failed operations.
    pub errors: u64,
    /// What the last of those failed at, and the kernel's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// CPU seconds used.
    pub cpu_s: f64,
    /// Latencies of operations in seconds, by percentile.
    pub latency: Option<Latency>,
    /// One sentence, when requested and achieved differ.
    pub shortfall: Option<String>,
    /// Index into the manifest's phases.
    #[serde(skip)]
    pub index: usize,
    /// Which load of the phase.
    #[serde(skip)]
    pub load: usize,
}

/// Latencies in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Median.
    pub p50_s: f64,
    /// 90th percentile.
    pub p90_s: f64,
    /// 99th percentile.
    pub p99_s: f64,
    /// 99.9th percentile.
    pub p999_s: f64,
    /// Largest.
    pub max_s: f64,
}

/// The limit that the first of several nodes reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct First {
    /// Which node.
    pub node: String,
    /// In which phase.
    pub phase: String,
    /// A word of the resource vocabulary.
    pub resource: String,
    /// Its device.
    pub device: Option<String>,
    /// Saturated or full.
    pub kind: Kind,
    /// From when.
    pub since: Timestamp,
    /// Nodes that reached one within a sample of it.
    pub at_once: Vec<String>,
}

/// A node that is unlike those under the same load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Apart {
    /// Which node.
    pub node: String,
    /// In which phase.
    pub phase: String,
    /// Catalogue name, or `load_operations`.
    pub signal: String,
    /// Unit of the two.
    pub unit: &'static str,
    /// Its mean over the phase.
    pub value: f64,
    /// The median of all nodes under that load.
    pub median: f64,
    /// In words.
    pub text: String,
}

/// Several nodes together. Each node is in one of the four lists, by its worst
/// phase under load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fleet {
    /// In a sentence or two.
    pub statement: String,
    /// Who reached a limit first; `None` when nobody did.
    pub first: Option<First>,
    /// Nodes at a limit.
    pub at_limit: Vec<String>,
    /// Nodes within a fifth of one.
    pub near: Vec<String>,
    /// Nodes seen to be clean.
    pub healthy: Vec<String>,
    /// Nodes that the data say nothing of.
    pub unknown: Vec<String>,
    /// Nodes unlike their peers, the most unlike first; ten at most.
    pub apart: Vec<Apart>,
}

/// `verdict.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// Version of this form.
    pub schema: u32,
    /// The run's name.
    pub run: String,
    /// How far it came.
    pub state: &'static str,
    /// The run in one verdict; `None` when no phase took place.
    pub overall: Option<Overall>,
    /// Whether the data can carry it.
    pub validity: Validity,
    /// The scenario's gates.
    pub thresholds: Vec<Gate>,
    /// All nodes together, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
    /// Node by node.
    pub nodes: Vec<NodeOutcome>,
    /// What the load did.
    pub loads: Vec<LoadOutcome>,
}
