//! A scenario: TOML text in, a validated [`plan::Plan`] out; or the description
//! of a set-up ([`setup::Setup`]). Pure.

pub mod diagnostic;
pub mod explain;
pub mod keys;
pub mod plan;
pub mod schema;
pub mod setup;
pub mod telemetry;

mod build;
mod check;
mod tree;

use std::collections::BTreeSet;

use crate::model::text::{LONGEST_NAME, short};
use diagnostic::{Diagnostic, Source};
use plan::{NodePlan, Plan};
use setup::Setup;
use tree::Node;

/// A scenario that cannot be used, with every reason that was found.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    /// All diagnostics, rendered.
    pub text: String,
    /// How many there are.
    pub count: usize,
}

/// Parse and validate a scenario.
///
/// `name` is the file's name for messages; `overrides` are `key=value` texts
/// of `--set`, applied in order.
///
/// # Errors
/// With all diagnostics: TOML syntax, unknown keys, wrong types, impossible
/// values, each with file, line, column and what is allowed.
pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Plan, Error> {
    let source = source(name, text, overrides)?;
    let mut diagnostics = Vec::new();
    let tree = tree::parse(&source, &mut diagnostics);
    let plan = tree.as_ref().and_then(|tree| {
        check::check(tree, keys::SCENARIO, &mut diagnostics);
        build::plan(tree, &mut diagnostics)
    });
    if let (Some(plan), Some(tree), true) = (&plan, &tree, diagnostics.is_empty()) {
        check_sets(name, &source, overrides, plan, tree, &mut diagnostics);
    }
    match plan {
        Some(plan) if diagnostics.is_empty() => Ok(plan),
        _ => Err(render(&source, diagnostics)),
    }
}

/// Bytes of a scenario or `stack.toml` at most: one of ten thousand nodes has 1 MB.
pub const LONGEST: usize = 4 << 20;
/// Phases and nodes that all different `set`s of nodes are tried with at most.
const MOST_TRIED: usize = 4_000_000;
/// Nodes whose wrong `set` is reported.
const MOST_WRONG_SETS: usize = 10;

fn source(name: &str, text: &str, overrides: &[String]) -> Result<Source, Error> {
    if text.len() <= LONGEST && overrides.iter().map(String::len).sum::<usize>() <= LONGEST {
        return Ok(Source::new(name, text, overrides));
    }
    let name = short(name, LONGEST_NAME);
    let most = LONGEST >> 20;
    let text = format!("error: {name} is longer than {most} MiB, so it is no scenario or set-up");
    Err(Error { text, count: 1 })
}

/// Try each node's `set`; nodes with the same one are alike.
fn check_sets(
    name: &str,
    source: &Source,
    overrides: &[String],
    plan: &Plan,
    tree: &Node,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut tried: BTreeSet<&[String]> = BTreeSet::new();
    let mut left = MOST_TRIED;
    for node in plan.nodes.iter().filter(|node| !node.set.is_empty()) {
        if !tried.insert(&node.set) {
            continue;
        }
        let loads = plan.phases.iter().map(|phase| phase.loads.len() + 1).sum::<usize>();
        let place = || build::place_of_set(tree, &node.name);
        let Some(rest) = left.checked_sub(plan.nodes.len() + loads) else {
            diagnostics.push(
                Diagnostic::new(place(), "the nodes have too many different `set`s to be checked")
                    .hint("give nodes that are alike the same one, or write several scenarios"),
            );
            return;
        };
        left = rest;
        if let Err(why) = changed((name, source.text()), overrides, plan, tree, node) {
            let what = format!("node {:?} cannot have this `set`: {why}", node.name);
            diagnostics.push(
                Diagnostic::new(place(), what)
                    .hint("it changes what a load does on this node: phase.PHASE.load.KEY=VALUE"),
            );
            if diagnostics.len() >= MOST_WRONG_SETS {
                return;
            }
        }
    }
}

/// The plan as one node carries it out: with what its `set` changes, and without
/// the loads of other nodes.
///
/// # Errors
/// As [`parse`].
pub fn parse_for(name: &str, text: &str, overrides: &[String], node: &str) -> Result<Plan, Error> {
    let plan = parse(name, text, overrides)?;
    let set = plan.nodes.iter().find(|one| one.name == node).filter(|one| !one.set.is_empty());
    let tree = set.and_then(|_| tree::parse(&Source::new(name, text, overrides), &mut Vec::new()));
    let plan = match set
        .zip(tree)
        .map(|(one, tree)| changed((name, text), overrides, &plan, &tree, one))
    {
        Some(Ok(changed)) => changed,
        // `parse` has refused what cannot be changed.
        Some(Err(_)) | None => plan,
    };
    Ok(plan.on_node(node))
}

/// The plan with what a node's `set` changes, or why it must not. `tree`: what the text and
/// the overrides came to.
fn changed(
    (name, text): (&str, &str),
    overrides: &[String],
    plan: &Plan,
    tree: &Node,
    node: &NodePlan,
) -> Result<Plan, String> {
    let all: Vec<String> = overrides.iter().chain(&node.set).cloned().collect();
    let source = Source::new(name, text, &all);
    let mut diagnostics = Vec::new();
    let mut tree = tree.clone();
    tree::apply(&mut tree, &source, overrides.len(), &mut diagnostics);
    check::check(&tree, keys::SCENARIO, &mut diagnostics);
    let changed = match build::plan(&tree, &mut diagnostics) {
        Some(changed) if diagnostics.is_empty() => changed,
        _ => return Err(render(&source, diagnostics).text),
    };
    if changed.in_common() != plan.in_common() {
        return Err("it would change more than loads, which all nodes share".to_owned());
    }
    Ok(changed)
}

/// Parse and validate a `stack.toml`.
///
/// # Errors
/// As [`parse`].
pub fn parse_stack(name: &str, text: &str, overrides: &[String]) -> Result<Setup, Error> {
    let source = source(name, text, overrides)?;
    let mut diagnostics = Vec::new();
    let setup = tree::parse(&source, &mut diagnostics).and_then(|tree| {
        check::check(&tree, keys::STACK, &mut diagnostics);
        build::setup::setup(&tree, &mut diagnostics)
    });
    match setup {
        Some(setup) if diagnostics.is_empty() => Ok(setup),
        _ => Err(render(&source, diagnostics)),
    }
}

/// Diagnostics that are shown; who has more begins with these.
const MOST_SHOWN: usize = 30;

fn render(source: &Source, mut diagnostics: Vec<Diagnostic>) -> Error {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    diagnostics.dedup();
    let shown = diagnostics.iter().take(MOST_SHOWN).map(|one| one.render(source));
    let mut text = shown.collect::<Vec<_>>().join("\n\n");
    if let Some(more) = diagnostics.len().checked_sub(MOST_SHOWN + 1) {
        text.push_str(&format!("\n\nerror: and {} more", more + 1));
    }
    Error { count: diagnostics.len(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: &str = "name = \"x\"\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n";

    #[test]
    fn a_file_of_mistakes_is_short_to_tell() {
        let keys: Vec<String> = (0..50_000).map(|n| format!("key{n} = 1\n")).collect();
        let keys = keys.concat();
        let phases = "[[phase]]\nname = \"p\"\nduration = \"1s\"\n".repeat(20_000);
        for text in [format!("{keys}{PHASE}"), format!("{PHASE}{phases}")] {
            let begun = std::time::Instant::now();
            let error = parse("x", &text, &[]).unwrap_err();
            assert!(error.count > 10_000 && error.text.len() < 200_000);
            assert!(error.text.contains("more"), "{}", error.text.len());
            // A debug build on a busy machine; it was minutes.
            assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
        }
        let long = format!("{PHASE}# {}", "x".repeat(LONGEST));
        assert!(parse("x", &long, &[]).unwrap_err().text.contains("4 MiB"));
    }

    #[test]
    fn nodes_with_the_same_set_are_tried_once() {
        let load = "[[phase.load]]\nkind = \"cpu\"\nworkers = 1\n";
        let nodes = |set: &dyn Fn(usize) -> String| -> String {
            let node = |n| format!("[[node]]\nname = \"n{n}\"\nset = [\"{}\"]\n", set(n));
            (0..2000).map(node).collect::<Vec<_>>().concat()
        };
        let same = nodes(&|_| "phase.p.load.workers=2".to_owned());
        let plan = parse("x", &format!("{PHASE}{load}{same}"), &[]).unwrap();
        assert_eq!(plan.nodes.len(), 2000);
        let wrong = nodes(&|n| format!("phase.p.load.wrong{n}=2"));
        let error = parse("x", &format!("{PHASE}{load}{wrong}"), &[]).unwrap_err();
        assert_eq!(error.count, MOST_WRONG_SETS);
    }

    #[test]
    fn few_bytes_do_not_make_millions_of_phases() {
        let load = "[[phase.load]]\nkind = \"cpu\"\n";
        let ramp = "ramp = {from = 1, to = 1000, steps = 1000, hold = \"1s\"}\n";
        let phase = |n| format!("[[phase]]\nname = \"p{n}\"\n{ramp}{load}");
        let phases = (0..100).map(phase).collect::<Vec<_>>().concat();
        let error = parse("x", &format!("name = \"x\"\n{phases}"), &[]).unwrap_err();
        assert!(error.text.contains("phases in all"), "{}", error.text);
        let loads = load.repeat(5000);
        let text = format!("name = \"x\"\n[[phase]]\nname = \"p\"\n{ramp}{loads}");
        assert!(parse("x", &text, &[]).unwrap_err().text.contains("loads in all"));
    }
}
