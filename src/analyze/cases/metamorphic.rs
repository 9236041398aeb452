//! What must not change a verdict, and what may only weaken it.

use super::{
    judged,
    machine::{BASELINE_S, LOAD_S, Machine, SECOND, run_of, snapshots},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Kind, Verdict},
    },
    model::{
        run::{NodeData, Run},
        series::Snapshot,
        time::Timestamp,
    },
};

/// By how much time is shifted.
const LATER: i64 = 1_700_000_000 * SECOND;

/// One machine at each limit that the counters can show.
fn machines() -> Vec<(&'static str, Machine)> {
    let quiet = Machine::default;
    vec![
        ("cpu", Machine { busy: [1.0; 2], psi_cpu: 0.9, running: 9.0, ..quiet() }),
        ("cpu-affinity", Machine { busy: [1.0, 0.0], psi_cpu: 0.9, running: 5.0, ..quiet() }),
        ("disk", Machine { disk_busy: 1.0, disk_queue: 16.0, psi_io: 0.9, ..quiet() }),
        ("memory", Machine { available_gib: 0.6, psi_memory: 0.5, ..quiet() }),
        ("memory-limit", Machine { cgroup_memory: Some(0.99), cgroup_ooms: 1.0, ..quiet() }),
        ("cpu-steal", Machine { steal: 0.5, busy: [0.4; 2], ..quiet() }),
        ("network", Machine { link_share: 0.97, ..quiet() }),
    ]
}

fn same(a: &Verdict, b: &Verdict, what: &str) {
    assert_eq!(
        (&a.resource, &a.device, a.kind, a.grade, a.cause),
        (&b.resource, &b.device, b.kind, b.grade, b.cause),
        "{what}: {} / {}",
        a.statement,
        b.statement
    );
}

fn node(machine: &Machine, name: &str) -> NodeData {
    let mut node = run_of(&snapshots(machine)).nodes.remove(0);
    node.record.name = name.into();
    node
}

fn fleet(nodes: Vec<NodeData>) -> Run {
    let mut run = run_of(&snapshots(&Machine::default()));
    run.manifest.nodes = nodes.iter().map(|node| node.record.clone()).collect();
    run.nodes = nodes;
    run
}

#[test]
fn neither_order_nor_an_idle_node_matters() {
    for (resource, machine) in machines() {
        let (busy, idle) = (node(&machine, "a"), node(&Machine::default(), "b"));
        let alone = analyze(&fleet(vec![busy.clone()]));
        for nodes in [vec![busy.clone(), idle.clone()], vec![idle.clone(), busy.clone()]] {
            let both = analyze(&fleet(nodes));
            let (one, other) = (alone.overall.clone().unwrap(), both.overall.clone().unwrap());
            assert_eq!(
                (one.node, one.resource, one.kind),
                (other.node, other.resource, other.kind),
                "{resource}"
            );
            let of_it = both.nodes.iter().find(|node| node.node == "a").unwrap();
            same(under_load(&alone), &of_it.phases.last().unwrap().verdict, resource);
        }
    }
}

#[test]
fn time_may_be_shifted_and_samples_may_come_twice() {
    for (resource, machine) in machines() {
        let verdict = judged(&machine);
        let all = snapshots(&machine);
        let twice: Vec<Snapshot> = all.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
        same(&verdict, under_load(&analyze(&run_of(&twice))), resource);
        let moved: Vec<Snapshot> =
            all.into_iter().map(|one| Snapshot { t: Timestamp(one.t.0 + LATER), ..one }).collect();
        let mut run = run_of(&moved);
        run.manifest.start = Timestamp(LATER);
        run.manifest.end = Some(Timestamp(LATER + (BASELINE_S + LOAD_S) * SECOND));
        for phase in &mut run.manifest.phases {
            phase.start = Timestamp(phase.start.0 + LATER);
            phase.end = phase.end.map(|end| Timestamp(end.0 + LATER));
        }
        same(&verdict, under_load(&analyze(&run)), resource);
    }
}

#[test]
fn what_is_not_seen_weakens_a_verdict_and_never_turns_it() {
    let ablations: [(&str, &[&str]); 6] = [
        ("pressure", &["node_pressure"]),
        ("refaults", &["node_vmstat_workingset"]),
        ("cgroups", &["stressor_cgroup"]),
        ("the disk's queue", &["node_disk_io_time_weighted"]),
        ("run queue", &["node_procs"]),
        ("pressure and run queue", &["node_pressure", "node_procs"]),
    ];
    for (resource, machine) in machines() {
        for (what, names) in ablations {
            let mut all = snapshots(&machine);
            for snapshot in &mut all {
                snapshot
                    .values
                    .retain(|(key, _)| !names.iter().any(|name| key.name.starts_with(name)));
            }
            let verdict = under_load(&analyze(&run_of(&all))).clone();
            let weaker = verdict.resource == resource
                || matches!(verdict.kind, Kind::None | Kind::Unknown)
                // The core is what is left of the tasks that wait for it.
                || (resource == "cpu-affinity" && verdict.resource == "cpu-core");
            assert!(weaker, "{resource} without {what}: {}", verdict.statement);
        }
        // A sample of five.
        let coarse: Vec<Snapshot> = snapshots(&machine).into_iter().step_by(5).collect();
        let verdict = under_load(&analyze(&run_of(&coarse))).clone();
        assert!(
            verdict.resource == resource || matches!(verdict.kind, Kind::None | Kind::Unknown),
            "{resource}: {}",
            verdict.statement
        );
    }
}

/// Twenty seconds that nobody cut by load, of which these were at the CPU's
/// limit.
fn busy_for(seconds: std::ops::Range<i64>) -> Verdict {
    let busy = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let mut counters = super::machine::Counters::default();
    let mut all = Vec::new();
    for second in 0..=BASELINE_S + LOAD_S {
        let now = if seconds.contains(&second) { busy.clone() } else { Machine::default() };
        counters.second(&now);
        all.push(counters.snapshot(Timestamp(second * SECOND), &now));
    }
    let mut run = run_of(&all);
    run.nodes[0].record.loaded = false;
    under_load(&analyze(&run)).clone()
}

#[test]
fn a_part_of_a_window_is_found_and_dated() {
    let verdict = busy_for(18..25);
    assert_eq!((verdict.resource.as_str(), verdict.kind), ("cpu", Kind::Saturated));
    assert_eq!(verdict.since, Some(Timestamp(17 * SECOND)));
    let words = "for 7 s of the 20 s of the window, until 00:00:24 UTC";
    assert!(verdict.statement.contains(words), "{}", verdict.statement);
}

#[test]
fn a_spike_is_no_part_of_a_window() {
    assert_eq!(busy_for(18..21).kind, Kind::None);
}
