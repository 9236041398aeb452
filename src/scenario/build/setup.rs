//! From the checked tree of a `stack.toml` to the set-up.

use core::net::IpAddr;
use std::{collections::BTreeSet, time::Duration};

use super::super::{
    diagnostic::Diagnostic,
    setup::{Aws, Discovery, Role, Setup, StackNode, is_everybody},
    tree::{Node, Table},
};

/// The set-up, or `None` where a value is missing that `check` has reported.
pub(in crate::scenario) fn setup(root: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Setup> {
    let table = root.table()?;
    let mut nodes: Vec<StackNode> = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, one) in table.tables("node").enumerate() {
        let of_node = one.table()?;
        let Some(node) = node(of_node, at, diagnostics) else { continue };
        for (key, value) in [("name", &node.name), ("address", &node.address)] {
            if !seen.insert((key, value.clone())) {
                let span = of_node.get(key).map_or(one.span.clone(), |found| found.span.clone());
                diagnostics.push(
                    Diagnostic::new(span, format!("{key} {value:?} stands twice"))
                        .hint("each machine has its own"),
                );
            }
        }
        nodes.push(node);
    }
    one_server(table, &mut nodes, root, diagnostics);
    let access = table.get("access").and_then(Node::table);
    let aws = table.get("aws").and_then(Node::table);
    let region = aws.and_then(|aws| aws.text("region")).unwrap_or_default();
    if let (Some("ec2"), true) = (table.text("discovery").as_deref(), region.is_empty()) {
        let span = table.get("discovery").map_or(root.span.clone(), |node| node.span.clone());
        diagnostics.push(
            Diagnostic::new(span, "`ec2` needs [aws] region")
                .hint("Prometheus asks the EC2 of one region"),
        );
    }
    Some(Setup {
        name: table.text("name").unwrap_or_else(|| "stressor".to_owned()),
        scrape_interval: table.duration("scrape_interval").unwrap_or(Duration::from_secs(5)),
        retention: table.duration("retention").unwrap_or(Duration::from_secs(15 * 86_400)),
        discovery: match table.text("discovery").as_deref() {
            Some("static") => Discovery::Static,
            Some("ec2") => Discovery::Ec2,
            _ => Discovery::File,
        },
        admin: access.map(|access| admin(access, diagnostics)).unwrap_or_default(),
        alertmanager: table.text("alertmanager"),
        aws: Aws { region, vpc: aws.and_then(|aws| aws.text("vpc")).unwrap_or_default() },
        nodes,
    })
}

fn node(table: &Table, at: usize, diagnostics: &mut Vec<Diagnostic>) -> Option<StackNode> {
    let address = table.text("address")?;
    let host = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_name = !address.is_empty() && address.chars().all(host);
    if !is_name && address.parse::<IpAddr>().is_err() {
        let span = table.get("address")?.span.clone();
        diagnostics.push(
            Diagnostic::new(span, format!("{address:?} is no address"))
                .allowed("an address or a host name without a port, such as 10.0.1.11"),
        );
        return None;
    }
    let mut labels = Vec::new();
    for text in table.texts("labels") {
        let good = |name: &str| {
            let mut chars = name.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with("__")
                && !["instance", "job", "node", "role"].contains(&name)
        };
        match text.split_once('=').filter(|(name, _)| good(name)) {
            Some((name, value)) => labels.push((name.to_owned(), value.to_owned())),
            None => diagnostics.push(
                Diagnostic::new(table.get("labels")?.span.clone(), format!("{text:?} is no label"))
                    .allowed("name=value; instance, job, node and role are taken"),
            ),
        }
    }
    let role = match table.text("role").as_deref() {
        Some("server") => Role::Server,
        None if at == 0 => Role::Server,
        _ => Role::Client,
    };
    Some(StackNode { name: table.text("name")?, address, role, ssh: table.text("ssh"), labels })
}

/// Exactly one machine watches; it comes first.
fn one_server(
    table: &Table,
    nodes: &mut [StackNode],
    root: &Node,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let span = table.get("node").map_or(root.span.clone(), |node| node.span.clone());
    if nodes.is_empty() {
        // A node that was refused is reported already.
        if diagnostics.is_empty() {
            diagnostics.push(Diagnostic::new(span, "there is no node"));
        }
        return;
    }
    // A first node without a role gives way to one that says it is the server.
    let told = |node: &Node| {
        node.table().and_then(|table| table.text("role")).as_deref() == Some("server")
    };
    let first_told = table.tables("node").next().is_some_and(told);
    if !first_told
        && table.tables("node").skip(1).any(told)
        && let Some(first) = nodes.first_mut()
    {
        first.role = Role::Client;
    }
    let servers = nodes.iter().filter(|node| node.role == Role::Server).count();
    if servers != 1 {
        diagnostics.push(
            Diagnostic::new(span, format!("{servers} nodes have the role `server`"))
                .hint("give it to the one that runs Prometheus and Grafana"),
        );
    }
    nodes.sort_by_key(|node| node.role != Role::Server);
}

/// The networks of the administrators.
fn admin(access: &Table, diagnostics: &mut Vec<Diagnostic>) -> Vec<String> {
    let open = access.flag("open_to_all").unwrap_or(false);
    let networks = access.texts("admin");
    let Some(span) = access.get("admin").map(|node| node.span.clone()) else { return networks };
    for network in &networks {
        let parts = network.split_once('/');
        let most = match parts.map(|(address, _)| address.parse::<IpAddr>()) {
            Some(Ok(IpAddr::V4(_))) => 32,
            Some(Ok(IpAddr::V6(_))) => 128,
            _ => 0,
        };
        let bits = parts.and_then(|(_, bits)| bits.parse::<u8>().ok());
        if most == 0 || bits.is_none_or(|bits| bits > most) {
            diagnostics.push(
                Diagnostic::new(span.clone(), format!("{network:?} is no network"))
                    .allowed("CIDR notation, such as 203.0.113.7/32"),
            );
        } else if is_everybody(network) && !open {
            diagnostics.push(
                Diagnostic::new(span.clone(), format!("{network} is everybody: Prometheus has no password, and anyone could read every metric"))
                    .hint("name your own network, or set open_to_all = true"),
            );
        }
    }
    networks
}
