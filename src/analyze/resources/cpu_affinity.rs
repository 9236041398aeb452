//! Cores that tasks are confined to, while others are idle.

use super::{BLANK, Condition, Counts, Relation, Resource, saturation, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-affinity",
    title: "the core that tasks are confined to",
    means: "Tasks may use only some cores (an affinity mask or a cpuset), and those are busy while others idle.",
    usual: "taskset, a container's cpuset, a pinned thread pool, interrupts and work on one core",
    utilization: &[
        utilization(
            "cpu_core_max",
            0.95,
            0.95,
            "one core with no idle time (pmie per_cpu.some_util: 95 %)",
        )
        .when(&[Condition::AtLeast("cpu_psi_some", 0.85), Condition::Below("cpu_busy", 0.85)]),
        utilization(
            "cpu_core_max",
            0.95,
            0.95,
            "the same with less waiting, where the waiting tasks are counted as ready to run: those that a quota holds back are not",
        )
        .when(&[
            Condition::AtLeast("cpu_psi_some", 0.50),
            Condition::AtLeast("cpu_runnable_per_busy_core", 2.0),
            Condition::Below("cpu_busy", 0.85),
        ]),
        utilization("cpu_core_max", 0.95, 0.95, "the same, where nobody counts tasks").when(&[
            Condition::AtLeast("cpu_psi_some", 0.50),
            Condition::Unseen("cpu_runnable_per_busy_core"),
            Condition::Below("cpu_busy", 0.85),
        ]),
        utilization("cpu_core_max", 0.95, 0.95, "the same, where the kernel has no PSI").when(&[
            Condition::Unseen("cpu_psi_some"),
            Condition::AtLeast("cpu_runnable_per_busy_core", 3.0),
            Condition::Below("cpu_busy", 0.85),
        ]),
    ],
    saturation: &[
        saturation(
            "cpu_runnable_per_busy_core",
            3.0,
            Counts::Substitute,
            "one runs on the core that has no time left, the reader of the figure runs too, and one more waits (measured: 4.5 with four spinners on one core, 1.9 with one); only without PSI, as it is an instant's count",
        )
        .when(&[Condition::Unseen("cpu_psi_some"), Condition::Below("cpu_busy", 0.85)]),
        saturation(
        "cpu_psi_some",
        0.50,
        Counts::AtLimit,
        "tasks wait half the time though the node has idle cores: they may not use them (measured: four spinners pinned to one of two cores 0.99, one spinner 0.03)",
    )
    .when(&[Condition::Below("cpu_busy", 0.85)]),
    ],
    follows: &[
        Relation::always("cpu-quota", "tasks whose quota is used up count as waiting for a core"),
        Relation::always("cpu-softirq", "what shares the core with the packets has to wait"),
        Relation::always("cpu-steal", "what the hypervisor withholds, tasks wait for"),
        Relation::always("cpu", "all cores are busy"),
    ],
    own: Some(("load_cpu_cores", "cpu_busy_cores")),
    blind: "CPU time by core, or pressure, was not sampled",
    advice: "widen the affinity mask or cpuset (taskset -p, cpuset.cpus), or spread the work: the node has idle cores",
    ..BLANK
};
