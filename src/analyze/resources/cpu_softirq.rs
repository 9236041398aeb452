//! One core that handles the packets of all.

use super::{BLANK, Condition, Counts, Relation, Resource, errors, saturation, utilization};

/// One core has no time left while the node has.
const ONE_CORE: &[Condition] =
    &[Condition::AtLeast("cpu_core_max", 0.90), Condition::Below("cpu_busy", 0.85)];

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-softirq",
    title: "the core that handles interrupts",
    means: "One core handles the packets of all and has no time left.",
    usual: "a network card with one queue, or all its interrupts on one core",
    utilization: &[utilization(
        "cpu_softirq_core_max",
        0.50,
        0.50,
        "half of a core that is nine tenths busy, spent on interrupts; ours, from fixtures: a machine whose interrupts go to one core cannot be made here",
    )
    .when(ONE_CORE)],
    saturation: &[saturation(
        "softnet_squeezed",
        10.0,
        Counts::AtLimit,
        "packets left for the next turn ten times a second (Red Hat's network tuning guide: raise the budget when the third column of softnet_stat grows)",
    )
    .when(ONE_CORE)],
    errors: &[errors(
        "softnet_dropped",
        1.0,
        Counts::Alone,
        "a packet a second dropped because a core's backlog was full",
    )],
    follows: &[Relation::always("cpu", "all cores are busy, the one with the packets too")],
    blind: "interrupt time by core was not sampled",
    advice: "spread the interrupts (irqbalance, RSS, RPS), or raise net.core.netdev_budget and netdev_max_backlog",
    ..BLANK
};
