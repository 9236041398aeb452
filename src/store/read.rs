//! From a folder back to a run, whole or cut off at any byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Error, cleaned,
    digests::{self, Seal, Tally},
    folder::{RunFolder, read_file},
    journal, names,
};
use crate::{
    model::{
        catalogue::SIGNALS,
        mounts, plausible,
        run::{Caveat, Manifest, NodeData, NodeRecord, Run, SourceKind, State, WorkerInterval},
        series::{Break, Change, Key, Point, RawSet, SAME_BOOT_S, Signal, SignalSet, Snapshot},
        stats,
        time::Timestamp,
    },
    scenario,
};

/// Signals that a caveat names.
const MOST_NAMED: usize = 5;

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

/// What was met while the files of a run were read.
#[derive(Debug, Default)]
struct Reading {
    /// Lines that are none of ours, or hold what cannot be.
    damaged: usize,
    /// What each file held.
    seals: BTreeMap<String, Seal>,
}

/// Read a whole run. A run whose program is gone is marked as recovered, in
/// its manifest too.
///
/// What is damaged, lost or changed since the run ended is noted, and makes every verdict
/// doubtful ([`Caveat`]).
///
/// # Errors
/// When the manifest or the scenario cannot be read.
pub fn run(folder: &RunFolder) -> Result<Run, Error> {
    let (manifest, is_whole) = folder.manifest_and_whole()?;
    let path = folder.path();
    let text_path = path.join(names::SCENARIO);
    let damaged = |why: String| Error::Damaged { path: text_path.clone(), why };
    let text = read_file(&text_path)?;
    let mut reading = Reading::default();
    let mut tally = Tally::default();
    tally.add(&text);
    reading.seals.insert(names::SCENARIO.to_owned(), tally.seal());
    let text = String::from_utf8(text).map_err(|error| damaged(error.to_string()))?;
    let plan = scenario::parse(names::SCENARIO, &text, &manifest.overrides)
        .map_err(|error| damaged(error.to_string()))?;
    let raw = samples(path, names::SAMPLES, &mut reading);
    let mut far = by_instance(lines(path, names::SIGNALS, &mut reading));
    let workers = workers(path, &mut reading);
    let events = lines(path, names::EVENTS, &mut reading).collect();
    let nodes = manifest
        .nodes
        .iter()
        .map(|record| NodeData {
            record: record.clone(),
            signals: match record.source {
                SourceKind::Embedded if record.agent => {
                    let raw = samples(path, &names::samples_of(&record.name), &mut reading);
                    derived(&raw, record.interval_s)
                }
                SourceKind::Embedded => derived(&raw, record.interval_s),
                SourceKind::Prometheus => {
                    far.remove(&record.series_key()).unwrap_or_default().finish(record.interval_s)
                }
            },
            beside: beside(path, record, &raw, &mut reading),
        })
        .collect();
    let recover = manifest.state == State::Running && !journal::is_running(folder);
    let doubts = doubts(folder, &manifest, &reading, is_whole);
    let mut run =
        Run { manifest, scenario: text, thresholds: plan.thresholds, nodes, workers, events };
    if recover {
        recovered(&mut run);
        // On a full or read-only disk the run can be reported on all the same.
        let _ = folder.write_manifest(&run.manifest);
    }
    // Found again at each reading, and so not kept.
    run.manifest.caveats.extend(doubts);
    remove_impossible(&mut run);
    cleaned::clean(&mut run);
    Ok(run)
}

/// Lost, damaged and changed parts of what the run wrote.
fn doubts(
    folder: &RunFolder,
    manifest: &Manifest,
    reading: &Reading,
    is_whole: bool,
) -> Vec<Caveat> {
    let mut doubts = Vec::new();
    if !is_whole {
        doubts.push("run.json was changed after the run wrote it".to_owned());
    }
    if reading.damaged > 0 {
        doubts.push(format!(
            "{} damaged journal lines were passed over, so what they said is missing",
            reading.damaged
        ));
    }
    if manifest.state != State::Running {
        let different = digests::differences(folder, &reading.seals);
        if !different.is_empty() {
            doubts.push(format!(
                "the run's files are not as it left them: {}; take the folder from where the run was made, or repeat the run",
                different.join("; ")
            ));
        }
    }
    doubts.into_iter().map(|text| Caveat { node: None, text }).collect()
}

/// Take out what no source can have measured; the node's verdicts are then doubtful.
fn remove_impossible(run: &mut Run) {
    for node in &mut run.nodes {
        let mut removed = plausible::remove_impossible(&mut node.signals);
        if let Some(beside) = &mut node.beside {
            removed.extend(plausible::remove_impossible(beside));
        }
        if removed.is_empty() {
            continue;
        }
        let more = removed.len().saturating_sub(MOST_NAMED);
        removed.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        run.manifest.caveats.push(Caveat {
            node: Some(node.record.name.clone()),
            text: format!(
                "{} has impossible values, which count as not observed: {}{more}; check its exporter and what rewrites its series",
                node.record.name,
                removed.join(", ")
            ),
        });
    }
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
        Some("the program was killed, or could not write any more; this is what it had written until then".to_owned());
}

/// The embedded sampler's signals, whatever the nodes' source is.
///
/// # Errors
/// Never for a damaged journal: damaged lines are passed over.
pub fn embedded_signals(folder: &RunFolder, interval_s: f64) -> SignalSet {
    derived(&samples(folder.path(), names::SAMPLES, &mut Reading::default()), interval_s)
}

/// What the sampler of a node that is loaded saw beside its Prometheus.
fn beside(
    folder: &Path,
    record: &NodeRecord,
    here: &RawSet,
    reading: &mut Reading,
) -> Option<SignalSet> {
    if record.source == SourceKind::Embedded || !record.loaded {
        return None;
    }
    let far = record.agent.then(|| samples(folder, &names::samples_of(&record.name), reading));
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
        let boots = boots.first().map_or(&[][..], |boots| &boots.points);
        let mut breaks = boot_changes(boots, &times);
        // A name that changes without a new boot is a renamed machine, or an exporter in a
        // container that was made again.
        let is_other_machine = |one: &Break| {
            let was_booted = |other: &Break| other.before < one.after && one.before < other.after;
            boots.is_empty() || breaks.iter().any(was_booted)
        };
        let renamed: Vec<Break> =
            host_changes(&scraped).into_iter().filter(is_other_machine).collect();
        breaks.splice(0..0, renamed);
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

fn samples(folder: &Path, name: &str, reading: &mut Reading) -> RawSet {
    let mut raw = RawSet::default();
    let mut keys: Vec<Option<Key>> = Vec::new();
    let mut damaged = 0;
    for line in lines::<SampleLine>(folder, name, reading) {
        match line {
            SampleLine::Columns { columns } => {
                keys = columns.iter().map(|column| Key::parse(column)).collect();
                damaged += keys.iter().filter(|key| key.is_none()).count();
            }
            SampleLine::Row { t, v } => {
                let t = Timestamp(t);
                let is_possible = |v: &Option<f64>| v.is_none_or(|v| plausible::value(v).is_some());
                // A row of other columns than those that are known says nothing.
                if v.len() != keys.len() || !plausible::is_time(t) || !v.iter().all(is_possible) {
                    damaged += 1;
                    continue;
                }
                let pairs = keys.iter().zip(v);
                let values = pairs.filter_map(|(key, v)| Some((key.clone()?, v?))).collect();
                raw.push(&Snapshot { t, values });
            }
        }
    }
    reading.damaged += damaged;
    raw
}

/// What workers did, as far as it can be.
fn workers(folder: &Path, reading: &mut Reading) -> Vec<WorkerInterval> {
    let mut impossible = 0;
    let workers = lines::<WorkerInterval>(folder, names::WORKERS, reading)
        .filter(|one| {
            let is_amount = |v: f64| (0.0..=plausible::LARGEST).contains(&v);
            let good = (0.0..=1e9).contains(&one.seconds)
                && (0.0..=1e12).contains(&one.cpu_s)
                && is_amount(one.achieved)
                && one.requested.is_none_or(is_amount);
            impossible += usize::from(!good);
            good
        })
        .collect();
    reading.damaged += impossible;
    workers
}

/// Bytes of a journal's line at most: a day of one signal, a point a second, has 3 MB.
const LONGEST_LINE: u64 = 64 << 20;

/// The whole lines of a journal, read as they are asked for; a last line
/// without its end was being written when the program was killed, and is left
/// out.
struct Lines<'a> {
    reader: Option<BufReader<fs::File>>,
    line: Vec<u8>,
    name: String,
    tally: Tally,
    reading: &'a mut Reading,
}

impl<'a> Lines<'a> {
    fn open(folder: &Path, name: &str, reading: &'a mut Reading) -> Self {
        let path = folder.join(name);
        // A pipe of that name would never open.
        let is_file = fs::metadata(&path).is_ok_and(|about| about.is_file());
        let file = is_file.then(|| fs::File::open(&path).ok()).flatten();
        Self {
            reader: file.map(|file| BufReader::with_capacity(256 << 10, file)),
            line: Vec::new(),
            name: name.to_owned(),
            tally: Tally::default(),
            reading,
        }
    }

    fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            self.line.clear();
            let reader = self.reader.as_mut()?;
            let read = reader.take(LONGEST_LINE).read_until(b'\n', &mut self.line).ok()?;
            self.tally.add(&self.line);
            if self.line.pop() != Some(b'\n') {
                self.reading.damaged += usize::from(read as u64 == LONGEST_LINE);
                self.end();
                return None;
            }
            if self.line.is_empty() {
                continue;
            }
            match serde_json::from_slice(&self.line) {
                Ok(value) => return Some(value),
                Err(_) => self.reading.damaged += 1,
            }
        }
    }

    /// Keep what the file held.
    fn end(&mut self) {
        if self.reader.take().is_some() {
            let seal = std::mem::take(&mut self.tally).seal();
            self.reading.seals.insert(std::mem::take(&mut self.name), seal);
        }
    }
}

fn lines<'a, T: DeserializeOwned + 'a>(
    folder: &Path,
    name: &str,
    reading: &'a mut Reading,
) -> impl Iterator<Item = T> + use<'a, T> {
    let mut lines = Lines::open(folder, name, reading);
    std::iter::from_fn(move || lines.next())
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
            let mut reading = Reading::default();
            let raw = samples(folder.path(), names::SAMPLES, &mut reading);
            assert_eq!(reading.damaged, 0, "cut at {cut}");
            let times: Vec<i64> = raw.times.iter().map(|t| t.0).collect();
            assert_eq!(times, [1, 2, 3][..times.len()], "cut at {cut}");
        }
        let raw = samples(folder.path(), names::SAMPLES, &mut Reading::default());
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
