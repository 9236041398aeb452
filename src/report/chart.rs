//! Charts as data: what is drawn on which scale. No pixels.

use crate::model::{
    series::Signal,
    stats,
    time::{Timestamp, Window},
    units::Unit,
};

/// A line is thinned to this many points: more than a screen can tell apart
/// on the width it has.
const MOST_POINTS: usize = 400;

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) name: String,
    /// Which of the palette's eight colours and dashes.
    pub(super) style: usize,
    /// Seconds since the run's start, and values.
    pub(super) points: Vec<(f64, f64)>,
}

impl Line {
    /// Its unbroken parts: where points lie much farther apart than is usual
    /// for the line, nothing was there, and nothing is drawn.
    pub(super) fn parts(&self) -> Vec<&[(f64, f64)]> {
        /// How many usual distances make a hole. A thinned line has its two
        /// points of a bucket anywhere in it, up to two buckets apart.
        const HOLE: f64 = 4.0;
        let distances: Vec<f64> = self
            .points
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] => Some(b.0 - a.0),
                _ => None,
            })
            .collect();
        let usual = stats::quantile(&distances, 0.75).unwrap_or(0.0);
        self.points.chunk_by(|a, b| b.0 - a.0 <= HOLE * usual).collect()
    }
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// What it shows, in a few words.
    pub(super) title: String,
    /// Unit of the values.
    pub(super) unit: Unit,
    /// The value at its top.
    pub(super) top: f64,
    /// Its lines.
    pub(super) lines: Vec<Line>,
    /// Values that get a tick.
    pub(super) ticks: Vec<f64>,
}

impl Chart {
    /// A chart of these lines; `None` when there is nothing to draw.
    pub(super) fn new(title: &str, unit: Unit, lines: Vec<Line>) -> Option<Self> {
        let lines: Vec<Line> = lines.into_iter().filter(|line| line.points.len() > 1).collect();
        if lines.is_empty() {
            return None;
        }
        let most = lines.iter().flat_map(|line| &line.points).map(|(_, v)| *v).fold(0.0, f64::max);
        // A share has its ceiling; anything else the next round number.
        let ticks =
            if unit == Unit::Ratio { vec![0.0, 0.25, 0.5, 0.75, 1.0] } else { ticks(most, unit) };
        let top = ticks.last().copied().unwrap_or(1.0).max(1e-9);
        Some(Self { title: title.to_owned(), unit, top, lines, ticks })
    }
}

/// A signal as a line.
pub(super) fn line(name: &str, style: usize, signal: &Signal, whole: Window) -> Line {
    let points: Vec<(f64, f64)> = signal
        .points
        .iter()
        .filter(|point| whole.start <= point.t && point.t <= whole.end)
        .map(|point| (point.t.since(whole.start), point.v))
        .collect();
    Line { name: name.to_owned(), style, points: thinned(&points) }
}

/// Thin to pairs of the smallest and the largest of each bucket, in the order
/// of time: no peak and no dip is lost.
pub(super) fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let bucket = points.len().div_ceil(MOST_POINTS / 2);
    points
        .chunks(bucket)
        .flat_map(|chunk| {
            let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let low = chunk.iter().min_by(by_value).copied();
            let high = chunk.iter().max_by(by_value).copied();
            let mut pair: Vec<(f64, f64)> = low.into_iter().chain(high).collect();
            pair.sort_by(|a, b| a.0.total_cmp(&b.0));
            pair.dedup();
            pair
        })
        .collect()
}

/// Round values from zero to at least `most`: 1, 2 or 5 times a power of ten,
/// for bytes 1, 2, 4 … times a power of 1024.
fn ticks(most: f64, unit: Unit) -> Vec<f64> {
    /// Below and above, a step would be lost in rounding, and nothing is measured.
    const RANGE: (f64, f64) = (1e-9, 1e24);
    /// More than any range needs: the end of the loop does not rest on arithmetic alone.
    const MOST_TICKS: usize = 12;
    let most = if most > 0.0 { most.clamp(RANGE.0, RANGE.1) } else { 1.0 };
    let rough = most / 4.0;
    let step = if matches!(unit, Unit::Bytes | Unit::BytesPerSecond) {
        2.0_f64.powf(rough.log2().ceil())
    } else {
        let power = 10.0_f64.powf(rough.log10().floor());
        [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough)
    };
    let mut ticks = vec![0.0];
    let mut v = step;
    while v < most + step && ticks.len() < MOST_TICKS {
        ticks.push(v);
        v += step;
    }
    ticks
}

/// Seconds that get a tick on an axis this long, about six of them.
pub(super) fn time_ticks(seconds: f64) -> Vec<f64> {
    const STEPS: [f64; 16] = [
        0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
        21_600.0, 86_400.0,
    ];
    let step = STEPS.into_iter().find(|step| seconds / step <= 7.0).unwrap_or(seconds / 6.0);
    let mut ticks = Vec::new();
    let mut t = 0.0;
    while t <= seconds && ticks.len() < 50 {
        ticks.push(t);
        t += step;
    }
    ticks
}

/// `1m30s` on the time axis.
pub(super) fn show_time(seconds: f64) -> String {
    crate::model::units::show_duration(std::time::Duration::from_secs_f64(seconds.max(0.0)))
}

/// Seconds from the run's start.
pub(super) fn offset(t: Timestamp, whole: Window) -> f64 {
    t.since(whole.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_peaks() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|t| (f64::from(t), 1.0)).collect();
        points[4321].1 = 9.0;
        points[8765].1 = -3.0;
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS);
        assert!(thin.iter().any(|(_, v)| (*v - 9.0).abs() < 1e-9));
        assert!(thin.iter().any(|(_, v)| (*v + 3.0).abs() < 1e-9));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn a_line_breaks_where_nothing_was() {
        let times = [0.0, 1.0, 2.0, 3.0, 3.2, 9.0, 10.0, 11.0];
        let line = |points: Vec<(f64, f64)>| Line { name: "x".into(), style: 0, points };
        let broken = line(times.iter().map(|t| (*t, 1.0)).collect());
        let lengths: Vec<usize> = broken.parts().iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [5, 3]);
        let thin = line(thinned(
            &(0..10_000).map(|t| (f64::from(t), f64::from(t % 7))).collect::<Vec<_>>(),
        ));
        assert_eq!(thin.parts().len(), 1);
        assert!(line(vec![]).parts().is_empty());
    }

    #[test]
    fn the_top_is_above_every_value() {
        for most in [0.0, 4.9e-324, 1e-300, 1e-9, 0.3, 7.0, 99.0, 1e9, 1e20] {
            for unit in [Unit::Count, Unit::BytesPerSecond] {
                let ticks = ticks(most, unit);
                assert!(*ticks.last().unwrap() >= most, "{most}");
                assert!(ticks.len() <= 7, "{most}: {ticks:?}");
            }
        }
        for most in [f64::MAX, f64::INFINITY, f64::NAN, -1.0] {
            assert!(ticks(most, Unit::Count).len() <= 12, "{most}");
        }
    }
}
