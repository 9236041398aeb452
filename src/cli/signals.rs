//! `stressor signals`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    args::{Catalogue, SignalsArgs},
    exit::{Exit, Failure},
    output,
};
use crate::{
    analyze::manual,
    model::catalogue::{self, SIGNALS, SignalRow},
};

/// One row, as `--format json` prints it.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    resource: &'static str,
    class: &'static str,
    unit: &'static str,
    source: &'static str,
    metrics: Vec<&'static str>,
    promql: Option<String>,
    what: &'static str,
}

impl Row {
    fn of(row: &SignalRow) -> Self {
        Self {
            name: row.name,
            resource: row.resource,
            class: row.class.name(),
            unit: row.unit.name(),
            source: row.source(),
            metrics: row.expr.metrics(),
            promql: row.in_prometheus.then(|| row.expr.promql("", "$window")),
            what: row.what,
        }
    }
}

pub(super) fn signals(args: &SignalsArgs) -> Result<Exit, Failure> {
    if args.resources {
        output::text(&manual::markdown());
        return Ok(Exit::Done);
    }
    match args.format {
        Catalogue::Text => output::text(&text()),
        Catalogue::Markdown => output::text(&catalogue::markdown()),
        Catalogue::Json => {
            let rows: Vec<Row> = SIGNALS.iter().map(Row::of).collect();
            let text = serde_json::to_string_pretty(&rows)
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            output::bytes(format!("{text}\n").as_bytes());
        }
    }
    Ok(Exit::Done)
}

fn text() -> String {
    let mut text = String::new();
    let mut resource = "";
    for row in SIGNALS {
        if row.resource != resource {
            resource = row.resource;
            let _ = writeln!(text, "\n{resource}");
        }
        let _ = writeln!(
            text,
            "  {:<28} {:<12} {:<16} {}",
            row.name,
            row.class.name(),
            row.unit.name(),
            row.what
        );
        if row.in_prometheus {
            let _ = writeln!(text, "  {:<28} {}", "", row.expr.promql("", "$window"));
        } else {
            let from =
                if row.is_companion() { "another exporter" } else { "the embedded sampler only" };
            let _ = writeln!(text, "  {:<28} {from}", "");
        }
    }
    text
}
