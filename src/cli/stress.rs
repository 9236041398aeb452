//! The command line and the messages of the classic `stress`; the work is done
//! by the same workers as a scenario's.

use std::{
    ffi::OsString,
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::{Pid, getpid},
};

mod words;

use words::{Parsed, Request};

use super::output;
use crate::load::{
    hogs::{self, Ending, Hang, Hog, Hogs, Saying, Waited},
    shared::Stage,
};

/// The version of the program that this one stands in for.
const VERSION: &str = "1.0.7";

/// Run as `name` with these words.
pub(super) fn main(name: &str, words: &[OsString]) -> ExitCode {
    // A reader that went away ends `stress`, as it ends any program in a pipe.
    default_sigpipe();
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // What is said while reading is said at the level of that moment.
    let mut voice = Voice { name: name.to_owned(), level: 3 };
    let request = match words::parse(&words, &mut |text| voice.debug(&text)) {
        Ok(Parsed::Help) => {
            output::text(&help(name));
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Version) => {
            output::text(&format!("{name} {VERSION}\n"));
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Run(request)) => request,
        Err(refusal) => {
            voice.fail(refusal.line, &refusal.text);
            return ExitCode::FAILURE;
        }
    };
    voice.level = request.verbosity;
    if request.cpu | request.io | request.vm | request.hdd == 0 {
        output::text(&help(name));
        return ExitCode::SUCCESS;
    }
    run(&voice, &request)
}

#[expect(unsafe_code, reason = "Rust's runtime ignores SIGPIPE; undoing that is a system call")]
fn default_sigpipe() {
    // SAFETY: the default action runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

fn run(voice: &Voice, request: &Request) -> ExitCode {
    let started = now_s();
    voice.info(&format!(
        "dispatching hogs: {} cpu, {} io, {} vm, {} hdd",
        request.cpu, request.io, request.vm, request.hdd
    ));
    let most = [request.cpu, request.io, request.vm, request.hdd]
        .into_iter()
        .map(|count| usize::try_from(count).unwrap_or(0))
        .fold(0, usize::saturating_add);
    let mut hogs = match Hogs::new(most.min(MOST_WORKERS)) {
        Ok(hogs) => hogs,
        Err(errno) => {
            voice.fail(0, &format!("no worker can be started: {}", errno_text(errno as i32)));
            return ExitCode::FAILURE;
        }
    };
    let workers = dispatch(voice, request, &mut hogs, started);
    let failures = attend(voice, &hogs, workers);
    let seconds = now_s() - started;
    if failures == 0 {
        voice.info(&format!("successful run completed in {seconds}s"));
        return ExitCode::SUCCESS;
    }
    voice.fail(461, &format!("failed run completed in {seconds}s"));
    // As there: 256 failures are 0.
    ExitCode::from(u8::try_from(failures % 256).unwrap_or(u8::MAX))
}

/// More processes than this no kernel gives (pid_max is 2^22 at most).
const MOST_WORKERS: usize = 1 << 22;

/// A worker that was forked, and when its time is over.
#[derive(Debug, Clone, Copy)]
struct Worker {
    pid: Pid,
    ends: Option<Instant>,
    /// We have ended it: because its time was over, or to clean up.
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    TimeOver,
    Reaped,
    Forced,
}

/// Fork all workers, a round of one of each kind after the other.
fn dispatch(voice: &Voice, request: &Request, hogs: &mut Hogs, started: i64) -> Vec<Worker> {
    // Name, how many are left, what it does, the line that tells of a failed fork.
    let mut kinds = [
        ("hogcpu", request.cpu, Hog::Cpu, 312),
        ("hogio", request.io, Hog::Io, 334),
        ("hogvm", request.vm, request.vm_hog(), 355),
        ("hoghdd", request.hdd, Hog::Hdd { bytes: unsigned(request.hdd_bytes) }, 376),
    ];
    let mut workers = Vec::new();
    loop {
        let left = kinds.iter().fold(0_i64, |sum, (_, left, ..)| sum.wrapping_add(*left));
        if left <= 0 {
            return workers;
        }
        let backoff_us = request.backoff_us.wrapping_mul(left);
        voice.debug(&format!("using backoff sleep of {backoff_us}us"));
        // usleep(3) takes 32 bits of it.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as there")]
        let backoff = Duration::from_micros(u64::from(backoff_us as u32));
        let mut ends = None;
        if request.timeout_s > 0 {
            let remaining = request.timeout_s - (now_s() - started);
            if remaining <= 0 {
                voice.warn(295, "used up time before all workers dispatched");
                return workers;
            }
            voice.debug(&format!("setting timeout to {remaining}s"));
            // alarm(2) takes 32 bits of it, and none means never.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as there")]
            let seconds = remaining as u32;
            ends = (seconds > 0).then(|| Instant::now() + Duration::from_secs(u64::from(seconds)));
        }
        for (name, left, hog, line) in &mut kinds {
            if *left <= 0 {
                continue;
            }
            let hog = if request.dry_run { Hog::Nothing } else { *hog };
            let say = |saying: &Saying| voice.worker(saying);
            match hogs.fork(hog, backoff, &say) {
                Ok(pid) => {
                    voice.debug(&format!("--> {name} worker {left} [{pid}] forked"));
                    workers.push(Worker { pid, ends, ended: None });
                }
                Err(errno) => {
                    voice.fail(*line, &format!("fork failed: {}", errno_text(errno as i32)));
                }
            }
            *left -= 1;
        }
    }
}

/// Wait for all workers, end those whose time is over, and all when one
/// failed; how many failed.
fn attend(voice: &Voice, hogs: &Hogs, mut workers: Vec<Worker>) -> usize {
    let mut failures = 0;
    let mut force_at = None;
    loop {
        let alarm =
            workers.iter().filter(|worker| worker.ended.is_none()).filter_map(|worker| worker.ends);
        let next = alarm.chain(force_at).min();
        match hogs.wait(next) {
            Waited::NobodyLeft => return failures,
            Waited::TimeIsOver => {
                let now = Instant::now();
                if force_at.is_some_and(|at| at <= now) {
                    // Stopped, or deaf to the signal below.
                    for worker in &mut workers {
                        worker.ended = Some(Ended::Forced);
                        hogs::end(worker.pid);
                    }
                    force_at = None;
                }
                for worker in &mut workers {
                    if worker.ended.is_none() && worker.ends.is_some_and(|ends| ends <= now) {
                        worker.ended = Some(Ended::TimeOver);
                        hogs::end(worker.pid);
                    }
                }
            }
            Waited::Ended(pid, ending) => {
                let Some(at) = workers.iter().position(|worker| worker.pid == pid) else {
                    continue;
                };
                let worker = workers.swap_remove(at);
                if let Some(lines) = tell(voice, &worker, ending) {
                    failures += 1;
                    voice.warn(lines + 2, "now reaping child worker processes");
                    for worker in workers.iter_mut().filter(|worker| worker.ended.is_none()) {
                        worker.ended = Some(Ended::Reaped);
                        // Not SIGKILL at once: one that has been killed by
                        // someone else meanwhile has failed too.
                        let _ = kill(worker.pid, Signal::SIGUSR1);
                    }
                    force_at = Some(Instant::now() + Duration::from_millis(100));
                }
            }
        }
    }
}

/// Say how a worker ended; the line of the failure, if it was one.
fn tell(voice: &Voice, worker: &Worker, ending: Ending) -> Option<u16> {
    let pid = worker.pid;
    match (ending, worker.ended) {
        (Ending::Exited(0), _) => voice.debug(&format!("<-- worker {pid} returned normally")),
        (Ending::Exited(code), _) => {
            voice.fail(404, &format!("<-- worker {pid} returned error {code}"));
            return Some(404);
        }
        (Ending::Killed(Signal::SIGALRM), _)
        | (Ending::Killed(Signal::SIGKILL), Some(Ended::TimeOver)) => {
            voice.debug(&format!("<-- worker {pid} signalled normally"));
        }
        (Ending::Killed(Signal::SIGUSR1), _)
        | (Ending::Killed(Signal::SIGKILL), Some(Ended::Forced)) => {
            voice.debug(&format!("<-- worker {pid} reaped"));
        }
        (Ending::Killed(signal), _) => {
            voice.fail(425, &format!("<-- worker {pid} got signal {}", signal as i32));
            return Some(425);
        }
    }
    None
}

impl Request {
    fn vm_hog(&self) -> Hog {
        Hog::Vm {
            bytes: unsigned(self.vm_bytes),
            stride: unsigned(self.vm_stride),
            hang: match self.vm_hang_s {
                ..0 => Hang::No,
                0 => Hang::Forever,
                seconds => Hang::Seconds(unsigned(seconds)),
            },
            keep: self.vm_keep,
        }
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Whole seconds of the wall clock.
fn now_s() -> i64 {
    chrono::Utc::now().timestamp()
}

/// An error's text without its number.
fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Speaks as `stress` does: to a level, each line with the number of the
/// process that speaks.
struct Voice {
    name: String,
    /// 0: failures; 1: warnings; 2: information; 3: everything.
    level: u8,
}

impl Voice {
    fn info(&self, text: &str) {
        if self.level >= 2 {
            output::text(&format!("{}: info: [{}] {text}\n", self.name, getpid()));
        }
    }

    fn debug(&self, text: &str) {
        if self.level >= 3 {
            output::text(&format!("{}: dbug: [{}] {text}\n", self.name, getpid()));
        }
    }

    fn warn(&self, line: u16, text: &str) {
        if self.level >= 1 {
            output::terminal(&format!("{}: WARN: [{}] ({line}) {text}\n", self.name, getpid()));
        }
    }

    fn fail(&self, line: u16, text: &str) {
        output::terminal(&format!("{}: FAIL: [{}] ({line}) {text}\n", self.name, getpid()));
    }

    /// For a worker, in its own process.
    fn worker(&self, saying: &Saying) {
        match saying {
            Saying::Debug(text) => self.debug(text),
            Saying::Failure(stage, errno) => {
                let why = errno_text(*errno);
                let (line, what) = match *stage {
                    stage if stage == Stage::Map.words() => (512, "hogvm malloc failed"),
                    stage if stage == Stage::Scratch.words() => (581, "mkstemp failed"),
                    stage if stage == Stage::Write.words() => (599, "write failed"),
                    other => (540, other),
                };
                self.fail(line, &format!("{what}: {why}"));
            }
        }
    }
}

fn help(name: &str) -> String {
    format!(
        "`{name}' imposes certain types of compute stress on your system

Usage: {name} [OPTION [ARG]] ...
 -?, --help         show this help statement
     --version      show version statement
 -v, --verbose      be verbose
 -q, --quiet        be quiet
 -n, --dry-run      show what would have been done
 -t, --timeout N    timeout after N seconds
     --backoff N    wait factor of N microseconds before work starts
 -c, --cpu N        spawn N workers computing square roots
 -i, --io N         spawn N workers calling sync()
 -m, --vm N         spawn N workers taking and touching memory
     --vm-bytes B   bytes for each vm worker (default is 256MB)
     --vm-stride B  touch a byte every B bytes (default is 4096)
     --vm-hang N    sleep N secs before freeing (default none, 0 is for ever)
     --vm-keep      touch memory again instead of freeing it
 -d, --hdd N        spawn N workers writing files
     --hdd-bytes B  bytes for each file (default is 1GB)

Example: {name} --cpu 8 --io 4 --vm 2 --vm-bytes 128M --timeout 10s

Note: Numbers may be suffixed with s,m,h,d,y (time) or B,K,M,G (size).
"
    )
}
