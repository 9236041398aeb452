//! A scenario: TOML text in, a validated [`plan::Plan`] out; or the description
//! of a set-up ([`setup::Setup`]). Pure.

pub mod diagnostic;
pub mod explain;
pub mod keys;
pub mod plan;
pub mod schema;
pub mod setup;

mod build;
mod check;
mod tree;

use diagnostic::{Diagnostic, Source};
use plan::Plan;
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
    let plan = tree::parse(&source, &mut diagnostics).and_then(|tree| {
        check::check(&tree, keys::SCENARIO, &mut diagnostics);
        build::plan(&tree, &mut diagnostics)
    });
    match plan {
        Some(plan) if diagnostics.is_empty() => Ok(plan),
        _ => Err(render(&source, diagnostics)),
    }
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
