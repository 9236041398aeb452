//! Containers at their own limits, by the series of cAdvisor, the kubelet and
//! kube-state-metrics in the same Prometheus.
//!
//! A healthy fleet has thousands of containers and none at a limit, so they are read in
//! two steps: first those that were at a limit at some time, then all points of those.
//! Neither depends on the number of nodes.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::escape;

use super::{
    companions::{Found, METRIC, Machines, merge, named, row_name, signal, window_text},
    decode::Answer,
    selector::quoted,
};
use crate::model::time::Timestamp;

/// Containers that are looked at in full, those furthest beyond a limit first.
const MOST: usize = 200;
/// Share of throttled periods from which on a container is looked at (kubernetes-mixin
/// CPUThrottlingHigh: 25 %).
const THROTTLED: f64 = 0.25;
/// Share of its memory limit from which on a container is looked at.
const MEMORY: f64 = 0.8;
/// The container that only holds a pod's namespaces is no container of anybody.
const NO_PAUSE: &str = "container!=\"POD\",container_name!=\"POD\"";

/// A container that was at a limit at some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// `key` of its node.
    pub node: String,
    /// `namespace/pod/container`, or the container's name where there are no pods.
    pub name: String,
    /// The labels that select it, of those it is named by.
    labels: Vec<(&'static str, String)>,
}

/// Which labels name a container, the surest first: those that a scrape renamed because
/// the target has its own, those that cAdvisor makes of the container's own labels, the
/// kubelet's, and the kubelet's before Kubernetes 1.16.
const NAMES: [[&str; 3]; 4] = [
    ["exported_namespace", "exported_pod", "exported_container"],
    [
        "container_label_io_kubernetes_pod_namespace",
        "container_label_io_kubernetes_pod_name",
        "container_label_io_kubernetes_container_name",
    ],
    ["namespace", "pod", "container"],
    ["namespace", "pod_name", "container_name"],
];

/// The range query of the first step: it answers with those containers, at those moments,
/// that were throttled in more than a quarter of their periods, held more than four fifths
/// of their memory limit, or had a process killed.
///
/// `matchers` is put into each series' braces (may be empty), `window_s` is the rate window
/// in seconds.
pub fn candidates_query(matchers: &str, window_s: f64) -> String {
    let window = window_text(window_s);
    let of = |metric: &str, more: &str| selection(metric, &[NO_PAUSE, more, matchers]);
    let rate = |metric: &str| format!("rate({}[{window}])", of(metric, ""));
    let held = of("container_memory_working_set_bytes", "");
    // The kubelet's series may lack the limit; kube-state-metrics has it, under labels that
    // its own target may have pushed aside.
    let by = "max by (namespace, pod, container)";
    let limit = "kube_pod_container_resource_limits";
    let plain = selection(limit, &["resource=\"memory\",exported_pod=\"\"", matchers]);
    let mut renamed = selection(limit, &["resource=\"memory\",exported_pod!=\"\"", matchers]);
    for label in ["namespace", "pod", "container"] {
        renamed = format!(
            "label_replace({renamed}, \"{label}\", \"$1\", \"exported_{label}\", \"(.+)\")"
        );
    }
    let of_pods = of("container_memory_working_set_bytes", "container!=\"\",pod!=\"\"");
    [
        named(
            &format!(
                "({} / ({} > 0)) > {THROTTLED}",
                rate("container_cpu_cfs_throttled_periods_total"),
                rate("container_cpu_cfs_periods_total")
            ),
            "throttled",
        ),
        named(
            &format!("({held} / ({} > 0)) > {MEMORY}", of("container_spec_memory_limit_bytes", "")),
            "memory",
        ),
        named(&format!("{} > 0", rate("container_oom_events_total")), "killed"),
        named(
            &format!("({by} ({of_pods}) / ({by} ({plain} or {renamed}) > 0)) > {MEMORY}"),
            "memory_of_pod",
        ),
    ]
    .join(" or ")
}

/// A metric with these conditions; empty ones are left out.
fn selection(metric: &str, conditions: &[&str]) -> String {
    let conditions: Vec<&str> = conditions.iter().copied().filter(|one| !one.is_empty()).collect();
    format!("{metric}{{{}}}", conditions.join(","))
}

/// The containers in an answer to [`candidates_query`], at most two hundred.
///
/// Aggregates (a pod's, a slice's) and containers of no node of ours are left out. One that
/// only kube-state-metrics limits has no node yet: its `node` is empty.
pub fn containers(series: &[Answer], machines: &Machines) -> Vec<Container> {
    let mut all: BTreeMap<Container, f64> = BTreeMap::new();
    for answer in series {
        let Some((name, labels)) = name_of(&answer.labels) else { continue };
        let node = machines.locate(&answer.labels, true);
        let is_of_pod = answer.labels.get(METRIC).is_some_and(|one| one == "memory_of_pod");
        let Some(node) = node.or(is_of_pod.then_some("")) else { continue };
        let most = answer.points.iter().map(|point| point.v).fold(0.0, f64::max);
        let container = Container { node: node.to_owned(), name, labels };
        let worst = all.entry(container).or_default();
        *worst = worst.max(most);
    }
    let mut all: Vec<(Container, f64)> = all.into_iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(MOST);
    all.into_iter().map(|(container, _)| container).collect()
}

/// What a container is called, and the labels that say so; `None` for an aggregate.
fn name_of(labels: &BTreeMap<String, String>) -> Option<(String, Vec<(&'static str, String)>)> {
    let get = |label: &str| labels.get(label).filter(|value| !value.is_empty());
    for names in NAMES {
        let values: Vec<(&'static str, String)> =
            names.into_iter().filter_map(|label| Some((label, get(label)?.clone()))).collect();
        if values.len() == names.len() {
            if values.last().is_some_and(|(_, container)| container == "POD") {
                return None;
            }
            let name: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
            return Some((name.join("/"), values));
        }
        // A pod without a container is the sum over its containers.
        if names.get(1).is_some_and(|pod| get(pod).is_some()) {
            return None;
        }
    }
    // Without pods (Docker alone) a container has a name, and a slice has none.
    let name =
        get("name").filter(|name| !name.starts_with('/') && !name.starts_with("k8s_POD_"))?;
    Some((name.clone(), vec![("name", name.clone())]))
}

/// The range query of the second step: all points of these containers. `None` when there
/// are none.
pub fn details_query(matchers: &str, window_s: f64, containers: &[Container]) -> Option<String> {
    let window = window_text(window_s);
    let mut groups: BTreeMap<Vec<&'static str>, Vec<&Container>> = BTreeMap::new();
    for container in containers {
        let labels = container.labels.iter().map(|(label, _)| *label).collect();
        groups.entry(labels).or_default().push(container);
    }
    let mut parts = Vec::new();
    for (labels, members) in groups {
        let any = |label: &str, called: &str| {
            let values: BTreeSet<&str> = members
                .iter()
                .flat_map(|one| one.labels.iter().filter(|(name, _)| *name == label))
                .map(|(_, value)| value.as_str())
                .collect();
            let values: Vec<String> = values.into_iter().map(|one| quoted(&escape(one))).collect();
            format!("{called}=~\"{}\"", values.join("|"))
        };
        let chosen: Vec<String> = labels.iter().map(|label| any(label, label)).collect();
        let of = |metric: &str| selection(metric, &[&chosen.join(","), matchers]);
        let rate = |metric: &str| format!("rate({}[{window}])", of(metric));
        let used = format!("sum without (cpu) ({})", rate("container_cpu_usage_seconds_total"));
        let quota =
            format!("({} / {})", of("container_spec_cpu_quota"), of("container_spec_cpu_period"));
        let held = of("container_memory_working_set_bytes");
        for (promql, name) in [
            (
                format!(
                    "{} / ({} > 0)",
                    rate("container_cpu_cfs_throttled_periods_total"),
                    rate("container_cpu_cfs_periods_total")
                ),
                "throttled",
            ),
            (format!("{used} / ({quota} > 0)"), "quota_used"),
            (used, "cores"),
            (format!("{held} / ({} > 0)", of("container_spec_memory_limit_bytes")), "working"),
            (held, "bytes"),
            (rate("container_oom_events_total"), "killed"),
            (rate("container_memory_failcnt"), "hits"),
        ] {
            parts.push(named(&promql, name));
        }
        if let [namespace, pod, container] = labels[..] {
            for prefix in ["", "exported_"] {
                let names = [(namespace, "namespace"), (pod, "pod"), (container, "container")];
                let chosen: Vec<String> = names
                    .iter()
                    .map(|(label, called)| any(label, &format!("{prefix}{called}")))
                    .collect();
                let limits = selection(
                    "kube_pod_container_resource_limits",
                    &["resource=~\"cpu|memory\"", &chosen.join(","), matchers],
                );
                parts.push(named(
                    &limits,
                    if prefix.is_empty() { "limit" } else { "limit_renamed" },
                ));
            }
        }
    }
    (!parts.is_empty()).then(|| parts.join(" or "))
}

/// Points of each quantity of a container.
type Quantities = BTreeMap<&'static str, BTreeMap<Timestamp, f64>>;

/// The quantities of an answer to [`details_query`]: as a signal, or needed for one.
const QUANTITIES: [(&str, &str); 7] = [
    ("throttled", "cgroup_cpu_throttled"),
    ("quota_used", "cgroup_cpu_quota_used"),
    ("working", "cgroup_memory_working_ratio"),
    ("bytes", "cgroup_memory_bytes"),
    ("killed", "cgroup_oom_kills"),
    ("hits", "cgroup_memory_limit_hits"),
    ("cores", ""),
];

/// The signals in an answer to [`details_query`], under the names of the catalogue's own
/// signals of cgroups, with the container as their device.
pub fn found(
    series: &[Answer],
    machines: &Machines,
    containers: &[Container],
    window_s: f64,
) -> Vec<Found> {
    let wanted: BTreeSet<&str> = containers.iter().map(|one| one.name.as_str()).collect();
    let mut all: BTreeMap<(String, String), Quantities> = BTreeMap::new();
    // Limits by container and by what they limit, of which node they are being known.
    let mut limits: BTreeMap<(String, String), Quantities> = BTreeMap::new();
    for answer in series {
        let Some(what) = answer.labels.get(METRIC) else { continue };
        let Some((name, _)) =
            name_of(&answer.labels).filter(|(name, _)| wanted.contains(name.as_str()))
        else {
            continue;
        };
        let points = answer.points.iter().map(|point| (point.t, point.v));
        if what.starts_with("limit") {
            let Some(node) = machines.locate(&answer.labels, false) else { continue };
            let of = match answer.labels.get("resource").map(String::as_str) {
                Some("cpu") => "cores",
                Some("memory") => "bytes",
                _ => continue,
            };
            let quantities = limits.entry((node.to_owned(), name)).or_default();
            merge(quantities.entry(of).or_default(), points);
        } else if let Some((what, _)) = QUANTITIES.iter().find(|(known, _)| known == what)
            && let Some(node) = machines.locate(&answer.labels, true)
        {
            let quantities = all.entry((node.to_owned(), name)).or_default();
            merge(quantities.entry(what).or_default(), points);
        }
    }
    for (container, of_limits) in &limits {
        let Some(quantities) = all.get_mut(container) else { continue };
        for (used, share) in [("cores", "quota_used"), ("bytes", "working")] {
            if !quantities.contains_key(share)
                && let Some(points) = quotient(quantities.get(used), of_limits.get(used))
            {
                quantities.insert(share, points);
            }
        }
    }
    let mut signals = Vec::new();
    for ((node, name), mut quantities) in all {
        for (what, row) in QUANTITIES {
            let (Some(points), Some(row)) = (quantities.remove(what), row_name(row)) else {
                continue;
            };
            let averaged_s = if ["working", "bytes"].contains(&what) { 0.0 } else { window_s };
            let signal = signal(Some(name.clone()), points, averaged_s);
            signals.push(Found { node: node.clone(), name: row, signal });
        }
    }
    signals
}

/// Use as a share of a limit, at the moments that both have.
fn quotient(
    used: Option<&BTreeMap<Timestamp, f64>>,
    limit: Option<&BTreeMap<Timestamp, f64>>,
) -> Option<BTreeMap<Timestamp, f64>> {
    let (used, limit) = (used?, limit?);
    let shares: BTreeMap<Timestamp, f64> = used
        .iter()
        .filter_map(|(t, used)| {
            let limit = limit.get(t).filter(|limit| **limit > 0.0)?;
            Some((*t, used / limit))
        })
        .collect();
    (!shares.is_empty()).then_some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::series::Point, telemetry::prometheus::companions::Machine};

    fn answer(what: &str, pairs: &[(&str, &str)], v: f64) -> Answer {
        let mut labels: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        labels.insert(METRIC.into(), what.into());
        let points = (0..10).map(|at| Point { t: Timestamp(at * 15_000), v }).collect();
        Answer { labels, points }
    }

    fn machines() -> Machines {
        Machines::new(vec![Machine {
            key: "kube".into(),
            instance: "10.1.0.30:9100".into(),
            names: vec!["kube".into()],
            ..Machine::default()
        }])
    }

    const APP: [(&str, &str); 5] = [
        ("node", "kube"),
        ("instance", "10.1.0.30:10250"),
        ("namespace", "shop"),
        ("pod", "cart-0"),
        ("container", "app"),
    ];

    #[test]
    fn aggregates_and_pauses_are_no_containers() {
        let of = |pairs: &[(&str, &str)]| {
            let mut labels = vec![("node", "kube")];
            labels.extend(pairs);
            let found = containers(&[answer("throttled", &labels, 0.9)], &machines());
            found.into_iter().map(|one| one.name).next()
        };
        assert_eq!(of(&APP), Some("shop/cart-0/app".into()));
        let pod = [("namespace", "shop"), ("pod", "cart-0")];
        assert_eq!(of(&pod), None);
        assert_eq!(of(&[pod[0], pod[1], ("container", "")]), None);
        assert_eq!(of(&[pod[0], pod[1], ("container", "POD")]), None);
        assert_eq!(of(&[("id", "/kubepods.slice")]), None);
        assert_eq!(of(&[("id", "/docker/1"), ("name", "web")]), Some("web".into()));
        let scraped =
            [("namespace", "monitoring"), ("pod", "cadvisor-1"), ("container", "cadvisor")];
        let renamed =
            [("exported_namespace", "shop"), ("exported_pod", "a"), ("exported_container", "b")];
        assert_eq!(of(&[scraped, renamed].concat()), Some("shop/a/b".into()));
    }

    #[test]
    fn a_container_of_another_node_is_left_out() {
        let other = [("node", "other"), APP[2], APP[3], APP[4]];
        assert!(containers(&[answer("throttled", &other, 0.9)], &machines()).is_empty());
    }

    #[test]
    fn the_second_query_selects_those_found() {
        assert_eq!(details_query("", 120.0, &[]), None);
        let found = containers(&[answer("throttled", &APP, 0.9)], &machines());
        let query = details_query("cluster=\"eu\"", 120.0, &found).unwrap();
        let chosen = "namespace=~\"shop\",pod=~\"cart\\\\-0\",container=~\"app\",cluster=\"eu\"";
        let throttled =
            format!("rate(container_cpu_cfs_throttled_periods_total{{{chosen}}}[120000ms])");
        assert!(query.contains(&throttled), "{query}");
        assert!(query.contains("exported_pod=~\"cart\\\\-0\""), "{query}");
        let first = candidates_query("cluster=\"eu\"", 120.0);
        assert_eq!(first.matches("cluster=\"eu\"").count(), 8, "{first}");
    }

    #[test]
    fn a_container_that_was_made_again_is_counted_once() {
        let found_ones = containers(&[answer("throttled", &APP, 0.9)], &machines());
        let again = [APP.as_slice(), &[("id", "/kubepods/2")]].concat();
        let all = found(
            &[answer("throttled", &APP, 0.9), answer("throttled", &again, 0.8)],
            &machines(),
            &found_ones,
            120.0,
        );
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].node.as_str(), all[0].name), ("kube", "cgroup_cpu_throttled"));
        assert_eq!(all[0].signal.device.as_deref(), Some("shop/cart-0/app"));
        assert_eq!(all[0].signal.points[0].v, 0.9);
    }

    #[test]
    fn a_limit_that_only_kube_state_metrics_has_is_used_on_its_own_node() {
        let candidates =
            containers(&[answer("memory_of_pod", &[APP[2], APP[3], APP[4]], 0.97)], &machines());
        let of_ksm = |node: &'static str| {
            vec![
                ("instance", "10.1.0.30:8080"),
                ("namespace", "monitoring"),
                ("pod", "ksm-0"),
                ("container", "ksm"),
                ("exported_namespace", "shop"),
                ("exported_pod", "cart-0"),
                ("exported_container", "app"),
                ("resource", "memory"),
                ("node", node),
            ]
        };
        let shares = |node: &'static str| {
            let series =
                [answer("bytes", &APP, 970.0), answer("limit_renamed", &of_ksm(node), 1000.0)];
            let all = found(&series, &machines(), &candidates, 120.0);
            let share = all.iter().find(|one| one.name == "cgroup_memory_working_ratio");
            share.map(|one| one.signal.points[0].v)
        };
        assert_eq!(shares("kube"), Some(0.97));
        assert_eq!(shares("elsewhere"), None);
    }
}
