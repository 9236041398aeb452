//! CPU quotas of cgroups.

use super::{BLANK, Counts, Relation, Resource, saturation, utilization};

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
    blind: "no CPU quota in sight of this process, or node_exporter, which does not export it",
    advice: "raise the quota, or accept it: the host itself may have cores to spare",
    ..BLANK
};
