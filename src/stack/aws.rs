//! Security groups that let through what the set-up needs and nothing else, as
//! Terraform and as AWS CLI calls.

use std::fmt::Write as _;

use askama::Template;

use super::artefacts::{Artefact, Error, WRITTEN, quoted};
use crate::scenario::setup::Setup;

/// Ports of the monitoring server that administrators reach, with names.
const ADMIN_PORTS: [(&str, u16); 3] = [("ssh", 22), ("prometheus", 9090), ("grafana", 3000)];

#[derive(Template)]
#[template(path = "main.tf", escape = "none")]
struct Terraform<'a> {
    written: &'a str,
    name: &'a str,
    region: &'a str,
    vpc: &'a str,
    /// A list of HCL.
    admin: String,
    open_to_all: bool,
}

#[derive(Template)]
#[template(path = "security-groups.sh", escape = "none")]
struct Script<'a> {
    written: &'a str,
    name: &'a str,
    region: &'a str,
    vpc: &'a str,
    monitor: String,
    node: String,
}

pub(super) fn artefacts(setup: &Setup) -> Result<Vec<Artefact>, Error> {
    let admin: Vec<String> = setup.admin.iter().map(|cidr| quoted(cidr)).collect();
    let terraform = Terraform {
        written: WRITTEN,
        name: &setup.name,
        region: &setup.aws.region,
        vpc: &setup.aws.vpc,
        admin: format!("[{}]", admin.join(", ")),
        open_to_all: !setup.open_to_all().is_empty(),
    };
    let script = Script {
        written: WRITTEN,
        name: &setup.name,
        region: &setup.aws.region,
        vpc: &setup.aws.vpc,
        monitor: permissions(setup, &ADMIN_PORTS),
        node: permissions(setup, &[("ssh", 22)]),
    };
    Ok(vec![
        Artefact::new("aws/main.tf", terraform.render()?),
        Artefact::new("aws/security-groups.sh", script.render()?).executable(),
    ])
}

/// `--ip-permissions` of the administrators' networks, a line a port and
/// network; empty where there is none.
fn permissions(setup: &Setup, ports: &[(&str, u16)]) -> String {
    let mut text = String::new();
    for (name, port) in ports {
        for cidr in &setup.admin {
            let (ranges, key) = if cidr.contains(':') {
                ("Ipv6Ranges", "CidrIpv6")
            } else {
                ("IpRanges", "CidrIp")
            };
            let _ = write!(
                text,
                " \\\n  \"IpProtocol=tcp,FromPort={port},ToPort={port},{ranges}=[{{{key}={cidr},Description={name}-for-administrators}}]\""
            );
        }
    }
    text
}
