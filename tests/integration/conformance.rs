//! Our `stress` against what the real stress 1.0.7 did in the same case, and,
//! beside it, the real one that is installed, which shows that the comparison
//! itself is right. Deliberate differences stand in DIFFERENCES and in
//! docs/stress-compatibility.md.

use std::{
    fs,
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        resource::{Resource, setrlimit},
        signal::{SigHandler, Signal, kill, signal},
    },
    unistd::{Pid, setsid},
};
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Sandbox, component, machine, wait_for};

#[derive(Debug, Clone, Deserialize)]
struct Case {
    #[serde(default)]
    name: String,
    args: Vec<String>,
    exit: Value,
    stdout: String,
    stderr: String,
    #[serde(default)]
    workers: usize,
}

/// What the real one does and ours does better: name, exit, stderr.
const DIFFERENCES: [(&str, i64, &str); 3] = [
    // The others are ended at once, whoever leads the group.
    (
        "SIGKILL to one of 3 workers (NOT group leader)",
        1,
        "stress: FAIL: [PID] (N) <-- worker PID got signal 9\n\
         stress: WARN: [PID] (N) now reaping child worker processes\n\
         stress: FAIL: [PID] (N) failed run completed in Ns\n",
    ),
    // A stopped worker does not block the end.
    ("SIGSTOP to the only worker, -t 1", 0, ""),
    // No buffer on the stack, so no stack that is too small for it.
    ("hdd: RLIMIT_STACK 512K (1 MiB buffer on the stack)", 0, ""),
];

fn cases(file: &str) -> Vec<Case> {
    let path = format!("{}/tests/fixtures/stress/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Process numbers, durations and source lines taken away; the help text, in
/// whose words it may be, as one word.
fn normalized(text: &str, help: &str) -> String {
    let mut text = if !help.is_empty() && text.ends_with(help) {
        "[HELP]".to_owned()
    } else {
        text.to_owned()
    };
    for (pattern, replacement) in [
        (r"\[\d+\]", "[PID]"),
        (r"(<-- worker )\d+ ", "${1}PID "),
        (r"completed in -?\d+s", "completed in Ns"),
        (r"\(\d+\)", "(N)"),
        (r"\./stress\.[A-Za-z0-9]{6}", "./stress.XXXXXX"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, replacement).into_owned();
    }
    text
}

/// The two programs, copied to where anyone may run them.
struct Programs {
    folder: tempfile::TempDir,
    ours: PathBuf,
    real: PathBuf,
}

impl Programs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ours = folder.path().join("stress");
        fs::copy(env!("CARGO_BIN_EXE_stress"), &ours).unwrap();
        Self { folder, ours, real: component(&["stress"]) }
    }

    fn help(program: &Path, name: &str) -> String {
        let output = Command::new(program).arg0(name).arg("--help").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn command(program: &Path, case: &Case, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg0("stress")
        .args(&case.args)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    before_exec(&mut command, default_signals);
    command
}

/// A background job of a shell has some signals ignored, and its children
/// inherit that; the cases were recorded without.
fn default_signals() -> nix::Result<()> {
    use Signal::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    for one in [SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        // SAFETY: the default action runs no code of ours.
        #[expect(unsafe_code, reason = "the disposition is set in the child")]
        unsafe { signal(one, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// In a session of its own, and so the leader of its group.
fn in_session(command: &mut Command) {
    // SAFETY: between fork and exec, only a system call.
    #[expect(unsafe_code, reason = "the child leads a session of its own")]
    unsafe {
        command.pre_exec(|| setsid().map(drop).map_err(Into::into));
    }
}

fn before_exec(command: &mut Command, act: impl Fn() -> nix::Result<()> + Send + Sync + 'static) {
    // SAFETY: between fork and exec, only system calls.
    #[expect(unsafe_code, reason = "limits and signals are set in the child")]
    unsafe {
        command.pre_exec(move || act().map_err(Into::into));
    }
}

/// Code, or minus the signal.
fn ended(status: std::process::ExitStatus) -> i64 {
    status.code().map_or_else(|| -i64::from(status.signal().unwrap_or(0)), i64::from)
}

struct Result {
    exit: i64,
    stdout: String,
    stderr: String,
}

fn finish(child: Child, help: &str) -> Result {
    let output = child.wait_with_output().unwrap();
    Result {
        exit: ended(output.status),
        stdout: normalized(&String::from_utf8_lossy(&output.stdout), help),
        stderr: normalized(&String::from_utf8_lossy(&output.stderr), help),
    }
}

fn mismatch(case: &Case, result: &Result) -> Option<String> {
    let exit = case.exit.as_i64().unwrap_or(i64::MIN);
    let same_out = case.stdout == result.stdout
        || case
            .stdout
            .split_once("<repeats")
            .is_some_and(|(head, _)| result.stdout.starts_with(head));
    if exit == result.exit && same_out && case.stderr == result.stderr {
        return None;
    }
    Some(format!(
        "{} {:?}\n  exit {exit}, was {}\n  stdout {:?}\n     was {:?}\n  stderr {:?}\n     was {:?}",
        case.name, case.args, result.exit, case.stdout, result.stdout, case.stderr, result.stderr
    ))
}

fn all_cases(program: &Path, help: &str) -> Vec<String> {
    let all = cases("cases.jsonl");
    assert!(all.len() > 200);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut wrong = Vec::new();
                    while let Some(case) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let once = || {
                            let folder = tempfile::tempdir().unwrap();
                            let mut command = command(program, case, folder.path());
                            in_session(&mut command);
                            mismatch(case, &finish(command.spawn().unwrap(), help))
                        };
                        // A clock's tick between start and fork takes a second
                        // off `setting timeout to 60s`: such a case once more.
                        wrong.extend(once().and_then(|_| once()));
                    }
                    wrong
                })
            })
            .collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    })
}

#[test]
fn every_case_is_as_stress_has_it() {
    let _machine = machine();
    let programs = Programs::new();
    for program in [&programs.real, &programs.ours] {
        let wrong = all_cases(program, &Programs::help(program, "stress"));
        assert!(
            wrong.is_empty(),
            "{}: {} wrong\n{}",
            program.display(),
            wrong.len(),
            wrong.join("\n")
        );
    }
}

/// Processes of which `parent` is the parent.
fn children(parent: i32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn raw(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Start a scenario as its name says, and do what it says.
fn play(program: &Path, case: &Case, folder: &Path) -> (Child, Vec<i32>) {
    let name = case.name.as_str();
    let mut command = if name.starts_with("PID 1") {
        let mut outer = Command::new(component(&["unshare"]));
        outer.args(["--pid", "--fork", "--kill-child"]).arg(program).args(&case.args);
        outer
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        outer
    } else {
        command(program, case, folder)
    };
    if !name.contains("NOT group leader") {
        in_session(&mut command);
    }
    for (part, arg0) in [("mystress", "/opt/x/mystress"), ("foo", "foo"), ("a/b/", "a/b/")] {
        if name.starts_with("argv[0]") && name.contains(part) {
            command.arg0(arg0);
        }
    }
    let limits = [
        ("RLIMIT_FSIZE 64K", Resource::RLIMIT_FSIZE, 64 << 10),
        ("RLIMIT_STACK 512K", Resource::RLIMIT_STACK, 512 << 10),
        ("RLIMIT_AS 100M", Resource::RLIMIT_AS, 100 << 20),
        ("fork fails", Resource::RLIMIT_NPROC, 1),
    ];
    for (part, resource, limit) in limits {
        if name.contains(part) {
            before_exec(&mut command, move || setrlimit(resource, limit, limit));
        }
    }
    if name.contains("nobody") || name.starts_with("fork fails") {
        command.uid(65_534).gid(65_534);
    }
    if name.contains("cwd=/proc") {
        command.current_dir("/proc");
    } else if name.contains("cwd not writable") {
        command.current_dir("/");
    }
    if name.contains("/dev/full") {
        command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    } else if name == "stdout closed" {
        before_exec(&mut command, || nix::unistd::close(1));
    }
    if name.contains("SIGUSR1=ignore") {
        before_exec(&mut command, || {
            // SAFETY: ignoring runs no code.
            #[expect(unsafe_code, reason = "the disposition is set in the child")]
            unsafe { signal(Signal::SIGUSR1, SigHandler::SigIgn) }.map(drop)
        });
    }
    let child = command.spawn().unwrap();
    let outer = i32::try_from(child.id()).unwrap();
    if case.workers == 0 {
        return (child, Vec::new());
    }
    let parent = if name.starts_with("PID 1") {
        wait_for("the inner process", 5, || children(outer).len() == 1);
        children(outer)[0]
    } else {
        outer
    };
    let there = if name.contains("one of 2 workers") { 2 } else { case.workers };
    wait_for("the workers", 10, || children(parent).len() == there);
    let workers = children(parent);
    // Past the backoff, so that they are at work.
    std::thread::sleep(Duration::from_millis(200));
    let word = name.split(' ').find(|word| word.starts_with("SIG")).unwrap_or("SIGKILL");
    let sent = word.parse().unwrap_or(Signal::SIGKILL);
    if name.contains("to parent only") || name.contains("from outside") {
        raw(parent, sent);
    } else if name.contains("to process group") {
        raw(-parent, sent);
    } else if name.contains("all workers")
        || name.contains("all 3 workers")
        || name.contains("256 of 256")
    {
        let sent = if name.contains("256") { Signal::SIGKILL } else { sent };
        // The first death that the parent sees makes it end the others, so it
        // sees nothing until all have got their signal.
        raw(parent, Signal::SIGSTOP);
        for worker in &workers {
            raw(*worker, sent);
        }
        raw(parent, Signal::SIGCONT);
    } else if name.contains("one worker killed") || name.contains("one of 2 workers") {
        raw(workers[0], Signal::SIGKILL);
    } else if name.contains("one worker ends by SIGUSR1") {
        raw(workers[0], Signal::SIGUSR1);
    } else {
        raw(workers[0], sent);
    }
    (child, workers)
}

fn is_there(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie whose parent is gone waits for the machine's init only.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn every_scenario_is_as_stress_has_it_or_better() {
    let _machine = machine();
    let programs = Programs::new();
    let program = &programs.ours;
    let mut wrong = Vec::new();
    let all = cases("scenarios.jsonl");
    assert!(all.len() > 40);
    for mut case in all {
        if let Some((_, exit, stderr)) = DIFFERENCES.iter().find(|(name, ..)| *name == case.name) {
            case.exit = (*exit).into();
            case.stderr = (*stderr).to_owned();
            if *exit == 0 {
                case.stdout.push_str("stress: info: [PID] successful run completed in Ns\n");
            }
        }
        let sandbox = Sandbox::new();
        fs::set_permissions(sandbox.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let begun = Instant::now();
        let (child, workers) = play(program, &case, sandbox.path());
        let arg0 = if case.name.starts_with("argv[0] = foo") { "foo" } else { "stress" };
        let result = finish(child, &Programs::help(program, arg0));
        if case.name.contains("256 of 256") {
            // The file tells it in words.
            if result.exit != 0 || result.stderr.matches("got signal 9").count() != 256 {
                wrong.push(format!("{}: exit {}", case.name, result.exit));
            }
        } else {
            wrong.extend(mismatch(&case, &result));
        }
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{} took {:?}",
            case.name,
            begun.elapsed()
        );
        wait_for("the workers to be gone", 1, || !workers.iter().any(|worker| is_there(*worker)));
        let left: Vec<_> = fs::read_dir(sandbox.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(left.is_empty(), "{}: {left:?}", case.name);
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    drop(programs.folder);
}
