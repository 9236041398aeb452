//! All cores together.

use super::{BLANK, Counts, Relation, Resource, saturation, utilization};

pub(super) static RESOURCE: Resource = Resource {
    name: "cpu",
    title: "the CPU",
    means: "All cores together have no time left. `full` is one task a core at 100 %: nothing waits. `saturated` is more tasks than cores: some wait.",
    usual: "more work than cores; without hardware counters also a limit of memory bandwidth, which looks the same",
    utilization: &[utilization(
        "cpu_busy",
        0.95,
        0.80,
        "ceiling: all cores; 5 % are left to rounding of ticks. Near: within a fifth of it",
    )],
    saturation: &[
        saturation(
            "cpu_psi_some",
            0.25,
            Counts::AtLimit,
            "measured: 0.13 to 0.18 with one busy task a core, 0.99 with four a core",
        ),
        saturation(
            "cpu_runnable_per_core",
            2.0,
            Counts::Substitute,
            "one task runs and one waits on each core (Gregg: vmstat r above the number of CPUs); only without PSI, as it is an instant's count",
        ),
    ],
    follows: &[Relation::always("cpu-steal", "what the hypervisor withholds, tasks wait for")],
    own: Some(("load_cpu_cores", "cpu_busy_cores")),
    vital: true,
    blind: "CPU time by mode was not sampled",
    advice: "more or faster cores, or less work for each request; without hardware counters a memory-bandwidth limit looks the same",
    ..BLANK
};
