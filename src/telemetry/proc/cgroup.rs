//! The limits that cgroups set, which node_exporter does not see.

use std::collections::{BTreeMap, BTreeSet};

use super::{Values, labelled};
use crate::{
    host::cgroup::{
        Group, Groups, Version, cpu_quota, flat_value, io_limits, memory_limit, memory_usage,
        pids_limit,
        scan::{Controller, Watch},
        usage::{cpu_seconds, inactive_file_of, io_bytes, refaults_of},
    },
    model::series::Key,
};

/// The groups that set a limit, each once: our own, those the load will make, and of the
/// others of the machine those that the watch chooses.
pub(super) fn sample(own: &[Groups], watch: &Watch, values: &mut Values) {
    let mut loaded: BTreeSet<String> = BTreeSet::new();
    for controller in Controller::ALL {
        let of_own = own.iter().filter_map(|groups| match controller {
            Controller::Cpu => groups.cpu.as_ref(),
            Controller::Memory => groups.memory.as_ref(),
            Controller::Tasks => groups.pids.as_ref(),
            Controller::Io => groups.io.as_ref(),
        });
        let chosen = watch.chosen(controller);
        // Ours come first, and keep the names that the load gave them.
        let mut groups: BTreeMap<_, &Group> = BTreeMap::new();
        for group in of_own.clone().chain(&chosen.groups) {
            groups.entry(group.path.as_path()).or_insert(group);
        }
        let read = chosen.groups.len();
        if chosen.limited > 0 {
            let label = ("controller", controller.name());
            labelled(values, "stressor_cgroups_limited", label, chosen.limited as f64);
            let unread = chosen.limited.saturating_sub(read);
            labelled(values, "stressor_cgroups_unread", label, unread as f64);
        }
        for group in groups.into_values() {
            let has_load = watch.is_ours(group) || of_own.clone().any(|one| one.path == group.path);
            if has_load {
                loaded.insert(group.name.clone());
            }
            match controller {
                Controller::Cpu => cpu(group, values),
                Controller::Memory => memory(group, values),
                Controller::Tasks => tasks(group, values),
                Controller::Io => io(group, values),
            }
            if controller != Controller::Tasks {
                pressure(group, controller.name(), values);
            }
        }
    }
    for name in loaded {
        labelled(values, "stressor_cgroup_has_load", ("cgroup", &name), 1.0);
    }
    if watch.unvisited() > 0 {
        let label = ("controller", "any");
        labelled(values, "stressor_cgroups_unread", label, watch.unvisited() as f64);
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
    let stat = group.text("cpu.stat").unwrap_or_default();
    add(values, group, "stressor_cgroup_cpu_quota_cores", cpu_quota(group));
    let usage = cpu_seconds(group, group.version, &stat);
    add(values, group, "stressor_cgroup_cpu_usage_seconds_total", usage);
    let periods = flat_value(&stat, "nr_periods");
    add(values, group, "stressor_cgroup_cpu_periods_total", periods);
    let throttled = flat_value(&stat, "nr_throttled");
    add(values, group, "stressor_cgroup_cpu_throttled_periods_total", throttled);
}

fn memory(group: &Group, values: &mut Values) {
    let stat = group.text("memory.stat").unwrap_or_default();
    let (hits, kills) = match group.version {
        Version::V1 => {
            (group.number("memory.failcnt"), group.value("memory.oom_control", "oom_kill"))
        }
        Version::V2 => {
            let events = group.text("memory.events").unwrap_or_default();
            // Both hold the group back: at `max` it reclaims or is killed, above `high` it
            // reclaims and is slowed down.
            let hits = ["max", "high"].map(|key| flat_value(&events, key));
            let hits = hits.into_iter().flatten().reduce(|a, b| a + b);
            (hits, flat_value(&events, "oom_kill"))
        }
    };
    let usage = memory_usage(group);
    let cache = inactive_file_of(group.version, &stat).unwrap_or(0.0);
    let working = usage.map(|usage| (usage - cache).max(0.0));
    add(values, group, "stressor_cgroup_memory_limit_bytes", memory_limit(group));
    add(values, group, "stressor_cgroup_memory_usage_bytes", usage);
    add(values, group, "stressor_cgroup_memory_working_bytes", working);
    add(values, group, "stressor_cgroup_memory_limit_hits_total", hits);
    add(values, group, "stressor_cgroup_oom_kills_total", kills);
    let refaults = refaults_of(group.version, &stat);
    add(values, group, "stressor_cgroup_memory_refaults_total", refaults);
    if group.version == Version::V2
        && let Some(limit) = group.number("memory.swap.max").filter(|limit| *limit > 0.0)
    {
        add(values, group, "stressor_cgroup_swap_limit_bytes", Some(limit));
        add(values, group, "stressor_cgroup_swap_bytes", group.number("memory.swap.current"));
    }
}

fn tasks(group: &Group, values: &mut Values) {
    add(values, group, "stressor_cgroup_pids", group.number("pids.current"));
    add(values, group, "stressor_cgroup_pids_limit", pids_limit(group));
    let refused = group.value("pids.events", "max");
    add(values, group, "stressor_cgroup_pids_refused_total", refused);
}

fn io(group: &Group, values: &mut Values) {
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
    add(values, group, "stressor_cgroup_io_bytes_total", io_bytes(group));
}

fn add(values: &mut Values, group: &Group, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        labelled(values, name, ("cgroup", &group.name), value);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;
    use crate::host::Roots;

    #[test]
    fn a_group_held_back_by_memory_high_and_the_groups_of_the_load_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("self")).unwrap();
        fs::create_dir_all(at("cg/a")).unwrap();
        fs::create_dir_all(at("cg/ours/below")).unwrap();
        let mount = format!("32 20 0:28 / {} rw - cgroup2 cgroup rw\n", at("cg").display());
        fs::write(at("self/mountinfo"), mount).unwrap();
        fs::write(at("self/cgroup"), "0::/ours/below\n").unwrap();
        for (path, text) in [
            ("cg/a/memory.max", "max\n"),
            ("cg/a/memory.high", "1000\n"),
            ("cg/a/memory.current", "990\n"),
            ("cg/a/memory.stat", "inactive_file 10\nworkingset_refault_anon 1\n"),
            ("cg/a/memory.events", "low 0\nhigh 40\nmax 2\noom 0\noom_kill 0\n"),
            ("cg/a/memory.pressure", "some avg10=0 avg60=0 avg300=0 total=2500000\n"),
            ("cg/a/memory.swap.max", "100\n"),
            ("cg/a/memory.swap.current", "50\n"),
            ("cg/ours/cpu.max", "50000 100000\n"),
        ] {
            fs::write(at(path), text).unwrap();
        }
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let mut watch = Watch::default();
        watch.look(&roots, Instant::now());
        let mut values = Values::new();
        sample(&[], &watch, &mut values);
        let get =
            |key: &str| values.iter().find(|(one, _)| one.to_string() == key).map(|one| one.1);
        for (key, value) in [
            ("stressor_cgroup_memory_limit_bytes{cgroup=\"/a\"}", 1000.0),
            ("stressor_cgroup_memory_working_bytes{cgroup=\"/a\"}", 980.0),
            ("stressor_cgroup_memory_limit_hits_total{cgroup=\"/a\"}", 42.0),
            ("stressor_cgroup_pressure_memory_waiting_seconds_total{cgroup=\"/a\"}", 2.5),
            ("stressor_cgroup_swap_bytes{cgroup=\"/a\"}", 50.0),
            ("stressor_cgroup_has_load{cgroup=\"/ours\"}", 1.0),
            ("stressor_cgroups_unread{controller=\"memory\"}", 0.0),
        ] {
            assert_eq!(get(key), Some(value), "{key}");
        }
        assert_eq!(get("stressor_cgroup_has_load{cgroup=\"/a\"}"), None);
    }
}
