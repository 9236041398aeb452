//! Load on other nodes: over a real sshd on loopback, and over any command.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    Sandbox, Service, component, free_port, machine, processes_with, wait_for, wait_for_port,
};

/// An sshd of our own: its keys, its port, its user is who runs the tests. The
/// home of its sessions is the sandbox, so that nothing is left elsewhere.
struct Sshd {
    _server: Service,
    config: PathBuf,
}

impl Sshd {
    fn start(sandbox: &Sandbox) -> Self {
        let folder = sandbox.path();
        for name in ["host", "user"] {
            let made = Command::new(component(&["ssh-keygen"]))
                .args(["-q", "-t", "ed25519", "-N", "", "-f", name])
                .current_dir(folder)
                .status()
                .unwrap();
            assert!(made.success());
        }
        let port = free_port();
        let at = |name: &str| folder.join(name).display().to_string();
        fs::copy(folder.join("user.pub"), folder.join("authorized")).unwrap();
        // The place that sshd gives its privileges up in.
        fs::create_dir_all("/run/sshd").unwrap();
        let server = sandbox.write(
            "sshd.conf",
            &format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
                 StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 300\nMaxSessions 300\n\
                 PermitRootLogin yes\nSetEnv XDG_CACHE_HOME={}\n",
                at("host"),
                at("authorized"),
                at("cache")
            ),
        );
        let config = sandbox.write(
            "ssh.conf",
            &format!(
                "Host *\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {}\n\
                 \x20 IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile {}\n",
                at("user"),
                at("known")
            ),
        );
        let program = component(&["sshd"]);
        let server = Service::start(Command::new(program).args(["-D", "-e", "-f"]).arg(server));
        wait_for_port(port);
        Self { _server: server, config }
    }

    /// A program that is ssh with this configuration.
    fn client(&self, sandbox: &Sandbox) -> PathBuf {
        sandbox.program("ssh", &format!("exec ssh -F {} \"$@\"\n", self.config.display()))
    }
}

fn two_nodes(way: impl Fn(&str) -> String, seconds: u32) -> String {
    format!(
        "name = \"two\"\n[telemetry]\ninterval = \"500ms\"\n\
         [[node]]\nname = \"one\"\n{}\n[[node]]\nname = \"two\"\n{}\n\
         [[phase]]\nname = \"baseline\"\nduration = \"2s\"\n\
         [[phase]]\nname = \"load\"\nduration = \"{seconds}s\"\n\
         [[phase.load]]\nkind = \"cpu\"\nworkers = 1\nload = 30\n\
         [[phase.load]]\nkind = \"memory\"\nsize = \"16M\"\nhang = true\nnodes = \"two\"\n",
        way("one"),
        way("two")
    )
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn two_nodes_are_loaded_over_ssh_and_judged_each() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let sshd = Sshd::start(&sandbox);
    let ssh = sshd.client(&sandbox);
    let text = two_nodes(|name| format!("ssh = \"root@{name}\""), 4);
    let path = sandbox.write("two.toml", &text).display().to_string();
    let run = |arguments: &[&str]| {
        let output = sandbox.stressor(arguments).env("STRESSOR_SSH", &ssh).output().unwrap();
        crate::support::Outcome::of(&output)
    };
    let outcome = run(&["run", &path, "--format", "json", "-q"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let nodes: Vec<&str> = verdict["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["node"].as_str().unwrap())
        .collect();
    assert_eq!(nodes, ["one", "two"]);
    for node in 0..2 {
        let phase = &verdict["nodes"][node]["phases"][1];
        assert!(phase["data"]["samples"].as_u64().unwrap() >= 6, "{phase:#}");
        assert_ne!(phase["verdict"]["kind"], "unknown", "{phase:#}");
    }
    let manifest = read(&sandbox.reports("run-1").join("run.json"));
    let notes = manifest["notes"].to_string();
    assert!(notes.contains("phase load began on 2 nodes within"), "{notes}");
    let spread: f64 = notes
        .split("began on 2 nodes within ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .unwrap();
    assert!(spread < 100.0, "{notes}");
    // Each load on the nodes that carry it, and on no other.
    let workers = fs::read_to_string(sandbox.reports("run-1").join("workers.jsonl")).unwrap();
    let of = |node: &str, kind: &str| {
        workers.lines().any(|line| {
            line.contains(&format!("\"node\":\"{node}\""))
                && line.contains(&format!("\"kind\":\"{kind}\""))
        })
    };
    assert!(of("one", "cpu") && of("two", "cpu") && of("two", "memory") && !of("one", "memory"));
    // The program stays for the next run, until it is taken away.
    assert_eq!(fs::read_dir(sandbox.path().join("cache/stressor")).unwrap().count(), 1);
    let clean = run(&["fleet", "clean", &path]);
    assert_eq!((clean.code, clean.stdout.as_str()), (Some(0), "one: removed\ntwo: nothing\n"));
    assert!(!sandbox.path().join("cache/stressor").exists());
    let bad = sandbox.write("bad.toml", &text.replace("root@one", "nobody-there@one"));
    let outcome = run(&["run", bad.to_str().unwrap(), "-q"]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("one: `ssh nobody-there@one` fails"), "{}", outcome.stderr);
}

/// Two nodes that are processes of this machine, marked by a variable.
fn two_here(sandbox: &Sandbox, seconds: u32) -> (String, String) {
    let mark = format!("FLEET={}", sandbox.path().display());
    let cache = format!("XDG_CACHE_HOME={}/cache", sandbox.path().display());
    let way = |_: &str| format!("command = [\"env\", \"{mark}\", \"{cache}\"]");
    (two_nodes(way, seconds), mark)
}

#[test]
fn ctrl_c_stops_the_load_on_all_nodes_and_still_reports() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let (text, mark) = two_here(&sandbox, 60);
    let path = sandbox.write("two.toml", &text).display().to_string();
    let mut run = sandbox.stressor(&["run", &path, "-q"]).spawn().unwrap();
    // Agents, their spawners, two workers of one and one of the other.
    wait_for("the workers", 20, || processes_with(&mark).len() >= 7);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(run.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let begun = Instant::now();
    wait_for("no process to be left", 5, || processes_with(&mark).is_empty());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let verdict = read(&sandbox.reports("run-1").join("verdict.json"));
    assert_eq!(verdict["state"], "interrupted");
    assert_eq!(verdict["nodes"].as_array().unwrap().len(), 2);
}

#[test]
fn as_many_nodes_may_be_missing_as_the_scenario_allows() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let (text, _) = two_here(&sandbox, 4);
    let broken = "[[node]]\nname = \"three\"\ncommand = [\"false\"]\n";
    let with = |fleet: &str| {
        let path = sandbox.write("three.toml", &format!("{text}{broken}{fleet}"));
        sandbox.run(&["run", path.to_str().unwrap(), "-q", "--format", "json"])
    };
    let outcome = with("");
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("three: `false` fails"), "{}", outcome.stderr);
    assert!(!sandbox.reports("run-1").exists());
    let outcome = with("[fleet]\nmax_errors = 1\n");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(verdict["validity"]["notes"].to_string().contains("three took no part"));
    assert_eq!(verdict["fleet"]["unknown"], serde_json::json!(["three"]));
}

#[test]
fn a_node_that_is_slow_to_join_costs_no_other() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let cache = format!("XDG_CACHE_HOME={}/cache", sandbox.path().display());
    // Longer than the silence after which either side gives the other up.
    let slow = "\"sh\", \"-c\", 'sleep 12; exec \"$@\"', \"sh\", ";
    let text = two_nodes(
        |name| {
            let before = if name == "two" { slow } else { "" };
            format!("command = [{before}\"env\", \"{cache}\"]")
        },
        3,
    );
    let path = sandbox.write("slow.toml", &text).display().to_string();
    let outcome = sandbox.run(&["run", &path, "-q", "--format", "json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let notes = verdict["validity"]["notes"].to_string();
    assert!(!notes.contains("is lost"), "{notes}");
    assert!(notes.contains("phase load began on 2 nodes within"), "{notes}");
}

#[test]
fn an_agent_alone_ends_its_load() {
    let sandbox = Sandbox::new();
    let mark = format!("ALONE={}", sandbox.path().display());
    let (name, value) = mark.split_once('=').unwrap();
    let mut agent = sandbox
        .stressor(&["agent"])
        .env(name, value)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let scenario = "name = \"x\"\n[[phase]]\nname = \"load\"\nduration = \"60s\"\n[[phase.load]]\nkind = \"cpu\"\nworkers = 2\nload = 3\n";
    let plan = serde_json::json!({
        "tell": "plan", "schema": 1, "node": "x", "scenario": scenario, "overrides": [],
        "unsafe_limits": false
    });
    let mut stdin = agent.stdin.take().unwrap();
    writeln!(stdin, "{plan}\n{{\"tell\":\"fork\",\"phase\":0}}\n{{\"tell\":\"release\"}}").unwrap();
    wait_for("the workers", 10, || processes_with(&mark).len() >= 4);
    // Its stdin is open, and nothing comes: ten seconds.
    let begun = Instant::now();
    wait_for("its load to stop", 13, || processes_with(&mark).is_empty());
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(12), "{took:?}");
    drop(stdin);
    assert_eq!(agent.wait().unwrap().code(), Some(1));
}
