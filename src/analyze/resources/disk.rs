//! A block device.

use super::{
    BLANK, Condition, Counts, Relation, Resource, Standing, is_path_of, is_stacked, saturation,
    utilization,
};

pub(super) static RESOURCE: Resource = Resource {
    name: "disk",
    title: "disk {device}",
    means: "Requests wait for a block device. How busy it is says little (it may serve many at once), so a queue decides: more than one request in flight on a device that takes over half a millisecond for each, or eight on any.",
    usual: "more requests than the device completes: IOPS or bandwidth of a volume, a cache that misses, many small synchronous writes",
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
            1.5,
            Counts::AtLimit,
            "more than one request in flight and each takes over a millisecond: while one is served another waits. One at a time at 100 % busy is no limit of the disk (measured: 17 thousand a second of 76)",
        )
        .near_from(1.25)
        .when(&[Condition::AtLeast("disk_await", 0.0005)]),
        saturation(
            "disk_queue",
            6.0,
            Counts::AtLimit,
            "six requests in flight, however fast each is: from there on more of them gain a fast device little (measured: a virtual disk read 512 KiB blocks with 7.5 in flight, each in under a millisecond)",
        ),
        saturation(
            "disk_queue_while_busy",
            1.4,
            Counts::Near,
            "a slow disk (each request takes over five milliseconds) that hardly rests, a second request in two of five moments, and tasks that wait three tenths of the time: writers that flush wait for one another in the file system, too (measured: three of them on 40 operations a second, 1.5, busy 0.80, pressure 0.77; four at 188 of 200 operations a second, 1.7, busy 0.79, pressure 0.41)",
        )
        .when(&[
            Condition::AtLeast("io_psi_some", 0.30),
            Condition::AtLeast("disk_await", 0.005),
        ]),
        saturation(
            "disk_busy",
            0.95,
            Counts::AtLimit,
            "requests in flight all the time and none completes, while tasks wait: the device hangs",
        )
        .when(&[Condition::Below("disk_operations", 0.1), Condition::AtLeast("io_blocked", 1.0)]),
        saturation(
            "disk_queue_while_busy",
            3.0,
            Counts::Nears,
            "a slow disk that is almost always busy, with a second request in two of five moments: it is near its limit, regardless of what waits",
        )
        .near_from(1.4)
        .when(&[Condition::AtLeast("disk_await", 0.005)]),
        saturation(
            "io_psi_some",
            0.50,
            Counts::Never,
            "tasks wait for I/O half the time; names no device and misses asynchronous I/O (measured: 0.0001 with 16 requests queued), so it never decides",
        ),
    ],
    follows: &[
        Relation {
            when: Some(("swap_io", 50.0)),
            ..Relation::always("memory", "the disk carries the paging traffic")
        },
        Relation {
            when: Some(("memory_refaults", 500.0)),
            ..Relation::always("memory", "pages that had to be dropped are read again and again")
        },
        Relation {
            when: Some(("swap_io", 50.0)),
            ..Relation::always("memory-limit", "the disk carries the paging traffic")
        },
        Relation {
            when: Some(("memory_refaults", 500.0)),
            ..Relation::always(
                "memory-limit",
                "pages that the cgroup had to drop are read again and again",
            )
        },
        Relation {
            between: |one, other| is_stacked(one) && !is_stacked(other),
            ..Relation::always("disk", "it lies on that disk, which does its work")
        },
        Relation {
            between: is_path_of,
            ..Relation::always("disk", "it is one of the paths to that disk")
        },
    ],
    own: Some(("load_disk_bytes", "disk_bytes")),
    vital: true,
    blind: "no block device was sampled",
    advice: "a faster or a second device, larger or fewer requests, or a cache before it",
    standing: Standing::WhileAsBefore,
    ..BLANK
};
