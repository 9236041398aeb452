//! The memory limit of the own cgroup.

use super::{BLANK, Counts, Resource, errors, level, saturation};

pub(super) static RESOURCE: Resource = Resource {
    name: "memory-limit",
    title: "the memory limit of cgroup {device}",
    utilization: &[level(
        "cgroup_memory_working_ratio",
        0.95,
        0.80,
        "ceiling: the limit, page cache that can be dropped left out. Near: within a fifth of it",
    )],
    saturation: &[saturation(
        "cgroup_memory_limit_hits",
        1.0,
        Counts::AtLimit,
        "the limit is hit at least once a second, with nothing left to drop",
    )],
    errors: &[errors("cgroup_oom_kills", 0.001, Counts::Alone, "any process killed for the limit")],
    own: Some(("load_resident_bytes", "cgroup_memory_bytes")),
    blind: "no memory limit in sight of this process, or node_exporter, which does not export it",
    advice: "raise the limit or give the group less to do; the host may have memory to spare",
    ..BLANK
};
