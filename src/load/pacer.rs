//! When the next piece of work is due. Arithmetic only: time is an argument.

use std::time::Duration;

/// Holds a share of a core, closed-loop on the worker's own CPU clock: what
/// others take away is caught up as soon as there is room.
#[derive(Debug, Clone, Copy)]
pub struct Duty {
    share: f64,
}

/// The longest debt that is caught up. A worker that got nothing for longer
/// would otherwise run at full speed long after the others have gone.
const LONGEST_DEBT: Duration = Duration::from_secs(1);

impl Duty {
    /// `share` of a core, 0 to 1.
    pub fn new(share: f64) -> Self {
        Self { share: share.clamp(0.0, 1.0) }
    }

    /// How long to rest, after using `cpu` in `wall` since the start.
    pub fn rest(self, cpu: Duration, wall: Duration) -> Option<Duration> {
        if self.share >= 1.0 {
            return None;
        }
        if self.share <= 0.0 {
            return Some(Duration::from_millis(100));
        }
        let due = cpu.as_secs_f64() / self.share;
        let rest = due - wall.as_secs_f64();
        (rest > 0.0).then(|| Duration::from_secs_f64(rest.min(1.0)))
    }

    /// By how much the start must be moved forward so that at most the
    /// longest debt remains.
    pub fn forgive(self, cpu: Duration, wall: Duration) -> Duration {
        if self.share <= 0.0 {
            return Duration::ZERO;
        }
        let owed =
            Duration::from_secs_f64((wall.as_secs_f64() - cpu.as_secs_f64() / self.share).max(0.0));
        owed.saturating_sub(LONGEST_DEBT)
    }
}

/// Operations at fixed distances, open-loop: a late one does not delay the
/// schedule of those behind it.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    seconds_each: f64,
    issued: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this has passed.
    In(Duration),
    /// An operation that was due at this time since the start.
    Now(Duration),
}

impl Schedule {
    /// `rate` operations per second.
    pub fn new(rate: f64) -> Self {
        Self { seconds_each: 1.0 / rate.max(1e-9), issued: 0 }
    }

    /// Decide at `elapsed` since the start.
    pub fn next(&mut self, elapsed: Duration) -> Due {
        let scheduled = Duration::from_secs_f64(self.issued as f64 * self.seconds_each);
        match scheduled.checked_sub(elapsed) {
            Some(wait) if !wait.is_zero() => Due::In(wait),
            _ => {
                self.issued += 1;
                Due::Now(scheduled)
            }
        }
    }
}

/// Holds a total to a rate, for work that comes in pieces: after each one, how
/// long to rest. What was missed is not caught up beyond a second's worth.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    per_second: f64,
    done: f64,
}

impl Pace {
    /// So much per second.
    pub fn new(per_second: f64) -> Self {
        Self { per_second: per_second.max(1e-9), done: 0.0 }
    }

    /// Count a finished piece at `elapsed` since the start.
    pub fn after(&mut self, amount: f64, elapsed: Duration) -> Option<Duration> {
        let allowed = self.per_second * elapsed.as_secs_f64();
        self.done = (self.done + amount).max(allowed - self.per_second);
        let rest = (self.done - allowed) / self.per_second;
        (rest > 0.0).then(|| Duration::from_secs_f64(rest.min(86_400.0)))
    }

    /// The total that was to be reached by now.
    pub fn due(&self, elapsed: Duration) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not below 0")]
        let due = (self.per_second * elapsed.as_secs_f64()) as u64;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn half_a_core_rests_as_long_as_it_worked() {
        let duty = Duty::new(0.5);
        assert_eq!(duty.rest(10 * MS, 10 * MS), Some(10 * MS));
        assert_eq!(duty.rest(10 * MS, 20 * MS), None);
        assert_eq!(duty.rest(10 * MS, 40 * MS), None);
    }

    #[test]
    fn a_whole_core_never_rests() {
        assert_eq!(Duty::new(1.0).rest(1000 * MS, MS), None);
    }

    #[test]
    fn only_a_second_of_debt_is_kept() {
        let duty = Duty::new(0.5);
        assert_eq!(duty.forgive(500 * MS, 1500 * MS), Duration::ZERO);
        assert_eq!(duty.forgive(500 * MS, 5000 * MS), 3000 * MS);
    }

    /// For any sequence of polls: operation k is issued no earlier than k/rate.
    #[test]
    fn a_schedule_is_kept_and_caught_up() {
        let mut schedule = Schedule::new(100.0);
        assert_eq!(schedule.next(Duration::ZERO), Due::Now(Duration::ZERO));
        assert_eq!(schedule.next(4 * MS), Due::In(6 * MS));
        assert_eq!(schedule.next(35 * MS), Due::Now(10 * MS));
        assert_eq!(schedule.next(35 * MS), Due::Now(20 * MS));
        assert_eq!(schedule.next(35 * MS), Due::Now(30 * MS));
        assert_eq!(schedule.next(35 * MS), Due::In(5 * MS));
    }

    #[test]
    fn a_pace_is_kept_and_little_is_caught_up() {
        let mut pace = Pace::new(100.0);
        assert_eq!(pace.after(50.0, Duration::ZERO), Some(500 * MS));
        assert_eq!(pace.after(50.0, 1000 * MS), None);
        // Ten idle seconds are not made up for by more than one.
        assert_eq!(pace.after(50.0, 11_000 * MS), None);
        assert_eq!(pace.after(100.0, 11_000 * MS), None);
        assert_eq!(pace.after(50.0, 11_000 * MS), Some(500 * MS));
        assert_eq!(pace.due(2000 * MS), 200);
    }
}
