//! Grafana's dashboards: all nodes in a single pane, one node in detail, and
//! the load that stressor puts on.

mod panels;

use serde_json::{Value, json};

use self::panels::{Grid, Panel};
use super::{
    artefacts::{Artefact, Error, promql_duration},
    rules::recorded,
};
use crate::{
    model::{
        catalogue::{self, SignalRow},
        units::Unit,
    },
    scenario::setup::Setup,
};

/// Loads in Grafana 11.3 and newer; newer ones migrate it when they read it.
const SCHEMA_VERSION: u32 = 39;

pub(super) fn artefacts(setup: &Setup) -> Result<Vec<Artefact>, Error> {
    [fleet(setup), node(setup), load(setup)]
        .into_iter()
        .map(|(uid, dashboard)| {
            Ok(Artefact::new(
                format!("grafana/dashboards/{uid}.json"),
                serde_json::to_string_pretty(&dashboard)?,
            ))
        })
        .collect()
}

/// All nodes, each resource once: who is nearest to a limit.
fn fleet(setup: &Setup) -> (&'static str, Value) {
    let mut grid = Grid::default();
    grid.row("The set-up");
    grid.push(6, Panel::stat("Nodes up", "sum(up{job=\"node\"}) or vector(0)"));
    grid.push(6, Panel::stat("Nodes down", "count(up{job=\"node\"} == 0) or vector(0)").alarming());
    grid.push(
        6,
        Panel::stat("Alerts", "count(ALERTS{alertstate=\"firing\"}) or vector(0)").alarming(),
    );
    grid.push(
        6,
        Panel::stat("Busiest node's CPU", &format!("max({})", recorded("cpu_busy")))
            .unit(Unit::Ratio),
    );
    grid.push(
        24,
        Panel::timeline(
            "What is at its limit, and where",
            "max by (node, alertname) (ALERTS{alertstate=\"firing\"})",
            "{{node}}: {{alertname}}",
        ),
    );
    for (row, signals) in FLEET {
        grid.row(row);
        for signal in signals.iter().filter_map(|name| catalogue::signal(name)) {
            grid.push(12, of_all_nodes(signal));
        }
    }
    ("stressor-fleet", dashboard("stressor-fleet", "Stressor: all nodes", setup, Vec::new(), grid))
}

/// Rows of the single pane: what shows a limit, by kind of resource.
static FLEET: &[(&str, &[&str])] = &[
    ("CPU", &["cpu_busy", "cpu_psi_some", "cpu_core_max", "cpu_steal"]),
    ("Memory", &["memory_used_ratio", "memory_psi_some", "swap_io", "oom_kills"]),
    ("Disks", &["disk_busy", "disk_queue", "disk_await", "io_psi_some"]),
    ("File systems", &["filesystem_used_ratio", "inodes_used_ratio"]),
    (
        "Network",
        &[
            "network_received_bytes",
            "network_sent_bytes",
            "network_send_drops",
            "tcp_retransmit_ratio",
        ],
    ),
    (
        "Kernel tables",
        &[
            "tcp_listen_overflows",
            "udp_receive_errors",
            "conntrack_ratio",
            "file_descriptors_ratio",
        ],
    ),
];

fn of_all_nodes(signal: &SignalRow) -> Panel {
    let legend = match signal.expr.device_label() {
        Some(label) => format!("{{{{node}}}} {{{{{label}}}}}"),
        None => "{{node}}".to_owned(),
    };
    Panel::series(&title(signal), signal.unit).query(&recorded(signal.name), &legend)
}

/// One node, every resource, with the signals that its verdict rests on.
fn node(setup: &Setup) -> (&'static str, Value) {
    let of_node = "job=\"node\",node=~\"$node\"";
    let mut grid = Grid::default();
    for (row, signals) in NODE {
        grid.row(row);
        for signal in signals.iter().filter_map(|name| catalogue::signal(name)) {
            let legend = match signal.expr.device_label() {
                Some(label) => format!("{{{{{label}}}}}"),
                None => signal.name.to_owned(),
            };
            let query = signal.expr.promql(of_node, "$__rate_interval");
            grid.push(8, Panel::series(&title(signal), signal.unit).query(&query, &legend));
        }
    }
    let variable = json!({
        "type": "query",
        "name": "node",
        "label": "Node",
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "query": { "query": "label_values(up{job=\"node\"}, node)", "refId": "node" },
        "definition": "label_values(up{job=\"node\"}, node)",
        "refresh": 2,
        "sort": 1,
        "multi": false,
        "includeAll": false,
        "options": []
    });
    let dashboard = dashboard("stressor-node", "Stressor: one node", setup, vec![variable], grid);
    ("stressor-node", dashboard)
}

static NODE: &[(&str, &[&str])] = &[
    (
        "CPU",
        &[
            "cpu_busy",
            "cpu_user",
            "cpu_system",
            "cpu_core_busy",
            "cpu_psi_some",
            "cpu_runnable",
            "cpu_steal",
            "cpu_softirq",
            "context_switches",
        ],
    ),
    (
        "Memory",
        &[
            "memory_used_ratio",
            "memory_available_bytes",
            "memory_psi_some",
            "swap_io",
            "major_faults",
            "oom_kills",
        ],
    ),
    (
        "Disks",
        &["disk_busy", "disk_queue", "disk_await", "disk_operations", "disk_bytes", "io_psi_some"],
    ),
    ("File systems", &["filesystem_used_ratio", "inodes_used_ratio"]),
    (
        "Network",
        &[
            "network_received_bytes",
            "network_sent_bytes",
            "network_send_drops",
            "network_receive_drops",
            "network_errors",
            "tcp_retransmit_ratio",
        ],
    ),
    (
        "Kernel tables",
        &[
            "tcp_listen_overflows",
            "udp_receive_errors",
            "tcp_time_wait",
            "conntrack_ratio",
            "file_descriptors_ratio",
            "tcp_segments_sent",
        ],
    ),
];

/// The load of runs with `--listen`, above what the nodes felt.
fn load(setup: &Setup) -> (&'static str, Value) {
    let of_load = |metric: &str, unit: Unit, title: &str| {
        Panel::series(title, unit).query(metric, "{{node}} {{phase}} {{load}}")
    };
    let mut grid = Grid::default();
    grid.row("The load");
    grid.push(
        12,
        of_load("rate(stressor_operations_total[$__rate_interval])", Unit::PerSecond, "Operations"),
    );
    grid.push(
        12,
        of_load("rate(stressor_bytes_total[$__rate_interval])", Unit::BytesPerSecond, "Bytes"),
    );
    grid.push(12, of_load("stressor_workers", Unit::Count, "Workers"));
    grid.push(
        12,
        of_load("rate(stressor_errors_total[$__rate_interval])", Unit::PerSecond, "Errors"),
    );
    grid.row("What the nodes felt");
    for name in ["cpu_busy", "cpu_psi_some", "memory_used_ratio", "disk_queue"] {
        if let Some(signal) = catalogue::signal(name) {
            grid.push(12, of_all_nodes(signal));
        }
    }
    ("stressor-load", dashboard("stressor-load", "Stressor: load", setup, Vec::new(), grid))
}

/// `CPU busy (share of …)` is too long for a panel: the first clause will do.
fn title(signal: &SignalRow) -> String {
    signal.name.replace('_', " ")
}

fn dashboard(uid: &str, title: &str, setup: &Setup, variables: Vec<Value>, grid: Grid) -> Value {
    let data_source = json!({
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "multi": false,
        "includeAll": false,
        "options": []
    });
    let mut list = vec![data_source];
    list.extend(variables);
    json!({
        "id": null,
        "uid": uid,
        "title": title,
        "tags": ["stressor"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": promql_duration(setup.scrape_interval.max(std::time::Duration::from_secs(5))),
        "time": { "from": "now-30m", "to": "now" },
        "templating": { "list": list },
        "annotations": { "list": [{
            "name": "stressor runs",
            "datasource": { "type": "grafana", "uid": "-- Grafana --" },
            "enable": true,
            "hide": false,
            "iconColor": "orange",
            "target": { "type": "tags", "tags": ["stressor"], "matchAny": false, "limit": 100 }
        }] },
        "links": [{
            "type": "dashboards",
            "title": "Stressor",
            "tags": ["stressor"],
            "asDropdown": true,
            "keepTime": true,
            "includeVars": false,
            "targetBlank": false,
            "icon": "external link",
            "tooltip": "",
            "url": ""
        }],
        "panels": grid.panels()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_shown_is_one_of_the_catalogue() {
        for name in FLEET.iter().chain(NODE).flat_map(|(_, signals)| *signals) {
            let row = catalogue::signal(name);
            assert!(row.is_some_and(|row| row.in_prometheus), "{name}");
        }
        for name in FLEET.iter().flat_map(|(_, signals)| *signals) {
            let is_recorded = super::super::rules::recorded_signals().any(|row| row.name == *name);
            assert!(is_recorded, "{name} is not recorded");
        }
    }
}
