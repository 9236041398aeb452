//! Workers for the classic `stress`: forked one by one by the program itself,
//! which has one thread, and told apart by nothing but their process number.
//! They do the same work as a scenario's, and die with the program too.

#![expect(unsafe_code, reason = "processes are forked by hand")]

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{
            SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction,
            sigprocmask,
        },
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getppid},
};

use super::{
    shared::Shared,
    spawner::exit,
    workers::{self, Context, Failure},
};
use crate::scenario::plan::CpuMethod;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hog {
    /// Computes square roots.
    Cpu,
    /// Calls sync(2).
    Io,
    /// Takes, touches, checks and frees memory.
    Vm {
        /// Bytes of one pass.
        bytes: u64,
        /// Bytes between touched bytes.
        stride: u64,
        /// Rest with the memory taken: none, for ever, or so long.
        hang: Hang,
        /// Take once and touch again, instead of freeing.
        keep: bool,
    },
    /// Writes files that have no name.
    Hdd {
        /// Bytes of one file.
        bytes: u64,
    },
    /// Ends well at once.
    Nothing,
}

/// How long a vm worker rests with its memory taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hang {
    /// Not at all.
    No,
    /// For ever.
    Forever,
    /// For so many seconds.
    Seconds(u64),
}

/// Something a worker has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
    /// What it does now.
    Debug(String),
    /// Why it cannot go on: what failed, and the error.
    Failure(&'static str, i32),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a code.
    Exited(i32),
    /// By a signal.
    Killed(Signal),
}

/// Forks workers and waits for them.
#[derive(Debug)]
pub struct Hogs {
    shared: Shared,
    children: SignalFd,
    forked: usize,
}

impl Hogs {
    /// Room for `most` workers. The caller must have one thread.
    ///
    /// # Errors
    /// When the kernel refuses memory or a descriptor.
    pub fn new(most: usize) -> nix::Result<Self> {
        // Inherited as ignored, the kernel would bury children unseen.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let shared = Shared::new(most.max(1))?;
        // Nobody waits for the others here; each begins when it is ready.
        shared.start();
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
        let children = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { shared, children, forked: 0 })
    }

    /// Fork a worker that rests for `backoff` and then works. `say` speaks for
    /// it, in its own process.
    ///
    /// # Errors
    /// When the kernel refuses a process.
    pub fn fork(&mut self, hog: Hog, backoff: Duration, say: &dyn Fn(&Saying)) -> nix::Result<Pid> {
        let slot = self.forked;
        // SAFETY: the program has one thread, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                self.forked += 1;
                Ok(child)
            }
            ForkResult::Child => self.work(hog, backoff, slot, say),
        }
    }

    /// A worker's whole life.
    fn work(&self, hog: Hog, backoff: Duration, slot: usize, say: &dyn Fn(&Saying)) -> ! {
        let parent = getppid();
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        if getppid() != parent {
            exit(0);
        }
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        default_faults();
        std::thread::sleep(backoff);
        if hog == Hog::Nothing {
            exit(0);
        }
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        let Some(slot) = self.shared.slot(slot) else { exit(1) };
        let context = Context {
            shared: &self.shared,
            slot,
            number: 0,
            workers: 1,
            duration: Duration::ZERO,
            index: 0,
            owner: 0,
            bytes: 0,
            reserve: 0,
            starts_seen: 0,
        };
        let Failure { stage, errno } = match hog {
            Hog::Cpu => workers::cpu::run(CpuMethod::Sqrt, 1.0, None, &context),
            Hog::Io => workers::sync::run(None, &context),
            Hog::Vm { bytes, stride, hang, keep } => {
                workers::memory::classic(bytes, stride, hang, keep, say)
            }
            Hog::Hdd { bytes } => workers::disk::classic(bytes, say),
            Hog::Nothing => exit(0),
        };
        say(&Saying::Failure(stage.words(), errno));
        exit(1)
    }

    /// The next worker that ended; `None` when none did before `deadline`, or
    /// there is none any more (then `deadline` plays no part).
    pub fn wait(&self, deadline: Option<Instant>) -> Waited {
        loop {
            // Emptied first: a child that ends after this wakes the poll.
            while let Ok(Some(_)) = self.children.read_signal() {}
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    return Waited::Ended(pid, Ending::Exited(code));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    return Waited::Ended(pid, Ending::Killed(signal));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => (),
                Ok(_) => continue,
                Err(_) => return Waited::NobodyLeft,
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Waited::TimeIsOver;
            }
            // Rounded up, so that the time is over when the poll ends.
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, timeout);
        }
    }
}

/// Rust's runtime catches these two to report a stack overflow, and lets one
/// pass that someone sent.
fn default_faults() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for fault in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { sigaction(fault, &default) };
    }
}

/// What waiting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// A worker ended.
    Ended(Pid, Ending),
    /// The deadline passed.
    TimeIsOver,
    /// There is no worker any more.
    NobodyLeft,
}

/// End a worker, stopped or not; only one that is stuck in the kernel stays.
pub fn end(worker: Pid) {
    let _ = kill(worker, Signal::SIGKILL);
}
