//! Which machine each scrape target describes. Pure.
//!
//! A target is one set of target labels (`instance`, `job`, `cluster` …). Two targets
//! with one `instance` are either the same machine seen twice (Prometheus replicas, two
//! jobs, a restarted pod) or two machines (two clusters or tenants behind one
//! endpoint). The host name and the boot time decide which.

use std::collections::{BTreeMap, BTreeSet};

use super::selector::shown;
use crate::model::series::{Key, SAME_BOOT_S};

/// Label names and values.
pub type Labels = BTreeMap<String, String>;

/// Two readings of one machine's memory differ by less than this, as a share of it: its
/// kernel reserves a little more or less at each boot.
const SAME_MEMORY: f64 = 0.02;

/// Labels by which Prometheus servers of a high-availability group tell their series
/// apart (the defaults of Prometheus Operator, Thanos, Cortex and Mimir).
const REPLICA_LABELS: &[&str] = &[
    "prometheus_replica",
    "replica",
    "__replica__",
    "prometheus_server",
    "monitor",
    "rule_replica",
    "receive_replica",
    "thanos_replica",
    "thanos_ruler_replica",
    "ha_replica",
];

/// A target of node_exporter, as discovery found it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScrapeTarget {
    /// Its target labels.
    pub labels: Labels,
    /// The metric whose samples show when it was scraped.
    pub presence: &'static str,
    /// Samples of that metric in the window.
    pub samples: f64,
    /// Host names (`uname -n`) that it reported, one except where another machine took
    /// the address over.
    pub hosts: BTreeSet<String>,
    /// Kernel release; empty where it is not exported.
    pub release: String,
    /// Kernel name, such as `Linux`; empty where it is not exported.
    pub system: String,
    /// Earliest and latest boot time that it reported, in seconds since 1970.
    pub boots: Option<(f64, f64)>,
    /// The most memory that it reported, in bytes.
    pub memory: Option<f64>,
}

/// A machine, with the targets that describe it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Machine {
    /// What reports call it; unique among the machines of one answer.
    pub name: String,
    /// The `instance` label; empty where the series have none.
    pub instance: String,
    /// The labels that tell it from other machines with the same `instance`.
    pub distinct: Labels,
    /// Its targets, the one with most samples first.
    pub targets: Vec<ScrapeTarget>,
}

impl ScrapeTarget {
    /// The value of a label, or nothing.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The last host name that it reported; empty where there is none.
    fn host(&self) -> &str {
        self.hosts.last().map_or("", String::as_str)
    }

    /// Whether both targets describe one machine.
    fn is_same_machine(&self, other: &Self) -> bool {
        let sizes = self.memory.zip(other.memory);
        if sizes.is_some_and(|(a, b)| (a - b).abs() > SAME_MEMORY * a.max(b)) {
            return false;
        }
        let knows_hosts = !self.hosts.is_empty() && !other.hosts.is_empty();
        if knows_hosts && self.hosts.is_disjoint(&other.hosts) {
            return false;
        }
        match (self.boots, other.boots) {
            // The same boot, or two views of one machine that was booted in between.
            (Some((a, b)), Some((c, d))) if knows_hosts => {
                a <= d + SAME_BOOT_S && c <= b + SAME_BOOT_S
            }
            (Some((a, b)), Some((c, d))) if a > d + SAME_BOOT_S || c > b + SAME_BOOT_S => false,
            // Too little is known of the machines: the labels decide.
            _ => differing_labels(&self.labels, &other.labels)
                .iter()
                .all(|label| REPLICA_LABELS.contains(label)),
        }
    }
}

impl Machine {
    /// The target with most samples.
    pub fn main_target(&self) -> Option<&ScrapeTarget> {
        self.targets.first()
    }

    /// Its host name; empty where it is not exported.
    pub fn nodename(&self) -> &str {
        self.main_target().map_or("", ScrapeTarget::host)
    }

    /// The name under which its series are kept: as [`NodeRecord::series_key`].
    ///
    /// [`NodeRecord::series_key`]: crate::model::run::NodeRecord::series_key
    pub fn series_key(&self) -> String {
        if self.distinct.is_empty() {
            return self.instance.clone();
        }
        Key { name: self.instance.clone(), labels: self.distinct.clone() }.to_string()
    }

    /// Whether it reported one host name throughout.
    pub fn has_one_host(&self) -> bool {
        let hosts: BTreeSet<&String> = self.targets.iter().flat_map(|one| &one.hosts).collect();
        hosts.len() < 2
    }

    /// The labels in which its targets differ: of a machine that is seen twice.
    pub fn replica_labels(&self) -> BTreeSet<&str> {
        let Some((first, rest)) = self.targets.split_first() else { return BTreeSet::new() };
        rest.iter().flat_map(|other| differing_labels(&first.labels, &other.labels)).collect()
    }

    /// Whether it is meant by a name: its own, its host name, its `instance` or the
    /// host part of that.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// All names by which it can be asked for.
    pub fn names(&self) -> [&str; 4] {
        [&self.name, self.nodename(), &self.instance, host_of(&self.instance)]
    }
}

/// The host of an `instance`: without its port, and an IPv6 host without its
/// brackets.
pub fn host_of(instance: &str) -> &str {
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Labels that only one of two targets has, or that differ between them.
fn differing_labels<'a>(one: &'a Labels, other: &'a Labels) -> BTreeSet<&'a str> {
    let names = one.keys().chain(other.keys());
    names.filter(|name| one.get(*name) != other.get(*name)).map(String::as_str).collect()
}

/// Assigns targets to machines and gives each machine a unique name. Sorted by name.
pub fn group_targets(targets: Vec<ScrapeTarget>) -> Vec<Machine> {
    let mut by_instance: BTreeMap<String, Vec<Machine>> = BTreeMap::new();
    for target in targets {
        let instance = target.label("instance").to_owned();
        let machines = by_instance.entry(instance.clone()).or_default();
        // Without an instance, each set of labels is a machine.
        let is_known = |machine: &&mut Machine| {
            !instance.is_empty() && machine.targets.iter().any(|one| one.is_same_machine(&target))
        };
        match machines.iter_mut().find(is_known) {
            Some(machine) => machine.targets.push(target),
            None => {
                machines.push(Machine { instance, targets: vec![target], ..Machine::default() });
            }
        }
    }
    let mut all = Vec::new();
    for (_, mut machines) in by_instance {
        for machine in &mut machines {
            machine.targets.sort_by(|a, b| b.samples.total_cmp(&a.samples));
        }
        if machines.len() > 1 {
            set_distinct_labels(&mut machines);
        }
        all.extend(machines);
    }
    set_names(&mut all);
    all.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
    all
}

/// Finds the labels whose values differ between machines with one `instance`.
fn set_distinct_labels(machines: &mut [Machine]) {
    let labels: Vec<Labels> = machines
        .iter()
        .filter_map(|machine| machine.main_target())
        .map(|target| target.labels.clone())
        .collect();
    let Some((first, rest)) = labels.split_first() else { return };
    let names: BTreeSet<&str> =
        rest.iter().flat_map(|other| differing_labels(first, other)).collect();
    for machine in machines {
        let Some(target) = machine.targets.first() else { continue };
        machine.distinct =
            names.iter().map(|name| ((*name).to_owned(), target.label(name).to_owned())).collect();
    }
}

/// Names machines by host name, else by instance; where several would share a name, with
/// the instance and the labels that tell them apart.
fn set_names(machines: &mut [Machine]) {
    let plain = |machine: &Machine| {
        let target = machine.main_target();
        let named = ["node", "host", "hostname", "nodename"].iter().find_map(|label| {
            target.map(|target| target.label(label)).filter(|name| !name.is_empty())
        });
        match (machine.nodename(), machine.instance.as_str()) {
            ("", "") => named.map_or_else(
                || target.map_or_else(String::new, |target| shown(&target.labels)),
                str::to_owned,
            ),
            ("", instance) => named.unwrap_or(instance).to_owned(),
            (nodename, _) => nodename.to_owned(),
        }
    };
    let with_instance = |machine: &Machine| {
        let name = plain(machine);
        if machine.instance.is_empty() || name == machine.instance {
            name
        } else {
            format!("{name} ({})", machine.instance)
        }
    };
    let full = |machine: &Machine| {
        let labels = machine.main_target().map_or_else(Labels::new, |one| one.labels.clone());
        let shown_labels = if machine.distinct.is_empty() { &labels } else { &machine.distinct };
        format!("{} {}", with_instance(machine), shown(shown_labels))
    };
    let forms: [&dyn Fn(&Machine) -> String; 3] = [&plain, &with_instance, &full];
    let mut open: Vec<usize> = (0..machines.len()).collect();
    for form in forms {
        let names: Vec<String> = machines.iter().map(form).collect();
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for at in &open {
            *uses.entry(names.get(*at).map_or("", String::as_str)).or_default() += 1;
        }
        let mut still_open = Vec::new();
        for at in open {
            let (Some(name), Some(machine)) = (names.get(at), machines.get_mut(at)) else {
                continue;
            };
            machine.name.clone_from(name);
            if uses.get(name.as_str()).is_some_and(|count| *count > 1) {
                still_open.push(at);
            }
        }
        open = still_open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, labels: &[(&str, &str)], boot: Option<f64>) -> ScrapeTarget {
        ScrapeTarget {
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            samples: 80.0,
            hosts: Some(host.to_owned()).filter(|host| !host.is_empty()).into_iter().collect(),
            boots: boot.map(|boot| (boot, boot)),
            ..ScrapeTarget::default()
        }
    }

    fn names(targets: Vec<ScrapeTarget>) -> Vec<String> {
        group_targets(targets).into_iter().map(|machine| machine.name).collect()
    }

    const A: (&str, &str) = ("instance", "10.0.0.1:9100");

    #[test]
    fn replicas_of_one_machine_are_one_node() {
        for label in ["prometheus_replica", "job", "pod", "whatever"] {
            let machines = group_targets(vec![
                target("web", &[A, (label, "a")], Some(1000.0)),
                target("web", &[A, (label, "b")], Some(1001.0)),
            ]);
            assert_eq!(machines.len(), 1, "{label}");
            assert_eq!(machines[0].name, "web");
            assert_eq!(machines[0].targets.len(), 2);
            assert_eq!(machines[0].replica_labels(), BTreeSet::from([label]));
        }
    }

    #[test]
    fn the_replica_with_most_samples_comes_first() {
        let mut weak = target("web", &[A, ("replica", "a")], Some(1000.0));
        weak.samples = 10.0;
        let strong = target("web", &[A, ("replica", "b")], Some(1000.0));
        let machines = group_targets(vec![weak, strong]);
        assert_eq!(machines[0].targets[0].label("replica"), "b");
    }

    #[test]
    fn two_clusters_with_one_instance_are_two_nodes() {
        let machines = group_targets(vec![
            target("web", &[A, ("cluster", "eu")], Some(1000.0)),
            target("web", &[A, ("cluster", "us")], Some(9000.0)),
        ]);
        let names: Vec<&str> = machines.iter().map(|machine| machine.name.as_str()).collect();
        assert_eq!(
            names,
            ["web (10.0.0.1:9100) {cluster=\"eu\"}", "web (10.0.0.1:9100) {cluster=\"us\"}"]
        );
        assert_eq!(machines[0].distinct["cluster"], "eu");
    }

    #[test]
    fn machines_of_different_size_are_not_one() {
        let of = |label, memory| ScrapeTarget {
            memory: Some(memory),
            ..target("web", &[A, ("pod", label)], Some(1000.0))
        };
        assert_eq!(group_targets(vec![of("a", 16e9), of("b", 64e9)]).len(), 2);
        assert_eq!(group_targets(vec![of("a", 16e9), of("b", 16.1e9)]).len(), 1);
    }

    #[test]
    fn without_host_and_boot_time_only_a_replica_label_joins() {
        let pair = |label| {
            names(vec![target("", &[A, (label, "a")], None), target("", &[A, (label, "b")], None)])
                .len()
        };
        assert_eq!(pair("prometheus_replica"), 1);
        assert_eq!(pair("cluster"), 2);
        assert_eq!(pair("job"), 2);
    }

    #[test]
    fn a_machine_that_was_booted_is_still_the_same_for_both_replicas() {
        let mut before_and_after = target("web", &[A, ("replica", "a")], None);
        before_and_after.boots = Some((1000.0, 5000.0));
        let only_after = target("web", &[A, ("replica", "b")], Some(5000.0));
        assert_eq!(names(vec![before_and_after, only_after]), ["web"]);
    }

    #[test]
    fn two_machines_of_one_name_are_told_apart_by_instance() {
        let b = ("instance", "10.0.0.2:9100");
        assert_eq!(
            names(vec![target("ubuntu", &[A], None), target("ubuntu", &[b], None)]),
            ["ubuntu (10.0.0.1:9100)", "ubuntu (10.0.0.2:9100)"]
        );
    }

    #[test]
    fn a_machine_without_an_instance_is_named_by_its_labels() {
        assert_eq!(names(vec![target("", &[("host", "web-1")], None)]), ["web-1"]);
        assert_eq!(names(vec![target("", &[("x", "y")], None)]), ["{x=\"y\"}"]);
    }

    #[test]
    fn the_host_of_an_instance_has_no_port_and_no_brackets() {
        assert_eq!(host_of("10.0.0.1:9100"), "10.0.0.1");
        assert_eq!(host_of("[fd00::1]:9100"), "fd00::1");
        assert_eq!(host_of("db1"), "db1");
    }
}
