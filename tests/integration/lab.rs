//! The set-up that this project comes from, on one machine: a main server and
//! two clients (tests/lab), from `stack init` to a verdict.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Outcome, Sandbox, machine, wait_for};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab");

/// There is one laboratory at a time.
static LAB: Mutex<()> = Mutex::new(());

/// Three hosts; gone with the test.
struct Lab {
    sandbox: Sandbox,
    _only: MutexGuard<'static, ()>,
}

impl Lab {
    /// Write the set-up with the program, and start the hosts with it.
    fn start() -> Self {
        let sandbox = Sandbox::new();
        let only = LAB.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Self { sandbox, _only: only };
        // What a test that was killed left behind.
        lab.script("down");
        let init = lab.sandbox.run(&[
            "stack",
            "init",
            "--output",
            ".",
            "--node=main=10.77.0.10",
            "--node=client-1=10.77.0.11",
            "--node=client-2=10.77.0.12",
            "--set",
            "scrape_interval=1s",
        ]);
        assert_eq!(init.code, Some(0), "{}", init.stderr);
        let up = lab.script("up");
        assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
        lab.sandbox.write(
            "ssh.conf",
            &format!(
                "Host 10.77.0.*\n  User root\n  IdentityFile {0}/key\n  IdentitiesOnly yes\n\
                 \x20 StrictHostKeyChecking no\n  UserKnownHostsFile {0}/known\n",
                lab.sandbox.path().display()
            ),
        );
        let script = format!("exec ssh -F {}/ssh.conf \"$@\"\n", lab.sandbox.path().display());
        lab.sandbox.program("ssh", &script);
        lab
    }

    fn script(&self, name: &str) -> Outcome {
        let output = Command::new(Path::new(FOLDER).join(name))
            .arg(self.sandbox.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Outcome::of(&output)
    }

    /// The program on main's network.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", "lab-main", env!("CARGO_BIN_EXE_stressor")])
            .args(arguments)
            .current_dir(self.sandbox.path())
            .env("STRESSOR_SSH", self.sandbox.path().join("ssh"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&self.command(arguments).output().unwrap())
    }

    /// Processes of a host.
    fn processes(host: &str) -> Vec<i32> {
        let places = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"];
        let found = places.iter().find_map(|place| {
            fs::read_to_string(format!("{place}/stressor-lab-{host}/cgroup.procs")).ok()
        });
        found.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Workers of ours on a host.
    fn workers(host: &str) -> usize {
        let is_ours = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("/stressor/") && line.contains("agent"))
        };
        Self::processes(host).iter().filter(|pid| is_ours(pid)).count()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.script("down");
    }
}

fn nodes(loaded: &[&str]) -> String {
    let mut text = String::new();
    for (name, last) in [("main", 10), ("client-1", 11), ("client-2", 12)] {
        text += &format!("[[node]]\nname = \"{name}\"\ninstance = \"10.77.0.{last}:9100\"\n");
        if loaded.contains(&name) {
            text += &format!("ssh = \"10.77.0.{last}\"\n");
        }
    }
    text
}

/// The verdict on a node's phase `load`.
fn said<'a>(document: &'a Value, node: &str) -> &'a Value {
    let nodes = document["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|one| one["node"] == node).unwrap();
    let phases = node["phases"].as_array().unwrap();
    &phases.iter().find(|phase| phase["phase"] == "load").unwrap()["verdict"]
}

/// How many samples of a node's phase `load` there are.
fn samples(document: &Value, node: &str) -> u64 {
    let nodes = document["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|one| one["node"] == node).unwrap();
    let phases = node["phases"].as_array().unwrap();
    let phase = phases.iter().find(|phase| phase["phase"] == "load").unwrap();
    phase["data"]["samples"].as_u64().unwrap()
}

#[test]
fn three_hosts_are_set_up_checked_loaded_and_told_apart() {
    let _machine = machine();
    let lab = Lab::start();
    wait_for("three targets to be UP", 30, || {
        let checked = lab.run(&["stack", "check", "--output", ".", "--format", "json"]);
        let up = checked.stdout.matches("UP, a scrape every 1s").count();
        up == 3 && checked.code == Some(0)
    });
    // Room for a rate window of idleness before it.
    std::thread::sleep(Duration::from_secs(5));
    let scenario = format!(
        "name = \"cpu-100\"\n[telemetry]\nprometheus = \"http://10.77.0.10:9090\"\n{}\
         [[phase]]\nname = \"baseline\"\nduration = \"8s\"\n\
         [[phase]]\nname = \"load\"\nduration = \"14s\"\n\
         [[phase.load]]\nkind = \"cpu\"\nworkers = \"per-core\"\n",
        nodes(&["client-1"])
    );
    let path = lab.sandbox.write("story.toml", &scenario).display().to_string();
    let outcome = lab.run(&["run", &path, "--format", "json", "-q"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let loaded = said(&document, "client-1");
    assert_eq!(loaded["resource"], "cpu", "{loaded:#}");
    assert_eq!(loaded["cause"], "scenario", "{loaded:#}");
    for node in ["main", "client-2"] {
        assert_eq!(said(&document, node)["resource"], "none", "{:#}", said(&document, node));
    }
    assert_eq!(document["overall"]["node"], "client-1");
    let page = fs::read_to_string(lab.sandbox.reports("run-1").join("report.html")).unwrap();
    for node in ["main", "client-1", "client-2"] {
        assert!(page.contains(node), "{node} has a place in the page");
    }
    // The agent's own sampler was kept beside what Prometheus saw.
    assert!(lab.sandbox.reports("run-1").join("samples-client-1.jsonl").exists());
}

#[test]
fn a_host_that_is_cut_off_stops_its_load_and_the_run_goes_on() {
    let _machine = machine();
    let lab = Lab::start();
    let scenario = String::from(
        "name = \"cut\"\n[[node]]\nname = \"client-1\"\nssh = \"10.77.0.11\"\n\
         [[node]]\nname = \"client-2\"\nssh = \"10.77.0.12\"\n\
         [[phase]]\nname = \"load\"\nduration = \"20s\"\n\
         [[phase.load]]\nkind = \"cpu\"\nworkers = 1\nload = 5\n",
    );
    let path = lab.sandbox.write("cut.toml", &scenario).display().to_string();
    let mut run = lab.command(&["run", &path, "-q"]).spawn().unwrap();
    wait_for("both to be loaded", 30, || {
        Lab::workers("client-1") >= 3 && Lab::workers("client-2") >= 3
    });
    std::thread::sleep(Duration::from_secs(3));
    let cut = Command::new("ip")
        .args(["-n", "lab-sw", "link", "set", "p-client-2", "down"])
        .status()
        .unwrap();
    assert!(cut.success());
    let begun = Instant::now();
    wait_for("its load to stop", 14, || Lab::workers("client-2") == 0);
    let took = begun.elapsed();
    // Ten seconds of silence, since the last beat up to two seconds before.
    assert!(took < Duration::from_millis(10_500), "{took:?}");
    assert!(Lab::workers("client-1") >= 3, "the other goes on");
    assert!(run.wait().unwrap().success());
    let text = fs::read_to_string(lab.sandbox.reports("run-1").join("verdict.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["validity"]["notes"].to_string().contains("client-2 is lost"));
    assert!(samples(&document, "client-1") > 17, "{document:#}");
    assert!(samples(&document, "client-2") < 8, "{document:#}");
    assert_eq!(said(&document, "client-2")["kind"], "unknown", "{document:#}");
}
