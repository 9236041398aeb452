//! How a signal is computed from node_exporter's series: one expression that
//! is both printed as PromQL and evaluated over sampled counters, so that the
//! two sources cannot drift apart.

mod evaluate;

use std::{collections::BTreeMap, fmt::Write as _};

use super::mounts;

/// The metric of CPU time by core and mode, whose counters can run backwards.
pub const CPU_TIME: &str = "node_cpu_seconds_total";
/// Seconds that the modes of one core add up to in a second: at least this,
pub const LEAST_PER_CORE: f64 = 0.8;
/// and at most this. In between lie the rounding to ticks and the distance between the
/// times at which the modes are read; a counter that jumped lies far outside.
pub const MOST_PER_CORE: f64 = 1.2;

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
    /// Number of different values that these labels have together.
    Distinct(Select, &'static [&'static str]),
    /// CPU seconds of all modes of a core in one second, for cores where that is not
    /// about one: their counters ran backwards or jumped.
    ///
    /// In PromQL only totals above [`MOST_PER_CORE`] are found. A counter that ran
    /// backwards always causes one, because `rate()` takes a decrease for a restart.
    CoreTimeOff(Select),
    /// The first, of devices for which these two gauges are equal.
    WhereEqual(&'static Expr, &'static Expr, &'static Expr),
    /// The first, where it is above the second.
    WhereAbove(&'static Expr, &'static Expr),
    /// It, where it is above zero.
    Positive(&'static Expr),
    /// The first, except where the second is above zero.
    Unless(&'static Expr, &'static Expr),
    /// The first, and where it does not exist the second.
    Or(&'static Expr, &'static Expr),
    /// The largest over the devices.
    Max(&'static Expr),
    /// The sum of two, where both exist.
    Add(&'static Expr, &'static Expr),
    /// The product of two, where both exist.
    Mul(&'static Expr, &'static Expr),
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
            Self::Max(_) | Self::Distinct(..) => None,
            Self::CoreTimeOff(_) => Some("cpu"),
            Self::Add(a, b) | Self::Mul(a, b) | Self::Div(a, b) | Self::Or(a, b) => {
                a.device_label().or(b.device_label())
            }
            Self::Scale(_, a)
            | Self::OneMinus(a)
            | Self::Positive(a)
            | Self::WhereEqual(a, ..)
            | Self::WhereAbove(a, _)
            | Self::Unless(a, _) => a.device_label(),
        }
    }

    /// Removes from a series' labels those that name the device, and returns its name.
    ///
    /// A file system is named by three labels. Its name is to be given to
    /// [`mounts::settle`] with those of the node's other file systems.
    pub fn take_device(&self, labels: &mut BTreeMap<String, String>) -> Option<String> {
        let label = self.device_label()?;
        let device = device_of(label, labels);
        for label in device_labels(label) {
            labels.remove(*label);
        }
        device
    }

    /// Whether a counter's rate is in it, so that it averages over a window.
    pub fn has_rate(&self) -> bool {
        match self {
            Self::Rate(..) | Self::MaxRate(..) | Self::CoreTimeOff(_) => true,
            Self::Gauge(..) | Self::Distinct(..) => false,
            Self::Max(a)
            | Self::Scale(_, a)
            | Self::OneMinus(a)
            | Self::Positive(a)
            | Self::WhereEqual(a, ..) => a.has_rate(),
            Self::Add(a, b)
            | Self::Mul(a, b)
            | Self::Div(a, b)
            | Self::Or(a, b)
            | Self::WhereAbove(a, b)
            | Self::Unless(a, b) => a.has_rate() || b.has_rate(),
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
        self.written(&Query { selector, window, is_guarded: false }, Name::Dropped)
    }

    /// The same, with CPU time of those cores and moments only for which the modes add
    /// up to about one second per second.
    ///
    /// It costs about three times as much as [`Expr::promql`], so it is for nodes on
    /// which [`Expr::CoreTimeOff`] has found something.
    pub fn promql_guarded(&self, selector: &str, window: &str) -> String {
        self.written(&Query { selector, window, is_guarded: true }, Name::Dropped)
    }

    /// `name` says what becomes of a metric's name: an operation on values drops it, so
    /// that no aggregation need do so.
    fn written(&self, query: &Query<'_>, name: Name) -> String {
        let value = |of: &Self| of.written(query, Name::MayStay);
        let same = |of: &Self| of.written(query, name);
        match self {
            Self::Rate(select, by) => select.aggregated("sum", *by, query.rate(select, *by)),
            Self::MaxRate(select, by) => select.aggregated("max", *by, query.rate(select, *by)),
            Self::Gauge(select, by) => {
                let series = select.promql(query.selector, *by);
                let is_single = select.dropped(*by).next().is_none();
                match name {
                    Name::Dropped if is_single => format!("sum without () ({series})"),
                    _ => select.aggregated("sum", *by, series),
                }
            }
            Self::Distinct(select, labels) => {
                let dropped = exporter_labels(select.metric);
                let dropped = dropped.iter().filter(|label| !labels.contains(label)).copied();
                let dropped = dropped.collect::<Vec<_>>().join(", ");
                let series = select.promql(query.selector, labels.first().copied());
                let labels = labels.join(", ");
                format!("count without ({labels}) (count without ({dropped}) ({series}))")
            }
            Self::CoreTimeOff(select) => {
                let series = select.promql(query.selector, Some("cpu"));
                let total = format!("sum without (mode) (rate({series}[{}]))", query.window);
                format!("({total} > {MOST_PER_CORE})")
            }
            Self::Max(a) => {
                let label = a.device_label().unwrap_or_default();
                format!("max without ({label}) ({})", value(a))
            }
            Self::Add(a, b) => format!("({} + {})", value(a), value(b)),
            Self::Mul(a, b) => format!("({} * {})", value(a), value(b)),
            Self::Div(a, b) => format!("({} / ({} > 0))", value(a), value(b)),
            Self::Scale(factor, a) => format!("({factor} * {})", value(a)),
            Self::OneMinus(a) => format!("(1 - {})", value(a)),
            Self::Or(a, b) => format!("({} or {})", same(a), same(b)),
            Self::Positive(a) => format!("({} > 0)", same(a)),
            Self::WhereAbove(a, b) => format!("({} > {})", same(a), value(b)),
            Self::Unless(a, b) => format!("({} unless ({} > 0))", same(a), value(b)),
            Self::WhereEqual(a, b, c) => {
                format!("({} and ({} == {}))", same(a), value(b), value(c))
            }
        }
    }

    /// The metrics that it cannot do without. Of two alternatives the second is always
    /// enough.
    pub fn metrics(&self) -> Vec<&'static str> {
        match self {
            Self::Rate(select, _)
            | Self::MaxRate(select, _)
            | Self::Gauge(select, _)
            | Self::Distinct(select, _)
            | Self::CoreTimeOff(select) => vec![select.metric],
            Self::Max(a)
            | Self::Scale(_, a)
            | Self::OneMinus(a)
            | Self::Positive(a)
            | Self::Unless(a, _) => a.metrics(),
            Self::Or(_, b) => b.metrics(),
            Self::WhereEqual(a, b, c) => [a.metrics(), b.metrics(), c.metrics()].concat(),
            Self::Add(a, b) | Self::Mul(a, b) | Self::Div(a, b) | Self::WhereAbove(a, b) => {
                [a.metrics(), b.metrics()].concat()
            }
        }
    }
}

/// What becomes of the name of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// It is not in the answer.
    Dropped,
    /// An operation around it drops it.
    MayStay,
}

/// What an expression is written for.
struct Query<'a> {
    selector: &'a str,
    window: &'a str,
    /// Whether CPU time is taken only of cores whose counters are in order.
    is_guarded: bool,
}

impl Query<'_> {
    /// The per-second increase of each selected counter.
    fn rate(&self, select: &Select, by: Option<&str>) -> String {
        let window = self.window;
        let rate = format!("rate({}[{window}])", select.promql(self.selector, by));
        if !self.is_guarded || select.metric != CPU_TIME {
            return rate;
        }
        // No mode of a core can take more than a second per second. What is left of a
        // core without the modes that do must still add up to one.
        let all = metric(CPU_TIME).promql(self.selector, Some("cpu"));
        let total = format!("sum without (mode) (rate({all}[{window}]) <= {MOST_PER_CORE})");
        format!(
            "({rate} <= {MOST_PER_CORE}) and ignoring (mode) ({total} >= {LEAST_PER_CORE} <= {MOST_PER_CORE})"
        )
    }
}

impl Select {
    /// The labels that the exporter gives the metric, except those that name the device.
    fn dropped(&self, by: Option<&'static str>) -> impl Iterator<Item = &'static str> {
        let kept = by.map_or(&[][..], device_labels);
        exporter_labels(self.metric).iter().copied().filter(|label| !kept.contains(label))
    }

    /// `sum without (cpu, mode) (…)`; nothing around it where each series is a device or
    /// a node of its own.
    fn aggregated(&self, how: &str, by: Option<&'static str>, series: String) -> String {
        let dropped: Vec<&str> = self.dropped(by).collect();
        // Metrics that are not in the table may have labels of their own.
        if dropped.is_empty() && self.metric.starts_with("node_") {
            return series;
        }
        format!("{how} without ({}) ({series})", dropped.join(", "))
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

/// The labels that name a device together, the main one first. A mount point alone
/// tells neither whether the file system is remote nor whether it is mounted twice.
fn device_labels(label: &'static str) -> &'static [&'static str] {
    const LABELS: &[&[&str]] = &[
        &["mountpoint", "device", "fstype"],
        &["cpu"],
        &["device"],
        &["cgroup"],
        &["netns"],
        &["process"],
        &["destination"],
    ];
    let known = LABELS.iter().find(|labels| labels.first() == Some(&label));
    known.copied().unwrap_or_default()
}

/// The name of the device that the labels of a series give.
fn device_of(label: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    let value = |label: &str| labels.get(label).map(String::as_str);
    let device = value(label)?;
    Some(match (label, value("device"), value("fstype")) {
        ("mountpoint", Some(source), fstype) => {
            mounts::encoded(device, source, fstype.unwrap_or_default())
        }
        _ => device.to_owned(),
    })
}

/// The labels that node_exporter itself gives the series of a metric; all other labels
/// describe the target. From the metrics of node_exporter 1.5 to 1.11.
fn exporter_labels(metric: &str) -> &'static [&'static str] {
    const LABELS: &[(&str, &[&str])] = &[
        ("node_cpu_core_throttles_total", &["core", "package"]),
        ("node_cpu_package_throttles_total", &["package"]),
        (
            "node_cpu_info",
            &[
                "cachesize",
                "core",
                "cpu",
                "family",
                "microcode",
                "model",
                "model_name",
                "package",
                "stepping",
                "vendor",
            ],
        ),
        ("node_cpu_", &["cpu", "mode"]),
        ("node_softnet_", &["cpu"]),
        ("node_schedstat_", &["cpu"]),
        ("node_mountstats_nfs_", &["export", "mountaddr", "operation", "protocol"]),
        ("node_ethtool_", &["device"]),
        ("node_md_state", &["device", "state"]),
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
        ("node_disk_", &["device"]),
        ("node_network_", &["device"]),
        ("node_qdisc_", &["device", "kind"]),
        // `device_error` is empty, which is none, where there are values.
        ("node_filesystem_", &["device", "fstype", "mountpoint"]),
    ];
    let known = LABELS.iter().find(|(prefix, _)| metric.starts_with(prefix));
    known.map_or(&[], |(_, labels)| labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Select = select("cpu", &[Match::NotIn("mode", &["idle", "iowait"])]);
    const BUSY_RATIO: Expr = Expr::Div(&Expr::Rate(BUSY, None), &Expr::Rate(metric("cpu"), None));

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

    #[test]
    fn a_file_system_keeps_what_tells_it_from_others() {
        const FREE: Expr = Expr::Gauge(metric("node_filesystem_avail_bytes"), Some("mountpoint"));
        assert_eq!(
            FREE.promql("", "4s"),
            "sum without () (node_filesystem_avail_bytes{mountpoint!=\"\"})"
        );
        let labels =
            [("mountpoint", "/"), ("device", "/dev/vda"), ("fstype", "ext4"), ("job", "n")];
        let mut labels: BTreeMap<String, String> =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let device = FREE.take_device(&mut labels);
        assert_eq!(device, Some(mounts::encoded("/", "/dev/vda", "ext4")));
        assert_eq!(labels.keys().collect::<Vec<_>>(), ["job"]);
    }

    #[test]
    fn a_guarded_rate_is_of_cores_whose_modes_add_up() {
        const CPU: Expr = Expr::Rate(metric(CPU_TIME), Some("cpu"));
        assert_eq!(
            CPU.promql_guarded("job=\"n\"", "4s"),
            "sum without (mode) ((rate(node_cpu_seconds_total{cpu!=\"\",job=\"n\"}[4s]) <= 1.2) \
             and ignoring (mode) (sum without (mode) \
             (rate(node_cpu_seconds_total{cpu!=\"\",job=\"n\"}[4s]) <= 1.2) >= 0.8 <= 1.2))"
        );
        // Nothing else changes.
        let other = Expr::Rate(metric("node_vmstat_oom_kill"), None);
        assert_eq!(other.promql_guarded("", "4s"), other.promql("", "4s"));
        assert_eq!(
            Expr::CoreTimeOff(metric(CPU_TIME)).promql("", "4s"),
            "(sum without (mode) (rate(node_cpu_seconds_total{cpu!=\"\"}[4s])) > 1.2)"
        );
    }

    #[test]
    fn what_has_an_alternative_is_not_needed() {
        const A: Expr = Expr::Gauge(metric("a"), None);
        const B: Expr = Expr::Gauge(metric("b"), None);
        let either = Expr::Or(&A, &B);
        assert_eq!(either.metrics(), ["b"]);
        assert_eq!(either.promql("", "4s"), "(sum without () (a) or sum without () (b))");
    }

    #[test]
    fn different_values_are_counted_beside_the_labels_of_the_target() {
        let cores = Expr::Distinct(metric("node_cpu_info"), &["core", "package"]);
        assert_eq!(
            cores.promql("job=\"n\"", "4s"),
            "count without (core, package) (count without (cachesize, cpu, family, microcode, \
             model, model_name, stepping, vendor) (node_cpu_info{core!=\"\",job=\"n\"}))"
        );
    }
}
