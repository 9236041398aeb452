//! Ours against the tools made for one resource each, on this machine.
//!
//! `cargo bench --bench peers [-- FILTER]` runs both in turn, A B A B, five
//! pairs each, and writes the table into benches/README.md. Debian has all
//! peers: apt-get install stress stress-ng fio iperf3 wrk hey gcc. One that is
//! missing leaves its rows out, and the table says so. `PAIRS=1` is a quick look.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod measure;
mod rows;

use std::{fmt::Write as _, path::Path};

use rows::{Better, Row};

/// A figure of one side, or why there is none.
type Figure = Result<f64, Box<dyn std::error::Error>>;

const BEGIN: &str = "<!-- peers: begin -->";
const END: &str = "<!-- peers: end -->";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let pairs = std::env::var("PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let mut lines = Vec::new();
    for row in rows::all() {
        if filter.as_ref().is_some_and(|filter| !row.what.contains(filter.as_str())) {
            continue;
        }
        let line = match compare(&row, pairs) {
            Ok(line) => line,
            Err(error) => {
                format!("| {} | {} | – | – | – | – | not measured: {error} |", row.what, row.peer)
            }
        };
        println!("{line}");
        lines.push(line);
    }
    if filter.is_none() {
        write(&lines, pairs)?;
    }
    Ok(())
}

/// Both sides in turn; one line of the table.
fn compare(row: &Row, pairs: usize) -> Result<String, Box<dyn std::error::Error>> {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let (a, b) = ((row.ours)()?, (row.theirs)()?);
        ours.push(a);
        theirs.push(b);
        ratios.push(a / b);
    }
    let ratio = median(&mut ratios);
    let (low, high) = (ratios.first().copied(), ratios.last().copied());
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let held = match row.better {
        // As precise as the table tells it.
        Better::Ratio(least) => (ratio * 100.0).round() / 100.0 >= least,
        Better::AtMost(most) => ours <= most,
    };
    let asked = match row.better {
        Better::Ratio(least) => format!("≥ {least}"),
        Better::AtMost(most) => format!("≤ {} {}", show(most), row.unit),
    };
    Ok(format!(
        "| {} | {} | {} {} | {} | {:.2} ({:.2}–{:.2}) | {asked} {} |",
        row.what,
        row.peer,
        show(ours),
        row.unit,
        show(theirs),
        ratio,
        low.unwrap_or(f64::NAN),
        high.unwrap_or(f64::NAN),
        if held { "✓" } else { "✗" },
    ))
}

/// Sorts; the middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn show(value: f64) -> String {
    stressor::model::units::three_digits(value)
}

fn write(lines: &[String], pairs: usize) -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/README.md");
    let text = std::fs::read_to_string(&path)?;
    let (Some(from), Some(to)) = (text.find(BEGIN), text.find(END)) else {
        return Err(std::io::Error::other("benches/README.md has lost its markers"));
    };
    let mut table = format!(
        "{BEGIN}\n\nMedians of {pairs} pairs, A B A B; the ratio is ours by theirs, with its lowest and highest.\n{}.\n\n| what | against | ours | theirs | ratio | asked |\n| --- | --- | --- | --- | --- | --- |\n",
        measure::versions()
    );
    for line in lines {
        let _ = writeln!(table, "{line}");
    }
    table.push_str("\nCommand lines of the peers:\n\n");
    for row in rows::all() {
        let _ = writeln!(table, "- {}: `{}`", row.what, row.command);
    }
    table.push('\n');
    let (before, after) = (text.get(..from).unwrap_or(""), text.get(to..).unwrap_or(""));
    std::fs::write(path, format!("{before}{table}{after}"))
}
