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
        text::{LONGEST_MESSAGE, LONGEST_NAME, short, visible_json},
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
    /// Folders of runs that cannot be read.
    unread: Vec<UnreadRow>,
}

#[derive(Serialize)]
struct UnreadRow {
    run: String,
    why: String,
}

pub(super) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let (runs, unread) = folder::list_all(&args.reports.reports)?;
    let runs: Vec<Row> =
        runs.into_iter().map(|(folder, manifest)| row(&folder, &manifest)).collect();
    let unread: Vec<UnreadRow> = unread
        .into_iter()
        .map(|one| UnreadRow {
            run: short(&one.id, LONGEST_NAME),
            why: short(&format!("{:#}", anyhow::Error::from(one.why)), LONGEST_MESSAGE),
        })
        .collect();
    match args.format {
        Printed::Json => {
            let text = serde_json::to_string_pretty(&Listing { schema: 1, runs, unread })
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            output::bytes(format!("{}\n", visible_json(&text)).as_bytes());
            return Ok(Exit::Done);
        }
        Printed::Text if runs.is_empty() && unread.is_empty() => output::note(&format!(
            "there is no run in {} yet; make one with `stressor run scenarios/cpu-100.toml`",
            args.reports.reports.display()
        )),
        Printed::Text if runs.is_empty() => (),
        Printed::Text => output::text(&table(&runs)),
    }
    for one in &unread {
        output::warning(&format!("{} is not listed: {}", one.run, one.why));
    }
    Ok(Exit::Done)
}

fn row(folder: &RunFolder, manifest: &Manifest) -> Row {
    let killed = manifest.state == State::Running && !journal::is_running(folder);
    Row {
        run: short(&folder.id(), LONGEST_NAME),
        scenario: short(&manifest.scenario, LONGEST_NAME),
        state: if killed { "killed" } else { manifest.state.name() },
        start: manifest.start,
        seconds: manifest.end.map(|end| end.since(manifest.start)),
        verdict: verdict(folder).map(|verdict| short(&verdict, LONGEST_NAME)),
    }
}

/// The verdict in a few words, when the run has been judged.
fn verdict(folder: &RunFolder) -> Option<String> {
    let path = folder.path().join(Format::Json.file_name());
    let text = fs::metadata(&path).ok()?.is_file().then(|| fs::read(&path).ok())??;
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
