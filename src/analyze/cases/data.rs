//! What is wrong with the data, and what may still be said.

use proptest::prelude::*;

use super::{
    machine::{Machine, run_of, snapshots},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Grade, Kind},
    },
    model::series::Snapshot,
};

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
fn without_pressure_many_runnable_beside_an_idle_core_are_confined_to_the_other() {
    let judged = |running: f64| {
        let machine = Machine { busy: [1.0, 0.02], running, ..Machine::default() };
        let mut all = snapshots(&machine);
        for snapshot in &mut all {
            snapshot.values.retain(|(key, _)| !key.name.starts_with("node_pressure"));
        }
        under_load(&analyze(&run_of(&all))).clone()
    };
    let four = judged(5.0);
    assert_eq!((four.resource.as_str(), four.kind), ("cpu-affinity", Kind::Saturated));
    // One that runs, and the reader of the figure.
    assert_eq!(judged(2.0).resource, "cpu-core");
}

#[test]
fn what_was_not_looked_at_for_half_of_the_time_is_not_called_clean() {
    let mut all = snapshots(&Machine::default());
    all.drain(14..30);
    let verdict = under_load(&analyze(&run_of(&all))).clone();
    assert_eq!((verdict.kind, verdict.grade), (Kind::Unknown, Grade::Insufficient));
    assert!(verdict.statement.contains("too few to say"), "{}", verdict.statement);
    // A limit that was seen is one, however little else was.
    let mut all = snapshots(&Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() });
    all.drain(15..30);
    assert_eq!(under_load(&analyze(&run_of(&all))).resource, "cpu");
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
