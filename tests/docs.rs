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

/// Stands before the generated part of a page.
const MARKER: &str =
    "<!-- Generated: `UPDATE_DOCS=1 cargo test --test docs` rewrites what follows. -->";

/// Asserts that a page of the manual ends with the generated text. With `UPDATE_DOCS=1`
/// the page is rewritten from the marker on.
#[expect(clippy::expect_used, reason = "a page that cannot be read fails the test")]
fn assert_page_ends_with(page: &str, generated: &str) {
    let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(&path).expect("the page is readable");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let (head, _) = manual.split_once(MARKER).expect("the page has the marker");
        let page = format!("{}\n\n{MARKER}\n\n{}", head.trim_end(), generated.trim_start());
        fs::write(&path, page).expect("the page is writable");
        return;
    }
    assert!(
        manual.ends_with(&format!("{MARKER}\n\n{}", generated.trim_start())),
        "docs/{page} is out of date: run `UPDATE_DOCS=1 cargo test --test docs`"
    );
}

#[test]
fn the_manual_has_every_signal() {
    assert_page_ends_with("signals.md", &stressor::model::catalogue::markdown());
}

#[test]
fn the_manual_has_every_resource() {
    assert_page_ends_with("verdicts.md", &stressor::analyze::manual::markdown());
}

#[test]
fn the_manual_has_every_key() {
    assert_page_ends_with("scenarios.md", &keys());
}
