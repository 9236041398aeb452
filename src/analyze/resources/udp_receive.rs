//! Receive buffers of UDP sockets.

use super::{BLANK, Counts, Relation, Resource, errors};

pub(super) static RESOURCE: Resource = Resource {
    name: "udp-receive",
    title: "a UDP receive buffer",
    means: "A socket's receive buffer was full, and datagrams were lost.",
    usual: "a reader that is too slow for a burst, or a small buffer",
    errors: &[
        errors("udp_receive_errors", 1.0, Counts::Alone, SOURCE),
        errors("netns_udp_receive_errors", 1.0, Counts::Alone, SOURCE),
    ],
    follows: &[
        Relation::always("cpu", "a reader without CPU time cannot empty its buffer"),
        Relation::always("cpu-quota", "a reader without CPU time cannot empty its buffer"),
        Relation::always("cpu-affinity", "a reader without CPU time cannot empty its buffer"),
    ],
    blind: "losses of UDP receive buffers were not sampled",
    advice: "read faster, or raise the socket's buffer (net.core.rmem_max)",
    ..BLANK
};

const SOURCE: &str = "one datagram a second lost to a full buffer";
