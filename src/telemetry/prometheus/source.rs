//! Which targets are our nodes, and the catalogue's signals of them, window
//! by window.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use regex_lite::escape;

use super::{
    client::{Client, Error},
    decode::Answer,
};
use crate::model::{
    catalogue::SIGNALS,
    series::Signal,
    stats,
    time::{Timestamp, Window},
    units::parse_duration,
};

/// Scrape interval that is assumed when the server does not tell: Prometheus's
/// own default is 1 min, most set-ups use 15 s.
const USUAL_INTERVAL_S: f64 = 15.0;
/// A rate window of four scrapes survives one that is lost.
const WINDOW_SCRAPES: f64 = 4.0;
/// Queries under way at once.
const AT_ONCE: usize = 4;
/// Signals in one query: fewer queries, and none that a server gives up on.
const PER_QUERY: usize = 5;
/// A difference of clocks that does not matter: it shifts a scrape by one.
const CLOCK_NOISE_S: f64 = 1.0;
/// Nodes whose scrapes are looked at to find their interval.
const SAMPLED_NODES: usize = 50;
/// The label that says which signal a series is of.
const SIGNAL: &str = "stressor_signal";

/// A node as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The `instance` label.
    pub instance: String,
    /// The `job` label.
    pub job: String,
    /// `uname -n` there; empty where node_exporter does not tell.
    pub nodename: String,
    /// Kernel release there.
    pub release: String,
}

/// Why the nodes could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The server did not answer.
    #[error(transparent)]
    Server(#[from] Error),
    /// There is no node_exporter.
    #[error("{url} has no node_exporter target{}: is its job scraped?", .job.as_ref().map_or_else(String::new, |job| format!(" with job {job:?}")))]
    NoTargets {
        /// Where.
        url: String,
        /// The job asked for.
        job: Option<String>,
    },
    /// The node is not among them.
    #[error(
        "{wanted} is not among the targets of {url}; there are: {candidates}. Name one with [[node]] name and instance"
    )]
    NotFound {
        /// What was sought.
        wanted: String,
        /// Where.
        url: String,
        /// What there is.
        candidates: String,
    },
    /// One machine is scraped by several jobs.
    #[error(
        "instance {instance} is scraped by several jobs ({jobs}): choose one with [telemetry] job"
    )]
    SeveralJobs {
        /// Which.
        instance: String,
        /// By whom.
        jobs: String,
    },
}

/// The node_exporter targets of a server, now or at a point in time.
///
/// # Errors
/// When it does not answer or has none.
pub async fn candidates(
    client: &Client,
    job: Option<&str>,
    at: Option<Timestamp>,
) -> Result<Vec<Candidate>, Unknown> {
    let selector = job.map_or_else(String::new, |job| format!("{{job=\"{}\"}}", quoted(job)));
    let mut reply = client.query(&format!("node_uname_info{selector}"), at).await?;
    if reply.series.is_empty() {
        // A collector that was turned off, or a recording of a few metrics.
        let named = format!(
            "count by (instance, job, nodename, node) (node_memory_MemTotal_bytes{selector})"
        );
        reply = client.query(&named, at).await?;
    }
    let label = |answer: &Answer, name: &str| answer.labels.get(name).cloned().unwrap_or_default();
    let found: Vec<Candidate> = reply
        .series
        .iter()
        .map(|answer| Candidate {
            instance: label(answer, "instance"),
            job: label(answer, "job"),
            nodename: match label(answer, "nodename") {
                name if name.is_empty() => label(answer, "node"),
                name => name,
            },
            release: label(answer, "release"),
        })
        .collect();
    if found.is_empty() {
        return Err(Unknown::NoTargets {
            url: client.base().to_owned(),
            job: job.map(str::to_owned),
        });
    }
    Ok(found)
}

/// The candidate that is this machine: by its node name, or as the only one.
///
/// # Errors
/// When neither holds; the error lists the candidates.
pub fn this_machine(
    candidates: &[Candidate],
    hostname: &str,
    url: &str,
) -> Result<Candidate, Unknown> {
    let by_name: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.nodename == hostname).collect();
    let instances: BTreeSet<&str> =
        candidates.iter().map(|candidate| candidate.instance.as_str()).collect();
    let chosen = match (by_name.as_slice(), instances.len()) {
        ([first, ..], _) if by_name.iter().all(|other| other.instance == first.instance) => *first,
        ([], 1) => candidates.first().ok_or_else(|| not_found(hostname, url, candidates))?,
        _ => {
            return Err(not_found(&format!("this machine ({hostname})"), url, candidates));
        }
    };
    one_job(candidates, &chosen.instance)?;
    Ok(chosen.clone())
}

/// The candidate that a `[[node]]` means: by its `instance`, else by its name
/// as node name, instance, or host part of the instance.
///
/// # Errors
/// When there is none; the error lists the candidates.
pub fn named(
    candidates: &[Candidate],
    name: &str,
    instance: Option<&str>,
    url: &str,
) -> Result<Candidate, Unknown> {
    let host =
        |instance: &str| instance.rsplit_once(':').map_or(instance, |(host, _)| host).to_owned();
    let found = candidates.iter().find(|candidate| match instance {
        Some(instance) => candidate.instance == instance,
        None => {
            candidate.nodename == name
                || candidate.instance == name
                || host(&candidate.instance) == name
        }
    });
    let found = found.ok_or_else(|| {
        not_found(
            &format!("node {name:?} ({})", instance.unwrap_or("no instance given")),
            url,
            candidates,
        )
    })?;
    one_job(candidates, &found.instance)?;
    Ok(found.clone())
}

fn one_job(candidates: &[Candidate], instance: &str) -> Result<(), Unknown> {
    let jobs: BTreeSet<&str> = candidates
        .iter()
        .filter(|candidate| candidate.instance == instance)
        .map(|candidate| candidate.job.as_str())
        .collect();
    if jobs.len() > 1 {
        let jobs = jobs.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Unknown::SeveralJobs { instance: instance.to_owned(), jobs });
    }
    Ok(())
}

fn not_found(wanted: &str, url: &str, candidates: &[Candidate]) -> Unknown {
    let mut list: Vec<String> = candidates
        .iter()
        .take(20)
        .map(|candidate| format!("{} ({})", candidate.nodename, candidate.instance))
        .collect();
    if candidates.len() > 20 {
        list.push(format!("and {} more", candidates.len() - 20));
    }
    Unknown::NotFound {
        wanted: wanted.to_owned(),
        url: url.to_owned(),
        candidates: list.join(", "),
    }
}

/// Scrape interval of the given instances in seconds: the longest, as the
/// server tells it; `None` when it does not.
///
/// # Errors
/// When the server cannot be reached.
pub async fn scrape_interval(
    client: &Client,
    instances: &[String],
    at: Option<Timestamp>,
) -> Result<Option<f64>, Error> {
    let targets = client.targets().await?;
    let told = targets
        .iter()
        .filter(|target| target.labels.get("instance").is_some_and(|name| instances.contains(name)))
        .filter_map(|target| parse_duration(&target.scrape_interval).ok())
        .map(|interval| interval.as_secs_f64())
        .reduce(f64::max);
    if told.is_some() {
        return Ok(told);
    }
    // No page of targets (VictoriaMetrics, Thanos, Mimir), or a past that they
    // no longer tell of: how far its scrapes lie apart.
    let some: Vec<String> = instances.iter().take(SAMPLED_NODES).cloned().collect();
    let reply = client.query(&format!("up{{{}}}[5m]", instance_selector(&some)), at).await?;
    let distances: Vec<f64> = reply
        .series
        .iter()
        .flat_map(|series| series.points.windows(2))
        .filter_map(|pair| match pair {
            [a, b] => Some(b.t.since(a.t)),
            _ => None,
        })
        .collect();
    // What most of them are: a lost scrape makes one twice as long.
    let usual = stats::median(&distances);
    Ok(usual.map(|seconds| if seconds > 0.9 { seconds.round() } else { seconds.max(0.1) }))
}

/// What answers, as far as it changes what we do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backend {
    /// Its newest samples are not shown for so many seconds.
    pub hides_s: f64,
    /// What the reader of the report must know of it.
    pub note: Option<String>,
}

/// VictoriaMetrics leaves the newest 30 s out of every answer, so that they do
/// not change (`-search.latencyOffset`); newer versions can be asked not to.
const HIDDEN_S: f64 = 30.0;

/// Find out what answers, and have it show its newest samples if it can.
///
/// # Errors
/// When the server does not answer.
pub async fn backend(client: &mut Client) -> Result<Backend, Error> {
    if !client.ready_text().await?.contains("VictoriaMetrics") {
        return Ok(Backend::default());
    }
    client.add_parameter("latency_offset", "1ms");
    // Asked not to hide anything, how old is its newest scrape?
    // Not by its own time(), which it sets back as well.
    let reply = client.query("max(timestamp(up))", None).await?;
    let newest = reply.series.first().and_then(|series| series.points.first());
    if newest.is_some_and(|point| point.t.seconds() - point.v < HIDDEN_S / 2.0) {
        return Ok(Backend {
            hides_s: 0.0,
            note: Some(
                "VictoriaMetrics hides its newest 30 s; it was asked not to (latency_offset)"
                    .to_owned(),
            ),
        });
    }
    let note = "VictoriaMetrics hides its newest 30 s: they were waited for after the run, and are missing from a window that ends now (start it with -search.latencyOffset=1s to see them sooner)";
    Ok(Backend { hides_s: HIDDEN_S, note: Some(note.to_owned()) })
}

/// Seconds by which the server's clock is ahead of ours; `None` when it does
/// not say, and 0 when the difference is within what the way there takes.
///
/// # Errors
/// When the server does not answer.
pub async fn clock_ahead(
    client: &Client,
    now: impl Fn() -> Timestamp,
) -> Result<Option<f64>, Error> {
    let before = now();
    let reply = client.query("vector(1)", None).await?;
    let took = now().since(before);
    let theirs = reply.series.first().and_then(|series| series.points.first());
    Ok(theirs.map(|point| {
        let ahead = point.t.since(before) - took / 2.0;
        if ahead.abs() < took + CLOCK_NOISE_S { 0.0 } else { ahead }
    }))
}

/// A window's answer for one signal of one instance and device.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Catalogue name, or `up`.
    pub name: &'static str,
    /// The `instance` label.
    pub instance: String,
    /// The signal's part of that window.
    pub signal: Signal,
}

/// What a window's queries gave.
#[derive(Debug, Default)]
pub struct Collected {
    /// How many series with points there were.
    pub pieces: usize,
    /// Warnings of the server, each once.
    pub warnings: BTreeSet<String>,
    /// Signals whose query failed, with the reason.
    pub failed: Vec<(&'static str, String)>,
}

/// Reads the catalogue's signals of some nodes.
#[derive(Debug, Clone)]
pub struct Source {
    client: Client,
    selector: String,
    /// Scrape interval in seconds, which is also the step.
    pub interval_s: f64,
    /// Rate window in seconds.
    pub window_s: f64,
    /// Seconds by which the server's clock is ahead of ours: its times are made
    /// ours.
    pub ahead_s: f64,
    /// Seconds for which the server hides its newest samples.
    pub hides_s: f64,
    /// Catalogue names that are asked for; `None` for all.
    only: Option<Vec<&'static str>>,
}

impl Source {
    /// A source for these instances.
    pub fn new(
        client: Client,
        instances: &[String],
        job: Option<&str>,
        interval_s: Option<f64>,
    ) -> Self {
        let mut selector = instance_selector(instances);
        if let Some(job) = job {
            selector.push_str(&format!(",job=\"{}\"", quoted(job)));
        }
        let interval_s = interval_s.unwrap_or(USUAL_INTERVAL_S);
        Self {
            client,
            selector,
            interval_s,
            window_s: interval_s * WINDOW_SCRAPES,
            ahead_s: 0.0,
            hides_s: 0.0,
            only: None,
        }
    }

    /// The same, where the instances are all that these jobs scrape: a name
    /// for each of a thousand nodes would make a query of megabytes.
    #[must_use]
    pub fn of_jobs(mut self, jobs: &BTreeSet<&str>) -> Self {
        let list: Vec<String> = jobs.iter().map(|job| quoted(&escape(job))).collect();
        self.selector = format!("job=~\"{}\"", list.join("|"));
        self
    }

    /// The same, for these signals only.
    #[must_use]
    pub fn only(mut self, signals: Vec<&'static str>) -> Self {
        self.only = Some(signals);
        self
    }

    /// Where the data come from, without secrets.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// All signals from `window.start` to `window.end`, on a grid of whole
    /// steps. A query that fails is reported and does not stop the others.
    /// Pieces go to `keep` as they come, so that they need not all be held.
    pub async fn collect(&self, window: Window, keep: &mut dyn FnMut(Vec<Piece>)) -> Collected {
        let grid = Window { start: self.aligned(window.start), end: self.aligned(window.end) };
        let mut collected = Collected::default();
        let mut waiting: VecDeque<Query> = self.queries().into();
        let mut under_way = tokio::task::JoinSet::new();
        let mut refused = 0;
        loop {
            while under_way.len() < AT_ONCE
                && let Some(query) = waiting.pop_front()
            {
                let (client, step) = (self.client.clone(), self.interval_s);
                let (start, end) = (grid.start.plus(self.ahead_s), grid.end.plus(self.ahead_s));
                under_way.spawn(async move {
                    let answer = client.range(&query.promql(), start, end, step).await;
                    (query, answer)
                });
            }
            let Some(done) = under_way.join_next().await else { break };
            // A task that panicked has no answer; its signals are unobserved.
            let Ok((query, answer)) = done else { continue };
            match answer {
                Ok(reply) => {
                    collected.warnings.extend(reply.warnings);
                    let mut pieces = Vec::new();
                    for mut piece in reply.series.into_iter().filter_map(|one| query.piece(one)) {
                        let points = &mut piece.signal.points;
                        for point in points.iter_mut() {
                            point.t = point.t.plus(-self.ahead_s);
                        }
                        let all = points.len();
                        points.retain(|point| grid.contains(point.t));
                        if points.len() < all {
                            collected.warnings.insert(OUTSIDE.to_owned());
                        }
                        if !points.is_empty() {
                            pieces.push(piece);
                        }
                    }
                    collected.pieces += pieces.len();
                    keep(pieces);
                }
                // The server knows the query and cannot compute all of it: what
                // it can is asked for alone.
                Err(Error::Status { status: 400 | 422, .. }) if query.parts.len() > 1 => {
                    waiting.extend(query.parts.into_iter().map(|part| Query { parts: vec![part] }));
                }
                Err(error) => {
                    let names = query.parts.iter().map(|part| part.name);
                    collected.failed.extend(names.map(|name| (name, error.to_string())));
                    refused += 1;
                    // When as many as are under way at once all fail, the server
                    // is away: the rest would only wait for it in turn.
                    if collected.pieces == 0 && refused >= AT_ONCE {
                        waiting.clear();
                    }
                }
            }
        }
        collected
    }

    /// The queries as they are sent.
    pub fn promql(&self) -> Vec<String> {
        self.queries().iter().map(Query::promql).collect()
    }

    /// What is asked for: `up` by itself, which is small and says which samples
    /// there are, and the signals by fives. Their number does not depend on
    /// that of the nodes.
    fn queries(&self) -> Vec<Query> {
        let range = format!("{}ms", (self.window_s * 1000.0).round());
        let up = Part {
            name: "up",
            promql: format!("max by (instance) (up{{{}}})", self.selector),
            averaged_s: 0.0,
        };
        let parts: Vec<Part> = SIGNALS
            .iter()
            .filter(|row| row.in_prometheus)
            .filter(|row| self.only.as_ref().is_none_or(|only| only.contains(&row.name)))
            .map(|row| Part {
                name: row.name,
                promql: row.expr.promql(&self.selector, &range),
                averaged_s: if row.expr.has_rate() { self.window_s } else { 0.0 },
            })
            .collect();
        let signals = parts.chunks(PER_QUERY).map(|parts| Query { parts: parts.to_vec() });
        std::iter::once(Query { parts: vec![up] }).chain(signals).collect()
    }

    fn aligned(&self, t: Timestamp) -> Timestamp {
        Timestamp::from_seconds((t.seconds() / self.interval_s).floor() * self.interval_s)
    }
}

/// Answers that are not to what was asked.
const OUTSIDE: &str = "answers carry times outside the window that was asked for and are left out: is a clock wrong, or a cache in between?";

/// One signal of a query.
#[derive(Debug, Clone)]
struct Part {
    name: &'static str,
    promql: String,
    /// Seconds over which its points are averaged.
    averaged_s: f64,
}

/// Signals that are asked for together.
#[derive(Debug, Clone)]
struct Query {
    parts: Vec<Part>,
}

impl Query {
    /// The union of its parts, each of which carries its name as a label.
    fn promql(&self) -> String {
        let parts = self.parts.iter().map(|Part { name, promql, .. }| {
            format!("label_replace({promql}, \"{SIGNAL}\", \"{name}\", \"\", \"\")")
        });
        parts.collect::<Vec<_>>().join(" or ")
    }

    fn piece(&self, answer: Answer) -> Option<Piece> {
        let Answer { mut labels, points } = answer;
        if points.is_empty() {
            return None;
        }
        let signal = labels.remove(SIGNAL)?;
        let part = self.parts.iter().find(|part| part.name == signal)?;
        let instance = labels.remove("instance")?;
        let signal = Signal { device: device(labels), points, window_s: part.averaged_s };
        Some(Piece { name: part.name, instance, signal })
    }
}

/// After the instance, `sum by` leaves at most one label: the device.
fn device(labels: BTreeMap<String, String>) -> Option<String> {
    labels.into_values().next()
}

fn instance_selector(instances: &[String]) -> String {
    let list: Vec<String> = instances.iter().map(|name| quoted(&escape(name))).collect();
    format!("instance=~\"{}\"", list.join("|"))
}

/// Ready to stand between double quotes in PromQL.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(nodename: &str, instance: &str, job: &str) -> Candidate {
        Candidate {
            instance: instance.into(),
            job: job.into(),
            nodename: nodename.into(),
            release: String::new(),
        }
    }

    #[test]
    fn this_machine_is_found_by_name_or_as_the_only_target() {
        let two =
            [candidate("a", "10.0.0.1:9100", "node"), candidate("b", "10.0.0.2:9100", "node")];
        assert_eq!(this_machine(&two, "b", "u").unwrap().instance, "10.0.0.2:9100");
        assert_eq!(this_machine(&two[..1], "z", "u").unwrap().instance, "10.0.0.1:9100");
        let error = this_machine(&two, "z", "u").unwrap_err().to_string();
        assert!(error.contains("a (10.0.0.1:9100), b (10.0.0.2:9100)"), "{error}");
    }

    #[test]
    fn a_machine_of_two_jobs_is_not_guessed() {
        let twice = [candidate("a", "x:9100", "node"), candidate("a", "x:9100", "fast")];
        assert!(matches!(this_machine(&twice, "a", "u"), Err(Unknown::SeveralJobs { .. })));
    }

    #[test]
    fn a_node_is_found_by_instance_or_name() {
        let all = [candidate("a", "10.0.0.1:9100", "node")];
        for (name, instance) in [("x", Some("10.0.0.1:9100")), ("a", None), ("10.0.0.1", None)] {
            assert!(named(&all, name, instance, "u").is_ok(), "{name}");
        }
        assert!(named(&all, "x", None, "u").is_err());
    }

    #[test]
    fn instances_are_escaped() {
        assert_eq!(
            instance_selector(&["10.0.0.1:9100".into()]),
            "instance=~\"10\\\\.0\\\\.0\\\\.1:9100\""
        );
    }
}
