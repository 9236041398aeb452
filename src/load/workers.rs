//! What a worker process does once it exists. One file a kind.

mod area;
pub(super) mod cpu;
pub(super) mod disk;
mod files;
mod fork;
mod hold;
mod http;
pub(super) mod memory;
mod net;
mod switch;
pub(super) mod sync;

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::{
    pacer::{Due, Schedule},
    random::next,
    shared::{Shared, Slot, Stage, state},
};
use crate::scenario::plan::{LoadPlan, Work};

use std::sync::atomic::Ordering::{Relaxed, Release};

/// Why a worker ended by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) errno: i32,
}

/// What a worker has to work with.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) shared: &'a Shared,
    pub(super) slot: &'a Slot,
    /// Number of this worker within its load, from 0.
    pub(super) number: u32,
    /// How many workers its load has.
    pub(super) workers: u32,
    /// How long the phase takes.
    pub(super) duration: Duration,
    /// Bytes for this worker, for memory loads.
    pub(super) bytes: u64,
    /// Bytes of the host's memory that must stay available.
    pub(super) reserve: u64,
    /// Number of this worker within the phase, from 0.
    pub(super) index: u32,
    /// The process that the run belongs to.
    pub(super) owner: u32,
    /// Starts seen when the worker was made; work begins with the next.
    pub(super) starts_seen: u32,
}

/// Do the work. Returns only on failure; a worker is ended by SIGKILL.
pub(super) fn run(load: &LoadPlan, context: &Context<'_>) -> Failure {
    match &load.work {
        Work::Cpu { method, load, rate } => cpu::run(*method, *load, *rate, context),
        Work::Memory(work) => memory::run(work, context),
        Work::Sync { rate } => sync::run(*rate, context),
        Work::Disk(work) => disk::run(work, context),
        Work::Switch { rate, futex } => switch::run(*rate, *futex, context),
        Work::Fork { rate } => fork::run(*rate, context),
        Work::Http(work) => http::run(work, context),
        Work::Net(work) => net::run(work, context),
        Work::Files(work) => files::run(work, context),
        Work::Hold(work) => hold::run(*work, context),
    }
}

impl Context<'_> {
    /// Say that the setup is done, wait for the others, begin.
    fn begin(&self) -> Instant {
        self.slot.state.store(state::READY, Release);
        self.shared.wait_for_start(self.starts_seen);
        self.slot.state.store(state::RUNNING, Release);
        Instant::now()
    }

    /// End this worker now, although threads of it go on that would be waited for.
    fn end(&self, failure: Failure) -> ! {
        self.slot.note(failure.stage, failure.errno);
        self.slot.state.store(state::FAILED, Release);
        super::spawner::exit(1)
    }

    /// Count finished operations.
    fn done(&self, operations: u64, bytes: u64, took: Duration) {
        let slot = self.slot;
        slot.operations.fetch_add(operations, Relaxed);
        slot.bytes.fetch_add(bytes, Relaxed);
        slot.buckets.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Count a failed operation, and rest, so that errors cannot become a
    /// busy loop.
    fn failed(&self, failure: Failure) {
        self.slot.note(failure.stage, failure.errno);
        self.slot.errors.fetch_add(1, Relaxed);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Wait until the next operation is due; the time it was due.
fn due(schedule: &mut Option<Schedule>, start: Instant) -> Instant {
    let Some(schedule) = schedule else { return Instant::now() };
    loop {
        match schedule.next(start.elapsed()) {
            Due::In(wait) => std::thread::sleep(wait),
            Due::Now(scheduled) => return start + scheduled,
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A failure from an I/O error.
pub(super) fn failure(stage: Stage, error: &std::io::Error) -> Failure {
    Failure { stage, errno: error.raw_os_error().unwrap_or(0) }
}

/// A listening socket for a busy server. The standard library's queue is full
/// before such a one comes to its turn; each connection beyond it would wait
/// for a second.
fn listen(address: std::net::SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    if let Ok(backlog) = nix::sys::socket::Backlog::new(4096) {
        nix::sys::socket::listen(&listener, backlog)?;
    }
    Ok(listener)
}
