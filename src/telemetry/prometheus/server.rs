//! What is true of the server itself: how often it scrapes, how its clock is set, whether
//! it hides its newest samples.

use std::collections::BTreeMap;

use super::{
    client::{Client, Error},
    machines::{Machine, ScrapeTarget},
    selector,
};
use crate::model::{
    series::Point,
    stats,
    time::{Timestamp, Window},
    units::parse_duration,
};

/// A difference of clocks that does not matter: it shifts a scrape by one.
const CLOCK_NOISE_S: f64 = 1.0;
/// Machines whose scrapes are looked at to find their interval.
const SAMPLED_MACHINES: usize = 50;
/// The longest stretch of raw samples that is looked at, in seconds.
const SAMPLED_S: f64 = 1800.0;
/// The least stretch, in seconds: scrapes are at most a few minutes apart.
const LEAST_SAMPLED_S: f64 = 300.0;
/// Samples that show an interval; fewer may lie around a gap.
const ENOUGH_SAMPLES: usize = 4;
/// Samples further apart than this multiple of the configured interval were thinned out.
const THINNED: f64 = 1.5;

/// The distance of a server's samples.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Interval {
    /// The longest of the machines' scrape intervals in seconds, as the server's targets
    /// have it now; `None` where it has no such page or target.
    pub configured_s: Option<f64>,
    /// The longest of the machines' usual distances of samples in seconds, as stored.
    pub stored_s: Option<f64>,
}

impl Interval {
    /// The one to work with.
    pub fn seconds(self) -> Option<f64> {
        match (self.configured_s, self.stored_s) {
            (Some(configured), Some(stored)) => Some(configured.max(stored)),
            (one, other) => one.or(other),
        }
    }

    /// A remark on samples that are further apart than they are scraped.
    pub fn caveat(self) -> Option<String> {
        let (configured, stored) = self.configured_s.zip(self.stored_s)?;
        (stored > THINNED * configured).then(|| {
            format!(
                "samples are {stored} s apart, though the targets are scraped every {configured} s: the history is downsampled, or was scraped less often. Peaks between samples are not visible"
            )
        })
    }
}

/// How far the samples of these machines lie apart, now or in a past time range. Only the
/// targets of node_exporter count: other exporters may share an `instance`.
///
/// # Errors
/// When the server cannot be reached.
pub async fn scrape_interval(
    client: &Client,
    base: &str,
    machines: &[Machine],
    window: Option<Window>,
) -> Result<Interval, Error> {
    let ours = |labels: &BTreeMap<String, String>| {
        let has = |target: &ScrapeTarget| {
            ["instance", "job"]
                .iter()
                .all(|name| labels.get(*name).map_or("", String::as_str) == target.label(name))
        };
        machines.iter().flat_map(|one| &one.targets).any(has)
    };
    let configured_s = client
        .targets()
        .await?
        .iter()
        .filter(|target| ours(&target.labels))
        .filter_map(|target| parse_duration(&target.scrape_interval).ok())
        .map(|interval| interval.as_secs_f64())
        .reduce(f64::max);
    // The page says how it is scraped now, and needs no further question.
    if window.is_none() && configured_s.is_some() {
        return Ok(Interval { configured_s, stored_s: None });
    }
    let stored_s = stored_interval(client, base, machines, window).await?;
    Ok(Interval { configured_s, stored_s })
}

/// The usual distance of stored samples in seconds: for each machine the median, of these
/// the longest.
async fn stored_interval(
    client: &Client,
    base: &str,
    machines: &[Machine],
    window: Option<Window>,
) -> Result<Option<f64>, Error> {
    let every = machines.len().div_ceil(SAMPLED_MACHINES).max(1);
    let sampled: Vec<Machine> = machines.iter().step_by(every).cloned().collect();
    let Some(metric) = sampled.iter().find_map(|one| Some(one.main_target()?.presence)) else {
        return Ok(None);
    };
    let selector = selector::of_machines(base, &sampled, true);
    // `up` has a sample for each scrape, also for those that failed.
    for metric in ["up", metric] {
        let stored = distance_of(client, &format!("{metric}{{{selector}}}"), window).await?;
        if stored.is_some() {
            return Ok(stored);
        }
    }
    Ok(None)
}

/// The usual distance of the samples of these series, of those that have most: for each
/// series the median, of these the longest.
async fn distance_of(
    client: &Client,
    series: &str,
    window: Option<Window>,
) -> Result<Option<f64>, Error> {
    let seconds =
        window.map_or(LEAST_SAMPLED_S, |window| window.seconds().clamp(LEAST_SAMPLED_S, SAMPLED_S));
    let query = format!("{series}[{}s]", seconds.round());
    // The end may lie in a gap.
    let moments: Vec<Option<Timestamp>> = match window {
        None => vec![None],
        Some(window) => {
            [1.0, 0.5, 0.25].map(|share| Some(window.start.plus(window.seconds() * share))).to_vec()
        }
    };
    let mut few = None;
    for at in moments {
        let reply = client.query(&query, at).await?;
        let distances = |least: usize| -> Option<f64> {
            let all = reply.series.iter().filter(|one| one.points.len() >= least);
            all.filter_map(|series| median_distance(&series.points)).reduce(f64::max)
        };
        if let Some(usual) = distances(ENOUGH_SAMPLES) {
            return Ok(Some(rounded(usual)));
        }
        few = few.or(distances(2));
    }
    Ok(few.map(rounded))
}

/// Machines whose samples lie a multiple of others' apart are read with a rate window of
/// their own: the factor from which on they are.
const OTHER_INTERVAL: f64 = 1.5;
/// The stretch of samples that is looked at for that, in seconds.
const COMPARED_S: f64 = 900.0;

/// Groups machines by the usual distance of their stored samples, the longest last, each
/// group with that distance in seconds. One group with `usual_s` where they do not differ.
///
/// # Errors
/// When the server does not answer.
pub async fn by_interval(
    client: &Client,
    base: &str,
    machines: &[Machine],
    window: Window,
    usual_s: f64,
) -> Result<Vec<(f64, Vec<Machine>)>, Error> {
    let selector = selector::of_machines(base, machines, machines.len() <= SAMPLED_MACHINES);
    let presence = machines.iter().find_map(|one| Some(one.main_target()?.presence));
    let seconds = window.seconds().clamp(1.0, COMPARED_S).round();
    let mut known: BTreeMap<usize, f64> = BTreeMap::new();
    let places = super::places::Places::new(machines);
    for metric in ["up"].into_iter().chain(presence) {
        for share in [1.0, 0.5] {
            let query = format!("{metric}{{{selector}}}[{seconds}s]");
            let at = window.start.plus(window.seconds() * share);
            for answer in client.query(&query, Some(at)).await?.series {
                let (labels, _) = super::discovery::split_uname(answer.labels);
                let usual = median_distance(&answer.points).filter(|_| answer.points.len() > 2);
                if let (Some((machine, _)), Some(usual)) = (places.find(&labels), usual) {
                    known.entry(machine).or_insert(rounded(usual));
                }
            }
        }
        if known.len() == machines.len() {
            break;
        }
    }
    let mut groups: Vec<(f64, Vec<Machine>)> = Vec::new();
    for (at, machine) in machines.iter().enumerate() {
        let own = known.get(&at).copied().unwrap_or(usual_s);
        let is_alike = |(interval, _): &&mut (f64, Vec<Machine>)| {
            own.max(*interval) <= OTHER_INTERVAL * own.min(*interval)
        };
        match groups.iter_mut().find(is_alike) {
            Some((interval, group)) => {
                *interval = interval.max(own);
                group.push(machine.clone());
            }
            None => groups.push((own, vec![machine.clone()])),
        }
    }
    if let [(interval, _)] = groups.as_mut_slice() {
        *interval = usual_s;
    }
    groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(groups)
}

/// The median distance of points in seconds; `None` for fewer than two.
fn median_distance(points: &[Point]) -> Option<f64> {
    let between: Vec<f64> =
        points.iter().zip(points.iter().skip(1)).map(|(a, b)| b.t.since(a.t)).collect();
    stats::median(&between)
}

fn rounded(seconds: f64) -> f64 {
    if seconds > 0.9 { seconds.round() } else { seconds.max(0.1) }
}

/// What the server does with its newest samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Freshness {
    /// Its newest samples are not shown for this many seconds.
    pub hidden_s: f64,
    /// What the reader of the report must know of it.
    pub note: Option<String>,
}

/// A newest sample older than this was not hidden: the machines are away.
const LONGEST_HIDDEN_S: f64 = 180.0;
/// Seconds that a scrape and the way to the server may take.
const ON_THE_WAY_S: f64 = 5.0;

/// Finds out whether the server hides its newest samples, as VictoriaMetrics does for
/// 30 s (`-search.latencyOffset`), and asks it not to where it can be asked.
///
/// # Errors
/// When the server does not answer.
pub async fn freshness(
    client: &mut Client,
    base: &str,
    machines: &[Machine],
    interval_s: f64,
) -> Result<Freshness, Error> {
    let Some(metric) = machines.iter().find_map(|one| Some(one.main_target()?.presence)) else {
        return Ok(Freshness::default());
    };
    let query = format!("max(timestamp({metric}{{{base}}}))");
    let usual = 1.5 * interval_s + ON_THE_WAY_S;
    let Some(age) = newest_age(client, &query).await? else { return Ok(Freshness::default()) };
    if age <= usual || age > LONGEST_HIDDEN_S + interval_s {
        return Ok(Freshness::default());
    }
    let mut asked = client.clone();
    asked.add_parameter("latency_offset", "1ms");
    let seconds = (age - interval_s).max(1.0).round();
    if newest_age(&asked, &query).await?.is_some_and(|age| age <= usual) {
        *client = asked;
        let note = format!(
            "the server hides its newest {seconds} s, as VictoriaMetrics does; queries were sent with latency_offset=1ms to include them"
        );
        return Ok(Freshness { hidden_s: 0.0, note: Some(note) });
    }
    // It hides them from the time of its answer on; a scrape comes on top.
    let hidden_s = age.ceil();
    let note = format!(
        "the server hides its newest samples (the newest one is {age:.0} s old), as VictoriaMetrics does for 30 s by default. After a run they are waited for; a window that ends now lacks them. To see them sooner, start the server with -search.latencyOffset=1s"
    );
    Ok(Freshness { hidden_s, note: Some(note) })
}

/// Seconds from the newest sample to the server's time. Its own `time()` may be set back
/// as well, so the time of its answer is used.
async fn newest_age(client: &Client, query: &str) -> Result<Option<f64>, Error> {
    let reply = client.query(query, None).await?;
    let newest = reply.series.first().and_then(|series| series.points.first());
    Ok(newest.map(|point| point.t.seconds() - point.v))
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
