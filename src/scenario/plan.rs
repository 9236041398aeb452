//! The validated plan: no `Option` that means a default, no text that means a
//! number.

use std::{path::PathBuf, time::Duration};

use crate::model::run::{Level, Threshold};

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
}

impl Plan {
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
    /// User for basic authentication.
    pub username: Option<String>,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// File with a bearer token.
    pub token_file: Option<PathBuf>,
    /// PEM file with authorities.
    pub ca_file: Option<PathBuf>,
    /// Time for one request.
    pub timeout: Duration,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            prometheus: None,
            interval: Duration::from_secs(1),
            job: None,
            username: None,
            password_file: None,
            token_file: None,
            ca_file: None,
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
}

/// One phase, or one level of a ramp.
#[derive(Debug, Clone, PartialEq)]
pub struct PhasePlan {
    /// The scenario's name for it.
    pub name: String,
    /// Set for a level of a ramp.
    pub level: Option<Level>,
    /// How long it takes.
    pub duration: Duration,
    /// The load; empty for a baseline.
    pub loads: Vec<LoadPlan>,
}

/// One `[[phase.load]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// How many worker processes.
    pub workers: Workers,
    /// Cores to pin them to in turn; empty for none.
    pub cores: Vec<usize>,
    /// Their nice value.
    pub nice: i32,
    /// What they do.
    pub work: Work,
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

/// What the workers of a load do.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Compute.
    Cpu {
        /// What is computed.
        method: CpuMethod,
        /// Share of a core for each worker, 0 to 1.
        load: f64,
    },
    /// Take and touch memory.
    Memory(MemoryWork),
    /// Flush all file systems.
    Sync {
        /// Calls per second for each worker.
        rate: Option<f64>,
    },
    /// Write or read a scratch file.
    Disk(DiskWork),
    /// Hand a byte back and forth between two threads.
    Switch {
        /// Round trips per second for each worker.
        rate: Option<f64>,
    },
    /// Make processes that end at once.
    Fork {
        /// Processes per second for each worker.
        rate: Option<f64>,
    },
}

impl Work {
    /// The value of `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Memory(_) => "memory",
            Self::Sync { .. } => "sync",
            Self::Disk(_) => "disk",
            Self::Switch { .. } => "switch",
            Self::Fork { .. } => "fork",
        }
    }
}

/// What a CPU worker computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuMethod {
    /// Square roots.
    Sqrt,
    /// Integer multiplication, shifts and rotations.
    Integer,
    /// Floating-point multiplication and addition.
    Float,
    /// Products of small matrices.
    Matrix,
    /// Multiply-adds in the widest registers that the CPU has.
    Vector,
    /// Hashing of a buffer in the first-level cache.
    Hash,
    /// Branches that no predictor can foresee.
    Branch,
    /// Loads that each need the one before, all over 64 MiB.
    MemoryLatency,
    /// All of the others in turn.
    Mixed,
}

impl CpuMethod {
    /// All but [`CpuMethod::Mixed`].
    pub const SINGLE: [Self; 8] = [
        Self::Sqrt,
        Self::Integer,
        Self::Float,
        Self::Matrix,
        Self::Vector,
        Self::Hash,
        Self::Branch,
        Self::MemoryLatency,
    ];

    /// Bytes that a worker walks over for [`CpuMethod::MemoryLatency`]: more
    /// than most last-level caches hold.
    pub const CHAIN_BYTES: u64 = 64 << 20;

    /// Read the key's value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::SINGLE.into_iter().chain([Self::Mixed]).find(|method| method.name() == text)
    }

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqrt => "sqrt",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Matrix => "matrix",
            Self::Vector => "vector",
            Self::Hash => "hash",
            Self::Branch => "branch",
            Self::MemoryLatency => "memory-latency",
            Self::Mixed => "mixed",
        }
    }
}

/// How much memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Bytes for all workers together.
    Bytes(u64),
    /// A share, 0 to 1, of what is available when the phase begins.
    Available(f64),
}

/// The work of a memory worker.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryWork {
    /// For all workers together.
    pub size: Amount,
    /// Bytes between touched bytes.
    pub stride: u64,
    /// Take once and keep, or take again for each pass.
    pub keep: bool,
    /// Rest after each pass.
    pub pause: Duration,
}

/// The work of a disk worker.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskWork {
    /// Write, or else read.
    pub write: bool,
    /// Random, or else sequential.
    pub random: bool,
    /// Bytes of one operation.
    pub block_size: u64,
    /// Bytes of each worker's file, a multiple of the block size.
    pub file_size: u64,
    /// Bypass the page cache.
    pub direct: bool,
    /// When to flush.
    pub fsync: Fsync,
    /// Where the file lives; `None` is the current folder.
    pub directory: Option<PathBuf>,
    /// Operations per second for each worker.
    pub rate: Option<f64>,
    /// Operations in flight for each worker.
    pub depth: u32,
}

/// When written data is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Never; the kernel decides.
    Never,
    /// After each pass over the file.
    End,
    /// After this many writes.
    Every(u64),
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
