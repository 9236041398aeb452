//! What a node's node_exporter is and shows, asked of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};

use super::{Finding, Subject, Watched, ports::Way};
use crate::{
    host::clock::Clock,
    model::{catalogue, series::Key},
};

/// Nodes that are asked at once.
const AT_ONCE: usize = 16;
/// A scrape of a loaded node takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// A page of metrics is tens of kilobytes.
const LARGEST_PAGE: usize = 32 << 20;
/// A clock that is wrong by more dates what happened to the wrong sample.
const CLOCK_OFF_S: f64 = 1.0;
/// Without these no verdict on a node is possible.
const VITAL: [&str; 4] = ["cpu_busy", "cpu_core_max", "memory_used_ratio", "disk_busy"];

/// What a page of metrics says.
#[derive(Debug, Default, PartialEq)]
struct Page {
    metrics: BTreeSet<String>,
    version: Option<String>,
    /// Collectors that failed.
    failed: Vec<String>,
    /// Seconds since 1970.
    time: Option<f64>,
}

/// The findings of all nodes that can be reached from here.
pub(super) async fn look(subject: &Subject, ways: &[Way]) -> Vec<Finding> {
    let Ok(http) = reqwest::Client::builder().timeout(PATIENCE).build() else {
        return Vec::new();
    };
    let reachable = subject
        .nodes
        .iter()
        .zip(ways)
        .filter(|(_, way)| matches!(way, Way::Open(_)))
        .map(|(node, _)| of_node(&http, node, &subject.decisive));
    stream::iter(reachable).buffered(AT_ONCE).concat().await
}

async fn of_node(http: &reqwest::Client, node: &Watched, decisive: &[&str]) -> Vec<Finding> {
    let clock = Clock::start();
    let before = clock.now();
    let text = match page(http, &node.instance).await {
        Ok(text) => text,
        Err(why) => {
            return vec![Finding::failed(
                &node.name,
                "metrics",
                format!("{} gives no metrics: {why}", node.instance),
                "what listens there is not node_exporter, or asks for a certificate or password",
            )];
        }
    };
    let took_s = clock.now().since(before);
    let page = parse(&text);
    let mut findings = vec![exporter(node, &page)];
    findings.extend(collectors(node, &page));
    findings.push(signals(node, &page, decisive));
    if let Some(time) = page.time {
        // It read its clock somewhere between our two readings.
        let off = time - (before.seconds() + took_s / 2.0);
        findings.push(clock_finding(node, off, took_s));
    }
    findings
}

async fn page(http: &reqwest::Client, instance: &str) -> Result<String, String> {
    let url = format!("http://{instance}/metrics");
    let mut response = http.get(&url).send().await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("it answers {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + chunk.len() > LARGEST_PAGE {
            return Err(format!("its page is larger than {} MiB", LARGEST_PAGE >> 20));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn parse(text: &str) -> Page {
    let mut page = Page::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let name = series.split('{').next().unwrap_or_default();
        if !page.metrics.contains(name) {
            page.metrics.insert(name.to_owned());
        }
        let label = |label: &str| Key::parse(series).and_then(|key| key.labels.get(label).cloned());
        match name {
            "node_exporter_build_info" => page.version = label("version"),
            "node_scrape_collector_success" if value == "0" => {
                page.failed.extend(label("collector"));
            }
            "node_time_seconds" => page.time = value.parse().ok(),
            _ => (),
        }
    }
    page
}

fn exporter(node: &Watched, page: &Page) -> Finding {
    match &page.version {
        Some(version) => Finding::ok(&node.name, "exporter", format!("node_exporter {version}")),
        None => Finding::warning(
            &node.name,
            "exporter",
            "it does not say that it is node_exporter",
            "metrics of another program may have other names",
        ),
    }
}

fn collectors(node: &Watched, page: &Page) -> Option<Finding> {
    // Without a system bus Debian's collector for systemd fails at each scrape.
    // hwmon, nvme and such fail where there is no such device.
    (!page.failed.is_empty()).then(|| {
        Finding::warning(
            &node.name,
            "collectors",
            format!("these collectors fail: {}", page.failed.join(", ")),
            "its log says why; leave out what the machine does not have (--no-collector.NAME)",
        )
    })
}

fn signals(node: &Watched, page: &Page, decisive: &[&str]) -> Finding {
    let missing: Vec<&str> = catalogue::SIGNALS
        .iter()
        .filter(|row| row.in_prometheus && !row.is_optional() && decisive.contains(&row.name))
        .filter(|row| row.expr.metrics().iter().any(|metric| !page.metrics.contains(*metric)))
        .map(|row| row.name)
        .collect();
    let vital: Vec<&str> = missing.iter().copied().filter(|name| VITAL.contains(name)).collect();
    if !vital.is_empty() {
        return Finding::failed(
            &node.name,
            "signals",
            format!("no verdict is possible without {}", vital.join(", ")),
            "switch on the collectors cpu, meminfo and diskstats",
        );
    }
    if missing.is_empty() {
        return Finding::ok(&node.name, "signals", "every signal that a verdict rests on is there");
    }
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &missing {
        let resource = catalogue::signal(name).map_or("", |row| row.resource);
        of.entry(resource).or_default().push(name);
    }
    let words: Vec<String> = of
        .into_iter()
        .map(|(resource, names)| format!("{resource} ({})", names.join(", ")))
        .collect();
    Finding::warning(
        &node.name,
        "signals",
        format!("less is seen of {}", words.join(", ")),
        "docs/prometheus.md says which flags of node_exporter show it; some need a kernel with PSI or connection tracking",
    )
}

fn clock_finding(node: &Watched, off_s: f64, took_s: f64) -> Finding {
    if off_s.abs() < CLOCK_OFF_S + took_s / 2.0 {
        return Finding::ok(
            &node.name,
            "clock",
            format!("within {CLOCK_OFF_S} s of this machine's"),
        );
    }
    Finding::failed(
        &node.name,
        "clock",
        format!(
            "{:.1} s {} this machine's",
            off_s.abs(),
            if off_s > 0.0 { "ahead of" } else { "behind" }
        ),
        "set both by NTP: what happened there is dated by its own clock",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_its_version_what_fails_and_what_is_missing() {
        let text = "# HELP x y\nnode_exporter_build_info{branch=\"\",version=\"1.5.0\"} 1\n\
                    node_scrape_collector_success{collector=\"cpu\"} 1\n\
                    node_scrape_collector_success{collector=\"systemd\"} 0\n\
                    node_time_seconds 1.7e+09\nnode_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 5\n\
                    node_memory_MemTotal_bytes 1\nnode_memory_MemAvailable_bytes 1\n";
        let page = parse(text);
        assert_eq!(page.version.as_deref(), Some("1.5.0"));
        assert_eq!(page.failed, ["systemd"]);
        assert_eq!(page.time, Some(1.7e9));
        let node = Watched { name: "a".into(), instance: "a:9100".into() };
        let vital = signals(&node, &page, &["cpu_busy", "disk_busy"]);
        assert!(vital.text.ends_with("without disk_busy"), "{}", vital.text);
        assert_eq!(vital.state, super::super::State::Failed);
        let less = signals(&node, &page, &["cpu_busy", "cpu_psi_some"]);
        assert_eq!(less.text, "less is seen of cpu (cpu_psi_some)");
        assert_eq!(signals(&node, &page, &["cpu_busy"]).state, super::super::State::Ok);
    }

    #[test]
    fn a_wrong_clock_is_told_with_its_direction() {
        let node = Watched { name: "a".into(), instance: "a:9100".into() };
        assert_eq!(clock_finding(&node, 0.4, 0.1).state, super::super::State::Ok);
        assert!(clock_finding(&node, -600.0, 0.1).text.starts_with("600.0 s behind"));
    }
}
