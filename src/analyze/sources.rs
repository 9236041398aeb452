//! Two sources that saw the same node: whether they agree, and which of them
//! the verdict rests on.

use super::{
    assess::{FEWEST_SAMPLES, LEAST_COVERAGE},
    data_of,
};
use crate::model::{
    catalogue::SIGNALS,
    run::{NodeData, Run, SourceKind},
    series::{Signal, SignalSet},
    stats::Stat,
    time::Window,
    units::Unit,
};

/// Difference of two means, as a share of full scale, that is no rounding: five
/// times what two readers of one machine differ by (3 %, measured by the tests
/// that hold the sources against one another).
const APART: f64 = 0.15;
/// Of a phase's samples, below which a source was blind.
const BLIND: f64 = 0.5;

/// Have each node judged by a source that saw it: by its Prometheus, and where
/// that was blind for a phase that the node's own sampler saw, by the sampler.
/// What the reader must know becomes notes of the run.
pub fn settle(run: &mut Run) {
    let windows: Vec<(String, Window)> = run
        .manifest
        .phases
        .iter()
        .filter(|phase| phase.probe.is_none())
        .map(|phase| (phase.label(), run.steady(phase)))
        .collect();
    let mut notes = Vec::new();
    for node in &mut run.nodes {
        let Some(own) = node.beside.take() else { continue };
        let blind = windows.iter().find_map(|(label, window)| {
            let (far, near) = (data_of(&node.signals, *window), data_of(&own, *window));
            let is_blind = far.samples < FEWEST_SAMPLES || !far.covers(BLIND);
            let sees = near.samples >= FEWEST_SAMPLES && near.covers(LEAST_COVERAGE);
            (is_blind && sees).then(|| {
                format!(
                    "{}, phase {label}: Prometheus has {} of {} samples, and the node's own sampler {} of {}; the verdict on this node rests on its sampler",
                    node.record.name, far.samples, far.expected, near.samples, near.expected
                )
            })
        });
        if let Some(note) = blind {
            notes.push(note);
            node.record.source = SourceKind::Embedded;
            node.record.interval_s = own.interval_s;
            node.record.window_s = own.interval_s;
            node.signals = own;
        } else {
            notes.extend(disagreement(node, &own, &windows));
        }
    }
    run.manifest.notes.extend(notes);
}

/// The share that the two sources differ by most, if they do.
fn disagreement(node: &NodeData, own: &SignalSet, windows: &[(String, Window)]) -> Option<String> {
    let mean = |signal: &Signal, window| {
        let is_enough = signal.slice(window).len() >= FEWEST_SAMPLES;
        is_enough.then(|| signal.stat(Stat::Mean, window)).flatten()
    };
    let mut worst: Option<(f64, String)> = None;
    for row in SIGNALS.iter().filter(|row| row.in_prometheus && row.unit == Unit::Ratio) {
        for far in node.signals.all(row.name) {
            let Some(near) = own.get(row.name, far.device.as_deref()) else { continue };
            for (label, window) in windows {
                let (Some(a), Some(b)) = (mean(far, *window), mean(near, *window)) else {
                    continue;
                };
                let apart = (a - b).abs();
                if apart < APART || worst.as_ref().is_some_and(|(most, _)| apart <= *most) {
                    continue;
                }
                let device =
                    far.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
                worst = Some((
                    apart,
                    format!(
                        "{}, phase {label}: the sources disagree: {}{device} is {} by Prometheus and {} by the node's own sampler. Is its `instance` another machine's, or is one of the two in a container?",
                        node.record.name,
                        row.name,
                        row.unit.show(a),
                        row.unit.show(b)
                    ),
                ));
            }
        }
    }
    worst.map(|(_, note)| note)
}
