//! What was so before the load is a note and what changed is a finding; which cores,
//! threads, ports and paths count.

use super::{
    check,
    machine::{BASELINE_S, Counters, LOAD_S, Machine, SECOND, run_of, snapshots},
    meaning::{looked_back_at, of, with},
};
use crate::{
    analyze::outcome::{Grade, Kind},
    model::{
        series::{Key, Snapshot},
        time::Timestamp,
    },
};

/// Each second by its own machine.
fn by_second(machine: impl Fn(i64) -> Machine) -> Vec<Snapshot> {
    let mut counters = Counters::default();
    (0..=BASELINE_S + LOAD_S)
        .map(|second| {
            let now = machine(second);
            counters.second(&now);
            counters.snapshot(Timestamp(second * SECOND), &now)
        })
        .collect()
}

#[test]
fn a_core_that_polls_is_a_note_and_hides_no_other() {
    let polls = of(&by_second(|_| Machine { busy: [1.0, 0.05], ..Machine::default() }));
    assert_eq!(polls.kind, Kind::None, "{}", polls.statement);
    assert!(polls.statement.contains("Core 0 was busy all the time"), "{}", polls.statement);
    // A quota shows through: tasks wait while the other core is idle.
    let throttled = of(&by_second(|second| Machine {
        busy: [1.0, 0.4],
        psi_cpu: if second > BASELINE_S { 0.8 } else { 0.0 },
        ..Machine::default()
    }));
    assert_eq!(throttled.resource, "cpu-quota", "{}", throttled.statement);
    // A core that became busy is a finding.
    check(&Machine { busy: [1.0, 0.05], ..Machine::default() }, "cpu-core", Kind::Full);
    // All cores are the CPU's limit, whenever that began.
    let all = of(&by_second(|_| Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() }));
    assert_eq!(all.resource, "cpu", "{}", all.statement);
}

#[test]
fn in_a_past_window_a_core_that_is_always_busy_is_possible_at_most() {
    let always =
        looked_back_at(&by_second(|_| Machine { busy: [1.0, 0.05], ..Machine::default() }));
    assert_eq!((always.resource.as_str(), always.grade), ("cpu-core", Grade::Possible));
    assert!(always.statement.contains("polls"), "{}", always.statement);
    // All cores together poll for nothing.
    let cpu = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let cpu = looked_back_at(&by_second(|_| cpu.clone()));
    assert_eq!((cpu.resource.as_str(), cpu.grade), ("cpu", Grade::Likely));
}

#[test]
fn a_disk_that_was_as_busy_before_is_a_note() {
    let checked = |mib: f64, busy: f64| {
        of(&by_second(|second| {
            let is_loaded = second > BASELINE_S;
            Machine {
                disk_busy: if is_loaded { 1.0 } else { busy },
                disk_queue: if is_loaded { 9.0 } else { 9.0 * busy },
                disk_mib: if is_loaded { mib } else { 100.0 * busy },
                ..Machine::default()
            }
        }))
    };
    let same = checked(100.0, 1.0);
    assert_eq!((same.kind, same.grade), (Kind::None, Grade::Possible), "{}", same.statement);
    assert!(same.statement.contains("disk sda"), "{}", same.statement);
    // More work than before, or none before: the load's.
    assert_eq!(checked(200.0, 1.0).resource, "disk");
    assert_eq!(checked(100.0, 0.1).resource, "disk");
}

/// Counters of these cores only, from the second on at which a core goes.
fn losing_a_core(at: i64) -> Vec<Snapshot> {
    let mut all = snapshots(&Machine { busy: [0.5; 2], ..Machine::default() });
    let mut last: Vec<(Key, f64)> = Vec::new();
    for (second, snapshot) in (0..).zip(&mut all) {
        let is_second_core = |key: &Key| key.labels.get("cpu").is_some_and(|cpu| cpu == "1");
        if second < at {
            last = snapshot.values.iter().filter(|(key, _)| is_second_core(key)).cloned().collect();
        } else {
            // node_exporter goes on to export what it last knew.
            snapshot.values.retain(|(key, _)| !is_second_core(key));
            snapshot.values.extend(last.iter().cloned());
        }
    }
    all
}

#[test]
fn a_core_that_is_offline_is_no_core() {
    let verdict = of(&losing_a_core(1));
    assert_eq!(verdict.kind, Kind::None, "{}", verdict.statement);
    let run = run_of(&losing_a_core(1));
    let signals = &run.nodes[0].signals;
    let window = run.steady(&run.manifest.phases[1]);
    let median = |name: &str| signals.get(name, None).unwrap().median(window).unwrap();
    assert!((median("cpu_cores") - 1.0).abs() < 1e-9);
    assert!((median("cpu_busy") - 0.5).abs() < 1e-9);
    assert!((median("cpu_core_max") - 0.5).abs() < 1e-9);
}

#[test]
fn a_core_that_goes_within_the_window_is_noted() {
    let verdict = of(&losing_a_core(BASELINE_S + 10));
    assert!(verdict.statement.contains("from 2 to 1"), "{}", verdict.statement);
    assert!(!of(&losing_a_core(1)).statement.contains("number of cores"));
}

#[test]
fn threads_that_share_cores_leave_less_room_than_percent_say() {
    let machine = Machine { busy: [0.75; 2], ..Machine::default() };
    let with_threads = |cores: [&'static str; 2]| {
        of(&with(&machine, |_| {
            let key = |(cpu, core): (usize, &&str)| {
                format!("node_cpu_info{{cpu=\"{cpu}\",core=\"{core}\",package=\"0\"}}")
            };
            cores.iter().enumerate().map(|one| (key(one), 1.0)).collect()
        }))
    };
    let shared = with_threads(["0", "0"]).statement;
    assert!(shared.contains("about 9 to 13 % more work"), "{shared}");
    assert!(!with_threads(["0", "1"]).statement.contains("more work"));
}

#[test]
fn open_connections_to_one_destination_use_up_its_ports() {
    let judged = |used: f64| {
        of(&with(&Machine::default(), |second| {
            let used = if second > BASELINE_S { used } else { 0.3 };
            let of = |name: &str| {
                format!("stressor_destination_ports{name}{{destination=\"10.0.0.5:5432\"}}")
            };
            vec![(of("_used"), used * 28_232.0), (of(""), 28_232.0)]
        }))
    };
    let full = judged(0.98);
    assert_eq!((full.resource.as_str(), full.kind), ("ports", Kind::Full));
    assert!(full.statement.contains("(10.0.0.5:5432)"), "{}", full.statement);
    assert_eq!(judged(0.5).kind, Kind::None);
}

#[test]
fn a_disk_with_two_paths_is_one_disk() {
    let all = with(&Machine::default(), |second| {
        let loaded = (second - BASELINE_S).max(0) as f64;
        ["nvme0n1", "nvme0c0n1"]
            .iter()
            .flat_map(|device| {
                let of = |name: &str| format!("node_disk_{name}{{device=\"{device}\"}}");
                vec![
                    (of("io_time_seconds_total"), loaded),
                    (of("io_time_weighted_seconds_total"), 12.0 * loaded),
                ]
            })
            .collect()
    });
    let verdict = of(&all);
    assert_eq!(verdict.device.as_deref(), Some("nvme0n1"), "{}", verdict.statement);
    let paths: Vec<_> =
        verdict.consequences.iter().filter_map(|one| one.device.as_deref()).collect();
    assert_eq!(paths, ["nvme0c0n1"]);
    assert!(!verdict.statement.contains("nvme0c0n1"), "{}", verdict.statement);
}
