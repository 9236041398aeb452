//! Series of other exporters in the same Prometheus, and which of our nodes they are of:
//! GPUs (dcgm-exporter), and what a cloud grants (the EBS CSI driver, CloudWatch).
//! Containers are in `containers`.
//!
//! Another exporter has another `instance`. Its series are given to a node by the label
//! that names the node, else by the host part of `instance`; what fits two nodes is given
//! to none.

use std::collections::{BTreeMap, BTreeSet};

use super::{decode::Answer, machines::host_of as host};
use crate::model::{
    catalogue::{self, SIGNALS, SignalRow},
    series::{Key, Point, RawSet, Signal, Snapshot},
    time::Timestamp,
};

/// The label that says which metric or quantity a series of an answer is.
pub(super) const METRIC: &str = "stressor_metric";
/// Labels that name a node, the surest first.
const NODE_LABELS: [&str; 8] = [
    "exported_node",
    "node",
    "kubernetes_io_hostname",
    "kubernetes_node",
    "nodename",
    "node_name",
    "Hostname",
    "hostname",
];
/// Labels that tell installations apart: where a node and a series both have one, it must
/// be the same.
const SCOPE_LABELS: [&str; 12] = [
    "cluster",
    "cluster_id",
    "cluster_name",
    "k8s_cluster",
    "kubernetes_cluster",
    "tenant",
    "tenant_id",
    "region",
    "datacenter",
    "dc",
    "env",
    "environment",
];
/// DCGM writes numbers from here on for "no value" (`DCGM_INT32_BLANK`; the blanks of its
/// wider types are larger). No gauge that is read here has a value like it.
const BLANK: f64 = 2_147_483_632.0;
/// Microseconds in a second.
const MICRO: f64 = 1e6;

/// A node as the answers may call it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// What the caller knows it by; returned with each signal.
    pub key: String,
    /// The `instance` label of its node_exporter.
    pub instance: String,
    /// `uname -n` there, or the scenario's name for it; empty names match nothing.
    pub names: Vec<String>,
    /// The cloud's identifier of it, where it is known: `board_asset_tag` of
    /// `node_dmi_info` on EC2 (`i-0123…`).
    pub cloud_id: Option<String>,
    /// All labels of its node_exporter's target.
    pub labels: BTreeMap<String, String>,
}

/// The nodes of a run, ready to be found by a series' labels.
#[derive(Debug, Default)]
pub struct Machines {
    all: Vec<Machine>,
    /// Places in `all`, by each name.
    by_name: BTreeMap<String, BTreeSet<usize>>,
    /// The same by the first label of a name that has dots.
    by_short: BTreeMap<String, BTreeSet<usize>>,
}

/// A signal of a node, made of another exporter's series.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// `key` of the node.
    pub node: String,
    /// Catalogue name.
    pub name: &'static str,
    /// Device and points.
    pub signal: Signal,
}

impl Machines {
    /// From the nodes of a run.
    pub fn new(all: Vec<Machine>) -> Self {
        let mut machines = Self::default();
        for (at, machine) in all.iter().enumerate() {
            let names = machine.names.iter().map(String::as_str);
            let instance = [machine.instance.as_str(), host(&machine.instance)];
            let cloud = machine.cloud_id.as_deref();
            for name in names.chain(instance).chain(cloud).filter(|name| !name.is_empty()) {
                machines.by_name.entry(name.to_owned()).or_default().insert(at);
                if let Some(short) = short(name) {
                    machines.by_short.entry(short.to_owned()).or_default().insert(at);
                }
            }
        }
        machines.all = all;
        machines
    }

    /// The `key` of the node that a series is of; `None` where no label names exactly one.
    ///
    /// A label that names a node counts before the host part of `instance`. `by_instance`
    /// says whether the latter may be used: the `instance` of kube-state-metrics is its own.
    pub fn locate(&self, labels: &BTreeMap<String, String>, by_instance: bool) -> Option<&str> {
        let named = NODE_LABELS
            .iter()
            .chain(&["instance_id", "dimension_InstanceId"])
            .filter_map(|label| labels.get(*label).map(String::as_str));
        let instance = labels.get("instance").filter(|_| by_instance).map(|one| host(one));
        for name in named.chain(instance).filter(|name| !name.is_empty()) {
            let of_scope = |places: &BTreeSet<usize>| -> Vec<&Machine> {
                let all = places.iter().filter_map(|at| self.all.get(*at));
                all.filter(|machine| is_of_scope(machine, labels)).collect()
            };
            // A whole name, else its first part where one side has no domain.
            let mut fits = self.by_name.get(name).map(of_scope).unwrap_or_default();
            if fits.is_empty() {
                let first = short(name).map_or(name, |short| short);
                let either = [self.by_name.get(first), self.by_short.get(name)];
                fits = either.into_iter().flatten().flat_map(of_scope).collect();
                fits.dedup_by(|a, b| a.key == b.key);
            }
            match fits.as_slice() {
                [one] => return Some(&one.key),
                // Not one of ours by this label: another may name it.
                [] => (),
                _ => return None,
            }
        }
        None
    }
}

/// The first part of a name with a domain; addresses have none.
fn short(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('.')?;
    let is_address = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b':');
    (!is_address && !first.is_empty()).then_some(first)
}

/// Whether no label that tells installations apart differs.
fn is_of_scope(machine: &Machine, labels: &BTreeMap<String, String>) -> bool {
    SCOPE_LABELS.iter().all(|label| match (machine.labels.get(*label), labels.get(*label)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    })
}

/// Gauges that are read as they are.
const GAUGES: &str = "DCGM_FI_DEV_GPU_UTIL|DCGM_FI_DEV_FB_USED|DCGM_FI_DEV_FB_FREE|\
    DCGM_FI_DEV_POWER_USAGE|DCGM_FI_DEV_POWER_MGMT_LIMIT|DCGM_FI_DEV_ENFORCED_POWER_LIMIT|\
    DCGM_FI_DEV_GPU_TEMP|DCGM_FI_DEV_CLOCK_THROTTLE_REASONS|DCGM_FI_DEV_CLOCKS_EVENT_REASONS|\
    DCGM_FI_DEV_XID_ERRORS|DCGM_FI_PROF_GR_ENGINE_ACTIVE|DCGM_FI_PROF_SM_ACTIVE|\
    aws_ec2_cpucredit_balance_average|aws_ebs_burst_balance_average";
/// Counters of which the increase each second is read, the signal that it makes, and how
/// many of its units are a second.
///
/// The EBS CSI driver counts seconds (`docs/metrics.md` there); ebs-metrics-exporter, the
/// microseconds of the volume's log page. DCGM documents microseconds; some versions count
/// nanoseconds (see [`scale_of`]).
const COUNTERS: [(&str, &str, f64); 10] = [
    ("DCGM_FI_DEV_POWER_VIOLATION", "gpu_power_violation", MICRO),
    ("DCGM_FI_DEV_THERMAL_VIOLATION", "gpu_thermal_violation", MICRO),
    ("aws_ebs_csi_exceeded_iops_seconds_total", "disk_allowance_volume", 1.0),
    ("aws_ebs_csi_exceeded_tp_seconds_total", "disk_allowance_volume", 1.0),
    ("aws_ebs_csi_ec2_exceeded_iops_seconds_total", "disk_allowance_instance", 1.0),
    ("aws_ebs_csi_ec2_exceeded_tp_seconds_total", "disk_allowance_instance", 1.0),
    ("ebs_volume_performance_exceeded_iops_total", "disk_allowance_volume", MICRO),
    ("ebs_volume_performance_exceeded_throughput_total", "disk_allowance_volume", MICRO),
    ("ebs_instance_performance_exceeded_iops_total", "disk_allowance_instance", MICRO),
    ("ebs_instance_performance_exceeded_throughput_total", "disk_allowance_instance", MICRO),
];

/// The one range query that asks for all of them. Without such exporters its answer is
/// empty.
///
/// `matchers` is put into each series' braces (`cluster="eu"`; may be empty; not the
/// selection of nodes: other exporters have other instances), `window_s` is the rate
/// window in seconds.
pub fn query(matchers: &str, window_s: f64) -> String {
    let comma = if matchers.is_empty() { "" } else { "," };
    let window = window_text(window_s);
    let gauges = format!(
        "label_replace({{__name__=~\"{GAUGES}\"{comma}{matchers}}}, \"{METRIC}\", \"$1\", \"__name__\", \"(.+)\")"
    );
    let capacity = named(
        &format!(
            "kube_node_status_capacity{{resource=~\"nvidia_com_gpu|amd_com_gpu\"{comma}{matchers}}} > 0"
        ),
        "kube_node_status_capacity",
    );
    let counters = COUNTERS
        .iter()
        .map(|(name, ..)| named(&format!("rate({name}{{{matchers}}}[{window}])"), name));
    [gauges, capacity].into_iter().chain(counters).collect::<Vec<_>>().join(" or ")
}

/// An expression whose series carry what they are as a label.
pub(super) fn named(promql: &str, name: &str) -> String {
    format!("label_replace({promql}, \"{METRIC}\", \"{name}\", \"\", \"\")")
}

/// A rate window as PromQL writes it.
pub(super) fn window_text(window_s: f64) -> String {
    format!("{}ms", (window_s * 1000.0).round())
}

/// Points by time; of two series of one thing (a GPU that several pods share, a container
/// that was made again) the larger value counts, as they say the same.
type Points = BTreeMap<Timestamp, f64>;

/// The signals of the nodes in an answer to [`query`]. Series of no node of ours, or of
/// more than one, are left out.
pub fn found(series: Vec<Answer>, machines: &Machines, window_s: f64) -> Vec<Found> {
    let mut gauges: BTreeMap<(String, Option<String>), BTreeMap<&'static str, Points>> =
        BTreeMap::new();
    let mut rates: BTreeMap<(String, &'static str, String), Points> = BTreeMap::new();
    let known: BTreeSet<&'static str> = GAUGES.split('|').collect();
    for Answer { labels, points } in series {
        let Some(metric) = labels.get(METRIC).or_else(|| labels.get("__name__")) else { continue };
        let by_instance = !metric.starts_with("kube_") && !is_of_cloudwatch(metric);
        let Some(node) = machines.locate(&labels, by_instance) else { continue };
        let device = device(metric, &labels);
        if let Some((name, signal, per_second)) = COUNTERS.iter().find(|(name, ..)| name == metric)
        {
            let scale = scale_of(name, &points, *per_second);
            let values = points.iter().map(|point| (point.t, (point.v / scale).clamp(0.0, 1.0)));
            let key = (node.to_owned(), *signal, device.unwrap_or_default());
            merge(rates.entry(key).or_default(), values);
        } else if let Some(metric) =
            known.get(metric.as_str()).copied().or((metric == CAPACITY).then_some(CAPACITY))
        {
            let is_value = |point: &&Point| point.v < BLANK;
            let values = points.iter().filter(is_value).map(|point| (point.t, point.v));
            let of_device = gauges.entry((node.to_owned(), device)).or_default();
            merge(of_device.entry(metric).or_default(), values);
        }
    }
    let mut all: Vec<Found> = gauges
        .into_iter()
        .flat_map(|((node, device), metrics)| of_gauges(&node, device.as_deref(), &metrics))
        .collect();
    all.extend(rates.into_iter().map(|((node, name, device), points)| Found {
        node,
        name,
        signal: signal(Some(device).filter(|device| !device.is_empty()), points, window_s),
    }));
    all.retain(|one| !one.signal.points.is_empty());
    all
}

/// What a node offers to Kubernetes.
const CAPACITY: &str = "kube_node_status_capacity";

/// Whether CloudWatch is asked for it by an exporter that runs anywhere.
fn is_of_cloudwatch(metric: &str) -> bool {
    ["aws_ec2_", "aws_ebs_burst_"].iter().any(|prefix| metric.starts_with(prefix))
}

/// Add points to others of the same thing.
pub(super) fn merge(points: &mut Points, more: impl Iterator<Item = (Timestamp, f64)>) {
    for (t, v) in more {
        points.entry(t).and_modify(|old| *old = old.max(v)).or_insert(v);
    }
}

/// A signal of these points.
pub(super) fn signal(device: Option<String>, points: Points, window_s: f64) -> Signal {
    let points = points.into_iter().map(|(t, v)| Point { t, v }).collect();
    Signal { device, points, window_s }
}

/// Which GPU or volume a series is of; `None` for the whole node.
fn device(metric: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    let label =
        |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).filter(|v| !v.is_empty());
    if metric.starts_with("DCGM_") {
        let gpu = label(&["gpu", "device", "UUID", "uuid"])?;
        // A part of a GPU (MIG) is a device of its own.
        return Some(match label(&["GPU_I_ID"]) {
            Some(part) => format!("{gpu}/{part}"),
            None => gpu.clone(),
        });
    }
    if metric.contains("ebs") {
        return label(&["volume_id", "dimension_VolumeId", "VolumeId", "device"]).cloned();
    }
    None
}

/// Units of a counter in a second. DCGM's violation counters are documented in
/// microseconds, of which a second has a million: what grows faster is in nanoseconds.
fn scale_of(metric: &str, points: &[Point], per_second: f64) -> f64 {
    let is_faster = || points.iter().any(|point| point.v > 1.1 * MICRO);
    if metric.starts_with("DCGM_") && is_faster() { 1000.0 * per_second } else { per_second }
}

/// The catalogue's signals of gauges of one device.
fn of_gauges(
    node: &str,
    device: Option<&str>,
    metrics: &BTreeMap<&'static str, Points>,
) -> Vec<Found> {
    let mut snapshots: BTreeMap<Timestamp, Vec<(Key, f64)>> = BTreeMap::new();
    let mut add = |t: &Timestamp, name: &str, v: f64| {
        let labels = device.map(|device| [("gpu", device), ("volume", device)]);
        let key = Key::new(name, labels.as_ref().map_or(&[], |labels| labels.as_slice()));
        snapshots.entry(*t).or_default().push((key, v));
    };
    for (name, points) in metrics {
        for (t, v) in points {
            add(t, name, *v);
            if name.ends_with("_REASONS") {
                // NVML: SW power cap and HW power brake; SW and HW thermal slowdown.
                add(t, "stressor_gpu_power_capped", f64::from(u8::from(has_bits(*v, 0x84))));
                add(t, "stressor_gpu_thermal_slowed", f64::from(u8::from(has_bits(*v, 0x60))));
            }
        }
    }
    let mut raw = RawSet::default();
    for (t, values) in snapshots {
        raw.push(&Snapshot { t, values });
    }
    let is_wanted = |row: &&SignalRow| row.is_companion() && !row.expr.has_rate();
    SIGNALS
        .iter()
        .filter(is_wanted)
        .flat_map(|row| row.expr.evaluate(&raw, 0.0).into_iter().map(move |signal| (row, signal)))
        .map(|(row, signal)| Found { node: node.to_owned(), name: row.name, signal })
        .collect()
}

/// Whether a bit mask, as a number, has one of these bits.
fn has_bits(mask: f64, bits: u32) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mask of 32 bits"
    )]
    let mask = if (0.0..BLANK).contains(&mask) { mask as u32 } else { 0 };
    mask & bits != 0
}

/// The catalogue's own name of a signal.
pub(super) fn row_name(name: &str) -> Option<&'static str> {
    catalogue::signal(name).map(|row| row.name)
}

/// The rate window for other exporters' counters, in seconds: the kubelet's and the GPU
/// operator's are scraped every 15 to 60 s, whatever node_exporter's interval is. At least
/// `window_s`, and two minutes where the window that is looked at has room for five of it.
pub fn rate_window(window_s: f64, length_s: f64) -> f64 {
    window_s.max((length_s / 5.0).min(120.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(key: &str, instance: &str, name: &str) -> Machine {
        Machine {
            key: key.into(),
            instance: instance.into(),
            names: vec![name.into()],
            ..Machine::default()
        }
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn answer(metric: &str, pairs: &[(&str, &str)], v: f64) -> Answer {
        let mut labels = labels(pairs);
        labels.insert(METRIC.into(), metric.into());
        let points = (0..10).map(|at| Point { t: Timestamp(at * 15_000), v }).collect();
        Answer { labels, points }
    }

    fn machines() -> Machines {
        Machines::new(vec![
            machine("a", "10.0.0.1:9100", "alpha"),
            machine("b", "10.0.0.2:9100", "ip-10-0-0-2.ec2.internal"),
        ])
    }

    #[test]
    fn a_series_is_of_the_node_that_a_label_names() {
        let machines = machines();
        let at = |pairs: &[(&str, &str)]| machines.locate(&labels(pairs), true).map(str::to_owned);
        let a = Some("a".to_owned());
        let b = Some("b".to_owned());
        assert_eq!(at(&[("node", "alpha"), ("instance", "10.9.9.9:8080")]), a);
        assert_eq!(at(&[("Hostname", "dcgm-x7f"), ("instance", "10.0.0.2:9400")]), b);
        assert_eq!(at(&[("instance", "10.0.0.1:10250")]), a);
        assert_eq!(at(&[("node", "alpha.example.org")]), a);
        assert_eq!(at(&[("node", "ip-10-0-0-2")]), b);
        assert_eq!(at(&[("instance", "10.0.0.3:10250")]), None);
        // The part of an address before a dot is no name.
        assert_eq!(at(&[("node", "10")]), None);
        assert_eq!(machines.locate(&labels(&[("instance", "10.0.0.1:8080")]), false), None);
    }

    #[test]
    fn what_fits_two_nodes_is_given_to_none() {
        let mut twins =
            vec![machine("a", "10.0.0.1:9100", "ubuntu"), machine("b", "10.0.0.2:9100", "ubuntu")];
        let at = |twins: &[Machine], pairs: &[(&str, &str)]| {
            Machines::new(twins.to_vec()).locate(&labels(pairs), true).map(str::to_owned)
        };
        assert_eq!(at(&twins, &[("node", "ubuntu"), ("instance", "10.0.0.1:10250")]), None);
        for (twin, cluster) in twins.iter_mut().zip(["eu", "us"]) {
            twin.labels.insert("cluster".into(), cluster.into());
        }
        let named = [("node", "ubuntu"), ("cluster", "us")];
        assert_eq!(at(&twins, &named), Some("b".to_owned()));
        assert_eq!(at(&twins, &[("node", "ubuntu"), ("cluster", "asia")]), None);
    }

    #[test]
    fn one_query_asks_for_everything_and_carries_the_matchers() {
        let query = query("cluster=\"eu\"", 120.0);
        assert!(query.contains("DCGM_FI_DEV_GPU_UTIL|"), "{query}");
        assert!(!query.contains(' ') || !query.contains("| "), "{query}");
        assert_eq!(query.matches("cluster=\"eu\"").count(), 2 + COUNTERS.len());
        assert!(
            query.contains(
                "rate(aws_ebs_csi_exceeded_iops_seconds_total{cluster=\"eu\"}[120000ms])"
            )
        );
    }

    #[test]
    fn gauges_of_a_gpu_become_its_signals() {
        let gpu = [("gpu", "3"), ("Hostname", "alpha"), ("instance", "x:9400")];
        let shared = [("gpu", "3"), ("Hostname", "alpha"), ("pod", "other")];
        let all = found(
            vec![
                answer("DCGM_FI_DEV_GPU_UTIL", &gpu, 100.0),
                // The same GPU, for another pod that shares it.
                answer("DCGM_FI_DEV_GPU_UTIL", &shared, 100.0),
                answer("DCGM_FI_DEV_FB_USED", &gpu, 30.0),
                answer("DCGM_FI_DEV_FB_FREE", &gpu, 10.0),
                answer("DCGM_FI_DEV_POWER_USAGE", &gpu, 350.0),
                answer("DCGM_FI_DEV_POWER_MGMT_LIMIT", &gpu, 700.0),
                answer("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", &gpu, 350.0),
                answer("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", &gpu, 4.0),
                // No value.
                answer("DCGM_FI_DEV_GPU_TEMP", &gpu, 9_223_372_036_854_775_794.0),
                // Of nobody here.
                answer("DCGM_FI_DEV_GPU_UTIL", &[("gpu", "0"), ("Hostname", "omega")], 100.0),
            ],
            &machines(),
            120.0,
        );
        let get = |name: &str| {
            let of: Vec<_> = all.iter().filter(|one| one.name == name).collect();
            assert_eq!(of.len(), 1, "{name}: {all:#?}");
            assert_eq!((of[0].node.as_str(), of[0].signal.device.as_deref()), ("a", Some("3")));
            of[0].signal.points[0].v
        };
        assert_eq!(get("gpu_busy"), 1.0);
        assert_eq!(get("gpu_memory_used_ratio"), 0.75);
        assert_eq!(get("gpu_power_ratio"), 1.0);
        assert_eq!(get("gpu_power_capped"), 1.0);
        assert_eq!(get("gpu_thermal_slowed"), 0.0);
        assert!(!all.iter().any(|one| one.name == "gpu_temperature"));
    }

    #[test]
    fn violations_are_read_in_the_unit_that_they_can_be_in() {
        let gpu = [("gpu", "0"), ("Hostname", "alpha")];
        for (rate, share) in [(500_000.0, 0.5), (500_000_000.0, 0.5)] {
            let all =
                found(vec![answer("DCGM_FI_DEV_POWER_VIOLATION", &gpu, rate)], &machines(), 120.0);
            assert_eq!(all[0].name, "gpu_power_violation");
            assert_eq!((all[0].signal.points[0].v, all[0].signal.window_s), (share, 120.0));
        }
    }

    #[test]
    fn a_volume_is_held_back_by_the_larger_of_its_two_allowances() {
        let volume = [("volume_id", "vol-1"), ("instance", "10.0.0.2:3302")];
        let all = found(
            vec![
                answer("aws_ebs_csi_exceeded_iops_seconds_total", &volume, 0.7),
                answer("aws_ebs_csi_exceeded_tp_seconds_total", &volume, 0.1),
            ],
            &machines(),
            120.0,
        );
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].node.as_str(), all[0].name), ("b", "disk_allowance_volume"));
        assert_eq!(all[0].signal.points[0].v, 0.7);
    }
}
