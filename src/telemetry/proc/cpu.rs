//! CPU time by mode and core, run queue, load average, pressure.

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
/// processor tells (Intel, and not inside virtual machines).
fn throttles(roots: &Roots, values: &mut Values) {
    for core in 0.. {
        let folder = format!("devices/system/cpu/cpu{core}/thermal_throttle");
        let Some(text) = roots.sys_text(format!("{folder}/core_throttle_count")) else { break };
        let labels = [("core", core.to_string())];
        let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let key = Key::new("node_cpu_core_throttles_total", &labels);
        values.push((key, text.parse().unwrap_or(f64::NAN)));
    }
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
    fn damaged_lines_are_passed_over() {
        let mut values = Values::new();
        stat("cpu0\nctxt\ncpu1 x y\n\n", &mut values);
        pressure("io", "some total=\nnonsense\n", &mut values);
        assert!(values.iter().all(|(_, v)| v.is_nan()));
    }
}
