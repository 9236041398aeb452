//! Asks a server which machines it has node_exporter series of.

use std::collections::BTreeMap;

use super::{
    choice::Unknown,
    client::{Client, Error},
    decode::Answer,
    machines::{Labels, Machine, ScrapeTarget, group_targets},
};
use crate::model::time::Window;

/// Labels of `node_uname_info` that describe the kernel and not the target.
pub(super) const UNAME_LABELS: &[&str] =
    &["nodename", "release", "version", "machine", "sysname", "domainname"];
/// The metric whose labels describe the kernel.
pub(super) const UNAME: &str = "node_uname_info";
/// Boot time in seconds since 1970.
pub(super) const BOOT_TIME: &str = "node_boot_time_seconds";
/// Memory in bytes: one series for each target, also where the others are filtered.
const MEMORY: &str = "node_memory_MemTotal_bytes";
/// The load average, for servers that keep only a few metrics.
const LOAD: &str = "node_load1";
/// Marks the parts of a query.
const PART: &str = "stressor_part";

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Label matchers that every series must fulfil, such as `job="node"`; may be empty.
    pub selector: &'a str,
    /// The time range in which they must have samples; `None` for now.
    pub window: Option<Window>,
}

/// All machines with node_exporter series in a time range, also those that were removed
/// before its end.
///
/// # Errors
/// When the server does not answer, or has none.
pub async fn machines(client: &Client, scope: Scope<'_>) -> Result<Vec<Machine>, Unknown> {
    let mut targets: BTreeMap<Labels, ScrapeTarget> = BTreeMap::new();
    let halves = scope.window.map_or_else(|| vec![None], |window| vec![Some(window)]);
    let mut open = halves;
    while let Some(window) = open.pop() {
        match found_in(client, scope.selector, window).await {
            Ok(found) => found.into_iter().for_each(|one| merge(&mut targets, one)),
            // Too much for one query: in two halves.
            Err(Error::Limit { .. } | Error::Status { status: 422 | 503, .. })
                if window.is_some_and(|window| window.seconds() > 600.0) =>
            {
                let Some(window) = window else { continue };
                let middle = window.start.plus(window.seconds() / 2.0);
                open.push(Some(Window { start: window.start, end: middle }));
                open.push(Some(Window { start: middle, end: window.end }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if targets.is_empty() {
        return Err(Unknown::NoTargets {
            url: client.base().to_owned(),
            selector: Some(scope.selector.to_owned()).filter(|selector| !selector.is_empty()),
            when: scope.window.map_or_else(String::new, |window| {
                format!(" from {} to {}", window.start, window.end)
            }),
        });
    }
    Ok(group_targets(targets.into_values().collect()))
}

/// Adds what another query says of a target.
fn merge(targets: &mut BTreeMap<Labels, ScrapeTarget>, found: ScrapeTarget) {
    let Some(known) = targets.get_mut(&found.labels) else {
        targets.insert(found.labels.clone(), found);
        return;
    };
    known.samples += found.samples;
    known.hosts.extend(found.hosts);
    if known.release.is_empty() {
        known.release = found.release;
    }
    if known.system.is_empty() {
        known.system = found.system;
    }
    known.memory = known.memory.or(found.memory);
    known.boots = match (known.boots, found.boots) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    };
}

/// The targets that have samples in a time range.
async fn found_in(
    client: &Client,
    selector: &str,
    window: Option<Window>,
) -> Result<Vec<ScrapeTarget>, Error> {
    let at = window.map(|window| window.end);
    let range = window.map(|window| format!("[{}s]", window.seconds().ceil()));
    let counted = |metric: &str| match &range {
        Some(range) => format!("count_over_time({metric}{{{selector}}}{range})"),
        None => format!("{metric}{{{selector}}}"),
    };
    let reply = client.query(&counted(UNAME), at).await?;
    let mut targets: BTreeMap<Labels, ScrapeTarget> = BTreeMap::new();
    for answer in reply.series {
        merge(&mut targets, of_uname(answer, range.is_some()));
    }
    let boots = match &range {
        Some(range) => format!(
            "label_replace(min_over_time({BOOT_TIME}{{{selector}}}{range}), \"{PART}\", \"least\", \"\", \"\") or label_replace(max_over_time({BOOT_TIME}{{{selector}}}{range}), \"{PART}\", \"most\", \"\", \"\")"
        ),
        None => format!("{BOOT_TIME}{{{selector}}}"),
    };
    for answer in client.query(&boots, at).await?.series {
        merge(&mut targets, of_boot_time(answer));
    }
    // Collectors can be switched off, and series filtered.
    let memory = match &range {
        Some(range) => format!("max_over_time({MEMORY}{{{selector}}}{range})"),
        None => format!("{MEMORY}{{{selector}}}"),
    };
    let mut found_late = Vec::new();
    for answer in client.query(&memory, at).await?.series {
        let mut target = of_gauge(answer, MEMORY);
        if let Some(known) = targets.get_mut(&target.labels) {
            known.memory = target.memory;
            continue;
        }
        let instance = target.label("instance");
        // A sum over machines has no instance, or that of a machine that is known.
        let is_known = targets.values().any(|one| one.label("instance") == instance);
        if targets.is_empty() || (!is_known && !instance.is_empty()) {
            target.samples = 1.0;
            found_late.push(target);
        }
    }
    targets.extend(found_late.into_iter().map(|one| (one.labels.clone(), one)));
    if targets.is_empty() {
        for answer in client.query(&counted(LOAD), at).await?.series {
            let target = of_gauge(answer, LOAD);
            targets.insert(target.labels.clone(), ScrapeTarget { memory: None, ..target });
        }
    }
    Ok(targets.into_values().collect())
}

fn value(answer: &Answer) -> Option<f64> {
    answer.points.first().map(|point| point.v)
}

fn without_name(mut labels: Labels) -> Labels {
    labels.remove("__name__");
    labels
}

fn of_uname(answer: Answer, is_count: bool) -> ScrapeTarget {
    let samples = value(&answer).filter(|_| is_count).unwrap_or(1.0);
    let (labels, mut kernel) = split_uname(answer.labels);
    ScrapeTarget {
        labels,
        presence: UNAME,
        samples,
        hosts: kernel.remove("nodename").filter(|name| !name.is_empty()).into_iter().collect(),
        release: kernel.remove("release").unwrap_or_default(),
        system: kernel.remove("sysname").unwrap_or_default(),
        boots: None,
        memory: None,
    }
}

/// The labels of the target, and those of the kernel.
pub(super) fn split_uname(labels: Labels) -> (Labels, Labels) {
    let (kernel, target) = without_name(labels)
        .into_iter()
        .partition(|(name, _)| UNAME_LABELS.contains(&name.as_str()));
    (target, kernel)
}

fn of_boot_time(answer: Answer) -> ScrapeTarget {
    let boot = value(&answer);
    let mut labels = without_name(answer.labels);
    labels.remove(PART);
    ScrapeTarget {
        labels,
        presence: BOOT_TIME,
        boots: boot.map(|boot| (boot, boot)),
        ..ScrapeTarget::default()
    }
}

fn of_gauge(answer: Answer, metric: &'static str) -> ScrapeTarget {
    ScrapeTarget {
        memory: value(&answer),
        labels: without_name(answer.labels),
        presence: metric,
        samples: 1.0,
        ..ScrapeTarget::default()
    }
}
