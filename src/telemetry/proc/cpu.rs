//! CPU time by mode and core, run queue, load average, pressure.

use std::collections::BTreeMap;

use super::{Values, labelled, numbers, plain};
use crate::{host::Roots, model::series::Key};

/// Ticks a second in /proc/stat. A constant of the kernel's interface to user
/// space on every architecture that Rust's Linux targets run on.
const USER_HZ: f64 = 100.0;
/// Columns of a `cpu` line. Guest time is contained in user and nice.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("stat") {
        stat(&text, values);
    }
    if let Some(text) = roots.proc_text("loadavg")
        && let Some(load) = numbers(&text).first()
    {
        plain(values, "node_load1", *load);
    }
    if let Some(text) = roots.proc_text("schedstat") {
        schedstat(&text, values);
    }
    throttles(roots, values);
    for resource in ["cpu", "memory", "io"] {
        if let Some(text) = roots.proc_text(format!("pressure/{resource}")) {
            pressure(resource, &text, values);
        }
    }
}

fn stat(text: &str, values: &mut Values) {
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(' ') else { continue };
        if let Some(cpu) = name.strip_prefix("cpu").filter(|cpu| !cpu.is_empty()) {
            for (mode, ticks) in MODES.iter().zip(numbers(rest)) {
                let key = Key::new("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)]);
                values.push((key, ticks / USER_HZ));
            }
        }
        let metric = match name {
            "ctxt" => "node_context_switches_total",
            "procs_running" => "node_procs_running",
            "procs_blocked" => "node_procs_blocked",
            "btime" => "node_boot_time_seconds",
            _ => continue,
        };
        if let Some(value) = numbers(rest).first() {
            plain(values, metric, *value);
        }
    }
}

/// Times that each core was slowed down for its heat or power; only where the
/// processor tells (Intel, and not inside virtual machines). All threads of a core show
/// its one counter, and a core that is offline shows none.
fn throttles(roots: &Roots, values: &mut Values) {
    let mut counts: BTreeMap<(String, String), String> = BTreeMap::new();
    for cpu in cpus(roots) {
        let folder = format!("devices/system/cpu/cpu{cpu}");
        let file = format!("{folder}/thermal_throttle/core_throttle_count");
        let Some(text) = roots.sys_text(file) else { continue };
        let core = place(roots, cpu).unwrap_or_else(|| (cpu.to_string(), String::new()));
        counts.entry(core).or_insert(text);
    }
    for ((core, package), text) in counts {
        let labels = [("core", core.as_str()), ("package", package.as_str())];
        let key = Key::new("node_cpu_core_throttles_total", &labels);
        values.push((key, text.parse().unwrap_or(f64::NAN)));
    }
}

/// The numbers of the processors, whatever gaps there are.
fn cpus(roots: &Roots) -> Vec<u32> {
    let folder = roots.sys.join("devices/system/cpu");
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = names
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The core and the package that a processor belongs to; `None` while it is offline.
fn place(roots: &Roots, cpu: u32) -> Option<(String, String)> {
    let of = |file: &str| roots.sys_text(format!("devices/system/cpu/cpu{cpu}/topology/{file}"));
    // Two cores of different dies can have one number.
    let die = of("die_id").filter(|die| !["", "0", "-1"].contains(&die.as_str()));
    let core = of("core_id")?;
    let core = die.map_or_else(|| core.clone(), |die| format!("{die}.{core}"));
    Some((core, of("physical_package_id")?))
}

/// Which processors are threads of one core, as node_exporter says it.
pub(super) fn topology(roots: &Roots) -> Values {
    cpus(roots)
        .into_iter()
        .filter_map(|cpu| {
            let (core, package) = place(roots, cpu)?;
            let cpu = cpu.to_string();
            let labels = [("cpu", cpu.as_str()), ("core", &core), ("package", &package)];
            Some((Key::new("node_cpu_info", &labels), 1.0))
        })
        .collect()
}

/// Version 15 on: `cpuN`, then nine numbers of which the seventh is time spent
/// running and the eighth time spent waiting, in nanoseconds.
fn schedstat(text: &str, values: &mut Values) {
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(' ') else { continue };
        let Some(cpu) = name.strip_prefix("cpu") else { continue };
        if let Some(waiting) = numbers(rest).get(7) {
            labelled(values, "node_schedstat_waiting_seconds_total", ("cpu", cpu), waiting / 1e9);
        }
    }
}

/// `some avg10=0.00 … total=123`, in microseconds. The `full` line of the CPU
/// says nothing on the level of the system.
fn pressure(resource: &str, text: &str, values: &mut Values) {
    for line in text.lines() {
        let total =
            line.rsplit_once("total=").and_then(|(_, total)| total.trim().parse::<f64>().ok());
        let Some(seconds) = total.map(|total| total / 1e6) else { continue };
        let state = match line.split(' ').next() {
            Some("some") => "waiting",
            Some("full") if resource != "cpu" => "stalled",
            _ => continue,
        };
        plain(values, &format!("node_pressure_{resource}_{state}_seconds_total"), seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(values: &Values, key: &str) -> Option<f64> {
        values.iter().find(|(k, _)| k.to_string() == key).map(|(_, v)| *v)
    }

    #[test]
    fn stat_is_read_by_core_and_mode() {
        let mut values = Values::new();
        stat(
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu3 100 0 50 800 20 0 5 25 7 0\nctxt 42\nprocs_running 3\n",
            &mut values,
        );
        assert_eq!(get(&values, "node_cpu_seconds_total{cpu=\"3\",mode=\"user\"}"), Some(1.0));
        assert_eq!(get(&values, "node_cpu_seconds_total{cpu=\"3\",mode=\"steal\"}"), Some(0.25));
        assert_eq!(get(&values, "node_context_switches_total"), Some(42.0));
        // The line of all cores is their sum and would be counted twice.
        assert_eq!(values.iter().filter(|(k, _)| k.name == "node_cpu_seconds_total").count(), 8);
    }

    #[test]
    fn pressure_of_old_and_new_kernels() {
        let mut values = Values::new();
        pressure(
            "cpu",
            "some avg10=1.5 avg60=0 avg300=0 total=2500000\nfull avg10=0 avg60=0 avg300=0 total=7\n",
            &mut values,
        );
        pressure(
            "io",
            "some avg10=0 avg60=0 avg300=0 total=1000000\nfull avg10=0 avg60=0 avg300=0 total=500000\n",
            &mut values,
        );
        assert_eq!(get(&values, "node_pressure_cpu_waiting_seconds_total"), Some(2.5));
        assert_eq!(get(&values, "node_pressure_io_stalled_seconds_total"), Some(0.5));
        assert_eq!(values.len(), 3);
    }

    #[test]
    fn throttling_is_read_past_gaps_and_once_a_core() {
        let folder = tempfile::tempdir().unwrap();
        for (cpu, core, count) in [(0, "0", "5"), (2, "0", "5"), (7, "4", "9")] {
            let at = folder.path().join(format!("devices/system/cpu/cpu{cpu}"));
            std::fs::create_dir_all(at.join("topology")).unwrap();
            std::fs::create_dir_all(at.join("thermal_throttle")).unwrap();
            std::fs::write(at.join("topology/core_id"), core).unwrap();
            std::fs::write(at.join("topology/physical_package_id"), "0\n").unwrap();
            std::fs::write(at.join("thermal_throttle/core_throttle_count"), count).unwrap();
        }
        std::fs::create_dir_all(folder.path().join("devices/system/cpu/cpufreq")).unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let mut values = Values::new();
        throttles(&roots, &mut values);
        assert_eq!(values.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [5.0, 9.0]);
        let key = "node_cpu_info{core=\"4\",cpu=\"7\",package=\"0\"}";
        assert_eq!(topology(&roots).len(), 3);
        assert_eq!(get(&topology(&roots), key), Some(1.0));
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let mut values = Values::new();
        stat("cpu0\nctxt\ncpu1 x y\n\n", &mut values);
        pressure("io", "some total=\nnonsense\n", &mut values);
        assert!(values.iter().all(|(_, v)| v.is_nan()));
    }
}
