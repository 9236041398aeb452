//! What a refused request is told: the API's message, a proxy's, or a web page,
//! and what follows from it. Pure, but for reading the body.

use std::time::Duration;

use chrono::DateTime;
use reqwest::{
    Response,
    header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

use super::error::Error;

/// More of a refusal is not read.
const LONGEST_BODY: usize = 64 << 10;
/// Characters of a message that are shown; VictoriaMetrics repeats the query in it.
const SHOWN: usize = 300;
/// Characters of a page's title and of its start that are shown.
const SHOWN_OF_PAGE: usize = 80;
/// From here on servers refuse addresses by default (nginx 8 KiB, Apache 8190).
pub(super) const LONG_ADDRESS: usize = 8000;

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Samples or memory for one query: a shorter range or fewer nodes help.
    Samples,
    /// Points or time covered by one query: a shorter range helps.
    Range,
    /// Time to compute it: a shorter range or fewer nodes help.
    Time,
    /// Series or chunks of one query: fewer nodes help, and often a shorter range.
    Series,
    /// The length of the query itself: fewer nodes help, a shorter range does not.
    QueryLength,
}

impl Limit {
    /// Whether asking for a shorter range can help.
    pub fn yields_to_a_shorter_range(self) -> bool {
        self != Self::QueryLength
    }

    /// For a message.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Range => "time range",
            Self::Time => "computing time",
            Self::Series => "series",
            Self::QueryLength => "length of the query",
        }
    }
}

/// Words of a refusal, in lower case, and the limit that they tell of. They are
/// those of Prometheus 2 and 3, VictoriaMetrics, Thanos, Cortex and Mimir.
const WORDS: [(&str, Limit); 34] = [
    // Prometheus, and what is built on its engine.
    ("too many samples", Limit::Samples),
    ("exceeded maximum resolution", Limit::Range),
    ("query timed out", Limit::Time),
    // Thanos and its query frontend; gRPC between parts of either.
    ("query time range exceeds the limit", Limit::Range),
    ("exceeded sample limit", Limit::Samples),
    ("exceeded samples limit", Limit::Samples),
    ("exceeded series limit", Limit::Series),
    ("exceeded chunks limit", Limit::Series),
    ("exceeded bytes limit", Limit::Samples),
    ("expanded matching series", Limit::Series),
    ("expanded matching posting", Limit::Series),
    ("received message larger than max", Limit::Samples),
    ("larger than the max", Limit::Samples),
    // Cortex and Mimir.
    ("max-query-length", Limit::Range),
    ("max-total-query-length", Limit::Range),
    ("max number of samples", Limit::Samples),
    ("maximum number of samples", Limit::Samples),
    ("max number of series", Limit::Series),
    ("maximum number of series", Limit::Series),
    ("max number of chunks", Limit::Series),
    ("maximum number of chunks", Limit::Series),
    ("max-series-per-query", Limit::Series),
    ("chunks size limit", Limit::Samples),
    ("chunks-bytes-per-query", Limit::Samples),
    ("estimated amount of memory", Limit::Samples),
    ("query-expression-size", Limit::QueryLength),
    // VictoriaMetrics.
    ("too many points", Limit::Range),
    ("maxsamplesper", Limit::Samples),
    ("not enough memory for processing", Limit::Samples),
    ("number of matching timeseries exceeds", Limit::Series),
    ("maxunique", Limit::Series),
    ("timeout exceeded", Limit::Time),
    ("maxqueryduration", Limit::Time),
    ("too long query", Limit::QueryLength),
];

/// The limit that a refusal tells of, if it does. Servers answer 400, 413, 422,
/// 500 or 503 to the same, so that the words decide.
pub(super) fn limit_of(message: &str) -> Option<Limit> {
    let message = message.to_lowercase();
    WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, limit)| *limit)
}

/// A refusal of the API.
#[derive(Deserialize)]
struct ApiError {
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(default)]
    error: String,
    /// Grafana's word for it.
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: serde_json::Value,
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// HTTP status.
    pub(super) status: u16,
    /// What was said, in full.
    message: String,
    /// Whether a Prometheus API said it, not something before it.
    pub(super) is_of_api: bool,
    /// How long the server asks to wait.
    pub(super) wait: Option<Duration>,
}

impl Problem {
    /// Take a refusal in. A body that breaks off is read as far as it came.
    pub(super) async fn read(mut response: Response) -> Self {
        let status = response.status().as_u16();
        let wait = retry_after(response.headers());
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= LONGEST_BODY {
                break;
            }
        }
        Self::new(status, &body, wait)
    }

    fn new(status: u16, body: &[u8], wait: Option<Duration>) -> Self {
        let parsed: Result<ApiError, _> = serde_json::from_slice(body);
        let text = String::from_utf8_lossy(body);
        let (message, is_of_api) = match parsed {
            Ok(said) if said.status == "error" => (format!("{}: {}", said.kind, said.error), true),
            Ok(said) if !said.message.is_empty() => (said.message, false),
            _ => match page(&text) {
                Some((Some(title), _)) => (format!("a web page titled {title:?}"), false),
                _ => (text.trim().to_owned(), false),
            },
        };
        Self { status, message, is_of_api, wait }
    }

    /// Whether it may be the method that is refused, so that GET is worth a try:
    /// the method's own statuses, a proxy that lets only some paths be posted to,
    /// and a server to which no body came.
    pub(super) fn refuses_post(&self) -> bool {
        match self.status {
            403 | 404 | 405 | 411 | 415 | 501 => true,
            400 | 422 => !self.is_of_api || self.has_seen_no_query(),
            _ => false,
        }
    }

    /// Whether the server says that parameters are missing, all of which were sent.
    fn has_seen_no_query(&self) -> bool {
        let said = self.message.to_lowercase();
        let names_query = said.contains("query");
        let is_missing = ["missing", "empty", "required", "not specified"]
            .iter()
            .any(|word| said.contains(word));
        said.contains("no expression found")
            || said.contains("cannot parse \"\"")
            || (names_query && is_missing)
    }

    /// Whether the address was too long for whoever answered.
    fn is_about_address(&self, address: usize) -> bool {
        address > LONG_ADDRESS
            && (matches!(self.status, 413 | 414 | 431) || (self.status == 400 && !self.is_of_api))
    }

    /// The error of a request of `address` characters. `post` is what the same
    /// request was told when it was posted.
    pub(super) fn into_error(self, url: String, address: usize, post: Option<&Self>) -> Error {
        if self.is_about_address(address) {
            let refusal = post.map_or_else(String::new, |post| format!(" ({})", post.said()));
            let why = format!(
                "{} to an address of {} KiB; POST is not accepted{refusal}, so let whatever stands before the server pass POST to api/v1/query and api/v1/query_range, or ask for fewer nodes (--node, --job)",
                self.said(),
                address >> 10
            );
            return Error::Limit { url, limit: Limit::QueryLength, why };
        }
        if let Some(limit) = limit_of(&self.message) {
            return Error::Limit { url, limit, why: shortened(&self.message, SHOWN) };
        }
        if self.status == 413 {
            return Error::Limit { url, limit: Limit::QueryLength, why: self.said() };
        }
        let hint = self.hint();
        let why = match post {
            Some(post) if (post.status, &post.message) == (self.status, &self.message) => {
                format!("{}, to POST and to GET{hint}", shortened(&self.message, SHOWN))
            }
            Some(post) => {
                let said = shortened(&self.message, SHOWN);
                format!("{said}, to GET; and to POST {}{hint}", post.said())
            }
            None => format!("{}{hint}", shortened(&self.message, SHOWN)),
        };
        Error::Status { url, status: self.status, why }
    }

    fn said(&self) -> String {
        format!("{}: {}", self.status, shortened(&self.message, SHOWN))
    }

    fn hint(&self) -> &'static str {
        let said = self.message.to_lowercase();
        let wants_tenant = ["no org id", "x-scope-orgid", "no tenant", "missing org"];
        if wants_tenant.iter().any(|words| said.contains(words)) {
            return "; the server keeps several tenants: name yours with `headers = [\"X-Scope-OrgID: …\"]` in [telemetry], or --header 'X-Scope-OrgID: …'";
        }
        match self.status {
            401 | 403 => "; check the credentials: `token_file`, or `username` and `password_file`",
            404 => "; is the path prefix right?",
            _ => "",
        }
    }
}

/// How long a server asks to wait: seconds, or a date compared with its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    let now = headers.get(DATE)?.to_str().ok()?;
    let now = DateTime::parse_from_rfc2822(now.trim()).ok()?;
    Some((until - now).to_std().unwrap_or_default())
}

/// Whether the head of an answer announces a web page.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

/// The title and the start of a web page; nothing of another text.
pub(super) fn page(text: &str) -> Option<(Option<String>, String)> {
    if !text.trim_start().starts_with('<') {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let from = at + lower.get(at..)?.find('>')? + 1;
        let to = from + lower.get(from..)?.find("</title")?;
        Some(shortened(text.get(from..to)?.trim(), SHOWN_OF_PAGE)).filter(|title| !title.is_empty())
    });
    Some((title, shortened(text.trim(), SHOWN_OF_PAGE)))
}

/// The error of a page that came with a good status.
pub(super) fn page_error(url: String, text: &str) -> Error {
    let (title, start) =
        page(text).unwrap_or_else(|| (None, shortened(text.trim(), SHOWN_OF_PAGE)));
    Error::Page { url, title, start }
}

/// A text of a server for a message: on one line, without control characters, and
/// at most so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, body: &str) -> Problem {
        Problem::new(status, body.as_bytes(), None)
    }

    fn api(kind: &str, error: &str) -> String {
        serde_json::json!({"status": "error", "errorType": kind, "error": error}).to_string()
    }

    #[test]
    fn limits_are_recognized_in_every_dialect() {
        for (message, expected) in [
            (
                "query processing would load too many samples into memory in query execution",
                Limit::Samples,
            ),
            (
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
                Limit::Range,
            ),
            ("query timed out in expression evaluation", Limit::Time),
            (
                "expanding series: the query time range exceeds the limit (query length: 744h0m0s, limit: 168h0m0s)",
                Limit::Range,
            ),
            (
                "the query time range exceeds the limit (query length: 768h, limit: 744h) (err-mimir-max-query-length)",
                Limit::Range,
            ),
            (
                "the query exceeded the maximum number of chunks (limit: 2000000 chunks) (err-mimir-max-chunks-per-query)",
                Limit::Series,
            ),
            ("the query hit the max number of series limit (limit: 100000 series)", Limit::Series),
            (
                "rpc error: code = ResourceExhausted desc = exceeded sample limit: limit 1000 violated (got 1005)",
                Limit::Samples,
            ),
            ("fetch expanded postings: exceeded series limit: 10", Limit::Series),
            (
                "cannot select more than -search.maxSamplesPerQuery=1000000000 samples; possible solutions: increase it",
                Limit::Samples,
            ),
            (
                "the number of matching timeseries exceeds 300000; either narrow down the search or increase -search.max* values",
                Limit::Series,
            ),
            (
                "too long query; got 40000 bytes; mustn't exceed -search.maxQueryLen=16384 bytes",
                Limit::QueryLength,
            ),
        ] {
            for status in [400, 422, 500, 503] {
                let error =
                    problem(status, &api("execution", message)).into_error("u".into(), 100, None);
                assert!(
                    matches!(error, Error::Limit { limit, .. } if limit == expected),
                    "{status} {message}"
                );
                assert!(!error.is_passing());
            }
        }
        for message in [
            "parse error: unexpected end of input",
            "invalid parameter \"query\"",
            "too many requests",
            "no org id",
        ] {
            assert_eq!(limit_of(message), None, "{message}");
        }
    }

    #[test]
    fn a_refused_method_is_told_from_a_refused_query() {
        for (status, body, refuses) in [
            (
                403,
                "non allow-listed POSTs not allowed on proxied Prometheus datasource".to_owned(),
                true,
            ),
            (405, String::new(), true),
            (501, String::new(), true),
            (400, "<html><title>400 Bad Request</title></html>".to_owned(), true),
            (
                400,
                api(
                    "bad_data",
                    "invalid parameter \"query\": unknown position: parse error: no expression found in input",
                ),
                true,
            ),
            (
                400,
                api(
                    "bad_data",
                    "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
                ),
                true,
            ),
            (422, api("422", "missing `query` arg"), true),
            (
                400,
                api(
                    "bad_data",
                    "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
                ),
                false,
            ),
            (422, api("execution", "multiple matches for labels: many-to-one matching"), false),
            (401, "no org id".to_owned(), false),
            (429, String::new(), false),
            (503, String::new(), false),
        ] {
            assert_eq!(problem(status, &body).refuses_post(), refuses, "{status} {body}");
        }
    }

    #[test]
    fn both_methods_are_named_when_both_fail() {
        let post = problem(405, "POST not allowed");
        let error = problem(403, "go away").into_error("u".into(), 100, Some(&post)).to_string();
        for word in ["403", "go away, to GET", "405: POST not allowed", "token_file"] {
            assert!(error.contains(word), "{word}: {error}");
        }
        let both =
            problem(404, "not here").into_error("u".into(), 100, Some(&problem(404, "not here")));
        assert_eq!(
            both.to_string(),
            "u answers 404: not here, to POST and to GET; is the path prefix right?"
        );
    }

    #[test]
    fn what_to_set_depends_on_what_is_missing() {
        for (status, body, todo) in [
            (401, "no org id", "X-Scope-OrgID"),
            (400, "{\"message\":\"missing X-Scope-OrgID header\"}", "--header"),
            (401, "Unauthorized", "token_file"),
            (403, "RBAC: access denied", "password_file"),
        ] {
            let said = problem(status, body).into_error("u".into(), 100, None).to_string();
            assert!(said.contains(todo), "{body}: {said}");
        }
    }

    #[test]
    fn an_address_that_is_too_long_is_a_limit_with_what_to_do() {
        let post = problem(403, "no POST here");
        for (status, body) in
            [(414, "URI Too Long".to_owned()), (431, String::new()), (400, "<html>".to_owned())]
        {
            let error = problem(status, &body).into_error("u".into(), 9000, Some(&post));
            assert!(matches!(error, Error::Limit { limit: Limit::QueryLength, .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("no POST here") && said.contains("--node"), "{said}");
        }
        let wrong =
            problem(400, &api("bad_data", "parse error")).into_error("u".into(), 9000, None);
        assert!(matches!(wrong, Error::Status { .. }), "{wrong}");
        assert!(!Limit::QueryLength.yields_to_a_shorter_range());
    }

    #[test]
    fn a_page_is_named_by_its_title_and_kept_short() {
        let text = format!(
            "<!DOCTYPE html><HTML><Title lang=en>\n Sign\u{1b}[31m  in </Title>{}",
            "x".repeat(500)
        );
        let (title, start) = page(&text).unwrap();
        assert_eq!(title.as_deref(), Some("Sign [31m in"));
        assert!(start.chars().count() <= SHOWN_OF_PAGE + 1 && start.starts_with("<!DOCTYPE"));
        assert_eq!(page("{\"status\":\"success\"}"), None);
        assert_eq!(page("<html>").unwrap().0, None);
        let long = problem(500, &"é".repeat(5000)).into_error("u".into(), 0, None).to_string();
        assert!(long.chars().count() < 400, "{long}");
    }

    #[test]
    fn a_server_says_how_long_to_wait_in_seconds_or_as_a_date() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        let date = ("date", "Sun, 29 Nov 2026 09:02:00 GMT");
        for (given, expected) in [
            (vec![("retry-after", "7")], Some(7)),
            (vec![("retry-after", "Sun, 29 Nov 2026 09:02:05 GMT"), date], Some(5)),
            (vec![("retry-after", "Sun, 29 Nov 2026 09:01:00 GMT"), date], Some(0)),
            (vec![("retry-after", "soon")], None),
            (vec![date], None),
        ] {
            assert_eq!(
                retry_after(&headers(&given)).map(|wait| wait.as_secs()),
                expected,
                "{given:?}"
            );
        }
    }
}
