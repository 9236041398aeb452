//! The thread that samples this machine at fixed distances.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, bounded, select, unbounded};

use crate::{model::series::Snapshot, telemetry::proc::Sampler};

/// The running sampler; ends when dropped.
#[derive(Debug)]
pub(super) struct Sampling {
    /// Snapshots as they are taken.
    pub(super) snapshots: Receiver<Snapshot>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampling {
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(mut sampler: Sampler, interval: Duration) -> std::io::Result<Self> {
        let (sender, snapshots) = unbounded();
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new().spawn(move || {
            // A sampler that waits for a core behind its own load would be
            // late when it matters.
            go_first();
            let mut due = Instant::now();
            loop {
                if sender.send(sampler.sample()).is_err() {
                    return;
                }
                due += interval;
                let now = Instant::now();
                if due < now {
                    // Late by more than one: skip those, keep the grid.
                    let missed = (now - due).as_nanos() / interval.as_nanos().max(1) + 1;
                    due += interval * u32::try_from(missed).unwrap_or(u32::MAX);
                }
                select! {
                    recv(stopped) -> _ => return,
                    default(due.saturating_duration_since(now)) => (),
                }
            }
        })?;
        Ok(Self { snapshots, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Run this thread before any ordinary one: it works for a millisecond at a
/// time. Needs a privilege; without it, the sampler waits like anyone.
#[expect(unsafe_code, reason = "nix has no sched_setscheduler")]
fn go_first() {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: reads the struct, which lives here; sets this thread's scheduling.
    let is_first = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        ) == 0
    };
    if !is_first {
        prefer();
    }
}

/// Prefer this thread, and those it makes later, to ordinary ones: what leads
/// the run must come to its turn among hundreds of workers. Needs a privilege.
#[expect(unsafe_code, reason = "nix has no setpriority")]
pub(super) fn prefer() {
    let is_preferred =
        // SAFETY: sets the nice value of this thread; touches no memory of ours.
        [-10, -5].iter().any(|nice| unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, *nice) } == 0);
    if !is_preferred {
        ask_for_short_turns();
    }
}

/// Ask for turns of a tenth of a millisecond. From Linux 6.12 on, a thread with shorter turns
/// comes to them earlier and gets no more time by it, which needs no privilege; before, the
/// kernel takes no notice.
#[expect(unsafe_code, reason = "no library of ours has sched_setattr")]
fn ask_for_short_turns() {
    /// The first 48 bytes of `struct sched_attr`, its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let size = u32::try_from(size_of::<Attributes>()).unwrap_or(0);
    // SAFETY: reads the nice value of this thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = Attributes { size, nice, runtime: 100_000, ..Attributes::default() };
    // SAFETY: reads the struct, which lives here; sets this thread's scheduling.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}
