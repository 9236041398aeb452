//! Process and thread numbers, of the system and of the own cgroup.

use super::{BLANK, Counts, Resource, errors, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "pids",
    title: "the table of tasks",
    means: "The table of tasks, of the system or of a cgroup, is nearly full; new ones are refused.",
    usual: "threads or processes that are not ended; a unit's TasksMax",
    utilization: &[
        level("pids_ratio", 0.95, 0.80, "ceiling: the smaller of threads-max and pid_max"),
        level("cgroup_pids_ratio", 0.95, 0.80, "ceiling: pids.max of the cgroup"),
    ],
    errors: &[errors(
        "cgroup_pids_refused",
        0.1,
        Counts::Alone,
        "a task a second in ten that the cgroup was refused",
    )],
    blind: "the number of tasks was not sampled (node_exporter: --collector.processes)",
    advice: "raise the limit, or find who starts so many",
    ..BLANK
};
