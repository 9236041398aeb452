//! Limits in sight and out of sight: which of several is the root, what may be said when not
//! all were read, and when an own load is held back for no visible reason.

use super::{
    machine::{BASELINE_S, GIB, Machine, phase, run_of, snapshots, working},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Analysis, Cause, Grade, Kind, Verdict},
    },
    model::{
        run::Run,
        series::{Key, Snapshot},
    },
};

/// A counter or gauge that is added to each snapshot, by the seconds since the load began.
type Of<'a> = (&'a str, &'a dyn Fn(f64) -> f64);

fn with(machine: &Machine, more: &[Of<'_>]) -> Run {
    let mut all = snapshots(machine);
    add(&mut all, more);
    run_of(&all)
}

fn add(all: &mut [Snapshot], more: &[Of<'_>]) {
    for (second, snapshot) in (0_i32..).zip(all) {
        let under = f64::from(second) - BASELINE_S as f64;
        let values = more.iter().map(|(key, of)| (Key::parse(key).unwrap(), of(under)));
        snapshot.values.extend(values);
    }
}

/// The same with what it owns.
type Owned = (String, Box<dyn Fn(f64) -> f64>);

/// A group with a quota in cores that used `cores` from the start of the load on, and was
/// throttled in that share of its periods.
fn quota(group: &str, quota: f64, cores: f64, throttled: f64) -> Vec<Owned> {
    let key = |name: &str| format!("stressor_cgroup_cpu_{name}{{cgroup=\"{group}\"}}");
    vec![
        (key("quota_cores"), Box::new(move |_| quota)),
        (key("usage_seconds_total"), Box::new(move |t| cores * t.max(0.0))),
        (key("periods_total"), Box::new(|t| 10.0 * t.max(0.0))),
        (key("throttled_periods_total"), Box::new(move |t| 10.0 * throttled * t.max(0.0))),
    ]
}

fn borrowed(of: &[Owned]) -> Vec<Of<'_>> {
    of.iter().map(|(key, of)| (key.as_str(), &**of)).collect()
}

/// The same run, in which nobody loads and a phase is only watched.
fn watched(mut run: Run) -> Analysis {
    run.manifest.phases = vec![phase("watch", BASELINE_S, BASELINE_S + 20, false)];
    analyze(&run)
}

fn named(verdict: &Verdict) -> (&str, Option<&str>, Kind, Grade) {
    (&verdict.resource, verdict.device.as_deref(), verdict.kind, verdict.grade)
}

#[test]
fn a_small_quota_does_not_outrank_what_binds_the_machine() {
    let agent = quota("/agent", 0.05, 0.05, 0.95);
    // Full cores with tasks that wait, full cores, and one full core beside idle ones.
    for (busy, psi_cpu, running, resource, kind) in [
        ([1.0; 2], 0.99, 12.0, "cpu", Kind::Saturated),
        ([1.0; 2], 0.15, 3.0, "cpu", Kind::Full),
        ([1.0, 0.1], 0.95, 3.0, "cpu-core", Kind::Full),
    ] {
        let machine = Machine { busy, psi_cpu, running, ..Machine::default() };
        let analysis = watched(with(&machine, &borrowed(&agent)));
        let verdict = under_load(&analysis);
        assert_eq!((verdict.resource.as_str(), verdict.kind), (resource, kind), "{verdict:#?}");
        assert!(verdict.statement.contains("cgroup /agent"), "{}", verdict.statement);
    }
    // Alone it is the finding.
    let machine = Machine { psi_cpu: 0.95, ..Machine::default() };
    let analysis = watched(with(&machine, &borrowed(&agent)));
    let expected = ("cpu-quota", Some("/agent"), Kind::Saturated, Grade::Likely);
    assert_eq!(named(under_load(&analysis)), expected);
    // A group that holds nearly the whole machine comes before its cores.
    let machine = Machine { busy: [0.97; 2], psi_cpu: 0.99, ..Machine::default() };
    let analysis = watched(with(&machine, &borrowed(&quota("/most", 1.92, 1.92, 0.9))));
    assert_eq!(under_load(&analysis).resource, "cpu-quota");
}

#[test]
fn a_small_memory_limit_does_not_outrank_a_full_host() {
    let of_group = |name: &str| format!("stressor_cgroup_memory_{name}{{cgroup=\"/agent\"}}");
    let (limit, working, hits) =
        (of_group("limit_bytes"), of_group("working_bytes"), of_group("limit_hits_total"));
    let size = 0.01 * GIB;
    let small: [Of<'_>; 3] =
        [(&limit, &|_| size), (&working, &|_| size), (&hits, &|t| 50.0 * t.max(0.0))];
    let machine = Machine { available_gib: 0.5, psi_memory: 0.5, ..Machine::default() };
    let analysis = analyze(&with(&machine, &small));
    assert_eq!(under_load(&analysis).resource, "memory");
    assert!(under_load(&analysis).statement.contains("cgroup /agent"));
    // Beside a host with memory to spare it explains all of the waiting.
    let machine = Machine { psi_memory: 0.5, ..Machine::default() };
    let analysis = analyze(&with(&machine, &small));
    let expected = ("memory-limit", Some("/agent"), Kind::Saturated, Grade::Likely);
    assert_eq!(named(under_load(&analysis)), expected);
}

#[test]
fn a_wide_quota_in_sight_does_not_hide_a_narrow_one_out_of_sight() {
    // Measured: 3 workers got 0.35 cores by a quota on the group above; the own one is wide.
    let machine = Machine { busy: [0.17, 0.18], psi_cpu: 0.87, ..Machine::default() };
    let wide = quota("/", 1.5, 0.35, 0.0);
    let analysis = analyze(&with(&machine, &borrowed(&wide)));
    let verdict = under_load(&analysis);
    assert_eq!(named(verdict), ("cpu-quota", None, Kind::Saturated, Grade::Possible));
    assert!(verdict.statement.contains("the limit itself was not seen"), "{}", verdict.statement);
    // One in sight that was held back explains it.
    let narrow = quota("/a", 0.35, 0.35, 0.9);
    let all = [borrowed(&wide), borrowed(&narrow)].concat();
    let analysis = analyze(&with(&machine, &all));
    let expected = ("cpu-quota", Some("/a"), Kind::Saturated, Grade::Likely);
    assert_eq!(named(under_load(&analysis)), expected);
    // Without waiting there is nothing to explain.
    let analysis = analyze(&with(&Machine::default(), &borrowed(&wide)));
    assert_eq!(named(under_load(&analysis)), ("none", None, Kind::None, Grade::Likely));
}

#[test]
fn a_wide_memory_limit_in_sight_does_not_hide_a_narrow_one_out_of_sight() {
    let machine = Machine { psi_memory: 0.3, ..Machine::default() };
    let limit = "stressor_cgroup_memory_limit_bytes{cgroup=\"/\"}";
    let working = "stressor_cgroup_memory_working_bytes{cgroup=\"/\"}";
    let run = with(&machine, &[(limit, &|_| GIB), (working, &|_| 0.1 * GIB)]);
    let analysis = analyze(&run);
    let expected = ("memory-limit", None, Kind::Saturated, Grade::Possible);
    assert_eq!(named(under_load(&analysis)), expected);
}

#[test]
fn an_own_load_that_is_held_back_on_idle_cores_is_not_called_well() {
    // No pressure is seen, so nothing hints at a quota.
    let mut all = snapshots(&Machine { busy: [0.18, 0.18], ..Machine::default() });
    for snapshot in &mut all {
        snapshot.values.retain(|(key, _)| !key.name.starts_with("node_pressure"));
    }
    let judged = |achieved: f64, busy: Option<f64>| {
        let mut all = all.clone();
        if let Some(busy) = busy {
            all = snapshots(&Machine { busy: [busy; 2], ..Machine::default() });
        }
        let mut run = run_of(&all);
        working(&mut run, "cpu", |interval| {
            interval.requested = Some(1.0);
            interval.achieved = achieved;
        });
        analyze(&run)
    };
    let analysis = judged(0.35, None);
    let verdict = under_load(&analysis);
    assert_eq!((verdict.kind, verdict.grade), (Kind::Unknown, Grade::Insufficient));
    assert!(!verdict.statement.contains("did not reach"), "{}", verdict.statement);
    assert!(verdict.statement.contains("0.35 of the 1 cores"), "{}", verdict.statement);
    let why = analysis.loads[0].shortfall.clone().unwrap();
    assert!(why.contains("while 1.64 cores were idle"), "{why}");
    // With what it asked for, and where others had the cores, it was not held back.
    assert_eq!(under_load(&judged(0.9, None)).kind, Kind::None);
    assert_eq!(under_load(&judged(0.35, Some(0.78))).kind, Kind::None);
}

#[test]
fn an_own_load_that_is_short_of_operations_for_no_visible_reason_is_a_possibility() {
    let mut run = run_of(&snapshots(&Machine::default()));
    working(&mut run, "disk", |interval| {
        interval.requested = Some(100.0);
        interval.achieved = 50.0;
        interval.unit = "per_second".into();
    });
    let analysis = analyze(&run);
    let verdict = under_load(&analysis);
    assert_eq!(named(verdict), ("none", None, Kind::None, Grade::Possible));
    assert!(!verdict.statement.contains("did not reach"), "{}", verdict.statement);
    assert!(verdict.statement.contains("the disk load got 50 %"), "{}", verdict.statement);
}

#[test]
fn the_quota_that_held_a_load_back_is_why_it_is_short() {
    let machine = Machine { busy: [0.25; 2], psi_cpu: 0.8, ..Machine::default() };
    let own = quota("load:cpu", 0.5, 0.5, 0.9);
    let mut run = with(&machine, &borrowed(&own));
    working(&mut run, "cpu", |interval| {
        interval.requested = Some(1.0);
        interval.achieved = 0.25;
        interval.cpu_s = 0.5;
    });
    let analysis = analyze(&run);
    let why = analysis.loads[0].shortfall.clone().unwrap();
    assert!(why.contains("the CPU quota of cgroup load:cpu held them back"), "{why}");
    assert_eq!(under_load(&analysis).cause, Cause::Scenario);
}

#[test]
fn groups_that_were_not_read_are_told_and_leave_a_doubt() {
    let judged = |unread: f64| {
        let run = with(
            &Machine::default(),
            &[
                ("stressor_cgroups_limited{controller=\"cpu\"}", &|_| 101.0),
                ("stressor_cgroups_unread{controller=\"cpu\"}", &|_| unread),
            ],
        );
        analyze(&run)
    };
    let analysis = judged(37.0);
    let verdict = under_load(&analysis);
    assert_eq!(named(verdict), ("none", None, Kind::None, Grade::Possible));
    let words = "37 of 101 groups with a CPU quota were not read in each sample";
    assert!(verdict.statement.contains(words), "{}", verdict.statement);
    let is_its = |one: &&crate::analyze::outcome::Mention| one.resource == "cpu-quota";
    assert!(verdict.unobserved.iter().filter(is_its).any(|one| one.text.contains(words)));
    assert!(analysis.validity.notes.iter().any(|note| note.contains(words)));
    assert_eq!(under_load(&judged(0.0)).grade, Grade::Likely);
}

#[test]
fn hundreds_of_groups_are_not_listed_one_by_one() {
    let groups: Vec<String> = (0..200).map(|one| format!("/p{one}")).collect();
    let all: Vec<_> = groups.iter().flat_map(|name| quota(name, 1.0, 0.1, 0.0)).collect();
    let analysis = analyze(&with(&Machine::default(), &borrowed(&all)));
    let verdict = under_load(&analysis);
    let of_quota: Vec<_> =
        verdict.exonerated.iter().filter(|one| one.resource == "cpu-quota").collect();
    assert_eq!(of_quota.len(), 65);
    assert!(of_quota[64].text.contains("136 more"), "{}", of_quota[64].text);
    assert!(analysis.nodes[0].phases[1].ranking.len() < 100);
}

#[test]
fn memory_high_holds_a_group_back_and_not_the_host() {
    // Measured on cgroup v2: tasks above memory.high sleep, so the limit is hit seldom.
    let machine = Machine { psi_memory: 0.6, ..Machine::default() };
    let of_group = |name: &str| format!("stressor_cgroup_memory_{name}{{cgroup=\"/a\"}}");
    let (limit, working) = (of_group("limit_bytes"), of_group("working_bytes"));
    let hits = of_group("limit_hits_total");
    let waits = "stressor_cgroup_pressure_memory_waiting_seconds_total{cgroup=\"/a\"}";
    let run = with(
        &machine,
        &[
            (&limit, &|_| 0.1 * GIB),
            (&working, &|_| 0.101 * GIB),
            (&hits, &|t| 0.3 * t.max(0.0)),
            (waits, &|t| 0.6 * t.max(0.0)),
        ],
    );
    let analysis = analyze(&run);
    let verdict = under_load(&analysis);
    let expected = ("memory-limit", Some("/a"), Kind::Saturated, Grade::Likely);
    assert_eq!(named(verdict), expected, "{}", verdict.statement);
}

#[test]
fn memory_is_named_by_pressure_only_near_its_limit_or_while_the_host_reclaims() {
    let judged = |available_gib: f64, scans: f64| {
        let machine = Machine { psi_memory: 0.3, available_gib, ..Machine::default() };
        let run = with(&machine, &[("node_vmstat_pgscan_direct", &|t| scans * t.max(0.0))]);
        let analysis = analyze(&run);
        let verdict = under_load(&analysis);
        (verdict.resource.clone(), verdict.grade)
    };
    assert_eq!(judged(14.0, 0.0), ("memory-limit".to_owned(), Grade::Possible));
    assert_eq!(judged(14.0, 20_000.0), ("memory".to_owned(), Grade::Likely));
    assert_eq!(judged(2.0, 0.0), ("memory".to_owned(), Grade::Likely));
}

/// A disk with this many writes per second, each of which waits as the queue implies.
fn disk(machine: &Machine, per_second: f64) -> Vec<Snapshot> {
    let mut all = snapshots(machine);
    let queue = machine.disk_queue;
    let at = |name: &str| format!("node_disk_{name}{{device=\"sda\"}}");
    let (writes, write_time) = (at("writes_completed_total"), at("write_time_seconds_total"));
    let (reads, read_time) = (at("reads_completed_total"), at("read_time_seconds_total"));
    add(
        &mut all,
        &[
            (&writes, &|t| per_second * t.max(0.0)),
            (&write_time, &|t| queue * t.max(0.0)),
            (&reads, &|_| 0.0),
            (&read_time, &|_| 0.0),
        ],
    );
    all
}

#[test]
fn flushing_writers_at_a_disks_ceiling_saturate_it() {
    // Measured: 188 of 200 operations a second.
    let ceiling = Machine { disk_busy: 0.79, disk_queue: 1.34, psi_io: 0.41, ..Machine::default() };
    let judged = |machine: &Machine, per_second: f64| {
        let analysis = analyze(&run_of(&disk(machine, per_second)));
        let verdict = under_load(&analysis);
        (verdict.resource.clone(), verdict.kind)
    };
    assert_eq!(judged(&ceiling, 188.0), ("disk".to_owned(), Kind::Saturated));
    // Nobody who waits was seen: near, and no more.
    let alone = Machine { psi_io: 0.05, ..ceiling.clone() };
    assert_eq!(judged(&alone, 188.0), ("disk".to_owned(), Kind::Near));
    // Measured: one at a time, 166 a second; and two fifths of the ceiling.
    let one = Machine { disk_busy: 0.83, disk_queue: 0.84, psi_io: 0.8, ..ceiling.clone() };
    assert_eq!(judged(&one, 166.0).1, Kind::None);
    let little = Machine { disk_busy: 0.33, disk_queue: 0.5, psi_io: 0.35, ..ceiling };
    assert_eq!(judged(&little, 80.0).1, Kind::None);
}

#[test]
fn the_journal_of_our_own_writes_is_ours_and_another_writer_is_not() {
    let judged = |before: f64, ours: u64, late: bool| {
        let machine = Machine {
            disk_busy: 0.95,
            disk_queue: 4.0,
            disk_mib: 0.0,
            psi_io: 0.6,
            ..Machine::default()
        };
        let mut all = disk(&machine, 190.0);
        let written = Key::parse("node_disk_written_bytes_total{device=\"sda\"}").unwrap();
        for (second, snapshot) in (0_i32..).zip(&mut all) {
            let under = f64::from(second) - BASELINE_S as f64;
            let bytes = if under <= 0.0 { before * under } else { 3e6 * under };
            let value = snapshot.values.iter_mut().find(|(key, _)| *key == written).unwrap();
            value.1 = 1e9 + bytes;
        }
        let mut run = run_of(&all);
        let middle = (BASELINE_S + 10) * 1000;
        working(&mut run, "disk", |interval| {
            let is_late = late && interval.t.0 > middle;
            interval.bytes = if is_late { 600_000 } else { ours };
        });
        let analysis = analyze(&run);
        assert_eq!(under_load(&analysis).resource, "disk");
        under_load(&analysis).cause
    };
    assert_eq!(judged(0.0, 1_000_000, false), Cause::Scenario);
    // Somebody wrote before; a share that no journal explains; somebody who came later.
    assert_eq!(judged(1e6, 1_000_000, false), Cause::Mixed);
    assert_eq!(judged(0.0, 100_000, false), Cause::Foreign);
    assert_eq!(judged(0.0, 2_700_000, true), Cause::Mixed);
}

#[test]
fn a_whole_io_limit_is_saturated_and_the_loads_own_is_the_scenarios() {
    let judged = |group: &str, share: f64| {
        let used = format!(
            "stressor_cgroup_io_limit_used_seconds_total{{cgroup=\"{group}\",disk=\"8:0\",limit=\"read_iops\"}}"
        );
        let bytes = format!("stressor_cgroup_io_bytes_total{{cgroup=\"{group}\"}}");
        let limited = "stressor_cgroups_limited{controller=\"io\"}";
        let mut run = with(
            &Machine { psi_io: 0.0, ..Machine::default() },
            &[
                (&used, &|t| share * t.max(0.0)),
                (&bytes, &|t| 1e6 * t.max(0.0)),
                (limited, &|_| 1.0),
            ],
        );
        working(&mut run, "disk", |interval| interval.bytes = 1_000_000);
        under_load(&analyze(&run)).clone()
    };
    let own = judged("load:disk", 1.0);
    assert_eq!(named(&own), ("io-limit", Some("load:disk"), Kind::Saturated, Grade::Likely));
    assert_eq!(own.cause, Cause::Scenario);
    assert_eq!(own.statement.matches("100 %").count(), 1, "{}", own.statement);
    let foreign = judged("/other", 1.0);
    assert_eq!((foreign.kind, foreign.cause), (Kind::Saturated, Cause::Foreign));
    assert_eq!(judged("load:disk", 0.42).kind, Kind::None);
}

#[test]
fn stressor_itself_is_no_bottleneck_and_its_cost_is_told_once() {
    let own = "stressor_own_cpu_seconds_total{process=\"stressor[7]\"}";
    let busy = Machine { busy: [0.96, 0.02], ..Machine::default() };
    let analysis = watched(with(&busy, &[(own, &|t| 0.9 * (t + 10.0))]));
    assert_eq!(under_load(&analysis).kind, Kind::None, "{}", under_load(&analysis).statement);
    let told = |analysis: &Analysis| {
        analysis.validity.notes.iter().filter(|note| note.contains("itself used")).count()
    };
    assert_eq!(told(&analysis), 1);
    // Beside somebody else on that core it is no excuse.
    let analysis = watched(with(&busy, &[(own, &|t| 0.03 * (t + 10.0))]));
    assert_eq!(under_load(&analysis).resource, "cpu-core");
    assert_eq!(told(&analysis), 0);
}

#[test]
fn processes_that_cannot_be_seen_are_told_beside_those_that_are() {
    let busy = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let process = "stressor_process_cpu_seconds_total{process=\"a[7]\"}";
    let hidden = |count: f64| {
        let run = with(
            &busy,
            &[
                (process, &|t| 0.5 * (t + 10.0)),
                ("stressor_tasks", &|_| 300.0),
                ("stressor_tasks_hidden", &|_| count),
                ("stressor_processes_unread", &|_| count),
            ],
        );
        watched(run)
    };
    let analysis = hidden(200.0);
    let statement = &under_load(&analysis).statement;
    assert!(statement.contains("Busiest of those that can be seen: a[7]"), "{statement}");
    let notes = analysis.validity.notes.join(" ");
    assert!(notes.contains("200 of the machine's 300 tasks cannot be seen"), "{notes}");
    assert!(notes.contains("200 processes were not looked at"), "{notes}");
    let analysis = hidden(0.0);
    assert!(under_load(&analysis).statement.contains("Busiest: a[7]"));
    assert!(!analysis.validity.notes.join(" ").contains("cannot be seen"));
}

#[test]
fn a_foreign_group_at_its_quota_is_not_the_scenarios_however_much_the_scenario_does() {
    let machine = Machine { busy: [0.45, 0.45], psi_cpu: 0.9, ..Machine::default() };
    let judged = |has_load: bool| {
        let agent = quota("/agent", 0.5, 0.5, 0.9);
        let mut more = borrowed(&agent);
        more.push(("stressor_cgroups_limited{controller=\"cpu\"}", &|_| 1.0));
        if has_load {
            more.push(("stressor_cgroup_has_load{cgroup=\"/agent\"}", &|_| 1.0));
        }
        let mut run = with(&machine, &more);
        working(&mut run, "cpu", |interval| interval.cpu_s = 0.45);
        under_load(&analyze(&run)).cause
    };
    assert_eq!(judged(false), Cause::Foreign);
    assert_eq!(judged(true), Cause::Scenario);
}
