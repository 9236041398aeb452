//! The table in which a firewall keeps connections.

use super::{BLANK, Counts, Resource, errors, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "conntrack",
    title: "the connection-tracking table",
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
