//! What a run shows while it goes on.

use crate::{
    model::{
        catalogue::{self, SIGNALS},
        series::{RawSet, Snapshot},
        time::Timestamp,
    },
    run::guards::Reading,
};

/// Something the user may see.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// One line about what happens now.
    Line(String),
    /// A warning.
    Warning(String),
    /// The state of the run, several times a second.
    Live(Live),
}

/// The state of a run at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Live {
    /// The run's name.
    pub run: String,
    /// Label of the phase that is on.
    pub phase: String,
    /// Its number, from 1.
    pub number: usize,
    /// How many phases there are.
    pub of: usize,
    /// Seconds since the phase began.
    pub elapsed_s: f64,
    /// Seconds until it ends.
    pub left_s: f64,
    /// Seconds until the whole run ends.
    pub run_left_s: f64,
    /// Workers alive, and how many there should be.
    pub workers: (usize, usize),
    /// Utilizations, busiest first: name and share.
    pub resources: Vec<(String, f64)>,
    /// Achieved load in words.
    pub achieved: String,
}

/// The newest two snapshots, as readings.
#[derive(Debug, Default)]
pub(super) struct Newest {
    last: Option<Snapshot>,
    readings: Vec<Reading>,
}

impl Newest {
    /// Take in a snapshot.
    pub(super) fn push(&mut self, snapshot: Snapshot) {
        if let Some(last) = self.last.take() {
            let seconds = snapshot.t.since(last.t);
            let mut raw = RawSet::default();
            raw.push(&last);
            raw.push(&snapshot);
            self.readings = SIGNALS
                .iter()
                .flat_map(|row| {
                    row.expr.evaluate(&raw, seconds).into_iter().filter_map(|signal| {
                        Some(Reading {
                            signal: row.name.to_owned(),
                            device: signal.device,
                            value: signal.points.last()?.v,
                        })
                    })
                })
                .collect();
        }
        self.last = Some(snapshot);
    }

    /// When the newest was taken.
    pub(super) fn t(&self) -> Option<Timestamp> {
        self.last.as_ref().map(|snapshot| snapshot.t)
    }

    /// What the newest pair says.
    pub(super) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Utilizations of the resources that people look at, busiest first.
    pub(super) fn resources(&self) -> Vec<(String, f64)> {
        const SHOWN: [(&str, &str); 6] = [
            ("cpu_busy", "cpu"),
            ("memory_used_ratio", "memory"),
            ("disk_busy", "disk"),
            ("network_send_ratio", "net out"),
            ("network_receive_ratio", "net in"),
            ("cgroup_memory_working_ratio", "cgroup memory"),
        ];
        let mut resources: Vec<(String, f64)> = SHOWN
            .iter()
            .filter_map(|(signal, label)| {
                let busiest = self
                    .readings
                    .iter()
                    .filter(|reading| reading.signal == *signal)
                    .max_by(|a, b| a.value.total_cmp(&b.value))?;
                let device = catalogue::signal(signal)
                    .filter(|row| row.resource == "disk" || row.resource == "network")
                    .and(busiest.device.as_ref());
                let label = device
                    .map_or_else(|| (*label).to_owned(), |device| format!("{label} {device}"));
                Some((label, busiest.value.clamp(0.0, 1.0)))
            })
            .collect();
        resources.sort_by(|a, b| b.1.total_cmp(&a.1));
        resources
    }
}
