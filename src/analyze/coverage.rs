//! How much of a window a node's samples cover: what is missing, where the node
//! vanished or appeared, and where another boot or machine begins.

use super::assess::{FEWEST_SAMPLES, LEAST_COVERAGE};
use crate::model::{
    series::{Break, Change, SignalSet},
    time::{Timestamp, Window},
};

/// A hole between two samples is longer than this many intervals; a shorter one is one
/// lost sample.
const HOLE_INTERVALS: f64 = 2.5;
/// A hole of this share of the window is worth a sentence.
const HOLE_SHARE: f64 = 0.05;

/// What a node's samples cover of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Coverage {
    /// From the first to the last sample, give or take an interval; the window itself
    /// where the samples reach its ends.
    pub(super) present: Window,
    /// The last sample, where the node has none from then on.
    pub(super) vanished: Option<Timestamp>,
    /// The first sample, where the node has none before.
    pub(super) appeared: Option<Timestamp>,
    /// Holes between samples, longer than two lost ones.
    pub(super) holes: Vec<Window>,
    /// Share of the window without samples, 0 to 1.
    pub(super) missing: f64,
}

impl Coverage {
    /// What the samples of a node cover of a window.
    pub(super) fn of(signals: &SignalSet, window: Window) -> Self {
        let interval = signals.interval_s.max(0.001);
        let times: Vec<Timestamp> =
            signals.times.iter().copied().filter(|t| window.contains(*t)).collect();
        let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else {
            return Self {
                present: window,
                vanished: None,
                appeared: None,
                holes: Vec::new(),
                missing: 1.0,
            };
        };
        let holes: Vec<Window> = times
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if b.since(*a) > HOLE_INTERVALS * interval => {
                    Some(Window { start: *a, end: *b })
                }
                _ => None,
            })
            .collect();
        // A sample may fall outside at each end.
        let least = (HOLE_INTERVALS * interval).max(HOLE_SHARE * window.seconds() / 2.0);
        let vanished = Some(last).filter(|last| window.end.since(*last) > least + interval);
        let appeared = Some(first).filter(|first| first.since(window.start) > least + interval);
        let present = Window {
            start: appeared.map_or(window.start, |first| first.plus(-interval)),
            end: vanished.map_or(window.end, |last| last.plus(0.001)),
        };
        let inside: f64 = holes.iter().map(|hole| hole.seconds() - interval).sum();
        let outside = window.seconds() - present.seconds();
        let missing = ((inside + outside) / window.seconds().max(0.001)).clamp(0.0, 1.0);
        Self { present, vanished, appeared, holes, missing }
    }

    /// The holes that are worth a sentence: those without which the window would be covered.
    fn long_holes(&self, window: Window) -> Vec<&Window> {
        let is_incomplete = 1.0 - self.missing < LEAST_COVERAGE;
        let least = HOLE_SHARE * window.seconds();
        self.holes.iter().filter(|hole| is_incomplete || hole.seconds() >= least).collect()
    }

    /// Whether a verdict can rest on the whole window.
    pub(super) fn is_whole(&self, window: Window) -> bool {
        self.vanished.is_none() && self.appeared.is_none() && self.long_holes(window).is_empty()
    }

    /// What is missing and what that may mean, in front of a statement that holds for the
    /// rest; empty where nothing is.
    pub(super) fn preamble(&self, node: &str, window: Window) -> String {
        let share = |seconds: f64| percent(seconds / window.seconds().max(0.001));
        let mut text = String::new();
        if let Some(first) = self.appeared {
            text += &format!(
                "{node} appeared at {} UTC: the first {} of the window have no samples. ",
                first.clock(),
                share(first.since(window.start))
            );
        }
        let holes = self.long_holes(window);
        if !holes.is_empty() {
            let listed: Vec<String> = holes
                .iter()
                .take(3)
                .map(|hole| format!("from {} to {} UTC", hole.start.clock(), hole.end.clock()))
                .collect();
            let more = holes.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more times") } else { String::new() };
            let seconds: f64 = holes.iter().map(|hole| hole.seconds()).sum();
            text += &format!(
                "{node} has no samples {}{more}, {} of the window: what happened then is not known. A node that is overloaded may fail to answer its scrapes, so the worst part may be missing. ",
                listed.join(", "),
                share(seconds)
            );
        }
        if let Some(last) = self.vanished {
            text += &format!(
                "{node} vanished at {} UTC: the last {} of the window have no samples (it crashed, was removed, was unreachable, or is no longer scraped). ",
                last.clock(),
                share(window.end.since(last))
            );
        }
        match (text.is_empty(), self.vanished) {
            (true, _) => text,
            (false, Some(_)) => text + "Until then: ",
            (false, None) => text + "In the samples that exist: ",
        }
    }
}

/// `35 %`.
fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0))
}

/// The stretches between the breaks inside a window, each with the break that begins it;
/// one stretch where there is none.
pub(super) fn parts(signals: &SignalSet, window: Window) -> Vec<(Window, Option<&Break>)> {
    let mut parts = Vec::new();
    let (mut start, mut begun_by) = (window.start, None);
    for one in &signals.breaks {
        if one.before < start || one.after > window.end {
            continue;
        }
        parts.push((Window { start, end: one.before.plus(0.001) }, begun_by));
        start = one.after.plus(-signals.interval_s).max(one.before);
        begun_by = Some(one);
    }
    parts.push((Window { start, end: window.end }, begun_by));
    parts
}

/// Whether a part has enough samples to be judged.
pub(super) fn can_be_judged(signals: &SignalSet, part: Window) -> bool {
    signals.times.iter().filter(|t| part.contains(**t)).count() > FEWEST_SAMPLES
}

/// What a break is, as a sentence about a node.
pub(super) fn describe(node: &str, one: &Break) -> String {
    match &one.change {
        Change::Reboot(at) => format!("{node} was rebooted at {} UTC.", at.clock()),
        Change::BootTime => format!(
            "The boot time of {node} changed between {} and {} UTC, but not to a time between them: another machine answers at its address, or its clock was changed.",
            one.before.clock(),
            one.after.clock()
        ),
        Change::Host { was, is } => format!(
            "The host name at the address of {node} changed from {was} to {is} by {} UTC: another machine answers there, or the machine was renamed.",
            one.after.clock()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(seconds: &[i64]) -> SignalSet {
        SignalSet {
            times: seconds.iter().map(|s| Timestamp(s * 1000)).collect(),
            interval_s: 10.0,
            ..SignalSet::default()
        }
    }

    fn range(from: i64, to: i64) -> Vec<i64> {
        (from..to).step_by(10).collect()
    }

    const WINDOW: Window = Window { start: Timestamp(0), end: Timestamp(1_000_000) };

    #[test]
    fn complete_samples_leave_nothing_to_say() {
        let mut times = range(5, 1000);
        times.remove(40);
        let coverage = Coverage::of(&signals(&times), WINDOW);
        assert!(coverage.is_whole(WINDOW), "{coverage:?}");
        assert_eq!(coverage.preamble("a", WINDOW), "");
        assert_eq!(coverage.present, WINDOW);
    }

    #[test]
    fn a_node_that_vanishes_is_dated_by_its_last_sample() {
        let coverage = Coverage::of(&signals(&range(0, 600)), WINDOW);
        assert_eq!(coverage.vanished, Some(Timestamp(590_000)));
        let text = coverage.preamble("a", WINDOW);
        assert!(text.contains("vanished at 00:09:50 UTC"), "{text}");
        assert!(text.contains("the last 41 %"), "{text}");
        assert!(text.ends_with("Until then: "), "{text}");
    }

    #[test]
    fn a_node_that_appears_late_is_dated_by_its_first_sample() {
        let coverage = Coverage::of(&signals(&range(300, 1000)), WINDOW);
        assert_eq!(coverage.appeared, Some(Timestamp(300_000)));
        assert_eq!(coverage.present.start, Timestamp(290_000));
        assert!(!coverage.is_whole(WINDOW));
    }

    #[test]
    fn a_hole_is_named_with_its_share() {
        let times = [range(0, 300), range(650, 1000)].concat();
        let coverage = Coverage::of(&signals(&times), WINDOW);
        assert!((coverage.missing - 0.35).abs() < 0.01, "{coverage:?}");
        let text = coverage.preamble("a", WINDOW);
        assert!(text.contains("from 00:04:50 to 00:10:50 UTC, 36 % of the window"), "{text}");
    }

    #[test]
    fn a_reboot_splits_the_window() {
        let mut signals = signals(&range(0, 1000));
        let one = Break {
            before: Timestamp(400_000),
            after: Timestamp(460_000),
            change: Change::Reboot(Timestamp(440_000)),
        };
        signals.breaks.push(one.clone());
        let parts = parts(&signals, WINDOW);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].0.end, Timestamp(400_001));
        assert_eq!(parts[1], (Window { start: Timestamp(450_000), end: WINDOW.end }, Some(&one)));
    }
}
