//! The verdict on one screen of a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::document::{fleet, headline, load_rows, order, tone};
use crate::{
    analyze::outcome::{Analysis, Kind},
    model::{run::Run, units::three_digits},
};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The report for a terminal this many columns wide, with ANSI colours; the
/// caller strips them where they are not wanted.
pub fn render(run: &Run, analysis: &Analysis, columns: usize) -> String {
    let width = columns.clamp(40, 110);
    let mut out = String::new();
    let kind = analysis.overall.as_ref().map_or(Kind::Unknown, |overall| overall.kind);
    let (_, mark) = tone(kind);
    let style = style(kind);
    let _ = writeln!(out, "{style}{mark} {}{style:#}", headline(analysis));
    if let Some(overall) = &analysis.overall {
        for line in wrapped(&overall.statement, width - 2) {
            let _ = writeln!(out, "  {line}");
        }
        let _ = writeln!(
            out,
            "  {DIM}grade {}, cause {}{DIM:#}",
            overall.grade.name(),
            overall.cause.name()
        );
    }
    for text in fleet(analysis) {
        out.push('\n');
        for line in wrapped(&text, width - 2) {
            let _ = writeln!(out, "  {line}");
        }
    }
    phases(run, analysis, width, &mut out);
    loads(run, analysis, width, &mut out);
    gates(analysis, &mut out);
    leading_details(analysis, width, &mut out);
    let level = analysis.validity.level.name();
    let _ = writeln!(out, "\n{BOLD}data{BOLD:#} {level}");
    for note in &analysis.validity.notes {
        for (at, line) in wrapped(note, width - 4).into_iter().enumerate() {
            let bullet = if at == 0 { "·" } else { " " };
            let _ = writeln!(out, "  {bullet} {line}");
        }
    }
    out
}

/// Phases that have a line.
const MOST_LINES: usize = 30;

fn phases(run: &Run, analysis: &Analysis, width: usize, out: &mut String) {
    // More phases than fit a screen: those that say something.
    let many = analysis.nodes.iter().map(|node| node.phases.len()).sum::<usize>() > 10;
    let _ = writeln!(out);
    let (mut lines, mut left_out) = (0, 0);
    for node in order(analysis).into_iter().filter_map(|at| analysis.nodes.get(at)) {
        for phase in &node.phases {
            let verdict = &phase.verdict;
            if many && verdict.kind == Kind::None {
                continue;
            }
            lines += 1;
            if lines > MOST_LINES {
                left_out += 1;
                continue;
            }
            let (_, mark) = tone(verdict.kind);
            let style = style(verdict.kind);
            let label = run
                .manifest
                .phases
                .get(phase.index)
                .map_or_else(|| phase.phase.clone(), super::super::model::run::PhaseRecord::label);
            let device =
                verdict.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
            let top: Vec<String> = phase
                .ranking
                .iter()
                .filter(|ranked| ranked.utilization.is_some() && ranked.resource != "cpu-core")
                .take(3)
                .map(|ranked| {
                    format!(
                        "{} {} %",
                        ranked.resource,
                        three_digits(ranked.utilization.unwrap_or(0.0) * 100.0)
                    )
                })
                .collect();
            let name = format!("{} {label}", node.node);
            let word = match verdict.kind {
                Kind::None | Kind::Unknown => verdict.kind.name().to_owned(),
                kind => format!("{}{device} {}", verdict.resource, kind.name()),
            };
            let room = width.saturating_sub(52);
            let top = shortened(&top.join(", "), room);
            let _ = writeln!(
                out,
                "  {name:<24.24} {style}{mark} {word:<22.22}{style:#} {DIM}{top}{DIM:#}"
            );
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "  {DIM}and {left_out} more; all are in verdict.json{DIM:#}");
    }
}

fn loads(run: &Run, analysis: &Analysis, width: usize, out: &mut String) {
    let rows = load_rows(run, analysis);
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{BOLD}load{BOLD:#}");
    for row in rows.iter().take(8) {
        let text = format!(
            "{}: {} {}, {} of {}; {} operations, latency p50 {}, p99 {}, max {}; {} errors",
            row.phase,
            row.workers,
            row.kind,
            row.achieved,
            row.requested,
            row.operations,
            row.p50,
            row.p99,
            row.max,
            row.errors
        );
        for (at, line) in wrapped(&text, width - 4).into_iter().enumerate() {
            let indent = if at == 0 { "  " } else { "    " };
            let _ = writeln!(out, "{indent}{line}");
        }
        for remark in &row.remarks {
            for line in wrapped(remark, width - 4) {
                let _ = writeln!(out, "    {DIM}{line}{DIM:#}");
            }
        }
    }
    if rows.len() > 8 {
        let _ = writeln!(out, "  {DIM}and {} more in the report{DIM:#}", rows.len() - 8);
    }
}

fn gates(analysis: &Analysis, out: &mut String) {
    if analysis.thresholds.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{BOLD}gates{BOLD:#}");
    for gate in &analysis.thresholds {
        let (style, mark) =
            if gate.ok { (color(AnsiColor::Green), "✓") } else { (color(AnsiColor::Red), "✗") };
        let _ = writeln!(
            out,
            "  {style}{mark}{style:#} {} of {} on {}, phase {}: {}",
            gate.stat, gate.signal, gate.node, gate.phase, gate.text
        );
    }
}

/// What follows, what is next, what was not seen.
fn leading_details(analysis: &Analysis, width: usize, out: &mut String) {
    let Some(overall) = &analysis.overall else { return };
    let leading = analysis
        .nodes
        .iter()
        .filter(|node| node.node == overall.node)
        .flat_map(|node| &node.phases)
        .find(|phase| phase.phase == overall.phase && phase.level == overall.level);
    let Some(verdict) = leading.map(|phase| &phase.verdict) else { return };
    let mut say = |title: &str, text: String| {
        if text.is_empty() {
            return;
        }
        for (at, line) in wrapped(&text, width - 12).into_iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            let _ = writeln!(out, "{BOLD}{title:<11}{BOLD:#} {line}");
        }
    };
    say("\nconsequence", join(verdict.consequences.iter().map(|mention| mention.text.clone())));
    if overall.kind != Kind::None {
        say("\nnext", verdict.next.as_ref().map_or_else(String::new, |next| next.text.clone()));
    }
    say(
        "\nnot seen",
        join(verdict.unobserved.iter().map(|mention| {
            let device =
                mention.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
            format!("{}{device}", mention.resource)
        })),
    );
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn style(kind: Kind) -> Style {
    match kind {
        Kind::Saturated | Kind::Full => color(AnsiColor::Red).bold(),
        Kind::Near => color(AnsiColor::Yellow).bold(),
        Kind::None | Kind::Idle => color(AnsiColor::Green).bold(),
        Kind::Unknown => Style::new().bold(),
    }
}

const fn color(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(color)))
}

fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Break at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let fits = lines.last().is_some_and(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        match lines.last_mut() {
            Some(line) if fits => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaaa b", 4), ["aaaaaaaa", "b"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
