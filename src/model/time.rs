//! Points and windows in time, to the millisecond.

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since the Unix epoch. In JSON an RFC 3339 text in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds since the epoch.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The point this many seconds after the epoch, to the millisecond.
    pub fn from_seconds(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates; years are far away")]
        Self((seconds * 1000.0).round() as i64)
    }

    /// From RFC 3339 text (`2026-01-02T12:34:56Z`), or seconds since the epoch.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(time.timestamp_millis()));
        }
        let seconds: f64 = text.parse().ok()?;
        seconds.is_finite().then(|| Self::from_seconds(seconds))
    }

    /// Seconds from `earlier` to here; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1000.0
    }

    /// This point moved by `seconds`.
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        Self(self.0.saturating_add((seconds * 1000.0).round() as i64))
    }

    /// This point moved by a duration.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.plus(duration.as_secs_f64())
    }

    /// `12:34:56` in UTC.
    pub fn clock(self) -> String {
        self.date_time().map_or_else(|| "?".to_owned(), |time| time.format("%H:%M:%S").to_string())
    }

    /// `2026-01-02 12:34:56 UTC`.
    pub fn long(self) -> String {
        self.date_time()
            .map_or_else(|| "?".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
    }

    fn date_time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date_time() {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text)
            .map(|time| Self(time.timestamp_millis()))
            .map_err(|error| de::Error::custom(format!("{text:?}: {error}")))?;
        if super::plausible::is_time(time) {
            return Ok(time);
        }
        Err(de::Error::custom(format!("{text:?} lies not between 1970 and 2200")))
    }
}

/// From `start` (included) to `end` (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first point inside.
    pub start: Timestamp,
    /// The first point after.
    pub end: Timestamp,
}

impl Window {
    /// Length in seconds, never negative.
    pub fn seconds(self) -> f64 {
        self.end.since(self.start).max(0.0)
    }

    /// Whether `t` lies inside.
    pub fn contains(self, t: Timestamp) -> bool {
        self.start <= t && t < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_json() {
        let t = Timestamp(1_767_225_612_345);
        let text = serde_json::to_string(&t).unwrap();
        assert_eq!(text, "\"2026-01-01T00:00:12.345Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), t);
    }

    #[test]
    fn a_window_excludes_its_end() {
        let window = Window { start: Timestamp(0), end: Timestamp(1000) };
        assert!(window.contains(Timestamp(0)));
        assert!(!window.contains(Timestamp(1000)));
    }
}
