//! Reports are a pure function of the folder.

use std::fs;

use crate::support::{Sandbox, scenario};

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let sandbox = Sandbox::new();
    sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = 1\nload = 50", 3.0), &[]);
    let folder = sandbox.reports("run-1");
    let names = ["report.html", "report.png", "verdict.json"];
    let first: Vec<Vec<u8>> =
        names.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect();
    // Elsewhere, under another name, with another time zone and language.
    let moved = sandbox.path().join("elsewhere");
    fs::create_dir(&moved).unwrap();
    fs::rename(&folder, moved.join("copy")).unwrap();
    let output = sandbox
        .stressor(&["report", "elsewhere/copy", "-q"])
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "tr_TR.UTF-8")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (name, bytes) in names.iter().zip(first) {
        assert!(fs::read(moved.join("copy").join(name)).unwrap() == bytes, "{name} differs");
    }
}

#[test]
fn every_format_is_written() {
    let sandbox = Sandbox::new();
    sandbox.verdict(&scenario("kind = \"cpu\"\nworkers = 1\nload = 50", 3.0), &[]);
    let outcome = sandbox.run(&[
        "report",
        "latest",
        "--format",
        "html,png,json,csv,junit,md",
        "--output",
        "out",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let out = sandbox.path().join("out");
    let text = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert!(fs::read(out.join("report.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(text("signals.csv").contains(",cpu_busy,"));
    assert!(text("junit.xml").contains("<testcase"));
    assert!(text("report.md").starts_with("## run-1"));
    assert!(text("verdict.json").contains("\"schema\": 1"));
    assert_eq!(sandbox.run(&["report", "latest", "--format", "pdf"]).code, Some(2));
}

#[test]
fn a_run_of_a_later_version_is_refused_with_its_reason() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path().join("reports/run-9");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("run.json"), "{\"schema\": 99}").unwrap();
    let outcome = sandbox.run(&["report", "run-9"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("use a later stressor"), "{}", outcome.stderr);
}
