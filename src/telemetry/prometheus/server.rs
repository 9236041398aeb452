//! What is true of the server itself: what it is, how often it scrapes, how its
//! clock stands.

use super::{
    client::{Client, Error},
    selector::of_instances,
};
use crate::model::{stats, time::Timestamp, units::parse_duration};

/// A difference of clocks that does not matter: it shifts a scrape by one.
const CLOCK_NOISE_S: f64 = 1.0;
/// Nodes whose scrapes are looked at to find their interval.
const SAMPLED_NODES: usize = 50;

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
    let reply = client.query(&format!("up{{{}}}[5m]", of_instances(&some)), at).await?;
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
