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

use diagnostic::{Diagnostic, Source};
use plan::{NodePlan, Plan};
use setup::Setup;

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
    let source = Source::new(name, text, overrides);
    let mut diagnostics = Vec::new();
    let tree = tree::parse(&source, &mut diagnostics);
    let plan = tree.as_ref().and_then(|tree| {
        check::check(tree, keys::SCENARIO, &mut diagnostics);
        build::plan(tree, &mut diagnostics)
    });
    if let (Some(plan), Some(tree), true) = (&plan, &tree, diagnostics.is_empty()) {
        for node in plan.nodes.iter().filter(|node| !node.set.is_empty()) {
            if let Err(why) = changed(name, text, overrides, plan, node) {
                let place = build::place_of_set(tree, &node.name);
                let what = format!("node {:?} cannot have this `set`: {why}", node.name);
                diagnostics.push(
                    Diagnostic::new(place, what).hint(
                        "it changes what a load does on this node: phase.PHASE.load.KEY=VALUE",
                    ),
                );
            }
        }
    }
    match plan {
        Some(plan) if diagnostics.is_empty() => Ok(plan),
        _ => Err(render(&source, diagnostics)),
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
    let plan = match set.map(|one| changed(name, text, overrides, &plan, one)) {
        Some(Ok(changed)) => changed,
        // `parse` has refused what cannot be changed.
        Some(Err(_)) | None => plan,
    };
    Ok(plan.on_node(node))
}

/// The plan with what a node's `set` changes, or why it must not.
fn changed(
    name: &str,
    text: &str,
    overrides: &[String],
    plan: &Plan,
    node: &NodePlan,
) -> Result<Plan, String> {
    let all: Vec<String> = overrides.iter().chain(&node.set).cloned().collect();
    let source = Source::new(name, text, &all);
    let mut diagnostics = Vec::new();
    let changed = tree::parse(&source, &mut diagnostics).and_then(|tree| {
        check::check(&tree, keys::SCENARIO, &mut diagnostics);
        build::plan(&tree, &mut diagnostics)
    });
    let changed = match changed {
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
    let source = Source::new(name, text, overrides);
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

fn render(source: &Source, mut diagnostics: Vec<Diagnostic>) -> Error {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    diagnostics.dedup();
    let texts: Vec<String> = diagnostics.iter().map(|one| one.render(source)).collect();
    Error { count: texts.len(), text: texts.join("\n\n") }
}
