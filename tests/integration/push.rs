//! `--remote-write`: the run's own series in a real Prometheus and a real
//! VictoriaMetrics.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    prometheus::Stack,
    stack::query,
    support::{Sandbox, Service, component, free_port, wait_for, wait_for_port},
};

const LOAD: &str = "name = \"x\"\n[telemetry]\ninterval = \"500ms\"\n[[phase]]\nname = \"load\"\nduration = \"5s\"\n[[phase.load]]\nkind = \"cpu\"\nworkers = 1\nload = 10\n";

fn notes(sandbox: &Sandbox, run: &str) -> String {
    fs::read_to_string(sandbox.reports(run).join("run.json")).unwrap()
}

/// A run that pushes to this server.
fn pushed(sandbox: &Sandbox, url: &str) {
    let path = sandbox.write("x.toml", LOAD).display().to_string();
    let outcome = sandbox.run(&["run", &path, "-q", "--remote-write", url]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

/// The first value of an answer.
fn value(port: u16, expr: &str) -> Option<f64> {
    let answer: Value = query(port, expr);
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

#[test]
fn the_runs_own_series_are_pushed_to_who_takes_them() {
    let stack = Stack::start("");
    let sandbox = Sandbox::new();
    let url = format!("http://127.0.0.1:{}/api/v1/write", stack.port());
    pushed(&sandbox, &url);
    assert!(!notes(&sandbox, "run-1").contains("remote write"));
    let of_run = "stressor_operations_total{run=\"run-1\",phase=\"load\",load=\"0:cpu\"}";
    let samples = value(stack.port(), &format!("count_over_time({of_run}[1m])")).unwrap();
    assert!(samples >= 4.0, "{samples}");
    assert!(value(stack.port(), &format!("last_over_time({of_run}[1m])")).unwrap() > 0.0);
    // Its end is told, so that no chart draws it on for five minutes.
    assert_eq!(value(stack.port(), of_run), None);
    // A server that does not take it is told of, and the run is none the worse.
    pushed(&sandbox, &format!("http://127.0.0.1:{}/nothing", stack.port()));
    let told = notes(&sandbox, "run-2");
    assert!(told.contains("takes no remote write: it answers 404"), "{told}");
}

#[test]
fn victoria_metrics_takes_the_runs_own_series() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let _server = Service::start(
        Command::new(component(&["victoria-metrics"]))
            .arg(format!("-storageDataPath={}", sandbox.path().join("data").display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg("-search.latencyOffset=1s"),
    );
    wait_for_port(port);
    pushed(&sandbox, &format!("http://127.0.0.1:{port}/api/v1/write"));
    assert!(!notes(&sandbox, "run-1").contains("remote write"));
    wait_for("the samples to be found", 40, || {
        value(port, "last_over_time(stressor_operations_total{run=\"run-1\"}[5m])")
            .is_some_and(|operations| operations > 0.0)
    });
}
