//! The command line: help, completions, lists, exit codes of bad use.

use crate::support::Sandbox;

#[test]
fn bad_use_ends_with_two() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["run"][..],
        &["run", "nothing.toml"],
        &["report", "run-1"],
        &["report", "latest"],
        &["frobnicate"],
        &["scenario", "validate", "nothing.toml"],
    ] {
        let outcome = sandbox.run(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{arguments:?}: {}", outcome.stdout);
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_empty_list_says_what_to_do_and_is_valid_json() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["list"]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("stressor run"), "{}", outcome.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["list", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["runs"], serde_json::json!([]));
}

#[test]
fn completions_and_the_manual_are_printed() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = sandbox.run(&["completions", shell]);
        assert!(outcome.stdout.contains("stressor"), "{shell}");
    }
    let manual = sandbox.run(&["man"]).stdout;
    assert!(manual.contains(".TH stressor") && manual.contains("EXIT STATUS"), "{manual}");
}

#[test]
fn explain_and_dry_run_state_the_worst_case_and_start_nothing() {
    let sandbox = Sandbox::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/disk-write.toml");
    for arguments in [&["scenario", "explain", path][..], &["run", path, "--dry-run"]] {
        let outcome = sandbox.run(arguments);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(outcome.stdout.contains("worst case: 8 workers"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("1 GiB of scratch files"), "{}", outcome.stdout);
    }
    assert!(!sandbox.path().join("reports").exists());
}

#[test]
fn what_would_endanger_the_machine_is_refused_with_six() {
    let sandbox = Sandbox::new();
    let path = sandbox.write(
        "s.toml",
        "name = \"x\"\n[[phase]]\nname = \"a\"\nduration = \"1s\"\n[[phase.load]]\nkind = \"memory\"\nsize = \"99%\"\n[[phase.load]]\nkind = \"disk\"\ndirectory = \"/nonexistent\"\n",
    );
    let outcome = sandbox.run(&["run", path.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("must stay available"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("/nonexistent"), "{}", outcome.stderr);
    assert!(!sandbox.path().join("reports").exists());
}

#[test]
fn colours_are_for_terminals_only() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["report", "run-1"]);
    assert!(!outcome.stderr.contains('\x1b'), "{:?}", outcome.stderr);
}

#[test]
fn a_dry_run_is_one_json_document_when_asked() {
    let sandbox = Sandbox::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/disk-write.toml");
    let outcome = sandbox.run(&["run", path, "--dry-run", "--format", "json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (json["workers"].as_u64(), json["scratch_bytes"].as_u64()),
        (Some(8), Some(1 << 30))
    );
}

/// A machine whose /proc lies elsewhere, and says little.
#[test]
fn roots_are_parameters_and_what_is_absent_is_said() {
    let _machine = crate::support::machine();
    let sandbox = Sandbox::new();
    let proc = sandbox.path().join("proc");
    std::fs::create_dir(&proc).unwrap();
    std::fs::write(proc.join("meminfo"), "MemTotal: 1000 kB\nMemAvailable: 500 kB\n").unwrap();
    let text = "name = \"x\"\n[telemetry]\ninterval = \"200ms\"\n[[phase]]\nname = \"watch\"\nduration = \"2s\"\n";
    let path = sandbox.write("s.toml", text);
    let outcome = sandbox.run(&[
        "run",
        path.to_str().unwrap(),
        "--format",
        "json",
        "-q",
        "--procfs",
        "proc",
        "--sysfs",
        "proc",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json["overall"]["kind"], "unknown", "{:#}", json["overall"]);
    let statement = json["overall"]["statement"].as_str().unwrap();
    assert!(statement.contains("cpu") && statement.contains("disk"), "{statement}");
    // Memory was seen, at half.
    let ranking = json["nodes"][0]["phases"][0]["ranking"].as_array().unwrap();
    assert!(
        ranking.iter().any(|ranked| ranked["resource"] == "memory" && ranked["utilization"] == 0.5)
    );
}
