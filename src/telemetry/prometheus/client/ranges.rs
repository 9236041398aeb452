//! A range in parts that a server answers. Pure.

use std::collections::{BTreeMap, VecDeque};

use super::super::decode::Answer;
use crate::model::time::Timestamp;

/// Points of one series that are asked for at once: Prometheus gives 11,000 at
/// most, less a margin.
pub(super) const MOST_POINTS: u32 = 10_000;
/// A part this short is not halved: what is refused then does not depend on the
/// range.
pub(super) const LEAST_POINTS: u32 = 30;

/// A part of a range, both ends of which are points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) points: u32,
}

/// What is still to be asked for, in order.
#[derive(Debug)]
pub(super) struct Ranges {
    waiting: VecDeque<(Timestamp, u64)>,
    step_s: f64,
    most_points: u32,
}

impl Ranges {
    pub(super) fn new(start: Timestamp, end: Timestamp, step_s: f64, most_points: u32) -> Self {
        let steps = end.since(start) / step_s;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and `as` saturates"
        )]
        // A thousandth of a step: times are kept to the millisecond.
        let points = if steps >= 0.0 { (steps + 1e-3) as u64 + 1 } else { 0 };
        let waiting = if points == 0 { VecDeque::new() } else { VecDeque::from([(start, points)]) };
        Self { waiting, step_s, most_points }
    }

    /// The next part, no longer than what was answered so far.
    pub(super) fn next(&mut self) -> Option<Part> {
        let (start, points) = self.waiting.pop_front()?;
        let taken = u32::try_from(points).unwrap_or(u32::MAX).min(self.most_points);
        let rest = points - u64::from(taken);
        if rest > 0 {
            self.waiting.push_front((start.plus(self.step_s * f64::from(taken)), rest));
        }
        let end = start.plus(self.step_s * f64::from(taken.saturating_sub(1)));
        Some(Part { start, end, points: taken })
    }

    /// Ask for a part that was refused in halves, and for all after it no longer
    /// than these.
    pub(super) fn halve(&mut self, part: Part) {
        self.most_points = part.points.div_ceil(2);
        self.waiting.push_front((part.start, u64::from(part.points)));
    }

    pub(super) fn most_points(&self) -> u32 {
        self.most_points
    }
}

/// Put a later part of a range behind what is there.
pub(super) fn join(whole: &mut Vec<Answer>, part: Vec<Answer>) {
    let places: BTreeMap<_, usize> =
        whole.iter().enumerate().map(|(at, one)| (one.labels.clone(), at)).collect();
    for series in part {
        match places.get(&series.labels).and_then(|at| whole.get_mut(*at)) {
            Some(known) => known.points.extend(series.points),
            None => whole.push(series),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part as its points, in steps from the start.
    fn asked(ranges: &mut Ranges, refused_above: u32) -> Vec<(i64, i64)> {
        let mut parts = Vec::new();
        while let Some(part) = ranges.next() {
            if part.points > refused_above {
                ranges.halve(part);
                continue;
            }
            parts.push((part.start.0 / 1000, part.end.0 / 1000));
        }
        parts
    }

    #[test]
    fn the_parts_of_a_range_are_its_points_each_once() {
        for (points, most, refused_above, count) in [
            (1, 10_000, 10_000, 1),
            (10_000, 10_000, 10_000, 1),
            (10_001, 10_000, 10_000, 2),
            (601, 10_000, 100, 8),
            (64, 64, 40, 2),
            (7, 3, 3, 3),
        ] {
            let end = Timestamp(i64::from(points - 1) * 1000);
            let mut ranges = Ranges::new(Timestamp(0), end, 1.0, most);
            let parts = asked(&mut ranges, refused_above);
            assert_eq!(parts.len(), count, "{points}: {parts:?}");
            let all: Vec<i64> = parts.iter().flat_map(|(from, to)| *from..=*to).collect();
            assert_eq!(all, (0..i64::from(points)).collect::<Vec<_>>());
        }
        assert_eq!(asked(&mut Ranges::new(Timestamp(1), Timestamp(0), 1.0, 9), 9), []);
    }

    #[test]
    fn an_end_between_two_points_and_steps_of_milliseconds_lose_none() {
        let mut ranges = Ranges::new(Timestamp(0), Timestamp(2900), 1.0, 100);
        assert_eq!(ranges.next().map(|part| part.end), Some(Timestamp(2000)));
        let mut ranges = Ranges::new(Timestamp(0), Timestamp(900), 0.1, 100);
        assert_eq!(ranges.next().map(|part| part.points), Some(10));
    }

    #[test]
    fn after_a_refusal_only_what_can_be_answered_is_asked() {
        let mut ranges = Ranges::new(Timestamp(0), Timestamp(9_999_000), 1.0, MOST_POINTS);
        let mut refusals = 0;
        while let Some(part) = ranges.next() {
            if part.points > 1000 {
                ranges.halve(part);
                refusals += 1;
            }
        }
        // 10,000, 5000, 2500, 1250: then 625 each.
        assert_eq!((refusals, ranges.most_points()), (4, 625));
    }
}
