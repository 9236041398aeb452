//! Nodes against resources, at a glance; of many nodes those that matter.

use super::tone;
use crate::{
    analyze::outcome::{Analysis, Kind, PhaseOutcome},
    model::{run::Run, units::three_digits},
};

/// A cell of the matrix of nodes and resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct Cell {
    pub(in crate::report) tone: &'static str,
    pub(in crate::report) mark: &'static str,
    pub(in crate::report) word: String,
    pub(in crate::report) detail: String,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct MatrixRow {
    pub(in crate::report) node: String,
    pub(in crate::report) source: String,
    pub(in crate::report) cells: Vec<Cell>,
}

/// Nodes that are shown in detail; of more, those nearest to a limit.
pub(in crate::report) const MOST_NODES: usize = 20;
/// Nodes that have a row in the matrix.
const MOST_ROWS: usize = 60;

/// The nodes as the page shows them: as the scenario has them, or of many those
/// first that are nearest to a limit.
pub(in crate::report) fn order(analysis: &Analysis) -> Vec<usize> {
    let mut order: Vec<usize> = (0..analysis.nodes.len()).collect();
    if order.len() > MOST_NODES {
        let nearness = |at: &usize| {
            let phases = analysis.nodes.get(*at).into_iter().flat_map(|node| &node.phases);
            phases.fold((0, 0.0), |(strength, used), phase| {
                let most = phase.ranking.iter().filter_map(|ranked| ranked.utilization);
                (strength.max(phase.verdict.kind.strength()), most.fold(used, f64::max))
            })
        };
        order.sort_by(|a, b| {
            let (a, b) = (nearness(a), nearness(b));
            b.0.cmp(&a.0).then_with(|| b.1.total_cmp(&a.1))
        });
    }
    order
}

pub(super) fn more(nodes: usize) -> String {
    let mut words = Vec::new();
    if nodes > MOST_NODES {
        words.push(format!(
            "The {MOST_NODES} of {nodes} nodes that are nearest to a limit are shown in detail"
        ));
    }
    if nodes > MOST_ROWS {
        words.push(format!("{MOST_ROWS} of them have a row here"));
    }
    if words.is_empty() {
        return String::new();
    }
    format!("{}. All of them are in verdict.json.", words.join(", "))
}

/// Per node the worst of each resource over the phases under load; over all
/// phases when there was no load.
pub(super) fn matrix(
    analysis: &Analysis,
    run: &Run,
    order: &[usize],
) -> (Vec<String>, Vec<MatrixRow>) {
    const ALWAYS: [&str; 6] = ["cpu", "cpu-core", "memory", "disk", "network", "filesystem"];
    let loaded = |phase: &&PhaseOutcome| {
        run.manifest.phases.get(phase.index).is_some_and(|record| !record.loads.is_empty())
    };
    let any_load = run.manifest.phases.iter().any(|phase| !phase.loads.is_empty());
    let relevant = |phase: &&PhaseOutcome| !any_load || loaded(phase);
    let mut columns: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    for phase in analysis.nodes.iter().flat_map(|node| &node.phases).filter(relevant) {
        for ranked in
            phase.ranking.iter().filter(|ranked| ranked.kind.strength() >= Kind::Near.strength())
        {
            if !columns.contains(&ranked.resource) {
                columns.push(ranked.resource.clone());
            }
        }
    }
    let rows = order
        .iter()
        .take(MOST_ROWS)
        .filter_map(|at| analysis.nodes.get(*at))
        .map(|node| MatrixRow {
            node: node.node.clone(),
            source: node.source.to_owned(),
            cells: columns
                .iter()
                .map(|column| {
                    let worst = node
                        .phases
                        .iter()
                        .filter(relevant)
                        .flat_map(|phase| &phase.ranking)
                        .filter(|ranked| ranked.resource == *column)
                        .max_by(|a, b| {
                            a.kind.strength().cmp(&b.kind.strength()).then_with(|| {
                                a.utilization
                                    .unwrap_or(0.0)
                                    .total_cmp(&b.utilization.unwrap_or(0.0))
                            })
                        });
                    match worst {
                        None => Cell {
                            tone: "plain",
                            mark: "?",
                            word: "not observed".to_owned(),
                            detail: String::new(),
                        },
                        Some(ranked) => {
                            let (tone, mark) = tone(ranked.kind);
                            let used = ranked.utilization.map_or_else(String::new, |used| {
                                format!("{} %", three_digits(used * 100.0))
                            });
                            let device = if used.is_empty() {
                                String::new()
                            } else {
                                ranked.device.clone().unwrap_or_default()
                            };
                            let detail = [used, device]
                                .into_iter()
                                .filter(|part| !part.is_empty())
                                .collect::<Vec<_>>()
                                .join(", ");
                            Cell { tone, mark, word: ranked.kind.name().to_owned(), detail }
                        }
                    }
                })
                .collect(),
        })
        .collect();
    (columns, rows)
}
