//! `promtool test rules` for each alert: one node that makes it fire and one
//! that does not.

use std::fmt::Write as _;

use super::{
    super::artefacts::{WRITTEN, promql_duration, quoted},
    alerts::{ALERTS, Alert, Input, Shape},
};
use crate::scenario::setup::Setup;

/// Samples of each series.
const SAMPLES: u32 = 60;

pub(super) fn tests(setup: &Setup) -> String {
    let interval = promql_duration(setup.scrape_interval);
    let mut text = format!(
        "# {WRITTEN}\n# promtool test rules rules.test.yml\nrule_files: [rules/stressor.yml]\nevaluation_interval: {interval}\ntests:\n"
    );
    for alert in ALERTS {
        let _ = write!(text, "  - interval: {interval}\n    input_series:\n");
        for (node, inputs) in [("busy", alert.fires), ("calm", alert.quiet)] {
            for input in inputs {
                series(&mut text, node, input, setup);
            }
        }
        let _ = write!(
            text,
            "    alert_rule_test:\n      - eval_time: {}\n        alertname: {}\n        exp_alerts:\n          - exp_labels: {{{}}}\n            exp_annotations: {{summary: {}, action: {}}}\n",
            promql_duration(setup.scrape_interval * (SAMPLES - 5)),
            alert.name,
            labels(alert),
            quoted(&filled(alert.summary, alert)),
            quoted(alert.action),
        );
    }
    text
}

fn series(text: &mut String, node: &str, input: &Input, setup: &Setup) {
    let (name, labels) = input.series;
    let comma = if labels.is_empty() { "" } else { "," };
    let series = format!(
        "{name}{{job=\"node\",instance=\"{node}:9100\",node=\"{node}\",role=\"client\"{comma}{labels}}}"
    );
    let step = setup.scrape_interval.as_secs_f64();
    let values = match input.shape {
        Shape::Rate(per_second) => format!("0+{}x{SAMPLES}", per_second * step),
        Shape::Value(value) => format!("{value}+0x{SAMPLES}"),
        Shape::OfInterval(share) => format!("{}+0x{SAMPLES}", share * step),
    };
    let _ = write!(text, "      - series: '{series}'\n        values: '{values}'\n");
}

/// The labels of the alert that is expected.
fn labels(alert: &Alert) -> String {
    let mut labels = format!(
        "severity: {}, instance: \"busy:9100\", job: node, node: busy, role: client",
        alert.severity
    );
    if let Some((label, device)) = alert.device {
        let _ = write!(labels, ", {label}: {}", quoted(device));
        if label == "mountpoint" {
            labels.push_str(", device: /dev/vda1, fstype: ext4");
        }
    }
    labels
}

/// An annotation as Prometheus fills it in.
fn filled(text: &str, alert: &Alert) -> String {
    let mut text = text.replace("{{ $labels.node }}", "busy");
    if let Some((label, device)) = alert.device {
        text = text.replace(&format!("{{{{ $labels.{label} }}}}"), device);
    }
    text
}
