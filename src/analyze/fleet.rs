//! Several nodes in one sentence: who gave out first, who is well, and who is
//! unlike the others under the same load.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Judged, at_once, earliest,
    outcome::{Apart, First, Fleet, Kind, NodeOutcome, PhaseOutcome},
    workload::{at_work, journal_name},
};
use crate::model::{
    catalogue::SIGNALS,
    run::{NodeData, PhaseRecord, Run, WorkerInterval},
    stats::{self, Stat},
    time::Window,
    units::Unit,
};

/// Nodes that make "the others".
const FEWEST_PEERS: usize = 3;
/// A modified z-score beyond this is an outlier (Iglewicz and Hoaglin 1993, who
/// propose 3.5).
const OUTLIER: f64 = 3.5;
/// The median absolute deviation of normal values, as a share of their standard
/// deviation.
const MAD_OF_NORMAL: f64 = 0.6745;
/// Of full scale: a smaller difference is of no consequence, however alike the
/// others are.
const WORTH_A_WORD: f64 = 0.15;
/// Of the others' median: the same for what has no full scale.
const WORTH_A_WORD_RELATIVE: f64 = 0.2;
/// Of the median of what is asked: loads that differ by less are the same. A rate
/// that is kept on average differs a little from node to node.
const ALIKE: f64 = 0.1;
/// Differences that are told; a fleet has many.
const MOST_APART: usize = 10;

/// The fleet's verdict; `None` for a single node.
pub(super) fn fleet(run: &Run, nodes: &[NodeOutcome]) -> Option<Fleet> {
    if nodes.len() < 2 {
        return None;
    }
    let mut fleet = Fleet {
        first: first(run, nodes),
        at_limit: Vec::new(),
        near: Vec::new(),
        healthy: Vec::new(),
        unknown: Vec::new(),
        apart: apart(run),
        statement: String::new(),
    };
    for node in nodes {
        let worst =
            judged(run, node).map(|phase| phase.verdict.kind).max_by_key(|kind| kind.strength());
        let is_doubtful = judged(run, node).any(|phase| phase.is_qualified);
        let list = match worst {
            // Nothing at a limit in a part of the window is not healthy in all of it.
            Some(Kind::None | Kind::Idle) if is_doubtful => &mut fleet.unknown,
            Some(Kind::Saturated | Kind::Full) => &mut fleet.at_limit,
            Some(Kind::Near) => &mut fleet.near,
            Some(Kind::None | Kind::Idle) => &mut fleet.healthy,
            Some(Kind::Unknown) | None => &mut fleet.unknown,
        };
        list.push(node.node.clone());
    }
    fleet.statement = statement(&fleet, nodes.len());
    Some(fleet)
}

/// The phases that count: those under load, where there are any, and no tests of
/// a verdict.
pub(super) fn judged<'a>(
    run: &'a Run,
    node: &'a NodeOutcome,
) -> impl Iterator<Item = &'a PhaseOutcome> {
    let any_load = run.manifest.phases.iter().any(|record| !record.loads.is_empty());
    node.phases.iter().filter(move |phase| {
        run.manifest
            .phases
            .get(phase.index)
            .is_some_and(|record| record.probe.is_none() && (!any_load || !record.loads.is_empty()))
    })
}

/// The limit that was reached first, and by whom else at once.
fn first(run: &Run, nodes: &[NodeOutcome]) -> Option<First> {
    let all: Vec<Judged<'_>> = nodes
        .iter()
        .flat_map(|node| judged(run, node).map(move |phase| (node, phase)))
        .filter(|(_, phase)| matches!(phase.verdict.kind, Kind::Saturated | Kind::Full))
        .collect();
    let (node, phase) = earliest(&all)?;
    let since = phase.verdict.since?;
    let others: BTreeSet<&str> = all
        .iter()
        .filter(|(other, phase)| other.node != node.node && at_once(since, phase))
        .map(|(other, _)| other.node.as_str())
        .collect();
    Some(First {
        node: node.node.clone(),
        phase: phase.phase.clone(),
        resource: phase.verdict.resource.clone(),
        device: phase.verdict.device.clone(),
        kind: phase.verdict.kind,
        since,
        at_once: others.into_iter().map(str::to_owned).collect(),
    })
}

/// A figure of nodes that can be held against one another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Figure {
    /// A share of the catalogue, of the whole node or its busiest device.
    Share(&'static str),
    /// Operations each second of one load.
    Work(usize),
}

/// What a node's workers did in a phase.
type Done<'a> = Vec<&'a WorkerInterval>;

/// Nodes that are unlike those under the same load, the most unlike first.
fn apart(run: &Run) -> Vec<Apart> {
    let mut all: Vec<(f64, Apart)> = Vec::new();
    for (index, phase) in run.manifest.phases.iter().enumerate() {
        if phase.probe.is_some() || phase.loads.is_empty() {
            continue;
        }
        let mut done: BTreeMap<&str, Done<'_>> = BTreeMap::new();
        for one in at_work(run).filter(|one| one.phase == index) {
            done.entry(&one.node).or_default().push(one);
        }
        let mut groups: BTreeMap<BTreeSet<usize>, Vec<(&NodeData, &Done<'_>)>> = BTreeMap::new();
        for node in &run.nodes {
            let Some(done) = journal_name(&node.record).and_then(|name| done.get(name)) else {
                continue;
            };
            let carried = done.iter().map(|one| one.load).collect();
            groups.entry(carried).or_default().push((node, done));
        }
        for mut nodes in groups.into_values() {
            asked_alike(&mut nodes);
            if nodes.len() >= FEWEST_PEERS {
                all.extend(unlike(run, phase, &nodes));
            }
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().map(|(_, apart)| apart).take(MOST_APART).collect()
}

/// Leave out nodes of which more or less is asked: a `set` of theirs, or a share of
/// a larger machine.
fn asked_alike(nodes: &mut Vec<(&NodeData, &Done<'_>)>) {
    let asked = |done: &Done<'_>, load: usize| {
        let mine = done.iter().filter(|one| one.load == load);
        stats::mean(&mine.filter_map(|one| one.requested).collect::<Vec<_>>())
    };
    let loads: BTreeSet<usize> =
        nodes.iter().flat_map(|(_, done)| done.iter().map(|one| one.load)).collect();
    for load in loads {
        let all: Vec<f64> = nodes.iter().filter_map(|(_, done)| asked(done, load)).collect();
        let Some(median) = stats::median(&all) else { continue };
        nodes.retain(|(_, done)| {
            asked(done, load).is_some_and(|own| (own - median).abs() <= ALIKE * median)
        });
    }
}

/// Of nodes under the same load, those whose figures stand out, with how much.
fn unlike(run: &Run, phase: &PhaseRecord, nodes: &[(&NodeData, &Done<'_>)]) -> Vec<(f64, Apart)> {
    let mut figures: BTreeMap<Figure, Vec<(&NodeData, f64)>> = BTreeMap::new();
    for (node, done) in nodes {
        for (figure, value) in of_node(run.steady(phase), node, done) {
            figures.entry(figure).or_default().push((node, value));
        }
    }
    let kind = |load: usize| {
        let first = nodes.iter().flat_map(|(_, done)| *done).find(|one| one.load == load);
        first.map_or_else(String::new, |one| one.kind.clone())
    };
    let mut found = Vec::new();
    for (figure, values) in figures.iter().filter(|(_, values)| values.len() >= FEWEST_PEERS) {
        let plain: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
        let Some(median) = stats::median(&plain) else { continue };
        let deviations: Vec<f64> = plain.iter().map(|value| (value - median).abs()).collect();
        let spread = stats::median(&deviations).unwrap_or(0.0) / MAD_OF_NORMAL;
        let (signal, unit, what, least) = match figure {
            Figure::Share(name) => (*name, Unit::Ratio, format!("{name} is"), WORTH_A_WORD),
            Figure::Work(load) => {
                let what = format!("its {} load does", kind(*load));
                ("load_operations", Unit::PerSecond, what, WORTH_A_WORD_RELATIVE * median)
            }
        };
        for (node, value) in values {
            let away = (value - median).abs();
            if away <= least.max(OUTLIER * spread) {
                continue;
            }
            let scale = if unit == Unit::Ratio { 1.0 } else { median.max(*value) };
            let (name, label) = (&node.record.name, phase.label());
            let text = format!(
                "{name} is unlike the {} others under the same load, phase {label}: {what} {}, against a median of {}",
                nodes.len() - 1,
                unit.show(*value),
                unit.show(median)
            );
            let apart = Apart {
                node: name.clone(),
                phase: label,
                signal: signal.to_owned(),
                unit: unit.name(),
                value: *value,
                median,
                text,
            };
            found.push((away / scale, apart));
        }
    }
    found
}

/// What is compared of a node.
fn of_node(window: Window, node: &NodeData, done: &Done<'_>) -> Vec<(Figure, f64)> {
    let mut figures = Vec::new();
    for row in SIGNALS.iter().filter(|row| row.in_prometheus && row.unit == Unit::Ratio) {
        let busiest = node
            .signals
            .all(row.name)
            .iter()
            .filter_map(|signal| signal.stat(Stat::Mean, window))
            .max_by(f64::total_cmp);
        figures.extend(busiest.map(|value| (Figure::Share(row.name), value)));
    }
    let mut work: BTreeMap<usize, f64> = BTreeMap::new();
    for one in done {
        *work.entry(one.load).or_default() += one.operations as f64;
    }
    let seconds = window.seconds().max(1e-3);
    figures.extend(work.into_iter().map(|(load, done)| (Figure::Work(load), done / seconds)));
    figures
}

fn statement(fleet: &Fleet, all: usize) -> String {
    if fleet.healthy.len() == all {
        return format!("All {all} nodes are healthy.");
    }
    let mut parts = Vec::new();
    let mut part = |nodes: &[String], one: &str, many: &str| match nodes.len() {
        0 => (),
        1 => parts.push(format!("{} {one}", listed(nodes))),
        count => parts.push(format!("{count} {many} ({})", listed(nodes))),
    };
    part(&fleet.at_limit, "is at a limit", "are at a limit");
    part(&fleet.near, "is near one", "are near one");
    part(&fleet.healthy, "is healthy", "are healthy");
    part(&fleet.unknown, "cannot be judged", "cannot be judged");
    let mut text = format!("Of {all} nodes {}.", parts.join(", "));
    if let Some(first) = &fleet.first {
        let device = first.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
        let limit = format!("{}{device}", first.resource);
        if first.at_once.is_empty() {
            text += &format!(
                " The first to reach it was {}, on {limit}, from {} UTC.",
                first.node,
                first.since.clock()
            );
        } else {
            text += &format!(
                " The first to reach one was {}, on {limit}, from {} UTC; within a sample of it also {}.",
                first.node,
                first.since.clock(),
                listed(&first.at_once)
            );
        }
    }
    text
}

/// Names, as many as can be read.
fn listed(nodes: &[String]) -> String {
    const MOST: usize = 6;
    let names = nodes.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match nodes.len().checked_sub(MOST) {
        None | Some(0) => names,
        Some(more) => format!("{names} and {more} more"),
    }
}
