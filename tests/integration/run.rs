//! The main job on the real machine, with the embedded sampler.

use std::fs;

use serde_json::Value;

use crate::support::{Sandbox, machine, phase, scenario};

#[test]
fn busy_cores_are_named_with_onset_and_evidence() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let verdict = sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = \"per-core\"", 6.0), &[]);
    let overall = &verdict["overall"];
    assert_eq!(overall["resource"], "cpu", "{overall:#}");
    assert!(["full", "saturated"].contains(&overall["kind"].as_str().unwrap()), "{overall:#}");
    assert_eq!(overall["cause"], "scenario");
    assert_eq!(verdict["nodes"][0]["source"], "embedded");
    let load = phase(&verdict, "load");
    // The onset lies within two samples of the phase's start.
    let time = |value: &Value| {
        let text = value.as_str().expect("a time");
        chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339").timestamp_millis()
    };
    let late = time(&load["verdict"]["since"]) - time(&load["start"]);
    assert!((0..=1000).contains(&late), "{late} ms after the start");
    let evidence = load["verdict"]["evidence"].as_array().unwrap();
    let busy = evidence.iter().find(|one| one["signal"] == "cpu_busy").expect("cpu_busy");
    assert!(busy["value"].as_f64().unwrap() > 0.95);
    assert!(busy["before"].as_f64().is_some());
    assert_eq!(busy["supports"], true);
    let folder = sandbox.reports("run-1");
    for name in
        ["run.json", "scenario.toml", "verdict.json", "report.html", "report.png", "samples.jsonl"]
    {
        assert!(folder.join(name).is_file(), "{name}");
    }
    // Asked and achieved agree, and latencies were recorded.
    let load = &verdict["loads"][0];
    assert!(load["achieved"].as_f64().unwrap() > 0.9, "{load:#}");
    assert!(load["latency"]["p99_s"].as_f64().unwrap() > 0.0, "{load:#}");
}

#[test]
fn one_busy_thread_is_a_core_and_not_the_cpu() {
    let _machine = machine();
    if stressor::host::allowed_cores().len() < 2 {
        // On one core, one thread is the whole CPU; the other test covers it.
        return;
    }
    let sandbox = Sandbox::new();
    let verdict = sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = 1\ncores = [0]", 5.0), &[]);
    assert_eq!(verdict["overall"]["resource"], "cpu-core", "{:#}", verdict["overall"]);
    assert_eq!(verdict["overall"]["device"], "0");
}

#[test]
fn partial_load_is_held() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let verdict = sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = 1\nload = 37.5", 6.0), &[]);
    let achieved = verdict["loads"][0]["achieved"].as_f64().unwrap();
    assert!((achieved - 0.375).abs() < 0.01, "{achieved}");
}

#[test]
fn an_idle_machine_gives_none() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = "name = \"idle\"\n[telemetry]\ninterval = \"500ms\"\n[[phase]]\nname = \"watch\"\nduration = \"5s\"\n";
    let verdict = sandbox.verdict(text, &[]);
    assert_eq!(verdict["overall"]["resource"], "none", "{:#}", verdict["overall"]);
    assert_eq!(verdict["overall"]["kind"], "none");
    assert_eq!(verdict["validity"]["ok"], true);
}

#[test]
fn queued_writers_name_the_disk() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let load = "kind = \"disk\"\nworkers = 8\naccess = \"random\"\nblock_size = \"512K\"\nfile_size = \"64M\"\ndirect = true";
    let verdict = sandbox.verdict(&scenario(load, 6.0), &[]);
    assert_eq!(verdict["overall"]["resource"], "disk", "{:#}", verdict["overall"]);
    assert!(verdict["overall"]["device"].is_string());
    assert!(verdict["loads"][0]["bytes_per_s"].as_f64().unwrap() > 1e6);
    // Scratch files have no name: nothing but the scenario and the reports.
    let names: Vec<_> =
        fs::read_dir(sandbox.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn thresholds_gate_with_three_and_guards_with_four() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let load = scenario("kind = \"cpu\"\nworkers = \"per-core\"", 3.0);
    let gate = format!(
        "{load}[[threshold]]\nsignal = \"cpu_busy\"\nphase = \"load\"\nmax = 0.5\n[[threshold]]\nsignal = \"memory_available_ratio\"\nstat = \"min\"\nmin = 0.0001\n"
    );
    let path = sandbox.write("gate.toml", &gate);
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "--format", "json", "-q"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let gates = verdict["thresholds"].as_array().unwrap();
    assert_eq!(gates.len(), 3, "{gates:#?}");
    assert_eq!(gates.iter().filter(|gate| gate["ok"] == true).count(), 2);
    let guard = format!("{load}[[abort]]\nsignal = \"cpu_busy\"\nmax = 0.9\nfor = \"500ms\"\n")
        .replace("3s\"\n[[phase.load", "60s\"\n[[phase.load");
    let path = sandbox.write("guard.toml", &guard);
    let begun = std::time::Instant::now();
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "--format", "json", "-q"]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    assert!(begun.elapsed().as_secs() < 20);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(verdict["state"], "aborted");
}

#[test]
fn two_runs_at_once_never_share_a_folder() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = "name = \"idle\"\n[[phase]]\nname = \"watch\"\nduration = \"500ms\"\n";
    let path = sandbox.write("s.toml", text);
    let children: Vec<_> = (0..4)
        .map(|_| {
            sandbox
                .stressor(&["run", path.to_str().unwrap(), "-q"])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    for number in 1..=4 {
        assert!(sandbox.reports(&format!("run-{number}")).join("verdict.json").is_file());
    }
    let list = sandbox.run(&["list"]).stdout;
    assert_eq!(list.lines().count(), 5, "{list}");
}

#[test]
fn a_progress_on_no_terminal_is_plain_lines() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let path = sandbox.write("s.toml", &scenario("kind = \"cpu\"\nworkers = 1\nload = 5", 2.0));
    let outcome = sandbox.run(&["run", path.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("phase baseline (1 of 2)"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("worst case:"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains('\x1b'), "{:?}", outcome.stderr);
    assert!(outcome.stdout.contains("report.html"), "{}", outcome.stdout);
}

/// What the worker's own clock says it took, the kernel's account shows too:
/// a load that only the generator can see is none.
#[test]
fn partial_load_is_seen_by_the_kernel() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let verdict =
        sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = \"per-core\"\nload = 30", 6.0), &[]);
    let ranking = phase(&verdict, "load")["ranking"].as_array().unwrap();
    let cpu = ranking.iter().find(|ranked| ranked["resource"] == "cpu").expect("cpu");
    let seen = cpu["utilization"].as_f64().unwrap();
    assert!((0.25..=0.40).contains(&seen), "{seen}");
    assert!((verdict["loads"][0]["achieved"].as_f64().unwrap() - 0.3).abs() < 0.01);
}

#[test]
fn depth_puts_as_many_operations_in_flight() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let load = "kind = \"disk\"\naccess = \"random\"\nblock_size = \"512K\"\nfile_size = \"64M\"\ndirect = true\ndepth = 8";
    let verdict = sandbox.verdict(&scenario(load, 4.0), &[]);
    assert_eq!(verdict["overall"]["resource"], "disk", "{:#}", verdict["overall"]);
    assert_eq!(verdict["loads"][0]["workers"], 1);
    let evidence = phase(&verdict, "load")["verdict"]["evidence"].as_array().unwrap();
    let queue = evidence.iter().find(|one| one["signal"] == "disk_queue").expect("disk_queue");
    let in_flight = queue["value"].as_f64().unwrap();
    assert!((3.0..=9.0).contains(&in_flight), "{in_flight}");
}

#[test]
fn switches_and_forks_are_made_at_the_rate_asked_for() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let load =
        "kind = \"switch\"\nrate = 500\n[[phase.load]]\nkind = \"fork\"\nrate = 50\nnice = 5";
    let verdict = sandbox.verdict(&scenario(load, 4.0), &[]);
    for (at, (kind, rate)) in [("switch", 500.0), ("fork", 50.0)].into_iter().enumerate() {
        let load = &verdict["loads"][at];
        assert_eq!(load["kind"], kind);
        let achieved = load["achieved"].as_f64().unwrap();
        assert!((achieved / rate - 1.0).abs() < 0.05, "{kind}: {achieved}/s");
        assert_eq!(load["errors"], 0);
        assert!(load["latency"]["p50_s"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(verdict["overall"]["resource"], "none", "{:#}", verdict["overall"]);
}
