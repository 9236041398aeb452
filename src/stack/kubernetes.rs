//! A Job for each node, for clusters: it runs the scenario there once, with no
//! retry, a deadline, limits, and no privilege.

use askama::Template;

use super::artefacts::{Error, quoted};
use crate::scenario::{plan::Plan, setup::Setup};

/// What a Job runs.
#[derive(Debug, Clone)]
pub struct Jobs<'a> {
    /// The image that has the program as its entry point.
    pub image: &'a str,
    /// The scenario as given.
    pub scenario: &'a str,
    /// The same, read.
    pub plan: &'a Plan,
    /// Cores that a Job may use.
    pub cores: &'a str,
    /// Memory that a Job may use, such as `1Gi`.
    pub memory: &'a str,
}

#[derive(Template)]
#[template(path = "kubernetes.yml", escape = "none")]
struct Manifest {
    name: String,
    image: String,
    cores: String,
    memory: String,
    deadline_s: u64,
    /// Lines of the scenario, indented.
    scenario: String,
    nodes: Vec<Node>,
}

struct Node {
    /// Part of a name of Kubernetes.
    part: String,
    /// The host name of the node, quoted.
    host: String,
}

/// Seconds beside the phases: the image, the start, late samples, the report.
const SLACK_S: u64 = 300;

/// The manifests, one document after the other.
///
/// # Errors
/// When the template cannot be filled in, which no valid set-up makes happen.
pub fn manifests(setup: &Setup, jobs: &Jobs<'_>) -> Result<String, Error> {
    let nodes = setup
        .nodes
        .iter()
        .filter(|node| node.role == crate::scenario::setup::Role::Client)
        .map(|node| Node { part: dns_label(&node.name), host: quoted(&node.name) })
        .collect();
    let manifest = Manifest {
        name: dns_label(&setup.name),
        image: quoted(jobs.image),
        cores: quoted(jobs.cores),
        memory: quoted(jobs.memory),
        deadline_s: jobs.plan.duration().as_secs() + SLACK_S,
        scenario: format!("    {}", jobs.scenario.trim_end().replace('\n', "\n    ")),
        nodes,
    };
    let mut text = manifest.render()?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A name as Kubernetes allows it (RFC 1123): lower case, digits and hyphens.
fn dns_label(name: &str) -> String {
    let text: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_dns() {
        assert_eq!(dns_label("Client_1.zone"), "client-1-zone");
        assert_eq!(dns_label("-a-"), "a");
    }
}
