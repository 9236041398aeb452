//! Takes a plan through its phases on a monotonic clock, and writes down what
//! happened as it happens.

mod nodes;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, never, select, tick};
use nix::sys::signal::Signal;

use super::{
    annotations::Annotations,
    conduct::Outcome,
    crew::Crew,
    exits::Exits,
    guards::{Guards, Reading},
    listen::Listen,
    live::{Live, Newest, Update},
    progress,
    push::Push,
    sampling::Sampling,
    scraping::{News, Scraping},
    series::{Series, Shared},
};
use crate::{
    host::clock::Clock,
    load::Exit,
    model::{
        run::{Event, Manifest, PhaseRecord, State},
        series::{Key, Snapshot},
        time::Timestamp,
    },
    scenario::{
        explain::{self, Machine},
        plan::{PhasePlan, Plan},
    },
    store::{folder::RunFolder, journal::Journal},
};

/// How often the user is shown the state of the run.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How long workers may take to set up: laying down files and taking memory
/// takes a while on a large or slow machine.
const SETUP_PATIENCE: Duration = Duration::from_secs(900);

/// Why the phases ended.
pub(super) enum Stop {
    /// All took place.
    Planned,
    /// A signal came.
    Signal(Signal),
    /// An abort condition held.
    Guard(String),
    /// The load failed.
    Failure(String),
}

/// What a stretch of time goes on until.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// All workers have set themselves up.
    Ready,
    /// Its time is over.
    Over,
}

/// A stretch of a phase.
#[derive(Debug, Clone, Copy)]
struct Time<'a> {
    /// Index into the plan's phases.
    index: usize,
    /// The phase's label.
    label: &'a str,
    begun: Instant,
    ends: Instant,
}

pub(super) struct Conductor<'a> {
    /// What this machine carries.
    pub(super) plan: &'a Plan,
    /// What all nodes carry.
    pub(super) whole: &'a Plan,
    pub(super) machine: Machine,
    pub(super) clock: Clock,
    pub(super) crew: Crew,
    /// Nodes that may be lost; `None` for all but one.
    pub(super) most_lost: Option<usize>,
    pub(super) journal: Journal,
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    pub(super) snapshots: Receiver<Snapshot>,
    pub(super) sampling: Option<Sampling>,
    pub(super) scraping: Option<Scraping>,
    pub(super) ending: Receiver<Signal>,
    pub(super) guards: Guards,
    pub(super) exits: Exits,
    pub(super) newest: Newest,
    /// The same, of other nodes.
    pub(super) others: BTreeMap<usize, Newest>,
    /// Names of the values that other nodes send.
    pub(super) columns: BTreeMap<usize, Vec<Option<Key>>>,
    pub(super) achieved: String,
    pub(super) load_readings: Vec<Reading>,
    pub(super) series: Shared,
    /// Answers until the run is over.
    pub(super) _listen: Option<Listen>,
    pub(super) push: Option<Push>,
    pub(super) annotations: Option<Annotations>,
    pub(super) show: &'a mut dyn FnMut(Update),
}

impl Conductor<'_> {
    pub(super) fn phases(&mut self) -> Stop {
        let plan = self.plan;
        for (index, phase) in plan.phases.iter().enumerate() {
            match self.phase(index, phase) {
                Stop::Planned => (),
                stop => return stop,
            }
        }
        Stop::Planned
    }

    fn phase(&mut self, index: usize, phase: &PhasePlan) -> Stop {
        let begun = Instant::now();
        if let Err(error) = self.crew.fork(index) {
            return Stop::Failure(error.to_string());
        }
        self.manifest.phases.push(PhaseRecord {
            name: phase.name.clone(),
            level: phase.level.clone(),
            probe: phase.probe,
            start: self.clock.at(begun),
            steady: None,
            end: None,
            planned_s: phase.duration.as_secs_f64(),
            loads: self.loads_in_words(index),
        });
        let label = self.manifest.phases.last().map(PhaseRecord::label).unwrap_or_default();
        self.event("phase", format!("phase {label} begins"), Some(index));
        self.series.with(|series| series.phase_begins(&label));
        if let Some(annotations) = &self.annotations {
            annotations.phase_begins(&label, self.clock.at(begun));
        }
        let setup = Time { index, label: &label, begun, ends: begun + SETUP_PATIENCE };
        let stop = match self.hold(phase, setup, Until::Ready) {
            Stop::Planned if self.crew.is_ready() => {
                for (worker, errno) in self.crew.loader.refused().to_vec() {
                    let text = format!("worker {worker} could not be started: {errno}");
                    self.warn_of(Some(worker), text, index);
                }
                self.crew.release(self.clock);
                let released = Instant::now();
                if let Some(record) = self.manifest.phases.last_mut() {
                    record.steady = Some(self.clock.at(released));
                }
                self.save();
                let ends = released + phase.duration;
                self.hold(phase, Time { index, label: &label, begun: released, ends }, Until::Over)
            }
            Stop::Planned => Stop::Failure(format!(
                "the workers of phase {label} were not set up after {} s",
                SETUP_PATIENCE.as_secs()
            )),
            stop => stop,
        };
        // The last counts, before the workers go.
        let stopped = Instant::now();
        let end = self.clock.at(stopped);
        let (stuck, last) = self.crew.stop();
        for (node, heard) in last {
            self.hear(node, heard, index);
        }
        self.tell_spread(&label, index);
        match stuck {
            Ok(0) => (),
            Ok(stuck) => {
                let text = format!(
                    "{stuck} workers were killed but are stuck in the kernel (a hanging disk?)"
                );
                self.warn_of(None, text, index);
            }
            Err(error) => {
                self.close_phase(end, &label, index);
                return Stop::Failure(error.to_string());
            }
        }
        self.close_phase(end, &label, index);
        stop
    }

    /// The loads of a phase. `per-core` is a number only where it is one machine's.
    fn loads_in_words(&self, index: usize) -> Vec<String> {
        let machine = self.crew.remotes.is_empty().then_some(self.machine);
        let loads = self.whole.phases.get(index).map_or(&[] as &[_], |phase| &phase.loads);
        loads.iter().map(|load| explain::load(load, machine)).collect()
    }

    fn close_phase(&mut self, end: Timestamp, label: &str, index: usize) {
        if let Some(record) = self.manifest.phases.last_mut() {
            record.end = Some(end);
        }
        self.event("phase", format!("phase {label} ends"), Some(index));
        if let Some(annotations) = &self.annotations {
            annotations.phase_ends(end);
        }
        self.series.with(Series::phase_ends);
        self.save();
    }

    /// Go on until the workers are ready or the phase's time is over, or
    /// something stops it.
    fn hold(&mut self, phase: &PhasePlan, time: Time<'_>, until: Until) -> Stop {
        let index = time.index;
        let ticks = match until {
            // The phase shall begin when the last worker is ready, not later.
            Until::Ready => tick(Duration::from_millis(1)),
            Until::Over => tick(SHOW_EVERY.min(self.plan.telemetry.interval)),
        };
        let mut counted = time.begun;
        let mut shown = time.begun;
        loop {
            let left = time.ends.saturating_duration_since(Instant::now());
            let over = left.is_zero() || (until == Until::Ready && self.crew.is_ready());
            if over {
                self.count(time, phase, until, &mut counted);
                return Stop::Planned;
            }
            let snapshots = self.snapshots.clone();
            let ending = self.ending.clone();
            let heard = self.crew.heard();
            let news = self.scraping.as_ref().map_or_else(never, |scraping| scraping.news.clone());
            select! {
                recv(ending) -> signal => {
                    if let Ok(signal) = signal {
                        self.count(time, phase, until, &mut counted);
                        return Stop::Signal(signal);
                    }
                }
                recv(snapshots) -> snapshot => {
                    if let Ok(snapshot) = snapshot {
                        self.sample(snapshot);
                        self.sample_waiting();
                        self.count(time, phase, until, &mut counted);
                        if let Some(error) = self.journal.failure() {
                            return Stop::Failure(format!("its journal cannot be written: {error}"));
                        }
                        if let Some(reason) = self.check_guards() {
                            return Stop::Guard(reason);
                        }
                    }
                }
                recv(news) -> news => {
                    if let Ok(news) = news {
                        self.take_news(news);
                    }
                }
                recv(heard) -> heard => {
                    if let Ok((node, heard)) = heard {
                        self.hear(node, heard, index);
                    }
                }
                recv(ticks) -> _ => (),
                default(left) => (),
            }
            if let Some(stop) = self.see_to_nodes(index) {
                self.count(time, phase, until, &mut counted);
                return stop;
            }
            match self.crew.exits() {
                Ok(exits) => self.worker_exits(&exits, index),
                Err(error) => {
                    self.count(time, phase, until, &mut counted);
                    return Stop::Failure(error.to_string());
                }
            }
            let now = Instant::now();
            if now.duration_since(shown) >= SHOW_EVERY {
                shown = now;
                self.show_live(time, until);
            }
        }
    }

    fn sample(&mut self, snapshot: Snapshot) {
        self.journal.sample(&snapshot);
        self.newest.push(snapshot);
    }

    /// Take what was sampled while this thread waited for a core: guards must see the newest.
    fn sample_waiting(&mut self) {
        while let Ok(snapshot) = self.snapshots.try_recv() {
            self.sample(snapshot);
        }
    }

    /// Write down what the workers did since the last time.
    fn count(&mut self, time: Time<'_>, phase: &PhasePlan, until: Until, counted: &mut Instant) {
        if phase.loads.is_empty() {
            self.achieved.clear();
            self.load_readings.clear();
            return;
        }
        let now = Instant::now();
        let took = now.duration_since(*counted);
        // Ratios over a sliver of time say nothing.
        if took < Duration::from_millis(20) {
            return;
        }
        *counted = now;
        let done = self.crew.progress();
        let t = self.clock.at(now);
        for interval in
            progress::intervals(&done, &phase.loads, (time.index, until == Until::Ready), t, took)
        {
            self.journal.worker(&interval);
            self.series.with(|series| series.add(&interval, time.label));
        }
        self.load_readings = progress::readings(&done, took);
        self.achieved = progress::in_words(&done, &phase.loads, took);
    }

    fn check_guards(&mut self) -> Option<String> {
        let now = self.newest.t()?;
        let mut readings = self.newest.readings().to_vec();
        readings.extend(self.others.values().flat_map(Newest::readings).cloned());
        readings.extend(self.load_readings.iter().cloned());
        self.guards.check(now, &readings)
    }

    fn worker_exits(&mut self, exits: &[Exit], index: usize) {
        for exit in exits {
            let text = self.exits.in_words(exit);
            self.warn_of(Some(exit.worker), text, index);
        }
    }

    fn take_news(&mut self, news: News) {
        match news {
            News::Pieces(pieces) => {
                for piece in pieces {
                    self.journal.signal(piece.name, &piece.machine, &piece.signal);
                }
            }
            News::Caveat(caveat) => {
                self.warn("telemetry", caveat.text.clone(), None);
                self.manifest.caveats.push(caveat);
            }
            News::Note(text) => {
                if !self.manifest.notes.contains(&text) {
                    self.manifest.notes.push(text.clone());
                }
                self.warn("telemetry", text, None);
            }
        }
    }

    fn show_live(&mut self, time: Time<'_>, until: Until) {
        let now = Instant::now();
        let left = match until {
            // Its time has not begun.
            Until::Ready => {
                self.plan.phases.get(time.index).map_or(Duration::ZERO, |phase| phase.duration)
            }
            Until::Over => time.ends.saturating_duration_since(now),
        };
        let later: Duration =
            self.plan.phases.iter().skip(time.index + 1).map(|phase| phase.duration).sum();
        let (all, alive) = self.crew.loader.count();
        let setting_up = if until == Until::Ready { " (setting up)" } else { "" };
        let live = Live {
            run: self.manifest.id.clone(),
            phase: format!("{}{setting_up}", time.label),
            number: time.index + 1,
            of: self.plan.phases.len(),
            elapsed_s: now.duration_since(time.begun).as_secs_f64(),
            left_s: left.as_secs_f64(),
            run_left_s: (left + later).as_secs_f64(),
            workers: (alive, all),
            resources: self.newest.resources(),
            achieved: self.achieved.clone(),
        };
        (self.show)(Update::Live(live));
    }

    /// Bring the run to its end: last samples, late scrapes, the manifest.
    pub(super) fn finish(mut self, stop: Stop) -> Outcome {
        let signal = match &stop {
            Stop::Signal(signal) => Some(*signal),
            _ => None,
        };
        let (state, reason) = match stop {
            Stop::Planned => (State::Complete, None),
            Stop::Signal(signal) => {
                (State::Interrupted, Some(format!("stopped by {}", signal.as_str())))
            }
            Stop::Guard(reason) => (State::Aborted, Some(reason)),
            Stop::Failure(reason) => (State::Failed, Some(reason)),
        };
        if let Some(reason) = &reason {
            self.warn("stop", format!("the run stops: {reason}"), None);
        }
        let end = self.clock.now();
        self.manifest.end = Some(end);
        // One sample after the end closes the last interval; others may wait before it.
        while let Ok(snapshot) = self.snapshots.recv_timeout(self.plan.telemetry.interval) {
            let is_last = snapshot.t >= end;
            self.sample(snapshot);
            if is_last {
                break;
            }
        }
        drop(self.sampling.take());
        self.last_readings();
        self.late_scrapes(end);
        if let Some(annotations) = self.annotations.take() {
            for error in annotations.finish() {
                self.manifest.notes.push(error.clone());
                self.warn("telemetry", error, None);
            }
        }
        if let Some(error) = self.push.take().and_then(Push::finish) {
            self.manifest.notes.push(error.clone());
            self.warn("telemetry", error, None);
        }
        let drift = self.clock.drift_s();
        if drift.abs() > 0.5 {
            self.manifest.notes.push(format!(
                "the system clock was moved by {drift:.1} s during the run; times are those of the clock at its start"
            ));
        }
        self.manifest.state = state;
        self.manifest.stopped = reason;
        let Self { journal, folder, manifest, crew, show, .. } = self;
        drop(crew);
        // What was measured is reported on, even when the disk is full.
        if let Err(error) = journal.close() {
            show(Update::Warning(format!("the journal is not whole: {error}")));
        }
        if let Err(error) = folder.write_manifest(&manifest) {
            show(Update::Warning(format!("{error}: {}", source(&error))));
        }
        Outcome { folder, state, signal }
    }

    /// Wait for what Prometheus still has to tell. A signal ends the waiting.
    fn late_scrapes(&mut self, end: Timestamp) {
        let Some(mut scraping) = self.scraping.take() else { return };
        (self.show)(Update::Line("waiting for the last scrapes to reach Prometheus".to_owned()));
        scraping.finish(end);
        let news = scraping.news.clone();
        loop {
            select! {
                recv(news) -> one => match one {
                    Ok(one) => self.take_news(one),
                    Err(_) => return,
                },
                recv(self.ending) -> _ => {
                    self.take_news(News::Note(
                        "interrupted before the last scrapes reached Prometheus".to_owned(),
                    ));
                    return;
                },
                default(Duration::from_millis(100)) => if scraping.is_done() && news.is_empty() {
                    return;
                },
            }
        }
    }

    fn warn(&mut self, kind: &str, text: String, phase: Option<usize>) {
        (self.show)(Update::Warning(text.clone()));
        self.event(kind, text, phase);
    }

    /// Warn of what happened to one worker, or to several.
    fn warn_of(&mut self, worker: Option<u32>, text: String, phase: usize) {
        (self.show)(Update::Warning(text.clone()));
        let event = Event {
            t: self.clock.now(),
            kind: "worker".to_owned(),
            text,
            phase: Some(phase),
            node: String::new(),
            worker,
        };
        self.journal.event(&event);
    }

    fn event(&self, kind: &str, text: String, phase: Option<usize>) {
        let event = Event {
            t: self.clock.now(),
            kind: kind.to_owned(),
            text,
            phase,
            node: String::new(),
            worker: None,
        };
        self.journal.event(&event);
    }

    /// Keep the manifest up to date. A failure here shows again at the end.
    fn save(&mut self) {
        if let Err(error) = self.folder.write_manifest(&self.manifest) {
            (self.show)(Update::Warning(error.to_string()));
        }
    }
}

/// The cause of an error, in words.
fn source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}
