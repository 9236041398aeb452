//! The scenario's thresholds, judged on every node and phase they name.

use regex_lite::Regex;

use super::outcome::Gate;
use crate::model::{
    catalogue,
    run::{Run, Threshold},
    series::{Signal, SignalSet},
    time::Window,
    units::Unit,
};

/// Judge all thresholds. One that has no data does not hold: a gate that
/// cannot be seen to hold must not pass.
pub(super) fn judge(run: &Run, own: &SignalSet) -> Vec<Gate> {
    run.thresholds.iter().flat_map(|threshold| judge_one(run, own, threshold)).collect()
}

fn judge_one(run: &Run, own: &SignalSet, threshold: &Threshold) -> Vec<Gate> {
    let matcher = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).ok();
    let (Some(node_pattern), Some(phase_pattern)) =
        (matcher(&threshold.node), matcher(&threshold.phase))
    else {
        return Vec::new();
    };
    let ours = threshold.signal.starts_with("load_");
    let mut gates = Vec::new();
    for node in run.nodes.iter().filter(|node| node_pattern.is_match(&node.record.name)) {
        if ours && !node.record.loaded {
            continue;
        }
        for phase in run.manifest.phases.iter().filter(|phase| phase_pattern.is_match(&phase.name))
        {
            let signals = if ours { own } else { &node.signals };
            let window = run.steady(phase);
            gates.push(gate(threshold, signals, window, &node.record.name, &phase.label()));
        }
    }
    if gates.is_empty() {
        let limit = threshold.max.or(threshold.min).unwrap_or(f64::NAN);
        gates.push(Gate {
            signal: threshold.signal.clone(),
            device: threshold.device.clone(),
            node: threshold.node.clone(),
            phase: threshold.phase.clone(),
            stat: threshold.stat.name(),
            ok: false,
            value: None,
            limit,
            unit: unit(threshold).name(),
            text: format!(
                "no node {:?} with a phase {:?} took place",
                threshold.node, threshold.phase
            ),
        });
    }
    gates
}

fn gate(
    threshold: &Threshold,
    signals: &SignalSet,
    window: Window,
    node: &str,
    phase: &str,
) -> Gate {
    let wanted = |signal: &&Signal| threshold.device.is_none() || signal.device == threshold.device;
    let values: Vec<(f64, Option<String>)> = signals
        .all(&threshold.signal)
        .iter()
        .filter(wanted)
        .filter_map(|signal| Some((signal.stat(threshold.stat, window)?, signal.device.clone())))
        .collect();
    // The worst device counts: the largest against a maximum, else the smallest.
    let worst = if threshold.max.is_some() {
        values.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))
    } else {
        values.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let unit = unit(threshold);
    let (value, device) =
        worst.map_or((None, threshold.device.clone()), |(v, device)| (Some(v), device));
    let over = value.zip(threshold.max).is_some_and(|(value, max)| value > max);
    let under = value.zip(threshold.min).is_some_and(|(value, min)| value < min);
    let limit = if under { threshold.min } else { threshold.max.or(threshold.min) };
    let limit = limit.unwrap_or(f64::NAN);
    let text = match value {
        None => "no sample of it in this phase".to_owned(),
        Some(value) => {
            let side = if under || threshold.max.is_none() { "at least" } else { "at most" };
            format!("{} where {side} {} is allowed", unit.show(value), unit.show(limit))
        }
    };
    Gate {
        signal: threshold.signal.clone(),
        device,
        node: node.to_owned(),
        phase: phase.to_owned(),
        stat: threshold.stat.name(),
        ok: value.is_some() && !over && !under,
        value,
        limit,
        unit: unit.name(),
        text,
    }
}

fn unit(threshold: &Threshold) -> Unit {
    catalogue::unit_of(&threshold.signal).unwrap_or(Unit::Count)
}
