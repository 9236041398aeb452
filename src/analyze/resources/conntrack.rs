//! The table in which a firewall keeps connections.

use super::{BLANK, Counts, Resource, errors, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "conntrack",
    title: "the connection-tracking table",
    means: "The kernel remembers each connection that a firewall or NAT lets through in a table of fixed size. When it is full, packets of new connections are dropped.",
    usual: "many short connections through NAT or a stateful firewall; long time-outs that keep dead ones",
    utilization: &[level(
        "conntrack_ratio",
        0.95,
        0.75,
        "a twentieth left; near from where node-mixin NodeHighNumberConntrackEntriesUsed warns, 75 %",
    )],
    errors: &[errors(
        "conntrack_drops",
        0.1,
        Counts::Alone,
        "any packet dropped for a full table, one in ten seconds",
    )],
    blind: "no connection tracking here, or it was not sampled",
    advice: "raise net.netfilter.nf_conntrack_max, shorten its time-outs, or leave traffic untracked",
    ..BLANK
};
