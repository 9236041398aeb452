//! A short report for a pull request or an issue.

use std::fmt::Write as _;

use super::document::{fleet, headline, load_rows};
use crate::{analyze::outcome::Analysis, model::run::Run};

pub(super) fn render(run: &Run, analysis: &Analysis) -> Vec<u8> {
    let mut text = format!("## {}: {}\n\n", analysis.run, escaped(&headline(analysis)));
    if let Some(overall) = &analysis.overall {
        let _ = writeln!(text, "{}\n", escaped(&overall.statement));
    }
    for paragraph in fleet(analysis) {
        let _ = writeln!(text, "{}\n", escaped(&paragraph));
    }
    text.push_str("| node | phase | verdict | kind | grade | cause |\n| --- | --- | --- | --- | --- | --- |\n");
    for node in &analysis.nodes {
        for phase in &node.phases {
            let verdict = &phase.verdict;
            let device =
                verdict.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
            let label = run
                .manifest
                .phases
                .get(phase.index)
                .map_or_else(String::new, super::super::model::run::PhaseRecord::label);
            let _ = writeln!(
                text,
                "| {} | {} | {}{} | {} | {} | {} |",
                escaped(&node.node),
                escaped(&label),
                verdict.resource,
                escaped(&device),
                verdict.kind.name(),
                verdict.grade.name(),
                verdict.cause.name()
            );
        }
    }
    let loads = load_rows(run, analysis);
    if !loads.is_empty() {
        text.push_str("\n| phase | load | asked | achieved | p50 | p99 | errors |\n| --- | --- | --- | --- | --- | --- | --- |\n");
        for row in loads {
            let _ = writeln!(
                text,
                "| {} | {} × {} | {} | {} | {} | {} | {} |",
                escaped(&row.phase),
                row.workers,
                row.kind,
                row.requested,
                row.achieved,
                row.p50,
                row.p99,
                row.errors
            );
        }
    }
    if !analysis.thresholds.is_empty() {
        text.push_str("\n| gate | node | phase | result |\n| --- | --- | --- | --- |\n");
        for gate in &analysis.thresholds {
            let result = if gate.ok { "pass" } else { "**fail**" };
            let _ = writeln!(
                text,
                "| {} {} | {} | {} | {result}: {} |",
                gate.stat,
                gate.signal,
                escaped(&gate.node),
                escaped(&gate.phase),
                escaped(&gate.text)
            );
        }
    }
    for note in &analysis.validity.notes {
        let _ = writeln!(text, "\n> {}", escaped(note));
    }
    text.into_bytes()
}

/// What would end a cell or begin markup.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}
