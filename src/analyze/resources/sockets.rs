//! Memory of the sockets.

use super::{BLANK, Counts, Resource, errors, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "sockets",
    title: "the memory of TCP's buffers",
    means: "TCP's buffers hold as much memory as the kernel allows.",
    usual: "many connections whose reader is slow",
    utilization: &[level(
        "tcp_memory_ratio",
        0.95,
        0.80,
        "ceiling: the second number of net.ipv4.tcp_mem, from which on the kernel trims buffers",
    )],
    errors: &[errors(
        "tcp_memory_pressures",
        0.01,
        Counts::Near,
        "TCP ran into its limit of memory",
    )],
    blind: "the memory of sockets and its limit were not sampled",
    advice: "raise net.ipv4.tcp_mem, or find who does not read what arrives (ss -m)",
    ..BLANK
};
