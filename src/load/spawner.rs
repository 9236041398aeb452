//! The process that forks the workers. It has one thread and is forked before
//! the program has a second, so that forking stays safe and fast.
//!
//! It obeys messages of eight bytes and answers with messages of sixteen. When
//! the program is gone, however it went, the socket ends or the death signal
//! arrives, and every worker goes with it.

#![expect(unsafe_code, reason = "processes are forked by hand")]

use std::{
    cell::RefCell,
    collections::HashMap,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        socket::{MsgFlags, recv, send},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid, setpgid},
};

use super::{
    groups::{self, Made},
    place,
    shared::{Shared, state},
    traces::{Held, Traces},
    workers::{self, Context},
};
use crate::{
    host::{Roots, cgroup::Groups, memory::Memory},
    scenario::{
        explain,
        plan::{LoadPlan, PhasePlan, Work},
    },
};

use std::sync::atomic::Ordering::{Relaxed, Release};

/// Program to spawner: fork the workers of phase `n`.
pub(super) const START: u32 = 1;
/// Program to spawner: kill all workers.
pub(super) const STOP: u32 = 2;

/// Spawner to program: worker `slot` is process `a`.
pub(super) const FORKED: u32 = 1;
/// Spawner to program: worker `slot` ended with code `a` or signal `b`.
pub(super) const ENDED: u32 = 2;
/// Spawner to program: worker `slot` could not be forked, errno `a`.
pub(super) const REFUSED: u32 = 3;
/// Spawner to program: all workers of the phase were forked, `slot` of them.
pub(super) const ALL_FORKED: u32 = 4;
/// Spawner to program: all workers are gone, but for `slot` that the kernel
/// does not let go of.
pub(super) const ALL_GONE: u32 = 5;

/// How long a killed worker may take to go: giving back hundreds of GiB of
/// memory takes seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// When killed workers are first looked at, and how long each must then have
/// been seen in uninterruptible sleep to be reported as stuck: within 50 ms.
const LOOK_AFTER: Duration = Duration::from_millis(30);
const STUCK_FOR: Duration = Duration::from_millis(10);

/// A message from the spawner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u32,
    pub(super) slot: u32,
    pub(super) a: i32,
    pub(super) b: i32,
}

impl Message {
    pub(super) fn decode(bytes: &[u8; 16]) -> Self {
        let word = |at: usize| -> [u8; 4] {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
            word
        };
        Self {
            kind: u32::from_le_bytes(word(0)),
            slot: u32::from_le_bytes(word(4)),
            a: i32::from_le_bytes(word(8)),
            b: i32::from_le_bytes(word(12)),
        }
    }

    fn encode(self) -> Vec<u8> {
        [
            self.kind.to_le_bytes(),
            self.slot.to_le_bytes(),
            self.a.to_le_bytes(),
            self.b.to_le_bytes(),
        ]
        .concat()
    }
}

/// What the spawner knows of the run; it was forked with a copy of it.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) shared: &'a Shared,
    pub(super) phases: &'a [PhasePlan],
    pub(super) cores: u32,
    /// Bytes of the host's memory that must stay available.
    pub(super) reserve: u64,
    /// The program's process.
    pub(super) owner: u32,
    /// What must be removed when the workers are gone.
    pub(super) traces: &'a Traces,
}

/// The spawner's whole life. Never returns.
pub(super) fn live(socket: &OwnedFd, parent: Pid, job: &Job<'_>) -> ! {
    // A terminal's Ctrl-C is for the program, which then stops us in order.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _ = prctl::set_name(c"stressor-spawn");
    // Whatever the workers fork is ours to bury when they are gone.
    let _ = prctl::set_child_subreaper(true);
    // The end of the socket tells that the program is gone. Where nothing
    // needs to be cleared away, the kernel's own hand is surer.
    if job.traces.is_none() {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    }
    if getppid() != parent {
        exit(0);
    }
    // Standard output and error stay open in whoever reads the program's
    // output for as long as any process holds them.
    detach_streams();
    hide_secrets();
    let (nice, is_raised) = hurry();
    let mut children = Children::new();
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    let old = SigSet::empty();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
    let Ok(signals) = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
    else {
        exit(1);
    };
    let spawner = Spawner { socket, job, nice, is_raised, mask: old, held: RefCell::default() };
    loop {
        let mut fds = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => (),
            Err(_) => spawner.leave(&mut children),
        }
        while let Ok(Some(_)) = signals.read_signal() {}
        spawner.reap(&mut children);
        let mut bytes = [0; 8];
        match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(8) => {
                let order = u64::from_le_bytes(bytes);
                #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
                let (kind, number) = (order as u32, (order >> 32) as usize);
                match kind {
                    START => spawner.start(number, &mut children),
                    _ => spawner.stop(&mut children),
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => (),
            // Zero bytes: the program is gone.
            Ok(_) | Err(_) => spawner.leave(&mut children),
        }
    }
}

struct Spawner<'a> {
    socket: &'a OwnedFd,
    job: &'a Job<'a>,
    /// The nice value that workers get.
    nice: i32,
    /// Whether this process, and so the program, has a better one.
    is_raised: bool,
    /// The signal mask that workers get.
    mask: SigSet,
    /// What the present phase holds: its folders and cgroups.
    held: RefCell<(Vec<Held>, Vec<Made>)>,
}

impl Spawner<'_> {
    fn start(&self, index: usize, children: &mut Children) {
        let Some(phase) = self.job.phases.get(index) else { return };
        let starts_seen = self.job.shared.starts();
        let available = available();
        // Before the workers are forked, which then hold them too.
        self.held.borrow_mut().0 = self.job.traces.hold(phase);
        let mut slot = 0;
        for (load_index, load) in phase.loads.iter().enumerate() {
            // It is for other nodes.
            let workers = load.workers.resolve(self.job.cores);
            if workers == 0 {
                continue;
            }
            // The preflight has seen that it can be made; where it cannot be
            // any more, the workers fail to enter it and say so.
            let group = load.cgroup.map(|limits| {
                let name = groups::name(self.job.owner, index, load_index);
                groups::make(&Roots::default(), limits, &groups::folder(load), &name)
                    .unwrap_or_default()
            });
            let bytes = match &load.work {
                Work::Memory(work) => explain::bytes(work.size, available) / u64::from(workers),
                _ => 0,
            };
            for number in 0..workers {
                if let Some(slot) = self.job.shared.slot(slot as usize) {
                    slot.target.store(bytes, Relaxed);
                }
                let one = OneWorker {
                    load,
                    group: group.as_ref(),
                    slot,
                    number,
                    workers,
                    duration: phase.duration,
                    bytes,
                    starts_seen,
                };
                match self.fork(&one) {
                    Ok(child) => {
                        children.insert(child, Some(slot));
                        self.tell(FORKED, slot, child.as_raw(), 0);
                    }
                    Err(errno) => self.tell(REFUSED, slot, errno as i32, 0),
                }
                slot += 1;
            }
            self.held.borrow_mut().1.extend(group);
        }
        self.tell(ALL_FORKED, slot, 0, 0);
    }

    fn fork(&self, one: &OneWorker<'_>) -> nix::Result<Pid> {
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => self.work(one),
        }
    }

    /// A worker's whole life.
    fn work(&self, one: &OneWorker<'_>) -> ! {
        let parent = getppid();
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        // The spawner may have died between fork and the line above.
        if getppid() != parent || parent == Pid::from_raw(1) {
            exit(0);
        }
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
        // SAFETY: closing our copy of the socket; nothing here uses it again.
        unsafe { libc::close(self.socket.as_raw_fd()) };
        let name = format!("stressor-{}\0", one.load.work.kind());
        if let Ok(name) = std::ffi::CStr::from_bytes_with_nul(name.as_bytes()) {
            let _ = prctl::set_name(name);
        }
        let nice = place::usual_nice(one.load, (self.nice, self.is_raised));
        // SAFETY: sets the nice value of this process; giving up what the
        // spawner has is always allowed.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        // When memory runs out, the kernel shall take a worker, nobody else.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        // Sleeps between two batches shall end when due, not 50 µs later.
        let _ = prctl::set_timerslack(1);
        let Some(slot) = self.job.shared.slot(one.slot as usize) else { exit(1) };
        let context = Context {
            shared: self.job.shared,
            slot,
            number: one.number,
            workers: one.workers,
            duration: one.duration,
            index: one.slot,
            owner: self.job.owner,
            bytes: one.bytes,
            reserve: self.job.reserve,
            starts_seen: one.starts_seen,
        };
        let failure = match place::settle(one.load, one.group, one.number) {
            Ok(()) => workers::run(one.load, &context),
            Err(failure) => failure,
        };
        slot.note(failure.stage, failure.errno);
        slot.state.store(state::FAILED, Release);
        exit(1);
    }

    fn stop(&self, children: &mut Children) {
        self.kill_all(children);
        // Whoever is stuck is buried when the kernel lets go; its slot is free.
        let stuck = children.values_mut().filter_map(Option::take).count();
        let stuck = u32::try_from(stuck).unwrap_or(u32::MAX);
        self.tell(ALL_GONE, stuck, 0, 0);
        self.job.traces.remove();
        self.held.take();
    }

    /// Kill the workers, and wait until they and all they have forked are gone;
    /// for those that are stuck in the kernel, only as long as it takes to see
    /// that they are.
    fn kill_all(&self, children: &mut Children) {
        for pid in children.keys() {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        let begun = Instant::now();
        let mut stuck_since = None;
        while self.reap(children) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
            if begun.elapsed() < LOOK_AFTER {
                continue;
            }
            if children.is_empty() || !children.keys().all(|pid| is_stuck(*pid)) {
                stuck_since = None;
            } else if stuck_since.get_or_insert_with(Instant::now).elapsed() >= STUCK_FOR {
                break;
            }
        }
    }

    /// Take leave of children that ended; whether any is left.
    fn reap(&self, children: &mut Children) -> bool {
        loop {
            let (pid, code, signal) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code, 0),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 0, signal as i32),
                Ok(WaitStatus::StillAlive) => return true,
                Err(Errno::EINTR) | Ok(_) => continue,
                Err(_) => return false,
            };
            if let Some(Some(slot)) = children.remove(&pid) {
                self.tell(ENDED, slot, code, signal);
            }
        }
    }

    fn leave(&self, children: &mut Children) -> ! {
        self.kill_all(children);
        self.job.traces.remove();
        exit(0);
    }

    fn tell(&self, kind: u32, slot: u32, a: i32, b: i32) {
        let message = Message { kind, slot, a, b }.encode();
        // The program may be gone; then the next receive says so.
        while send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL) == Err(Errno::EINTR) {
        }
    }
}

/// Whether a killed process sleeps in the kernel and cannot be woken.
fn is_stuck(pid: Pid) -> bool {
    Roots::default()
        .proc_text(format!("{pid}/stat"))
        .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('D')))
        .unwrap_or(false)
}

/// The workers that are not buried yet, with their slots; those that were stuck
/// when their phase ended have none any more.
type Children = HashMap<Pid, Option<u32>>;

/// What sets one worker apart.
struct OneWorker<'a> {
    load: &'a LoadPlan,
    /// The cgroup to enter.
    group: Option<&'a Made>,
    slot: u32,
    number: u32,
    workers: u32,
    duration: Duration,
    bytes: u64,
    starts_seen: u32,
}

fn available() -> u64 {
    let roots = Roots::default();
    Memory::read(&roots, &Groups::of_self(&roots)).map_or(0, Memory::available)
}

/// Have this process come to its turn among hundreds of busy workers, as it
/// starts and stops them; the nice value from before, and whether it has a better one now.
/// Needs a privilege.
fn hurry() -> (i32, bool) {
    // SAFETY: reads and sets the nice value of this process.
    unsafe {
        let before = libc::getpriority(libc::PRIO_PROCESS, 0);
        let is_raised = libc::setpriority(libc::PRIO_PROCESS, 0, before.min(-10)) == 0;
        (before, is_raised)
    }
}

/// Overwrite the secrets in this process's environment, of which each worker has a copy:
/// workers need none, and /proc/PID/environ shows it to all processes of the user.
fn hide_secrets() {
    for name in ["STRESSOR_PROMETHEUS_TOKEN", "STRESSOR_PROMETHEUS_PASSWORD"] {
        let Ok(name) = std::ffi::CString::new(name) else { continue };
        // SAFETY: this process has one thread. getenv gives the value where it lies in the
        // environment, whose bytes up to the final zero are this process's to write.
        unsafe {
            let value = libc::getenv(name.as_ptr());
            if !value.is_null() {
                libc::memset(value.cast(), i32::from(b'x'), libc::strlen(value));
            }
        }
    }
}

fn detach_streams() {
    let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") else {
        return;
    };
    for stream in 0..=2 {
        // SAFETY: dup2 onto the standard streams of this process, which has
        // no other user of them.
        unsafe { libc::dup2(null.as_raw_fd(), stream) };
    }
}

/// End this process without running what the program registered for its end.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(code) }
}

/// Fork the spawner. The caller must have one thread.
pub(super) fn spawn(ours: OwnedFd, theirs: OwnedFd, job: &Job<'_>) -> nix::Result<(Pid, OwnedFd)> {
    let parent = getpid();
    // SAFETY: the caller has one thread, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(theirs);
            Ok((child, ours))
        }
        ForkResult::Child => {
            drop(ours);
            live(&theirs, parent, job)
        }
    }
}
