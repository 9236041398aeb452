//! From a folder back to a run, whole or cut off at any byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{Error, folder::RunFolder, journal, names};
use crate::{
    model::{
        catalogue::SIGNALS,
        mounts,
        run::{NodeData, NodeRecord, Run, SourceKind, State},
        series::{Break, Change, Key, Point, RawSet, SAME_BOOT_S, Signal, SignalSet, Snapshot},
        stats,
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
    let raw = samples(path, names::SAMPLES, &mut damaged);
    let mut far = by_instance(lines(&path.join(names::SIGNALS), &mut damaged));
    let workers = lines(&path.join(names::WORKERS), &mut damaged).collect();
    let events = lines(&path.join(names::EVENTS), &mut damaged).collect();
    let nodes = manifest
        .nodes
        .iter()
        .map(|record| NodeData {
            record: record.clone(),
            signals: match record.source {
                SourceKind::Embedded if record.agent => {
                    let raw = samples(path, &names::samples_of(&record.name), &mut damaged);
                    derived(&raw, record.interval_s)
                }
                SourceKind::Embedded => derived(&raw, record.interval_s),
                SourceKind::Prometheus => {
                    far.remove(&record.series_key()).unwrap_or_default().finish(record.interval_s)
                }
            },
            beside: beside(path, record, &raw, &mut damaged),
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
    derived(&samples(folder.path(), names::SAMPLES, &mut 0), interval_s)
}

/// What the sampler of a node that is loaded saw beside its Prometheus.
fn beside(
    folder: &Path,
    record: &NodeRecord,
    here: &RawSet,
    damaged: &mut usize,
) -> Option<SignalSet> {
    if record.source == SourceKind::Embedded || !record.loaded {
        return None;
    }
    let far = record.agent.then(|| samples(folder, &names::samples_of(&record.name), damaged));
    let raw = far.as_ref().unwrap_or(here);
    let between: Vec<f64> = raw
        .times
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] => Some(b.since(*a)),
            _ => None,
        })
        .collect();
    Some(derived(raw, stats::median(&between)?))
}

fn derived(raw: &RawSet, interval_s: f64) -> SignalSet {
    let signals = SIGNALS
        .iter()
        .map(|row| (row.name.to_owned(), row.expr.evaluate(raw, interval_s)))
        .filter(|(_, signals)| !signals.is_empty())
        .collect();
    SignalSet { signals, times: raw.times.clone(), interval_s, breaks: Vec::new() }
}

/// What the answers say of one instance.
#[derive(Debug, Default)]
struct Far(BTreeMap<String, Vec<Signal>>);

fn by_instance(pieces: impl Iterator<Item = SignalLine>) -> BTreeMap<String, Far> {
    let mut all: BTreeMap<String, Far> = BTreeMap::new();
    for SignalLine { name, instance, signal } in pieces {
        let signals = all.entry(instance).or_default().0.entry(name).or_default();
        match signals.iter_mut().find(|known| known.device == signal.device) {
            Some(known) => known.points = joined(&known.points, &signal.points),
            None => signals.push(signal),
        }
    }
    all
}

impl Far {
    fn finish(mut self, interval_s: f64) -> SignalSet {
        let up = self.0.remove("up").unwrap_or_default();
        let boots = self.0.remove("boot_time").unwrap_or_default();
        // By host name, where the machine reported several.
        let mut scraped: BTreeMap<Timestamp, Option<&str>> = BTreeMap::new();
        for signal in &up {
            let fresh = signal.points.iter().filter(|point| point.v >= 1.0);
            scraped.extend(fresh.map(|point| (point.t, signal.device.as_deref())));
        }
        let times: Vec<Timestamp> = scraped.keys().copied().collect();
        let mut breaks = host_changes(&scraped);
        breaks.extend(
            boots.first().map(|boots| boot_changes(&boots.points, &times)).unwrap_or_default(),
        );
        breaks.sort_by_key(|one| one.after);
        // A new machine has a new boot time.
        breaks.dedup_by(|later, earlier| later.before < earlier.after);
        // A gauge is answered with its last value while there was no scrape.
        let scraped: BTreeSet<Timestamp> = times.iter().copied().collect();
        for signal in self.0.values_mut().flatten().filter(|signal| signal.window_s == 0.0) {
            signal.points.retain(|point| scraped.contains(&point.t));
        }
        for signals in self.0.values_mut() {
            *signals = mounts::settle(std::mem::take(signals));
        }
        SignalSet { signals: self.0, times, interval_s, breaks }
    }
}

/// Where the host name changed between two scrapes.
fn host_changes(scraped: &BTreeMap<Timestamp, Option<&str>>) -> Vec<Break> {
    let pairs = scraped.iter().zip(scraped.iter().skip(1));
    pairs
        .filter_map(|((before, was), (after, is))| {
            let (was, is) = ((*was)?, (*is)?);
            (was != is).then(|| Break {
                before: *before,
                after: *after,
                change: Change::Host { was: was.to_owned(), is: is.to_owned() },
            })
        })
        .collect()
}

/// Seconds by which the clocks of a machine and of its Prometheus may differ.
const CLOCKS_APART_S: f64 = 30.0;

/// Where the boot time (in seconds since 1970) changed. A machine that was booted between
/// two scrapes has a boot time between them; one that has another was not booted then.
fn boot_changes(boots: &[Point], times: &[Timestamp]) -> Vec<Break> {
    boots
        .windows(2)
        .filter_map(|pair| {
            let [old, new] = pair else { return None };
            if (new.v - old.v).abs() <= SAME_BOOT_S {
                return None;
            }
            let at = times.partition_point(|t| *t < new.t);
            let before = times.get(at.checked_sub(1)?).copied()?;
            let after = times.get(at).copied().unwrap_or(new.t);
            let booted = Timestamp::from_seconds(new.v);
            let is_between =
                booted >= before.plus(-CLOCKS_APART_S) && booted <= after.plus(CLOCKS_APART_S);
            let change = if is_between { Change::Reboot(booted) } else { Change::BootTime };
            Some(Break { before, after, change })
        })
        .collect()
}

/// Points of two answers; where they overlap, the later answer counts: it has
/// seen late scrapes.
fn joined(earlier: &[Point], later: &[Point]) -> Vec<Point> {
    let mut all: BTreeMap<Timestamp, f64> =
        earlier.iter().map(|point| (point.t, point.v)).collect();
    all.extend(later.iter().map(|point| (point.t, point.v)));
    all.into_iter().map(|(t, v)| Point { t, v }).collect()
}

fn samples(folder: &Path, name: &str, damaged: &mut usize) -> RawSet {
    let mut raw = RawSet::default();
    let mut keys: Vec<Option<Key>> = Vec::new();
    for line in lines::<SampleLine>(&folder.join(name), damaged) {
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

/// The whole lines of a journal, read as they are asked for; a last line
/// without its end was being written when the program was killed, and is left
/// out.
fn lines<'a, T: DeserializeOwned + 'a>(
    path: &Path,
    damaged: &'a mut usize,
) -> impl Iterator<Item = T> + use<'a, T> {
    let mut reader =
        fs::File::open(path).ok().map(|file| BufReader::with_capacity(256 << 10, file));
    let mut line = Vec::new();
    std::iter::from_fn(move || {
        loop {
            line.clear();
            reader.as_mut()?.read_until(b'\n', &mut line).ok()?;
            if line.pop() != Some(b'\n') {
                return None;
            }
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(value) => return Some(value),
                Err(_) => *damaged += 1,
            }
        }
    })
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
            let raw = samples(folder.path(), names::SAMPLES, &mut damaged);
            assert_eq!(damaged, 0, "cut at {cut}");
            let times: Vec<i64> = raw.times.iter().map(|t| t.0).collect();
            assert_eq!(times, [1, 2, 3][..times.len()], "cut at {cut}");
        }
        let raw = samples(folder.path(), names::SAMPLES, &mut 0);
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
            node: String::new(),
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
