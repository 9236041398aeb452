//! Synthetic runs with known answers, and the traps that fool thresholds.

mod machine;
mod metamorphic;

use proptest::prelude::*;

use super::{
    analyze,
    outcome::{Analysis, Cause, Grade, Kind, Verdict},
};
use crate::model::{
    run::{Level, Probe, Run, Step, Threshold},
    series::{Key, Snapshot},
    stats::Stat,
    time::Timestamp,
};
use machine::{BASELINE_S, Counters, LOAD_S, Machine, SECOND, phase, run_of, snapshots, working};

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
fn a_counter_reset_makes_no_spike() {
    let mut all = snapshots(&Machine::default());
    // All counters start anew in the middle of the load (a re-plugged device).
    for snapshot in all.iter_mut().skip(20) {
        for (key, v) in &mut snapshot.values {
            if key.name.ends_with("_total") {
                *v *= 0.01;
            }
        }
    }
    let analysis = analyze(&run_of(&all));
    assert_eq!(under_load(&analysis).kind, Kind::None, "{}", under_load(&analysis).statement);
}

#[test]
fn a_gap_does_not_invent_load_and_is_reported() {
    let mut all = snapshots(&Machine::default());
    all.drain(14..22);
    let analysis = analyze(&run_of(&all));
    assert_eq!(under_load(&analysis).kind, Kind::None, "{}", under_load(&analysis).statement);
    assert_eq!(under_load(&analysis).grade, Grade::Possible);
    assert_eq!(analysis.nodes[0].phases[1].data.gaps, 1);
    assert!(!analysis.validity.ok);
}

#[test]
fn scrapes_that_fail_under_load_are_told_as_a_sign_of_it() {
    let mut all = snapshots(&Machine::default());
    all.drain(14..22);
    let mut run = run_of(&all);
    run.manifest.nodes[0].source = crate::model::run::SourceKind::Prometheus;
    run.nodes[0].record.source = crate::model::run::SourceKind::Prometheus;
    let notes = analyze(&run).validity.notes.join(" ");
    assert!(notes.contains("overloaded"), "{notes}");
}

#[test]
fn not_a_number_is_not_evidence() {
    let mut all = snapshots(&Machine { busy: [1.0; 2], ..Machine::default() });
    for snapshot in &mut all {
        for (key, v) in &mut snapshot.values {
            if key.name.starts_with("node_disk") {
                *v = f64::NAN;
            }
        }
    }
    let analysis = analyze(&run_of(&all));
    assert_eq!(under_load(&analysis).resource, "cpu");
    assert!(under_load(&analysis).unobserved.iter().any(|mention| mention.resource == "disk"));
}

#[test]
fn one_sample_is_unknown_and_says_what_is_missing() {
    let all = snapshots(&Machine { busy: [1.0; 2], ..Machine::default() });
    let few: Vec<Snapshot> = all.into_iter().skip(15).take(1).collect();
    let analysis = analyze(&run_of(&few));
    let verdict = under_load(&analysis);
    assert_eq!((verdict.kind, verdict.grade), (Kind::Unknown, Grade::Insufficient));
    assert!(verdict.statement.contains("1 of 20 samples"), "{}", verdict.statement);
    assert!(!analysis.validity.ok);
}

#[test]
fn without_cpu_series_nothing_is_called_clean() {
    let mut all = snapshots(&Machine::default());
    for snapshot in &mut all {
        snapshot.values.retain(|(key, _)| !key.name.starts_with("node_cpu"));
    }
    let verdict = under_load(&analyze(&run_of(&all))).clone();
    assert_eq!(verdict.kind, Kind::Unknown);
    assert!(verdict.statement.contains("cpu"), "{}", verdict.statement);
}

#[test]
fn without_pressure_the_count_of_runnable_tasks_takes_its_place() {
    let machine = Machine { busy: [1.0; 2], running: 10.0, ..Machine::default() };
    let mut all = snapshots(&machine);
    for snapshot in &mut all {
        snapshot.values.retain(|(key, _)| !key.name.starts_with("node_pressure"));
    }
    let verdict = under_load(&analyze(&run_of(&all))).clone();
    assert_eq!((verdict.resource.as_str(), verdict.kind), ("cpu", Kind::Saturated));
}

#[test]
fn the_cause_is_the_workers_share() {
    let machine = Machine { busy: [1.0; 2], ..Machine::default() };
    for (cpu_s, cause) in [(1.95, Cause::Scenario), (1.0, Cause::Mixed), (0.1, Cause::Foreign)] {
        let mut run = run_of(&snapshots(&machine));
        working(&mut run, "cpu", |interval| interval.cpu_s = cpu_s);
        assert_eq!(under_load(&analyze(&run)).cause, cause, "{cpu_s}");
    }
    let mut run = run_of(&snapshots(&machine));
    run.nodes[0].record.loaded = false;
    assert_eq!(under_load(&analyze(&run)).cause, Cause::Foreign);
}

#[test]
fn a_plateau_seen_twice_is_confirmed() {
    let machine = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let mut run = run_of(&snapshots(&machine));
    let middle = BASELINE_S + LOAD_S / 2;
    let mut low = phase("steps", BASELINE_S, middle, true);
    low.level = Some(Level { of: "workers".into(), value: 4.0 });
    let mut high = phase("steps", middle, BASELINE_S + LOAD_S, true);
    high.level = Some(Level { of: "workers".into(), value: 8.0 });
    run.manifest.phases = vec![phase("baseline", 0, BASELINE_S, false), low, high];
    working(&mut run, "cpu", |interval| {
        interval.cpu_s = 2.0;
        interval.phase = if interval.t.0 > middle * SECOND { 2 } else { 1 };
    });
    let confirmed = under_load(&analyze(&run)).clone();
    assert_eq!(confirmed.grade, Grade::Confirmed);
    assert!(confirmed.evidence.iter().any(|one| one.class == "plateau"));
    // Twice the load, twice the work: no plateau.
    for interval in run.workers.iter_mut().filter(|interval| interval.phase == 2) {
        interval.operations *= 2;
    }
    assert_eq!(under_load(&analyze(&run)).grade, Grade::Likely);
}

/// A loaded phase and its test, five seconds a step: the machine is as `during`
/// says in each, and the workers do so many operations a second.
fn tested(during: [&Machine; 4], operations: [u64; 4]) -> Verdict {
    let (mut counters, quiet) = (Counters::default(), Machine::default());
    let mut all = Vec::new();
    let step_of = |second: i64| usize::try_from((second - BASELINE_S - 1) / 5).unwrap_or(0).min(3);
    for second in 0..=BASELINE_S + LOAD_S {
        let now = if second > BASELINE_S { during[step_of(second)] } else { &quiet };
        counters.second(now);
        all.push(counters.snapshot(Timestamp(second * SECOND), now));
    }
    let mut run = run_of(&all);
    run.manifest.phases.truncate(1);
    for (at, step) in
        [None, Some(Step::Half), Some(Step::Away), Some(Step::Back)].into_iter().enumerate()
    {
        let start = BASELINE_S + 5 * i64::try_from(at).unwrap();
        let mut one = phase("load", start, start + 5, step != Some(Step::Away));
        one.probe = step.map(|step| Probe { of: 1, load: 0, step });
        run.manifest.phases.push(one);
    }
    working(&mut run, "cpu", |interval| {
        let at = step_of(interval.t.0 / SECOND);
        interval.phase = at + 1;
        interval.operations = operations[at];
        interval.cpu_s = 2.0;
    });
    analyze(&run).nodes[0].phases[1].verdict.clone()
}

#[test]
fn an_intervention_confirms_or_withdraws() {
    let full = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let quiet = Machine::default();
    // Half of the load did as much.
    let verdict = tested([&full, &full, &quiet, &full], [100, 98, 0, 100]);
    assert_eq!((verdict.grade, verdict.cause), (Grade::Confirmed, Cause::Scenario));
    assert!(verdict.statement.contains("half of it did 98 % of the work"), "{}", verdict.statement);
    assert!(verdict.evidence.iter().any(|one| one.class == "intervention"));
    // Half of the load was not too much.
    let verdict = tested([&full, &quiet, &quiet, &full], [100, 50, 0, 100]);
    assert_eq!(verdict.grade, Grade::Confirmed);
    // It went and came, but throughput followed the load all the way.
    let verdict = tested([&full, &full, &quiet, &full], [100, 50, 0, 100]);
    assert_eq!(verdict.grade, Grade::Likely);
    // It stayed without the load, although the workers had used the cores.
    let verdict = tested([&full; 4], [100, 98, 0, 100]);
    assert_eq!((verdict.grade, verdict.cause), (Grade::Likely, Cause::Foreign));
    // It did not come back with the load.
    let verdict = tested([&full, &full, &quiet, &quiet], [100, 98, 0, 100]);
    assert_eq!((verdict.kind, verdict.grade), (Kind::Unknown, Grade::Insufficient));
    assert!(verdict.statement.contains("withdrawn"), "{}", verdict.statement);
}

/// A request rate of which four fifths were done, by workers that used this
/// much of a core.
fn late_requests(cpu_s: f64) -> Run {
    let mut run = run_of(&snapshots(&Machine::default()));
    working(&mut run, "http", |interval| {
        interval.unit = "per_second".into();
        interval.requested = Some(100.0);
        interval.achieved = 80.0;
        interval.cpu_s = cpu_s;
    });
    run
}

#[test]
fn a_load_that_its_workers_were_too_slow_for_is_the_generators_limit() {
    let analysis = analyze(&late_requests(0.97));
    assert_eq!(under_load(&analysis).resource, "generator");
    assert!(under_load(&analysis).statement.contains("lower bound"));
}

#[test]
fn what_no_resource_explains_is_the_applications_limit() {
    let analysis = analyze(&late_requests(0.1));
    assert_eq!(under_load(&analysis).resource, "application");
    // A resource that is at its limit explains it.
    let mut run = late_requests(0.1);
    let busy = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    run.nodes = run_of(&snapshots(&busy)).nodes;
    assert_eq!(under_load(&analyze(&run)).resource, "cpu");
    // And a load that got what it asked for needs no explanation.
    for interval in &mut run.workers {
        interval.achieved = 100.0;
    }
    run.nodes = run_of(&snapshots(&Machine::default())).nodes;
    assert_eq!(under_load(&analyze(&run)).resource, "none");
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

proptest! {
    /// For any counters, damaged ones included: no figure of the analysis is
    /// NaN, infinite or negative, and no share exceeds its whole.
    #[test]
    fn no_impossible_figure_reaches_a_verdict(
        values in prop::collection::vec(prop::num::f64::ANY, 31 * 12),
    ) {
        let mut all = snapshots(&Machine::default());
        for (snapshot, wild) in all.iter_mut().zip(values.chunks(12)) {
            for ((_, v), wild) in snapshot.values.iter_mut().zip(wild) {
                *v = *wild;
            }
        }
        let analysis = analyze(&run_of(&all));
        for phase in &analysis.nodes[0].phases {
            for ranked in &phase.ranking {
                if let Some(share) = ranked.utilization {
                    prop_assert!((0.0..=1.0).contains(&share), "{share}");
                }
            }
            for evidence in &phase.verdict.evidence {
                prop_assert!(evidence.value.is_finite());
                if evidence.unit == "ratio" {
                    prop_assert!((0.0..=1.0).contains(&evidence.value), "{evidence:?}");
                }
            }
        }
        prop_assert!(serde_json::to_string(&analysis).is_ok());
    }
}
