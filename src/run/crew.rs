//! Whoever carries the load: this machine's loader, and agents on other nodes.
//! A phase begins on all of them at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, never, unbounded};

use crate::{
    fleet::{
        remote::{Beat, Heard, Program, Remote, Stage, Task},
        wire::{FromAgent, ToAgent},
    },
    host::clock::Clock,
    load::{
        Exit, Loader,
        loader::{self, Progress},
    },
    model::time::Timestamp,
};

/// How long nodes may take to tell that their workers are gone.
const ENDING: Duration = Duration::from_secs(5);

/// All who carry the load.
pub(super) struct Crew {
    /// This machine's, without workers where it carries none.
    pub(super) loader: Loader,
    pub(super) remotes: Vec<Remote>,
    heard: Receiver<(usize, Heard)>,
    /// Gone when the run is: then no node hears from us any more.
    _beat: Option<Beat>,
    /// When each began the phase, by our clock; our own among them.
    began: Vec<Timestamp>,
}

/// Nodes that take no part, with the reason.
pub(super) type Missing = Vec<(String, String)>;

/// Bring all nodes in, so many at once.
///
/// # Errors
/// The reasons of those that cannot take part, when they are more than
/// `max_errors`; otherwise they come with the crew.
pub(super) fn muster(
    loader: Loader,
    tasks: &[Task],
    clock: Clock,
    (at_once, max_errors): (usize, usize),
) -> Result<(Crew, Missing), Vec<String>> {
    if tasks.is_empty() {
        let crew =
            Crew { loader, remotes: Vec::new(), heard: never(), _beat: None, began: Vec::new() };
        return Ok((crew, Vec::new()));
    }
    let program = Program::itself().map_err(|error| vec![error.to_string()])?;
    let (sender, heard) = unbounded();
    // The first must hear from us while the last are still on their way.
    let no_thread = |error: std::io::Error| {
        vec![format!("no thread can be started ({error}): raise the limit of processes")]
    };
    let beat = Beat::start(clock).map_err(no_thread)?;
    let next = AtomicUsize::new(0);
    let started = Mutex::new(Vec::new());
    // Each takes the next task, so that one slow node holds up none but itself.
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, tasks.len()) {
            let bring_in = || {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let remote = Remote::start(&program, task, clock, &sender);
                    let remote = remote.inspect(|remote| beat.join(remote));
                    let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
                    started.push((task, remote));
                }
            };
            // One thread is enough, and where there is none, this one.
            if thread::Builder::new().spawn_scoped(scope, bring_in).is_err() {
                bring_in();
                break;
            }
        }
    });
    let mut remotes = Vec::new();
    let mut missing = Vec::new();
    let mut started = started.into_inner().unwrap_or_else(PoisonError::into_inner);
    started.sort_by_key(|(task, _)| task.index);
    for (task, one) in started {
        match one {
            Ok(remote) => remotes.push(remote),
            Err(error) => missing.push((task.node.clone(), error.to_string())),
        }
    }
    if missing.len() > max_errors || remotes.is_empty() {
        return Err(missing.into_iter().map(|(_, why)| why).collect());
    }
    let crew = Crew { loader, remotes, heard, _beat: Some(beat), began: Vec::new() };
    Ok((crew, missing))
}

impl Crew {
    /// Messages of nodes, with the node's place in the list of tasks.
    pub(super) fn heard(&self) -> Receiver<(usize, Heard)> {
        self.heard.clone()
    }

    /// Have the workers of a phase set themselves up everywhere.
    pub(super) fn fork(&mut self, index: usize) -> Result<(), loader::Error> {
        self.began.clear();
        for remote in self.remotes.iter_mut().filter(|remote| remote.is_here()) {
            remote.stage = Stage::SettingUp;
            remote.tell(ToAgent::Fork { phase: index });
        }
        self.loader.fork(index)
    }

    /// Whether all who are still here have set themselves up.
    pub(super) fn is_ready(&self) -> bool {
        self.loader.is_ready()
            && !self.remotes.iter().any(|remote| remote.stage == Stage::SettingUp)
    }

    /// Let all begin. The far ones first: their order takes time.
    pub(super) fn release(&mut self, clock: Clock) {
        for remote in self.remotes.iter().filter(|remote| remote.is_here()) {
            remote.tell(ToAgent::Release);
        }
        self.loader.release();
        if self.loader.count().0 > 0 {
            self.began.push(clock.now());
        }
    }

    /// Note that a node began, by our clock.
    pub(super) fn note_begin(&mut self, t: Timestamp) {
        self.began.push(t);
    }

    /// Seconds between the first and the last that began the phase, and how many
    /// they are; none for fewer than two.
    pub(super) fn spread(&self) -> Option<(f64, usize)> {
        let (first, last) = (self.began.iter().min()?, self.began.iter().max()?);
        (self.began.len() > 1).then(|| (last.since(*first), self.began.len()))
    }

    /// Stop all workers. What nodes still say until theirs are gone is returned.
    pub(super) fn stop(&mut self) -> (Result<usize, loader::Error>, Vec<(usize, Heard)>) {
        for remote in self.remotes.iter().filter(|remote| remote.is_here()) {
            remote.tell(ToAgent::Stop);
        }
        let stuck = self.loader.stop();
        let mut last = Vec::new();
        let mut working: usize = self.remotes.iter().filter(|remote| remote.is_here()).count();
        let begun = Instant::now();
        while working > 0 && begun.elapsed() < ENDING {
            let Ok(one) = self.heard.recv_timeout(Duration::from_millis(100)) else { continue };
            let is_last = match &one.1 {
                Heard::Message(message, _) => {
                    matches!(**message, FromAgent::Stopped { .. } | FromAgent::Failed { .. })
                }
                Heard::Gone(_) => true,
            };
            working -= usize::from(is_last);
            last.push(one);
        }
        (stuck, last)
    }

    /// Workers of this machine that ended by themselves.
    pub(super) fn exits(&mut self) -> Result<Vec<Exit>, loader::Error> {
        self.loader.exits()
    }

    pub(super) fn progress(&mut self) -> Vec<Progress> {
        self.loader.progress()
    }

    /// The node of a message.
    pub(super) fn remote(&mut self, index: usize) -> Option<&mut Remote> {
        self.remotes.iter_mut().find(|remote| remote.index == index)
    }

    /// Nodes that have been silent for too long.
    pub(super) fn silent(&self) -> Vec<usize> {
        let silent = |remote: &&Remote| remote.is_here() && remote.is_silent();
        self.remotes.iter().filter(silent).map(|remote| remote.index).collect()
    }

    /// Nodes that take part, and how many of them are still here.
    pub(super) fn nodes(&self) -> (usize, usize) {
        (self.remotes.len(), self.remotes.iter().filter(|remote| remote.is_here()).count())
    }
}
