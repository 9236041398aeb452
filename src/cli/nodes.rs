//! `--nodes-from`: the nodes of an inventory join those of the scenario.

use std::path::Path;

use anyhow::anyhow;

use super::{
    args::{Access, NodesFrom},
    exit::{Exit, Failure},
};
use crate::{
    fleet::inventory::{self, Member},
    run::nodes,
    scenario::{self, plan::Plan},
};

/// Read a scenario, with what the command line adds to its telemetry, and with the
/// nodes of the inventory asked for: its text as it is then kept, and the plan.
pub(super) fn read(
    path: &Path,
    overrides: &[String],
    access: &Access,
    from: &NodesFrom,
) -> Result<(String, Plan), Failure> {
    let mut text = super::scenario::text(path)?;
    let name = path.display().to_string();
    let mut plan = scenario::parse(&name, &text, overrides)?;
    access.apply(&mut plan.telemetry)?;
    let Some(source) = &from.nodes_from else { return Ok((text, plan)) };
    let members = members(source, from, &plan)?;
    text.push_str(&inventory::as_toml(&members, source));
    let telemetry = plan.telemetry;
    let plan = Plan { telemetry, ..scenario::parse(&name, &text, overrides)? };
    Ok((text, plan))
}

fn usage(text: String) -> Failure {
    Failure::new(Exit::Usage, anyhow!(text))
}

/// The members asked for that the scenario does not name itself.
fn members(source: &str, from: &NodesFrom, plan: &Plan) -> Result<Vec<Member>, Failure> {
    let refused = |error: &dyn std::fmt::Display| usage(format!("--nodes-from {source}: {error}"));
    let (kind, place) = source.split_once(':').map_or((source, None), |(a, b)| (a, Some(b)));
    let file = place.map(Path::new);
    let mut members = match (kind, place) {
        ("prometheus", None) => {
            if plan.telemetry.prometheus.is_none() {
                return Err(refused(&"no Prometheus is named: give --prometheus URL"));
            }
            nodes::members(&plan.telemetry)
                .map_err(|error| Failure::new(Exit::Refused, error))?
                .into_iter()
                .map(|one| Member {
                    ssh: from.nodes_ssh.then(|| one.address.clone()).flatten(),
                    ..one
                })
                .collect()
        }
        ("ssh", _) if from.nodes_match.is_none() => {
            return Err(refused(
                &"ssh's configuration names more than your fleet: say which with --nodes-match, such as 'client-.*'",
            ));
        }
        ("ssh", _) => inventory::ssh(file).map_err(|error| refused(&error))?,
        ("ansible", Some(place)) => inventory::ansible(place).map_err(|error| refused(&error))?,
        _ => return Err(refused(&"it is one of prometheus, ssh, ssh:FILE, ansible:INVENTORY")),
    };
    if let Some(pattern) = &from.nodes_match {
        let pattern = regex_lite::Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| usage(format!("--nodes-match {pattern:?}: {error}")))?;
        members.retain(|one| {
            pattern.is_match(&one.name) || one.groups.iter().any(|group| pattern.is_match(group))
        });
    }
    for member in &mut members {
        member.name = member
            .name
            .replace(|c: char| !(c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c)), "-");
    }
    members.retain(|one| !plan.nodes.iter().any(|node| node.name == one.name));
    members.dedup_by(|a, b| a.name == b.name);
    if members.is_empty() {
        return Err(refused(&"no node is left of it that the scenario does not name itself"));
    }
    if kind == "ssh" {
        for member in &mut members {
            member.address = inventory::ssh_address(&member.name, file);
        }
    }
    if kind != "prometheus" && plan.telemetry.prometheus.is_some() {
        nodes::find_instances(&plan.telemetry, &mut members)
            .map_err(|error| Failure::new(Exit::Refused, error))?;
    }
    Ok(members)
}
