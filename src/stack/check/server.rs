//! Prometheus: what it is, what it keeps, and what it says of its targets.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Finding, Subject, Watched};
use crate::{
    host::clock::Clock,
    model::units::{parse_duration, show_duration},
    telemetry::prometheus::{
        client::{Client, Error},
        decode::Target,
        server,
    },
};

/// Prometheus tells of no target for about five seconds after it has read its
/// configuration.
const DISCOVERY: Duration = Duration::from_secs(6);
/// A scrape that takes this share of its interval is on its way to being lost.
const SLOW: f64 = 0.5;
/// A phase must last a rate window of four scrapes, and three more.
const SCRAPES_OF_A_PHASE: f64 = 7.0;
/// What a run of a day needs at least.
const RETENTION_LEAST: Duration = Duration::from_secs(86_400);

const OF: &str = "prometheus";

pub(super) async fn look(client: &Client, subject: &Subject) -> Vec<Finding> {
    let is_victoria = match client.ready_text().await {
        Ok(text) => text.contains("VictoriaMetrics"),
        Err(error) => {
            return vec![Finding::failed(
                OF,
                "ready",
                error.to_string(),
                "is it running (systemctl status prometheus), and does port 9090 let you through? `ssh -L 9090:localhost:9090 SERVER` goes around a closed one",
            )];
        }
    };
    let mut findings = vec![version(client, is_victoria).await];
    let redirects = client.notes().into_iter();
    findings.extend(redirects.map(|note| {
        Finding::warning(OF, "address", note, "until then each run finds it out again")
    }));
    findings.extend(clock(client).await);
    findings.extend(retention(client).await);
    findings.extend(limits(client).await);
    findings.extend(rules(client).await);
    if subject.nodes.is_empty() {
        findings.extend(any_target(client).await);
    } else {
        findings.extend(targets(client, subject).await);
    }
    findings
}

async fn version(client: &Client, is_victoria: bool) -> Finding {
    if is_victoria {
        return Finding::ok(
            OF,
            "version",
            format!(
                "VictoriaMetrics at {}: it hides its newest 30 s, which a run waits for",
                client.base()
            ),
        );
    }
    match client.about("status/buildinfo").await {
        Ok(about) => Finding::ok(
            OF,
            "version",
            format!(
                "Prometheus {} at {}",
                about.get("version").and_then(Value::as_str).unwrap_or("of no version"),
                client.base()
            ),
        ),
        Err(Error::Status { .. }) => Finding::ok(
            OF,
            "version",
            format!("{} answers, and does not say what it is", client.base()),
        ),
        Err(error) => Finding::failed(
            OF,
            "version",
            error.to_string(),
            "is this the address of a Prometheus?",
        ),
    }
}

async fn clock(client: &Client) -> Option<Finding> {
    let ours = Clock::start();
    match server::clock_ahead(client, || ours.now()).await {
        Ok(Some(ahead)) if ahead.abs() > 0.0 => Some(Finding::warning(
            OF,
            "clock",
            format!(
                "{:.1} s {} this machine's",
                ahead.abs(),
                if ahead > 0.0 { "ahead of" } else { "behind" }
            ),
            "a run corrects it; set both by NTP",
        )),
        Ok(Some(_)) => Some(Finding::ok(OF, "clock", "that of this machine")),
        Ok(None) => None,
        Err(error) => Some(Finding::failed(
            OF,
            "query",
            error.to_string(),
            "a run needs the query API: credentials, or an address with its path prefix?",
        )),
    }
}

/// Prometheus's durations have parts that ours have not: `1w2d`, `1y`.
fn days(text: &str) -> Option<Duration> {
    // 15d or 50GiB15d, or `15d or 50GiB`.
    let text = text.split(' ').next()?;
    if let Ok(duration) = parse_duration(text) {
        return Some(duration);
    }
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    let day = 86_400;
    match unit.chars().next()? {
        'y' => Some(Duration::from_secs(number * 365 * day)),
        'w' => Some(Duration::from_secs(number * 7 * day)),
        'd' => Some(Duration::from_secs(number * day)),
        _ => None,
    }
}

async fn retention(client: &Client) -> Option<Finding> {
    let about = client.about("status/runtimeinfo").await.ok()?;
    let text = about.get("storageRetention").and_then(Value::as_str)?.to_owned();
    let failed_reload = about.get("reloadConfigSuccess").and_then(Value::as_bool) == Some(false);
    if failed_reload {
        return Some(Finding::failed(
            OF,
            "configuration",
            "its last reload failed: it still runs with an older configuration",
            "promtool check config /etc/prometheus/prometheus.yml says what is wrong",
        ));
    }
    Some(match days(&text) {
        Some(kept) if kept < RETENTION_LEAST => Finding::warning(
            OF,
            "retention",
            format!("samples are kept for {text}"),
            "a run that is longer loses its beginning: --storage.tsdb.retention.time=15d",
        ),
        _ => Finding::ok(OF, "retention", format!("samples are kept for {text}")),
    })
}

/// What its flags allow a query.
async fn limits(client: &Client) -> Option<Finding> {
    let flags = client.about("status/flags").await.ok()?;
    let flag = |name: &str| flags.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    let samples: Option<u64> = flag("query.max-samples").parse().ok();
    let text = format!(
        "a query may take {} and load {} samples",
        flag("query.timeout"),
        flag("query.max-samples")
    );
    Some(match samples {
        Some(most) if most < 1_000_000 => Finding::warning(
            OF,
            "limits",
            text,
            "many nodes over a long window need more: --query.max-samples=50000000",
        ),
        _ => Finding::ok(OF, "limits", text),
    })
}

async fn rules(client: &Client) -> Option<Finding> {
    let rules = client.about("rules").await.ok()?;
    let all: Vec<&Value> = rules
        .get("groups")
        .and_then(Value::as_array)?
        .iter()
        .filter_map(|group| group.get("rules").and_then(Value::as_array))
        .flatten()
        .collect();
    let bad: Vec<String> = all
        .iter()
        .filter(|rule| rule.get("health").and_then(Value::as_str) == Some("err"))
        .map(|rule| {
            format!(
                "{}: {}",
                rule.get("name").and_then(Value::as_str).unwrap_or("?"),
                rule.get("lastError").and_then(Value::as_str).unwrap_or("no reason given")
            )
        })
        .collect();
    let firing: Vec<&str> = all
        .iter()
        .filter(|rule| rule.get("state").and_then(Value::as_str) == Some("firing"))
        .filter_map(|rule| rule.get("name").and_then(Value::as_str))
        .collect();
    if !bad.is_empty() {
        return Some(Finding::failed(
            OF,
            "rules",
            bad.join("; "),
            "promtool check rules, and promtool test rules, say more",
        ));
    }
    if all.is_empty() {
        return Some(Finding::warning(
            OF,
            "rules",
            "none are loaded",
            "copy prometheus/rules of `stressor stack init` beside prometheus.yml: dashboards and alerts rest on them",
        ));
    }
    let firing = if firing.is_empty() {
        "no alert fires".to_owned()
    } else {
        format!("firing: {}", firing.join(", "))
    };
    Some(Finding::ok(OF, "rules", format!("{} rules are healthy; {firing}", all.len())))
}

/// Without nodes to ask for: how many node_exporters it scrapes.
async fn any_target(client: &Client) -> Option<Finding> {
    let reply = client.query("count by (job) (node_uname_info)", None).await.ok()?;
    let jobs: Vec<String> = reply
        .series
        .iter()
        .filter_map(|one| {
            Some(format!("{} in job {}", one.points.first()?.v, one.labels.get("job")?))
        })
        .collect();
    Some(if jobs.is_empty() {
        Finding::failed(
            OF,
            "targets",
            "it scrapes no node_exporter",
            "add the machines as targets: `stressor stack init` writes the configuration",
        )
    } else {
        Finding::ok(OF, "targets", format!("node_exporters: {}", jobs.join(", ")))
    })
}

async fn targets(client: &Client, subject: &Subject) -> Vec<Finding> {
    let interval = subject.interval_s.unwrap_or(15.0);
    // Discovery, then a scrape and its time limit, which is at most the interval.
    let patience = DISCOVERY + Duration::from_secs_f64(2.0 * interval);
    let begun = Instant::now();
    loop {
        let known = match client.targets().await {
            Ok(known) => known,
            Err(error) => {
                return vec![Finding::failed(
                    OF,
                    "targets",
                    error.to_string(),
                    "the list of targets cannot be read",
                )];
            }
        };
        if known.is_empty() && begun.elapsed() >= patience {
            return without_list(client, subject).await;
        }
        let settled = subject
            .nodes
            .iter()
            .all(|node| of_node(&known, node).is_some_and(|target| target.health != "unknown"));
        if settled || begun.elapsed() >= patience {
            return subject.nodes.iter().map(|node| target(node, of_node(&known, node))).collect();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn of_node<'a>(known: &'a [Target], node: &Watched) -> Option<&'a Target> {
    known.iter().find(|target| {
        target.labels.get("instance") == Some(&node.instance)
            || target.labels.get("node") == Some(&node.name)
    })
}

fn target(node: &Watched, found: Option<&Target>) -> Finding {
    let name = node.name.as_str();
    let Some(target) = found else {
        return Finding::failed(
            name,
            "target",
            format!("Prometheus has no target {}", node.instance),
            "is it in prometheus.yml or its targets file, and has Prometheus read that (kill -HUP)?",
        );
    };
    if target.health != "up" {
        let why = target.last_error.as_str();
        let todo = if why.contains("refused") {
            "node_exporter does not run there: systemctl status prometheus-node-exporter"
        } else if why.contains("deadline exceeded")
            || why.contains("timeout")
            || why.contains("no route")
        {
            "the security group or firewall does not let the monitoring server through to 9100, or the machine is down or overloaded"
        } else if why.contains("no such host") {
            "the server cannot resolve its name: give its address"
        } else if why.contains("HTTP status") {
            "what answers there is not node_exporter, or asks for a password"
        } else {
            "see the page Status > Targets of Prometheus"
        };
        let health = if target.health.is_empty() { "unknown" } else { &target.health };
        return Finding::failed(name, "target", format!("it is {health}: {why}"), todo);
    }
    let interval = parse_duration(&target.scrape_interval).ok();
    let took = target.last_scrape_duration;
    let every = interval.map_or_else(|| "?".to_owned(), show_duration);
    let text = format!("UP, a scrape every {every} takes {:.0} ms", took * 1000.0);
    match interval {
        Some(interval) if took > SLOW * interval.as_secs_f64() => Finding::warning(
            name,
            "target",
            text,
            "scrapes will be lost under load: a longer interval, or fewer collectors",
        ),
        Some(interval) if interval > Duration::from_secs(5) => {
            let least = show_duration(interval.mul_f64(SCRAPES_OF_A_PHASE));
            Finding::warning(
                name,
                "target",
                text,
                format!(
                    "a phase must last {least} to be seen whole: scrape more often, or load for longer"
                ),
            )
        }
        _ => Finding::ok(name, "target", text),
    }
}

/// Where there is no list of targets (Thanos, Mimir): the samples of `up`.
async fn without_list(client: &Client, subject: &Subject) -> Vec<Finding> {
    let reply = client.query("up", None).await;
    let of_node = |node: &Watched| {
        let series = reply.as_ref().ok()?.series.iter().find(|one| {
            one.labels.get("instance") == Some(&node.instance)
                || one.labels.get("node") == Some(&node.name)
        })?;
        series.points.first().map(|point| point.v)
    };
    let judged = subject.nodes.iter().map(|node| match of_node(node) {
        Some(up) if up > 0.0 => Finding::ok(&node.name, "target", "UP by its series `up`"),
        Some(_) => Finding::failed(
            &node.name,
            "target",
            "its series `up` is 0",
            "whatever scrapes it does not reach it",
        ),
        None => Finding::failed(
            &node.name,
            "target",
            format!("there is no series `up` of {}", node.instance),
            "is it scraped, and is `instance` its address there?",
        ),
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::State, *};

    fn found(health: &str, last_error: &str, interval: &str, took: f64) -> Finding {
        let target = Target {
            labels: BTreeMap::new(),
            health: health.into(),
            last_error: last_error.into(),
            scrape_interval: interval.into(),
            last_scrape_duration: took,
        };
        super::target(&Watched { name: "a".into(), instance: "a:9100".into() }, Some(&target))
    }

    #[test]
    fn a_target_is_judged_by_its_error_and_its_pace() {
        assert_eq!(found("up", "", "5s", 0.02).state, State::Ok);
        assert!(found("up", "", "15s", 0.02).todo.unwrap().contains("1m45s"));
        assert!(found("up", "", "1s", 0.8).todo.unwrap().contains("lost under load"));
        let refused = found("down", "dial tcp: connect: connection refused", "5s", 0.0);
        assert_eq!(refused.state, State::Failed);
        assert!(refused.todo.unwrap().contains("does not run"));
        let silent = found("down", "context deadline exceeded", "5s", 0.0);
        assert!(silent.todo.unwrap().contains("security group"));
    }

    #[test]
    fn retention_is_read_as_prometheus_writes_it() {
        let day = 86_400;
        assert_eq!(days("15d"), Some(Duration::from_secs(15 * day)));
        assert_eq!(days("2w"), Some(Duration::from_secs(14 * day)));
        assert_eq!(days("15d or 50GiB"), Some(Duration::from_secs(15 * day)));
        assert_eq!(days("50GiB"), None);
    }
}
