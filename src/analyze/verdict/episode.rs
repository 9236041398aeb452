//! A limit that was reached for a part of a window only. Nobody cut the window
//! by load (a past window of a Prometheus, a phase in which another program did
//! the loading), so the part is found in the data.

use super::Case;
use crate::{
    analyze::{
        assess::Assessment,
        outcome::{Grade, Kind, Verdict},
        resources::{Condition, Criterion, Resource},
        words,
    },
    model::{
        run::PhaseRecord,
        time::{Timestamp, Window},
    },
};

/// A part must have this many samples,
const FEWEST: f64 = 6.0;
/// and this share of the window: less is a spike, and the window has none.
const LEAST_SHARE: f64 = 0.2;

impl Case<'_> {
    /// The longest part in which one resource was at its limit.
    pub(super) fn episode(&self) -> Option<Verdict> {
        let is_cut = self.is_loaded() || self.phase.probe.is_some() || self.phase.level.is_some();
        let seconds = self.window.seconds();
        let least = (FEWEST * self.data.interval_s).max(LEAST_SHARE * seconds);
        if is_cut || self.is_part || seconds < 2.0 * least {
            return None;
        }
        let candidates = self.ever_at_a_limit();
        if candidates.is_empty() {
            return None;
        }
        let (part, _) = self
            .parts(&candidates, least / 2.0 + self.node.record.window_s)
            .into_iter()
            .filter(|(part, _)| part.seconds() >= least)
            .max_by(|a, b| a.0.seconds().total_cmp(&b.0.seconds()))?;
        let record = PhaseRecord {
            start: part.start,
            steady: Some(part.start),
            end: Some(part.end),
            ..self.phase.clone()
        };
        let case = Case {
            phase: &record,
            whole: part,
            window: part,
            data: crate::analyze::data(self.run, self.node, &record),
            is_part: true,
            loads: Vec::new(),
            left_out: Vec::new(),
            ..*self
        };
        let mut assessments = case.assess(part, part);
        super::sorted(&mut assessments);
        let mut verdict = case.verdict(&assessments);
        if !matches!(verdict.kind, Kind::Saturated | Kind::Full) {
            return None;
        }
        verdict.grade = verdict.grade.min(Grade::Possible);
        verdict.statement =
            format!("{} {}", verdict.statement, words::for_a_part(part, self.window));
        Some(verdict)
    }

    /// The resources that a part of the window can find at their limit; nearly
    /// always none. Refusals alone make no part: they are judged over the whole.
    fn ever_at_a_limit(&self) -> Vec<&'static Resource> {
        let reached = |criterion: &Criterion| {
            self.ever(criterion.signal, |v| v >= criterion.limit)
                && criterion.when.iter().all(|condition| self.could_hold(condition))
        };
        let all = super::ALL.iter().copied();
        let mut reached_any = all.filter(|one| one.criteria().any(reached)).collect::<Vec<_>>();
        let waits = |one: &Resource| one.utilization.iter().chain(one.saturation).any(reached);
        if !reached_any.iter().any(|one| waits(one)) {
            reached_any.clear();
        }
        reached_any
    }

    /// Whether a signal has a sample like this, on any device.
    fn ever(&self, signal: &str, like: impl Fn(f64) -> bool) -> bool {
        let signals = self.node.signals.all(signal).iter();
        signals.flat_map(|signal| signal.points_in(self.window)).any(|point| like(point.v))
    }

    /// Whether a condition could hold for a part of the window.
    fn could_hold(&self, condition: &Condition) -> bool {
        match condition {
            Condition::AtLeast(signal, least) => self.ever(signal, |v| v >= *least),
            Condition::Below(signal, most) => self.ever(signal, |v| v < *most),
            // A part may have no samples of what the window has, and devices that were busy
            // in another part.
            Condition::Unseen(_) | Condition::AllBelow(..) => true,
            Condition::Seen(signal) => !self.node.signals.all(signal).is_empty(),
        }
    }

    /// From the first to the last sample of a window in which the signal that
    /// leads a resource's evidence was at its limit.
    fn at_limit(&self, root: &Assessment, window: Window) -> Option<Window> {
        let held = root.leading()?;
        let signal = self.node.signals.get(held.criterion.signal, held.device.as_deref())?;
        let at_limit = signal.points_in(window).filter(|point| point.v >= held.criterion.limit);
        let times: Vec<Timestamp> = at_limit.map(|point| point.t).collect();
        let start = times.first()?.plus(-signal.window_s).max(window.start);
        Some(Window { start, end: *times.last()? })
    }

    /// Stretches of the window in which the same resource was at its limit,
    /// looked at through a window of `length` seconds that moves by half.
    fn parts(
        &self,
        candidates: &[&'static Resource],
        length: f64,
    ) -> Vec<(Window, (&'static str, Option<String>))> {
        let mut parts: Vec<(Window, (&'static str, Option<String>))> = Vec::new();
        let mut start = self.window.start;
        while start < self.window.end {
            let end = start.plus(length).min(self.window.end);
            let seen = Window { start, end };
            let mut all = self.assess_these(candidates, seen, seen);
            super::sorted(&mut all);
            let root = all
                .iter()
                // What is only concluded is not, from a part, concluded enough.
                .find(|one| one.at_limit() && !one.hinted && self.root_of(one, &all).is_none());
            if let Some(root) = root {
                // Of what was looked at, where it was at its limit.
                let at_limit = self.at_limit(root, seen).unwrap_or(seen);
                let root = (root.resource.name, root.device.clone());
                match parts.last_mut() {
                    Some((part, same)) if *same == root && part.end >= start => {
                        part.end = at_limit.end;
                    }
                    _ => parts.push((at_limit, root)),
                }
            }
            start = start.plus(length / 2.0);
        }
        parts
    }
}
