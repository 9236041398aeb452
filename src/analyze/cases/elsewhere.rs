//! Limits that lie outside the node's own resources: remote file systems, what a cloud
//! grants, GPUs, containers; and what looks like them.

use super::{
    machine::{BASELINE_S, LOAD_S, Machine, SECOND, run_of, snapshots},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Grade, Kind, Verdict},
    },
    model::{
        catalogue,
        run::{Run, SourceKind},
        series::{Key, Point, Signal},
        time::Timestamp,
    },
};

/// A run of this machine to which these series are added: by the key and the value at a
/// second.
fn with(machine: &Machine, series: &[(&str, &dyn Fn(i64) -> f64)]) -> Run {
    let mut all = snapshots(machine);
    for (second, snapshot) in (0..).zip(&mut all) {
        for (key, value) in series {
            snapshot.values.push((Key::parse(key).unwrap(), value(second)));
        }
    }
    let mut run = run_of(&all);
    run.nodes[0].record.source = SourceKind::Prometheus;
    run
}

fn judged(run: &Run) -> Verdict {
    under_load(&analyze(run)).clone()
}

fn named(verdict: &Verdict) -> (&str, Option<&str>, Kind, Grade) {
    (&verdict.resource, verdict.device.as_deref(), verdict.kind, verdict.grade)
}

/// Add a catalogue signal with one level before the load and one under it.
fn add(run: &mut Run, name: &'static str, device: Option<&str>, before: f64, under: f64) {
    assert!(catalogue::signal(name).is_some(), "{name}");
    let points = (0..=BASELINE_S + LOAD_S)
        .map(|second| Point {
            t: Timestamp(second * SECOND),
            v: if second > BASELINE_S { under } else { before },
        })
        .collect();
    let signal = Signal { device: device.map(str::to_owned), points, window_s: 0.0 };
    run.nodes[0].signals.signals.entry(name.to_owned()).or_default().push(signal);
}

fn quiet() -> Run {
    with(&Machine::default(), &[])
}

/// Seconds of load so far.
fn loaded(second: i64) -> f64 {
    (second - BASELINE_S).max(0) as f64
}

fn while_loaded(second: i64, value: f64) -> f64 {
    if second > BASELINE_S { value } else { 0.0 }
}

/// One core that a thread fills, and waiting that it need not explain.
fn pressed(running: f64) -> Machine {
    Machine { busy: [0.97, 0.02], psi_cpu: 0.58, running, ..Machine::default() }
}

#[test]
fn pressure_beside_a_busy_core_leaves_two_explanations() {
    // Few tasks are ready to run: those that wait are held back, and not by that core.
    let verdict = judged(&with(&pressed(1.0), &[]));
    assert_eq!(
        (verdict.resource.as_str(), verdict.grade),
        ("cpu-quota", Grade::Possible),
        "{}",
        verdict.statement
    );
    for word in ["affinity", "CPU quota", "container"] {
        assert!(verdict.statement.contains(word), "{}", verdict.statement);
    }
    // Many tasks that are ready to run wait for that core, and for no quota.
    let verdict = judged(&with(&pressed(5.0), &[]));
    assert_eq!((verdict.resource.as_str(), verdict.grade), ("cpu-affinity", Grade::Likely));
    assert!(!verdict.statement.contains("Two explanations"), "{}", verdict.statement);
}

#[test]
fn a_throttled_pod_is_named_with_its_namespace() {
    let container = "cgroup=\"shop/cart-0/app\"";
    for machine in [pressed(1.0), Machine { busy: [0.2; 2], psi_cpu: 0.58, ..Machine::default() }] {
        let verdict = judged(&with(
            &machine,
            &[
                (&format!("stressor_cgroup_cpu_periods_total{{{container}}}"), &|second| {
                    10.0 * second as f64
                }),
                (
                    &format!("stressor_cgroup_cpu_throttled_periods_total{{{container}}}"),
                    &|second| 9.0 * loaded(second),
                ),
            ],
        ));
        assert_eq!(
            named(&verdict),
            ("cpu-quota", Some("shop/cart-0/app"), Kind::Saturated, Grade::Likely)
        );
        assert!(
            verdict.statement.contains("CPU quota of container shop/cart-0/app"),
            "{}",
            verdict.statement
        );
    }
}

#[test]
fn a_container_at_its_memory_limit_is_named() {
    let mut run = quiet();
    let app = Some("shop/cart-0/app");
    add(&mut run, "cgroup_memory_working_ratio", app, 0.4, 0.99);
    add(&mut run, "cgroup_oom_kills", app, 0.0, 0.0);
    assert_eq!(named(&judged(&run)), ("memory-limit", app, Kind::Full, Grade::Likely));
    let mut run = quiet();
    add(&mut run, "cgroup_memory_working_ratio", app, 0.4, 0.6);
    assert_eq!(judged(&run).resource, "none");
}

const MOUNT: &str =
    "node_filesystem_device_error{device=\"srv:/x\",fstype=\"nfs4\",mountpoint=\"/srv\"}";

#[test]
fn tasks_that_sleep_while_no_disk_is_busy_wait_for_something_else() {
    let blocked = |second| while_loaded(second, 250.0);
    let verdict = judged(&with(
        &Machine { load1: 250.0, ..Machine::default() },
        &[("node_procs_blocked", &blocked), (MOUNT, &|_| 0.0)],
    ));
    assert_eq!(named(&verdict), ("remote-storage", None, Kind::Saturated, Grade::Possible));
    assert!(verdict.statement.contains("mounted here: /srv"), "{}", verdict.statement);
    // By their state, and with no mount in sight.
    let verdict =
        judged(&with(&Machine::default(), &[("node_processes_state{state=\"D\"}", &blocked)]));
    assert_eq!((verdict.resource.as_str(), verdict.grade), ("remote-storage", Grade::Possible));
    assert!(verdict.statement.contains("driver"), "{}", verdict.statement);
}

#[test]
fn tasks_that_sleep_may_also_wait_for_a_limit_or_for_memory() {
    let blocked: (&str, &dyn Fn(i64) -> f64) =
        ("node_procs_blocked", &|second| while_loaded(second, 250.0));
    // Pressure of I/O rises with them. Where remote storage is mounted, it is meant.
    let waiting = Machine { psi_io: 0.95, ..Machine::default() };
    let verdict = judged(&with(&waiting, &[blocked, (MOUNT, &|_| 0.0)]));
    assert_eq!((verdict.resource.as_str(), verdict.grade), ("remote-storage", Grade::Possible));
    assert!(verdict.statement.contains("I/O limit"), "{}", verdict.statement);
    let verdict = judged(&with(&waiting, &[blocked]));
    assert_eq!((verdict.resource.as_str(), verdict.grade), ("io-limit", Grade::Possible));
    assert!(verdict.statement.contains("remote storage"), "{}", verdict.statement);
    // A limit that was seen is the root.
    let used = |second: i64| loaded(second);
    let limit = "stressor_cgroup_io_limit_used_seconds_total{cgroup=\"/a\"}";
    let verdict = judged(&with(&waiting, &[blocked, (MOUNT, &|_| 0.0), (limit, &used)]));
    assert_eq!((verdict.resource.as_str(), verdict.device.as_deref()), ("io-limit", Some("/a")));
    let thrashing = Machine { available_gib: 0.3, psi_memory: 0.6, ..Machine::default() };
    let verdict = judged(&with(&thrashing, &[blocked]));
    assert_eq!(verdict.resource, "memory");
    assert!(!verdict.statement.contains("remote"), "{}", verdict.statement);
}

#[test]
fn spent_credits_are_named_where_the_hypervisor_takes_time() {
    let mut run = with(&Machine { steal: 0.4, busy: [0.5; 2], ..Machine::default() }, &[]);
    add(&mut run, "cpu_credits", None, 100.0, 0.0);
    let verdict = judged(&run);
    assert_eq!(verdict.resource, "cpu-steal");
    assert!(verdict.statement.contains("credits are spent"), "{}", verdict.statement);
}

#[test]
fn tasks_that_slept_from_the_first_sample_on_are_a_note_and_not_none() {
    let hung: (&str, &dyn Fn(i64) -> f64) = ("node_procs_blocked", &|_| 250.0);
    let verdict = judged(&with(&Machine::default(), &[hung, (MOUNT, &|_| 1.0)]));
    assert_eq!((verdict.resource.as_str(), verdict.kind), ("unknown", Kind::Unknown));
    for word in [
        "250 tasks",
        "/srv (remote nfs4 srv:/x; its size could not be read)",
        "from the first sample on",
    ] {
        assert!(verdict.statement.contains(word), "{}", verdict.statement);
    }
    // What else is at its limit is the verdict, with the note.
    let busy = Machine { busy: [1.0; 2], psi_cpu: 0.99, running: 9.0, ..Machine::default() };
    let verdict = judged(&with(&busy, &[hung]));
    assert_eq!((verdict.resource.as_str(), verdict.grade), ("cpu", Grade::Likely));
    assert!(verdict.statement.contains("from the first sample on"), "{}", verdict.statement);
}

#[test]
fn tasks_that_wait_for_a_busy_disk_are_its_consequence() {
    let blocked = |second| while_loaded(second, 250.0);
    let busy = Machine { disk_busy: 1.0, disk_queue: 250.0, ..Machine::default() };
    let verdict = judged(&with(&busy, &[("node_procs_blocked", &blocked), (MOUNT, &|_| 0.0)]));
    assert_eq!((verdict.resource.as_str(), verdict.device.as_deref()), ("disk", Some("sda")));
    assert!(!verdict.statement.contains("remote"), "{}", verdict.statement);
}

#[test]
fn a_local_disk_that_hangs_is_the_disk() {
    // Its time in flight grows, and nothing that is counted at completion does.
    let hung = Machine { disk_busy: 1.0, disk_queue: 0.0, ..Machine::default() };
    let done = |second: i64| 50.0 * second.min(BASELINE_S) as f64;
    let verdict = judged(&with(
        &hung,
        &[
            ("node_procs_blocked", &|second| while_loaded(second, 30.0)),
            ("node_disk_reads_completed_total{device=\"sda\"}", &done),
            ("node_disk_writes_completed_total{device=\"sda\"}", &done),
        ],
    ));
    assert_eq!(
        (verdict.resource.as_str(), verdict.device.as_deref(), verdict.kind),
        ("disk", Some("sda"), Kind::Saturated)
    );
}

#[test]
fn an_nfs_server_that_answers_slowly_is_likely_and_a_quick_one_is_none() {
    let of_export = |response_s: f64, per_second: f64| {
        let sum = move |each: f64| {
            move |second: i64| {
                per_second * (0.002 * second.min(BASELINE_S) as f64 + each * loaded(second))
            }
        };
        let (response, request) = (sum(response_s), sum(response_s));
        let queue = |_: i64| 0.0;
        let requests = move |second: i64| per_second * second as f64;
        let key = |name: &str| {
            format!("node_mountstats_nfs_operations_{name}_total{{export=\"srv:/x\"}}")
        };
        judged(&with(
            &Machine::default(),
            &[
                (&key("requests"), &requests),
                (&key("response_time_seconds"), &response),
                (&key("queue_time_seconds"), &queue),
                (&key("request_time_seconds"), &request),
            ],
        ))
    };
    assert_eq!(
        named(&of_export(0.5, 40.0)),
        ("remote-storage", Some("srv:/x"), Kind::Saturated, Grade::Likely)
    );
    // Quick under as many requests, and slow for one now and then.
    assert_eq!(of_export(0.005, 40.0).resource, "none");
    assert_eq!(of_export(0.5, 1.0).resource, "none");
}

#[test]
fn a_load_average_that_no_task_explains_is_no_clean_bill() {
    let verdict = judged(&with(&Machine { load1: 250.0, ..Machine::default() }, &[]));
    assert_eq!(verdict.grade, Grade::Possible);
    assert!(verdict.statement.contains("uninterruptible"), "{}", verdict.statement);
}

#[test]
fn what_the_cloud_holds_back_is_its_allowance() {
    let key = "node_ethtool_bw_out_allowance_exceeded{device=\"eth0\"}";
    let newer = "node_ethtool_pps_allowance_exceeded_total{device=\"eth0\"}";
    for key in [key, newer] {
        let verdict = judged(&with(&Machine::default(), &[(key, &|s| 500.0 * loaded(s))]));
        assert_eq!(
            named(&verdict),
            ("network-allowance", Some("eth0"), Kind::Saturated, Grade::Likely)
        );
    }
    // Counted before the load, or in one burst: no limit.
    for count in [(|_| 1e9) as fn(i64) -> f64, |s| if s > BASELINE_S + 3 { 9e4 } else { 0.0 }] {
        assert_eq!(judged(&with(&Machine::default(), &[(key, &count)])).resource, "none");
    }
    let mut run = quiet();
    add(&mut run, "disk_allowance_volume", Some("vol-1"), 0.0, 0.8);
    assert_eq!(
        named(&judged(&run)),
        ("disk-allowance", Some("vol-1"), Kind::Saturated, Grade::Likely)
    );
}

#[test]
fn allowances_are_missed_in_a_cloud_and_nowhere_else() {
    let unseen = |run: &Run| -> Vec<String> {
        let all = judged(run).unobserved.into_iter().map(|one| one.resource);
        all.filter(|one| one.ends_with("-allowance")).collect()
    };
    let of_vendor = |vendor: &str| {
        let key = format!("node_dmi_info{{system_vendor=\"{vendor}\"}}");
        with(&Machine::default(), &[(&key, &|_| 1.0)])
    };
    for cloud in ["Amazon EC2", "Google", "Microsoft Corporation"] {
        assert_eq!(unseen(&of_vendor(cloud)), ["network-allowance", "disk-allowance"], "{cloud}");
    }
    assert_eq!(unseen(&of_vendor("Dell Inc.")), [""; 0]);
    assert_eq!(unseen(&quiet()), [""; 0]);
}

#[test]
fn a_kernel_on_the_gpu_is_no_full_gpu() {
    let zero = Some("0");
    let mut run = quiet();
    add(&mut run, "gpu_busy", zero, 0.0, 1.0);
    let verdict = judged(&run);
    assert_eq!(named(&verdict), ("gpu", zero, Kind::Full, Grade::Possible));
    assert!(verdict.statement.contains("SM_ACTIVE"), "{}", verdict.statement);
    let mut full = run.clone();
    add(&mut full, "gpu_sm_active", zero, 0.0, 0.97);
    assert_eq!(named(&judged(&full)), ("gpu", zero, Kind::Full, Grade::Likely));
    add(&mut run, "gpu_sm_active", zero, 0.0, 0.1);
    assert_eq!(judged(&run).resource, "none");
}

#[test]
fn gpu_memory_that_was_reserved_before_is_a_note() {
    let mut run = quiet();
    add(&mut run, "gpu_memory_used_ratio", Some("0"), 0.99, 0.99);
    let verdict = judged(&run);
    assert_eq!(verdict.resource, "none", "{}", verdict.statement);
    assert!(verdict.statement.contains("GPU memory was allocated"), "{}", verdict.statement);
    let mut run = quiet();
    add(&mut run, "gpu_memory_used_ratio", Some("0"), 0.2, 0.99);
    assert_eq!(named(&judged(&run)), ("gpu-memory", Some("0"), Kind::Full, Grade::Possible));
}

#[test]
fn a_gpu_that_is_slowed_down_names_power_or_heat() {
    for (signal, resource) in
        [("gpu_power_capped", "gpu-power"), ("gpu_thermal_slowed", "gpu-thermal")]
    {
        let mut run = quiet();
        add(&mut run, "gpu_sm_active", Some("1"), 0.0, 0.99);
        add(&mut run, signal, Some("1"), 0.0, 1.0);
        let verdict = judged(&run);
        assert_eq!(named(&verdict), (resource, Some("1"), Kind::Saturated, Grade::Likely));
        assert!(verdict.consequences.iter().any(|one| one.resource == "gpu"));
    }
    // In a unit that nobody knows, and with a GPU that is cool and draws little.
    let mut run = quiet();
    for signal in ["gpu_power_violation", "gpu_thermal_violation"] {
        add(&mut run, signal, Some("1"), 0.0, 1.0);
    }
    add(&mut run, "gpu_power_ratio", Some("1"), 0.1, 0.3);
    add(&mut run, "gpu_temperature", Some("1"), 30.0, 40.0);
    assert_eq!(judged(&run).resource, "none");
}

#[test]
fn gpus_are_missed_where_there_are_some() {
    let unseen = |run: &Run| judged(run).unobserved.iter().any(|one| one.resource == "gpu");
    let mut run = quiet();
    assert!(!unseen(&run));
    run.nodes[0].record.host.gpus = 1;
    assert!(unseen(&run));
    let mut run = quiet();
    add(&mut run, "gpu_capacity", None, 8.0, 8.0);
    assert!(unseen(&run));
}

#[test]
fn pressure_that_nothing_explains_is_no_clean_bill() {
    // One container is seen, and throttled a little; what else waits is not seen.
    let mut run = with(&Machine { busy: [0.2; 2], psi_cpu: 0.58, ..Machine::default() }, &[]);
    add(&mut run, "cgroup_cpu_throttled", Some("a/b/c"), 0.0, 0.1);
    assert_ne!((judged(&run).kind, judged(&run).grade), (Kind::None, Grade::Likely));
}
