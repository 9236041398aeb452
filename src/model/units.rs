//! Quantities as people write and read them: `128M`, `1m30s`, `95.2 %`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The text has no number where one is due.
    #[error("{text:?} is not a number with a unit")]
    NoNumber {
        /// The text as given.
        text: String,
    },
    /// The unit is not one of ours.
    #[error("unknown unit {unit:?}; allowed: {allowed}")]
    Unit {
        /// The unit as given.
        unit: String,
        /// The units that are understood.
        allowed: &'static str,
    },
    /// The value does not fit.
    #[error("{text:?} is too large")]
    TooLarge {
        /// The text as given.
        text: String,
    },
}

/// The units a duration may have.
pub const DURATION_UNITS: &str = "ms, s, m, h, d, w, y";
/// The units a size may have; all are powers of 1024.
pub const SIZE_UNITS: &str = "B, K, M, G, T (KiB, MiB, GiB, TiB)";

/// Parse `10s`, `1m30s`, `250ms`, `1.5h`, `2w`.
///
/// # Errors
/// When a number or a known unit is missing, or the sum exceeds 10,000 days.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let mut rest = text.trim();
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return Err(Error::NoNumber { text: text.to_owned() });
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest, text)?;
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            // As Prometheus reads them: seven and 365 days.
            "w" => 604_800.0,
            "y" => 31_536_000.0,
            _ => {
                return Err(Error::Unit { unit: unit.to_owned(), allowed: DURATION_UNITS });
            }
        };
        seconds += number * scale;
        rest = next.trim_start();
    }
    if seconds > 86_400.0 * 10_000.0 {
        return Err(Error::TooLarge { text: text.to_owned() });
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parse `128M`, `4GiB`, `512k`, `4096` to bytes.
///
/// # Errors
/// When the number or the unit is not understood or the value exceeds 2^63.
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    let (number, unit) = split_number(text.trim(), text)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(Error::Unit { unit: unit.trim().to_owned(), allowed: SIZE_UNITS }),
    };
    let bytes = number * (1_u64 << shift) as f64;
    if bytes >= 9.2e18 {
        return Err(Error::TooLarge { text: text.to_owned() });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(bytes.round() as u64)
}

fn split_number<'a>(rest: &'a str, whole: &str) -> Result<(f64, &'a str), Error> {
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    let number = number.parse().map_err(|_| Error::NoNumber { text: whole.trim().to_owned() })?;
    Ok((number, after.trim_start()))
}

/// `1.5 GiB`, `640 KiB`, `12 B`.
pub fn show_bytes(bytes: f64) -> String {
    const STEPS: [(&str, f64); 4] = [
        ("TiB", 1_099_511_627_776.0),
        ("GiB", 1_073_741_824.0),
        ("MiB", 1_048_576.0),
        ("KiB", 1024.0),
    ];
    for (unit, size) in STEPS {
        if bytes.abs() >= size {
            return format!("{} {unit}", three_digits(bytes / size));
        }
    }
    format!("{bytes:.0} B")
}

/// A duration in the largest units that say it: `1m30s`, `250ms`, `12.5s`.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        return if seconds == 0.0 {
            "0s".to_owned()
        } else {
            format!("{}ms", three_digits(seconds * 1000.0))
        };
    }
    if seconds < 60.0 {
        return format!("{}s", trim_zeros(&format!("{seconds:.1}")));
    }
    let whole = seconds.round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    let whole = whole as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    if rest > 0 {
        text.push_str(&format!("{rest}s"));
    }
    text
}

/// Three significant digits, without an exponent for everyday sizes.
pub fn three_digits(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size >= 100.0 || size == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        trim_zeros(&format!("{value:.1}"))
    } else if size >= 0.095 {
        trim_zeros(&format!("{value:.2}"))
    } else if size >= 0.000_95 {
        trim_zeros(&format!("{value:.4}"))
    } else {
        format!("{value:.1e}")
    }
}

fn trim_zeros(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// The unit of a signal's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share, 0 to 1 (a queue-free utilization or a PSI time share).
    Ratio,
    /// CPU cores' worth of time.
    Cores,
    /// Tasks, requests or other things, counted.
    Count,
    /// Events each second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes each second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ratio => "ratio",
            Self::Cores => "cores",
            Self::Count => "count",
            Self::PerSecond => "per_second",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Seconds => "seconds",
        }
    }

    /// A value with its unit, for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{} %", three_digits(value * 100.0)),
            Self::Cores => format!("{} cores", three_digits(value)),
            Self::Count => three_digits(value),
            Self::PerSecond => format!("{}/s", short_count(value)),
            Self::Bytes => show_bytes(value),
            Self::BytesPerSecond => format!("{}/s", show_bytes(value)),
            Self::Seconds => show_seconds(value),
        }
    }
}

/// `12 345 678` as `12.3 M`: three digits and a decimal prefix.
pub fn short_count(value: f64) -> String {
    for (suffix, size) in [(" G", 1e9), (" M", 1e6), (" k", 1e3)] {
        if value.abs() >= size {
            return format!("{}{suffix}", three_digits(value / size));
        }
    }
    three_digits(value)
}

/// Seconds as `12 µs`, `3.4 ms`, `1.2 s`.
pub fn show_seconds(seconds: f64) -> String {
    let size = seconds.abs();
    if size == 0.0 {
        "0 s".to_owned()
    } else if size < 1e-6 {
        format!("{} ns", three_digits(seconds * 1e9))
    } else if size < 1e-3 {
        format!("{} µs", three_digits(seconds * 1e6))
    } else if size < 1.0 {
        format!("{} ms", three_digits(seconds * 1e3))
    } else {
        format!("{} s", three_digits(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        for (text, ms) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("2w", 1_209_600_000),
            ("1y", 31_536_000_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "10", "s", "10 parsecs", "-1s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("128M", 128 << 20),
            ("4GiB", 4 << 30),
            ("512k", 512 << 10),
            ("4096", 4096),
            ("1.5K", 1536),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        assert!(parse_bytes("128X").is_err());
        assert!(parse_bytes("99999999999T").is_err());
    }

    #[test]
    fn quantities_are_shown_with_three_digits() {
        assert_eq!(show_bytes(1_610_612_736.0), "1.5 GiB");
        assert_eq!(Unit::Ratio.show(0.9994), "99.9 %");
        assert_eq!(show_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(show_seconds(0.000_052), "52 µs");
        assert_eq!(short_count(12_345_678.0), "12.3 M");
    }
}
