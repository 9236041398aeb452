//! The dependency direction of `src/`, kept by `cargo test`.
//!
//! Cargo forbids cycles between crates and says nothing about cycles between
//! modules of one crate. This test says it.

#![expect(clippy::expect_used, reason = "a test's helpers fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each module, and the modules it may name.
///
/// Only modules further up the table may appear on the right, so a cycle
/// cannot be written down.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("scenario", &["model"]),
    ("host", &["model"]),
    ("load", &["model", "scenario", "host"]),
    ("telemetry", &["model", "scenario", "host"]),
    ("store", &["model", "scenario"]),
    ("analyze", &["model"]),
    ("report", &["model", "analyze"]),
    ("fleet", &["model", "scenario", "host"]),
    ("run", &["model", "scenario", "host", "load", "telemetry", "store", "fleet"]),
    ("stack", &["model", "scenario", "host", "telemetry", "analyze"]),
    (
        "cli",
        &[
            "model",
            "scenario",
            "host",
            "load",
            "telemetry",
            "store",
            "analyze",
            "report",
            "fleet",
            "run",
            "stack",
        ],
    ),
];

/// Modules that compute and never touch the outside world.
const PURE: &[&str] = &["model", "scenario", "analyze", "report"];
const IMPURE_STD: &[&str] = &["fs", "net", "process", "thread", "env"];
const CLOCKS: &[&str] = &["SystemTime::now", "Instant::now"];

#[test]
fn the_table_admits_no_cycle() {
    let mut seen = BTreeSet::new();
    for (module, may_use) in MAY_USE {
        for used in *may_use {
            assert!(seen.contains(used), "{module} may use {used}, which stands below it");
        }
        seen.insert(module);
    }
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        let text = code_of(&path);
        let may_use = table
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} is missing from MAY_USE: give it a place"));
        for used in first_segments(&text, "crate::") {
            if used != module
                && table.contains_key(used.as_str())
                && !may_use.contains(&used.as_str())
            {
                wrong.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden dependencies:\n  {}", wrong.join("\n  "));
}

#[test]
fn pure_modules_do_no_io_and_read_no_clock() {
    let mut wrong = Vec::new();
    for (_, path) in sources().iter().filter(|(module, _)| PURE.contains(&module.as_str())) {
        let text = code_of(path);
        let std_modules = first_segments(&text, "std::");
        let io = IMPURE_STD.iter().filter(|name| std_modules.contains(**name));
        let clocks = CLOCKS.iter().filter(|call| text.contains(**call));
        wrong.extend(io.chain(clocks).map(|name| format!("{}: {name}", path.display())));
    }
    assert!(wrong.is_empty(), "the outside world in a pure module:\n  {}", wrong.join("\n  "));
}

/// Every source file below `src/`, with the top-level module it belongs to.
fn sources() -> Vec<(String, PathBuf)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(&src).expect("found below src");
            let first = relative.components().next().expect("a file has a name");
            let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            if !["lib", "main", "bin"].contains(&module.as_str()) {
                found.push((module, path));
            }
        }
    }
    found
}

/// The file's text without comments and without its inline tests.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file is readable");
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first segment after every `root`, groups included.
fn first_segments(text: &str, root: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for tail in text.split(root).skip(1) {
        match tail.strip_prefix('{') {
            None => drop(names.insert(leading_name(tail))),
            Some(group) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in group.chars() {
                    match c {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.insert(leading_name(item.trim_start()));
                            item.clear();
                            continue;
                        }
                        _ => (),
                    }
                    item.push(c);
                }
                names.insert(leading_name(item.trim_start()));
            }
        }
    }
    names
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
