//! What makes a bare Ubuntu 24.04 a node or the monitoring server: cloud-init,
//! systemd units, and the same with containers.

use askama::Template;

use super::artefacts::{Artefact, Error, WRITTEN, promql_duration};
use crate::scenario::setup::Setup;

/// node_exporter's flags beyond its defaults: what the verdict can use, and
/// nothing that costs much. No `\d` and no `$`: they would mean something to
/// systemd and to a shell.
const COLLECTORS: [&str; 5] = [
    "--no-collector.systemd",
    "--collector.qdisc",
    "--collector.processes",
    "--collector.vmstat.fields=^(oom_kill|pgpg|pswp|pg.*fault|workingset_refault.*).*",
    "--collector.diskstats.device-exclude=^(ram|zram|fd|loop)[0-9]+",
];

#[derive(Template)]
#[template(path = "cloud-init-node.yaml", escape = "none")]
struct CloudInitNode<'a> {
    written: &'a str,
    flags: String,
}

#[derive(Template)]
#[template(path = "cloud-init-server.yaml", escape = "none")]
struct CloudInitServer<'a> {
    written: &'a str,
    flags: String,
    retention: String,
}

#[derive(Template)]
#[template(path = "node-exporter.service", escape = "none")]
struct ExporterUnit<'a> {
    written: &'a str,
    flags: Vec<&'a str>,
}

#[derive(Template)]
#[template(path = "prometheus.service", escape = "none")]
struct PrometheusUnit<'a> {
    written: &'a str,
    retention: String,
}

#[derive(Template)]
#[template(path = "docker-compose.yml", escape = "none")]
struct Compose<'a> {
    written: &'a str,
    retention: String,
    flags: Vec<&'a str>,
}

pub(super) fn artefacts(setup: &Setup) -> Result<Vec<Artefact>, Error> {
    let retention = promql_duration(setup.retention);
    let flags = COLLECTORS.join(" ");
    let compose: Vec<&str> =
        COLLECTORS.iter().copied().filter(|flag| *flag != "--no-collector.systemd").collect();
    Ok(vec![
        Artefact::new(
            "cloud-init/node.yaml",
            CloudInitNode { written: WRITTEN, flags: flags.clone() }.render()?,
        ),
        Artefact::new(
            "cloud-init/server.yaml",
            CloudInitServer { written: WRITTEN, flags, retention: retention.clone() }.render()?,
        ),
        Artefact::new(
            "systemd/stressor-node-exporter.service",
            ExporterUnit { written: WRITTEN, flags: COLLECTORS.to_vec() }.render()?,
        ),
        Artefact::new(
            "systemd/stressor-prometheus.service",
            PrometheusUnit { written: WRITTEN, retention: retention.clone() }.render()?,
        ),
        Artefact::new(
            "docker-compose.yml",
            Compose { written: WRITTEN, retention, flags: compose }.render()?,
        ),
    ])
}
