//! The limits of the own cgroup, which node_exporter does not see.

use super::{Values, labelled};
use crate::host::cgroup::{
    Group, Groups, Version, cpu_quota, inactive_file, memory_limit, memory_usage, pids_limit,
};

pub(super) fn sample(groups: &Groups, values: &mut Values) {
    if let Some(group) = &groups.cpu {
        cpu(group, values);
    }
    if let Some(group) = &groups.memory {
        memory(group, values);
    }
    if let Some(group) = &groups.pids {
        let tasks = group.number("pids.current");
        add(values, group, "stressor_cgroup_pids", tasks);
        add(values, group, "stressor_cgroup_pids_limit", pids_limit(group));
    }
}

fn cpu(group: &Group, values: &mut Values) {
    let usage = match group.version {
        Version::V1 => group.number("cpuacct.usage").map(|ns| ns / 1e9),
        Version::V2 => group.value("cpu.stat", "usage_usec").map(|us| us / 1e6),
    };
    add(values, group, "stressor_cgroup_cpu_quota_cores", cpu_quota(group));
    add(values, group, "stressor_cgroup_cpu_usage_seconds_total", usage);
    let periods = group.value("cpu.stat", "nr_periods");
    add(values, group, "stressor_cgroup_cpu_periods_total", periods);
    let throttled = group.value("cpu.stat", "nr_throttled");
    add(values, group, "stressor_cgroup_cpu_throttled_periods_total", throttled);
}

fn memory(group: &Group, values: &mut Values) {
    let (hits, kills) = match group.version {
        Version::V1 => {
            (group.number("memory.failcnt"), group.value("memory.oom_control", "oom_kill"))
        }
        Version::V2 => {
            (group.value("memory.events", "max"), group.value("memory.events", "oom_kill"))
        }
    };
    let usage = memory_usage(group);
    let working = usage.map(|usage| (usage - inactive_file(group).unwrap_or(0.0)).max(0.0));
    add(values, group, "stressor_cgroup_memory_limit_bytes", memory_limit(group));
    add(values, group, "stressor_cgroup_memory_usage_bytes", usage);
    add(values, group, "stressor_cgroup_memory_working_bytes", working);
    add(values, group, "stressor_cgroup_memory_limit_hits_total", hits);
    add(values, group, "stressor_cgroup_oom_kills_total", kills);
}

fn add(values: &mut Values, group: &Group, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        labelled(values, name, ("cgroup", &group.name), value);
    }
}
