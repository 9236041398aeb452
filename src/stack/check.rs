//! Whether a set-up can carry a run: from here to every node, to Prometheus, and
//! what Prometheus says of its targets.

mod exporters;
mod grafana;
pub(super) mod ports;
mod server;

use serde::Serialize;

use crate::{
    scenario::plan::Telemetry,
    telemetry::prometheus::client::{self, Client},
};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// A run can be trusted, but sees or keeps less than it could.
    Warning,
    /// A run could not be trusted.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The node, or the server.
    pub of: String,
    /// What was looked at: a short name.
    pub check: &'static str,
    /// How it went.
    pub state: State,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub todo: Option<String>,
}

impl Finding {
    fn ok(of: &str, check: &'static str, text: impl Into<String>) -> Self {
        Self { of: of.to_owned(), check, state: State::Ok, text: text.into(), todo: None }
    }

    fn warning(
        of: &str,
        check: &'static str,
        text: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        let state = State::Warning;
        Self { of: of.to_owned(), check, state, text: text.into(), todo: Some(todo.into()) }
    }

    fn failed(
        of: &str,
        check: &'static str,
        text: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { state: State::Failed, ..Self::warning(of, check, text, todo) }
    }
}

/// A node to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// Host and port of its node_exporter, which is its `instance` label.
    pub instance: String,
}

/// A Grafana to look at.
#[derive(Debug, Clone)]
pub struct Dashboards {
    /// Its base address.
    pub url: String,
    /// A token of a service account; without one, only whether it is there.
    pub token: Option<String>,
}

/// What is checked.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The nodes.
    pub nodes: Vec<Watched>,
    /// Base address of the Prometheus, and how to be let in.
    pub prometheus: Option<(String, Telemetry)>,
    /// A Grafana.
    pub grafana: Option<Dashboards>,
    /// The scrape interval that is meant, in seconds.
    pub interval_s: Option<f64>,
    /// Signals that a verdict rests on.
    pub decisive: Vec<&'static str>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The runtime could not be made.
    #[error("no asynchronous runtime can be made: {0}")]
    Runtime(std::io::Error),
}

/// Look at everything, nodes in their order, then the server.
///
/// # Errors
/// When nothing can be asked at all; what does not answer is a finding.
pub fn check(subject: &Subject) -> Result<Vec<Finding>, Error> {
    client::prepare_tls();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let ways = ports::probe(&subject.nodes);
    let mut findings = Vec::new();
    runtime.block_on(async {
        let exporters = exporters::look(subject, &ways).await;
        for (node, way) in subject.nodes.iter().zip(&ways) {
            findings.push(ports::finding(node, way));
        }
        findings.extend(exporters);
        if let Some((url, telemetry)) = &subject.prometheus {
            let client = Client::new(url, telemetry)?;
            findings.extend(server::look(&client, subject).await);
        }
        if let Some(grafana) = &subject.grafana {
            findings.extend(grafana::look(grafana).await);
        }
        Ok::<(), Error>(())
    })?;
    // What belongs to one machine stands together.
    let order = |finding: &Finding| {
        subject.nodes.iter().position(|node| node.name == finding.of).unwrap_or(usize::MAX)
    };
    findings.sort_by_key(order);
    Ok(findings)
}

/// The worst of all.
pub fn worst(findings: &[Finding]) -> State {
    findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
}
