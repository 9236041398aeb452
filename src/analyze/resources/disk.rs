//! A block device.

use super::{BLANK, Counts, Relation, Resource, saturation, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "disk",
    title: "disk {device}",
    utilization: &[utilization(
        "disk_busy",
        0.80,
        0.65,
        "requests in flight four fifths of the time: kernels since 5.0 count it by jiffies, and eight queued writers on a disk that never rests read 0.82 to 1.0 (measured). It says nothing of how many more fit (iostat(1)), so it counts only with a queue",
    )],
    ceiling_known: false,
    saturation: &[
        saturation(
            "disk_queue",
            2.0,
            Counts::AtLimit,
            "two requests in flight on average: while one is served another waits, or the device serves several at once and all its time",
        ),
        saturation(
            "io_psi_some",
            0.50,
            Counts::Never,
            "tasks wait for I/O half the time; names no device and misses asynchronous I/O (measured: 0.0001 with 16 requests queued), so it never decides",
        ),
    ],
    follows: &[
        Relation {
            root: "memory",
            when: Some(("swap_io", 50.0)),
            why: "the disk carries the paging traffic",
        },
        Relation {
            root: "memory-limit",
            when: Some(("memory_refaults", 500.0)),
            why: "pages that the cgroup had to drop are read again and again",
        },
    ],
    own: Some(("load_disk_bytes", "disk_bytes")),
    vital: true,
    blind: "no block device was sampled",
    advice: "a faster or a second device, larger or fewer requests, or a cache before it",
    ..BLANK
};
