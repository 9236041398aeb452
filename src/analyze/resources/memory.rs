//! Memory of the host.

use super::{BLANK, Condition, Counts, Relation, Resource, errors, level, saturation};
use crate::model::stats::Stat;

/// Pages a second that tasks look at in search of free memory: 4 MiB/s, a thousandth of
/// what a core can look at.
pub(super) const SCANS: f64 = 1000.0;

pub(super) static RESOURCE: Resource = Resource {
    name: "memory",
    title: "memory",
    means: "The host's memory is used up (`full`), and tasks wait for it (`saturated`): reclaim, swap, kills. Page cache counts as available, and so does the cache of ZFS above its minimum; huge pages are left out of the whole.",
    usual: "processes that need more than there is; swap traffic is evidence for it, and the disk's load its consequence",
    utilization: &[level(
        "memory_used_ratio",
        0.94,
        0.80,
        "ceiling: what is not available; 6 % is where kernels begin to reclaim in earnest and our own reserve of 5 % stops the load. Near: within a fifth of it",
    )],
    saturation: &[
        saturation(
            "memory_psi_some",
            0.10,
            Counts::Near,
            "tasks wait for memory a tenth of the time; 0 when memory is merely used (measured). With memory to spare it is a cgroup's limit that they wait for",
        ),
        saturation(
            "memory_psi_some",
            0.10,
            Counts::Alone,
            "the same, while tasks reclaim memory of the host: what they do within a cgroup's limit is not counted as such",
        )
        .when(&[Condition::AtLeast("memory_direct_scans", SCANS)]),
        saturation(
            "oom_kills",
            0.001,
            Counts::Suspected,
            "a process was killed with the host's memory near its limit; a cgroup's limit is counted here, too",
        )
        .by(Stat::Mean)
        .when(&[Condition::AtLeast("memory_used_ratio", 0.80)]),
        saturation(
            "swap_io",
            50.0,
            Counts::Suspected,
            "sustained swapping near the limit, where the kernel does not show whether tasks wait for it; compressed swap in memory (zram, zswap) looks the same",
        )
        .when(&[Condition::AtLeast("memory_used_ratio", 0.80), Condition::Unseen("memory_psi_some")]),
        saturation(
            "swap_io",
            50.0,
            Counts::Near,
            "sustained swapping that tasks wait for (pmie memory.exhausted: 5 pages/s; tenfold, as cold pages move out without harm)",
        )
        .when(&[Condition::AtLeast("memory_psi_some", 0.02)]),
        saturation(
            "major_faults",
            500.0,
            Counts::AtLimit,
            "node-mixin NodeMemoryMajorPagesFaults: 500/s",
        ),
    ],
    errors: &[errors(
        "oom_kills",
        0.001,
        Counts::AtLimit,
        "any kill; counts cgroup kills too, hence only at the host's limit",
    )],
    follows: &[Relation::always(
        "memory-limit",
        "a cgroup that reclaims within its limit makes its tasks wait for memory, which the host's pressure counts",
    )],
    own: Some(("load_resident_bytes", "memory_used_bytes")),
    vital: true,
    blind: "memory use was not sampled",
    advice: "more memory, or fewer or smaller processes; swap only delays it",
    context: &[
        ("memory_huge_pages_bytes", "of huge pages are left out of the whole"),
        ("memory_arc_bytes", "in the cache of ZFS count as available"),
        ("memory_shared_bytes", "in tmpfs and shared segments count as used"),
    ],
    ..BLANK
};
