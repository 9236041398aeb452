//! What a cloud grants an instance on its network.

use super::{BLANK, Counts, Resource, errors, saturation};

const SHAPED: &str = "at least one packet a second queued or dropped in four of ten samples: a burst shorter than a sample is not a limit (Amazon EC2, network performance metrics of the ENA driver: above 0 is shaping)";

pub(super) static RESOURCE: Resource = Resource {
    name: "network-allowance",
    title: "the network allowance of the instance on {device}",
    means: "The cloud queues or drops packets of this instance because its bandwidth, packets per second, tracked connections or link-local packets are used up. The link itself shows nothing of it.",
    usual: "an instance type that is too small for its traffic, spent burst credits, many short connections, many DNS queries",
    saturation: &[
        saturation("network_allowance_in", 1.0, Counts::Alone, SHAPED),
        saturation("network_allowance_out", 1.0, Counts::Alone, SHAPED),
        saturation("network_allowance_packets", 1.0, Counts::Alone, SHAPED),
    ],
    errors: &[
        errors(
            "network_allowance_connections",
            1.0,
            Counts::Alone,
            "one packet a second dropped because the instance tracks no more connections",
        ),
        errors(
            "network_allowance_local",
            1.0,
            Counts::Alone,
            "one packet a second to the cloud's own services dropped; the allowance is 1,024 a second for each interface",
        ),
    ],
    blind: "the cloud's network allowance was not sampled: on EC2 the ENA driver counts it (node_exporter: --collector.ethtool); other clouds do not show it",
    advice: "a larger or network-optimized instance type, fewer or larger packets, connections that are kept open",
    ..BLANK
};
