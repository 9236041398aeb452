//! From when a resource was at its limit.

use crate::model::{
    series::Signal,
    stats,
    time::{Timestamp, Window},
};

/// The start of the first averaging window from which on the signal stays at
/// its limit: a mean over a window reaches 95 % of a ceiling only when nearly
/// the whole window was there, so the time is the window's start, not its end.
/// "Stays" means that this point and one of the next two reach it, and so do four
/// of ten of all that follow: a dip is not an end, a blip not a beginning.
pub(super) fn since(signal: &Signal, limit: f64, window: Window) -> Option<Timestamp> {
    let points: Vec<_> = signal.points_in(window).collect();
    for (at, point) in points.iter().enumerate() {
        let rest: Vec<f64> = points.iter().skip(at).map(|point| point.v).collect();
        let next = rest.get(1..rest.len().min(3)).unwrap_or_default();
        let goes_on = next.is_empty() || next.iter().any(|v| *v >= limit);
        if point.v >= limit && goes_on && stats::quantile(&rest, 0.6)? >= limit {
            let start = point.t.plus(-signal.window_s);
            return Some(start.max(window.start));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::Point;

    fn signal(values: &[f64]) -> Signal {
        let points =
            (1..).zip(values).map(|(s, v)| Point { t: Timestamp(s * 1000), v: *v }).collect();
        Signal { device: None, points, window_s: 1.0 }
    }

    fn onset(values: &[f64]) -> Option<i64> {
        let window = Window { start: Timestamp(0), end: Timestamp(100_000) };
        since(&signal(values), 0.95, window).map(|t| t.0)
    }

    #[test]
    fn it_is_the_start_of_the_first_full_window() {
        assert_eq!(onset(&[0.1, 0.1, 1.0, 1.0, 1.0]), Some(2000));
        assert_eq!(onset(&[1.0, 1.0, 1.0]), Some(0));
    }

    #[test]
    fn a_blip_is_no_beginning_and_a_dip_no_end() {
        assert_eq!(onset(&[1.0, 0.1, 0.1, 1.0, 1.0, 0.2, 1.0, 1.0]), Some(3000));
        assert_eq!(onset(&[1.0, 0.1, 1.0, 1.0, 1.0]), Some(0));
        assert_eq!(onset(&[1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1]), None);
        assert_eq!(onset(&[]), None);
    }
}
