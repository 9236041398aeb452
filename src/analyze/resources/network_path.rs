//! Loss between this node and its peers.

use super::{BLANK, Condition, Counts, Relation, Resource, errors};

pub(super) static RESOURCE: Resource = Resource {
    name: "network-path",
    title: "the network path {device}",
    means: "Segments are lost and sent again, and no queue of this node dropped them.",
    usual: "a full link or queue on the way, the peer's own limits, a bad cable",
    errors: &[
        errors("tcp_retransmit_ratio", 0.02, Counts::Alone, RETRANSMITS).when(&[
            Condition::AtLeast("tcp_segments_sent", 50.0),
            // Otherwise it may have been a queue here that dropped them.
            Condition::Seen("network_queue_drops"),
        ]),
        errors("netns_tcp_retransmit_ratio", 0.02, Counts::Alone, RETRANSMITS)
            .when(&[Condition::AtLeast("netns_tcp_segments_sent", 50.0)]),
    ],
    follows: &[
        Relation::always("network-allowance", "what the cloud drops is sent again"),
        Relation::always("network", "what a full queue here drops is sent again"),
        Relation::always("cpu", "packets wait for a core, and their senders give them up"),
        Relation::always("cpu-softirq", "what a full backlog here drops is sent again"),
        Relation::always("cpu-quota", "a peer without CPU time answers late"),
    ],
    blind: "TCP's segments were not sampled",
    advice: "loss lies beyond this node's queues: look at the peer, and at what is between (mtr, the peer's drops)",
    ..BLANK
};

const RETRANSMITS: &str = "2 % of at least 50 segments a second sent again; 1 % is common practice for trouble, doubled, as probes of a lost tail count too";
