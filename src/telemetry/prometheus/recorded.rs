//! Signals that the server has already computed: the recording rules that
//! `stack init` writes. Reading them costs a fraction of the raw expressions.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    client::{Client, Error},
    decode::Answer,
    machines::{Labels, Machine},
    selector,
};
use crate::model::{
    catalogue::{self, SIGNALS},
    time::{Timestamp, Window},
};

/// Share of the expected samples that a recorded signal must have.
const LEAST_COVERAGE: f64 = 0.9;
/// Share of the machines with complete scrapes that must have a complete recorded signal.
const LEAST_MACHINES: f64 = 0.98;
/// Signals that are compared with their raw expressions.
const COMPARED: &[&str] = &["cpu_busy", "memory_used_ratio"];
/// A recorded ratio and its expression may differ by this much: the rule was evaluated up
/// to an interval earlier.
const SAME: f64 = 0.1;
/// Share of the machines for which both must agree.
const LEAST_AGREEING: f64 = 0.95;

/// The name of the rule that records a signal: `stressor:cpu_busy`.
pub fn rule_name(signal: &str) -> String {
    format!("stressor:{signal}")
}

/// The signals that can be read from recording rules for these machines in a time range:
/// the rules exist throughout, are as fresh as the scrapes, cover the same machines, and
/// agree with the raw expressions. Empty where the server has no such rules.
///
/// # Errors
/// When the server does not answer.
pub async fn usable(
    client: &Client,
    base: &str,
    machines: &[Machine],
    window: Window,
    interval_s: f64,
) -> Result<BTreeSet<&'static str>, Error> {
    let selector = selector::of_machines(base, machines, false);
    let comma = if selector.is_empty() { "" } else { "," };
    let names = format!("count by (__name__) ({{__name__=~\"stressor:.+\"{comma}{selector}}})");
    let mut usable: Option<BTreeSet<&'static str>> = None;
    // Rules that were added or removed within the range do not cover it.
    for share in [1.0, 0.5, 0.0] {
        let at = window.start.plus((window.seconds() * share).max(2.0 * interval_s));
        let reply = client.query(&names, Some(at.min(window.end))).await?;
        let here = reply.series.iter().filter_map(|series| {
            let name = series.labels.get("__name__")?.strip_prefix("stressor:")?;
            SIGNALS.iter().map(|row| row.name).find(|signal| *signal == name)
        });
        let here: BTreeSet<&str> = here.collect();
        usable = Some(match usable {
            None => here,
            Some(known) => known.intersection(&here).copied().collect(),
        });
        if usable.as_ref().is_none_or(BTreeSet::is_empty) {
            return Ok(BTreeSet::new());
        }
    }
    let usable = usable.unwrap_or_default();
    let is_trusted = COMPARED.iter().all(|name| usable.contains(name))
        && covers(client, &selector, machines, window, interval_s).await?
        && agrees(client, &selector, window.end, interval_s).await?;
    Ok(if is_trusted { usable } else { BTreeSet::new() })
}

/// Whether the machines with complete scrapes have a complete recorded signal.
async fn covers(
    client: &Client,
    selector: &str,
    machines: &[Machine],
    window: Window,
    interval_s: f64,
) -> Result<bool, Error> {
    let least = LEAST_COVERAGE * window.seconds() / interval_s;
    let complete = machines
        .iter()
        .flat_map(|one| &one.targets)
        .filter(|target| target.samples >= least)
        .count();
    let rule = rule_name("cpu_busy");
    let query = format!(
        "count(count_over_time({rule}{{{selector}}}[{}s]) >= {least})",
        window.seconds().ceil()
    );
    let reply = client.query(&query, Some(window.end)).await?;
    let recorded = reply.series.first().and_then(|one| one.points.first()).map_or(0.0, |one| one.v);
    Ok(complete > 0 && recorded >= LEAST_MACHINES * complete as f64)
}

/// Whether the recorded values are those of the expressions, at one moment.
async fn agrees(
    client: &Client,
    selector: &str,
    at: Timestamp,
    interval_s: f64,
) -> Result<bool, Error> {
    let range = format!("{}ms", (interval_s * super::source::WINDOW_SCRAPES * 1000.0).round());
    for name in COMPARED {
        let Some(row) = catalogue::signal(name) else { return Ok(false) };
        let recorded = format!("sum without () ({}{{{selector}}})", rule_name(name));
        let recorded = client.query(&recorded, Some(at)).await?;
        let raw = client.query(&row.expr.promql(selector, &range), Some(at)).await?;
        let by_labels = |series: Vec<Answer>| -> BTreeMap<Labels, f64> {
            let values = series.into_iter().filter_map(|mut one| {
                one.labels.remove("__name__");
                Some((one.labels, one.points.first()?.v))
            });
            values.collect()
        };
        let (recorded, raw) = (by_labels(recorded.series), by_labels(raw.series));
        let agreeing = raw
            .iter()
            .filter(|(labels, raw)| {
                recorded.get(*labels).is_some_and(|value| (value - *raw).abs() <= SAME)
            })
            .count();
        if raw.is_empty() || (agreeing as f64) < LEAST_AGREEING * raw.len() as f64 {
            return Ok(false);
        }
    }
    Ok(true)
}
