//! `--nodes-from`, from a real Prometheus, a real ssh and Ansible's own list;
//! and what a node does otherwise than the others.

use std::fs;

use serde_json::Value;

use crate::{prometheus::Stack, support::Sandbox};

const LOAD: &str = "name = \"x\"\n[telemetry]\ninterval = \"500ms\"\n[[phase]]\nname = \"load\"\nduration = \"3s\"\n[[phase.load]]\nkind = \"cpu\"\nworkers = 1\nload = 10\n";

#[test]
fn nodes_come_from_a_prometheus_to_be_watched() {
    let stack = Stack::start("");
    let sandbox = Sandbox::new();
    let watch = "name = \"x\"\n[[phase]]\nname = \"watch\"\nduration = \"6s\"\n";
    let path = sandbox.write("x.toml", watch).display().to_string();
    let url = format!("http://127.0.0.1:{}", stack.port());
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let with = |more: &[&str]| {
        let arguments = ["run", &path, "-q", "--nodes-from", "prometheus"];
        sandbox.run(&[&arguments, more].concat())
    };
    let outcome = with(&["--prometheus", &url, "--format", "json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(verdict["nodes"][0]["node"], host.as_str());
    assert_eq!(verdict["nodes"][0]["source"], "prometheus");
    // Who took part stands in the scenario that is kept.
    let kept = fs::read_to_string(sandbox.reports("run-1").join("scenario.toml")).unwrap();
    assert!(kept.contains(&format!("[[node]]\nname = \"{host}\"\ninstance = ")), "{kept}");
    assert!(!kept.contains("ssh"), "{kept}");
    let refused = |more: &[&str], because: &str| {
        let outcome = with(more);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(because), "{}", outcome.stderr);
    };
    refused(&[], "no Prometheus is named");
    refused(&["--prometheus", &url, "--nodes-match", "db-.*"], "no node is left");
}

#[test]
fn nodes_come_from_ssh_and_ansible_to_be_loaded() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("x.toml", LOAD).display().to_string();
    let config = sandbox
        .write("config", "Host bastion\nHost client-1 client-2\n  HostName 127.0.0.1\nHost *\n")
        .display()
        .to_string();
    // Runs what it is told here, whatever the host.
    let ssh = sandbox.program(
        "ssh",
        "[ \"$3\" = -G ] && exec ssh \"$@\"\nfor last; do :; done\nexec sh -c \"$last\"\n",
    );
    let run = |more: &[&str]| {
        let arguments = ["run", &path, "-q", "--format", "json", "--nodes-from"];
        let output = sandbox
            .stressor(&[&arguments, more].concat())
            .env("STRESSOR_SSH", &ssh)
            .env("XDG_CACHE_HOME", sandbox.path().join("cache"))
            .output()
            .unwrap();
        crate::support::Outcome::of(&output)
    };
    let from = format!("ssh:{config}");
    let outcome = run(&[&from]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("--nodes-match"), "{}", outcome.stderr);
    let names = |stdout: &str| -> Vec<String> {
        let verdict: Value = serde_json::from_str(stdout).unwrap();
        let nodes = verdict["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["node"].as_str().unwrap().to_owned()).collect()
    };
    let outcome = run(&[&from, "--nodes-match", "client-.*"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(names(&outcome.stdout), ["client-1", "client-2"]);
    // As `ansible-inventory --list` writes it; the group is chosen.
    let list = sandbox.write(
        "hosts.json",
        "{\"_meta\": {\"hostvars\": {\"w1\": {\"ansible_host\": \"10.9.9.1\", \"ansible_user\": \"u\"}}},\
         \"all\": {\"children\": [\"web\", \"db\"]}, \"web\": {\"hosts\": [\"w1\"]}, \"db\": {\"hosts\": [\"d1\"]}}",
    );
    let from = format!("ansible:{}", list.display());
    let outcome = run(&[&from, "--nodes-match", "web"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(names(&outcome.stdout), ["w1"]);
    let kept = fs::read_to_string(sandbox.reports("run-2").join("scenario.toml")).unwrap();
    assert!(kept.contains("ssh = \"u@10.9.9.1\""), "{kept}");
    let outcome = run(&["cmdb:all"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("ansible:INVENTORY"), "{}", outcome.stderr);
}

#[test]
fn a_node_does_otherwise_than_the_others_as_its_set_says() {
    let sandbox = Sandbox::new();
    let cache = format!("XDG_CACHE_HOME={}/cache", sandbox.path().display());
    let nodes = |set: &str| {
        format!(
            "{LOAD}[[node]]\nname = \"a\"\ncommand = [\"env\", \"{cache}\"]\n\
             [[node]]\nname = \"b\"\ncommand = [\"env\", \"{cache}\"]\nset = {set}\n"
        )
    };
    let path = |set: &str| sandbox.write("x.toml", &nodes(set)).display().to_string();
    let outcome = sandbox.run(&["run", &path("[\"phase.load.load.load=30\"]"), "-q"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let workers = fs::read_to_string(sandbox.reports("run-1").join("workers.jsonl")).unwrap();
    let asked = |node: &str| {
        let of = format!("\"node\":\"{node}\"");
        let line = workers.lines().find(|line| line.contains(&of)).unwrap();
        serde_json::from_str::<Value>(line).unwrap()["requested"].as_f64().unwrap()
    };
    assert!((asked("a") - 0.1).abs() < 1e-9 && (asked("b") - 0.3).abs() < 1e-9);
    for (set, because) in [
        ("[\"phase.load.duration=9s\"]", "which all nodes share"),
        ("[\"phase.load.load.load=300\"]", "300"),
        ("[\"phase.load.load.laod=30\"]", "laod"),
    ] {
        let outcome = sandbox.run(&["scenario", "validate", &path(set)]);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("node \"b\" cannot have this `set`"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(because), "{set}: {}", outcome.stderr);
        // With its place.
        assert!(outcome.stderr.contains("x.toml:17:"), "{}", outcome.stderr);
    }
}
