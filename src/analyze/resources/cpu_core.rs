//! A few threads that cannot use more than a core each.

use super::{BLANK, Relation, Resource, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-core",
    title: "a single core",
    utilization: &[utilization(
        "cpu_core_max",
        0.95,
        0.90,
        "one core with no idle time (pmie per_cpu.some_util: 95 %)",
    )],
    follows: &[Relation {
        root: "cpu",
        when: None,
        why: "every core is busy, so the busiest one is too",
    }],
    own: Some(("load_cpu_cores", "cpu_busy_cores")),
    vital: true,
    blind: "CPU time by core was not sampled",
    advice: "the work is bound to one thread or core: more cores will not help, spreading it will",
    ..BLANK
};
