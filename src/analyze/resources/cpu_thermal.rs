//! Cores slowed down for heat or power.

use super::{BLANK, Condition, Counts, Resource, errors};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-thermal",
    title: "the processor's heat or power limit",
    means: "The processor slowed itself down for heat or power.",
    usual: "cooling, a power limit, all cores at wide vector units",
    errors: &[errors(
        "cpu_throttles",
        0.1,
        Counts::Alone,
        "a sustained rise, one in ten seconds (pmie power.thermal_throttle)",
    )
    .when(&[Condition::AtLeast("cpu_core_max", 0.5)])],
    blind: "the processor does not tell of throttling (only Intel does, and not to virtual machines)",
    advice: "better cooling, a higher power limit, or fewer cores at once",
    ..BLANK
};
