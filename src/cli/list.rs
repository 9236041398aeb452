//! `stressor list`.

use std::fs;

use serde::Serialize;

use super::{
    args::{ListArgs, Printed},
    exit::{Exit, Failure},
    output,
};
use crate::{
    model::{
        run::{Manifest, State},
        time::Timestamp,
        units::show_duration,
    },
    report::Format,
    store::{
        folder::{self, RunFolder},
        journal,
    },
};

#[derive(Serialize)]
struct Row {
    run: String,
    scenario: String,
    state: &'static str,
    start: Timestamp,
    seconds: Option<f64>,
    verdict: Option<String>,
}

#[derive(Serialize)]
struct Listing {
    schema: u32,
    runs: Vec<Row>,
}

pub(super) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let runs: Vec<Row> = folder::list(&args.reports.reports)?
        .into_iter()
        .map(|(folder, manifest)| row(&folder, manifest))
        .collect();
    match args.format {
        Printed::Json => {
            let text = serde_json::to_string_pretty(&Listing { schema: 1, runs })
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            output::bytes(format!("{text}\n").as_bytes());
        }
        Printed::Text if runs.is_empty() => output::note(&format!(
            "there is no run in {} yet; make one with `stressor run scenarios/cpu-100.toml`",
            args.reports.reports.display()
        )),
        Printed::Text => output::text(&table(&runs)),
    }
    Ok(Exit::Done)
}

fn row(folder: &RunFolder, manifest: Manifest) -> Row {
    let killed = manifest.state == State::Running && !journal::is_running(folder);
    Row {
        run: folder.id(),
        scenario: manifest.scenario,
        state: if killed { "killed" } else { manifest.state.name() },
        start: manifest.start,
        seconds: manifest.end.map(|end| end.since(manifest.start)),
        verdict: verdict(folder),
    }
}

/// The verdict in a few words, when the run has been judged.
fn verdict(folder: &RunFolder) -> Option<String> {
    let text = fs::read(folder.path().join(Format::Json.file_name())).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let overall = json.get("overall")?;
    let word = |key: &str| overall.get(key).and_then(serde_json::Value::as_str);
    match (word("resource")?, word("kind")?) {
        (resource, kind) if resource == kind => Some(kind.to_owned()),
        (resource, kind) => {
            let device = word("device").map_or_else(String::new, |device| format!(" {device}"));
            Some(format!("{resource}{device} {kind} on {}", word("node")?))
        }
    }
}

fn table(runs: &[Row]) -> String {
    let header = ["RUN", "SCENARIO", "STARTED", "LENGTH", "STATE", "VERDICT"].map(str::to_owned);
    let rows = runs.iter().map(|run| {
        [
            run.run.clone(),
            run.scenario.clone(),
            run.start.long(),
            run.seconds.map_or_else(
                || "–".to_owned(),
                |seconds| {
                    show_duration(std::time::Duration::from_secs_f64(seconds.max(0.0).round()))
                },
            ),
            run.state.to_owned(),
            run.verdict.clone().unwrap_or_else(|| "–".to_owned()),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(rows).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
