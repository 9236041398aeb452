//! What the conductor does with other nodes: what they say, and when they fall
//! silent.

use std::time::Instant;

use super::{Conductor, SHOW_EVERY, Stop};
use crate::{
    fleet::{
        remote::Heard,
        wire::{FromAgent, SILENCE_S},
    },
    model::{
        run::PhaseRecord,
        series::{Key, Snapshot},
    },
    run::live::Update,
};

impl Conductor<'_> {
    /// Take in what another node says.
    pub(super) fn hear(&mut self, node: usize, heard: Heard, phase: usize) {
        let clock = self.clock;
        let Some(remote) = self.crew.remote(node) else { return };
        let name = remote.name.clone();
        let (message, heard) = match heard {
            Heard::Message(message, heard) => (*message, heard),
            Heard::Gone(why) => return self.lose(node, &why, phase),
        };
        remote.note(&message, clock.at(heard));
        match message {
            FromAgent::Released { t } => {
                let t = remote.ours(t);
                self.crew.note_begin(t);
            }
            FromAgent::Sample { t, columns, v } => {
                let (t, is_timed) = (remote.ours(t), remote.is_timed());
                if let Some(columns) = columns {
                    let keys = columns.iter().map(|column| Key::parse(column)).collect();
                    self.columns.insert(node, keys);
                }
                // Taken before the run began, at a time that nobody knows.
                if !is_timed {
                    return;
                }
                let keys = self.columns.get(&node).map_or(&[] as &[_], Vec::as_slice);
                if keys.len() != v.len() {
                    return;
                }
                let values =
                    keys.iter().zip(v).filter_map(|(key, v)| Some((key.clone()?, v?))).collect();
                let snapshot = Snapshot { t, values };
                self.journal.sample_of(&name, &snapshot);
                self.others.entry(node).or_default().push(snapshot);
            }
            FromAgent::Worker(mut interval) => {
                interval.t = remote.ours(interval.t);
                interval.node = name;
                self.journal.worker(&interval);
                let of = self.manifest.phases.get(interval.phase);
                let label = of.map(PhaseRecord::label).unwrap_or_default();
                self.series.with(|series| series.add(&interval, &label));
            }
            FromAgent::Event(mut event) => {
                event.t = remote.ours(event.t);
                (self.show)(Update::Warning(format!("{name}: {}", event.text)));
                event.node = name;
                self.journal.event(&event);
            }
            FromAgent::Stopped { stuck } if stuck > 0 => {
                let text = format!(
                    "{name}: {stuck} workers were killed but are stuck in the kernel (a hanging disk?)"
                );
                self.warn_of(None, text, phase);
            }
            FromAgent::Failed { why } => self.lose(node, &why, phase),
            FromAgent::Refused { reasons } => self.lose(node, &reasons.join("; "), phase),
            FromAgent::Hello { .. }
            | FromAgent::Absent
            | FromAgent::Ready
            | FromAgent::Stopped { .. }
            | FromAgent::Beat { .. } => (),
        }
    }

    /// Go on without a node.
    fn lose(&mut self, node: usize, why: &str, phase: usize) {
        let Some(remote) = self.crew.remote(node).filter(|remote| remote.is_here()) else { return };
        remote.lose(why);
        let text = format!(
            "{} is lost: {why}; its load stops within {SILENCE_S} s by itself, and the run goes on without it",
            remote.name
        );
        self.manifest.notes.push(text.clone());
        self.warn("node", text, Some(phase));
    }

    /// Give up nodes that are silent; why the run cannot go on, if too few are
    /// left.
    pub(super) fn see_to_nodes(&mut self, phase: usize) -> Option<Stop> {
        for node in self.crew.silent() {
            self.lose(node, &format!("it has been silent for {SILENCE_S} s"), phase);
        }
        let (all, here) = self.crew.nodes();
        let lost = all - here;
        let most = self.most_lost.unwrap_or(all.saturating_sub(1));
        (lost > most).then(|| {
            Stop::Failure(format!("{lost} of {all} nodes are lost, and {most} may be (max_errors)"))
        })
    }

    /// Tell how far apart the nodes began.
    pub(super) fn tell_spread(&mut self, label: &str, index: usize) {
        let has_load = self.whole.phases.get(index).is_some_and(|phase| !phase.loads.is_empty());
        if let (true, Some((seconds, nodes))) = (has_load, self.crew.spread()) {
            let text =
                format!("phase {label} began on {nodes} nodes within {:.0} ms", seconds * 1000.0);
            self.manifest.notes.push(text.clone());
            self.event("phase", text, Some(index));
        }
    }

    /// One reading of each node after the end closes its last interval.
    pub(super) fn last_readings(&mut self) {
        let deadline = Instant::now() + self.plan.telemetry.interval + SHOW_EVERY;
        let phase = self.manifest.phases.len().saturating_sub(1);
        while self.crew.nodes().1 > 0 {
            let Ok((node, heard)) = self.crew.heard().recv_deadline(deadline) else { return };
            self.hear(node, heard, phase);
        }
    }
}
