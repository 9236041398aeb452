//! What the loads have to do with it: whose they are, what they reached, and what
//! taking them away shows.

use super::{
    machine::{BASELINE_S, Counters, LOAD_S, Machine, SECOND, phase, run_of, snapshots, working},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Cause, Grade, Kind, Verdict},
    },
    model::{
        run::{Level, Probe, Run, Step},
        time::Timestamp,
    },
};

#[test]
fn each_node_is_judged_by_its_own_load() {
    let machine = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let mut run = run_of(&snapshots(&machine));
    // Two nodes that are equally busy; the load is on the first.
    for name in ["one", "two"] {
        let mut node = run.nodes[0].clone();
        node.record.name = name.into();
        node.record.agent = true;
        run.nodes.push(node);
    }
    run.nodes.remove(0);
    working(&mut run, "cpu", |interval| {
        interval.node = "one".into();
        interval.cpu_s = 1.95;
    });
    let analysis = analyze(&run);
    let cause = |node: usize| analysis.nodes[node].phases.last().unwrap().verdict.cause;
    assert_eq!((cause(0), cause(1)), (Cause::Scenario, Cause::Foreign));
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
