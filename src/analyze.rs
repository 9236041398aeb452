//! From series to a verdict. Pure: a run in, an analysis out; nothing here
//! reads a file, a clock or an environment.
//!
//! ```text
//! sources.rs       which source a node is judged by, where two saw it
//! resources/*.rs   what each resource's signals mean: thresholds, relations
//! coverage.rs      what the samples of a window cover, and where it is split
//! sight.rs         what of a node was not seen, and what watching it cost
//! shares.rs        how much of the machine a limit binds
//! assess.rs        one resource, one device, one window -> Assessment
//! verdict.rs       all assessments of a phase -> Verdict, ranking
//! fleet.rs         all nodes: who was first, who is well, who is unlike the others
//! ```

pub mod assess;
mod fleet;
pub mod gates;
pub mod manual;
pub mod outcome;
pub mod resources;
pub mod sources;
pub mod workload;

#[cfg(test)]
mod cases;
mod cause;
mod coverage;
mod onset;
mod shares;
mod sight;
mod verdict;
mod words;

use crate::model::{
    run::{NodeData, PhaseRecord, Run, State},
    series::SignalSet,
    time::{Timestamp, Window},
};
use outcome::{Analysis, Data, Level, NodeOutcome, Overall, PhaseOutcome, Validity};

/// Judge a run.
pub fn analyze(run: &Run) -> Analysis {
    let own = workload::signals(run);
    let loads = workload::summaries(run);
    let nodes: Vec<NodeOutcome> = run
        .nodes
        .iter()
        .map(|node| {
            let here = workload::signals_of(run, &node.record);
            NodeOutcome {
                node: node.record.name.clone(),
                source: node.record.source.name(),
                phases: (0..run.manifest.phases.len())
                    .filter_map(|index| verdict::phase(run, node, index, &here, &loads))
                    .collect(),
            }
        })
        .collect();
    Analysis {
        schema: 1,
        run: run.manifest.id.clone(),
        state: run.manifest.state.name(),
        overall: overall(&nodes, run),
        validity: validity(run, &nodes),
        thresholds: gates::judge(run, &own),
        loads,
        fleet: fleet::fleet(run, &nodes),
        nodes,
    }
}

/// How many samples a phase has of a node, and how many it should have.
fn data(run: &Run, node: &NodeData, phase: &PhaseRecord) -> Data {
    data_of(&node.signals, run.steady(phase))
}

/// The same of any signals and window.
fn data_of(signals: &SignalSet, window: Window) -> Data {
    let interval_s = signals.interval_s.max(0.001);
    let times: Vec<_> = signals.times.iter().copied().filter(|t| window.contains(*t)).collect();
    let gaps = times
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if b.since(*a) > 1.5 * interval_s))
        .count();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let expected = (window.seconds() / interval_s).round() as usize;
    Data { samples: times.len(), expected, gaps, interval_s }
}

/// A phase of a node, with its verdict.
type Judged<'a> = (&'a NodeOutcome, &'a PhaseOutcome);

/// The strongest verdict of all nodes and phases under load; among equals that of
/// the first phase, and of its nodes the one that got there first.
fn overall(nodes: &[NodeOutcome], run: &Run) -> Option<Overall> {
    let all: Vec<Judged<'_>> = nodes
        .iter()
        .flat_map(|node| fleet::judged(run, node).map(move |phase| (node, phase)))
        .collect();
    let rank = |(_, phase): &Judged<'_>| {
        (phase.verdict.kind.strength(), phase.verdict.grade, std::cmp::Reverse(phase.index))
    };
    let best = all.iter().map(rank).max()?;
    let equals: Vec<Judged<'_>> = all.into_iter().filter(|one| rank(one) == best).collect();
    earliest(&equals).or(equals.first().copied()).map(|(node, phase)| Overall {
        node: node.node.clone(),
        phase: phase.phase.clone(),
        level: phase.level,
        resource: phase.verdict.resource.clone(),
        device: phase.verdict.device.clone(),
        kind: phase.verdict.kind,
        grade: phase.verdict.grade,
        cause: phase.verdict.cause,
        since: phase.verdict.since,
        statement: phase.verdict.statement.clone(),
    })
}

/// The one whose limit was reached first. What lies within a sample of one another
/// happened at once, and then the first node counts.
fn earliest<'a>(all: &[Judged<'a>]) -> Option<Judged<'a>> {
    let first = all.iter().filter_map(|(_, phase)| phase.verdict.since).min()?;
    all.iter().find(|(_, phase)| at_once(first, phase)).copied()
}

/// Whether a phase's limit was reached within a sample of this moment.
fn at_once(first: Timestamp, phase: &PhaseOutcome) -> bool {
    phase.verdict.since.is_some_and(|since| since.since(first) <= phase.data.interval_s)
}

/// Problems that are told one by one: a fleet without data is one problem, not
/// a thousand.
const MOST_TOLD: usize = 10;

/// Scrapes that the load itself made fail.
const OVERLOADED: &str =
    "; it answered before the load and not under it, which is itself a sign that it is overloaded";

/// Whether a node was scraped well before its load and badly under it.
fn stopped_answering(run: &Run, node: &NodeOutcome, phase: &PhaseOutcome) -> bool {
    let is_loaded = |one: &PhaseOutcome| {
        run.manifest.phases.get(one.index).is_some_and(|record| !record.loads.is_empty())
    };
    let mut before = node.phases.iter().filter(|one| one.index < phase.index && !is_loaded(one));
    let answered = before.next_back().is_some_and(|quiet| {
        quiet.data.samples >= assess::FEWEST_SAMPLES && quiet.data.covers(assess::LEAST_COVERAGE)
    });
    node.source == "prometheus" && is_loaded(phase) && answered
}

/// Whether the data can carry the verdict, and why not.
fn validity(run: &Run, nodes: &[NodeOutcome]) -> Validity {
    let mut problems = Vec::new();
    match run.manifest.state {
        State::Failed => problems.push(format!(
            "the run failed: {}",
            run.manifest.stopped.as_deref().unwrap_or("no reason was kept")
        )),
        State::Running => problems.push("the run is still going on".to_owned()),
        State::Complete | State::Interrupted | State::Aborted => (),
    }
    if run.manifest.phases.is_empty() {
        problems.push("no phase took place".to_owned());
    }
    for node in nodes {
        for phase in &node.phases {
            let data = &phase.data;
            if data.samples < assess::FEWEST_SAMPLES {
                problems.push(format!(
                    "{}, phase {}: {} samples; {} are the least for a verdict",
                    node.node,
                    phase.phase,
                    data.samples,
                    assess::FEWEST_SAMPLES
                ));
            } else if !data.covers(assess::LEAST_COVERAGE) {
                problems.push(format!(
                    "{}, phase {}: {} of {} samples are there{}",
                    node.node,
                    phase.phase,
                    data.samples,
                    data.expected,
                    if stopped_answering(run, node, phase) { OVERLOADED } else { "" }
                ));
            }
        }
    }
    let untold = problems.len().saturating_sub(MOST_TOLD);
    let mut notes: Vec<String> = problems.iter().take(MOST_TOLD).cloned().collect();
    if untold > 0 {
        notes.push(format!("and {untold} more nodes or phases with too few samples"));
    }
    if matches!(run.manifest.state, State::Interrupted | State::Aborted) {
        let reason = run.manifest.stopped.as_deref().unwrap_or("no reason was kept");
        notes.push(format!("the run ended early: {reason}"));
    }
    let caveats = &run.manifest.caveats;
    notes.extend(caveats.iter().map(|caveat| caveat.text.clone()));
    notes.extend(run.manifest.notes.iter().cloned());
    notes.extend(run.nodes.iter().flat_map(|node| sight::notes(run, node)).take(MOST_TOLD));
    let is_qualified = nodes.iter().flat_map(|node| &node.phases).any(|phase| phase.is_qualified);
    let level = match problems.is_empty() {
        true if caveats.is_empty() && !is_qualified => Level::Valid,
        true => Level::Degraded,
        false => Level::Invalid,
    };
    Validity { ok: problems.is_empty(), level, notes }
}
