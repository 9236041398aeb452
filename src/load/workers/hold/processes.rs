//! Processes that sleep.

#![expect(unsafe_code, reason = "processes are forked by hand")]

use nix::{
    sys::{prctl, signal::Signal},
    unistd::{ForkResult, fork, getpid, getppid, pause},
};

use super::{Failure, Stage, Take};
use crate::load::spawner::exit;

/// They go with the worker: the kernel kills them when it is gone.
pub(super) struct Processes;

impl Take for Processes {
    fn one(&mut self) -> Result<(), Failure> {
        let worker = getpid();
        // SAFETY: a worker of this kind has one thread, and the child only sleeps.
        match unsafe { fork() } {
            Ok(ForkResult::Parent { .. }) => Ok(()),
            Ok(ForkResult::Child) => {
                let _ = prctl::set_pdeathsig(Signal::SIGKILL);
                if getppid() != worker {
                    exit(0);
                }
                loop {
                    pause();
                }
            }
            Err(errno) => Err(Failure { stage: Stage::Fork, errno: errno as i32 }),
        }
    }
}
