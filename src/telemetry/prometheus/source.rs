//! The catalogue's signals of some nodes, window by window.

use std::collections::{BTreeSet, VecDeque};

use super::{
    client::{Client, Error},
    decode::Answer,
    selector::{self, quoted},
};
use crate::model::{
    catalogue::SIGNALS,
    expr::Expr,
    series::Signal,
    time::{Timestamp, Window},
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
/// The label that says which signal a series is of.
const SIGNAL: &str = "stressor_signal";

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
        let mut selector = selector::of_instances(instances);
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

    /// The same, where the instances are all that these jobs scrape.
    #[must_use]
    pub fn of_jobs(mut self, jobs: &BTreeSet<&str>) -> Self {
        self.selector = selector::of_jobs(jobs);
        self
    }

    /// The same, for these instances.
    #[must_use]
    pub fn of_instances(mut self, instances: &[String]) -> Self {
        self.selector = selector::of_instances(instances);
        self
    }

    /// The same, for all signals but these.
    #[must_use]
    pub fn except(self, signals: &[&'static str]) -> Self {
        let rest = SIGNALS.iter().map(|row| row.name).filter(|name| !signals.contains(name));
        self.only(rest.collect())
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
                        // The grid's last point is asked for, too.
                        points.retain(|point| grid.start <= point.t && point.t <= grid.end);
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
        let up = Part { name: "up", promql: self.up(), averaged_s: 0.0, expr: None };
        let parts: Vec<Part> = SIGNALS
            .iter()
            .filter(|row| row.in_prometheus)
            .filter(|row| self.only.as_ref().is_none_or(|only| only.contains(&row.name)))
            .map(|row| Part {
                name: row.name,
                promql: row.expr.promql(&self.selector, &range),
                averaged_s: if row.expr.has_rate() { self.window_s } else { 0.0 },
                expr: Some(&row.expr),
            })
            .collect();
        let signals = parts.chunks(PER_QUERY).map(|parts| Query { parts: parts.to_vec() });
        std::iter::once(Query { parts: vec![up] }).chain(signals).collect()
    }

    /// 1 where a scrape succeeded within the last one and a half intervals, else
    /// 0. A server that was away writes no end to its series, and answers for
    /// five minutes with what it last knew.
    fn up(&self) -> String {
        let (up, late) = (format!("up{{{}}}", self.selector), 1.5 * self.interval_s);
        format!(
            "max by (instance) ({up}) * (time() - max by (instance) (timestamp({up})) <= bool {late})"
        )
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
    /// The expression, which tells the device from the labels.
    expr: Option<&'static Expr>,
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
        let device = part.expr.and_then(|expr| expr.take_device(&mut labels));
        let signal = Signal { device, points, window_s: part.averaged_s };
        Some(Piece { name: part.name, instance, signal })
    }
}
