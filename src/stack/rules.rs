//! Recording and alert rules, and promtool's tests of them. Expressions are the
//! signal catalogue's, thresholds the verdict's: an alert says what a verdict
//! would.

mod alerts;
mod proofs;

use std::fmt::Write as _;

use super::artefacts::{Artefact, WRITTEN, promql_duration, quoted};
use crate::{
    analyze::resources,
    model::catalogue::{self, SignalRow},
    scenario::setup::Setup,
    telemetry::prometheus::recorded::rule_name,
};

pub(super) use alerts::ALERTS;

/// Signals that alerts and dashboards show of all nodes. Those that a verdict rests on are
/// recorded as well, so that an analysis of many nodes need not compute them.
static SHOWN: &[&str] = &[
    "cpu_busy",
    "cpu_core_max",
    "cpu_steal",
    "cpu_psi_some",
    "cpu_load1",
    "memory_used_ratio",
    "memory_available_bytes",
    "memory_psi_some",
    "swap_io",
    "oom_kills",
    "disk_busy",
    "disk_queue",
    "disk_await",
    "disk_read_bytes",
    "disk_written_bytes",
    "io_psi_some",
    "filesystem_used_ratio",
    "inodes_used_ratio",
    "network_received_bytes",
    "network_sent_bytes",
    "network_send_ratio",
    "network_receive_ratio",
    "network_send_drops",
    "network_errors",
    "tcp_retransmit_ratio",
    "tcp_listen_overflows",
    "udp_receive_errors",
    "conntrack_ratio",
    "file_descriptors_ratio",
];

/// The selector of the nodes' series.
const OF_NODES: &str = "job=\"node\"";

/// The rows of the signals that are recorded.
pub(super) fn recorded_signals() -> impl Iterator<Item = &'static SignalRow> {
    let decisive = resources::decisive();
    catalogue::SIGNALS.iter().filter(move |row| {
        row.in_prometheus && (SHOWN.contains(&row.name) || decisive.contains(&row.name))
    })
}

/// `stressor:cpu_busy`.
pub(super) fn recorded(signal: &str) -> String {
    rule_name(signal)
}

pub(super) fn artefacts(setup: &Setup) -> Vec<Artefact> {
    vec![
        Artefact::new("prometheus/rules/stressor.yml", rules(setup)),
        Artefact::new("prometheus/rules.test.yml", proofs::tests(setup)),
    ]
}

fn rules(setup: &Setup) -> String {
    let interval = promql_duration(setup.scrape_interval);
    let window = promql_duration(setup.scrape_interval * 4);
    let mut text = format!(
        "# {WRITTEN}\n# Names and expressions are those of `stressor signals`.\ngroups:\n  - name: stressor-signals\n    interval: {interval}\n    rules:\n"
    );
    for signal in recorded_signals() {
        let expr = signal.expr.promql(OF_NODES, &window);
        let _ = write!(
            text,
            "      # {}\n      - record: {}\n        expr: {}\n",
            signal.what,
            recorded(signal.name),
            quoted(&expr)
        );
    }
    let _ = write!(text, "  - name: stressor-alerts\n    interval: {interval}\n    rules:\n");
    for alert in ALERTS {
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        annotations:\n          summary: {}\n          action: {}\n",
            alert.name,
            quoted(&alert.expr(setup)),
            promql_duration(setup.scrape_interval * alert.scrapes),
            alert.severity,
            quoted(alert.summary),
            quoted(alert.action),
        );
    }
    text
}
