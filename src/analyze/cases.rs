//! Synthetic runs with known answers, and the traps that fool thresholds: here
//! one resource after the other; what is wrong with the data, and what the loads
//! have to do with it, in files of their own.

mod data;
mod elsewhere;
mod fleet;
mod limits;
mod loads;
mod machine;
mod meaning;
mod metamorphic;
mod standing;

use super::{
    analyze,
    outcome::{Analysis, Grade, Kind, Verdict},
};
use crate::model::{run::Threshold, series::Key, stats::Stat, time::Timestamp};
use machine::{BASELINE_S, Counters, LOAD_S, Machine, SECOND, run_of, snapshots};

fn judged(machine: &Machine) -> Verdict {
    under_load(&analyze(&run_of(&snapshots(machine)))).clone()
}

fn under_load(analysis: &Analysis) -> &Verdict {
    &analysis.nodes[0].phases.last().unwrap().verdict
}

fn check(machine: &Machine, resource: &str, kind: Kind) -> Verdict {
    let verdict = judged(machine);
    assert_eq!(
        (verdict.resource.as_str(), verdict.kind),
        (resource, kind),
        "{}\n{machine:?}",
        verdict.statement
    );
    verdict
}

#[test]
fn a_quiet_machine_is_none() {
    let verdict = check(&Machine::default(), "none", Kind::None);
    assert_eq!(verdict.grade, Grade::Likely);
    assert!(verdict.since.is_none());
    assert!(verdict.exonerated.iter().any(|mention| mention.resource == "cpu"));
}

#[test]
fn all_cores_busy_is_full_and_with_waiting_saturated() {
    let busy = Machine { busy: [1.0; 2], psi_cpu: 0.13, running: 3.0, ..Machine::default() };
    let verdict = check(&busy, "cpu", Kind::Full);
    assert_eq!(verdict.since, Some(Timestamp(BASELINE_S * SECOND)));
    assert_eq!(verdict.grade, Grade::Likely);
    assert!(verdict.consequences.iter().any(|mention| mention.resource == "cpu-core"));
    let crowded = Machine { psi_cpu: 0.99, running: 10.0, ..busy };
    assert_eq!(check(&crowded, "cpu", Kind::Saturated).grade, Grade::Likely);
}

#[test]
fn one_busy_core_is_that_core() {
    let machine = Machine { busy: [1.0, 0.05], ..Machine::default() };
    let verdict = check(&machine, "cpu-core", Kind::Full);
    assert_eq!(verdict.device.as_deref(), Some("0"));
}

#[test]
fn a_quota_on_a_half_idle_host_is_not_the_cpu() {
    // Measured: a CFS quota gives the system PSI 0.82 at 49 % busy.
    let machine = Machine { busy: [0.49; 2], psi_cpu: 0.82, ..Machine::default() };
    let verdict = check(&machine, "cpu-quota", Kind::Saturated);
    // Nobody saw the quota itself.
    assert_eq!(verdict.grade, Grade::Possible);
    assert!(verdict.statement.contains("concluded"), "{}", verdict.statement);
}

#[test]
fn a_quota_that_is_seen_by_its_throttling_alone_is_named_and_not_concluded() {
    // Version 1 counts CPU time in a hierarchy of its own, where the group may
    // not be.
    let mut all = snapshots(&Machine { busy: [0.3; 2], psi_cpu: 0.8, ..Machine::default() });
    for (second, snapshot) in all.iter_mut().enumerate() {
        let periods = 10.0 * second as f64;
        for name in ["periods", "throttled_periods"] {
            let key = Key::new(&format!("stressor_cgroup_cpu_{name}_total"), &[("cgroup", "/a")]);
            snapshot.values.push((key, periods));
        }
    }
    let analysis = analyze(&run_of(&all));
    let verdict = under_load(&analysis);
    assert_eq!((verdict.resource.as_str(), verdict.device.as_deref()), ("cpu-quota", Some("/a")));
    assert_eq!(verdict.grade, Grade::Likely);
}

#[test]
fn waiting_beside_an_idle_core_is_affinity() {
    let machine = Machine { busy: [1.0, 0.02], psi_cpu: 0.99, ..Machine::default() };
    let verdict = check(&machine, "cpu-affinity", Kind::Saturated);
    assert!(verdict.consequences.iter().any(|mention| mention.resource == "cpu-core"));
}

#[test]
fn bursts_shorter_than_a_sample_are_told_and_are_no_limit() {
    let machine = Machine { busy: [0.3; 2], psi_cpu: 0.3, ..Machine::default() };
    let verdict = check(&machine, "none", Kind::None);
    assert!(verdict.statement.contains("bursts"), "{}", verdict.statement);
}

#[test]
fn waiting_for_disks_that_are_idle_is_a_limit_before_them() {
    // Measured: blkio-throttled, PSI io 0.86 with the device at 0.6 %.
    let machine = Machine { disk_busy: 0.006, psi_io: 0.86, ..Machine::default() };
    let verdict = check(&machine, "io-limit", Kind::Saturated);
    assert_eq!(verdict.grade, Grade::Possible);
}

#[test]
fn memory_pressure_with_memory_to_spare_is_a_limit_within() {
    for machine in [
        Machine { psi_memory: 0.3, ..Machine::default() },
        Machine { oom_kills: 1.0, ..Machine::default() },
    ] {
        assert_eq!(check(&machine, "memory-limit", Kind::Saturated).grade, Grade::Possible);
    }
}

#[test]
fn a_group_that_reads_its_cache_again_is_at_its_limit_from_then_on() {
    // Measured: refaults begin at once, and the rest of the cache takes seconds to
    // be gone.
    let mut all = snapshots(&Machine::default());
    let of_group =
        |name: &str| Key::new(&format!("stressor_cgroup_memory_{name}"), &[("cgroup", "/a")]);
    let begins = BASELINE_S + 2;
    for (second, snapshot) in (0..).zip(&mut all) {
        let under = (second - begins).max(0) as f64;
        let share = if second < begins + 4 { 0.5 } else { 0.99 };
        snapshot.values.extend([
            (of_group("limit_bytes"), 1e9),
            (of_group("usage_bytes"), 1e9),
            (of_group("working_bytes"), share * 1e9),
            (of_group("limit_hits_total"), 900.0 * under),
            (of_group("refaults_total"), 2000.0 * under),
        ]);
    }
    let analysis = analyze(&run_of(&all));
    let verdict = under_load(&analysis);
    assert_eq!((verdict.resource.as_str(), verdict.kind), ("memory-limit", Kind::Saturated));
    assert_eq!(verdict.since, Some(Timestamp(begins * SECOND)));
}

#[test]
fn threads_that_take_turns_are_one_core_wherever_they_run() {
    let of_process = |cores: f64| {
        let mut all = snapshots(&Machine { busy: [0.52, 0.5], ..Machine::default() });
        for (second, snapshot) in all.iter_mut().enumerate() {
            let key = Key::new("stressor_process_cpu_seconds_total", &[("process", "a[7]")]);
            snapshot.values.push((key, cores * second as f64));
        }
        under_load(&analyze(&run_of(&all))).clone()
    };
    let turns = of_process(1.0);
    assert_eq!((turns.resource.as_str(), turns.kind), ("cpu-core", Kind::Full));
    assert_eq!((turns.device, turns.grade), (None, Grade::Possible));
    // Less, or more, is neither one thread nor one lock.
    for cores in [0.8, 1.1] {
        assert_eq!(of_process(cores).resource, "none", "{cores}");
    }
}

#[test]
fn a_process_at_its_own_limit_of_files_is_named_and_not_the_system() {
    let mut all = snapshots(&Machine::default());
    for (second, snapshot) in (0..).zip(&mut all) {
        let open = if second > BASELINE_S { 256.0 } else { 150.0 };
        for (name, value) in [("open", open), ("max", 256.0)] {
            let name = format!("stressor_process_{name}_fds");
            snapshot.values.push((Key::new(&name, &[("process", "a[7]")]), value));
        }
    }
    let analysis = analyze(&run_of(&all));
    let verdict = under_load(&analysis);
    let named = (verdict.resource.as_str(), verdict.device.as_deref(), verdict.kind);
    assert_eq!(named, ("file-descriptors", Some("a[7]"), Kind::Full));
    assert!(verdict.statement.contains("the file descriptors of a[7]"), "{}", verdict.statement);
}

#[test]
fn two_resources_in_turn_are_both_named() {
    let (mut counters, quiet) = (Counters::default(), Machine::default());
    let mut all = Vec::new();
    for second in 0..=BASELINE_S + LOAD_S {
        let now = match (second > BASELINE_S, second % 4 < 2) {
            (false, _) => quiet.clone(),
            (true, true) => Machine { busy: [1.0; 2], psi_cpu: 0.9, ..quiet.clone() },
            (true, false) => Machine { disk_busy: 1.0, disk_queue: 9.0, ..quiet.clone() },
        };
        counters.second(&now);
        all.push(counters.snapshot(Timestamp(second * SECOND), &now));
    }
    let analysis = analyze(&run_of(&all));
    let verdict = under_load(&analysis);
    assert_eq!(verdict.resource, "disk", "{verdict:#?}");
    assert!(verdict.statement.contains("in turn with it: the CPU"), "{}", verdict.statement);
}

#[test]
fn a_disk_with_a_queue_is_saturated_whatever_pressure_says() {
    // Measured: asynchronous I/O at a disk's limit shows PSI 0.0001.
    let machine = Machine {
        disk_busy: 0.999,
        disk_queue: 15.9,
        disk_mib: 100.0,
        psi_io: 0.0001,
        ..Machine::default()
    };
    let verdict = check(&machine, "disk", Kind::Saturated);
    assert_eq!(verdict.device.as_deref(), Some("sda"));
}

#[test]
fn a_disk_busy_at_queue_depth_one_is_not_saturated() {
    let machine = Machine { disk_busy: 1.0, disk_queue: 1.0, psi_io: 0.9, ..Machine::default() };
    check(&machine, "none", Kind::None);
}

#[test]
fn memory_that_runs_out_is_full_and_with_pressure_saturated() {
    let full = Machine { available_gib: 0.7, ..Machine::default() };
    check(&full, "memory", Kind::Full);
    let thrashing = Machine { psi_memory: 0.4, ..full.clone() };
    check(&thrashing, "memory", Kind::Saturated);
    let killing = Machine { oom_kills: 1.0, ..full };
    check(&killing, "memory", Kind::Saturated);
}

#[test]
fn kills_within_a_cgroup_name_its_limit_and_not_the_host() {
    // Measured: the host's counter counts cgroup kills too, at 98 % free.
    let machine = Machine {
        cgroup_memory: Some(0.9),
        cgroup_ooms: 1.0,
        oom_kills: 1.0,
        psi_memory: 0.2,
        ..Machine::default()
    };
    let verdict = check(&machine, "memory-limit", Kind::Saturated);
    assert_eq!(verdict.device.as_deref(), Some("/a"));
    // With memory to spare the host's is not even a consequence.
    assert!(verdict.exonerated.iter().any(|mention| mention.resource == "memory"));
    let full = Machine { available_gib: 2.5, ..machine };
    let verdict = check(&full, "memory-limit", Kind::Saturated);
    assert!(verdict.consequences.iter().any(|mention| mention.resource == "memory"));
}

#[test]
fn a_full_link_and_a_full_file_system_are_named() {
    check(&Machine { link_share: 0.97, ..Machine::default() }, "network", Kind::Full);
    check(&Machine { filesystem: 0.99, ..Machine::default() }, "filesystem", Kind::Full);
    check(
        &Machine { steal: 0.4, busy: [0.5; 2], ..Machine::default() },
        "cpu-steal",
        Kind::Saturated,
    );
}

#[test]
fn half_of_every_limit_is_none() {
    let half = Machine {
        busy: [0.5; 2],
        psi_cpu: 0.1,
        disk_busy: 0.4,
        disk_queue: 0.8,
        available_gib: 8.0,
        link_share: 0.45,
        cgroup_memory: Some(0.5),
        ..Machine::default()
    };
    check(&half, "none", Kind::None);
}

#[test]
fn a_high_load_average_without_pressure_is_none() {
    check(&Machine { load1: 57.0, running: 1.0, ..Machine::default() }, "none", Kind::None);
}

#[test]
fn a_full_page_cache_is_none() {
    check(
        &Machine { free_gib: 0.1, available_gib: 14.0, ..Machine::default() },
        "none",
        Kind::None,
    );
}

#[test]
fn two_roots_are_both_named() {
    let machine = Machine {
        busy: [1.0; 2],
        psi_cpu: 0.9,
        disk_busy: 1.0,
        disk_queue: 8.0,
        ..Machine::default()
    };
    let analysis = analyze(&run_of(&snapshots(&machine)));
    let verdict = under_load(&analysis);
    assert_eq!(verdict.kind, Kind::Saturated);
    for word in ["CPU", "disk sda"] {
        assert!(verdict.statement.contains(word), "{}", verdict.statement);
    }
    let saturated: Vec<&str> = analysis.nodes[0].phases[1]
        .ranking
        .iter()
        .filter(|ranked| ranked.kind == Kind::Saturated)
        .map(|ranked| ranked.resource.as_str())
        .collect();
    assert_eq!(saturated, ["disk", "cpu"]);
}

#[test]
fn a_file_system_that_was_full_before_does_not_hide_the_cpu() {
    let mut quiet = Machine { filesystem: 0.99, ..Machine::default() };
    let mut counters = Counters::default();
    let mut all = Vec::new();
    for second in 0..=BASELINE_S + LOAD_S {
        if second > BASELINE_S {
            quiet.busy = [1.0; 2];
        }
        counters.second(&quiet);
        all.push(counters.snapshot(Timestamp(second * SECOND), &quiet));
    }
    assert_eq!(under_load(&analyze(&run_of(&all))).resource, "cpu");
}

#[test]
fn a_slow_disk_with_writers_that_flush_is_saturated_and_a_fast_one_is_not() {
    // Measured: three writers that flush, on 40 operations a second.
    let machine = Machine { disk_busy: 0.78, disk_queue: 1.2, psi_io: 0.75, ..Machine::default() };
    let with_operations = |per_second: f64| {
        let mut all = snapshots(&machine);
        for (second, snapshot) in all.iter_mut().enumerate() {
            let done = per_second * second as f64;
            // Each takes what the queue says, by Little's law.
            let took = 1.2 * second as f64;
            for (name, v) in [
                ("node_disk_writes_completed_total", done),
                ("node_disk_write_time_seconds_total", took),
                ("node_disk_reads_completed_total", 0.0),
                ("node_disk_read_time_seconds_total", 0.0),
            ] {
                snapshot.values.push((Key::new(name, &[("device", "sda")]), v));
            }
        }
        under_load(&analyze(&run_of(&all))).clone()
    };
    let slow = with_operations(40.0);
    assert_eq!((slow.resource.as_str(), slow.kind), ("disk", Kind::Saturated));
    // The same queue on a disk that answers in a fraction of a millisecond.
    assert_eq!(with_operations(4000.0).kind, Kind::None);
}

#[test]
fn loss_is_the_paths_only_where_the_queue_here_was_seen() {
    let lossy = |queue_seen: bool| {
        let mut all = snapshots(&Machine::default());
        for (second, snapshot) in all.iter_mut().enumerate() {
            let sent = 1000.0 * second as f64;
            let lost = if second > 10 { 0.1 * (sent - 10_000.0) } else { 0.0 };
            snapshot.values.push((Key::new("node_netstat_Tcp_OutSegs", &[]), sent));
            snapshot.values.push((Key::new("node_netstat_Tcp_RetransSegs", &[]), lost));
            if queue_seen {
                let labels = [("device", "eth0"), ("kind", "fq_codel")];
                snapshot.values.push((Key::new("node_qdisc_drops_total", &labels), 0.0));
            }
        }
        under_load(&analyze(&run_of(&all))).clone()
    };
    let seen = lossy(true);
    assert_eq!((seen.resource.as_str(), seen.kind), ("network-path", Kind::Saturated));
    assert_ne!(lossy(false).resource, "network-path");
}

#[test]
fn a_gate_without_data_does_not_pass() {
    let mut run = run_of(&snapshots(&Machine::default()));
    let threshold = |signal: &str, max| Threshold {
        signal: signal.into(),
        device: None,
        node: ".*".into(),
        phase: "load".into(),
        stat: Stat::Percentile(95),
        max: Some(max),
        min: None,
    };
    run.thresholds =
        vec![threshold("cpu_busy", 0.5), threshold("cpu_busy", 0.01), threshold("swap_io", 1.0)];
    let ok: Vec<bool> = analyze(&run).thresholds.iter().map(|gate| gate.ok).collect();
    assert_eq!(ok, [true, false, false]);
}

#[test]
fn the_overall_verdict_is_not_that_of_a_baseline() {
    // Busy before the load, quiet under it (a job that ended).
    let busy = Machine { busy: [1.0; 2], ..Machine::default() };
    let mut counters = Counters::default();
    let mut all = Vec::new();
    for second in 0..=BASELINE_S + LOAD_S {
        let now = if second <= BASELINE_S { busy.clone() } else { Machine::default() };
        counters.second(&now);
        all.push(counters.snapshot(Timestamp(second * SECOND), &now));
    }
    let analysis = analyze(&run_of(&all));
    assert_eq!(analysis.nodes[0].phases[0].verdict.resource, "cpu");
    assert_eq!(analysis.overall.unwrap().kind, Kind::None);
}
