//! How near a group is to its limit, by what can be read cheaply.

use std::time::{Duration, Instant};

use super::{Controller, HOT_FOR};
use crate::host::cgroup::{
    Group, Version, flat_value, io_limits, memory_usage, usage::cpu_seconds,
};

/// From here on a group is near its limit: within a fifth of it. At one and above it was
/// held back, refused or killed since the last look.
pub(super) const HOT: f64 = 0.8;
/// Two looks that are nearer to each other say nothing about a rate.
const LEAST_BETWEEN: Duration = Duration::from_millis(150);

/// What is known of one limit of a group.
#[derive(Debug, Clone)]
pub(super) struct Heat {
    limit: f64,
    last: Option<(Instant, Marks)>,
    /// 0 for at rest, [`HOT`] for near the limit, 1 to 2 for at it.
    now: f64,
    hottest: f64,
    hot_until: Option<Instant>,
}

/// Counters of a group, as far as its controller has them.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// Times that it was held back, refused or had a process killed.
    events: f64,
    /// Occasions on which it could have been held back.
    occasions: f64,
    /// CPU seconds, or seconds of a disk's limit, used up.
    used: f64,
    /// Share of the limit in use at this moment.
    level: f64,
}

impl Heat {
    pub(super) const fn new(limit: f64) -> Self {
        Self { limit, last: None, now: 0.0, hottest: 0.0, hot_until: None }
    }

    pub(super) const fn set_limit(&mut self, limit: f64) {
        self.limit = limit;
    }

    /// Its place among others: the hotter the higher.
    pub(super) fn rank(&self) -> f64 {
        if self.hot_until.is_some() { self.hottest } else { self.now }
    }

    /// Read it again.
    pub(super) fn take(&mut self, controller: Controller, group: &Group, now: Instant) {
        let between = self.last.map(|(then, _)| now.saturating_duration_since(then));
        if between.is_some_and(|between| between < LEAST_BETWEEN) {
            return;
        }
        let before = self.last.map(|(_, marks)| marks);
        let marks = match controller {
            Controller::Cpu => cpu(group, before),
            Controller::Memory => self.memory(group),
            Controller::Tasks => self.tasks(group),
            Controller::Io => io(group),
        };
        let Some(marks) = marks else { return };
        self.now = marks.level;
        if let (Some(before), Some(between)) = (before, between) {
            let seconds = between.as_secs_f64().max(1e-3);
            let events = marks.events - before.events;
            let occasions = (marks.occasions - before.occasions).max(events).max(1.0);
            let used = (marks.used - before.used) / seconds;
            // A quota is in cores; the use of a disk is in shares of its limit already.
            let ceiling = if controller == Controller::Cpu { self.limit.max(1e-3) } else { 1.0 };
            self.now = self.now.max((used / ceiling).clamp(0.0, 1.0));
            if events > 0.0 {
                self.now = 1.0 + events / occasions;
            }
        }
        self.last = Some((now, marks));
        if self.now >= HOT {
            self.hot_until = Some(now + HOT_FOR);
            self.hottest = self.hottest.max(self.now);
        } else if self.hot_until.is_some_and(|until| until <= now) {
            self.hot_until = None;
            self.hottest = 0.0;
        }
    }

    fn memory(&self, group: &Group) -> Option<Marks> {
        let events = match group.version {
            Version::V1 => group.number("memory.failcnt"),
            Version::V2 => group.text("memory.events").map(|text| {
                ["max", "high", "oom_kill"].iter().filter_map(|key| flat_value(&text, key)).sum()
            }),
        };
        let level = memory_usage(group)? / self.limit.max(1.0);
        Some(Marks { events: events.unwrap_or(0.0), level: level.min(1.0), ..Marks::default() })
    }

    fn tasks(&self, group: &Group) -> Option<Marks> {
        let level = group.number("pids.current")? / self.limit.max(1.0);
        let events = group.value("pids.events", "max").unwrap_or(0.0);
        Some(Marks { events, level: level.min(1.0), ..Marks::default() })
    }
}

fn io(group: &Group) -> Option<Marks> {
    let used = io_limits(group)
        .iter()
        .filter_map(|one| Some(one.done? / one.most))
        .fold(None, |most: Option<f64>, used| Some(most.map_or(used, |most| most.max(used))))?;
    Some(Marks { used, ..Marks::default() })
}

fn cpu(group: &Group, before: Option<Marks>) -> Option<Marks> {
    let text = group.text("cpu.stat")?;
    let occasions = flat_value(&text, "nr_periods")?;
    // Version 1 counts CPU time in another file, which matters only while it runs.
    let runs = before.is_none_or(|before| before.occasions < occasions);
    let used = match group.version {
        Version::V1 if !runs => before.map(|before| before.used),
        version => cpu_seconds(group, version, &text),
    };
    Some(Marks {
        events: flat_value(&text, "nr_throttled").unwrap_or(0.0),
        occasions,
        used: used.unwrap_or(0.0),
        level: 0.0,
    })
}
