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
