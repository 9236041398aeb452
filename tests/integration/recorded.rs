//! A run of three real virtual machines, recorded, in a real Prometheus: the
//! verdict on each node is that of what was done there.
//!
//! What was done (times from the first sample): on c1 two CPU spinners until
//! second 30; c2 was taken down at second 106 and came up again with a disk of
//! 40 operations a second, on which three writers that flush went to work at
//! second 121; main only watched. Each machine has one core, of which its
//! node_exporter takes a tenth or two.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Sandbox, Service, component, free_port, wait_for_port};

/// When the first sample was taken.
const FIRST: f64 = 1_795_525_128.0;

/// A Prometheus with the recording in it.
struct Recorded {
    _server: Service,
    sandbox: Sandbox,
    url: String,
}

impl Recorded {
    fn start() -> Self {
        let sandbox = Sandbox::new();
        let fixture =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/recorded/three-hosts.om.gz");
        let text = Command::new(component(&["gzip"])).args(["-dc", fixture]).output().unwrap();
        let input = sandbox.path().join("in.om");
        fs::write(&input, text.stdout).unwrap();
        let data = sandbox.path().join("data");
        let made = Command::new(component(&["promtool"]))
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&input, &data])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let config = sandbox.write("empty.yml", "");
        let port = free_port();
        let server = Service::start(
            Command::new(component(&["prometheus"]))
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg("--storage.tsdb.retention.time=100y")
                .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        );
        wait_for_port(port);
        Self { _server: server, sandbox, url: format!("http://127.0.0.1:{port}") }
    }

    /// The verdict on each node of a window, in seconds from the first sample.
    fn verdicts(&self, from: f64, to: f64) -> Vec<(String, String, String)> {
        let (start, end) = ((FIRST + from).to_string(), (FIRST + to).to_string());
        let outcome = self.sandbox.run(&[
            "analyze",
            "--prometheus",
            &self.url,
            "--start",
            &start,
            "--end",
            &end,
            "--format",
            "json",
        ]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let nodes = document["nodes"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        nodes
            .iter()
            .map(|node| {
                let verdict = &node["phases"][0]["verdict"];
                (text(&node["node"]), text(&verdict["resource"]), text(&verdict["kind"]))
            })
            .collect()
    }
}

fn of(node: &str, resource: &str, kind: &str) -> (String, String, String) {
    (node.to_owned(), resource.to_owned(), kind.to_owned())
}

#[test]
fn each_node_of_a_recorded_run_gets_its_true_verdict() {
    let recorded = Recorded::start();
    let spinners = recorded.verdicts(9.0, 30.0);
    assert!(spinners.contains(&of("c1", "cpu", "saturated")), "{spinners:?}");
    assert!(spinners.contains(&of("main", "none", "none")), "{spinners:?}");
    assert!(spinners.contains(&of("c2", "none", "none")), "{spinners:?}");
    // Between two loads nothing is named, and the machine that went down and
    // came back with its counters at zero is not blamed for it.
    let reset = recorded.verdicts(86.0, 118.0);
    assert!(!reset.iter().any(|(_, _, kind)| kind == "saturated"), "{reset:?}");
    let writers = recorded.verdicts(121.0, 137.0);
    let c2 = writers.iter().find(|(node, ..)| node == "c2").unwrap();
    assert_eq!((c2.1.as_str(), c2.2.as_str()), ("disk", "saturated"), "{writers:?}");
}
