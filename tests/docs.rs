//! The manual says what the program knows.

use std::{fmt::Write as _, fs};

use stressor::scenario::keys::{Key, Kind, LOAD_COMMON, LOADS, SCENARIO};

fn table(out: &mut String, heading: &str, keys: &[Key]) {
    let _ = writeln!(out, "\n### {heading}\n\n| key | required | meaning |\n| --- | --- | --- |");
    for key in keys {
        let required = if key.required { "yes" } else { "" };
        let _ = writeln!(out, "| `{}` | {required} | {} |", key.name, key.doc);
    }
    for key in keys {
        match key.kind {
            Kind::Table(keys) => table(out, &format!("[{}]", key.name), keys),
            Kind::Tables(keys) => table(out, &format!("[[{}]]", key.name), keys),
            _ => (),
        }
    }
}

/// The section that docs/scenarios.md must end with.
fn keys() -> String {
    let mut out = String::new();
    table(&mut out, "The file", SCENARIO);
    table(&mut out, "[[phase.load]], every kind", LOAD_COMMON);
    for kind in LOADS {
        let _ = writeln!(out, "\nKind `{}`: {}", kind.name, kind.doc);
        table(&mut out, &format!("[[phase.load]] of kind {}", kind.name), kind.keys);
    }
    out
}

#[test]
fn the_manual_has_every_signal() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/signals.md");
    let manual = fs::read_to_string(path).expect("docs/signals.md");
    let table = stressor::model::catalogue::markdown();
    assert!(
        manual.ends_with(&table),
        "docs/signals.md must end with what `stressor signals --format markdown` prints"
    );
}

#[test]
fn the_manual_has_every_resource() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verdicts.md");
    let manual = fs::read_to_string(path).expect("docs/verdicts.md");
    let resources = stressor::analyze::manual::markdown();
    assert!(
        manual.ends_with(&resources),
        "docs/verdicts.md must end with what `stressor signals --resources` prints"
    );
}

#[test]
fn the_manual_has_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scenarios.md");
    let manual = fs::read_to_string(path).expect("docs/scenarios.md");
    let keys = keys();
    assert!(manual.ends_with(&keys), "docs/scenarios.md must end with:\n{keys}");
}
