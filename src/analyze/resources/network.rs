//! A link of this node.

use super::{BLANK, Counts, Resource, errors, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "network",
    title: "network link {device}",
    utilization: &[
        utilization(
            "network_send_ratio",
            0.90,
            0.75,
            "nine tenths of the link's speed; frames have headers that the counters leave out (pmie per_netif.util: 85 %)",
        ),
        utilization("network_receive_ratio", 0.90, 0.75, "as for sending"),
    ],
    errors: &[errors(
        "network_send_drops",
        1.0,
        Counts::Alone,
        "packets dropped before they were sent, one a second",
    )],
    blind: "the link's speed is not known, so its utilization is not; drops were watched",
    advice: "a faster link, or less data over it",
    ..BLANK
};
