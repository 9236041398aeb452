//! prometheus.yml, its list of targets, and an example for Alertmanager.

use askama::Template;
use serde_json::{Map, Value, json};

use super::artefacts::{Artefact, Error, WRITTEN, promql_duration, quoted};
use crate::scenario::setup::{Discovery, EXPORTER_PORT, Setup, StackNode};

#[derive(Template)]
#[template(path = "prometheus.yml", escape = "none")]
struct Configuration<'a> {
    written: &'a str,
    interval: String,
    timeout: String,
    /// Quoted; empty for none.
    alertmanager: String,
    is_static: bool,
    is_ec2: bool,
    /// Quoted; empty for the default.
    region: String,
    exporter_port: u16,
    name: String,
    nodes: Vec<Target>,
}

/// A target of a static list, ready to be written.
struct Target {
    instance: String,
    /// Name and quoted value.
    labels: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "alertmanager.yml", escape = "none")]
struct Alertmanager<'a> {
    written: &'a str,
}

pub(super) fn artefacts(setup: &Setup) -> Result<Vec<Artefact>, Error> {
    let interval = setup.scrape_interval;
    let configuration = Configuration {
        written: WRITTEN,
        interval: promql_duration(interval),
        // A scrape that takes longer than its interval is none.
        timeout: promql_duration(interval.min(std::time::Duration::from_secs(10))),
        alertmanager: setup.alertmanager.as_deref().map(quoted).unwrap_or_default(),
        is_static: setup.discovery == Discovery::Static,
        is_ec2: setup.discovery == Discovery::Ec2,
        region: if setup.aws.region.is_empty() { String::new() } else { quoted(&setup.aws.region) },
        exporter_port: EXPORTER_PORT,
        name: quoted(&setup.name),
        nodes: setup
            .nodes
            .iter()
            .map(|node| Target {
                instance: quoted(&node.instance()),
                labels: labels(node).map(|(name, value)| (name, quoted(&value))).collect(),
            })
            .collect(),
    };
    let mut all = vec![
        Artefact::new("prometheus/prometheus.yml", configuration.render()?),
        Artefact::new("alertmanager/alertmanager.yml", Alertmanager { written: WRITTEN }.render()?),
    ];
    if setup.discovery == Discovery::File {
        let groups: Vec<Value> = setup
            .nodes
            .iter()
            .map(|node| {
                let labels: Map<String, Value> =
                    labels(node).map(|(name, value)| (name, Value::from(value))).collect();
                json!({ "targets": [node.instance()], "labels": labels })
            })
            .collect();
        all.push(Artefact::new(
            "prometheus/targets/nodes.json",
            serde_json::to_string_pretty(&groups)?,
        ));
    }
    Ok(all)
}

/// The labels of a node's series.
fn labels(node: &StackNode) -> impl Iterator<Item = (String, String)> {
    [("node".to_owned(), node.name.clone()), ("role".to_owned(), node.role.name().to_owned())]
        .into_iter()
        .chain(node.labels.iter().cloned())
}
