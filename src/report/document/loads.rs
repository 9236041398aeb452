//! The load table: what was asked for and what was done.

use crate::{
    analyze::outcome::{Analysis, LoadOutcome},
    model::{
        run::{PhaseRecord, Run},
        units::{Unit, short_count, show_bytes, show_seconds},
    },
};

/// A row of the load table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct LoadRow {
    pub(in crate::report) phase: String,
    pub(in crate::report) kind: String,
    pub(in crate::report) workers: usize,
    pub(in crate::report) requested: String,
    pub(in crate::report) achieved: String,
    pub(in crate::report) operations: String,
    pub(in crate::report) bytes: String,
    pub(in crate::report) errors: u64,
    pub(in crate::report) cpu: String,
    pub(in crate::report) p50: String,
    pub(in crate::report) p90: String,
    pub(in crate::report) p99: String,
    pub(in crate::report) p999: String,
    pub(in crate::report) max: String,
    /// What else there is to say, a sentence each.
    pub(in crate::report) remarks: Vec<String>,
}

/// The load table.
pub(in crate::report) fn load_rows(run: &Run, analysis: &Analysis) -> Vec<LoadRow> {
    analysis
        .loads
        .iter()
        .map(|load| {
            let unit = [Unit::Ratio, Unit::Bytes, Unit::BytesPerSecond, Unit::PerSecond]
                .into_iter()
                .find(|unit| unit.name() == load.unit)
                .unwrap_or(Unit::Count);
            let each = if unit == Unit::Ratio { " of a core each" } else { "" };
            let at = |of: fn(&crate::analyze::outcome::Latency) -> f64| {
                load.latency
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |latency| show_seconds(of(latency)))
            };
            LoadRow {
                phase: run
                    .manifest
                    .phases
                    .get(load.index)
                    .map_or_else(|| load.phase.clone(), PhaseRecord::label),
                kind: load.kind.clone(),
                workers: load.workers,
                requested: load.requested.map_or_else(
                    || "all there is".to_owned(),
                    |requested| format!("{}{each}", unit.show(requested)),
                ),
                achieved: unit.show(load.achieved),
                operations: format!("{}/s", short_count(load.operations_per_s)),
                bytes: if load.bytes_per_s > 0.0 {
                    format!("{}/s", show_bytes(load.bytes_per_s))
                } else {
                    "–".to_owned()
                },
                errors: load.errors,
                cpu: show_seconds(load.cpu_s),
                p50: at(|latency| latency.p50_s),
                p90: at(|latency| latency.p90_s),
                p99: at(|latency| latency.p99_s),
                p999: at(|latency| latency.p999_s),
                max: at(|latency| latency.max_s),
                remarks: remarks(load),
            }
        })
        .collect()
}

fn remarks(load: &LoadOutcome) -> Vec<String> {
    let mut remarks: Vec<String> = load.shortfall.iter().cloned().collect();
    // Where the sentence above does not name it already.
    if let (None, Some(fault)) = (&load.shortfall, &load.fault) {
        remarks.push(format!("{} operations failed, the last {fault}", load.errors));
    }
    if let Some(device) = load.device_bytes_per_s {
        remarks.push(format!("the kernel charged {}/s to the disk", show_bytes(device)));
    }
    if !load.counts.is_empty() {
        let counts: Vec<String> = load
            .counts
            .iter()
            .map(|(name, count)| format!("{name} {}", short_count(*count as f64)))
            .collect();
        remarks.push(counts.join(", "));
    }
    remarks
}
