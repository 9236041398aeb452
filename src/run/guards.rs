//! Abort conditions: which of them has held long enough. No clock.

use std::time::Duration;

use crate::{
    model::{catalogue, time::Timestamp},
    scenario::plan::Abort,
};

/// A signal's value at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Catalogue name.
    pub signal: String,
    /// Disk, mount, interface, core.
    pub device: Option<String>,
    /// The value.
    pub value: f64,
}

/// Watches a scenario's abort conditions.
#[derive(Debug)]
pub struct Guards {
    /// Each with the time since which it has held.
    watched: Vec<(Abort, Option<Timestamp>)>,
}

impl Guards {
    /// Watch these.
    pub fn new(aborts: &[Abort]) -> Self {
        Self { watched: aborts.iter().cloned().map(|abort| (abort, None)).collect() }
    }

    /// Take in the readings of a moment; the reason to stop, if there is one.
    /// A signal without a reading keeps its state: a gap is neither good nor
    /// bad news.
    pub fn check(&mut self, now: Timestamp, readings: &[Reading]) -> Option<String> {
        let mut reason = None;
        for (abort, since) in &mut self.watched {
            let mut relevant = readings
                .iter()
                .filter(|reading| {
                    reading.signal == abort.signal
                        && abort
                            .device
                            .as_ref()
                            .is_none_or(|device| reading.device.as_ref() == Some(device))
                })
                .peekable();
            if relevant.peek().is_none() {
                continue;
            }
            let Some(worst) = relevant.find(|reading| exceeds(abort, reading.value)) else {
                *since = None;
                continue;
            };
            let began = *since.get_or_insert(now);
            if now.since(began) >= abort.hold.as_secs_f64() {
                reason.get_or_insert_with(|| sentence(abort, worst));
            }
        }
        reason
    }
}

fn exceeds(abort: &Abort, value: f64) -> bool {
    abort.max.is_some_and(|max| value > max) || abort.min.is_some_and(|min| value < min)
}

fn sentence(abort: &Abort, reading: &Reading) -> String {
    let show = |value: f64| match catalogue::unit_of(&abort.signal) {
        Some(unit) => unit.show(value),
        None => value.to_string(),
    };
    let device = reading.device.as_ref().map_or_else(String::new, |device| format!(" of {device}"));
    let limit = match (abort.max, abort.min) {
        (Some(max), _) if reading.value > max => format!("above its limit of {}", show(max)),
        (_, Some(min)) => format!("below its limit of {}", show(min)),
        _ => "outside its limits".to_owned(),
    };
    let hold = if abort.hold > Duration::ZERO {
        format!(" for {}", crate::model::units::show_duration(abort.hold))
    } else {
        String::new()
    };
    format!("{}{device} was at {}, {limit}{hold}", abort.signal, show(reading.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(hold: u64) -> Guards {
        Guards::new(&[Abort {
            signal: "memory_available_ratio".into(),
            device: None,
            max: None,
            min: Some(0.03),
            hold: Duration::from_secs(hold),
        }])
    }

    fn reading(value: f64) -> Vec<Reading> {
        vec![Reading { signal: "memory_available_ratio".into(), device: None, value }]
    }

    #[test]
    fn a_guard_waits_for_its_time() {
        let mut guards = guards(5);
        assert_eq!(guards.check(Timestamp(0), &reading(0.02)), None);
        assert_eq!(guards.check(Timestamp(4000), &reading(0.02)), None);
        let reason = guards.check(Timestamp(5000), &reading(0.02)).unwrap();
        assert_eq!(reason, "memory_available_ratio was at 2 %, below its limit of 3 % for 5s");
    }

    #[test]
    fn a_good_reading_starts_the_time_anew_and_a_gap_does_not() {
        let mut guards = guards(5);
        guards.check(Timestamp(0), &reading(0.02));
        guards.check(Timestamp(3000), &[]);
        assert!(guards.check(Timestamp(5000), &reading(0.02)).is_some());
        guards.check(Timestamp(6000), &reading(0.5));
        assert_eq!(guards.check(Timestamp(7000), &reading(0.02)), None);
    }
}
