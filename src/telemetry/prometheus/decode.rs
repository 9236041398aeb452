//! Answers of the HTTP API, from bytes to series. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{series::Point, time::Timestamp};

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its points; NaN and infinities are left out.
    pub points: Vec<Point>,
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// The series.
    pub series: Vec<Answer>,
    /// Warnings of the server: the data may be incomplete.
    pub warnings: Vec<String>,
}

/// An active scrape target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its labels after relabelling.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `up`, `down` or `unknown`.
    #[serde(default)]
    pub health: String,
    /// Why the last scrape failed.
    #[serde(default)]
    pub last_error: String,
    /// `15s`; VictoriaMetrics does not say.
    #[serde(default)]
    pub scrape_interval: String,
}

/// Why an answer is no data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server refused the query.
    #[error("the server answers {kind}: {message}")]
    Refused {
        /// `bad_data`, `execution`, `timeout` …
        kind: String,
        /// In the server's words.
        message: String,
    },
    /// The body is not of the API's form.
    #[error("the answer is not that of a Prometheus API ({why}); it begins {body:?}")]
    Foreign {
        /// What is wrong with it.
        why: String,
        /// Its first characters.
        body: String,
    },
}

#[derive(Deserialize)]
struct Envelope<D> {
    status: String,
    #[serde(default = "Option::default")]
    data: Option<D>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Box<serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// A native histogram has `histograms` instead.
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

/// An answer of `query` or `query_range`.
///
/// # Errors
/// When the server says so, or the body is not JSON of the API's form.
pub fn reply(body: &[u8]) -> Result<Reply, Error> {
    let envelope: Envelope<Data> = envelope(body)?;
    let data = envelope.data.ok_or_else(|| foreign("it has no data", body))?;
    if !["matrix", "vector"].contains(&data.result_type.as_str()) {
        return Err(foreign(&format!("its result is a {}", data.result_type), body));
    }
    let series: Vec<Series> = serde_json::from_str(data.result.get())
        .map_err(|error| foreign(&error.to_string(), body))?;
    let series = series.into_iter().map(Series::answer).collect();
    Ok(Reply { series, warnings: envelope.warnings })
}

/// An answer of `targets`.
///
/// # Errors
/// As [`reply`].
pub fn targets(body: &[u8]) -> Result<Vec<Target>, Error> {
    let envelope: Envelope<Targets> = envelope(body)?;
    let data = envelope.data.ok_or_else(|| foreign("it has no data", body))?;
    Ok(data.active_targets)
}

fn envelope<'a, D: Deserialize<'a>>(body: &'a [u8]) -> Result<Envelope<D>, Error> {
    let envelope: Envelope<D> =
        serde_json::from_slice(body).map_err(|error| foreign(&error.to_string(), body))?;
    if envelope.status == "success" {
        return Ok(envelope);
    }
    Err(Error::Refused { kind: envelope.error_type, message: envelope.error })
}

fn foreign(why: &str, body: &[u8]) -> Error {
    let start: Vec<u8> = body.iter().copied().take(200).collect();
    Error::Foreign { why: why.to_owned(), body: String::from_utf8_lossy(&start).into_owned() }
}

impl Series {
    fn answer(self) -> Answer {
        let points = self
            .values
            .into_iter()
            .chain(self.value)
            .filter_map(|(t, text)| {
                let v: f64 = text.parse().ok()?;
                v.is_finite().then_some(Point { t: Timestamp::from_seconds(t), v })
            })
            .collect();
        Answer { labels: self.metric, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/prometheus/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    #[test]
    fn real_answers_are_read() {
        for name in ["prom242_range_cpu.json", "prom353_range_cpu.json", "vm1145_range_cpu.json"] {
            let reply = reply(&fixture(name)).unwrap();
            assert!(!reply.series.is_empty(), "{name}");
            assert!(reply.series.iter().all(|series| !series.points.is_empty()), "{name}");
        }
        assert_eq!(reply(&fixture("prom242_range_empty.json")).unwrap(), Reply::default());
        assert!(!reply(&fixture("prom242_query_up_vector.json")).unwrap().series.is_empty());
    }

    #[test]
    fn not_a_number_and_infinity_are_left_out() {
        let reply = reply(&fixture("prom242_query_nan_inf.json")).unwrap();
        let points: Vec<f64> =
            reply.series.iter().flat_map(|series| &series.points).map(|point| point.v).collect();
        assert!(points.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn native_histograms_are_passed_over() {
        let reply = reply(&fixture("prom353_native_histogram_range.json")).unwrap();
        assert!(reply.series.iter().all(|series| series.points.is_empty()));
    }

    #[test]
    fn refusals_are_told_apart_from_foreign_bodies() {
        assert!(matches!(
            reply(&fixture("prom242_range_too_many_points.json")),
            Err(Error::Refused { kind, .. }) if kind == "bad_data"
        ));
        assert!(matches!(
            reply(&fixture("vm1145_query_parse_error.json")),
            Err(Error::Refused { kind, .. }) if kind == "422"
        ));
        for name in ["prom242_not_found.json", "prom242_query_scalar.json"] {
            assert!(matches!(reply(&fixture(name)), Err(Error::Foreign { .. })), "{name}");
        }
        assert!(matches!(reply(b"<html>Log in</html>"), Err(Error::Foreign { .. })));
    }

    #[test]
    fn targets_of_both_servers_are_read() {
        let prometheus = targets(&fixture("prom242_targets.json")).unwrap();
        assert!(prometheus.iter().any(|target| target.health == "up"));
        assert!(prometheus.iter().all(|target| !target.scrape_interval.is_empty()));
        assert!(!targets(&fixture("vm1145_targets.json")).unwrap().is_empty());
    }
}
