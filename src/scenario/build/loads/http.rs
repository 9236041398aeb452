//! The table of an http load.

use std::time::Duration;

use super::{
    super::super::{
        diagnostic::Diagnostic,
        plan::{Arrival, HttpWork, Rate, Target, Url},
        telemetry::{HeaderError, read_header},
        tree::{Node, Table},
    },
    exclude, span, whole,
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn http(
    node: &Node,
    table: &Table,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<HttpWork> {
    let http2 = table.text("version").as_deref() == Some("2");
    exclude(table, "body", &["body_file"], diagnostics);
    exclude(table, "rate_to", &["spike_rate", "spike_every", "spike_for"], diagnostics);
    let sending =
        ["url", "method", "headers", "header_file", "body", "body_file", "version", "rate"];
    exclude(table, "listen", &sending, diagnostics);
    for key in ["arrival", "rate_to", "spike_rate"] {
        if table.get(key).is_some() && table.get("rate").is_none() {
            diagnostics.push(
                Diagnostic::new(span(node, table, key), format!("`{key}` needs a `rate`"))
                    .hint("without one the loop is closed: each connection waits for its answer"),
            );
        }
    }
    for key in ["spike_every", "spike_for"] {
        if table.get(key).is_some() && table.get("spike_rate").is_none() {
            diagnostics.push(Diagnostic::new(
                span(node, table, key),
                format!("`{key}` needs a `spike_rate`"),
            ));
        }
    }
    if table.get("streams").is_some() && !http2 {
        diagnostics.push(
            Diagnostic::new(span(node, table, "streams"), "HTTP/1.1 has no streams")
                .hint("use `connections`, or `version = \"2\"`"),
        );
    }
    let method = table.text("method").unwrap_or_else(|| "GET".to_owned());
    Some(HttpWork {
        url: table.text("url").and_then(|text| Url::parse(&text)),
        listen: table.text("listen").and_then(|text| Target::parse(&text)),
        method: METHODS.into_iter().find(|known| *known == method)?,
        headers: headers(node, table, diagnostics),
        header_file: table.path("header_file"),
        body: table.text("body").unwrap_or_default(),
        body_file: table.path("body_file"),
        http2,
        connections: table.number("connections").map_or(10, whole),
        streams: table.number("streams").map_or(1, whole),
        keep_alive: table.flag("keep_alive").unwrap_or(true),
        timeout: table.duration("timeout").unwrap_or(Duration::from_secs(10)),
        ca_file: table.path("ca_file"),
        insecure: table.flag("insecure").unwrap_or(false),
        arrival: arrival(node, table, diagnostics),
    })
}

/// The headers of a table; one that usually holds a secret is refused.
pub(in crate::scenario::build) fn headers(
    node: &Node,
    table: &Table,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for text in table.texts("headers") {
        let at = span(node, table, "headers");
        let error = match read_header(&text) {
            Ok(header) => {
                headers.push(header);
                continue;
            }
            Err(error) => error,
        };
        let said = Diagnostic::new(at, error.to_string());
        diagnostics.push(match error {
            HeaderError::NoColon => said.allowed("\"Name: value\""),
            HeaderError::Malformed { .. } => {
                said.allowed("a name of letters, digits and hyphens, and a value on one line")
            }
            HeaderError::Secret { .. } => said.hint(
                "write it into a file of its own and name that (`header_file`, `token_file`): a scenario is copied into the run",
            ),
        });
    }
    headers
}

fn arrival(node: &Node, table: &Table, diagnostics: &mut Vec<Diagnostic>) -> Option<Arrival> {
    let base = table.number("rate")?;
    let rate = if let Some(to) = table.number("rate_to") {
        Rate::Ramp { from: base, to }
    } else if let Some(peak) = table.number("spike_rate") {
        let every = table.duration("spike_every").unwrap_or(Duration::from_secs(10));
        let length = table.duration("spike_for").unwrap_or(Duration::from_secs(1));
        if length >= every {
            diagnostics.push(
                Diagnostic::new(span(node, table, "spike_for"), "the spikes never end")
                    .hint("`spike_for` must be shorter than `spike_every`"),
            );
        }
        Rate::Spike { base, peak, every, length }
    } else {
        Rate::Constant(base)
    };
    Some(Arrival { rate, poisson: table.text("arrival").as_deref() == Some("poisson") })
}
