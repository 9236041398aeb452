//! Synthetic runs with known answers, and the traps that fool thresholds.

use proptest::prelude::*;

use super::{
    analyze,
    outcome::{Analysis, Cause, Grade, Kind, Verdict},
};
use crate::model::{
    catalogue::SIGNALS,
    run::{
        HostFacts, Level, Manifest, NodeData, NodeRecord, PhaseRecord, RUN_SCHEMA, Run, SourceKind,
        State, Threshold, WorkerInterval,
    },
    series::{Key, RawSet, SignalSet, Snapshot},
    stats::Stat,
    time::Timestamp,
};

const SECOND: i64 = 1000;
const BASELINE_S: i64 = 10;
const LOAD_S: i64 = 20;

/// A machine as its counters show it: two cores, 16 GiB, one disk, one link.
/// Each field is a level per second; a closure of the second changes it.
#[derive(Clone, Debug)]
struct Machine {
    busy: [f64; 2],
    iowait: f64,
    steal: f64,
    psi_cpu: f64,
    psi_io: f64,
    psi_memory: f64,
    running: f64,
    load1: f64,
    available_gib: f64,
    free_gib: f64,
    disk_busy: f64,
    disk_queue: f64,
    disk_mib: f64,
    link_share: f64,
    filesystem: f64,
    oom_kills: f64,
    cgroup_memory: Option<f64>,
    cgroup_ooms: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            busy: [0.02, 0.02],
            iowait: 0.0,
            steal: 0.0,
            psi_cpu: 0.0,
            psi_io: 0.0,
            psi_memory: 0.0,
            running: 1.0,
            load1: 0.1,
            available_gib: 14.0,
            free_gib: 10.0,
            disk_busy: 0.01,
            disk_queue: 0.01,
            disk_mib: 0.1,
            link_share: 0.01,
            filesystem: 0.5,
            oom_kills: 0.0,
            cgroup_memory: None,
            cgroup_ooms: 0.0,
        }
    }
}

const GIB: f64 = 1_073_741_824.0;

/// Counters that rise as the machine says.
#[derive(Default)]
struct Counters(std::collections::BTreeMap<String, f64>);

impl Counters {
    fn add(&mut self, key: &str, amount: f64) {
        *self.0.entry(key.to_owned()).or_default() += amount;
    }

    fn second(&mut self, machine: &Machine) {
        for (cpu, busy) in machine.busy.iter().enumerate() {
            let mut mode = |mode: &str, share: f64| {
                self.add(
                    &format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}}"),
                    share,
                );
            };
            mode("user", *busy);
            mode("iowait", machine.iowait);
            mode("steal", machine.steal);
            mode("idle", (1.0 - busy - machine.iowait - machine.steal).max(0.0));
        }
        self.add("node_pressure_cpu_waiting_seconds_total", machine.psi_cpu);
        self.add("node_pressure_io_waiting_seconds_total", machine.psi_io);
        self.add("node_pressure_memory_waiting_seconds_total", machine.psi_memory);
        self.add("node_disk_io_time_seconds_total{device=\"sda\"}", machine.disk_busy);
        self.add("node_disk_io_time_weighted_seconds_total{device=\"sda\"}", machine.disk_queue);
        self.add("node_disk_read_bytes_total{device=\"sda\"}", 0.0);
        self.add("node_disk_written_bytes_total{device=\"sda\"}", machine.disk_mib * 1_048_576.0);
        self.add("node_network_transmit_bytes_total{device=\"eth0\"}", machine.link_share * 125e6);
        self.add("node_network_transmit_drop_total{device=\"eth0\"}", 0.0);
        self.add("node_vmstat_oom_kill", machine.oom_kills);
        self.add("stressor_cgroup_oom_kills_total{cgroup=\"/a\"}", machine.cgroup_ooms);
    }

    fn snapshot(&self, t: Timestamp, machine: &Machine) -> Snapshot {
        let mut values: Vec<(Key, f64)> =
            self.0.iter().map(|(key, v)| (Key::parse(key).unwrap(), *v)).collect();
        let mut gauge = |key: &str, v: f64| values.push((Key::parse(key).unwrap(), v));
        gauge("node_procs_running", machine.running);
        gauge("node_load1", machine.load1);
        gauge("node_memory_MemTotal_bytes", 16.0 * GIB);
        gauge("node_memory_MemFree_bytes", machine.free_gib * GIB);
        gauge("node_memory_MemAvailable_bytes", machine.available_gib * GIB);
        gauge("node_network_speed_bytes{device=\"eth0\"}", 125e6);
        let mount = "{device=\"/dev/sda\",fstype=\"ext4\",mountpoint=\"/\"}";
        gauge(&format!("node_filesystem_size_bytes{mount}"), 100.0 * GIB);
        gauge(
            &format!("node_filesystem_avail_bytes{mount}"),
            (1.0 - machine.filesystem) * 100.0 * GIB,
        );
        if let Some(share) = machine.cgroup_memory {
            gauge("stressor_cgroup_memory_limit_bytes{cgroup=\"/a\"}", GIB);
            gauge("stressor_cgroup_memory_usage_bytes{cgroup=\"/a\"}", share * GIB);
            gauge("stressor_cgroup_memory_working_bytes{cgroup=\"/a\"}", share * GIB);
        }
        Snapshot { t, values }
    }
}

/// Ten quiet seconds, then twenty as `machine` says, sampled every second.
fn snapshots(machine: &Machine) -> Vec<Snapshot> {
    let (mut counters, quiet) = (Counters::default(), Machine::default());
    (0..=BASELINE_S + LOAD_S)
        .map(|second| {
            let now = if second <= BASELINE_S { &quiet } else { machine };
            if second > 0 {
                counters.second(now);
            } else {
                counters.second(&Machine { busy: [0.0; 2], ..quiet.clone() });
            }
            counters.snapshot(Timestamp(second * SECOND), now)
        })
        .collect()
}

fn phase(name: &str, start: i64, end: i64, loaded: bool) -> PhaseRecord {
    PhaseRecord {
        name: name.into(),
        level: None,
        start: Timestamp(start * SECOND),
        steady: None,
        end: Some(Timestamp(end * SECOND)),
        planned_s: (end - start) as f64,
        loads: if loaded { vec!["load".into()] } else { vec![] },
    }
}

fn run_of(snapshots: &[Snapshot]) -> Run {
    let mut raw = RawSet::default();
    for snapshot in snapshots {
        raw.push(snapshot);
    }
    let signals = SIGNALS
        .iter()
        .map(|row| (row.name.to_owned(), row.expr.evaluate(&raw, 1.0)))
        .filter(|(_, signals)| !signals.is_empty())
        .collect();
    let record = NodeRecord {
        name: "local".into(),
        instance: None,
        source: SourceKind::Embedded,
        loaded: true,
        interval_s: 1.0,
        window_s: 1.0,
        host: HostFacts { cores: 2, cores_allowed: 2, ..HostFacts::default() },
    };
    Run {
        manifest: Manifest {
            schema: RUN_SCHEMA,
            id: "run-1".into(),
            tool: "test".into(),
            state: State::Complete,
            recovered: false,
            start: Timestamp(0),
            end: Some(Timestamp((BASELINE_S + LOAD_S) * SECOND)),
            scenario: "test".into(),
            description: String::new(),
            overrides: vec![],
            phases: vec![
                phase("baseline", 0, BASELINE_S, false),
                phase("load", BASELINE_S, BASELINE_S + LOAD_S, true),
            ],
            nodes: vec![record.clone()],
            telemetry: vec![],
            tags: std::collections::BTreeMap::new(),
            notes: vec![],
            stopped: None,
        },
        scenario: String::new(),
        thresholds: vec![],
        nodes: vec![NodeData {
            record,
            signals: SignalSet { signals, times: raw.times.clone(), interval_s: 1.0 },
        }],
        workers: vec![],
        events: vec![],
    }
}

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

/// One worker's interval each second of the load phase.
fn working(run: &mut Run, kind: &str, of: impl Fn(&mut WorkerInterval)) {
    for second in BASELINE_S + 1..=BASELINE_S + LOAD_S {
        let mut interval = WorkerInterval {
            t: Timestamp(second * SECOND),
            seconds: 1.0,
            phase: 1,
            worker: 0,
            load: 0,
            setup: false,
            kind: kind.into(),
            requested: None,
            achieved: 1.0,
            unit: "ratio".into(),
            operations: 100,
            bytes: 0,
            errors: 0,
            cpu_s: 0.0,
            resident: 0,
            latency: None,
        };
        of(&mut interval);
        run.workers.push(interval);
    }
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
    assert_eq!(verdict.grade, Grade::Possible);
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
    check(&machine, "none", Kind::None);
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
    check(&machine, "disk", Kind::Near);
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
    assert_eq!(under_load(&analyze(&run)).grade, Grade::Confirmed);
    // Twice the load, twice the work: no plateau.
    for interval in run.workers.iter_mut().filter(|interval| interval.phase == 2) {
        interval.operations *= 2;
    }
    assert_eq!(under_load(&analyze(&run)).grade, Grade::Likely);
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
