//! Limits that cgroups set on operations and bytes of a disk.

use super::{BLANK, Counts, Relation, Resource, is_stacked, saturation, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "io-limit",
    title: "the I/O limit of cgroup {device}",
    means: "A cgroup's limit of operations or bytes on a disk is used up. The disk itself may be idle.",
    usual: "a container's or unit's I/O limit (io.max, blkio.throttle)",
    utilization: &[utilization(
        "cgroup_io_limit_used",
        0.95,
        0.80,
        "ceiling: the limit. Near: within a fifth of it",
    )],
    saturation: &[
        saturation(
            "cgroup_io_limit_used",
            0.98,
            Counts::Alone,
            "the whole limit is used: what is asked beyond it waits, asynchronous requests where no pressure shows them (measured: 8 requests queued behind io.max at pressure 0)",
        ),
        saturation(
            "io_psi_some",
            0.20,
            Counts::AtLimit,
            "tasks wait for I/O a fifth of the time (measured: 0.51 with the disk at 0.6 %)",
        ),
        saturation(
            "cgroup_io_psi_some",
            0.20,
            Counts::AtLimit,
            "tasks of the group wait for I/O a fifth of the time",
        ),
        saturation(
            "io_wait_unexplained",
            0.60,
            Counts::Hint,
            "tasks wait for I/O six tenths of the time in which no disk is busy: a limit, or a file system elsewhere (NFS, FUSE), withholds it (measured: 0.78 to 0.98 at a limit, up to 0.45 at a third of one)",
        ),
    ],
    follows: &[
        Relation {
            between: |_, disk| is_stacked(disk),
            ..Relation::always("disk", "it is what gives the disk that lies on it its speed")
        },
        Relation::always(
            "remote-storage",
            "tasks wait for a file system elsewhere, which no disk here shows",
        ),
    ],
    own: Some(("load_disk_bytes", "cgroup_io_bytes")),
    blind: "no cgroup with an I/O limit in sight, or node_exporter, which does not export them",
    advice: "raise the limit (io.max, blkio.throttle.*), or accept it: the disk itself has more to give",
    ..BLANK
};
