//! What makes the answers of a Prometheus doubtful.

use std::collections::BTreeSet;

use crate::{
    model::run::{Caveat, NodeRecord},
    telemetry::prometheus::source::Collected,
};

/// What the reader must know of what was read, and what makes it doubtful.
pub(super) fn of(collected: &Collected, nodes: &[NodeRecord]) -> (Vec<String>, Vec<Caveat>) {
    let failed: BTreeSet<&str> = collected.failed.iter().map(|(_, why)| why.as_str()).collect();
    let mut notes: Vec<String> =
        failed.into_iter().map(|reason| format!("Prometheus: {reason}")).collect();
    notes.extend(collected.companions_failed.iter().map(|reason| {
        format!(
            "series of other exporters (containers, GPUs, cloud allowances) were not read: {reason}"
        )
    }));
    let mut caveats = Vec::new();
    for warning in &collected.warnings {
        let text = format!(
            "Prometheus warned that its answer may be incomplete ({warning}): query an endpoint that has all the data"
        );
        caveats.push(Caveat { node: None, text });
    }
    if !collected.failed.is_empty() {
        let mut names: Vec<&str> = collected.failed.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        let text = format!("signals could not be read: {}", names.join(", "));
        caveats.push(Caveat { node: None, text });
    }
    let name_of = |key: &str| {
        let found = nodes.iter().find(|node| node.series_key() == key);
        found.map_or_else(|| key.to_owned(), |node| node.name.clone())
    };
    for (machine, labels) in &collected.strays.conflicts {
        let name = name_of(machine);
        let text = format!(
            "series of {name} differ in the label {} and were left out, as it is not known which of them describe it: select the right one with telemetry.match (--match)",
            labels.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        caveats.push(Caveat { node: Some(name), text });
    }
    for (instance, labels) in &collected.strays.unknown {
        notes.push(format!(
            "series of {instance} with the labels {labels} belong to no machine that was found, and were left out"
        ));
    }
    (notes, caveats)
}
