//! The keys of a `stack.toml`.

use super::{Key, Kind, may, must};

/// The whole file.
pub static STACK: &[Key] = &[
    may("name", Kind::Name, "Names what is made, such as security groups. Default stressor."),
    may(
        "scrape_interval",
        Kind::Duration(1.0, 300.0),
        "Distance of scrapes. A load must last seven of them to be seen whole. Default 5s.",
    ),
    may(
        "retention",
        Kind::Duration(3600.0, 10.0 * 366.0 * 86_400.0),
        "How long Prometheus keeps samples. Default 15d.",
    ),
    may(
        "discovery",
        Kind::Choice(&["static", "file", "ec2"]),
        "How Prometheus finds the nodes: listed in its configuration, in a file of their own that it reads again when it changes (default), or asked of EC2 by the tags `stressor` and `Name`.",
    ),
    may("alertmanager", Kind::Address, "The Alertmanager that is told of alerts. Default: none."),
    may("access", Kind::Table(ACCESS), "Who may reach the set-up."),
    may("aws", Kind::Table(AWS), "Where the machines are in AWS."),
    must("node", Kind::Tables(NODE), "The machines; one has the role `server`."),
];

static ACCESS: &[Key] = &[
    may(
        "admin",
        Kind::Texts,
        "Networks from which SSH, Prometheus (9090) and Grafana (3000) may be reached, such as [\"203.0.113.7/32\"]. Default: none.",
    ),
    may(
        "open_to_all",
        Kind::Flag,
        "Allow 0.0.0.0/0 or ::/0 in `admin`: anyone may then read every metric. Default false.",
    ),
];

static AWS: &[Key] = &[
    may("region", Kind::Name, "Such as eu-central-1. Default: that of your AWS configuration."),
    may("vpc", Kind::Name, "The VPC of the security groups, such as vpc-0123456789abcdef0."),
];

static NODE: &[Key] = &[
    must("name", Kind::Name, "The node's name in dashboards and reports (label `node`)."),
    must(
        "address",
        Kind::Text,
        "Its address or host name as the server reaches it; in AWS the private one.",
    ),
    may(
        "role",
        Kind::Choice(&["server", "client"]),
        "`server` runs Prometheus and Grafana and is watched too. Default: the first node is the server, the others are clients.",
    ),
    may("ssh", Kind::Text, "How ssh reaches it, such as ubuntu@10.0.1.11."),
    may("labels", Kind::Texts, "More labels of its series, such as [\"zone=a\"]."),
];
