//! Times as people write and paste them: RFC 3339, a date with a time, numbers
//! since 1970, and `now-1h/h` as Grafana writes it. Pure: the present and the
//! zone are arguments.

use chrono::{DateTime, Datelike as _, Months, NaiveDate, NaiveDateTime, NaiveTime};

use super::time::Timestamp;

/// The accepted forms, for messages and manuals.
pub const FORMS: &str = "2026-11-29T09:02:00Z, \"2026-11-29 09:02:00\", 2026-11-29, seconds or milliseconds since 1970, now, now-1h, now-1d/d, or the address of a Grafana page";

/// The offsets that are accepted, for messages.
pub const OFFSETS: &str = "UTC, +01:00, -0530";

/// Numbers that are read as a time must fall between 2001 and 2100, in one of
/// the four units: the four ranges do not overlap, so the unit is never guessed.
const FIRST_S: f64 = 978_307_200.0;
const LAST_S: f64 = 4_102_444_800.0;
/// Seconds, milliseconds, microseconds, nanoseconds.
const PER_SECOND: [f64; 4] = [1.0, 1e3, 1e6, 1e9];

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;
/// 1970-01-05 was a Monday, with which a week begins.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has none of the accepted forms.
    #[error("{text:?} is not a time; accepted are {FORMS}")]
    Form {
        /// The text as given.
        text: String,
    },
    /// A number that is no time of our age in any unit.
    #[error(
        "{text:?} is not a time: in seconds, milliseconds, microseconds or nanoseconds since 1970 it does not fall between 2001 and 2100; accepted are {FORMS}"
    )]
    Number {
        /// The text as given.
        text: String,
    },
    /// What follows `now` is not understood.
    #[error(
        "{text:?} is not a time: {rest:?} after `now` is neither a step such as -1h nor a rounding such as /d (units ms, s, m, h, d, w, M, Q, y)"
    )]
    Step {
        /// The text as given.
        text: String,
        /// The part that is not understood.
        rest: String,
    },
    /// The offset from UTC is not one.
    #[error("{text:?} is not an offset from UTC; accepted are {OFFSETS}")]
    Offset {
        /// The text as given.
        text: String,
    },
}

/// What a text alone does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// What `now` is.
    pub now: Timestamp,
    /// Seconds by which times without an offset of their own are ahead of UTC.
    pub offset_s: i32,
}

/// Which end of a window a time is: a rounding goes to the start of the unit for
/// the first, and to its last millisecond for the second, as in Grafana.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The window's start.
    Start,
    /// The window's end. What is rounded up beyond the present is the present.
    End,
}

/// Read a time in any of the [`FORMS`] but the address.
///
/// # Errors
/// When the text has none of the forms, or is a number that is not between 2001
/// and 2100 in any unit.
pub fn parse_time(text: &str, edge: Edge, context: Context) -> Result<Timestamp, Error> {
    let trimmed = text.trim().trim_matches(['"', '\'']).trim();
    let form = || Error::Form { text: text.to_owned() };
    if trimmed.is_empty() {
        return Err(form());
    }
    if let Some((head, rest)) = trimmed.split_at_checked(3)
        && head.eq_ignore_ascii_case("now")
    {
        return relative(text, rest, edge, context);
    }
    if trimmed.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        && trimmed.ends_with(|c: char| c.is_ascii_alphabetic())
    {
        return relative(text, trimmed, edge, context);
    }
    if let Ok(number) = trimmed.parse::<f64>() {
        return number_since_1970(number).ok_or_else(|| Error::Number { text: text.to_owned() });
    }
    calendar(trimmed, context.offset_s).ok_or_else(form)
}

/// Read an offset from UTC: `UTC`, `Z`, `+01:00`, `-0530`, `+2`. The result is in
/// seconds, positive east of Greenwich.
///
/// # Errors
/// When it is something else, such as the name of a zone, whose offset changes
/// over the year and which is not known here.
pub fn parse_offset(text: &str) -> Result<i32, Error> {
    let wrong = || Error::Offset { text: text.to_owned() };
    let trimmed = text.trim();
    let rest = match trimmed.to_ascii_uppercase().as_str() {
        "" => return Err(wrong()),
        "UTC" | "GMT" | "Z" => return Ok(0),
        upper => upper
            .strip_prefix("UTC")
            .or_else(|| upper.strip_prefix("GMT"))
            .unwrap_or(upper)
            .to_owned(),
    };
    let (sign, digits) = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return Err(wrong()),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() <= 2 => (digits, "0"),
        None => digits.split_at_checked(digits.len() - 2).ok_or_else(wrong)?,
    };
    let number = |part: &str| {
        let is_good = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if is_good { part.parse::<i32>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 14 || minutes > 59 {
        return Err(wrong());
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

/// A number in the one unit in which it falls between 2001 and 2100.
fn number_since_1970(number: f64) -> Option<Timestamp> {
    let seconds = PER_SECOND.iter().map(|scale| number / scale);
    let mut within = seconds.filter(|seconds| (FIRST_S..LAST_S).contains(seconds));
    within.next().map(Timestamp::from_seconds)
}

/// A date, or a date with a time, with an offset of its own or at `offset_s`.
fn calendar(text: &str, offset_s: i32) -> Option<Timestamp> {
    let is_date = text.len() >= 10 && text.bytes().take(4).all(|b| b.is_ascii_digit());
    if !is_date {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(Timestamp(time.timestamp_millis()));
    }
    let (date, rest) = text.split_at_checked(10)?;
    let date = NaiveDate::parse_from_str(&date.replace('/', "-"), "%Y-%m-%d").ok()?;
    let rest = rest.strip_prefix(['T', 't', ' ']).unwrap_or(rest).trim();
    // Where the time ends and an offset begins.
    let end = rest.find(|c: char| !c.is_ascii_digit() && !":.,".contains(c));
    let (time, offset) = rest.split_at(end.unwrap_or(rest.len()));
    let time = match time.trim().replace(',', ".") {
        none if none.is_empty() && offset.is_empty() => NaiveTime::MIN,
        time => ["%H:%M:%S%.f", "%H:%M"]
            .iter()
            .find_map(|form| NaiveTime::parse_from_str(&time, form).ok())?,
    };
    let offset_s = match offset.trim() {
        "" => offset_s,
        own => parse_offset(own).ok()?,
    };
    Some(at_offset(date.and_time(time), offset_s))
}

fn at_offset(local: NaiveDateTime, offset_s: i32) -> Timestamp {
    Timestamp(local.and_utc().timestamp_millis() - i64::from(offset_s) * SECOND_MS)
}

/// What follows `now`: steps and roundings, in their order.
fn relative(text: &str, steps: &str, edge: Edge, context: Context) -> Result<Timestamp, Error> {
    let offset_ms = i64::from(context.offset_s) * SECOND_MS;
    let steps: String = steps.chars().filter(|c| !c.is_whitespace()).collect();
    let wrong = |rest: &str| Error::Step { text: text.to_owned(), rest: rest.to_owned() };
    let mut local = context.now.0 + offset_ms;
    let (mut rest, mut sign, mut is_rounded) = (steps.as_str(), None, false);
    while let Some(first) = rest.chars().next() {
        let whole = rest;
        match first {
            '/' => {
                let (unit, after) =
                    unit_of(rest.get(1..).unwrap_or("")).ok_or_else(|| wrong(whole))?;
                local = unit.rounded(local, edge).ok_or_else(|| wrong(whole))?;
                (rest, sign, is_rounded) = (after, None, true);
                continue;
            }
            '+' | '-' => {
                sign = Some(if first == '-' { -1 } else { 1 });
                rest = rest.get(1..).unwrap_or("");
            }
            // `now-1h30m`
            _ if sign.is_some() && first.is_ascii_digit() => (),
            _ => return Err(wrong(whole)),
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let count: i64 =
            digits.parse().ok().filter(|n| *n <= 1_000_000).ok_or_else(|| wrong(whole))?;
        let (unit, after) = unit_of(after).ok_or_else(|| wrong(whole))?;
        local = unit.moved(local, sign.unwrap_or(1) * count).ok_or_else(|| wrong(whole))?;
        rest = after;
    }
    let time = Timestamp(local - offset_ms);
    Ok(if is_rounded && edge == Edge::End { time.min(context.now) } else { time })
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// As long as these milliseconds, counted from the second.
    Fixed(i64, i64),
    /// A number of months.
    Months(u32),
}

/// The unit that a text begins with, and the rest.
fn unit_of(text: &str) -> Option<(Unit, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let unit = match name {
        "ms" => Unit::Fixed(1, 0),
        "s" => Unit::Fixed(SECOND_MS, 0),
        "m" => Unit::Fixed(MINUTE_MS, 0),
        "h" => Unit::Fixed(HOUR_MS, 0),
        "d" => Unit::Fixed(DAY_MS, 0),
        "w" => Unit::Fixed(WEEK_MS, FIRST_MONDAY_MS),
        "M" => Unit::Months(1),
        "Q" => Unit::Months(3),
        "y" => Unit::Months(12),
        _ => return None,
    };
    Some((unit, rest))
}

impl Unit {
    /// A local time this many units later.
    fn moved(self, local_ms: i64, count: i64) -> Option<i64> {
        match self {
            Self::Fixed(length, _) => local_ms.checked_add(length.checked_mul(count)?),
            Self::Months(months) => {
                let time = DateTime::from_timestamp_millis(local_ms)?.naive_utc();
                let total = u32::try_from(count.unsigned_abs()).ok()?.checked_mul(months)?;
                let moved = if count < 0 {
                    time.checked_sub_months(Months::new(total))
                } else {
                    time.checked_add_months(Months::new(total))
                };
                moved.map(|time| time.and_utc().timestamp_millis())
            }
        }
    }

    /// The first or the last millisecond of the unit that a local time lies in.
    fn rounded(self, local_ms: i64, edge: Edge) -> Option<i64> {
        let start = match self {
            Self::Fixed(length, from) => local_ms - (local_ms - from).rem_euclid(length),
            Self::Months(months) => {
                let date = DateTime::from_timestamp_millis(local_ms)?.date_naive();
                let month = date.month0() / months * months + 1;
                let first = NaiveDate::from_ymd_opt(date.year(), month, 1)?;
                first.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
            }
        };
        match edge {
            Edge::Start => Some(start),
            Edge::End => Some(self.moved(start, 1)? - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29 09:02:03.456, a Sunday.
    const NOW: &str = "2026-11-29T09:02:03.456Z";

    fn read(text: &str, edge: Edge, offset_s: i32) -> Result<String, Error> {
        let now = Timestamp::parse(NOW).unwrap();
        parse_time(text, edge, Context { now, offset_s }).map(|time| time.to_string())
    }

    #[test]
    fn absolute_times_are_read_as_they_are_pasted() {
        for (text, expected) in [
            ("2026-11-29T09:02:00Z", "2026-11-29T09:02:00.000Z"),
            ("2026-11-29t09:02:00z", "2026-11-29T09:02:00.000Z"),
            ("2026-11-29T09:02:00.250+02:00", "2026-11-29T07:02:00.250Z"),
            ("2026-11-29T09:02:00-0530", "2026-11-29T14:32:00.000Z"),
            ("2026-11-29 09:02:00", "2026-11-29T09:02:00.000Z"),
            (" \"2026-11-29 09:02:00.5\" ", "2026-11-29T09:02:00.500Z"),
            ("2026-11-29 09:02:00,123", "2026-11-29T09:02:00.123Z"),
            ("2026-11-29 09:02:00 UTC", "2026-11-29T09:02:00.000Z"),
            ("2026-11-29 09:02:00 +0100", "2026-11-29T08:02:00.000Z"),
            ("2026-11-29 09:02:00+01", "2026-11-29T08:02:00.000Z"),
            ("2026-11-29T09:02", "2026-11-29T09:02:00.000Z"),
            ("2026-11-29 09:02Z", "2026-11-29T09:02:00.000Z"),
            ("2026/11/29 09:02:00", "2026-11-29T09:02:00.000Z"),
            ("2026-11-29", "2026-11-29T00:00:00.000Z"),
            ("1795942920", "2026-11-29T09:02:00.000Z"),
            ("1795942920.5", "2026-11-29T09:02:00.500Z"),
            ("1.79594292e9", "2026-11-29T09:02:00.000Z"),
            ("1795942920500", "2026-11-29T09:02:00.500Z"),
            ("1795942920500000", "2026-11-29T09:02:00.500Z"),
            ("1795942920500000000", "2026-11-29T09:02:00.500Z"),
        ] {
            assert_eq!(read(text, Edge::Start, 0).as_deref(), Ok(expected), "{text}");
            assert_eq!(read(text, Edge::End, 0).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn only_a_time_without_an_offset_of_its_own_is_in_the_zone() {
        for (text, expected) in [
            ("2026-11-29 09:02:00", "2026-11-29T08:02:00.000Z"),
            ("2026-11-29", "2026-11-28T23:00:00.000Z"),
            ("2026-11-29T09:02:00Z", "2026-11-29T09:02:00.000Z"),
            ("1795942920", "2026-11-29T09:02:00.000Z"),
            ("now-1h", "2026-11-29T08:02:03.456Z"),
            ("now/d", "2026-11-28T23:00:00.000Z"),
        ] {
            assert_eq!(read(text, Edge::Start, 3600).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn relative_times_are_those_of_grafana() {
        for (text, start, end) in [
            ("now", "2026-11-29T09:02:03.456Z", "2026-11-29T09:02:03.456Z"),
            ("NOW - 5m", "2026-11-29T08:57:03.456Z", "2026-11-29T08:57:03.456Z"),
            ("-1h", "2026-11-29T08:02:03.456Z", "2026-11-29T08:02:03.456Z"),
            ("now-1h30m", "2026-11-29T07:32:03.456Z", "2026-11-29T07:32:03.456Z"),
            ("now-2w", "2026-11-15T09:02:03.456Z", "2026-11-15T09:02:03.456Z"),
            ("now-1M", "2026-10-29T09:02:03.456Z", "2026-10-29T09:02:03.456Z"),
            ("now-1y", "2025-11-29T09:02:03.456Z", "2025-11-29T09:02:03.456Z"),
            ("now+1h", "2026-11-29T10:02:03.456Z", "2026-11-29T10:02:03.456Z"),
            ("now-1d/d", "2026-11-28T00:00:00.000Z", "2026-11-28T23:59:59.999Z"),
            ("now-1h/h", "2026-11-29T08:00:00.000Z", "2026-11-29T08:59:59.999Z"),
            ("now-1w/w", "2026-11-16T00:00:00.000Z", "2026-11-22T23:59:59.999Z"),
            ("now-1M/M", "2026-10-01T00:00:00.000Z", "2026-10-31T23:59:59.999Z"),
            ("now-1Q/Q", "2026-07-01T00:00:00.000Z", "2026-09-30T23:59:59.999Z"),
            ("now-1y/y", "2025-01-01T00:00:00.000Z", "2025-12-31T23:59:59.999Z"),
            ("now/d+8h", "2026-11-29T08:00:00.000Z", "2026-11-29T09:02:03.456Z"),
            // The day has not ended yet.
            ("now/d", "2026-11-29T00:00:00.000Z", "2026-11-29T09:02:03.456Z"),
        ] {
            assert_eq!(read(text, Edge::Start, 0).as_deref(), Ok(start), "{text}");
            assert_eq!(read(text, Edge::End, 0).as_deref(), Ok(end), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_or_more_than_one_is_refused() {
        for text in [
            "",
            "yesterday",
            "29.11.2026",
            "2026-13-01",
            "2026-11-29 25:00",
            "2026-11-29 9",
            "2026-11-29 09:02:00 CET",
            "2026-11-29T09:02:00+99:00",
            "09:02",
            "1h",
            "2w",
            "now1h",
            "nowhere",
            "now-",
            "now-1",
            "now-h",
            "now-1x",
            "now/",
            "now/1d",
            "now-1fy",
            "100",
            // Of the year 2001 in no unit, of 2100 in none.
            "978307199",
            "4102444800",
            "4102444800000",
            "9999999999",
            "-1795942920",
            "inf",
            "NaN",
        ] {
            assert!(read(text, Edge::Start, 0).is_err(), "{text}");
        }
        assert!(read("x", Edge::Start, 0).unwrap_err().to_string().contains("now-1d/d"));
        assert!(read("100", Edge::Start, 0).unwrap_err().to_string().contains("2001"));
    }

    #[test]
    fn offsets_are_hours_and_minutes() {
        for (text, expected) in [
            ("UTC", 0),
            ("z", 0),
            ("+01:00", 3600),
            ("-0530", -19_800),
            ("+2", 7200),
            ("UTC+3", 10_800),
        ] {
            assert_eq!(parse_offset(text), Ok(expected), "{text}");
        }
        for text in ["", "Europe/Berlin", "CET", "1", "+", "+15:00", "+1:75", "+01:0a", "+1e3"] {
            assert!(parse_offset(text).is_err(), "{text}");
        }
    }
}
