//! Receive buffers of UDP sockets.

use super::{BLANK, Counts, Resource, errors};

pub(super) static RESOURCE: Resource = Resource {
    name: "udp-receive",
    title: "a UDP receive buffer",
    errors: &[errors(
        "udp_receive_errors",
        1.0,
        Counts::Alone,
        "one datagram a second lost to a full buffer",
    )],
    follows: &[super::Relation {
        root: "cpu",
        when: None,
        why: "a reader without CPU time cannot empty its buffer",
    }],
    blind: "losses of UDP receive buffers were not sampled",
    advice: "read faster, or raise the socket's buffer (net.core.rmem_max)",
    ..BLANK
};
