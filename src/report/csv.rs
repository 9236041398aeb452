//! Every signal's points, one a line: for spreadsheets and notebooks.

use std::fmt::Write as _;

use crate::{
    analyze::workload,
    model::{catalogue, run::Run, series::Signal},
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
    let device = quoted(signal.device.as_deref().unwrap_or(""));
    for point in &signal.points {
        let _ = writeln!(text, "{},{name},{device},{unit},{},{}", quoted(node), point.t, point.v);
    }
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
