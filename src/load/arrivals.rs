//! When requests of an open loop are due. Arithmetic only: time is an argument.

use std::time::Duration;

use super::{pacer::Due, random::next};
use crate::scenario::plan::{Arrival, Rate};

/// A schedule of requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrivals {
    arrival: Arrival,
    /// Length of the phase in seconds, over which a ramp goes.
    over_s: f64,
    /// When the next one is due, in seconds since the start.
    next_s: f64,
    seed: u64,
}

impl Arrivals {
    pub(super) fn new(arrival: Arrival, over: Duration, seed: u64) -> Self {
        let over_s = over.as_secs_f64().max(1e-3);
        let mut arrivals = Self { arrival, over_s, next_s: 0.0, seed: seed | 1 };
        // The first of a random process is no less random than the others;
        // even ones begin at once.
        if arrival.poisson || arrival.rate.at_start() <= 0.0 {
            arrivals.step();
        }
        arrivals
    }

    /// Decide at `elapsed` since the start.
    pub(super) fn next(&mut self, elapsed: Duration) -> Due {
        if !self.next_s.is_finite() {
            return Due::In(Duration::from_secs(3600));
        }
        let due = Duration::from_secs_f64(self.next_s.min(1e9));
        match due.checked_sub(elapsed) {
            Some(wait) if !wait.is_zero() => Due::In(wait),
            _ => {
                self.step();
                Due::Now(due)
            }
        }
    }

    /// The integral of the rate over time counts requests: the next one is due
    /// when it has grown by one, or, for a Poisson process, by an exponentially
    /// distributed amount with mean one.
    fn step(&mut self) {
        let amount = if self.arrival.poisson {
            // In (0, 1]: the logarithm of 0 would be no time.
            -(((next(&mut self.seed) >> 11) + 1) as f64 / (1_u64 << 53) as f64).ln()
        } else {
            1.0
        };
        self.next_s = self.arrival.rate.reaches(self.next_s, amount, self.over_s);
    }
}

impl Rate {
    fn at_start(self) -> f64 {
        match self {
            Self::Constant(rate)
            | Self::Ramp { from: rate, .. }
            | Self::Spike { base: rate, .. } => rate,
        }
    }

    /// When the integral from `t` on reaches `amount`; infinite if never.
    fn reaches(self, t: f64, amount: f64, over_s: f64) -> f64 {
        match self {
            Self::Constant(rate) => t + amount / rate,
            Self::Ramp { from, to } => {
                let slope = (to - from) / over_s;
                let now = slope.mul_add(t, from).max(0.0);
                if t < over_s {
                    // now·d + slope·d²/2 = amount, in the form that stays exact
                    // for a small slope.
                    let root = (2.0 * slope).mul_add(amount, now * now);
                    let after = if root >= 0.0 {
                        2.0 * amount / (now + root.sqrt())
                    } else {
                        f64::INFINITY
                    };
                    if t + after <= over_s {
                        return t + after;
                    }
                }
                let left = over_s - t;
                let until_end =
                    if left > 0.0 { (slope / 2.0 * left).mul_add(left, now * left) } else { 0.0 };
                t.max(over_s) + (amount - until_end).max(0.0) / to
            }
            Self::Spike { base, peak, every, length } => {
                let (every, length) = (every.as_secs_f64(), length.as_secs_f64());
                let (mut at, mut left) = (t, amount);
                // Each turn ends a stretch of one rate; a year of them is enough.
                for _ in 0..10_000_000 {
                    let turn = (at / every).floor();
                    let spike = (turn + 1.0).mul_add(every, -length);
                    let (rate, end) =
                        if at < spike { (base, spike) } else { (peak, (turn + 1.0) * every) };
                    let here = rate * (end - at);
                    if here >= left && rate > 0.0 {
                        return at + left / rate;
                    }
                    left -= here;
                    // The end of a stretch belongs to the next one.
                    at = if end > at { end } else { at + every * 1e-9 };
                }
                f64::INFINITY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(rate: Rate, poisson: bool, until_s: f64) -> Vec<f64> {
        let arrival = Arrival { rate, poisson };
        let mut arrivals = Arrivals::new(arrival, Duration::from_secs(10), 7);
        let mut times = Vec::new();
        loop {
            match arrivals.next(Duration::from_secs_f64(until_s)) {
                Due::Now(due) => times.push(due.as_secs_f64()),
                Due::In(_) => return times,
            }
        }
    }

    fn within(times: &[f64], from: f64, to: f64) -> usize {
        times.iter().filter(|t| (from..to).contains(*t)).count()
    }

    #[test]
    fn even_ones_are_even() {
        let times = times(Rate::Constant(10.0), false, 1.0);
        assert_eq!(times.len(), 11);
        assert!(times.windows(2).all(|two| (two[1] - two[0] - 0.1).abs() < 1e-9));
    }

    #[test]
    fn a_ramp_counts_what_lies_below_its_line() {
        let times = times(Rate::Ramp { from: 0.0, to: 100.0 }, false, 12.0);
        // Areas of the triangle: 125 in the first half, 375 in the second; then
        // the last rate goes on.
        assert!(within(&times, 0.0, 5.0).abs_diff(125) <= 1, "{}", within(&times, 0.0, 5.0));
        assert!(within(&times, 5.0, 10.0).abs_diff(375) <= 1);
        assert!(within(&times, 10.0, 12.0).abs_diff(200) <= 1);
        let falling = super::tests::times(Rate::Ramp { from: 100.0, to: 0.0 }, false, 20.0);
        assert!(falling.len().abs_diff(500) <= 1, "{}", falling.len());
    }

    #[test]
    fn a_spike_comes_at_the_end_of_each_turn() {
        let rate = Rate::Spike {
            base: 10.0,
            peak: 1000.0,
            every: Duration::from_secs(5),
            length: Duration::from_secs(1),
        };
        let times = times(rate, false, 10.0);
        assert!(within(&times, 0.0, 4.0).abs_diff(40) <= 1);
        assert!(within(&times, 4.0, 5.0).abs_diff(1000) <= 1);
        assert!(within(&times, 5.0, 9.0).abs_diff(40) <= 1);
        assert!(within(&times, 9.0, 10.0).abs_diff(1000) <= 1);
    }

    /// Of a Poisson process: the mean is the rate's, and gaps have the standard
    /// deviation of an exponential distribution, which is their mean.
    #[test]
    fn random_ones_have_the_mean_and_the_spread_of_a_poisson_process() {
        let times = times(Rate::Constant(1000.0), true, 100.0);
        assert!(times.len().abs_diff(100_000) < 1500, "{}", times.len());
        let gaps: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{}", variance.sqrt() / mean);
    }
}
