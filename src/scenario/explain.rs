//! What a plan will do, in words, and its worst case before it starts.

mod loads;

pub use loads::load;

use super::plan::{Amount, CpuMethod, Held, Plan, Work};
use crate::model::units::{show_bytes, show_duration, three_digits};

/// What a machine offers, as far as a plan's worst case needs it.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: u32,
    /// Memory available to this process, in bytes.
    pub available: u64,
}

/// The most that a plan takes at any one time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WorstCase {
    /// Worker processes.
    pub workers: u32,
    /// Cores' worth of CPU that is asked for.
    pub cpu_cores: f64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of scratch files.
    pub disk: u64,
    /// Descriptors that are kept open.
    pub descriptors: u64,
    /// Processes beside the workers.
    pub processes: u64,
    /// Connections that are kept.
    pub sockets: u64,
}

impl Held {
    /// Kernel memory that one costs at most, measured on Linux 6.18: a `struct
    /// file`; a task with its stack and page tables; two sockets with theirs.
    const fn bytes(self) -> u64 {
        match self {
            Self::Descriptors => 512,
            Self::Processes => 96 << 10,
            Self::Sockets => 8 << 10,
        }
    }
}

/// What a file takes at least.
pub const BLOCK_BYTES: u64 = 4096;

/// The worst case over all phases.
pub fn worst_case(plan: &Plan, machine: Machine) -> WorstCase {
    let mut worst = WorstCase::default();
    for phase in &plan.phases {
        let mut sum = WorstCase::default();
        for load in &phase.loads {
            let workers = load.workers.resolve(machine.cores);
            if workers == 0 {
                continue;
            }
            sum.workers += workers;
            match &load.work {
                Work::Cpu { load, method, .. } => {
                    sum.cpu_cores += f64::from(workers) * load;
                    if matches!(method, CpuMethod::MemoryLatency | CpuMethod::Mixed) {
                        sum.memory += CpuMethod::CHAIN_BYTES * u64::from(workers);
                    }
                }
                Work::Memory(work) => {
                    sum.memory = sum.memory.saturating_add(bytes(work.size, machine.available));
                }
                Work::Sync { .. } | Work::Switch { .. } | Work::Fork { .. } => (),
                Work::Http(work) => {
                    sum.sockets += u64::from(work.connections) * u64::from(workers);
                }
                Work::Net(work) => {
                    sum.memory = sum.memory.saturating_add(work.message * u64::from(workers) * 2);
                }
                Work::Files(work) => {
                    let file = work.file_size.max(BLOCK_BYTES);
                    let files = file.saturating_mul(work.count).saturating_mul(workers.into());
                    sum.disk = sum.disk.saturating_add(files);
                }
                Work::Hold(work) => {
                    let all = work.count.saturating_mul(u64::from(workers));
                    let held = match work.what {
                        Held::Descriptors => &mut sum.descriptors,
                        Held::Processes => &mut sum.processes,
                        Held::Sockets => &mut sum.sockets,
                    };
                    *held = held.saturating_add(all);
                    sum.memory = sum.memory.saturating_add(all.saturating_mul(work.what.bytes()));
                }
                Work::Disk(work) => {
                    let files = match &work.file {
                        Some(_) => 0,
                        None => work.file_size.saturating_mul(u64::from(workers)),
                    };
                    sum.disk = sum.disk.saturating_add(files);
                    // A buffer, and for buffered access the page cache, which
                    // the kernel gives up when it must.
                    sum.memory = sum.memory.saturating_add(
                        work.block_size * u64::from(workers) * u64::from(work.depth),
                    );
                }
            }
        }
        worst.workers = worst.workers.max(sum.workers);
        worst.cpu_cores = worst.cpu_cores.max(sum.cpu_cores);
        worst.memory = worst.memory.max(sum.memory);
        worst.disk = worst.disk.max(sum.disk);
        worst.descriptors = worst.descriptors.max(sum.descriptors);
        worst.processes = worst.processes.max(sum.processes);
        worst.sockets = worst.sockets.max(sum.sockets);
    }
    worst
}

/// Bytes of an amount when `available` bytes are available.
pub fn bytes(amount: Amount, available: u64) -> u64 {
    match amount {
        Amount::Bytes(bytes) => bytes,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of it"
        )]
        Amount::Available(share) => (available as f64 * share) as u64,
    }
}

/// The whole plan, for `scenario explain` and `--dry-run`.
pub fn plan(plan: &Plan, machine: Machine) -> String {
    let mut lines = vec![format!("{}: {}", plan.name, plan.description)];
    lines.push(format!("takes {}", show_duration(plan.duration())));
    lines.push(match &plan.telemetry.prometheus {
        Some(url) => format!("samples from Prometheus at {url}"),
        None => format!(
            "samples by the embedded sampler, every {}",
            show_duration(plan.telemetry.interval)
        ),
    });
    for node in &plan.nodes {
        let instance = match (&node.instance, &plan.telemetry.prometheus) {
            (Some(instance), _) => format!(" ({instance})"),
            (None, Some(_)) => " (found by its name)".to_owned(),
            (None, None) => String::new(),
        };
        let way = node
            .way
            .as_ref()
            .map_or_else(String::new, |way| format!(", loaded by {}", way.in_words()));
        lines.push(format!("node {}{instance}{way}", node.name));
    }
    for phase in &plan.phases {
        let level = phase
            .level
            .as_ref()
            .map_or_else(String::new, |level| format!(" @ {} {}", level.value, level.of));
        lines.push(format!("phase {}{level}, {}", phase.name, show_duration(phase.duration)));
        for one in &phase.loads {
            lines.push(format!("  {}", load(one, Some(machine))));
        }
        if phase.loads.is_empty() {
            lines.push("  no load".to_owned());
        }
    }
    for threshold in &plan.thresholds {
        let limit = limit(threshold.max, threshold.min);
        lines.push(format!(
            "fails (exit 3) unless {} of {} stays {limit} in phase {} on node {}",
            threshold.stat.name(),
            threshold.signal,
            threshold.phase,
            threshold.node
        ));
    }
    for abort in &plan.aborts {
        let limit = limit(abort.max, abort.min);
        lines.push(format!(
            "stops (exit 4) unless {} stays {limit}, for {}",
            abort.signal,
            show_duration(abort.hold)
        ));
    }
    lines.extend(targets_line(plan));
    lines.push(worst_case_line(plan, machine));
    lines.join("\n")
}

/// `loads over the network: 10.0.0.12:5201`, if there is any.
pub fn targets_line(plan: &Plan) -> Option<String> {
    let mut targets: Vec<String> = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.loads)
        .filter_map(|load| load.work.target().map(ToString::to_string))
        .collect();
    targets.sort();
    targets.dedup();
    (!targets.is_empty()).then(|| format!("loads over the network: {}", targets.join(", ")))
}

/// `worst case: 2 workers, 2 cores asked of 2, 0 B memory of 22 GiB available, 0 B scratch`.
pub fn worst_case_line(plan: &Plan, machine: Machine) -> String {
    let worst = worst_case(plan, machine);
    let mut more = String::new();
    for (count, what) in [
        (worst.descriptors, "descriptors"),
        (worst.processes, "processes"),
        (worst.sockets, "connections"),
    ] {
        if count > 0 {
            more.push_str(&format!(", {count} {what}"));
        }
    }
    format!(
        "worst case: {} workers, {} of {} cores, {} of {} available memory, {} of scratch files{more}",
        worst.workers,
        three_digits(worst.cpu_cores),
        machine.cores,
        show_bytes(worst.memory as f64),
        show_bytes(machine.available as f64),
        show_bytes(worst.disk as f64),
    )
}

fn limit(max: Option<f64>, min: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at or above {min}"),
        (None, Some(max)) => format!("at or below {max}"),
        (None, None) => "anywhere".to_owned(),
    }
}
