//! From verdicts to figures: what was right, how sure that is, and what the
//! four baselines would have said.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;
use stressor::model::{run::NodeData, stats, time::Window};

use crate::case::{Case, Half, Label};

/// What a source said of a case.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) resource: String,
    pub(crate) device: Option<String>,
    pub(crate) kind: String,
    pub(crate) grade: String,
    pub(crate) statement: String,
    /// Seconds from the limit's being reached to the onset that was named.
    pub(crate) onset_s: Option<f64>,
}

impl Said {
    pub(crate) fn of(verdict: &Value) -> Self {
        let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
        Self {
            resource: text("resource"),
            device: verdict["device"].as_str().map(str::to_owned),
            kind: text("kind"),
            grade: text("grade"),
            statement: text("statement"),
            onset_s: None,
        }
    }
}

/// One judged case.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) case: &'static Case,
    pub(crate) source: &'static str,
    pub(crate) label: Label,
    pub(crate) said: Said,
    pub(crate) right: bool,
}

impl Judged {
    /// A limit is claimed with some confidence where there is none: the one
    /// error that is never allowed.
    pub(crate) fn is_false_alarm(&self) -> bool {
        self.case.negative && self.said.kind == "saturated"
    }

    /// Wrong, and not said with reserve.
    pub(crate) fn is_sure_and_wrong(&self) -> bool {
        !self.right && self.said.kind != "unknown" && self.said.grade != "possible"
    }
}

/// Whether what was said is what is true.
pub(crate) fn is_right(label: &Label, device: Option<&str>, said: &Said) -> bool {
    let on_device = device.is_none_or(|wanted| match said.device.as_deref() {
        Some(named) => {
            named == wanted
                || named
                    .strip_suffix(wanted)
                    .is_some_and(|rest| rest.ends_with('/') || rest.is_empty())
        }
        None => false,
    });
    label.resources.contains(&said.resource.as_str())
        && label.kinds.contains(&said.kind.as_str())
        && on_device
}

/// Wilson's 95 % interval of a share (Wilson 1927).
pub(crate) fn wilson(right: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (all as f64, 1.96);
    let p = right as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    (((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0))
}

/// `53 of 55 right (96.4 %, 87.7 to 99.0)`.
pub(crate) fn share(right: usize, all: usize) -> String {
    let (low, high) = wilson(right, all);
    let percent = |x: f64| 100.0 * x;
    format!(
        "{right} of {all} right ({:.1} %, {:.1} to {:.1})",
        percent(right as f64 / all.max(1) as f64),
        percent(low),
        percent(high)
    )
}

/// What is true against what was said, a line a pair.
pub(crate) fn matrix(judged: &[&Judged]) -> String {
    let mut pairs: BTreeMap<(String, String), usize> = BTreeMap::new();
    for one in judged {
        let truth = if one.label.resources.contains(&one.said.resource.as_str()) {
            one.said.resource.clone()
        } else {
            one.label.resources.join("|")
        };
        let said = format!("{} {}", one.said.resource, one.said.kind);
        *pairs.entry((truth, said)).or_default() += 1;
    }
    let mut text = String::from("| true | said | cases |\n| --- | --- | --- |\n");
    for ((truth, said), count) in pairs {
        let _ = writeln!(text, "| {truth} | {said} | {count} |");
    }
    text
}

/// All figures of one source.
pub(crate) fn summary(judged: &[Judged], source: &str) -> String {
    let mine: Vec<&Judged> = judged.iter().filter(|one| one.source == source).collect();
    let mut text = String::new();
    for (half, name) in [(Half::Tune, "tuned on"), (Half::Score, "scored on")] {
        let these: Vec<&&Judged> = mine.iter().filter(|one| one.case.half == half).collect();
        let right = these.iter().filter(|one| one.right).count();
        let _ = writeln!(text, "{source}, {name}: {}", share(right, these.len()));
    }
    let alarms = mine.iter().filter(|one| one.is_false_alarm()).count();
    let negatives = mine.iter().filter(|one| one.case.negative).count();
    let _ =
        writeln!(text, "{source}: {alarms} of {negatives} negatives and traps called saturated");
    for grade in ["confirmed", "likely", "possible"] {
        let these: Vec<&&Judged> = mine.iter().filter(|one| one.said.grade == grade).collect();
        let right = these.iter().filter(|one| one.right).count();
        if !these.is_empty() {
            let _ = writeln!(text, "{source}, {grade}: {}", share(right, these.len()));
        }
    }
    let onsets: Vec<f64> = mine.iter().filter_map(|one| one.said.onset_s.map(f64::abs)).collect();
    if let Some(median) = stats::median(&onsets) {
        let _ = writeln!(
            text,
            "{source}, onset: median {median:.1} s from when the limit is reached ({} cases), over 2 s:",
            onsets.len()
        );
        for one in &mine {
            if let Some(late) = one.said.onset_s.filter(|s| s.abs() > 2.0) {
                let _ = writeln!(text, "  {} {late:.1} s", one.case.name);
            }
        }
    }
    text
}

/// A rule that people use today.
pub(crate) type Baseline = fn(&Node<'_>) -> &'static str;

/// The baselines, by name.
pub(crate) static BASELINES: [(&str, Baseline); 4] = [
    ("highest utilization", highest_utilization),
    ("node-mixin's alerts", node_mixin),
    ("pmie's rules", pmie),
    ("highest pressure", highest_pressure),
];

/// A node in a window.
pub(crate) struct Node<'a> {
    pub(crate) data: &'a NodeData,
    pub(crate) window: Window,
}

impl Node<'_> {
    /// The largest median over all devices.
    fn most(&self, name: &str) -> f64 {
        self.data
            .signals
            .all(name)
            .iter()
            .filter_map(|signal| signal.median(self.window))
            .fold(0.0, f64::max)
    }
}

fn highest_utilization(node: &Node<'_>) -> &'static str {
    let all = [
        ("cpu", node.most("cpu_busy")),
        ("memory", node.most("memory_used_ratio")),
        ("disk", node.most("disk_busy")),
        ("network", node.most("network_send_ratio").max(node.most("network_receive_ratio"))),
        ("filesystem", node.most("filesystem_used_ratio")),
        ("inodes", node.most("inodes_used_ratio")),
    ];
    let (name, most) = all.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0));
    if most >= 0.8 { name } else { "none" }
}

/// The alerts of node-mixin with their default thresholds, the first that
/// fires. Durations are left out, in its favour.
fn node_mixin(node: &Node<'_>) -> &'static str {
    let rules = [
        ("filesystem", node.most("filesystem_used_ratio") > 0.95),
        ("inodes", node.most("inodes_used_ratio") > 0.95),
        ("memory", node.most("memory_used_ratio") > 0.9),
        ("memory", node.most("major_faults") > 500.0),
        ("disk", node.most("disk_queue") > 10.0),
        ("cpu", node.most("cpu_busy") > 0.9),
        ("cpu", node.most("cpu_load1") / node.most("cpu_cores").max(1.0) > 2.0),
        ("file-descriptors", node.most("file_descriptors_ratio") > 0.7),
        ("conntrack", node.most("conntrack_ratio") > 0.75),
    ];
    rules.into_iter().find(|(_, fires)| *fires).map_or("none", |(name, _)| name)
}

/// The default rules of pmie with their thresholds, the first that fires.
fn pmie(node: &Node<'_>) -> &'static str {
    let rules = [
        ("memory", node.most("swap_io") > 5.0),
        ("cpu", node.most("cpu_busy") > 0.9),
        ("cpu-core", node.most("cpu_core_max") > 0.95),
        ("cpu", node.most("cpu_load1") / node.most("cpu_cores").max(1.0) > 4.0),
        ("disk", node.most("disk_busy") > 0.95 && node.most("disk_queue") > 1.0),
        ("network", node.most("network_send_ratio") > 0.85),
        ("tcp-listen", node.most("tcp_listen_overflows") > 0.0),
        ("filesystem", node.most("filesystem_used_ratio") > 0.95),
    ];
    rules.into_iter().find(|(_, fires)| *fires).map_or("none", |(name, _)| name)
}

fn highest_pressure(node: &Node<'_>) -> &'static str {
    let all = [
        ("cpu", node.most("cpu_psi_some")),
        ("memory", node.most("memory_psi_some")),
        ("disk", node.most("io_psi_some")),
    ];
    let (name, most) = all.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0));
    if most >= 0.1 { name } else { "none" }
}

/// Interval and judgement of known shares, so that this file is itself tested.
pub(crate) fn check_itself() {
    let (low, high) = wilson(38, 40);
    assert!((low - 0.835).abs() < 0.002 && (high - 0.986).abs() < 0.002, "{low} {high}");
    assert_eq!(wilson(0, 0), (0.0, 1.0));
}
