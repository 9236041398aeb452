//! Where and how a worker runs: its core, its nice value, its scheduling and
//! I/O class.

#![expect(unsafe_code, reason = "nix has no call for these")]

use super::{
    groups::Made,
    shared::Stage,
    workers::{Failure, failure},
};
use crate::scenario::plan::{IoClass, LoadPlan, Scheduler, Work};

/// The nice value that the workers of a load have where the scenario chooses none: that of
/// the program. Workers of the CPU get the next lower priority where the program could not
/// raise its own (`raised`), so that what samples and leads the run stays ahead of hundreds
/// of them. They take the same idle time by it, and four fifths of what an equal of another
/// program takes.
pub(super) fn usual_nice(load: &LoadPlan, (nice, raised): (i32, bool)) -> i32 {
    const LOWEST: i32 = 19;
    let is_ordinary = load.nice.is_none() && load.scheduler == Scheduler::Other;
    let gives_way = !raised && is_ordinary && matches!(load.work, Work::Cpu { .. });
    if gives_way { (nice + 1).min(LOWEST) } else { nice }
}

/// Settle the calling process, which has one thread, as its load wants it.
pub(super) fn settle(load: &LoadPlan, group: Option<&Made>, number: u32) -> Result<(), Failure> {
    if let Some(group) = group {
        group.enter().map_err(|error| failure(Stage::Group, &error))?;
    }
    if let Some(nice) = load.nice.filter(|nice| *nice != 0) {
        // SAFETY: sets the nice value of this process. Without the
        // privilege it stays, which the achieved load shows.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    }
    if let Some(class) = load.io_class {
        prefer_io(class)?;
    }
    pin(&load.cores, number)?;
    // Last, as from then on nobody else may get this core.
    schedule(load.scheduler)
}

/// Pin the calling process to the core whose turn it is.
fn pin(cores: &[usize], number: u32) -> Result<(), Failure> {
    if cores.is_empty() {
        return Ok(());
    }
    let Some(id) = cores.get(number as usize % cores.len()).copied() else { return Ok(()) };
    let known = core_affinity::get_core_ids().unwrap_or_default();
    // `core_affinity` aborts on an id beyond its mask, so only known ones.
    let pinned =
        known.into_iter().find(|core| core.id == id).is_some_and(core_affinity::set_for_current);
    if pinned { Ok(()) } else { Err(Failure { stage: Stage::Pin, errno: libc::EINVAL }) }
}

fn schedule(scheduler: Scheduler) -> Result<(), Failure> {
    let (policy, priority) = match scheduler {
        Scheduler::Other => return Ok(()),
        Scheduler::Batch => (libc::SCHED_BATCH, 0),
        Scheduler::Idle => (libc::SCHED_IDLE, 0),
        // The lowest priority: kernel threads and our own sampler stay ahead.
        Scheduler::Fifo => (libc::SCHED_FIFO, 1),
        Scheduler::RoundRobin => (libc::SCHED_RR, 1),
    };
    let parameter = libc::sched_param { sched_priority: priority };
    // SAFETY: reads one parameter from a live local variable.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) } == 0 {
        Ok(())
    } else {
        Err(last(Stage::Schedule))
    }
}

/// ioprio_set(2), which no library of ours has.
fn prefer_io(class: IoClass) -> Result<(), Failure> {
    /// `IOPRIO_WHO_PROCESS`; 0 is the caller.
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: libc::c_int = 13;
    // 4 is the middle of the eight levels within a class; idle has none.
    let (class, level) = match class {
        IoClass::RealTime => (1, 4),
        IoClass::BestEffort => (2, 4),
        IoClass::Idle => (3, 0),
    };
    // SAFETY: takes three integers and touches no memory of ours.
    let set = unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, (class << CLASS_SHIFT) | level)
    };
    if set == 0 { Ok(()) } else { Err(last(Stage::Schedule)) }
}

fn last(stage: Stage) -> Failure {
    failure(stage, &std::io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(keys: &str) -> LoadPlan {
        let text = format!(
            "name = \"t\"\n[[phase]]\nname = \"load\"\nduration = \"1s\"\n[[phase.load]]\n{keys}\n"
        );
        let plan = crate::scenario::parse("t.toml", &text, &[]).unwrap();
        plan.phases[0].loads[0].clone()
    }

    #[test]
    fn only_cpu_workers_that_nobody_placed_give_way_to_a_program_without_privilege() {
        let cpu = load("kind = \"cpu\"");
        assert_eq!(usual_nice(&cpu, (0, false)), 1);
        assert_eq!(usual_nice(&cpu, (0, true)), 0);
        assert_eq!(usual_nice(&cpu, (19, false)), 19);
        for keys in
            ["kind = \"cpu\"\nnice = 0", "kind = \"cpu\"\nscheduler = \"batch\"", "kind = \"sync\""]
        {
            assert_eq!(usual_nice(&load(keys), (0, false)), 0, "{keys}");
        }
    }
}
