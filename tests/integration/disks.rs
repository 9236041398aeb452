//! Disk loads on files that are there already, and on disks that fail.

use std::{fs, process::Stdio, time::Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Outcome, Sandbox, SmallDisk, machine, processes_with, scenario, wait_for};

#[test]
fn disk_uses_a_file_that_is_there_and_loses_it_only_when_told() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let path = sandbox.write("mine", &"m".repeat(4 << 20));
    let load = |rest: &str| {
        scenario(
            &format!(
                "kind = \"disk\"\nworkers = 2\ndepth = 4\nblock_size = \"64K\"\nfile = \"mine\"\n{rest}"
            ),
            1.0,
        )
    };
    let intact = || fs::read(&path).unwrap().iter().all(|byte| *byte == b'm');
    let refused = |text: &str, arguments: &[&str], because: &str| {
        sandbox.write("refused.toml", text);
        let outcome = sandbox.run(&[&["run", "refused.toml"], arguments].concat());
        assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(because), "{}", outcome.stderr);
        assert!(intact());
    };

    let read = load("file_size = \"4M\"\noperation = \"read\"");
    let done = sandbox.verdict(&read, &[])["loads"][0].clone();
    assert!(done["operations_per_s"].as_f64().unwrap() > 100.0, "{done:#}");
    assert_eq!(done["errors"], 0, "{done:#}");
    assert!(intact());

    refused(&load("file_size = \"4M\""), &[], "would write over what this file holds");
    // Not even with the limits lifted.
    let larger = load("file_size = \"5M\"\noperation = \"read\"");
    refused(&larger, &["--unsafe"], "has 4 MiB, less than the 5 MiB");
    let missing = larger.replace("mine", "none");
    refused(&missing, &[], "none cannot be used by a disk load: No such file");

    let write = load("file_size = \"2M\"\noverwrite = true");
    let done = sandbox.verdict(&write, &[])["loads"][0].clone();
    assert_eq!(done["errors"], 0, "{done:#}");
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len(), 4 << 20);
    // What the load was to use, and not a byte more.
    assert!(content[..2 << 20].chunks(64).all(|some| some.iter().any(|byte| *byte != b'm')));
    assert!(content[2 << 20..].iter().all(|byte| *byte == b'm'));
}

#[test]
fn a_mounted_disk_is_read_but_never_written_to() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::new(&sandbox);
    let load =
        format!("kind = \"disk\"\nfile = {:?}\nworkers = 2\nfile_size = \"1M\"\n", disk.device());
    let write = sandbox.write("write.toml", &scenario(&(load.clone() + "overwrite = true"), 1.0));
    let outcome = sandbox.run(&["run", write.to_str().unwrap(), "--unsafe"]);
    assert_ne!(outcome.code, Some(0), "{}", outcome.stdout);
    let why = "cannot be used by a disk load: Device or resource busy";
    assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    let verdict = sandbox.verdict(&scenario(&(load + "operation = \"read\""), 1.0), &[]);
    assert_eq!(verdict["loads"][0]["errors"], 0, "{verdict:#}");
    assert!(verdict["loads"][0]["operations_per_s"].as_f64().unwrap() > 100.0, "{verdict:#}");
}

#[test]
fn a_disk_that_cannot_be_written_is_refused_and_one_that_turns_so_is_told() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let disk = SmallDisk::new(&sandbox);
    for kind in ["disk", "files"] {
        disk.remount("rw");
        let load = format!(
            "kind = {kind:?}\nrate = 100\nfile_size = \"64K\"\ndirectory = {:?}",
            disk.folder()
        ) + if kind == "disk" { "\nblock_size = \"4K\"\nfsync = 1" } else { "" };
        let path = sandbox.write("load.toml", &scenario(&load, 4.0));
        let run = ["run", path.to_str().unwrap(), "--unsafe", "--format", "json"];
        // The disk fails in the midst of the load, as one does that ext4 has
        // found an error on.
        let child =
            sandbox.stressor(&run).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let report = sandbox.reports(if kind == "disk" { "run-1" } else { "run-2" });
        let loaded = || fs::read_to_string(report.join("workers.jsonl")).unwrap_or_default();
        wait_for("work done", 20, || loaded().lines().count() > 2);
        disk.shut_down();
        let outcome = Outcome::of(&child.wait_with_output().unwrap());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let verdict: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        let done = &verdict["loads"][0];
        assert!(done["errors"].as_u64().unwrap() > 10, "{done:#}");
        let why = done["shortfall"].as_str().unwrap_or_default();
        assert!(why.contains("nput/output error") || why.contains("ead-only"), "{done:#}");

        disk.mount_again();
        disk.remount("ro");
        let outcome = sandbox.run(&run);
        assert_ne!(outcome.code, Some(0), "{}", outcome.stdout);
        assert!(outcome.stderr.contains("Read-only file system"), "{}", outcome.stderr);
    }
}

#[test]
fn a_worker_that_hangs_in_the_disk_is_told_and_not_waited_for() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let disk = SmallDisk::new(&sandbox);
    let load = format!(
        "kind = \"disk\"\nworkers = 3\ndirect = true\nblock_size = \"4K\"\nfile_size = \"1M\"\ndirectory = {:?}",
        disk.folder()
    );
    let path = sandbox.write("hang.toml", &scenario(&load, 60.0));
    let marker = format!("STRESSOR_TEST_HANG={}", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let child = sandbox
        .stressor(&["run", path.to_str().unwrap(), "--unsafe"])
        .env(name, value)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // At work, and not still setting themselves up.
    let journal = sandbox.reports("run-1").join("workers.jsonl");
    let at_work = |line: &str| !line.contains("\"setup\":true");
    let lines = || fs::read_to_string(&journal).unwrap_or_default();
    wait_for("the work", 20, || lines().lines().any(at_work));
    assert_eq!(disk.users().len(), 3);
    let freeze = disk.freeze();
    wait_for("the workers to hang", 5, || disk.users().iter().all(|pid| state(*pid) == 'D'));
    let stopped = Instant::now();
    kill(pid, Signal::SIGINT).unwrap();
    let outcome = Outcome::of(&child.wait_with_output().unwrap());
    // The report is in it.
    let took = stopped.elapsed().as_secs_f64();
    assert!(took < 5.0, "{took} s");
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    let why = "3 workers were killed but are stuck in the kernel";
    assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    assert!(sandbox.reports("run-1").join("verdict.json").exists());
    // Killed they are: as soon as the disk answers, they are gone.
    drop(freeze);
    wait_for("the end of the workers", 5, || processes_with(&marker).is_empty());
}

/// The state of a process as ps(1) names it.
fn state(pid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?')
}
