//! Which values and times a source can have measured. What cannot be is refused where it
//! enters, or counts as not observed.

use super::{
    catalogue,
    series::{Signal, SignalSet},
    time::Timestamp,
    units::{Unit, three_digits},
};

/// No counter of the kernel exceeds 2^64, about 1.8e19.
pub const LARGEST: f64 = 1e20;
/// Smaller than a nanosecond in a day; a smaller value stands for zero.
pub const SMALLEST: f64 = 1e-15;
/// 2200-01-01 in milliseconds since 1970.
const LATEST_MS: i64 = 7_258_118_400_000;
/// Share of a signal's points that may be impossible before the whole signal is not
/// believed: a counter that the kernel reports wrongly once is no reason to lose an hour.
const MOST_IMPOSSIBLE: f64 = 0.01;

/// A value as it may be kept: subnormal and tiny ones are zero; `None` for NaN, infinities
/// and what exceeds [`LARGEST`].
pub fn value(v: f64) -> Option<f64> {
    if !v.is_finite() || v.abs() > LARGEST {
        return None;
    }
    Some(if v.abs() < SMALLEST { 0.0 } else { v })
}

/// Whether a time lies between 1970 and 2200.
pub const fn is_time(t: Timestamp) -> bool {
    0 <= t.0 && t.0 <= LATEST_MS
}

/// The smallest and largest value that a signal of the catalogue can have, with room for
/// the rounding of rates.
fn range(name: &str, unit: Unit) -> (f64, f64) {
    /// Ratios whose divisor is a limit or another count and no whole: a cgroup with burst
    /// exceeds its quota, a segment is sent again several times, a link is faster than it
    /// says.
    const OPEN: &[&str] = &[
        "cgroup_cpu_quota_used",
        "cgroup_io_limit_used",
        "network_receive_ratio",
        "network_send_ratio",
        "network_shaper_ratio",
        "tcp_retransmit_ratio",
        "netns_tcp_retransmit_ratio",
        "tcp_memory_ratio",
        "conntrack_ratio",
        "ports_used_ratio",
        "netns_ports_used_ratio",
        "file_descriptors_ratio",
        "process_files_ratio",
        "pids_ratio",
        "cgroup_pids_ratio",
        "cgroup_memory_used_ratio",
        "cgroup_memory_working_ratio",
        "nfs_retransmit_ratio",
        "gpu_power_ratio",
        "gpu_power_violation",
        "gpu_thermal_violation",
    ];
    match unit {
        // Differences of two shares.
        Unit::Ratio if name.ends_with("_unexplained") => (-2.0, 2.0),
        Unit::Ratio if OPEN.contains(&name) => (-0.02, 1000.0),
        // A share of time or of a whole: twice of it is no jitter of a sampler's clock.
        Unit::Ratio => (-0.02, 2.0),
        Unit::Cores => (-0.02, 1e5),
        Unit::Count | Unit::Seconds => (-1e-6, 1e12),
        // 2^63.
        Unit::Bytes => (-1e-6, 9.3e18),
        Unit::PerSecond | Unit::BytesPerSecond => (-1e-6, 1e16),
    }
}

/// Take points out that cannot have been measured, such as a share of −1 or 300. A signal
/// of which more than a hundredth is such is taken out whole, and is then not observed.
/// Returns what was taken out, in words, one entry a signal name.
pub fn remove_impossible(set: &mut SignalSet) -> Vec<String> {
    let mut removed = Vec::new();
    for (name, signals) in &mut set.signals {
        let Some(unit) = catalogue::signal(name).map(|row| row.unit) else { continue };
        let (low, high) = range(name, unit);
        let is_possible = |v: f64| (low..=high).contains(&v);
        let mut example = None;
        signals.retain_mut(|signal: &mut Signal| {
            let all = signal.points.len();
            let first = signal.points.iter().find(|point| !is_possible(point.v));
            let Some(first) = first else { return true };
            example.get_or_insert(first.v);
            signal.points.retain(|point| is_possible(point.v));
            let gone = all - signal.points.len();
            gone as f64 <= all as f64 * MOST_IMPOSSIBLE
        });
        if let Some(example) = example {
            removed.push(format!("{name} ({})", three_digits(example)));
        }
    }
    set.signals.retain(|_, signals| !signals.is_empty());
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::Point;

    fn set(name: &str, values: &[f64]) -> SignalSet {
        let points =
            values.iter().zip(0..).map(|(v, t)| Point { t: Timestamp(t), v: *v }).collect();
        let signal = Signal { device: None, points, window_s: 0.0 };
        let signals = [(name.to_owned(), vec![signal])].into();
        SignalSet { signals, ..SignalSet::default() }
    }

    #[test]
    fn values_are_kept_as_zero_or_not_at_all() {
        assert_eq!(value(4.9e-324), Some(0.0));
        assert_eq!(value(-1e-300), Some(0.0));
        assert_eq!(value(0.5), Some(0.5));
        for v in [f64::NAN, f64::INFINITY, 1e300, -1e308] {
            assert_eq!(value(v), None);
        }
        assert!(is_time(Timestamp(0)) && is_time(Timestamp(1_800_000_000_000)));
        assert!(!is_time(Timestamp(-1)) && !is_time(Timestamp(i64::MAX)));
    }

    #[test]
    fn a_signal_of_impossible_values_is_not_observed() {
        for bad in [-1.0, 300.0, -1e19] {
            let mut impossible = set("cpu_busy", &[0.5, bad, 0.5]);
            assert_eq!(remove_impossible(&mut impossible).len(), 1);
            assert!(impossible.signals.is_empty(), "{bad}");
        }
        let mut negative = set("context_switches", &[-5.0; 4]);
        assert!(!remove_impossible(&mut negative).is_empty() && negative.signals.is_empty());
    }

    #[test]
    fn a_single_glitch_costs_one_point() {
        let mut values = vec![0.5; 200];
        values[100] = 40.0;
        let mut glitch = set("disk_busy", &values);
        assert_eq!(remove_impossible(&mut glitch), ["disk_busy (40)"]);
        assert_eq!(glitch.all("disk_busy")[0].points.len(), 199);
    }

    #[test]
    fn what_can_be_stays() {
        for (name, v) in [
            ("cpu_busy", 1.04),
            ("cpu_busy", -0.01),
            ("io_wait_unexplained", -1.0),
            ("tcp_retransmit_ratio", 3.0),
            ("network_send_ratio", 2.5),
            ("memory_available_bytes", 1e13),
        ] {
            let mut possible = set(name, &[v; 3]);
            assert!(remove_impossible(&mut possible).is_empty(), "{name} {v}");
            assert_eq!(possible, set(name, &[v; 3]));
        }
    }
}
