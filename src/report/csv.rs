//! Every signal's points, one a line: for spreadsheets and notebooks.

use std::fmt::Write as _;

use crate::{
    analyze::workload,
    model::{catalogue, run::Run, series::Signal, text::visible},
};

pub(super) fn render(run: &Run) -> Vec<u8> {
    let mut text = String::from("node,signal,device,unit,time,value\n");
    for node in &run.nodes {
        for (name, signals) in &node.signals.signals {
            for signal in signals {
                add(&mut text, &node.record.name, name, signal);
            }
        }
    }
    for (name, signals) in &workload::signals(run).signals {
        for signal in signals {
            add(&mut text, "load", name, signal);
        }
    }
    text.into_bytes()
}

fn add(text: &mut String, node: &str, name: &str, signal: &Signal) {
    let unit = catalogue::unit_of(name).map_or("", |unit| unit.name());
    let name = quoted(name);
    let device = quoted(signal.device.as_deref().unwrap_or(""));
    for point in &signal.points {
        let _ = writeln!(text, "{},{name},{device},{unit},{},{}", quoted(node), point.t, point.v);
    }
}

/// As RFC 4180 has it. A spreadsheet takes a cell that begins with one of `= + - @`, a tab
/// or a line end for a formula; an apostrophe before it makes it text.
fn quoted(text: &str) -> String {
    let text = visible(text);
    let begins = text.trim_start().chars().next();
    let is_formula =
        begins.is_some_and(|first| "=+-@|%".contains(first)) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', ';', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("+1+1", "'+1+1"),
            ("-2", "-2"),
            ("  =1", "'  =1"),
            ("\t=1", "' =1"),
            ("a\"b", "\"a\"\"b\""),
            ("x\u{1b}[2J\u{202e}", "x\\u{1b}[2J\\u{202e}"),
            ("sda", "sda"),
        ] {
            assert_eq!(quoted(text), cell);
        }
    }
}
