//! The catalogue's PromQL over series of known meaning, computed by a real Prometheus
//! engine (`promtool test rules`).

use std::{fmt::Write as _, fs, process::Command};

use stressor::model::catalogue;

use crate::support::component;

/// A node's series, and what a signal must be at the end: the value of each device's
/// series, or nothing.
struct Case {
    series: &'static [(&'static str, &'static str)],
    signal: &'static str,
    is_guarded: bool,
    /// Labels beside the node's, and the value; not a number for any.
    expected: &'static [(&'static str, f64)],
}

const fn case(
    series: &'static [(&'static str, &'static str)],
    signal: &'static str,
    expected: &'static [(&'static str, f64)],
) -> Case {
    Case { series, signal, is_guarded: false, expected }
}

const GIB: f64 = 1_073_741_824.0;

/// 755 GiB, of which 720 are set aside, and 17 of the rest are available.
const HUGE: &[(&str, &str)] = &[
    ("node_memory_MemTotal_bytes", "810675077120+0x20"),
    ("node_memory_MemAvailable_bytes", "18253611008+0x20"),
    ("node_memory_HugePages_Total", "720+0x20"),
    ("node_memory_Hugepagesize_bytes", "1073741824+0x20"),
];
/// 16 GiB, half of one available, 12 in the cache of ZFS whose minimum is 1.
const ZFS: &[(&str, &str)] = &[
    ("node_memory_MemTotal_bytes", "17179869184+0x20"),
    ("node_memory_MemAvailable_bytes", "536870912+0x20"),
    ("node_zfs_arc_size", "12884901888+0x20"),
    ("node_zfs_arc_c_min", "1073741824+0x20"),
];
/// Without any of it, as most nodes.
const PLAIN: &[(&str, &str)] = &[
    ("node_memory_MemTotal_bytes", "17179869184+0x20"),
    ("node_memory_MemAvailable_bytes", "12884901888+0x20"),
];
/// A local one, an image that is not said to be read-only, and one that is.
const MOUNTS: &[(&str, &str)] = &[
    (
        "node_filesystem_size_bytes{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"}",
        "100+0x20",
    ),
    (
        "node_filesystem_avail_bytes{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"}",
        "25+0x20",
    ),
    ("node_filesystem_readonly{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"}", "0+0x20"),
    (
        "node_filesystem_size_bytes{device=\"snapfuse\",fstype=\"fuse.snapfuse\",mountpoint=\"/snap/a\"}",
        "100+0x20",
    ),
    (
        "node_filesystem_avail_bytes{device=\"snapfuse\",fstype=\"fuse.snapfuse\",mountpoint=\"/snap/a\"}",
        "0+0x20",
    ),
    (
        "node_filesystem_size_bytes{device=\"/dev/sdb\",fstype=\"ext4\",mountpoint=\"/b\"}",
        "100+0x20",
    ),
    (
        "node_filesystem_avail_bytes{device=\"/dev/sdb\",fstype=\"ext4\",mountpoint=\"/b\"}",
        "0+0x20",
    ),
    ("node_filesystem_readonly{device=\"/dev/sdb\",fstype=\"ext4\",mountpoint=\"/b\"}", "1+0x20"),
    // Mounted from elsewhere, by an exporter without the collector's flag.
    (
        "node_filesystem_size_bytes{device=\"filer:/x\",fstype=\"nfs4\",mountpoint=\"/x\"}",
        "100+0x20",
    ),
    (
        "node_filesystem_avail_bytes{device=\"filer:/x\",fstype=\"nfs4\",mountpoint=\"/x\"}",
        "0+0x20",
    ),
];
/// Steal of core 0 falls; core 1 is in order.
const BACKWARDS: &[(&str, &str)] = &[
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}", "0+3x20"),
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}", "0+12x20"),
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"}", "900000000-3000x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"user\"}", "0+6x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "0+9x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"steal\"}", "0+0x20"),
];
/// Steal of core 0 falls, and was more than half of what it did: what is left does not
/// add up.
const HALF: &[(&str, &str)] = &[
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}", "0+6x20"),
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"}", "900000000-9x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"user\"}", "0+3x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "0+12x20"),
];
/// Core 1 is offline: what it counted stays as it was.
const OFFLINE: &[(&str, &str)] = &[
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}", "0+3x20"),
    ("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}", "0+12x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"user\"}", "700+0x20"),
    ("node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"}", "900+0x20"),
];
const THREADS: &[(&str, &str)] = &[
    ("node_cpu_info{core=\"0\",cpu=\"0\",package=\"0\",model=\"7\"}", "1+0x20"),
    ("node_cpu_info{core=\"0\",cpu=\"1\",package=\"0\",model=\"7\"}", "1+0x20"),
    ("node_cpu_info{core=\"0\",cpu=\"2\",package=\"1\",model=\"7\"}", "1+0x20"),
    ("node_cpu_info{core=\"0\",cpu=\"3\",package=\"1\",model=\"7\"}", "1+0x20"),
];

const CASES: &[Case] = &[
    case(HUGE, "memory_used_ratio", &[("", 18.0 / 35.0)]),
    case(HUGE, "memory_huge_pages_bytes", &[("", 720.0 * GIB)]),
    case(ZFS, "memory_used_ratio", &[("", 1.0 - 11.5 / 16.0)]),
    case(ZFS, "memory_arc_bytes", &[("", 11.0 * GIB)]),
    case(PLAIN, "memory_used_ratio", &[("", 0.25)]),
    case(PLAIN, "memory_used_bytes", &[("", 4.0 * GIB)]),
    case(PLAIN, "memory_huge_pages_bytes", &[]),
    case(PLAIN, "memory_arc_bytes", &[]),
    case(
        MOUNTS,
        "filesystem_used_ratio",
        &[
            ("device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\",", 0.75),
            ("device=\"filer:/x\",fstype=\"nfs4\",mountpoint=\"/x\",", 1.0),
        ],
    ),
    case(BACKWARDS, catalogue::CORE_TIME_OFF, &[("cpu=\"0\",", f64::NAN)]),
    Case { is_guarded: true, ..case(BACKWARDS, "cpu_busy", &[("", 0.3)]) },
    Case { is_guarded: true, ..case(BACKWARDS, "cpu_core_max", &[("", 0.4)]) },
    Case { is_guarded: true, ..case(BACKWARDS, "cpu_steal", &[("", 0.0)]) },
    Case { is_guarded: true, ..case(HALF, "cpu_busy", &[("", 0.2)]) },
    case(OFFLINE, catalogue::CORE_TIME_OFF, &[]),
    case(OFFLINE, "cpu_busy", &[("", 0.2)]),
    case(OFFLINE, "cpu_cores", &[("", 1.0)]),
    Case { is_guarded: true, ..case(OFFLINE, "cpu_cores", &[("", 1.0)]) },
    case(THREADS, "cpu_threads_per_core", &[("", 2.0)]),
];

#[test]
fn the_promql_of_a_signal_means_what_the_signal_means() {
    let mut text = String::from("rule_files: []\nevaluation_interval: 15s\ntests:\n");
    for case in CASES {
        let row = catalogue::signal(case.signal).unwrap();
        let promql = if case.is_guarded {
            row.expr.promql_guarded("job=\"node\"", "60s")
        } else {
            row.expr.promql("job=\"node\"", "60s")
        };
        text.push_str("  - interval: 15s\n    input_series:\n");
        for (name, values) in case.series {
            let target = "job=\"node\",instance=\"a\",cluster=\"eu\"";
            let series = match name.strip_suffix('}') {
                Some(name) => format!("{name},{target}}}"),
                None => format!("{name}{{{target}}}"),
            };
            let _ = write!(text, "      - series: '{series}'\n        values: '{values}'\n");
        }
        text.push_str("    promql_expr_test:\n");
        let count = case.expected.len();
        let _ = write!(
            text,
            "      - expr: 'count({promql}) or vector(0)'\n        eval_time: 4m\n        exp_samples: [{{labels: '{{}}', value: {count}}}]\n"
        );
        for (labels, value) in case.expected.iter().filter(|(_, value)| value.is_finite()) {
            // Of its device, and as near as two ways of dividing come.
            let one = format!("{{{labels}job=\"node\",instance=\"a\",cluster=\"eu\"}}");
            let _ = write!(
                text,
                "      - expr: 'abs({promql} - {value:?}) <= bool {:?}'\n        eval_time: 4m\n        exp_samples: ",
                1e-6 * value.abs().max(1.0)
            );
            if count == 1 {
                let _ = writeln!(text, "[{{labels: '{one}', value: 1}}]");
            } else {
                let each = case.expected.iter().map(|(labels, other)| {
                    let is_near = u8::from((other - value).abs() < 1e-6);
                    let one = format!("{{{labels}job=\"node\",instance=\"a\",cluster=\"eu\"}}");
                    format!("{{labels: '{one}', value: {is_near}}}")
                });
                let _ = writeln!(text, "[{}]", each.collect::<Vec<_>>().join(", "));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expressions.test.yml");
    fs::write(&path, &text).unwrap();
    let tested =
        Command::new(component(&["promtool"])).args(["test", "rules"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success(), "{said}\n{}", String::from_utf8_lossy(&tested.stdout));
}
