//! The program's side of the load: start a phase, read what the workers do,
//! stop them, learn how they ended.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hdrhistogram::Histogram;
use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair},
        wait::waitpid,
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use super::{
    buckets,
    shared::{Shared, Slot, Stage, TALLIES, state},
    spawner::{self, Job, Message},
    traces::{self, Traces},
};
use crate::{
    host::Roots,
    model::latency,
    scenario::plan::{PhasePlan, Plan, Work},
};

/// Why the load could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the kernel failed.
    #[error("{what} failed")]
    Kernel {
        /// Which.
        what: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// The process that forks workers is gone.
    #[error("the process that starts the workers is gone (killed from outside?)")]
    SpawnerGone,
}

/// How a worker ended while its phase went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Worker number within the phase.
    pub worker: u32,
    /// The memory limit of its load's own cgroup, in bytes.
    pub limit: Option<u64>,
    /// Exit code, when it ended by itself.
    pub code: i32,
    /// Signal, when it was killed.
    pub signal: i32,
    /// What it was doing.
    pub stage: Stage,
    /// The error it met, 0 for none.
    pub errno: i32,
    /// Bytes of memory it held.
    pub resident: u64,
}

/// What one worker did since the last reading.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Worker number within the phase.
    pub worker: u32,
    /// Which `[[phase.load]]` it belongs to.
    pub load: usize,
    /// Operations since the last reading.
    pub operations: u64,
    /// Bytes since the last reading.
    pub bytes: u64,
    /// Operations that were due since the last reading, where a schedule says
    /// when.
    pub scheduled: u64,
    /// Failed operations since the last reading.
    pub errors: u64,
    /// CPU time since the last reading.
    pub cpu: Duration,
    /// Bytes held now.
    pub resident: u64,
    /// Descriptors, processes or connections held now.
    pub held: u64,
    /// Bytes it was asked to hold, for memory loads.
    pub target_bytes: u64,
    /// Latencies since the last reading.
    pub latency: Option<Histogram<u64>>,
    /// Bytes read from and written to disks since the last reading, as the
    /// kernel charges them to the worker; for disk loads.
    pub device: Option<DeviceBytes>,
    /// What its kind counts beside operations, since the last reading.
    pub tallies: [u64; TALLIES],
    /// Whether its process is there.
    pub alive: bool,
    /// What holds it back now, or failed last, and the kernel's answer to it.
    pub noted: (Stage, i32),
}

/// What the kernel charges to a process, of /proc/PID/io.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceBytes {
    /// `read_bytes`.
    pub read: u64,
    /// `write_bytes`: for buffered writes what was dirtied, for direct ones
    /// what was submitted.
    pub written: u64,
}

impl DeviceBytes {
    fn of(pid: Pid) -> Option<Self> {
        let text = Roots::default().proc_text(format!("{pid}/io"))?;
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        Some(Self { read: value("read_bytes:")?, written: value("write_bytes:")? })
    }
}

/// One worker of the phase that is on.
#[derive(Debug)]
struct Worker {
    load: usize,
    pid: Option<Pid>,
    alive: bool,
    cpu: Duration,
    operations: u64,
    bytes: u64,
    errors: u64,
    scheduled: u64,
    buckets: Vec<u64>,
    tallies: [u64; TALLIES],
    /// The memory limit of its load's own cgroup.
    limit: Option<u64>,
    /// Set for disk loads.
    device: Option<DeviceBytes>,
}

/// The handle on all workers.
#[derive(Debug)]
pub struct Loader {
    shared: Arc<Shared>,
    socket: OwnedFd,
    spawner: Pid,
    plan: Vec<PhasePlan>,
    cores: u32,
    workers: Vec<Worker>,
    /// Whether the spawner has forked all of them.
    all_forked: bool,
    /// Workers of the phase that the kernel refused, with the reason.
    refused: Vec<(u32, Errno)>,
    traces: Traces,
}

impl Loader {
    /// Fork the spawner. Must be called while the program has one thread.
    ///
    /// `cores` is what `per-core` counts; `reserve` the bytes of the host's
    /// memory that stay untouched.
    ///
    /// # Errors
    /// When the kernel refuses memory, a socket or a process.
    pub fn new(plan: &Plan, cores: u32, reserve: u64) -> Result<Self, Error> {
        let kernel = |what| move |source| Error::Kernel { what, source };
        let most = plan.phases.iter().map(|phase| worker_count(phase, cores)).max().unwrap_or(0);
        let shared = Arc::new(Shared::new(most).map_err(kernel("sharing memory with workers"))?);
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(kernel("making a socket pair"))?;
        let owner = traces::owner();
        let traces = Traces::of(&plan.phases, owner);
        traces.sweep();
        let job =
            Job { shared: &shared, phases: &plan.phases, cores, reserve, owner, traces: &traces };
        let (spawner, socket) =
            spawner::spawn(ours, theirs, &job).map_err(kernel("forking the spawner"))?;
        Ok(Self {
            shared,
            socket,
            spawner,
            plan: plan.phases.clone(),
            cores,
            workers: Vec::new(),
            all_forked: true,
            refused: Vec::new(),
            traces,
        })
    }

    /// Have the workers of phase `index` forked. They set themselves up and
    /// wait; see [`Loader::is_ready`] and [`Loader::release`].
    ///
    /// # Errors
    /// When the spawner is gone.
    pub fn fork(&mut self, index: usize) -> Result<(), Error> {
        let Some(phase) = self.plan.get(index) else { return Ok(()) };
        self.workers = new_workers(phase, self.cores);
        self.refused.clear();
        self.shared.clear(self.workers.len());
        self.all_forked = self.workers.is_empty();
        if self.workers.is_empty() {
            return Ok(());
        }
        self.order(spawner::START, u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Whether every worker that is alive has set itself up: its file is laid
    /// down, its memory taken. Rests on the messages that [`Loader::exits`] read.
    pub fn is_ready(&self) -> bool {
        let waits = |(worker, index): (&Worker, usize)| {
            let state = |slot: &Slot| slot.state.load(Ordering::Acquire);
            worker.alive && self.slot(index).is_some_and(|slot| state(slot) < state::READY)
        };
        self.all_forked && !self.workers.iter().zip(0..).any(waits)
    }

    /// Let all workers that wait begin at once.
    pub fn release(&mut self) {
        self.shared.start();
    }

    /// Kill all workers and wait until they are gone. Returns the number that
    /// the kernel does not let go of (stuck in I/O).
    ///
    /// # Errors
    /// When the spawner is gone; then the workers are gone with it.
    pub fn stop(&mut self) -> Result<usize, Error> {
        if self.workers.is_empty() {
            return Ok(0);
        }
        self.order(spawner::STOP, 0)?;
        loop {
            let Some(message) = self.receive(MsgFlags::empty())? else { continue };
            match message.kind {
                spawner::ALL_GONE => {
                    for worker in &mut self.workers {
                        worker.alive = false;
                    }
                    return Ok(message.slot as usize);
                }
                spawner::ENDED => {
                    if let Some(worker) = self.workers.get_mut(message.slot as usize) {
                        worker.alive = false;
                    }
                }
                _ => (),
            }
        }
    }

    /// Workers that ended since the last call, while their phase went on.
    ///
    /// # Errors
    /// When the spawner is gone.
    pub fn exits(&mut self) -> Result<Vec<Exit>, Error> {
        let mut exits = Vec::new();
        while let Some(message) = self.receive(MsgFlags::MSG_DONTWAIT)? {
            self.all_forked |= message.kind == spawner::ALL_FORKED;
            exits.extend(self.note(message));
        }
        Ok(exits)
    }

    /// Workers of this phase that could not be forked.
    pub fn refused(&self) -> &[(u32, Errno)] {
        &self.refused
    }

    /// How many workers the phase has, and how many of them are alive.
    pub fn count(&self) -> (usize, usize) {
        (self.workers.len(), self.workers.iter().filter(|worker| worker.alive).count())
    }

    /// The process of a worker.
    pub fn pid(&self, worker: u32) -> Option<Pid> {
        self.workers.get(worker as usize)?.pid
    }

    /// What every worker did since the last call.
    pub fn progress(&mut self) -> Vec<Progress> {
        let shared = Arc::clone(&self.shared);
        (0..)
            .zip(&mut self.workers)
            .filter_map(|(index, worker)| {
                Some(worker.progress(index, shared.slot(index as usize)?))
            })
            .collect()
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        self.shared.slot(index)
    }

    fn note(&mut self, message: Message) -> Option<Exit> {
        let worker = self.workers.get_mut(message.slot as usize)?;
        match message.kind {
            spawner::FORKED => {
                worker.pid = Some(Pid::from_raw(message.a));
                None
            }
            spawner::REFUSED => {
                worker.alive = false;
                self.refused.push((message.slot, Errno::from_raw(message.a)));
                None
            }
            spawner::ENDED => {
                worker.alive = false;
                let slot = self.shared.slot(message.slot as usize)?;
                let (stage, errno) = slot.noted();
                Some(Exit {
                    worker: message.slot,
                    limit: worker.limit,
                    code: message.a,
                    signal: message.b,
                    stage,
                    errno,
                    resident: slot.resident.load(Ordering::Relaxed),
                })
            }
            _ => None,
        }
    }

    fn order(&self, kind: u32, number: u32) -> Result<(), Error> {
        let message = [kind.to_le_bytes(), number.to_le_bytes()].concat();
        loop {
            match send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => (),
                Err(_) => return Err(Error::SpawnerGone),
            }
        }
    }

    fn receive(&self, flags: MsgFlags) -> Result<Option<Message>, Error> {
        let mut bytes = [0; 16];
        match recv(self.socket.as_raw_fd(), &mut bytes, flags) {
            Ok(16) => Ok(Some(Message::decode(&bytes))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Ok(_) | Err(_) => Err(Error::SpawnerGone),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // The spawner kills its workers when the socket ends; wait for that,
        // so that nobody outlives the run.
        let _ =
            nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        let _ = waitpid(self.spawner, None);
        // Should it have been killed before it could do that.
        self.traces.remove();
    }
}

impl Worker {
    fn progress(&mut self, index: u32, slot: &Slot) -> Progress {
        let operations = slot.operations.load(Ordering::Relaxed);
        let bytes = slot.bytes.load(Ordering::Relaxed);
        let errors = slot.errors.load(Ordering::Relaxed);
        let scheduled = slot.scheduled.load(Ordering::Relaxed);
        let children = Duration::from_nanos(slot.children_ns.load(Ordering::Relaxed));
        let cpu = self.cpu_now().map_or(self.cpu, |cpu| cpu + children);
        // Nothing was counted when nothing was done; then the buckets, which
        // are most of the slot, need no look.
        let latency = if operations == self.operations { None } else { self.latency(slot) };
        let device = self.device_since();
        let progress = Progress {
            worker: index,
            load: self.load,
            operations: operations.saturating_sub(self.operations),
            bytes: bytes.saturating_sub(self.bytes),
            scheduled: scheduled.saturating_sub(self.scheduled),
            errors: errors.saturating_sub(self.errors),
            cpu: cpu.saturating_sub(self.cpu),
            resident: if self.alive { slot.resident.load(Ordering::Relaxed) } else { 0 },
            held: if self.alive { slot.held.load(Ordering::Relaxed) } else { 0 },
            target_bytes: slot.target.load(Ordering::Relaxed),
            latency,
            device,
            tallies: self.tallies_since(slot),
            alive: self.alive,
            noted: slot.noted(),
        };
        (self.operations, self.bytes, self.errors, self.cpu) = (operations, bytes, errors, cpu);
        self.scheduled = scheduled;
        progress
    }

    /// CPU time of the worker's process, exact to the moment.
    fn cpu_now(&self) -> Option<Duration> {
        if !self.alive {
            return None;
        }
        let clock = ClockId::pid_cpu_clock_id(self.pid?).ok()?;
        clock_gettime(clock).ok().map(Duration::from)
    }

    fn tallies_since(&mut self, slot: &Slot) -> [u64; TALLIES] {
        let mut since = [0; TALLIES];
        for ((since, before), now) in since.iter_mut().zip(&mut self.tallies).zip(&slot.tallies) {
            let now = now.load(Ordering::Relaxed);
            *since = now.saturating_sub(*before);
            *before = now;
        }
        since
    }

    fn device_since(&mut self) -> Option<DeviceBytes> {
        let before = self.device?;
        let now = self.pid.filter(|_| self.alive).and_then(DeviceBytes::of)?;
        self.device = Some(now);
        Some(DeviceBytes {
            read: now.read.saturating_sub(before.read),
            written: now.written.saturating_sub(before.written),
        })
    }

    fn latency(&mut self, slot: &Slot) -> Option<Histogram<u64>> {
        let counts = slot.buckets.read();
        let mut histogram = latency::empty()?;
        self.buckets.resize(counts.len(), 0);
        for (index, (now, before)) in counts.iter().zip(&self.buckets).enumerate() {
            let count = now.saturating_sub(*before);
            if count > 0 {
                histogram.saturating_record_n(buckets::middle(index).max(1), count);
            }
        }
        self.buckets = counts;
        Some(histogram)
    }
}

/// How many workers a phase has on a machine with `cores` usable cores.
pub fn worker_count(phase: &PhasePlan, cores: u32) -> usize {
    phase.loads.iter().map(|load| load.workers.resolve(cores) as usize).sum()
}

fn new_workers(phase: &PhasePlan, cores: u32) -> Vec<Worker> {
    phase
        .loads
        .iter()
        .enumerate()
        .flat_map(|(index, load)| {
            (0..load.workers.resolve(cores)).map(move |_| Worker {
                load: index,
                pid: None,
                alive: true,
                cpu: Duration::ZERO,
                operations: 0,
                bytes: 0,
                errors: 0,
                scheduled: 0,
                buckets: Vec::new(),
                tallies: [0; TALLIES],
                limit: load.cgroup.and_then(|limits| limits.memory),
                device: matches!(load.work, Work::Disk(_)).then(DeviceBytes::default),
            })
        })
        .collect()
}
