//! The limits that cgroups set, which node_exporter does not see.

use std::path::PathBuf;

use super::{Values, labelled};
use crate::{
    host::cgroup::{
        Group, Groups, Version, cpu_quota, inactive_file, io_limits, memory_limit, memory_usage,
        pids_limit, refaults, scan::Limited,
    },
    model::series::Key,
};

/// All groups that set a limit, each once: our own, those the load will make,
/// and every other of the machine.
pub(super) fn sample(own: &[Groups], others: &Limited, values: &mut Values) {
    let of = |one: fn(&Groups) -> Option<&Group>, others: &[Group]| {
        let mut groups: Vec<Group> = own.iter().filter_map(one).chain(others).cloned().collect();
        // Ours come first, and keep the names that the load gave them.
        groups.sort_by(|a, b| a.path.cmp(&b.path));
        groups.dedup_by(|a, b| a.path == b.path);
        groups
    };
    for group in of(|groups| groups.cpu.as_ref(), &others.cpu) {
        cpu(&group, values);
        pressure(&group, "cpu", values);
    }
    for group in of(|groups| groups.memory.as_ref(), &others.memory) {
        memory(&group, values);
        pressure(&group, "memory", values);
    }
    for group in of(|groups| groups.pids.as_ref(), &others.pids) {
        let tasks = group.number("pids.current");
        add(values, &group, "stressor_cgroup_pids", tasks);
        add(values, &group, "stressor_cgroup_pids_limit", pids_limit(&group));
        let refused = group.value("pids.events", "max");
        add(values, &group, "stressor_cgroup_pids_refused_total", refused);
    }
    for group in &others.io {
        for limit in io_limits(group) {
            // Seconds in which the limit was used up: its rate is the share.
            if let Some(done) = limit.done {
                let key = Key::new(
                    "stressor_cgroup_io_limit_used_seconds_total",
                    &[("cgroup", &group.name), ("disk", &limit.number), ("limit", limit.of)],
                );
                values.push((key, done / limit.most));
            }
        }
        pressure(group, "io", values);
    }
}

/// How long tasks of the group waited; version 2 only.
fn pressure(group: &Group, resource: &str, values: &mut Values) {
    let Some(text) = group.text(&format!("{resource}.pressure")) else { return };
    let total = text
        .lines()
        .find(|line| line.starts_with("some"))
        .and_then(|line| line.rsplit_once("total=")?.1.trim().parse::<f64>().ok());
    let name = format!("stressor_cgroup_pressure_{resource}_waiting_seconds_total");
    add(values, group, &name, total.map(|us| us / 1e6));
}

fn cpu(group: &Group, values: &mut Values) {
    let usage = match group.version {
        Version::V1 => accounted(group).map(|ns| ns / 1e9),
        Version::V2 => group.value("cpu.stat", "usage_usec").map(|us| us / 1e6),
    };
    add(values, group, "stressor_cgroup_cpu_quota_cores", cpu_quota(group));
    add(values, group, "stressor_cgroup_cpu_usage_seconds_total", usage);
    let periods = group.value("cpu.stat", "nr_periods");
    add(values, group, "stressor_cgroup_cpu_periods_total", periods);
    let throttled = group.value("cpu.stat", "nr_throttled");
    add(values, group, "stressor_cgroup_cpu_throttled_periods_total", throttled);
}

/// Nanoseconds of CPU time, which version 1 counts in a hierarchy that may be
/// mounted apart from that of the quota.
fn accounted(group: &Group) -> Option<f64> {
    group.number("cpuacct.usage").or_else(|| {
        let apart: PathBuf = group
            .path
            .components()
            .map(
                |part| {
                    if part.as_os_str() == "cpu" { "cpuacct".as_ref() } else { part.as_os_str() }
                },
            )
            .collect();
        std::fs::read_to_string(apart.join("cpuacct.usage")).ok()?.trim().parse().ok()
    })
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
    add(values, group, "stressor_cgroup_memory_refaults_total", refaults(group));
}

fn add(values: &mut Values, group: &Group, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        labelled(values, name, ("cgroup", &group.name), value);
    }
}
