//! Answers of the HTTP API, from bytes to series. Pure.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufReader, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::limits::{self, LONGEST_TEXT, MOST_SERIES, some, too_long};
use crate::model::{
    plausible,
    series::Point,
    text::{LONGEST_MESSAGE, LONGEST_NAME, short},
    time::Timestamp,
};

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
    /// Remarks of the server on the query (Prometheus since 2.54); the data are whole.
    pub infos: Vec<String>,
}

/// An active scrape target.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// Seconds that the last scrape took.
    #[serde(default)]
    pub last_scrape_duration: f64,
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
struct Envelope {
    status: String,
    #[serde(default = "Option::default")]
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    /// Since Prometheus 2.54.
    #[serde(default)]
    infos: Vec<String>,
    /// VictoriaMetrics cluster: some of its storage nodes did not answer.
    #[serde(rename = "isPartial", default)]
    is_partial: bool,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Series,
}

#[derive(Deserialize)]
struct TargetsEnvelope {
    status: String,
    #[serde(default = "Option::default")]
    data: Option<Targets>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

/// An answer of `query` or `query_range`, decoded while it is read.
///
/// # Errors
/// When the server says so, or what comes is not JSON of the API's form, or has
/// more series than [`MOST_SERIES`].
pub fn reply(body: impl Read) -> Result<Reply, Error> {
    let mut start = Start { inner: body, bytes: Vec::new(), unended: 0 };
    let envelope: Result<Envelope, _> = {
        let mut reader = BufReader::with_capacity(64 << 10, &mut start);
        serde_json::from_reader(&mut reader)
    };
    let foreign = |why: String| Error::Foreign {
        why,
        body: String::from_utf8_lossy(&start.bytes).into_owned(),
    };
    let envelope = envelope.map_err(|error| foreign(short(&error.to_string(), LONGEST_NAME)))?;
    if envelope.status != "success" {
        return Err(Error::Refused {
            kind: short(&envelope.error_type, LONGEST_NAME),
            message: short(&envelope.error, LONGEST_MESSAGE),
        });
    }
    let data = envelope.data.ok_or_else(|| foreign("it has no data".to_owned()))?;
    if !["matrix", "vector"].contains(&data.result_type.as_str()) {
        let kind = short(&data.result_type, LONGEST_NAME);
        return Err(foreign(format!("its result is a {kind}")));
    }
    let mut warnings = some(&envelope.warnings);
    if envelope.is_partial {
        warnings.push("the answer is partial (isPartial)".to_owned());
    }
    Ok(Reply { series: data.result.0, warnings, infos: some(&envelope.infos) })
}

/// An answer of `targets`.
///
/// # Errors
/// As [`reply`].
pub fn targets(body: &[u8]) -> Result<Vec<Target>, Error> {
    let foreign = |why: String| Error::Foreign {
        why,
        body: String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned(),
    };
    let mut reader = Start { inner: body, bytes: Vec::new(), unended: 0 };
    let envelope: TargetsEnvelope =
        serde_json::from_reader(BufReader::with_capacity(64 << 10, &mut reader))
            .map_err(|error| foreign(short(&error.to_string(), LONGEST_NAME)))?;
    if envelope.status != "success" {
        let status = short(&envelope.status, LONGEST_NAME);
        return Err(foreign(format!("its status is {status:?}")));
    }
    let data = envelope.data.ok_or_else(|| foreign("it has no data".to_owned()))?;
    if data.active_targets.len() > MOST_SERIES {
        return Err(foreign(format!("it has more than {MOST_SERIES} targets")));
    }
    let targets: Vec<Target> = data.active_targets.into_iter().map(limits::target).collect();
    if let Some(why) = targets.iter().find_map(|target| too_long(&target.labels)) {
        return Err(foreign(why));
    }
    Ok(targets)
}

/// Keeps the first bytes of what it reads, for the error that shows them, and ends an
/// answer with a text of megabytes before it is held in memory twice.
struct Start<R> {
    inner: R,
    bytes: Vec<u8>,
    /// Bytes since a quotation mark that ends or begins a text.
    unended: usize,
}

impl<R: Read> Read for Start<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let room = 200_usize.saturating_sub(self.bytes.len()).min(read);
        let part = buffer.get(..read).unwrap_or(&[]);
        self.bytes.extend_from_slice(part.get(..room).unwrap_or(part));
        // Within a text a quotation mark has a backslash before it.
        let last = (0..part.len()).rev().find(|at| {
            part.get(*at) == Some(&b'"')
                && at.checked_sub(1).and_then(|at| part.get(at)) != Some(&b'\\')
        });
        self.unended = last.map_or(self.unended + read, |at| read - at);
        if self.unended > LONGEST_TEXT {
            return Err(io::Error::other(format!(
                "a text in it is longer than {} KiB",
                LONGEST_TEXT >> 10
            )));
        }
        Ok(read)
    }
}

/// All series of a result. A scalar or a string, whose elements are no series,
/// yields none; its type says what it is.
struct Series(Vec<Answer>);

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Series;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of series")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Series, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element::<Item>()? {
                    if all.len() >= MOST_SERIES {
                        return Err(de::Error::custom(format!(
                            "it has more than {MOST_SERIES} series; ask for fewer nodes"
                        )));
                    }
                    if let Item::Series(answer) = item {
                        all.push(answer);
                    }
                }
                Ok(Series(all))
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// An element of a result.
enum Item {
    Series(Answer),
    /// A part of a scalar or a string.
    Bare,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a series with its labels and values")
            }

            fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
                Ok(Item::Bare)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
                Ok(Item::Bare)
            }

            fn visit_str<E>(self, _: &str) -> Result<Item, E> {
                Ok(Item::Bare)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let mut answer = Answer { labels: BTreeMap::new(), points: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "metric" => answer.labels = map.next_value()?,
                        "values" => answer.points = map.next_value::<Points>()?.0,
                        "value" => answer.points.extend(map.next_value::<Pair>()?.0),
                        // A native histogram has `histograms` instead.
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                if let Some(why) = too_long(&answer.labels) {
                    return Err(de::Error::custom(why));
                }
                Ok(Item::Series(answer))
            }
        }
        deserializer.deserialize_any(One)
    }
}

struct Points(Vec<Point>);

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Points;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of [time, \"value\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Points, A::Error> {
                let mut points = Vec::new();
                while let Some(Pair(point)) = items.next_element()? {
                    points.extend(point);
                }
                // Kept until the run is written: without the room to grow.
                points.shrink_to_fit();
                Ok(Points(points))
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// `[time, "value"]`; nothing for NaN, infinities and what cannot have been measured.
struct Pair(Option<Point>);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (t, Value(v)): (f64, Value) = Deserialize::deserialize(deserializer)?;
        let at = Timestamp::from_seconds(t);
        let v = plausible::value(v).filter(|_| t.is_finite() && plausible::is_time(at));
        Ok(Self(v.map(|v| Point { t: at, v })))
    }
}

/// A number in quotation marks, read where it stands.
struct Value(f64);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in quotation marks")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                let number = text.parse();
                number.map(Value).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::prometheus::limits::{LONGEST_LABEL, MOST_LABELS};

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/prometheus/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    #[test]
    fn real_answers_are_read() {
        for name in ["prom242_range_cpu.json", "prom353_range_cpu.json", "vm1145_range_cpu.json"] {
            let reply = reply(&*fixture(name)).unwrap();
            assert!(!reply.series.is_empty(), "{name}");
            assert!(reply.series.iter().all(|series| !series.points.is_empty()), "{name}");
        }
        assert_eq!(reply(&*fixture("prom242_range_empty.json")).unwrap(), Reply::default());
        assert!(!reply(&*fixture("prom242_query_up_vector.json")).unwrap().series.is_empty());
    }

    #[test]
    fn not_a_number_and_infinity_are_left_out() {
        let reply = reply(&*fixture("prom242_query_nan_inf.json")).unwrap();
        let points: Vec<f64> =
            reply.series.iter().flat_map(|series| &series.points).map(|point| point.v).collect();
        assert!(points.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn native_histograms_are_passed_over() {
        let reply = reply(&*fixture("prom353_native_histogram_range.json")).unwrap();
        assert!(reply.series.iter().all(|series| series.points.is_empty()));
    }

    #[test]
    fn refusals_are_told_apart_from_foreign_bodies() {
        assert!(matches!(
            reply(&*fixture("prom242_range_too_many_points.json")),
            Err(Error::Refused { kind, .. }) if kind == "bad_data"
        ));
        assert!(matches!(
            reply(&*fixture("vm1145_query_parse_error.json")),
            Err(Error::Refused { kind, .. }) if kind == "422"
        ));
        for name in ["prom242_not_found.json", "prom242_query_scalar.json"] {
            assert!(matches!(reply(&*fixture(name)), Err(Error::Foreign { .. })), "{name}");
        }
        assert!(matches!(reply(&b"<html>Log in</html>"[..]), Err(Error::Foreign { .. })));
    }

    fn vector(labels: &str, value: &str) -> String {
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{{labels}}},"value":{value}}}]}}}}"#
        )
    }

    #[test]
    fn what_cannot_have_been_measured_is_left_out() {
        let points =
            |value: &str| reply(vector("", value).as_bytes()).unwrap().series[0].points.clone();
        assert_eq!(points("[1.5,\"4.9e-324\"]")[0].v, 0.0);
        assert_eq!(points("[1.5,\"-1e-200\"]")[0].v, 0.0);
        assert_eq!(points("[1.5,\"0.25\"]").len(), 1);
        for value in ["[1.5,\"1e308\"]", "[-5,\"1\"]", "[1e300,\"1\"]", "[99999999999,\"1\"]"] {
            assert!(points(value).is_empty(), "{value}");
        }
    }

    #[test]
    fn labels_have_a_length_and_a_number() {
        let long = format!("\"a\":\"{}\"", "x".repeat(LONGEST_LABEL + 1));
        let many: Vec<String> = (0..=MOST_LABELS).map(|n| format!("\"l{n}\":\"x\"")).collect();
        let longest = format!("\"a\":\"{}\"", "\\\"".repeat(5 << 20));
        for (labels, why) in
            [(long, "bytes"), (many.join(","), "labels"), (longest, "longer than 128 KiB")]
        {
            let error = reply(vector(&labels, "[1,\"1\"]").as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why) && error.len() < 1500, "{error}");
        }
    }

    #[test]
    fn what_a_server_says_is_short_and_visible() {
        let refused = format!(
            r#"{{"status":"error","errorType":"bad\u001b[2J","error":"{}"}}"#,
            "x\\u202e".repeat(3000)
        );
        let error = reply(refused.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 12_000 && crate::model::text::is_visible(&error), "{error}");
        let warnings = vec!["\"w\""; 2000].join(",");
        let warned = format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[]}},"warnings":[{warnings}]}}"#
        );
        let warnings = reply(warned.as_bytes()).unwrap().warnings;
        assert_eq!((warnings.len(), warnings[10].as_str()), (11, "and 1990 more"));
    }

    #[test]
    fn an_interval_of_zero_is_none() {
        for (interval, kept) in [("0s", ""), ("15s", "15s"), ("900d", ""), ("x", "")] {
            let body = format!(
                r#"{{"status":"success","data":{{"activeTargets":[{{"scrapeInterval":"{interval}","lastScrapeDuration":1e300}}]}}}}"#
            );
            let target = &targets(body.as_bytes()).unwrap()[0];
            assert_eq!((target.scrape_interval.as_str(), target.last_scrape_duration), (kept, 0.0));
        }
    }

    #[test]
    fn targets_of_both_servers_are_read() {
        let prometheus = targets(&fixture("prom242_targets.json")).unwrap();
        assert!(prometheus.iter().any(|target| target.health == "up"));
        assert!(prometheus.iter().all(|target| !target.scrape_interval.is_empty()));
        assert!(!targets(&fixture("vm1145_targets.json")).unwrap().is_empty());
    }
}
