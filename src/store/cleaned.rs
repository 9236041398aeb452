//! Texts of a run, made visible before anything shows them: names and labels come from
//! servers, notes quote what servers and nodes said.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{
    run::{Event, Manifest, Run, WorkerInterval},
    series::{Change, SignalSet},
    text::{LONGEST_MESSAGE, LONGEST_NAME, short, visible_lines},
};

/// Make every text of a run visible, and cut those that are too long to be one.
pub(super) fn clean(run: &mut Run) {
    run.scenario = visible_lines(&run.scenario).into_owned();
    run.manifest = manifest(&run.manifest);
    for node in &mut run.nodes {
        let record = serde_json::to_value(&node.record).ok().map(cleaned);
        if let Some(record) = record.and_then(|value| serde_json::from_value(value).ok()) {
            node.record = record;
        }
        signals(&mut node.signals);
        node.beside.iter_mut().for_each(signals);
    }
    run.events.iter_mut().for_each(event);
    run.workers.iter_mut().for_each(worker);
    for gate in &mut run.thresholds {
        gate.device = gate.device.take().map(|device| short(&device, LONGEST_NAME));
    }
}

fn manifest(given: &Manifest) -> Manifest {
    let value = serde_json::to_value(given).ok().map(cleaned);
    // Our own type always survives its own text.
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_else(|| given.clone())
}

/// A document with every text in it made visible.
fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(short(&text, 4 * LONGEST_MESSAGE)),
        Value::Array(items) => Value::Array(items.into_iter().map(cleaned).collect()),
        Value::Object(keys) => Value::Object(
            keys.into_iter()
                .map(|(key, value)| (short(&key, LONGEST_NAME), cleaned(value)))
                .collect(),
        ),
        other => other,
    }
}

fn signals(set: &mut SignalSet) {
    for signal in set.signals.values_mut().flatten() {
        clean_name(signal.device.as_mut());
    }
    let is_odd = |name: &String| short(name, LONGEST_NAME) != *name;
    if set.signals.keys().any(is_odd) {
        let all = std::mem::take(&mut set.signals);
        for (name, signals) in all {
            set.signals.entry(short(&name, LONGEST_NAME)).or_default().extend(signals);
        }
    }
    for one in &mut set.breaks {
        if let Change::Host { was, is } = &mut one.change {
            clean_name(Some(was));
            clean_name(Some(is));
        }
    }
}

fn event(event: &mut Event) {
    for text in [&mut event.kind, &mut event.node] {
        clean_name(Some(text));
    }
    event.text = short(&event.text, 4 * LONGEST_MESSAGE);
}

fn worker(worker: &mut WorkerInterval) {
    for text in [&mut worker.node, &mut worker.kind, &mut worker.unit] {
        clean_name(Some(text));
    }
    if let Some(fault) = &mut worker.fault {
        *fault = short(fault, LONGEST_MESSAGE);
    }
    if !worker.counts.is_empty() {
        let counts: BTreeMap<String, u64> = std::mem::take(&mut worker.counts);
        worker.counts =
            counts.into_iter().map(|(key, count)| (short(&key, LONGEST_NAME), count)).collect();
    }
}

/// Most names are plain and short, and stay where they are.
fn clean_name(name: Option<&mut String>) {
    if let Some(name) = name
        && !(name.len() <= LONGEST_NAME && name.bytes().all(|byte| matches!(byte, 0x20..=0x7e)))
    {
        *name = short(name, LONGEST_NAME);
    }
}
