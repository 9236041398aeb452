//! The command line and the messages of the classic `stress`; the work is done
//! by the same workers as a scenario's.

use std::{
    ffi::OsString,
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::getpid};

use super::output;
use crate::{
    host::allowed_cores,
    load::{Exit, Loader, shared::Stage},
    scenario::plan::{
        Amount, CpuMethod, DiskWork, Fsync, LoadPlan, MemoryWork, PhasePlan, Plan, Telemetry, Work,
        Workers,
    },
};

/// The version of the program that this one stands in for.
const VERSION: &str = "1.0.7";

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    verbosity: u8,
    dry_run: bool,
    timeout_s: i64,
    backoff_us: i64,
    cpu: i64,
    io: i64,
    vm: i64,
    vm_bytes: i64,
    vm_stride: i64,
    /// -1 for no pause, 0 for an endless one.
    vm_hang_s: i64,
    vm_keep: bool,
    hdd: i64,
    hdd_bytes: i64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            verbosity: 2,
            dry_run: false,
            timeout_s: 0,
            backoff_us: 3000,
            cpu: 0,
            io: 0,
            vm: 0,
            vm_bytes: 256 << 20,
            vm_stride: 4096,
            vm_hang_s: -1,
            vm_keep: false,
            hdd: 0,
            hdd_bytes: 1 << 30,
        }
    }
}

/// What the words ask the program to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parsed {
    Help,
    Version,
    Run { request: Request, said: Vec<String> },
}

/// A refusal: what `stress` writes after FAIL, with the number it puts in
/// parentheses (a line of its source, which scripts have come to know).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    line: u16,
    text: String,
}

/// Run as `name` with these words.
pub(super) fn main(name: &str, words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let voice = Voice { name: name.to_owned() };
    let (request, said) = match parse(&words) {
        Ok(Parsed::Help) => {
            output::text(&help(name));
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Version) => {
            output::text(&format!("{name} {VERSION}\n"));
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Run { request, said }) => (request, said),
        Err(refusal) => {
            voice.fail(refusal.line, &refusal.text);
            return ExitCode::FAILURE;
        }
    };
    for text in said {
        voice.debug(&text);
    }
    if request.cpu + request.io + request.vm + request.hdd == 0 {
        output::text(&help(name));
        return ExitCode::SUCCESS;
    }
    run(&voice, &request)
}

fn run(voice: &Voice, request: &Request) -> ExitCode {
    let started = Instant::now();
    if request.verbosity >= 2 {
        voice.info(&format!(
            "dispatching hogs: {} cpu, {} io, {} vm, {} hdd",
            request.cpu, request.io, request.vm, request.hdd
        ));
    }
    let failures = if request.dry_run { Ok(0) } else { load(voice, request, started) };
    let seconds = started.elapsed().as_secs();
    match failures {
        Ok(0) => {
            if request.verbosity >= 2 {
                voice.info(&format!("successful run completed in {seconds}s"));
            }
            ExitCode::SUCCESS
        }
        Ok(failures) => {
            voice.fail(461, &format!("failed run completed in {seconds}s"));
            ExitCode::from(u8::try_from(failures.min(255)).unwrap_or(u8::MAX))
        }
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Keep the load up until the time is over or a worker fails; how many did.
fn load(voice: &Voice, request: &Request, started: Instant) -> anyhow::Result<usize> {
    let cores = u32::try_from(allowed_cores().len()).unwrap_or(u32::MAX);
    let plan = plan(request);
    // The user of `stress` says how much memory; there is no reserve.
    let mut loader = Loader::new(&plan, cores, 0)?;
    let mut exits = loader.start(0, Duration::from_secs(600))?;
    let deadline = u64::try_from(request.timeout_s)
        .ok()
        .filter(|seconds| *seconds > 0)
        .and_then(|seconds| started.checked_add(Duration::from_secs(seconds)));
    loop {
        let failed: Vec<Exit> = exits.into_iter().filter(is_failure).collect();
        if !failed.is_empty() {
            for exit in &failed {
                voice.fail_exit(&loader, exit);
            }
            if request.verbosity >= 1 {
                voice.warn(406, "now reaping child worker processes");
            }
            loader.stop()?;
            return Ok(failed.len());
        }
        if loader.count().1 == 0 || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            loader.stop()?;
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(20));
        exits = loader.exits()?;
    }
}

/// A worker ended by SIGALRM or SIGUSR1 ended normally, as far as `stress`
/// is concerned.
fn is_failure(exit: &Exit) -> bool {
    let normal = [Signal::SIGALRM as i32, Signal::SIGUSR1 as i32];
    !normal.contains(&exit.signal)
}

fn plan(request: &Request) -> Plan {
    let mut loads = Vec::new();
    let mut add = |count: i64, work: Work| {
        if count > 0 {
            let workers = Workers::Count(u32::try_from(count).unwrap_or(u32::MAX));
            loads.push(LoadPlan { workers, cores: Vec::new(), work });
        }
    };
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    add(request.cpu, Work::Cpu { method: CpuMethod::Sqrt, load: 1.0 });
    add(request.io, Work::Sync { rate: None });
    let pause = match request.vm_hang_s {
        0 => Duration::from_secs(u64::from(u32::MAX)),
        seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    };
    add(
        request.vm,
        Work::Memory(MemoryWork {
            size: Amount::Bytes(unsigned(request.vm_bytes).saturating_mul(unsigned(request.vm))),
            stride: unsigned(request.vm_stride),
            keep: request.vm_keep,
            settle: false,
            pause,
        }),
    );
    let block_size = unsigned(request.hdd_bytes).clamp(1, 1 << 20);
    add(
        request.hdd,
        Work::Disk(DiskWork {
            write: true,
            random: false,
            block_size,
            file_size: unsigned(request.hdd_bytes),
            direct: false,
            fsync: Fsync::Never,
            directory: None,
            rate: None,
            depth: 1,
        }),
    );
    Plan {
        name: "stress".to_owned(),
        description: String::new(),
        telemetry: Telemetry::default(),
        nodes: Vec::new(),
        phases: vec![PhasePlan {
            name: "load".to_owned(),
            level: None,
            duration: Duration::MAX,
            loads,
        }],
        thresholds: Vec::new(),
        aborts: Vec::new(),
    }
}

/// Speaks as `stress` does.
struct Voice {
    name: String,
}

impl Voice {
    fn info(&self, text: &str) {
        output::text(&format!("{}: info: [{}] {text}\n", self.name, getpid()));
    }

    fn debug(&self, text: &str) {
        output::text(&format!("{}: dbug: [{}] {text}\n", self.name, getpid()));
    }

    fn warn(&self, line: u16, text: &str) {
        output::terminal(&format!("{}: WARN: [{}] ({line}) {text}\n", self.name, getpid()));
    }

    fn fail(&self, line: u16, text: &str) {
        output::terminal(&format!("{}: FAIL: [{}] ({line}) {text}\n", self.name, getpid()));
    }

    fn fail_exit(&self, loader: &Loader, exit: &Exit) {
        let pid = loader.pid(exit.worker).map_or(0, nix::unistd::Pid::as_raw);
        if exit.stage == Stage::Scratch {
            let why = std::io::Error::from_raw_os_error(exit.errno);
            let why = why.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            self.fail(581, &format!("mkstemp failed: {why}"));
        }
        if exit.signal == 0 {
            self.fail(404, &format!("<-- worker {pid} returned error {}", exit.code));
        } else {
            self.fail(425, &format!("<-- worker {pid} got signal {}", exit.signal));
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

/// Read the words strictly from left to right; the first error, `--help` or
/// `--version` ends it.
fn parse(words: &[String]) -> Result<Parsed, Refusal> {
    let mut request = Request::default();
    let mut said = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        // A word after an option is its value unless it looks like an option;
        // `-1` is a number.
        let mut value = |line: u16, long: &str| -> Result<&str, Refusal> {
            let next = words.peek().copied().filter(|next| {
                let mut chars = next.chars();
                chars.next() != Some('-') || chars.next().is_some_and(|c| c.is_ascii_digit())
            });
            let missing = || refusal(line, format!("missing argument to option '--{long}'"));
            words.next_if(|_| next.is_some()).ok_or_else(missing)
        };
        match word {
            "-?" | "--help" => return Ok(Parsed::Help),
            "--version" => return Ok(Parsed::Version),
            "-v" | "--verbose" => request.verbosity = 3,
            "-q" | "--quiet" => request.verbosity = 0,
            "-n" | "--dry-run" => request.dry_run = true,
            "--backoff" => {
                let text = value(142, "backoff")?;
                request.backoff_us =
                    integer(text).ok_or_else(|| refusal(145, format!("invalid number: {text}")))?;
                at_least(request.backoff_us, 0, 150, "invalid backoff factor: ", "")?;
                if request.verbosity >= 3 {
                    said.push(format!("setting backoff coeffient to {}us", request.backoff_us));
                }
            }
            "-t" | "--timeout" => {
                request.timeout_s = time(value(157, "timeout")?)?;
                at_least(request.timeout_s, 1, 161, "invalid timeout value: ", "s")?;
            }
            "-c" | "--cpu" => {
                request.cpu = size(value(167, "cpu")?)?;
                at_least(request.cpu, 1, 171, "invalid number of cpu hogs: ", "")?;
            }
            "-i" | "--io" => {
                request.io = size(value(177, "io")?)?;
                at_least(request.io, 1, 181, "invalid number of io hogs: ", "")?;
            }
            "-m" | "--vm" => {
                request.vm = size(value(187, "vm")?)?;
                at_least(request.vm, 1, 191, "invalid number of vm hogs: ", "")?;
            }
            "--vm-bytes" => {
                request.vm_bytes = size(value(197, "vm-bytes")?)?;
                at_least(request.vm_bytes, 1, 201, "invalid vm byte value: ", "")?;
            }
            "--vm-stride" => {
                request.vm_stride = size(value(207, "vm-stride")?)?;
                at_least(request.vm_stride, 1, 211, "invalid stride value: ", "")?;
            }
            "--vm-hang" => {
                request.vm_hang_s = size(value(217, "vm-hang")?)?;
                at_least(request.vm_hang_s, 0, 221, "invalid value: ", "")?;
            }
            "--vm-keep" => request.vm_keep = true,
            "-d" | "--hdd" => {
                request.hdd = size(value(231, "hdd")?)?;
                at_least(request.hdd, 1, 235, "invalid number of hdd hogs: ", "")?;
            }
            "--hdd-bytes" => {
                request.hdd_bytes = size(value(241, "hdd-bytes")?)?;
                at_least(request.hdd_bytes, 1, 245, "invalid hdd byte value: ", "")?;
            }
            other => return Err(refusal(251, format!("unrecognized option: {other}"))),
        }
    }
    Ok(Parsed::Run { request, said })
}

fn refusal(line: u16, text: String) -> Refusal {
    Refusal { line, text }
}

fn at_least(value: i64, least: i64, line: u16, before: &str, after: &str) -> Result<(), Refusal> {
    if value >= least { Ok(()) } else { Err(refusal(line, format!("{before}{value}{after}"))) }
}

/// A size: the last character is the suffix; overflow wraps, as it does there.
fn size(text: &str) -> Result<i64, Refusal> {
    let factor = |c| match c {
        'b' | 'B' => Some(1),
        'k' | 'K' => Some(1 << 10),
        'm' | 'M' => Some(1 << 20),
        'g' | 'G' => Some(1 << 30),
        _ => None,
    };
    suffixed(text, factor, [640, 665, 672])
}

/// A time in seconds.
fn time(text: &str) -> Result<i64, Refusal> {
    let factor = |c| match c {
        's' | 'S' => Some(1),
        'm' | 'M' => Some(60),
        'h' | 'H' => Some(3600),
        'd' | 'D' => Some(86_400),
        'y' | 'Y' => Some(31_536_000),
        _ => None,
    };
    suffixed(text, factor, [694, 723, 730])
}

fn suffixed(
    text: &str,
    factor: impl Fn(char) -> Option<i64>,
    [empty, suffix, number]: [u16; 3],
) -> Result<i64, Refusal> {
    let last = text.chars().last().ok_or_else(|| refusal(empty, "invalid string".to_owned()))?;
    let factor = if last.is_ascii_digit() { Some(1) } else { factor(last) };
    let factor = factor.ok_or_else(|| refusal(suffix, format!("unrecognized suffix: {last}")))?;
    let value = integer(text).ok_or_else(|| refusal(number, format!("invalid number: {text}")))?;
    Ok(value.wrapping_mul(factor))
}

/// An integer as C's `%lli` reads it: blanks, a sign, decimal, `0x` or octal;
/// what follows is not looked at; what does not fit saturates.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (radix, digits) = match hexadecimal {
        Some(rest) => (16, rest),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let digits = digits.get(..end).filter(|digits| !digits.is_empty())?;
    let mut value: i128 = 0;
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        value = (value * i128::from(radix) + i128::from(digit)).min(i128::from(u64::MAX));
    }
    let value = if negative { -value } else { value };
    let value = value.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn request(text: &str) -> Request {
        match parse(&words(text)).unwrap() {
            Parsed::Run { request, .. } => request,
            other => panic!("{other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        parse(&words(text)).unwrap_err().text
    }

    #[test]
    fn suffixes_are_read_as_stress_reads_them() {
        assert_eq!(request("--vm-bytes 128M").vm_bytes, 128 << 20);
        assert_eq!(request("-t 2m").timeout_s, 120);
        assert_eq!(request("-c 010").cpu, 8);
        assert_eq!(request("-t 0x1d").timeout_s, 29 * 86_400);
        assert_eq!(request("-t 1e2").timeout_s, 1);
        assert_eq!(request("-c 1bk").cpu, 1024);
    }

    #[test]
    fn refusals_are_those_of_stress() {
        assert_eq!(refused("-c"), "missing argument to option '--cpu'");
        assert_eq!(refused("-c -v"), "missing argument to option '--cpu'");
        assert_eq!(refused("-c -1"), "invalid number of cpu hogs: -1");
        assert_eq!(refused("-c 1x"), "unrecognized suffix: x");
        assert_eq!(refused("-c k"), "invalid number: k");
        assert_eq!(refused("-t 0"), "invalid timeout value: 0s");
        assert_eq!(refused("--cpu=4"), "unrecognized option: --cpu=4");
        assert_eq!(
            refused("--vm-bytes 8589934592g"),
            "invalid vm byte value: -9223372036854775808"
        );
    }

    #[test]
    fn the_first_of_help_and_error_ends_it() {
        assert_eq!(parse(&words("--help --bogus")), Ok(Parsed::Help));
        assert!(parse(&words("--bogus --help")).is_err());
        assert_eq!(parse(&words("-c 1 --version")), Ok(Parsed::Version));
    }
}
