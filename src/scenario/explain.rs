//! What a plan will do, in words, and its worst case before it starts.

use super::plan::{Amount, CpuMethod, Fsync, LoadPlan, Plan, Work, Workers};
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
}

/// The worst case over all phases.
pub fn worst_case(plan: &Plan, machine: Machine) -> WorstCase {
    let mut worst = WorstCase::default();
    for phase in &plan.phases {
        let mut sum = WorstCase::default();
        for load in &phase.loads {
            let workers = load.workers.resolve(machine.cores);
            sum.workers += workers;
            match &load.work {
                Work::Cpu { load, method } => {
                    sum.cpu_cores += f64::from(workers) * load;
                    if matches!(method, CpuMethod::MemoryLatency | CpuMethod::Mixed) {
                        sum.memory += CpuMethod::CHAIN_BYTES * u64::from(workers);
                    }
                }
                Work::Memory(work) => {
                    sum.memory = sum.memory.saturating_add(bytes(work.size, machine.available));
                }
                Work::Sync { .. } | Work::Switch { .. } | Work::Fork { .. } => (),
                Work::Disk(work) => {
                    let files = work.file_size.saturating_mul(u64::from(workers));
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

/// One load in words: `4 cpu workers (sqrt) at 100 % of a core`.
pub fn load(load: &LoadPlan, machine: Option<Machine>) -> String {
    let workers = match (load.workers, machine) {
        (workers, Some(machine)) => workers.resolve(machine.cores).to_string(),
        (Workers::Count(count), None) => count.to_string(),
        (Workers::PerCore(factor), None) => format!("{} per core", three_digits(factor)),
    };
    let s = if workers == "1" { "" } else { "s" };
    let rate = |rate: Option<f64>| {
        rate.map_or_else(
            || "as fast as possible".to_owned(),
            |rate| format!("{}/s each", three_digits(rate)),
        )
    };
    let what = match &load.work {
        Work::Cpu { method, load } => {
            format!(
                "cpu worker{s} ({}) at {} % of a core each",
                method.name(),
                three_digits(load * 100.0)
            )
        }
        Work::Memory(work) => {
            let size = match work.size {
                Amount::Bytes(bytes) => show_bytes(bytes as f64),
                Amount::Available(share) => {
                    format!("{} % of available memory", three_digits(share * 100.0))
                }
            };
            let keep = if work.keep { "kept" } else { "freed and taken again" };
            format!("memory worker{s}, together {size}, {keep}")
        }
        Work::Sync { rate: limit } | Work::Switch { rate: limit } | Work::Fork { rate: limit } => {
            format!("{} worker{s}, {}", load.work.kind(), rate(*limit))
        }
        Work::Disk(work) => {
            let direct = if work.direct { "direct" } else { "buffered" };
            let access = if work.random { "random" } else { "sequential" };
            let operation = if work.write { "write" } else { "read" };
            let fsync = match work.fsync {
                Fsync::Never => String::new(),
                Fsync::End => ", fsync after each pass".to_owned(),
                Fsync::Every(n) => format!(", fsync every {n} writes"),
            };
            let depth = match work.depth {
                1 => String::new(),
                depth => format!(", {depth} in flight each"),
            };
            format!(
                "disk worker{s}: {direct} {access} {operation} of {} blocks in a {} file each, {}{depth}{fsync}",
                show_bytes(work.block_size as f64),
                show_bytes(work.file_size as f64),
                rate(work.rate),
            )
        }
    };
    let cores = if load.cores.is_empty() {
        String::new()
    } else {
        let list: Vec<String> = load.cores.iter().map(ToString::to_string).collect();
        format!(", pinned to core {}", list.join(", "))
    };
    let nice = if load.nice == 0 { String::new() } else { format!(", nice {}", load.nice) };
    format!("{workers} {what}{cores}{nice}")
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
        let instance = node.instance.as_deref().unwrap_or("found by its name");
        lines.push(format!("node {} ({instance})", node.name));
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
    lines.push(worst_case_line(plan, machine));
    lines.join("\n")
}

/// `worst case: 2 workers, 2 cores asked of 2, 0 B memory of 22 GiB available, 0 B scratch`.
pub fn worst_case_line(plan: &Plan, machine: Machine) -> String {
    let worst = worst_case(plan, machine);
    format!(
        "worst case: {} workers, {} of {} cores, {} of {} available memory, {} of scratch files",
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
