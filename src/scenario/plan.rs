//! The validated plan: no `Option` that means a default, no text that means a
//! number.

mod http;
mod work;

use std::{path::PathBuf, time::Duration};

use crate::model::run::{Level, Probe, Threshold};

pub use http::{Arrival, HttpWork, Rate, Url};
pub use work::*;

/// What a scenario asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// The question it answers.
    pub description: String,
    /// Where samples come from.
    pub telemetry: Telemetry,
    /// The machines named; empty for just this one.
    pub nodes: Vec<NodePlan>,
    /// Phases in order, a ramp as one entry a level.
    pub phases: Vec<PhasePlan>,
    /// Gates.
    pub thresholds: Vec<Threshold>,
    /// Guards.
    pub aborts: Vec<Abort>,
    /// Hosts and networks outside this machine that may be loaded.
    pub allow_targets: Vec<String>,
    /// What all phases together may take at most.
    pub max_duration: Duration,
    /// How nodes are worked on together.
    pub fleet: FleetPlan,
}

/// How nodes are worked on together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetPlan {
    /// Nodes that are brought in at once.
    pub max_concurrency: usize,
    /// Nodes that may be missing or lost; with one more, the run stops. `None`:
    /// none before the start, and all but one after it.
    pub max_errors: Option<usize>,
}

impl Plan {
    /// The same, as one node carries it out: loads of other nodes have no
    /// workers, and keep their place.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Self {
        let mut plan = self.clone();
        for load in plan.phases.iter_mut().flat_map(|phase| &mut phase.loads) {
            let elsewhere = load.nodes.as_deref().is_some_and(|pattern| {
                regex_lite::Regex::new(&format!("^(?:{pattern})$"))
                    .is_ok_and(|pattern| !pattern.is_match(node))
            });
            if elsewhere {
                load.workers = Workers::Count(0);
            }
        }
        plan
    }

    /// The same, for a machine that carries nothing.
    #[must_use]
    pub fn without_load(&self) -> Self {
        let mut plan = self.clone();
        for load in plan.phases.iter_mut().flat_map(|phase| &mut phase.loads) {
            load.workers = Workers::Count(0);
        }
        plan
    }

    /// What all nodes must have in common: everything but what the loads do, and
    /// the kinds of each phase's loads.
    pub(super) fn in_common(&self) -> (Self, Vec<Vec<&'static str>>) {
        let kinds = |phase: &PhasePlan| phase.loads.iter().map(|load| load.work.kind()).collect();
        let kinds = self.phases.iter().map(kinds).collect();
        let mut plan = self.clone();
        for phase in &mut plan.phases {
            phase.loads.clear();
        }
        (plan, kinds)
    }

    /// Length of all phases together.
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }
}

/// Where samples come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Base address of a Prometheus; without it, the embedded sampler.
    pub prometheus: Option<String>,
    /// Sampling interval of the embedded sampler.
    pub interval: Duration,
    /// The `job` label to keep to.
    pub job: Option<String>,
    /// Label matchers that every query carries, each as `name="value"`
    /// ([`crate::model::matcher::normalize_matcher`]).
    pub matchers: Vec<String>,
    /// User for basic authentication.
    pub username: Option<String>,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// File with a bearer token.
    pub token_file: Option<PathBuf>,
    /// PEM file with authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate that the server asks for.
    pub cert_file: Option<PathBuf>,
    /// PEM file with its key.
    pub key_file: Option<PathBuf>,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    /// Parameters of each query beside the API's own.
    pub parameters: Vec<(String, String)>,
    /// Time for one request.
    pub timeout: Duration,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            prometheus: None,
            interval: Duration::from_secs(1),
            job: None,
            matchers: Vec::new(),
            username: None,
            password_file: None,
            token_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            headers: Vec::new(),
            parameters: Vec::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// A machine of the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct NodePlan {
    /// Its name in the report.
    pub name: String,
    /// Its `instance` label in Prometheus.
    pub instance: Option<String>,
    /// How it is loaded; `None`: it is this machine, or only watched.
    pub way: Option<Way>,
    /// `key=value` texts for the loads of this node alone.
    pub set: Vec<String>,
}

/// How a command is run on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// `user@host`, as ssh takes it.
    Ssh(String),
    /// A pod, with its namespace and container where they are given.
    Kubectl {
        /// `None` for that of kubectl's own configuration.
        namespace: Option<String>,
        /// The pod.
        pod: String,
        /// `None` for the pod's default one.
        container: Option<String>,
    },
    /// A container.
    Docker(String),
    /// A node of a Slurm cluster.
    Srun(String),
    /// A command that runs what follows it there.
    Command(Vec<String>),
}

impl Way {
    /// What people call it.
    pub fn in_words(&self) -> String {
        match self {
            Self::Ssh(target) => format!("ssh {target}"),
            Self::Docker(container) => format!("docker exec {container}"),
            Self::Srun(node) => format!("srun on {node}"),
            Self::Kubectl { pod, .. } => format!("kubectl exec {pod}"),
            Self::Command(prefix) => prefix.join(" "),
        }
    }
}

/// One phase, or one level of a ramp.
#[derive(Debug, Clone, PartialEq)]
pub struct PhasePlan {
    /// The scenario's name for it.
    pub name: String,
    /// Set for a level of a ramp.
    pub level: Option<Level>,
    /// Set for a step of an intervention.
    pub probe: Option<Probe>,
    /// How long it takes.
    pub duration: Duration,
    /// The load; empty for a baseline.
    pub loads: Vec<LoadPlan>,
}

/// One `[[phase.load]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// The nodes that carry it: a pattern over whole names; `None` for all.
    pub nodes: Option<String>,
    /// How many worker processes.
    pub workers: Workers,
    /// Cores to pin them to in turn; empty for none.
    pub cores: Vec<usize>,
    /// Their nice value; `None` where the scenario does not choose one.
    pub nice: Option<i32>,
    /// Their scheduling class.
    pub scheduler: Scheduler,
    /// Their I/O class; `None` for what follows from the nice value.
    pub io_class: Option<IoClass>,
    /// The cgroup they are put into; `None` for the program's own.
    pub cgroup: Option<GroupPlan>,
    /// What they do.
    pub work: Work,
}

/// Limits of a cgroup that the workers of one load share.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupPlan {
    /// Cores' worth of CPU time.
    pub cpu: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Tasks.
    pub processes: Option<u64>,
    /// Bytes per second read from the disk of the load's folder.
    pub read_bytes: Option<u64>,
    /// Bytes per second written to the disk of the load's folder.
    pub write_bytes: Option<u64>,
}

/// A scheduling class of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheduler {
    /// The ordinary one.
    #[default]
    Other,
    /// Ordinary, never favoured for having slept.
    Batch,
    /// Runs when nothing else wants to.
    Idle,
    /// Real time, until it gives the core up.
    Fifo,
    /// Real time, in turns.
    RoundRobin,
}

impl Scheduler {
    /// All, in the order of the manual.
    pub const ALL: [Self; 5] = [Self::Other, Self::Batch, Self::Idle, Self::Fifo, Self::RoundRobin];

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Batch => "batch",
            Self::Idle => "idle",
            Self::Fifo => "fifo",
            Self::RoundRobin => "rr",
        }
    }

    /// Whether it keeps ordinary tasks off the core.
    pub const fn is_real_time(self) -> bool {
        matches!(self, Self::Fifo | Self::RoundRobin)
    }
}

/// An I/O scheduling class of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// Before all others.
    RealTime,
    /// In turns with the others.
    BestEffort,
    /// When nobody else wants the disk.
    Idle,
}

impl IoClass {
    /// All, in the kernel's order.
    pub const ALL: [Self; 3] = [Self::RealTime, Self::BestEffort, Self::Idle];

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RealTime => "realtime",
            Self::BestEffort => "best-effort",
            Self::Idle => "idle",
        }
    }
}

/// A number of workers, possibly by the number of cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Workers {
    /// This many.
    Count(u32),
    /// This many for each core that the process may use; at least one.
    PerCore(f64),
}

impl Workers {
    /// Read `per-core` or `2x-cores`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "per-core" {
            return Some(Self::PerCore(1.0));
        }
        if let Some(factor) = text.strip_suffix("x-cores") {
            let factor: f64 = factor.parse().ok()?;
            return (factor > 0.0 && factor <= 1024.0).then_some(Self::PerCore(factor));
        }
        let count: u32 = text.parse().ok()?;
        (1..=65_536).contains(&count).then_some(Self::Count(count))
    }

    /// The number on a machine with this many usable cores.
    pub fn resolve(self, cores: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a factor up to 1024 times a number of cores, and not below 1"
            )]
            Self::PerCore(factor) => (f64::from(cores) * factor).round().max(1.0) as u32,
        }
    }
}

/// A guard.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    /// Catalogue name.
    pub signal: String,
    /// Only this device; otherwise any.
    pub device: Option<String>,
    /// Stops above.
    pub max: Option<f64>,
    /// Stops below.
    pub min: Option<f64>,
    /// How long it must hold.
    pub hold: Duration,
}
