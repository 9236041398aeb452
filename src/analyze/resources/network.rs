//! A link of this node.

use super::{BLANK, Condition, Counts, Relation, Resource, errors, saturation, utilization};
use crate::model::stats::Stat;

/// A link that is down, or without a carrier, sends nothing and drops all that it is
/// given.
const SENDS: Condition = Condition::AtLeast("network_sent_bytes", 1.0);

pub(super) static RESOURCE: Resource = Resource {
    name: "network",
    title: "network link {device}",
    means: "A link or the queue before it: sent bytes at its speed, or packets that wait or are dropped before they leave.",
    usual: "a link, a shaper (tbf, htb, a cloud's cap), a queue that is too short",
    utilization: &[
        utilization(
            "network_send_ratio",
            0.90,
            0.75,
            "nine tenths of the link's speed; frames have headers that the counters leave out (pmie per_netif.util: 85 %)",
        ),
        utilization("network_receive_ratio", 0.90, 0.75, "as for sending"),
        utilization("network_shaper_ratio", 0.90, 0.75, "nine tenths of the shaper's rate"),
    ],
    saturation: &[saturation(
        "network_queue_bytes",
        1.0,
        Counts::Alone,
        "nine samples of ten found packets waiting in the link's queue: a queue before a link of known speed is empty as often as the link is idle (measured: at half the rate of a shaper half of them are)",
    )
    .by(Stat::Percentile(10))],
    errors: &[
        errors(
            "network_send_drops",
            1.0,
            Counts::Alone,
            "packets dropped before they were sent, one a second, by a link of known speed",
        )
        .when(&[SENDS, Condition::AtLeast("network_send_ratio", 0.0)]),
        errors(
            "network_send_drops",
            1.0,
            Counts::Alone,
            "the same by a link whose speed is not known and that carries at least a megabit a second: virtual links (tap, tunnels, bridges) drop packets that no process reads, by design",
        )
        .when(&[Condition::AtLeast("network_sent_bytes", 125_000.0)]),
        errors(
            "network_queue_drops",
            10.0,
            Counts::Alone,
            "ten packets a second dropped by the queue of a link that sends (measured: 1093 before a shaper, 0 at half its rate)",
        )
        .when(&[Condition::AtLeast("network_sent_bytes", 1000.0)]),
    ],
    follows: &[Relation::always(
        "network-allowance",
        "what the cloud holds back waits before the link",
    )],
    blind: "neither the link's speed nor its queue was seen, so its utilization is not known; drops were watched (node_exporter: --collector.qdisc)",
    advice: "a faster link or a wider shaper (tc -s qdisc shows it), or less data over it",
    ..BLANK
};
