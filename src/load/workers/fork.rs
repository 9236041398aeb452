//! `fork`: makes a process that ends at once, and buries it. An operation is
//! one process, a latency its whole life.

#![expect(unsafe_code, reason = "processes are forked by hand")]

use std::sync::atomic::Ordering::Relaxed;

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike as _,
        wait::waitpid,
    },
    unistd::{ForkResult, fork},
};

use super::{Context, Failure, due};
use crate::load::{pacer::Schedule, shared::Stage, spawner::exit};

pub(in crate::load) fn run(rate: Option<f64>, context: &Context<'_>) -> Failure {
    let mut schedule = rate.map(Schedule::new);
    let start = context.begin();
    loop {
        let since = due(&mut schedule, start);
        // SAFETY: a worker of this kind has one thread, and the child only ends.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => exit(0),
            Ok(ForkResult::Parent { child }) => {
                let _ = waitpid(child, None);
                // What the children used is the load's too.
                context.slot.children_ns.store(children_ns(), Relaxed);
                context.done(1, 0, since.elapsed());
            }
            Err(errno) => {
                context.failed(Failure { stage: Stage::Fork, errno: errno as i32 });
            }
        }
    }
}

/// CPU time of all children that have ended.
fn children_ns() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| {
        let ns = usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds();
        u64::try_from(ns).unwrap_or(0)
    })
}
