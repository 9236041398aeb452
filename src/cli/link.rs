//! The address of a Grafana page (or of Prometheus's own), as people paste it:
//! the window and the nodes that it shows.

use reqwest::Url;
use serde_json::Value;

/// Variables that name nodes, the one that identifies a node best first: where a
/// page has several, they name the same nodes in different words.
const NODES: [&str; 6] = ["instance", "node", "nodename", "host", "hostname", "server"];
/// What Grafana writes for "all of them".
const ALL: [&str; 4] = ["$__all", "All", ".*", ""];
/// Longer values are shortened in messages.
const SHOWN: usize = 60;

/// What an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Start of the window, as it is written there.
    pub(super) start: Start,
    /// Its end.
    pub(super) end: String,
    /// Regular expressions that match the nodes it names; none for all.
    pub(super) nodes: Vec<String>,
    /// The job.
    pub(super) job: Option<String>,
    /// Variables that are not understood, as `name=value`.
    pub(super) ignored: Vec<String>,
}

/// Where a window starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// At this time.
    At(String),
    /// This duration before the window's end.
    Before(String),
}

/// Whether a text is meant as an address.
pub(super) fn is_link(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("http://") || text.starts_with("https://") || text.contains("from=")
}

/// Read an address. Its own text is not repeated in an error, since it may hold a
/// token.
pub(super) fn read(text: &str) -> Result<Link, String> {
    let text = text.trim().trim_matches(['<', '>', '"', '\'']).replace("&amp;", "&");
    let whole = if text.contains("://") { text } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|error| format!("it is not an address: {error}"))?;
    // `+` is a space in a query; Grafana writes both as %20 and %2B.
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let (start, end) = match window(&pairs)? {
        Some(window) => window,
        None if url.path().contains("/goto/") => {
            return Err(
                "it is a short address, which names no time: open it and copy the address that it leads to"
                    .to_owned(),
            );
        }
        None => {
            return Err(
                "it names no time range (from=…&to=…): choose one on the page and copy the address again, or give --start and --end"
                    .to_owned(),
            );
        }
    };
    Ok(with_variables(start, end, &pairs))
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, value)| key == name && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

/// Start and end, from whichever page it is.
fn window(pairs: &[(String, String)]) -> Result<Option<(Start, String)>, String> {
    if let Some(from) = value(pairs, "from") {
        let to = value(pairs, "to").unwrap_or("now");
        return Ok(Some((Start::At(from.to_owned()), to.to_owned())));
    }
    // The middle of a window and its length, in milliseconds.
    if let (Some(middle), Some(length)) = (value(pairs, "time"), value(pairs, "time.window"))
        && let (Ok(middle), Ok(length)) = (middle.parse::<i64>(), length.parse::<i64>())
    {
        let ends = middle.checked_sub(length / 2).zip(middle.checked_add(length / 2));
        return Ok(ends.map(|(from, to)| (Start::At(from.to_string()), to.to_string())));
    }
    if let Some(text) = value(pairs, "panes").or_else(|| value(pairs, "left")) {
        return explored(text).map(|(from, to)| Some((Start::At(from), to)));
    }
    // Prometheus's own page of graphs; without an end it shows the present.
    if let Some(length) = value(pairs, "g0.range_input") {
        let end = value(pairs, "g0.end_input").or_else(|| value(pairs, "g0.moment_input"));
        let end = end.unwrap_or("now").to_owned();
        return Ok(Some((Start::Before(length.to_owned()), end)));
    }
    Ok(None)
}

/// The range of Grafana's Explore: of `panes` (an object a pane), of `left` as an
/// object, or of `left` as the array of older versions.
fn explored(text: &str) -> Result<(String, String), String> {
    let wrong = || "its Explore state (left=, panes=) has no range".to_owned();
    let state: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    if let Value::Array(items) = &state {
        let end = |at: usize| items.get(at).and_then(written);
        return end(0).zip(end(1)).ok_or_else(wrong);
    }
    let range_of = |pane: &Value| {
        let range = pane.get("range")?;
        written(range.get("from")?).zip(written(range.get("to")?))
    };
    if let Some(range) = range_of(&state) {
        return Ok(range);
    }
    let panes = state.as_object().ok_or_else(wrong)?;
    let mut ranges: Vec<(String, String)> = panes.values().filter_map(range_of).collect();
    ranges.dedup();
    match ranges.as_slice() {
        [] => Err(wrong()),
        [_] => ranges.pop().ok_or_else(wrong),
        _ => Err("its panes show different time ranges: give --start and --end".to_owned()),
    }
}

/// A time in JSON: text, or a number.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn with_variables(start: Start, end: String, pairs: &[(String, String)]) -> Link {
    let variables =
        || pairs.iter().filter_map(|(key, value)| Some((key.strip_prefix("var-")?, value)));
    let chosen = |name: &str| -> Vec<String> {
        let values =
            variables().filter(|(key, value)| *key == name && !ALL.contains(&value.as_str()));
        values.map(|(_, value)| value.clone()).collect()
    };
    let nodes = NODES.iter().map(|name| chosen(name)).find(|values| !values.is_empty());
    let nodes = nodes.unwrap_or_default().iter().map(|value| literal(value)).collect();
    let jobs = chosen("job");
    let is_used = |name: &str| NODES.contains(&name) || (name == "job" && jobs.len() < 2);
    let ignored = variables()
        .filter(|(name, value)| !is_used(name) && !ALL.contains(&value.as_str()))
        .map(|(name, value)| format!("{}={}", shown(name), shown(value)))
        .collect();
    let job = if let [job] = jobs.as_slice() { Some(job.clone()) } else { None };
    Link { start, end, nodes, job, ignored }
}

/// A text of the address for a message: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// An expression that matches this text only.
fn literal(text: &str) -> String {
    let mut expression = String::new();
    for c in text.chars() {
        match c {
            '.' => expression.push_str("[.]"),
            '\\' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                expression.push('\\');
                expression.push(c);
            }
            c => expression.push(c),
        }
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_from_every_kind_of_page() {
        for (text, start, end) in [
            (
                "https://g.example/d/x/nodes?orgId=1&from=1795942920000&to=1795943820000",
                "1795942920000",
                "1795943820000",
            ),
            (
                "https://g.example/d/x/nodes?from=now-1d%2Fd&to=now-1d%2Fd&refresh=5s",
                "now-1d/d",
                "now-1d/d",
            ),
            (
                "https://g.example/d/x?from=2026-11-29T09:02:00.000Z&amp;to=2026-11-29T09:17:00.000Z",
                "2026-11-29T09:02:00.000Z",
                "2026-11-29T09:17:00.000Z",
            ),
            ("g.example/d/x?from=now-6h&to=now", "now-6h", "now"),
            ("<https://g.example/d/x?from=now-6h>", "now-6h", "now"),
            (
                "https://g.example/d/x?time=1795942920000&time.window=60000",
                "1795942890000",
                "1795942950000",
            ),
            (
                "https://g.example/explore?left=%5B%22now-1h%22%2C%22now%22%2C%22Prometheus%22%2C%7B%7D%5D",
                "now-1h",
                "now",
            ),
            (
                "https://g.example/explore?orgId=1&left=%7B%22datasource%22%3A%22p%22%2C%22queries%22%3A%5B%5D%2C%22range%22%3A%7B%22from%22%3A%221795942920000%22%2C%22to%22%3A%221795943820000%22%7D%7D",
                "1795942920000",
                "1795943820000",
            ),
            (
                "https://g.example/explore?schemaVersion=1&panes=%7B%22a1%22:%7B%22range%22:%7B%22from%22:%22now-3h%22,%22to%22:%22now%22%7D%7D%7D&orgId=1",
                "now-3h",
                "now",
            ),
        ] {
            let link = read(text).unwrap();
            assert_eq!((link.start, link.end.as_str()), (Start::At(start.into()), end), "{text}");
            assert!(is_link(text), "{text}");
        }
        let link = read(
            "http://p:9090/graph?g0.expr=up&g0.range_input=1h&g0.end_input=2026-11-29%2009:02:00",
        );
        let link = link.unwrap();
        assert_eq!(link.start, Start::Before("1h".into()));
        assert_eq!(link.end, "2026-11-29 09:02:00");
        assert!(!is_link("2026-11-29 09:02:00") && !is_link("now-1d/d"));
    }

    #[test]
    fn variables_name_nodes_and_the_job() {
        let read =
            |query: &str| read(&format!("https://g/d/x?from=now-1h&to=now&{query}")).unwrap();
        let link = read("var-job=node&var-nodename=db-1&var-node=10.0.0.1:9100&var-disk=sda");
        assert_eq!(link.nodes, ["10[.]0[.]0[.]1:9100"]);
        assert_eq!(link.job.as_deref(), Some("node"));
        assert_eq!(link.ignored, ["disk=sda"]);
        let link = read("var-instance=a&var-instance=%5Bfd00::1%5D:9100&var-job=$__all");
        assert_eq!(link.nodes, ["a", "\\[fd00::1\\]:9100"]);
        assert_eq!(link.job, None);
        assert_eq!(read("var-instance=All&var-host=b").nodes, ["b"]);
        // Two jobs are not one.
        let link = read("var-job=a&var-job=b&var-cluster=eu");
        assert_eq!((link.job, link.nodes.len()), (None, 0));
        assert_eq!(link.ignored, ["job=a", "job=b", "cluster=eu"]);
    }

    #[test]
    fn an_address_without_a_window_says_what_to_do_and_keeps_its_secrets() {
        for (text, todo) in [
            ("https://g/goto/Abc123?orgId=1", "copy the address"),
            ("https://g/d/x?orgId=1&auth_token=s3cr3t", "--start"),
            ("https://g/explore?left=nonsense-s3cr3t", "no range"),
            (
                "https://g/explore?panes={\"a\":{\"range\":{\"from\":\"now-1h\",\"to\":\"now\"}},\"b\":{\"range\":{\"from\":\"now-2h\",\"to\":\"now\"}}}",
                "different",
            ),
            ("https://", "not an address"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(todo) && !said.contains("s3cr3t"), "{text}: {said}");
        }
    }
}
