//! A validated `stack.toml`: the nodes and what watches them.

use std::time::Duration;

/// The port of node_exporter.
pub const EXPORTER_PORT: u16 = 9100;

/// What `stressor stack init` writes a configuration for.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Names what is made: security groups, dashboards' folder.
    pub name: String,
    /// Distance of scrapes; rate windows are four of them.
    pub scrape_interval: Duration,
    /// How long Prometheus keeps samples.
    pub retention: Duration,
    /// How Prometheus finds its targets.
    pub discovery: Discovery,
    /// Networks from which SSH, Prometheus and Grafana may be reached, in CIDR
    /// notation; empty for none.
    pub admin: Vec<String>,
    /// `host:port` of an Alertmanager; without one, none is told of alerts.
    pub alertmanager: Option<String>,
    /// Where the machines are, if in AWS.
    pub aws: Aws,
    /// The machines, the monitoring one first.
    pub nodes: Vec<StackNode>,
}

/// How Prometheus finds its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Listed in prometheus.yml.
    Static,
    /// Listed in a file of its own that is read again when it changes.
    File,
    /// Asked of EC2, by tag.
    Ec2,
}

/// Where the machines are in AWS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aws {
    /// Such as `eu-central-1`; empty for what the tools have as their default.
    pub region: String,
    /// The VPC of the security groups; empty where it is to be filled in.
    pub vpc: String,
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs Prometheus and Grafana, and is a node itself.
    Server,
    /// Is watched and loaded.
    Client,
}

impl Role {
    /// As written in the file, and the value of the label `role`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackNode {
    /// Its name, and the value of the label `node`.
    pub name: String,
    /// Its address or host name, as the monitoring server reaches it.
    pub address: String,
    /// What it is for.
    pub role: Role,
    /// `user@host`, as ssh takes it.
    pub ssh: Option<String>,
    /// More labels of its series.
    pub labels: Vec<(String, String)>,
}

impl StackNode {
    /// What Prometheus scrapes, and the value of the label `instance`.
    pub fn instance(&self) -> String {
        if self.address.contains(':') && !self.address.starts_with('[') {
            return format!("[{}]:{EXPORTER_PORT}", self.address);
        }
        format!("{}:{EXPORTER_PORT}", self.address)
    }
}

impl Setup {
    /// The machine that runs Prometheus and Grafana.
    pub fn server(&self) -> Option<&StackNode> {
        self.nodes.iter().find(|node| node.role == Role::Server)
    }

    /// Seconds that rates are taken over: four scrapes survive one that is lost.
    pub fn window_s(&self) -> f64 {
        4.0 * self.scrape_interval.as_secs_f64()
    }

    /// Networks that are everybody.
    pub fn open_to_all(&self) -> Vec<&str> {
        self.admin.iter().map(String::as_str).filter(|cidr| is_everybody(cidr)).collect()
    }
}

/// Whether a network in CIDR notation is the whole Internet.
pub fn is_everybody(cidr: &str) -> bool {
    cidr.ends_with("/0")
}
