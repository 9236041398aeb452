//! A few threads that cannot use more than a core each.

use super::{BLANK, Condition, Relation, Resource, Standing, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-core",
    title: "a single core",
    means: "One core is busy all the time while the others have time left: as much as one thread can do.",
    usual: "one thread that does the work, or a lock that lets one thread work at a time",
    utilization: &[
        utilization(
            "cpu_core_max",
            0.95,
            0.90,
            "one core with no idle time (pmie per_cpu.some_util: 95 %)",
        ),
        utilization(
            "process_busiest_cores",
            0.95,
            0.90,
            "a process that uses one core's worth of time and never more, on whichever cores: one thread, or threads that take turns for a lock",
        )
        .when(&[Condition::Below("process_busiest_cores", 1.03)]),
    ],
    follows: &[
        Relation::always("cpu", "every core is busy, so the busiest one is too"),
        Relation::always("cpu-affinity", "it is the core that the tasks are confined to"),
        Relation::always("cpu-softirq", "it is the core that handles the packets"),
        Relation::always("cpu-quota", "the group ran at full speed until its quota was used up"),
        Relation::always(
            "memory-limit",
            "a group that reclaims within its limit spends CPU time on it",
        ),
    ],
    own: Some(("load_cpu_cores", "cpu_busy_cores")),
    vital: true,
    blind: "CPU time by core was not sampled",
    advice: "the work is bound to one thread or core: more cores will not help, spreading it will",
    standing: Standing::InDoubt,
    ..BLANK
};
