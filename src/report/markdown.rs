//! A short report for a pull request or an issue.

use std::fmt::Write as _;

use super::document::{fleet, headline, load_rows};
use crate::{
    analyze::outcome::Analysis,
    model::{run::Run, text::visible},
};

pub(super) fn render(run: &Run, analysis: &Analysis) -> Vec<u8> {
    let mut text = format!("## {}: {}\n\n", escaped(&analysis.run), escaped(&headline(analysis)));
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
                escaped(&verdict.resource),
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
                escaped(&row.kind),
                escaped(&row.requested),
                escaped(&row.achieved),
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
                escaped(&gate.stat),
                escaped(&gate.signal),
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

/// Text as text: nothing in it begins markup, ends a cell, is a link or calls a person.
/// An `@` or `#` is followed by a blank of no width, which no site takes for part of a name.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    let text = visible(text);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next_is_word = rest.peek().is_some_and(|next| next.is_alphanumeric());
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;&#8203;"),
            '#' if next_is_word || before == ' ' => out.push_str("&#35;&#8203;"),
            // A scheme makes a link of what follows it.
            ':' if rest.peek() == Some(&'/') => out.push_str("&#58;"),
            // Within a word it begins nothing: signals are called cpu_busy.
            '_' if before.is_alphanumeric() && next_is_word => out.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
        before = c;
    }
    // A site makes a link of a bare `www.` too.
    out.replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_is_markup() {
        for (text, written) in [
            ("![t](http://evil/x.png)", "\\!\\[t\\](http&#58;//evil/x.png)"),
            ("[a](javascript:x)", "\\[a\\](javascript:x)"),
            ("@everyone #1", "&#64;&#8203;everyone &#35;&#8203;1"),
            ("a|b\r\nc`d`<img>", "a\\|b c\\`d\\`&lt;img&gt;"),
            ("*a* _b_ ~c~ \\", "\\*a\\* \\_b\\_ \\~c\\~ \\\\"),
            ("p95 cpu_busy is 0.5 (limit 80 %), T+9 s", "p95 cpu_busy is 0.5 (limit 80 %), T+9 s"),
            ("\u{1b}[2J\u{202e}", "\\\\u{1b}\\[2J\\\\u{202e}"),
        ] {
            assert_eq!(escaped(text), written);
        }
    }
}
