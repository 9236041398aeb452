//! Several nodes: who was first, who is unlike the others, and which of two
//! sources is believed.

use super::{
    machine::{BASELINE_S, Machine, SECOND, run_of, snapshots, working},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Grade, Kind},
        sources::settle,
    },
    model::{
        run::{NodeData, Run, SourceKind},
        series::SignalSet,
        time::Timestamp,
    },
};

fn node(name: &str, machine: &Machine) -> NodeData {
    let mut node = run_of(&snapshots(machine)).nodes.remove(0);
    node.record.name = name.to_owned();
    node.record.agent = true;
    node
}

/// Nodes under one load; the operations that each does in a second.
fn loaded(nodes: &[(&str, Machine, u64)]) -> Run {
    let mut run = run_of(&snapshots(&Machine::default()));
    run.nodes = nodes.iter().map(|(name, machine, _)| node(name, machine)).collect();
    run.manifest.nodes = run.nodes.iter().map(|node| node.record.clone()).collect();
    for (name, _, share) in nodes {
        working(&mut run, "cpu", |one| {
            one.node = (*name).to_owned();
            one.operations = *share;
        });
    }
    run
}

fn busy() -> Machine {
    Machine { busy: [1.0; 2], psi_cpu: 0.9, running: 9.0, ..Machine::default() }
}

#[test]
fn a_fleet_says_who_was_first_and_who_is_well() {
    let quiet = Machine::default;
    let mut run = loaded(&[("a", quiet(), 100), ("b", busy(), 100), ("c", busy(), 100)]);
    // The limit of c is reached three seconds later.
    for signal in run.nodes[2].signals.signals.get_mut("cpu_busy").unwrap() {
        for point in &mut signal.points {
            if point.t <= Timestamp((BASELINE_S + 3) * SECOND) {
                point.v = 0.02;
            }
        }
    }
    let analysis = analyze(&run);
    let fleet = analysis.fleet.unwrap();
    assert_eq!(fleet.at_limit, ["b", "c"]);
    assert_eq!(fleet.healthy, ["a"]);
    let first = fleet.first.unwrap();
    assert_eq!((first.node.as_str(), first.resource.as_str()), ("b", "cpu"));
    assert!(fleet.statement.starts_with("Of 3 nodes 2 are at a limit (b, c), a is healthy."));
    assert_eq!(first.at_once, [""; 0]);
    // The run's verdict is that of the first, wherever it stands.
    run.nodes.reverse();
    run.manifest.nodes.reverse();
    assert_eq!(analyze(&run).overall.unwrap().node, "b");
    let both = loaded(&[("b", busy(), 100), ("c", busy(), 100)]);
    let fleet = analyze(&both).fleet.unwrap();
    assert_eq!(fleet.first.unwrap().at_once, ["c"]);
    assert!(
        fleet.statement.contains("The first to reach one was b")
            && fleet.statement.contains("within a sample of it also c"),
        "{}",
        fleet.statement
    );
    // One node is no fleet.
    assert!(analyze(&loaded(&[("a", quiet(), 100)])).fleet.is_none());
}

#[test]
fn a_node_unlike_its_peers_is_told_and_others_are_not() {
    let quiet = Machine::default;
    let alike = [("a", quiet(), 100), ("b", quiet(), 97), ("c", quiet(), 103), ("d", quiet(), 100)];
    assert_eq!(analyze(&loaded(&alike)).fleet.unwrap().apart, []);
    let mut one = alike.clone();
    one[2].2 = 40;
    one[3].1 = Machine { available_gib: 4.0, ..quiet() };
    let apart = analyze(&loaded(&one)).fleet.unwrap().apart;
    let told: Vec<_> = apart.iter().map(|one| (one.node.as_str(), one.signal.as_str())).collect();
    assert!(told.contains(&("c", "load_operations")), "{told:?}");
    assert!(told.contains(&("d", "memory_used_ratio")), "{told:?}");
    assert!(!told.iter().any(|(node, _)| ["a", "b"].contains(node)), "{told:?}");
    // Of whom less is asked, less is expected.
    let mut run = loaded(&one);
    for interval in &mut run.workers {
        interval.requested = Some(if interval.node == "c" { 40.0 } else { 100.0 });
    }
    let told: Vec<_> = analyze(&run).fleet.unwrap().apart.into_iter().map(|one| one.node).collect();
    assert!(!told.contains(&"c".to_owned()) && told.contains(&"d".to_owned()), "{told:?}");
    // Two are no crowd, and a node without this load is no peer.
    assert_eq!(analyze(&loaded(&one[1..3])).fleet.unwrap().apart, []);
    let mut run = loaded(&alike);
    run.workers.retain(|one| one.node != "d");
    run.nodes[3] = node("d", &busy());
    assert_eq!(analyze(&run).fleet.unwrap().apart, []);
}

/// Seen by a Prometheus that shows `far`, and by its own sampler that shows
/// `near`.
fn seen_twice(far: &Machine, near: &Machine) -> Run {
    let mut run = run_of(&snapshots(far));
    run.nodes[0].record.source = SourceKind::Prometheus;
    run.nodes[0].beside = Some(run_of(&snapshots(near)).nodes.remove(0).signals);
    run
}

#[test]
fn where_prometheus_was_blind_the_sampler_is_believed() {
    let mut run = seen_twice(&busy(), &busy());
    // It saw the baseline, and a quarter of the load.
    let blind = |t: Timestamp| t > Timestamp((BASELINE_S + 4) * SECOND);
    let cut = |signals: &mut SignalSet| {
        signals.times.retain(|t| !blind(*t));
        for signal in signals.signals.values_mut().flatten() {
            signal.points.retain(|point| !blind(point.t));
        }
    };
    cut(&mut run.nodes[0].signals);
    assert_eq!(under_load(&analyze(&run)).grade, Grade::Possible);
    settle(&mut run);
    let analysis = analyze(&run);
    assert_eq!(under_load(&analysis).grade, Grade::Likely);
    assert_eq!(analysis.nodes[0].source, "embedded");
    let notes = analysis.validity.notes.join(" ");
    assert!(notes.contains("Prometheus has 5 of 20 samples"), "{notes}");
    // Where both were blind there is nothing to believe.
    let mut run = seen_twice(&busy(), &busy());
    cut(&mut run.nodes[0].signals);
    cut(run.nodes[0].beside.as_mut().unwrap());
    settle(&mut run);
    assert_eq!(analyze(&run).nodes[0].source, "prometheus");
}

#[test]
fn sources_that_disagree_are_told() {
    let notes = |far: &Machine, near: &Machine| {
        let mut run = seen_twice(far, near);
        settle(&mut run);
        assert!(run.nodes[0].beside.is_none());
        run.manifest.notes.join(" ")
    };
    assert_eq!(notes(&busy(), &busy()), "");
    let close = Machine { busy: [0.9; 2], ..busy() };
    assert_eq!(notes(&busy(), &close), "");
    let apart = notes(&Machine::default(), &busy());
    assert!(apart.contains("phase load: the sources disagree") && apart.contains("2 %"), "{apart}");
    // It is Prometheus that is believed.
    let mut run = seen_twice(&Machine::default(), &busy());
    settle(&mut run);
    assert_eq!(under_load(&analyze(&run)).kind, Kind::None);
}
