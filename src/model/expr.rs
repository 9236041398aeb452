//! How a signal is computed from node_exporter's series: one expression that
//! is both printed as PromQL and evaluated over sampled counters, so that the
//! two sources cannot drift apart.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    series::{Point, RawSet, Signal},
    time::Timestamp,
};

/// A label condition.
#[derive(Debug, Clone, Copy)]
pub enum Match {
    /// The label is one of these.
    In(&'static str, &'static [&'static str]),
    /// The label is none of these.
    NotIn(&'static str, &'static [&'static str]),
    /// The label does not start with any of these.
    NotPrefix(&'static str, &'static [&'static str]),
}

/// A selection of series of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Select {
    /// The name in node_exporter.
    pub metric: &'static str,
    /// Conditions that all hold.
    pub matches: &'static [Match],
}

/// An expression over one node's series. `by` names the label that becomes
/// the signal's device; without one, all series of the node are summed.
#[derive(Debug, Clone, Copy)]
pub enum Expr {
    /// Sum of the per-second increase of counters.
    Rate(Select, Option<&'static str>),
    /// Largest of the per-second increases of counters.
    MaxRate(Select, Option<&'static str>),
    /// Sum of gauges.
    Gauge(Select, Option<&'static str>),
    /// The first, or the second for devices and moments that the first does not have:
    /// a metric under its older and its newer name.
    Or(&'static Expr, &'static Expr),
    /// The first, of devices for which these two gauges are equal.
    WhereEqual(&'static Expr, &'static Expr, &'static Expr),
    /// The largest over the devices.
    Max(&'static Expr),
    /// The sum of two, where both exist.
    Add(&'static Expr, &'static Expr),
    /// The quotient, where the divisor is above zero.
    Div(&'static Expr, &'static Expr),
    /// A multiple.
    Scale(f64, &'static Expr),
    /// One minus.
    OneMinus(&'static Expr),
}

/// Shorthand for a selection without conditions.
pub const fn metric(metric: &'static str) -> Select {
    Select { metric, matches: &[] }
}

/// Shorthand for a selection with conditions.
pub const fn select(metric: &'static str, matches: &'static [Match]) -> Select {
    Select { metric, matches }
}

impl Expr {
    /// The label that becomes the device.
    pub fn device_label(&self) -> Option<&'static str> {
        match self {
            Self::Rate(_, by) | Self::MaxRate(_, by) | Self::Gauge(_, by) => *by,
            Self::Max(_) => None,
            Self::Add(a, b) | Self::Div(a, b) | Self::Or(a, b) => {
                a.device_label().or(b.device_label())
            }
            Self::Scale(_, a) | Self::OneMinus(a) | Self::WhereEqual(a, ..) => a.device_label(),
        }
    }

    /// Whether a counter's rate is in it, so that it averages over a window.
    pub fn has_rate(&self) -> bool {
        match self {
            Self::Rate(..) | Self::MaxRate(..) => true,
            Self::Gauge(..) => false,
            Self::Max(a) | Self::Scale(_, a) | Self::OneMinus(a) | Self::WhereEqual(a, ..) => {
                a.has_rate()
            }
            Self::Add(a, b) | Self::Div(a, b) | Self::Or(a, b) => a.has_rate() || b.has_rate(),
        }
    }

    /// The PromQL that yields it for every node at once.
    ///
    /// `selector` is put into each series' braces (`job="node"`; may be
    /// empty), `window` is the rate window (`4s`).
    ///
    /// Aggregation drops only the labels that the exporter itself gives a metric
    /// (`cpu`, `mode` …). All labels of the target stay, so that series of two
    /// machines or two Prometheus replicas are never added up: they arrive as
    /// separate series, and the reader sees in which label they differ.
    pub fn promql(&self, selector: &str, window: &str) -> String {
        match self {
            Self::Rate(select, by) => {
                let series = select.promql(selector, *by);
                format!("sum {} (rate({series}[{window}]))", select.without(*by))
            }
            Self::MaxRate(select, by) => {
                let series = select.promql(selector, *by);
                format!("max {} (rate({series}[{window}]))", select.without(*by))
            }
            Self::Gauge(select, by) => {
                format!("sum {} ({})", select.without(*by), select.promql(selector, *by))
            }
            Self::Max(a) => {
                let label = a.device_label().unwrap_or_default();
                format!("max without ({label}) ({})", a.promql(selector, window))
            }
            Self::Add(a, b) => {
                format!("({} + {})", a.promql(selector, window), b.promql(selector, window))
            }
            Self::Div(a, b) => {
                format!("({} / ({} > 0))", a.promql(selector, window), b.promql(selector, window))
            }
            Self::Or(a, b) => {
                format!("({} or {})", a.promql(selector, window), b.promql(selector, window))
            }
            Self::WhereEqual(a, b, c) => format!(
                "({} and ({} == {}))",
                a.promql(selector, window),
                b.promql(selector, window),
                c.promql(selector, window)
            ),
            Self::Scale(factor, a) => format!("({factor} * {})", a.promql(selector, window)),
            Self::OneMinus(a) => format!("(1 - {})", a.promql(selector, window)),
        }
    }

    /// The metrics it reads.
    pub fn metrics(&self) -> Vec<&'static str> {
        match self {
            Self::Rate(select, _) | Self::MaxRate(select, _) | Self::Gauge(select, _) => {
                vec![select.metric]
            }
            Self::Max(a) | Self::Scale(_, a) | Self::OneMinus(a) => a.metrics(),
            Self::WhereEqual(a, b, c) => [a.metrics(), b.metrics(), c.metrics()].concat(),
            Self::Add(a, b) | Self::Div(a, b) | Self::Or(a, b) => {
                let mut all = a.metrics();
                all.extend(b.metrics());
                all
            }
        }
    }

    /// The signals it yields from sampled counters, one a device.
    ///
    /// A rate needs two samples; a counter that went back (a reset, a wrapped
    /// or re-plugged device) yields no point for that interval.
    pub fn evaluate(&self, raw: &RawSet, interval_s: f64) -> Vec<Signal> {
        let window_s = if self.has_rate() { interval_s } else { 0.0 };
        self.points(raw)
            .into_iter()
            .filter(|(_, points)| !points.is_empty())
            .map(|(device, points)| Signal {
                device,
                points: points.into_iter().map(|(t, v)| Point { t, v }).collect(),
                window_s,
            })
            .collect()
    }

    fn points(&self, raw: &RawSet) -> Devices {
        match self {
            Self::Rate(select, by) => grouped(select, *by, raw, rates, |a, b| a + b),
            Self::MaxRate(select, by) => grouped(select, *by, raw, rates, f64::max),
            Self::Gauge(select, by) => {
                let values = |points: &[Point]| {
                    points.iter().map(|point| (point.t, Some(point.v))).collect()
                };
                grouped(select, *by, raw, values, |a, b| a + b)
            }
            Self::Max(a) => {
                let mut largest = BTreeMap::<Timestamp, f64>::new();
                for (t, v) in a.points(raw).into_values().flatten() {
                    largest.entry(t).and_modify(|old| *old = old.max(v)).or_insert(v);
                }
                BTreeMap::from([(None, largest)])
            }
            Self::Add(a, b) => joined(a.points(raw), &b.points(raw), |x, y| Some(x + y)),
            Self::Div(a, b) => {
                joined(a.points(raw), &b.points(raw), |x, y| (y > 0.0).then(|| x / y))
            }
            Self::Or(a, b) => {
                let mut all = b.points(raw);
                for (device, points) in a.points(raw) {
                    all.entry(device).or_default().extend(points);
                }
                all
            }
            Self::WhereEqual(a, b, c) => {
                let equal = joined(b.points(raw), &c.points(raw), |x, y| {
                    ((x - y).abs() < 0.5).then_some(1.0)
                });
                joined(a.points(raw), &equal, |v, _| Some(v))
            }
            Self::Scale(factor, a) => mapped(a.points(raw), |v| factor * v),
            Self::OneMinus(a) => mapped(a.points(raw), |v| 1.0 - v),
        }
    }
}

type Devices = BTreeMap<Option<String>, BTreeMap<Timestamp, f64>>;

/// A member's value at each time; `None` where it existed but cannot be used.
type Member = Vec<(Timestamp, Option<f64>)>;

fn grouped(
    select: &Select,
    by: Option<&str>,
    raw: &RawSet,
    of: impl Fn(&[Point]) -> Member,
    with: impl Fn(f64, f64) -> f64,
) -> Devices {
    let mut sums: BTreeMap<Option<String>, BTreeMap<Timestamp, Option<f64>>> = BTreeMap::new();
    for (labels, points) in select.series(raw) {
        let device = by.map(|label| labels.get(label).cloned().unwrap_or_default());
        let group = sums.entry(device).or_default();
        for (t, v) in of(points) {
            // One unusable member makes the sum of that moment unusable.
            let sum = group.entry(t).or_insert(Some(0.0));
            *sum = sum.zip(v).map(|(a, b)| with(a, b));
        }
    }
    sums.into_iter()
        .map(|(device, group)| {
            (device, group.into_iter().filter_map(|(t, v)| Some((t, v?))).collect())
        })
        .collect()
}

fn rates(points: &[Point]) -> Member {
    points
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            let seconds = after.t.since(before.t);
            if seconds <= 0.0 {
                return None;
            }
            let increase = after.v - before.v;
            Some((after.t, (increase >= 0.0).then(|| increase / seconds)))
        })
        .collect()
}

fn joined(a: Devices, b: &Devices, of: impl Fn(f64, f64) -> Option<f64>) -> Devices {
    a.into_iter()
        .filter_map(|(device, points)| {
            let other = b.get(&device)?;
            let points = points
                .into_iter()
                .filter_map(|(t, x)| Some((t, of(x, *other.get(&t)?)?)))
                .collect();
            Some((device, points))
        })
        .collect()
}

fn mapped(devices: Devices, of: impl Fn(f64) -> f64) -> Devices {
    devices
        .into_iter()
        .map(|(device, points)| (device, points.into_iter().map(|(t, v)| (t, of(v))).collect()))
        .collect()
}

impl Select {
    fn series<'a>(
        &'a self,
        raw: &'a RawSet,
    ) -> impl Iterator<Item = (&'a BTreeMap<String, String>, &'a [Point])> {
        raw.of(self.metric)
            .filter(|(labels, _)| self.matches.iter().all(|condition| condition.holds(labels)))
    }

    /// `without (cpu, mode)`: the labels that the exporter gives the metric, except
    /// the one that names the device.
    fn without(&self, by: Option<&str>) -> String {
        let dropped = exporter_labels(self.metric).iter().filter(|label| Some(**label) != by);
        format!("without ({})", dropped.copied().collect::<Vec<_>>().join(", "))
    }

    /// The series selector. Where a label names the device, series without that label
    /// are left out: somebody has already aggregated over all devices.
    fn promql(&self, selector: &str, by: Option<&str>) -> String {
        let mut conditions: Vec<String> = self.matches.iter().map(Match::promql).collect();
        conditions.extend(by.map(|label| format!("{label}!=\"\"")));
        if !selector.is_empty() {
            conditions.push(selector.to_owned());
        }
        let mut text = self.metric.to_owned();
        if !conditions.is_empty() {
            let _ = write!(text, "{{{}}}", conditions.join(","));
        }
        text
    }
}

impl Match {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |label: &str| labels.get(label).map_or("", String::as_str).to_owned();
        match self {
            Self::In(label, allowed) => allowed.contains(&value(label).as_str()),
            Self::NotIn(label, refused) => !refused.contains(&value(label).as_str()),
            Self::NotPrefix(label, refused) => {
                !refused.iter().any(|prefix| value(label).starts_with(prefix))
            }
        }
    }

    fn promql(&self) -> String {
        match self {
            Self::In(label, allowed) => format!("{label}=~\"{}\"", allowed.join("|")),
            Self::NotIn(label, refused) => format!("{label}!~\"{}\"", refused.join("|")),
            Self::NotPrefix(label, refused) => format!("{label}!~\"({}).*\"", refused.join("|")),
        }
    }
}

/// The labels that node_exporter itself gives the series of a metric; all other labels
/// describe the target. From the metrics of node_exporter 1.5 to 1.11.
fn exporter_labels(metric: &str) -> &'static [&'static str] {
    const LABELS: &[(&str, &[&str])] = &[
        ("node_cpu_core_throttles_total", &["core", "package"]),
        ("node_cpu_package_throttles_total", &["package"]),
        ("node_cpu_", &["cpu", "mode"]),
        ("node_softnet_", &["cpu"]),
        ("node_schedstat_", &["cpu"]),
        ("node_disk_", &["device"]),
        ("node_network_", &["device"]),
        ("node_qdisc_", &["device", "kind"]),
        ("node_filesystem_", &["device", "device_error", "fstype", "mountpoint"]),
        ("node_mountstats_nfs_", &["export", "mountaddr", "operation", "protocol"]),
        ("node_ethtool_", &["device"]),
        ("node_processes_state", &["state"]),
        (
            "node_dmi_info",
            &[
                "bios_date",
                "bios_release",
                "bios_vendor",
                "bios_version",
                "board_asset_tag",
                "board_name",
                "board_serial",
                "board_vendor",
                "board_version",
                "chassis_asset_tag",
                "chassis_serial",
                "chassis_vendor",
                "chassis_version",
                "product_family",
                "product_name",
                "product_serial",
                "product_sku",
                "product_uuid",
                "product_version",
                "system_vendor",
            ],
        ),
    ];
    let known = LABELS.iter().find(|(prefix, _)| metric.starts_with(prefix));
    known.map_or(&[], |(_, labels)| labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Key, Snapshot};

    const BUSY: Select = select("cpu", &[Match::NotIn("mode", &["idle", "iowait"])]);
    const BUSY_RATIO: Expr = Expr::Div(&Expr::Rate(BUSY, None), &Expr::Rate(metric("cpu"), None));

    const AWAIT: Expr = Expr::Div(&Expr::Rate(metric("a"), None), &Expr::Rate(metric("b"), None));
    const RATE: Expr = Expr::Rate(metric("a"), Some("device"));

    fn raw(rows: &[(i64, &[(&str, f64)])]) -> RawSet {
        let mut raw = RawSet::default();
        for (t, values) in rows {
            let values = values.iter().map(|(key, v)| (Key::parse(key).unwrap(), *v)).collect();
            raw.push(&Snapshot { t: Timestamp(*t), values });
        }
        raw
    }

    #[test]
    fn busy_is_a_share_of_all_modes() {
        let raw = raw(&[
            (0, &[("cpu{mode=\"user\"}", 0.0), ("cpu{mode=\"idle\"}", 0.0)]),
            (1000, &[("cpu{mode=\"user\"}", 0.75), ("cpu{mode=\"idle\"}", 0.25)]),
        ]);
        let signals = BUSY_RATIO.evaluate(&raw, 1.0);
        assert_eq!(signals.len(), 1);
        assert_eq!(signals[0].points, [Point { t: Timestamp(1000), v: 0.75 }]);
    }

    #[test]
    fn a_counter_that_went_back_yields_no_point() {
        let raw = raw(&[(0, &[("a", 100.0)]), (1000, &[("a", 5.0)]), (2000, &[("a", 7.0)])]);
        let signals = Expr::Rate(metric("a"), None).evaluate(&raw, 1.0);
        assert_eq!(signals[0].points, [Point { t: Timestamp(2000), v: 2.0 }]);
    }

    #[test]
    fn nothing_over_nothing_is_no_point() {
        let raw = raw(&[(0, &[("a", 1.0), ("b", 1.0)]), (1000, &[("a", 1.0), ("b", 1.0)])]);
        assert!(AWAIT.evaluate(&raw, 1.0).is_empty());
    }

    #[test]
    fn an_older_name_of_a_metric_serves_where_the_newer_is_missing() {
        const EITHER: Expr = Expr::Or(&RATE, &Expr::Rate(metric("b"), Some("device")));
        let raw = raw(&[
            (0, &[("a{device=\"x\"}", 0.0), ("b{device=\"x\"}", 0.0), ("b{device=\"y\"}", 0.0)]),
            (1000, &[("a{device=\"x\"}", 1.0), ("b{device=\"x\"}", 5.0), ("b{device=\"y\"}", 2.0)]),
        ]);
        let values: Vec<_> =
            EITHER.evaluate(&raw, 1.0).into_iter().map(|s| (s.device, s.points[0].v)).collect();
        assert_eq!(values, [(Some("x".to_owned()), 1.0), (Some("y".to_owned()), 2.0)]);
        assert_eq!(
            EITHER.promql("", "4s"),
            "(sum without () (rate(a{device!=\"\"}[4s])) or sum without () (rate(b{device!=\"\"}[4s])))"
        );
    }

    #[test]
    fn devices_stay_apart() {
        let raw = raw(&[
            (0, &[("a{device=\"x\"}", 0.0), ("a{device=\"y\"}", 0.0)]),
            (1000, &[("a{device=\"x\"}", 1.0), ("a{device=\"y\"}", 2.0)]),
        ]);
        let devices: Vec<_> =
            RATE.evaluate(&raw, 1.0).into_iter().map(|s| (s.device, s.points[0].v)).collect();
        assert_eq!(devices, [(Some("x".to_owned()), 1.0), (Some("y".to_owned()), 2.0)]);
        let largest = Expr::Max(&RATE).evaluate(&raw, 1.0);
        assert_eq!(largest[0].points[0].v, 2.0);
    }

    #[test]
    fn the_promql_says_the_same() {
        assert_eq!(
            BUSY_RATIO.promql("job=\"node\"", "4s"),
            "(sum without () (rate(cpu{mode!~\"idle|iowait\",job=\"node\"}[4s])) / \
             (sum without () (rate(cpu{job=\"node\"}[4s])) > 0))"
        );
    }

    #[test]
    fn the_promql_keeps_the_labels_of_the_target() {
        const BUSY: Expr = Expr::Rate(metric("node_cpu_seconds_total"), Some("cpu"));
        assert_eq!(
            Expr::Max(&BUSY).promql("", "4s"),
            "max without (cpu) (sum without (mode) (rate(node_cpu_seconds_total{cpu!=\"\"}[4s])))"
        );
        let queue = Expr::Gauge(metric("node_qdisc_backlog"), Some("device"));
        assert_eq!(
            queue.promql("job=\"node\"", "4s"),
            "sum without (kind) (node_qdisc_backlog{device!=\"\",job=\"node\"})"
        );
    }
}
