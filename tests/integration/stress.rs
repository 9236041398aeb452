//! The drop-in for the classic `stress`. Exact conformance has its own suite;
//! here: it works, it ends, it leaves nobody behind.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Outcome, Sandbox, machine, processes_with, wait_for};

fn stress(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stress"));
    command.args(arguments).current_dir(sandbox.path()).stdin(Stdio::null());
    command
}

#[test]
fn a_timed_run_of_every_kind_ends_well() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let words = "--cpu 1 --io 1 --vm 1 --vm-bytes 16M --hdd 1 --hdd-bytes 4M --timeout 1s";
    let words: Vec<&str> = words.split(' ').collect();
    let begun = Instant::now();
    let outcome = Outcome::of(&stress(&sandbox, &words).output().unwrap());
    let took = begun.elapsed();
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("dispatching hogs: 1 cpu, 1 io, 1 vm, 1 hdd"));
    assert!(outcome.stdout.contains("successful run completed in 1s"), "{}", outcome.stdout);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(std::fs::read_dir(sandbox.path()).unwrap().count(), 0);
}

#[test]
fn the_program_called_as_stress_is_stress() {
    let sandbox = Sandbox::new();
    let link = sandbox.path().join("stress");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stressor"), &link).unwrap();
    let outcome = Outcome::of(&Command::new(&link).arg("--version").output().unwrap());
    assert_eq!(outcome.stdout, "stress 1.0.7\n");
    let outcome = sandbox.run(&["stress", "--cpu", "0"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("invalid number of cpu hogs: 0"), "{}", outcome.stderr);
}

#[test]
fn nobody_outlives_a_killed_stress() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let marker = format!("STRESSOR_TEST_STRESS={}", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let mut child = stress(&sandbox, &["-c", "2", "-i", "1", "-t", "60"])
        .env(name, value)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the workers", 10, || processes_with(&marker).len() == 4);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("all to be gone", 1, || processes_with(&marker).is_empty());
}

#[test]
fn a_worker_that_fails_fails_the_run() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let mut command = stress(&sandbox, &["--hdd", "1", "--timeout", "5"]);
    command.current_dir("/proc");
    let outcome = Outcome::of(&command.output().unwrap());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("mkstemp failed"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("failed run completed"), "{}", outcome.stderr);
}
