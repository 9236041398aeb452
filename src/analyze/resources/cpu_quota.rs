//! CPU quotas of cgroups.

use super::{BLANK, Condition, Counts, Relation, Resource, saturation, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu-quota",
    title: "the CPU quota of cgroup {device}",
    means: "A cgroup used up its CPU time for the period and was held back until the next. The host may be idle.",
    usual: "a container's CPU limit",
    utilization: &[utilization(
        "cgroup_cpu_quota_used",
        0.95,
        0.80,
        "ceiling: the quota. Near: within a fifth of it",
    )],
    saturation: &[
        saturation(
            "cgroup_cpu_throttled",
            0.25,
            Counts::Near,
            "throttled in a quarter of the periods (kubernetes-mixin CPUThrottlingHigh), with four fifths of the quota used: short bursts are throttled at little use (kubernetes-mixin issue 108)",
        ),
        saturation(
            "cgroup_cpu_throttled",
            0.50,
            Counts::Alone,
            "throttled in half of the periods, with half of the quota used: its threads use up a period's quota at once and wait for the rest of it",
        )
        .when(&[Condition::AtLeast("cgroup_cpu_quota_used", 0.50)]),
        saturation(
            "cpu_psi_some",
            0.50,
            Counts::Hint,
            "tasks wait half the time and are not counted as ready to run, while the node has idle cores: something withholds the cores from them. One busy core need not be what they wait for",
        )
        .when(&[
            Condition::AtLeast("cpu_core_max", 0.95),
            Condition::Below("cpu_busy", 0.85),
            Condition::Below("cpu_psi_some", 0.85),
            Condition::Below("cpu_runnable_per_busy_core", 2.0),
        ]),
        saturation(
            "cpu_wait_unexplained",
            0.20,
            Counts::Hint,
            "tasks wait for a core a fifth of the time in which no core is busy: something other than the cores withholds them (measured: 0.82 waiting at 0.49 busy under a quota)",
        ),
    ],
    follows: &[Relation::always(
        "cpu-steal",
        "what the hypervisor withholds, tasks wait for while no core is busy",
    )],
    own: Some(("load_cpu_cores", "cgroup_cpu_cores")),
    blind: "no CPU quota in sight of this process, or node_exporter, which does not export it (cAdvisor or the kubelet in the same Prometheus do)",
    advice: "raise the quota, or accept it: the host itself may have cores to spare",
    ..BLANK
};
