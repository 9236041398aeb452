//! Every shipped scenario is valid; every invalid one fails with its message.

use std::fs;

use crate::support::Sandbox;

fn root() -> std::path::PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

#[test]
fn every_shipped_scenario_is_valid_and_opens_with_its_question() {
    let mut count = 0;
    let mut without_load = 0;
    for entry in fs::read_dir(root().join("scenarios")).unwrap().flatten() {
        let path = entry.path();
        let text = fs::read_to_string(&path).unwrap();
        let plan = stressor::scenario::parse(&path.display().to_string(), &text, &[])
            .unwrap_or_else(|error| panic!("{error}"));
        let comment: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.contains('?'), "{}: the comment asks no question", path.display());
        assert_eq!(Some(plan.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        count += 1;
        without_load += usize::from(plan.phases.iter().all(|phase| phase.loads.is_empty()));
    }
    assert!(count >= 8, "{count} scenarios");
    assert_eq!(without_load, 1);
}

/// The first lines of each file, as comments, are what the message must hold.
#[test]
fn every_invalid_scenario_fails_with_its_message() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("tests/fixtures/scenarios/invalid")).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        let error = stressor::scenario::parse("x.toml", &text, &[])
            .expect_err(&entry.path().display().to_string());
        let expected = text.lines().take_while(|line| line.starts_with("#> "));
        for line in expected.map(|line| line.trim_start_matches("#> ")) {
            assert!(
                error.text.contains(line),
                "{}: expected {line:?} in\n{error}",
                entry.path().display()
            );
        }
        count += 1;
    }
    assert!(count >= 8, "{count} fixtures");
}

#[test]
fn every_error_of_a_file_is_reported_at_once() {
    let sandbox = Sandbox::new();
    let path = sandbox.write(
        "bad.toml",
        "nam = \"x\"\n[[phase]]\nname = \"a\"\nduration = \"10 lightyears\"\n  [[phase.load]]\n  kind = \"cup\"\n",
    );
    let outcome = sandbox.run(&["run", path.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(2));
    for expected in [
        "unknown key `nam`",
        "did you mean `name`?",
        "bad.toml:1:1",
        "key `name` is missing",
        "unknown unit \"lightyears\"",
        "bad.toml:4:12",
        "did you mean \"cpu\"?",
        "allowed: cpu, memory, sync, disk, files, net, http, switch, fork, descriptors, processes, sockets",
    ] {
        assert!(outcome.stderr.contains(expected), "{expected:?} in\n{}", outcome.stderr);
    }
    assert_eq!(outcome.stderr.matches("error:").count(), 4, "{}", outcome.stderr);
    assert!(!sandbox.path().join("reports").exists(), "nothing is left of a run that never was");
}

#[test]
fn set_replaces_values_and_points_at_itself_when_wrong() {
    let text = fs::read_to_string(root().join("scenarios/cpu-100.toml")).unwrap();
    let set = |values: &[&str]| {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        stressor::scenario::parse("x.toml", &text, &values)
    };
    let plan =
        set(&["phase.load.duration=3s", "phase.load.load.workers=4", "telemetry.interval=200ms"])
            .unwrap();
    assert_eq!(plan.phases[1].duration.as_secs(), 3);
    assert_eq!(plan.phases[1].loads[0].workers.resolve(99), 4);
    assert_eq!(plan.telemetry.interval.as_millis(), 200);
    let error = set(&["phase.lod.duration=3s"]).unwrap_err().text;
    assert!(error.contains("did you mean `load`?") && error.contains("--set"), "{error}");
    let error = set(&["phase.load.duration=3 eons"]).unwrap_err().text;
    assert!(error.contains("--set phase.load.duration=3 eons:1:21"), "{error}");
}

#[test]
fn a_password_in_an_address_is_refused() {
    let text = "name = \"x\"\n[telemetry]\nprometheus = \"http://u:secret@h:9090\"\n[[phase]]\nname = \"a\"\nduration = \"1s\"\n";
    let error = stressor::scenario::parse("x.toml", text, &[]).unwrap_err().text;
    assert!(error.contains("password_file"), "{error}");
}

#[test]
fn a_ramp_is_one_phase_a_level() {
    let text = fs::read_to_string(root().join("scenarios/cpu-steps.toml")).unwrap();
    let plan = stressor::scenario::parse("x.toml", &text, &[]).unwrap();
    let levels: Vec<f64> =
        plan.phases.iter().filter_map(|phase| Some(phase.level.as_ref()?.value)).collect();
    assert_eq!(levels, [20.0, 40.0, 60.0, 80.0, 100.0]);
}

#[test]
fn the_schema_knows_every_kind_of_load() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["scenario", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let kinds = &schema["properties"]["phase"]["items"]["properties"]["load"]["items"]["oneOf"];
    let names: Vec<&str> = kinds
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["properties"]["kind"]["const"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "cpu",
            "memory",
            "sync",
            "disk",
            "files",
            "net",
            "http",
            "switch",
            "fork",
            "descriptors",
            "processes",
            "sockets"
        ]
    );
}
