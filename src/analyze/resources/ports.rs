//! Ports that connections leave from.

use super::{BLANK, Resource, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "ports",
    title: "the ports for outgoing connections ({device})",
    means: "Connections to one address have used up the ports that they can leave from.",
    usual: "short connections that this side closes first",
    utilization: &[
        level(
            "destination_ports_ratio",
            0.95,
            0.80,
            "ports that connections to this destination hold, of the range's ports; a port can be used again for another destination",
        ),
        level("ports_used_ratio", 0.95, 0.80, SOURCE),
        level("netns_ports_used_ratio", 0.95, 0.80, SOURCE),
    ],
    blind: "the range of ports was not sampled: node_exporter does not export it",
    advice: "keep connections open, widen net.ipv4.ip_local_port_range, set net.ipv4.tcp_tw_reuse, or use more addresses",
    ..BLANK
};

const SOURCE: &str = "closed connections that still hold a port, of the range's ports; exact when they all go to one address, too high when they go to many";
