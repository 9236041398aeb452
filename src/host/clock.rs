//! One clock for a run: wall-clock times that advance with the monotonic
//! clock, so that a clock set back in mid-run cannot reorder what happened.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::Timestamp;

/// Wall-clock time at one instant, and everything after by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Duration,
    instant: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall, instant: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The time of an instant.
    pub fn at(&self, instant: Instant) -> Timestamp {
        let since = instant.saturating_duration_since(self.instant);
        Timestamp::from_seconds((self.wall + since).as_secs_f64())
    }

    /// By how many seconds the system's clock has drifted from this one.
    pub fn drift_s(&self) -> f64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        wall.as_secs_f64() - (self.wall + self.instant.elapsed()).as_secs_f64()
    }
}
