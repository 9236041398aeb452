//! Runs commands and reads what they did.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde_json::Value;

use super::Figure;

const STRESSOR: &str = env!("CARGO_BIN_EXE_stressor");

/// Where files of both sides lie: on the disk of the checkout.
pub(super) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    let _ = std::fs::create_dir_all(&folder);
    folder
}

fn scenario(folder: &Path, load: &str, seconds: f64) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("ours.toml");
    std::fs::write(
        &path,
        format!(
            "name = \"peers\"\n[[phase]]\nname = \"load\"\nduration = \"{seconds}s\"\n[[phase.load]]\n{load}\n"
        ),
    )?;
    Ok(path)
}

fn stressor(folder: &Path, load: &str, seconds: f64) -> std::io::Result<Command> {
    let mut command = Command::new(STRESSOR);
    command
        .arg("run")
        .arg(scenario(folder, load, seconds)?)
        .args(["--format", "json", "-q"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

/// What one load of ours did.
pub(super) fn ours(load: &str, seconds: f64) -> Result<Value, Box<dyn std::error::Error>> {
    ours_in(&folder(), load, seconds)
}

/// The same in a folder of its own, beside another of ours.
pub(super) fn ours_in(
    folder: &Path,
    load: &str,
    seconds: f64,
) -> Result<Value, Box<dyn std::error::Error>> {
    let output = stressor(folder, load, seconds)?.output()?;
    let verdict: Value = serde_json::from_slice(&output.stdout)?;
    let _ = std::fs::remove_dir_all(folder.join("reports"));
    verdict
        .get("loads")
        .and_then(|loads| loads.get(0))
        .cloned()
        .ok_or_else(|| "no load in the verdict".into())
}

/// The file of `bytes` that both sides read and write: how fast a disk takes a
/// file differs with where it lies (a virtual one, by what its host has in
/// memory).
pub(super) fn file(bytes: u64) -> std::io::Result<PathBuf> {
    let path = folder().join("disk.tmp");
    if std::fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
        return Ok(path);
    }
    let mut file = std::fs::File::create(&path)?;
    std::io::copy(&mut std::fs::File::open("/dev/urandom")?.take(bytes), &mut file)?;
    file.sync_all()?;
    Ok(path)
}

/// A number of a JSON document, by the path of its keys.
pub(super) fn at(value: &Value, path: &str) -> Figure {
    value.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("{path} is no number").into())
}

/// Standard output of a shell command.
pub(super) fn shell(command: &str) -> Result<String, Box<dyn std::error::Error>> {
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(folder())
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(format!("`{command}` failed").into());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// The number behind the first `marker` of a text.
pub(super) fn after(text: &str, marker: &str) -> Figure {
    let rest = text.split_once(marker).ok_or_else(|| format!("no {marker:?}"))?.1;
    let number: String = rest
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || ".,e+".contains(*c))
        .collect();
    Ok(number.replace(',', "").parse()?)
}

/// A column of stress-ng's `--metrics-brief` line for one stressor: 0 bogo
/// operations, 1 real seconds, 2 user, 3 system, 4 operations per real second.
pub(super) fn stress_ng(arguments: &str, name: &str, column: usize) -> Figure {
    let text = shell(&format!("stress-ng {arguments} --metrics-brief 2>&1"))?;
    let line = text
        .lines()
        .filter_map(|line| line.split_once("] ").map(|(_, rest)| rest.trim()))
        .find(|rest| {
            rest.split_whitespace().next() == Some(name) && rest.split_whitespace().count() >= 7
        })
        .ok_or("stress-ng printed no figures")?;
    let words: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    words.get(column).copied().ok_or_else(|| "a column is missing".into())
}

/// CPU seconds and minor faults of a command with all its children.
pub(super) fn usage(command: &str) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    // bash's own account of the children it has waited for, and theirs.
    let text = shell(&format!(
        "python3 -c 'import resource,subprocess,sys; subprocess.run(sys.argv[1].split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); u=resource.getrusage(resource.RUSAGE_CHILDREN); print(\"cpu\", u.ru_utime+u.ru_stime, \"faults\", u.ru_minflt)' '{command}'"
    ))?;
    Ok((after(&text, "cpu ")?, after(&text, "faults ")?))
}

/// The share of all cores, in percent, that a command with all its children
/// uses for `seconds`, by the account of a cgroup of its own.
pub(super) fn group_cpu_percent(command: &Command, seconds: f64) -> Figure {
    let (group, file, per_second) = [
        ("cpuacct", "cpuacct.usage", 1e9),
        ("cpu,cpuacct", "cpuacct.usage", 1e9),
        ("", "cpu.stat", 1e6),
    ]
    .into_iter()
    .map(|(at, file, unit)| (Path::new("/sys/fs/cgroup").join(at), file, unit))
    .find(|(at, file, _)| at.join(file).exists())
    .map(|(at, file, unit)| (at.join("stressor-peers"), file, unit))
    .ok_or("no cgroup accounts for CPU time")?;
    std::fs::create_dir_all(&group)?;
    let used = || -> Figure {
        let text = std::fs::read_to_string(group.join(file))?;
        let number = text.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        Ok(number.ok_or("no CPU time")? / per_second)
    };
    // A shell that has entered the group becomes the command.
    let entry = format!("echo 0 > {}; exec \"$@\"", group.join("cgroup.procs").display());
    let mut shell = Command::new("bash");
    shell.args(["-c", &entry, "bash"]).arg(command.get_program()).args(command.get_args());
    let mut child = shell
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(folder())
        .spawn()?;
    std::thread::sleep(Duration::from_millis(1500));
    let (from, begun) = (used()?, Instant::now());
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let (cpu, took) = (used()? - from, begun.elapsed().as_secs_f64());
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    child.wait()?;
    let _ = std::fs::remove_dir_all(folder().join("reports"));
    std::thread::sleep(Duration::from_millis(200));
    std::fs::remove_dir(&group)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(cpu / took / cores as f64 * 100.0)
}

/// The same of one load of ours.
pub(super) fn our_group_cpu_percent(load: &str, seconds: f64) -> Figure {
    group_cpu_percent(&stressor(&folder(), load, seconds + 5.0)?, seconds)
}

/// The figure that a small C program prints.
pub(super) fn c_program(name: &str, source: &str) -> Figure {
    let (code, program) = (folder().join(format!("{name}.c")), folder().join(name));
    if !program.exists() {
        std::fs::write(&code, source)?;
        shell(&format!("gcc -O2 -o {} {}", program.display(), code.display()))?;
    }
    Ok(shell(&program.display().to_string())?.trim().parse()?)
}

/// Processes of a command, kept while something else is measured.
pub(super) struct Beside(Child);

impl Beside {
    pub(super) fn start(command: &str) -> std::io::Result<Self> {
        let child = Command::new("bash")
            .args(["-c", &format!("exec {command}")])
            .current_dir(folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        std::thread::sleep(Duration::from_millis(700));
        Ok(Self(child))
    }

    /// One of ours.
    pub(super) fn ours(load: &str, seconds: f64) -> std::io::Result<Self> {
        let child =
            stressor(&folder(), load, seconds)?.stdout(Stdio::null()).process_group(0).spawn()?;
        std::thread::sleep(Duration::from_millis(700));
        Ok(Self(child))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(-pid), Signal::SIGTERM);
        }
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(folder().join("reports"));
    }
}

/// Processes with this name that exist now.
fn named(name: &str) -> Vec<Pid> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            (comm.trim() == name).then(|| Pid::from_raw(pid))
        })
        .collect()
}

fn cpu_s(pid: Pid) -> f64 {
    ClockId::pid_cpu_clock_id(pid)
        .and_then(clock_gettime)
        .map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// Standard deviation, in points, of the load of the processes called `name`
/// over windows of 100 ms.
pub(super) fn unevenness(_running: &Beside, name: &str, windows: u32) -> f64 {
    let mut pids = named(name);
    // A supervisor of the same name uses no CPU.
    pids.retain(|pid| cpu_s(*pid) > 0.001);
    let workers = pids.len().max(1) as f64;
    let start = Instant::now();
    let (mut before, mut at) = (pids.iter().map(|pid| cpu_s(*pid)).sum::<f64>(), start);
    let mut points = Vec::new();
    for window in 1..=windows {
        std::thread::sleep((Duration::from_millis(100) * window).saturating_sub(start.elapsed()));
        let (now, cpu) = (Instant::now(), pids.iter().map(|pid| cpu_s(*pid)).sum::<f64>());
        points.push((cpu - before) / now.duration_since(at).as_secs_f64() / workers * 100.0);
        (before, at) = (cpu, now);
    }
    let mean = points.iter().sum::<f64>() / points.len() as f64;
    let variance =
        points.iter().map(|point| (point - mean).powi(2)).sum::<f64>() / points.len() as f64;
    variance.sqrt()
}

/// Milliseconds from exec until the phase of `workers` spinning workers begins,
/// which is when all run.
pub(super) fn start_ms(workers: u32) -> Figure {
    let before = chrono::Utc::now();
    let output =
        stressor(&folder(), &format!("kind = \"cpu\"\nworkers = {workers}"), 0.5)?.output()?;
    let verdict: Value = serde_json::from_slice(&output.stdout)?;
    let run = verdict.get("run").and_then(Value::as_str).ok_or("no run")?;
    let manifest = folder().join("reports").join(run).join("run.json");
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(manifest)?)?;
    let steady = manifest.pointer("/phases/0/steady").and_then(Value::as_str).ok_or("no steady")?;
    let steady = chrono::DateTime::parse_from_rfc3339(steady)?;
    let _ = std::fs::remove_dir_all(folder().join("reports"));
    Ok((steady.to_utc() - before).num_microseconds().unwrap_or(0) as f64 / 1000.0)
}

/// Milliseconds until a command has printed `lines` lines with `marker`.
pub(super) fn lines_ms(command: &str, marker: &str, lines: usize) -> Figure {
    let begun = Instant::now();
    let mut child = Command::new("bash")
        .args(["-c", &format!("exec {command} 2>&1")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let mut seen = 0;
    let mut took = f64::NAN;
    for line in BufReader::new(output).lines() {
        if line?.contains(marker) {
            seen += 1;
            if seen == lines {
                took = begun.elapsed().as_secs_f64() * 1000.0;
            }
        }
    }
    child.wait()?;
    Ok(took)
}

/// Milliseconds from SIGTERM to ours until no worker is left, one of which is
/// stopped.
pub(super) fn stop_ms() -> Figure {
    let running = Beside::ours("kind = \"cpu\"\nworkers = 64", 30.0)?;
    std::thread::sleep(Duration::from_millis(800));
    let workers = named("stressor-cpu");
    let first = workers.first().ok_or("no workers")?;
    kill(*first, Signal::SIGSTOP)?;
    let begun = Instant::now();
    kill(Pid::from_raw(i32::try_from(running.pid())?), Signal::SIGTERM)?;
    while workers.iter().any(|pid| kill(*pid, None).is_ok()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Percent of a core that the program itself uses beside 64 workers, and its
/// resident memory in MiB.
pub(super) fn parent() -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let running = Beside::ours("kind = \"cpu\"\nworkers = 64", 30.0)?;
    std::thread::sleep(Duration::from_secs(1));
    let pid = Pid::from_raw(i32::try_from(running.pid())?);
    let (begun, before) = (Instant::now(), cpu_s(pid));
    std::thread::sleep(Duration::from_secs(8));
    let share = (cpu_s(pid) - before) / begun.elapsed().as_secs_f64() * 100.0;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok((share, after(&status, "VmRSS:")? / 1024.0))
}

/// What was compared with, in one line.
pub(super) fn versions() -> String {
    [
        ("stress", "stress --version"),
        ("stress-ng", "stress-ng --version"),
        ("fio", "fio --version"),
        ("iperf3", "iperf3 --version | head -1"),
        ("wrk", "wrk -v 2>&1 | head -1; true"),
        ("hey", "dpkg-query -W hey"),
    ]
    .into_iter()
    .filter_map(|(name, command)| {
        let text = shell(command).ok()?;
        let version = text.split_whitespace().find(|word| {
            word.trim_start_matches("fio-").starts_with(|c: char| c.is_ascii_digit())
        })?;
        Some(format!("{name} {}", version.trim_start_matches("fio-").trim_end_matches(',')))
    })
    .collect::<Vec<_>>()
    .join(", ")
}
