//! However the program ends: nobody lives on, nothing is left, the run is kept.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Sandbox, machine, processes_with, random, wait_for};

/// A bit of everything, for a minute.
fn everything(scratch: &std::path::Path) -> String {
    format!(
        "name = \"crash\"\n[telemetry]\ninterval = \"200ms\"\n[[phase]]\nname = \"load\"\nduration = \"60s\"\n\
         [[phase.load]]\nkind = \"cpu\"\nworkers = 2\n\
         [[phase.load]]\nkind = \"memory\"\nsize = \"64M\"\nkeep = false\n\
         [[phase.load]]\nkind = \"sync\"\nrate = 20\n\
         [[phase.load]]\nkind = \"disk\"\nworkers = 2\nfile_size = \"8M\"\nfsync = \"end\"\ndirectory = \"{}\"\n",
        scratch.display()
    )
}

struct Started {
    child: Child,
    marker: String,
}

impl Started {
    fn new(sandbox: &Sandbox, number: u64) -> Self {
        let scratch = sandbox.path().join("scratch");
        fs::create_dir_all(&scratch).unwrap();
        let path = sandbox.write("crash.toml", &everything(&scratch));
        let marker = format!("STRESSOR_TEST_CRASH={}-{number}", std::process::id());
        let (name, value) = marker.split_once('=').unwrap();
        let child = sandbox
            .stressor(&["run", path.to_str().unwrap(), "-q"])
            .env(name, value)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, marker }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The program, its spawner and six workers.
    fn wait_for_workers(&self) {
        wait_for("the workers", 20, || processes_with(&self.marker).len() == 8);
    }
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// When the last whole line of a journal was true, in seconds.
fn last_sample_s(path: &std::path::Path) -> f64 {
    let text = fs::read_to_string(path).unwrap();
    let last = text.lines().rev().find_map(|line| {
        let value: Value = serde_json::from_str(line).ok()?;
        value["t"].as_i64()
    });
    last.expect("a sample") as f64 / 1000.0
}

#[test]
fn twenty_kills_leave_nobody_and_lose_at_most_a_second() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    for number in 1..=20 {
        let mut started = Started::new(&sandbox, number);
        let run = format!("run-{number}");
        let samples = sandbox.reports(&run).join("samples.jsonl");
        wait_for("the first samples", 20, || {
            fs::metadata(&samples).is_ok_and(|file| file.len() > 0)
        });
        std::thread::sleep(Duration::from_millis(random(1500)));
        started.child.kill().unwrap();
        let killed = now_s();
        started.child.wait().unwrap();
        wait_for("everyone to be gone", 1, || processes_with(&started.marker).is_empty());
        let scratch = fs::read_dir(sandbox.path().join("scratch")).unwrap().count();
        assert_eq!(scratch, 0, "scratch files of kill {number}");
        let lost = killed - last_sample_s(&samples);
        assert!(lost < 1.0, "kill {number} lost {lost} s");
        let outcome = sandbox.run(&["report", &run, "--format", "json"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("was killed"), "{}", outcome.stderr);
        let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(verdict["state"], "interrupted");
    }
}

#[test]
fn the_death_of_the_spawner_ends_the_run_and_keeps_it() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let mut started = Started::new(&sandbox, 100);
    started.wait_for_workers();
    let spawner = processes_with(&started.marker)
        .into_iter()
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name == "stressor-spawn\n")
        })
        .expect("the spawner");
    kill(Pid::from_raw(spawner), Signal::SIGKILL).unwrap();
    let status = started.child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    wait_for("everyone to be gone", 1, || processes_with(&started.marker).is_empty());
    let verdict = fs::read(sandbox.reports("run-1").join("verdict.json")).unwrap();
    let verdict: Value = serde_json::from_slice(&verdict).unwrap();
    assert_eq!(verdict["state"], "failed");
    assert_eq!(verdict["validity"]["ok"], false);
}

#[test]
fn a_killed_worker_is_evidence_and_not_the_end() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let path =
        sandbox.write("s.toml", &crate::support::scenario("kind = \"cpu\"\nworkers = 2", 3.0));
    let marker = format!("STRESSOR_TEST_WORKER={}", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let mut child = sandbox
        .stressor(&["run", path.to_str().unwrap(), "-q"])
        .env(name, value)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let workers = || -> Vec<i32> {
        processes_with(&marker)
            .into_iter()
            .filter(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name == "stressor-cpu\n")
            })
            .collect()
    };
    wait_for("the workers", 20, || workers().len() == 2);
    kill(Pid::from_raw(workers()[0]), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let verdict = fs::read(sandbox.reports("run-1").join("verdict.json")).unwrap();
    let verdict: Value = serde_json::from_slice(&verdict).unwrap();
    assert_eq!(verdict["state"], "complete");
    let shortfall = verdict["loads"][0]["shortfall"].as_str().expect("a shortfall");
    assert!(shortfall.contains("was killed by SIGKILL"), "{shortfall}");
    let events = fs::read_to_string(sandbox.reports("run-1").join("events.jsonl")).unwrap();
    assert!(events.contains("was killed by SIGKILL"), "{events}");
}

#[test]
fn ctrl_c_stops_the_load_within_a_second_and_still_reports() {
    let _machine = machine();
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let sandbox = Sandbox::new();
        let mut started = Started::new(&sandbox, 200);
        started.wait_for_workers();
        std::thread::sleep(Duration::from_millis(1200));
        let begun = Instant::now();
        kill(started.pid(), signal).unwrap();
        // The program itself may take longer: it writes the report.
        wait_for("the workers to be gone", 1, || processes_with(&started.marker).len() <= 2);
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(started.child.wait().unwrap().code(), Some(code));
        let folder = sandbox.reports("run-1");
        for name in ["report.html", "report.png", "verdict.json"] {
            assert!(folder.join(name).is_file(), "{name}");
        }
        let verdict: Value =
            serde_json::from_slice(&fs::read(folder.join("verdict.json")).unwrap()).unwrap();
        assert_eq!(verdict["state"], "interrupted");
    }
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let mut started = Started::new(&sandbox, 300);
    started.wait_for_workers();
    kill(started.pid(), Signal::SIGINT).unwrap();
    std::thread::sleep(Duration::from_millis(1));
    // It may have ended already, which is as good.
    let _ = kill(started.pid(), Signal::SIGINT);
    let begun = Instant::now();
    assert_eq!(started.child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(3));
    wait_for("everyone to be gone", 1, || processes_with(&started.marker).is_empty());
}
