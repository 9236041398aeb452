//! From a folder back to a run, whole or cut off at any byte.

use std::{fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use super::{Error, folder::RunFolder, journal, names};
use crate::{
    model::{
        catalogue::SIGNALS,
        run::{NodeData, NodeRecord, Run, SourceKind, State},
        series::{Key, Point, RawSet, Signal, SignalSet, Snapshot},
        time::Timestamp,
    },
    scenario,
};

#[derive(Deserialize)]
#[serde(untagged)]
enum SampleLine {
    Columns { columns: Vec<String> },
    Row { t: i64, v: Vec<Option<f64>> },
}

#[derive(Deserialize)]
struct SignalLine {
    name: String,
    instance: String,
    #[serde(flatten)]
    signal: Signal,
}

/// Read a whole run. A run whose program is gone is marked as recovered, in
/// its manifest too.
///
/// # Errors
/// When the manifest or the scenario cannot be read.
pub fn run(folder: &RunFolder) -> Result<Run, Error> {
    let mut manifest = folder.manifest()?;
    let path = folder.path();
    let text_path = path.join(names::SCENARIO);
    let text =
        fs::read_to_string(&text_path).map_err(Error::io("cannot read", text_path.clone()))?;
    let plan = scenario::parse(names::SCENARIO, &text, &manifest.overrides)
        .map_err(|error| Error::Damaged { path: text_path, why: error.to_string() })?;
    let mut damaged = 0;
    let raw = samples(path, &mut damaged);
    let pieces: Vec<SignalLine> = lines(&path.join(names::SIGNALS), &mut damaged);
    let workers = lines(&path.join(names::WORKERS), &mut damaged);
    let events = lines(&path.join(names::EVENTS), &mut damaged);
    let nodes = manifest
        .nodes
        .iter()
        .map(|record| NodeData {
            record: record.clone(),
            signals: match record.source {
                SourceKind::Embedded => derived(&raw, record.interval_s),
                SourceKind::Prometheus => collected(&pieces, record),
            },
        })
        .collect();
    if damaged > 0 {
        manifest.notes.push(format!("{damaged} damaged journal lines were passed over"));
    }
    let recover = manifest.state == State::Running && !journal::is_running(folder);
    let mut run =
        Run { manifest, scenario: text, thresholds: plan.thresholds, nodes, workers, events };
    if recover {
        recovered(&mut run);
        // On a full or read-only disk the run can be reported on all the same.
        let _ = folder.write_manifest(&run.manifest);
    }
    Ok(run)
}

/// Give a run that was killed the end it did not get to write.
fn recovered(run: &mut Run) {
    let ends: Vec<Timestamp> =
        run.manifest.phases.iter().map(|phase| run.window(phase).end).collect();
    let manifest = &mut run.manifest;
    manifest.state = State::Interrupted;
    manifest.recovered = true;
    manifest.end = ends.last().copied();
    for (phase, end) in manifest.phases.iter_mut().zip(ends) {
        phase.end.get_or_insert(end);
    }
    manifest.stopped =
        Some("the program was killed; this is what it had written until then".to_owned());
}

/// The embedded sampler's signals, whatever the nodes' source is.
///
/// # Errors
/// Never for a damaged journal: damaged lines are passed over.
pub fn embedded_signals(folder: &RunFolder, interval_s: f64) -> SignalSet {
    derived(&samples(folder.path(), &mut 0), interval_s)
}

fn derived(raw: &RawSet, interval_s: f64) -> SignalSet {
    let signals = SIGNALS
        .iter()
        .map(|row| (row.name.to_owned(), row.expr.evaluate(raw, interval_s)))
        .filter(|(_, signals)| !signals.is_empty())
        .collect();
    SignalSet { signals, times: raw.times.clone(), interval_s }
}

fn collected(pieces: &[SignalLine], record: &NodeRecord) -> SignalSet {
    let mut set = SignalSet { interval_s: record.interval_s, ..SignalSet::default() };
    let ours = |piece: &&SignalLine| record.instance.as_deref() == Some(piece.instance.as_str());
    for piece in pieces.iter().filter(ours) {
        let signals = set.signals.entry(piece.name.clone()).or_default();
        match signals.iter_mut().find(|known| known.device == piece.signal.device) {
            Some(known) => known.points = joined(&known.points, &piece.signal.points),
            None => signals.push(piece.signal.clone()),
        }
    }
    for up in set.signals.remove("up").unwrap_or_default() {
        set.times = up.points.iter().filter(|point| point.v >= 1.0).map(|point| point.t).collect();
    }
    set
}

/// Points of two answers; where they overlap, the later answer counts: it has
/// seen late scrapes.
fn joined(earlier: &[Point], later: &[Point]) -> Vec<Point> {
    let mut all: std::collections::BTreeMap<Timestamp, f64> =
        earlier.iter().map(|point| (point.t, point.v)).collect();
    all.extend(later.iter().map(|point| (point.t, point.v)));
    all.into_iter().map(|(t, v)| Point { t, v }).collect()
}

fn samples(folder: &Path, damaged: &mut usize) -> RawSet {
    let mut raw = RawSet::default();
    let mut keys: Vec<Option<Key>> = Vec::new();
    for line in lines::<SampleLine>(&folder.join(names::SAMPLES), damaged) {
        match line {
            SampleLine::Columns { columns } => {
                keys = columns.iter().map(|column| Key::parse(column)).collect();
            }
            SampleLine::Row { t, v } => {
                let values =
                    keys.iter().zip(v).filter_map(|(key, v)| Some((key.clone()?, v?))).collect();
                raw.push(&Snapshot { t: Timestamp(t), values });
            }
        }
    }
    raw
}

/// The whole lines of a journal; a last line without its end was being
/// written when the program was killed, and is left out.
fn lines<T: DeserializeOwned>(path: &Path, damaged: &mut usize) -> Vec<T> {
    let Ok(text) = fs::read(path) else { return Vec::new() };
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut parsed = Vec::new();
    for line in text.get(..whole).unwrap_or(&[]).split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(value) => parsed.push(value),
            Err(_) => *damaged += 1,
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::run::Event, store::journal::Journal};

    fn snapshot(t: i64, values: &[(&str, f64)]) -> Snapshot {
        let values = values.iter().map(|(key, v)| (Key::parse(key).unwrap(), *v)).collect();
        Snapshot { t: Timestamp(t), values }
    }

    /// For every cut c: what is read of journal[..c] is a prefix of what was
    /// appended.
    #[test]
    fn every_cut_reads_as_a_prefix() {
        let reports = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(reports.path(), None).unwrap();
        let mut journal = Journal::create(&folder).unwrap();
        let snapshots = [
            snapshot(1, &[("a", 1.0), ("b{x=\"1\"}", 2.0)]),
            snapshot(2, &[("a", 1.5), ("b{x=\"1\"}", f64::NAN)]),
            snapshot(3, &[("a", 2.0), ("c", 0.1)]),
        ];
        for snapshot in &snapshots {
            journal.sample(snapshot);
        }
        journal.close().unwrap();
        let path = folder.path().join(names::SAMPLES);
        let bytes = fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let mut damaged = 0;
            let raw = samples(folder.path(), &mut damaged);
            assert_eq!(damaged, 0, "cut at {cut}");
            let times: Vec<i64> = raw.times.iter().map(|t| t.0).collect();
            assert_eq!(times, [1, 2, 3][..times.len()], "cut at {cut}");
        }
        let raw = samples(folder.path(), &mut 0);
        assert_eq!(raw.of("b").next().unwrap().1.len(), 1);
    }

    #[test]
    fn a_lock_is_held_while_the_journal_is_open() {
        let reports = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(reports.path(), None).unwrap();
        let journal = Journal::create(&folder).unwrap();
        journal.event(&Event {
            t: Timestamp(1),
            kind: "x".into(),
            text: "y".into(),
            phase: None,
            worker: None,
        });
        assert!(journal::is_running(&folder));
        journal.close().unwrap();
        assert!(!journal::is_running(&folder));
    }

    #[test]
    fn late_answers_count() {
        let p = |t, v| Point { t: Timestamp(t), v };
        assert_eq!(
            joined(&[p(0, 1.0), p(1, 1.0)], &[p(1, 2.0), p(2, 2.0)]),
            [p(0, 1.0), p(1, 2.0), p(2, 2.0)]
        );
    }
}
