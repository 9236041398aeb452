//! Memory limits of cgroups: memory.max and memory.high.

use super::{BLANK, Condition, Counts, Resource, errors, level, saturation};
use crate::model::stats::Stat;

/// The host itself has a fifth of its memory to give, and nobody has to look for it.
const HOST_HAS_MEMORY: &[Condition] = &[
    Condition::Below("memory_used_ratio", 0.80),
    Condition::Below("memory_direct_scans", super::memory::SCANS),
];
/// The same for a source that does not show who looks for it.
const HOST_HAS_MEMORY_AS_SEEN: &[Condition] =
    &[Condition::Below("memory_used_ratio", 0.80), Condition::Unseen("memory_direct_scans")];
/// The same, and tasks wait for memory: compressed swap in memory (zram) is used without a
/// limit, and costs no waiting to speak of.
const SWAPS_AND_WAITS: &[Condition] = &[
    Condition::Below("memory_used_ratio", 0.80),
    Condition::Below("memory_direct_scans", super::memory::SCANS),
    Condition::AtLeast("memory_psi_some", 0.02),
];
const SWAPS_AND_WAITS_AS_SEEN: &[Condition] = &[
    Condition::Below("memory_used_ratio", 0.80),
    Condition::Unseen("memory_direct_scans"),
    Condition::AtLeast("memory_psi_some", 0.02),
];
const PLENTY: &str = "the limit for the host's memory, reached while the host has memory to spare: a limit within it must be at work";

pub(super) static RESOURCE: Resource = Resource {
    name: "memory-limit",
    title: "the memory limit of cgroup {device}",
    means: "A cgroup reached its memory limit: it reclaims, swaps, re-reads what it had to drop, is slowed down (memory.high), or its processes are killed. The host may have memory to spare.",
    usual: "a container's memory limit below its working set, its page cache included",
    utilization: &[level(
        "cgroup_memory_working_ratio",
        0.95,
        0.80,
        "ceiling: the limit, page cache that can be dropped left out. Near: within a fifth of it",
    )],
    saturation: &[
        saturation(
            "cgroup_memory_limit_hits",
            1.0,
            Counts::AtLimit,
            "the limit is hit at least once a second, with nothing left to drop",
        ),
        saturation(
            "cgroup_memory_refaults",
            500.0,
            Counts::Alone,
            "pages that had to be dropped are needed again 500 times a second (the rate of major faults that node-mixin warns of), while the limit is hit",
        )
        .when(&[Condition::AtLeast("cgroup_memory_limit_hits", 1.0)]),
        saturation(
            "cgroup_memory_psi_some",
            0.10,
            Counts::Alone,
            "tasks of the group wait for memory a tenth of the time with its limit near: above memory.high each of them is slowed down, however seldom the limit is hit",
        )
        .when(&[Condition::AtLeast("cgroup_memory_working_ratio", 0.80)]),
        saturation("memory_psi_some", 0.10, Counts::Hint, PLENTY).when(HOST_HAS_MEMORY),
        saturation("memory_psi_some", 0.10, Counts::Hint, PLENTY).when(HOST_HAS_MEMORY_AS_SEEN),
        saturation("swap_io", 50.0, Counts::Hint, PLENTY).when(SWAPS_AND_WAITS),
        saturation("swap_io", 50.0, Counts::Hint, PLENTY).when(SWAPS_AND_WAITS_AS_SEEN),
        saturation("oom_kills", 0.001, Counts::Hint, PLENTY).by(Stat::Mean).when(HOST_HAS_MEMORY),
        saturation("oom_kills", 0.001, Counts::Hint, PLENTY)
            .by(Stat::Mean)
            .when(HOST_HAS_MEMORY_AS_SEEN),
        saturation(
            "cgroup_swap_used_ratio",
            0.95,
            Counts::Never,
            "the group may swap no more (memory.swap.max), so that the next page it cannot drop gets a process killed",
        ),
    ],
    errors: &[errors("cgroup_oom_kills", 0.001, Counts::Alone, "any process killed for the limit")],
    own: Some(("load_resident_bytes", "cgroup_memory_bytes")),
    blind: "no memory limit in sight of this process, or node_exporter, which does not export it (cAdvisor or the kubelet in the same Prometheus do)",
    advice: "raise the limit or give the group less to do; the host may have memory to spare",
    ..BLANK
};
