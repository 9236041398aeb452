//! From the checked tree to the plan, and what only the whole can show:
//! contradictions between keys.

mod loads;
mod probes;
pub(super) mod setup;
mod size;
mod telemetry;

use std::{collections::BTreeSet, ops::Range, path::PathBuf, time::Duration};

use loads::{at_level, load_plan};
use size::{MOST_LOADS, MOST_PHASES, too_many};

use super::{
    check::number,
    diagnostic::Diagnostic,
    plan::{Abort, FleetPlan, LoadPlan, NodePlan, PhasePlan, Plan, Way},
    tree::{Node, Table, Value},
};
use crate::model::{
    run::{Level, Threshold},
    stats::Stat,
    units,
};

/// The plan, or `None` where a value is missing that `check` has reported.
pub(super) fn plan(root: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Plan> {
    let table = root.table()?;
    let mut names = BTreeSet::new();
    let (mut phases, mut loads) = (Vec::new(), 0);
    for node in table.tables("phase") {
        if let Some(name) = node.table().and_then(|phase| phase.get("name"))
            && let Some(text) = name.text()
            && !names.insert(text.to_owned())
        {
            diagnostics.push(
                Diagnostic::new(name.span.clone(), format!("phase {text:?} stands twice"))
                    .hint("give it another name: thresholds and reports refer to it"),
            );
        }
        let more = phase(node, diagnostics).unwrap_or_default();
        let sum: usize = more.iter().map(|phase| phase.loads.len()).sum();
        loads += sum;
        if phases.len() + more.len() > MOST_PHASES || loads > MOST_LOADS {
            diagnostics.push(too_many(&node.span, phases.len() + more.len(), loads));
            return None;
        }
        phases.extend(more);
    }
    if let Some(node) = table.get("phase")
        && table.tables("phase").next().is_none()
        && matches!(node.value, Value::List(_))
    {
        diagnostics.push(Diagnostic::new(node.span.clone(), "there is no phase"));
    }
    if table.flag("confirm") == Some(true) {
        let hold = table.duration("confirm_hold").unwrap_or(Duration::from_secs(8));
        if let Some(wrong) = size::of_probes(&phases) {
            let place = table.get("confirm").map_or(root.span.clone(), |node| node.span.clone());
            diagnostics.push(wrong(place));
            return None;
        }
        phases = probes::inserted(phases, hold);
    }
    let nodes: Vec<NodePlan> =
        table.tables("node").filter_map(|node| node_plan(node, diagnostics)).collect();
    repeated_nodes(table, diagnostics);
    Some(Plan {
        name: table.text("name")?,
        description: table.text("description").unwrap_or_default(),
        telemetry: table
            .get("telemetry")
            .and_then(|node| Some(telemetry::telemetry_plan(node, node.table()?, diagnostics)))
            .unwrap_or_default(),
        nodes,
        phases,
        thresholds: table
            .tables("threshold")
            .filter_map(|node| threshold(node, diagnostics))
            .collect(),
        allow_targets: table.texts("allow_targets"),
        max_duration: table.duration("max_duration").unwrap_or(Duration::from_secs(24 * 60 * 60)),
        fleet: fleet_plan(table.get("fleet").and_then(Node::table)),
        aborts: table.tables("abort").filter_map(|node| abort(node, diagnostics)).collect(),
    })
}

/// Where a node's `set` stands.
pub(super) fn place_of_set(root: &Node, name: &str) -> Range<usize> {
    let nodes = root.table().into_iter().flat_map(|table| table.tables("node"));
    let table =
        nodes.filter_map(Node::table).find(|node| node.text("name").as_deref() == Some(name));
    table.and_then(|node| node.get("set")).map_or(0..0, |set| set.span.clone())
}

fn repeated_nodes(table: &Table, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    for name in table.tables("node").filter_map(|node| node.table()?.get("name")) {
        if name.text().is_some_and(|text| !seen.insert(text)) {
            diagnostics.push(Diagnostic::new(name.span.clone(), "this node stands twice"));
        }
    }
}

/// Keys that say how a node is reached; one of them at most.
const WAYS: [&str; 5] = ["ssh", "kubectl", "docker", "srun", "command"];

fn node_plan(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<NodePlan> {
    let table = node.table()?;
    let mut given = WAYS.iter().filter_map(|key| Some((*key, table.get(key)?)));
    let way = given.next().and_then(|(key, way)| self::way(key, way, table, diagnostics));
    let first = WAYS.iter().find(|key| table.get(key).is_some()).copied().unwrap_or_default();
    for (key, node) in given {
        diagnostics.push(
            Diagnostic::new(
                node.span.clone(),
                format!("`{first}` and `{key}` cannot both be used"),
            )
            .hint("keep one way to the node"),
        );
    }
    Some(NodePlan {
        name: table.text("name")?,
        instance: table.text("instance"),
        way,
        set: table.texts("set"),
    })
}

fn way(key: &str, node: &Node, table: &Table, diagnostics: &mut Vec<Diagnostic>) -> Option<Way> {
    if key == "command" {
        let command = table.texts(key);
        if command.is_empty() {
            diagnostics.push(
                Diagnostic::new(node.span.clone(), "`command` is empty")
                    .allowed("a program and its arguments"),
            );
        }
        return (!command.is_empty()).then_some(Way::Command(command));
    }
    let target = node.text()?.to_owned();
    let parts: Vec<&str> = target.split('/').collect();
    // What begins with a dash would be an option of the program.
    let is_bad =
        target.is_empty() || parts.iter().any(|part| part.is_empty() || part.starts_with('-'));
    let has_blank = target.contains(|c: char| c.is_whitespace() || c.is_control());
    let host = target.strip_prefix("ssh://").unwrap_or(&target);
    if has_blank
        || (key == "ssh" && (host.is_empty() || target.starts_with('-') || host.starts_with('-')))
    {
        diagnostics.push(
            Diagnostic::new(node.span.clone(), format!("`{key}` cannot be {target:?}"))
                .allowed("a name without blanks that does not begin with `-`"),
        );
        return None;
    }
    // ssh takes ssh://user@host:port as well.
    if key != "ssh" && (is_bad || parts.len() > if key == "kubectl" { 3 } else { 1 }) {
        let allowed = match key {
            "kubectl" => "POD, NAMESPACE/POD or NAMESPACE/POD/CONTAINER",
            "docker" => "the name of a container",
            _ => "the name of a node",
        };
        diagnostics.push(
            Diagnostic::new(node.span.clone(), format!("`{key}` cannot be {target:?}"))
                .allowed(allowed),
        );
        return None;
    }
    Some(match (key, parts.as_slice()) {
        ("ssh", _) => Way::Ssh(target),
        ("docker", _) => Way::Docker(target),
        ("srun", _) => Way::Srun(target),
        (_, [namespace, pod, container]) => Way::Kubectl {
            namespace: Some((*namespace).to_owned()),
            pod: (*pod).to_owned(),
            container: Some((*container).to_owned()),
        },
        (_, [namespace, pod]) => Way::Kubectl {
            namespace: Some((*namespace).to_owned()),
            pod: (*pod).to_owned(),
            container: None,
        },
        _ => Way::Kubectl { namespace: None, pod: target, container: None },
    })
}

fn fleet_plan(table: Option<&Table>) -> FleetPlan {
    let number = |key: &str| {
        let count = table.and_then(|table| table.count(key))?;
        usize::try_from(count).ok()
    };
    FleetPlan {
        max_concurrency: number("max_concurrency").unwrap_or(32),
        max_errors: number("max_errors"),
    }
}

fn phase(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<PhasePlan>> {
    let table = node.table()?;
    let name = table.text("name").unwrap_or_default();
    let loads: Vec<(LoadPlan, Range<usize>)> = table
        .tables("load")
        .filter_map(|load| Some((load_plan(load, diagnostics)?, load.span.clone())))
        .collect();
    let Some(ramp) = table.get("ramp") else {
        let Some(duration) = table.duration("duration") else {
            if table.get("duration").is_none() {
                diagnostics.push(
                    Diagnostic::new(node.span.clone(), "key `duration` is missing")
                        .hint("how long the phase takes, such as \"30s\""),
                );
            }
            return None;
        };
        let loads = loads.into_iter().map(|(load, _)| load).collect();
        return Some(vec![PhasePlan { name, level: None, probe: None, duration, loads }]);
    };
    if let Some(duration) = table.get("duration") {
        diagnostics.push(
            Diagnostic::new(duration.span.clone(), "a phase with a ramp has no duration")
                .hint("the ramp's `hold` is the length of each level"),
        );
    }
    if loads.is_empty() && table.tables("load").next().is_none() {
        diagnostics.push(Diagnostic::new(ramp.span.clone(), "a ramp needs a [[phase.load]]"));
    }
    let ramp_table = ramp.table()?;
    let of = ramp_table.text("of").unwrap_or_else(|| "workers".to_owned());
    let hold = ramp_table.duration("hold")?;
    let levels = levels(ramp, ramp_table, &of, diagnostics)?;
    for (load, span) in &loads {
        if let Err(reason) = at_level(load, &of, 1.0) {
            diagnostics.push(Diagnostic::new(span.clone(), reason));
            return None;
        }
    }
    if levels.len().saturating_mul(loads.len()) > MOST_LOADS {
        diagnostics.push(too_many(&ramp.span, levels.len(), levels.len() * loads.len()));
        return None;
    }
    Some(
        levels
            .into_iter()
            .map(|value| PhasePlan {
                name: name.clone(),
                level: Some(Level { of: of.clone(), value }),
                probe: None,
                duration: hold,
                loads: loads
                    .iter()
                    .filter_map(|(load, _)| at_level(load, &of, value).ok())
                    .collect(),
            })
            .collect(),
    )
}

fn levels(
    ramp: &Node,
    table: &Table,
    of: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<f64>> {
    let mut levels: Vec<f64> = if let Some(list) = table.get("list") {
        for key in ["from", "to", "steps"] {
            if let Some(node) = table.get(key) {
                diagnostics.push(
                    Diagnostic::new(
                        node.span.clone(),
                        format!("`list` and `{key}` exclude one another"),
                    )
                    .hint("keep one of them"),
                );
            }
        }
        let Value::List(items) = &list.value else { return None };
        items.iter().filter_map(|item| number(&item.value)).collect()
    } else {
        let (Some(from), Some(to)) = (table.number("from"), table.number("to")) else {
            diagnostics.push(
                Diagnostic::new(ramp.span.clone(), "a ramp needs `from` and `to`, or `list`")
                    .allowed("from, to and steps, or list = [1, 2, 4, 8]"),
            );
            return None;
        };
        let steps = table.number("steps").unwrap_or((to - from).abs() + 1.0).round().max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1000")]
        let steps = steps.min(1000.0) as u32;
        let last = steps.saturating_sub(1).max(1);
        (0..steps).map(|step| from + (to - from) * f64::from(step) / f64::from(last)).collect()
    };
    if of == "workers" || of == "depth" {
        for level in &mut levels {
            *level = level.round();
        }
        levels.dedup();
    }
    let limit = match of {
        "workers" => 1.0..=65_536.0,
        "depth" => 1.0..=1024.0,
        "load" => 0.0..=100.0,
        _ => 0.001..=1e9,
    };
    if let Some(bad) = levels.iter().find(|level| !limit.contains(*level)) {
        diagnostics.push(
            Diagnostic::new(ramp.span.clone(), format!("level {bad} of the ramp is out of range"))
                .allowed(format!("{} to {} for {of}", limit.start(), limit.end())),
        );
        return None;
    }
    Some(levels)
}

fn threshold(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Threshold> {
    let table = node.table()?;
    let (max, min) = limits(node, table, diagnostics)?;
    Some(Threshold {
        signal: table.text("signal")?,
        device: table.text("device"),
        node: table.text("node").unwrap_or_else(|| ".*".to_owned()),
        phase: table.text("phase").unwrap_or_else(|| ".*".to_owned()),
        stat: table.text("stat").map_or(Some(Stat::Percentile(95)), |text| Stat::parse(&text))?,
        max,
        min,
    })
}

fn abort(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Abort> {
    let table = node.table()?;
    let (max, min) = limits(node, table, diagnostics)?;
    Some(Abort {
        signal: table.text("signal")?,
        device: table.text("device"),
        max,
        min,
        hold: table.duration("for").unwrap_or_default(),
    })
}

fn limits(
    node: &Node,
    table: &Table,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Option<f64>, Option<f64>)> {
    let (max, min) = (table.number("max"), table.number("min"));
    if max.is_none() && min.is_none() {
        if table.get("max").is_none() && table.get("min").is_none() {
            diagnostics.push(
                Diagnostic::new(node.span.clone(), "neither `max` nor `min` is given")
                    .hint("say what the signal must not exceed or fall below"),
            );
        }
        return None;
    }
    if max.zip(min).is_some_and(|(max, min)| min > max) {
        diagnostics.push(Diagnostic::new(node.span.clone(), "`min` is above `max`"));
    }
    Some((max, min))
}

impl Node {
    fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Values of a key; `None` when it is absent or `check` has refused it.
impl Table {
    fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.text().map(str::to_owned)
    }

    fn texts(&self, key: &str) -> Vec<String> {
        match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => {
                items.iter().filter_map(|item| item.text().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        units::parse_duration(self.get(key)?.text()?).ok()
    }

    fn number(&self, key: &str) -> Option<f64> {
        number(&self.get(key)?.value)
    }

    /// A checked integer that is not below 0.
    fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)?.value {
            Value::Integer(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    fn size(&self, key: &str) -> Option<u64> {
        match &self.get(key)?.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok().filter(|bytes| *bytes > 0),
            Value::Text(text) => units::parse_bytes(text).ok().filter(|bytes| *bytes > 0),
            _ => None,
        }
    }

    fn tables(&self, key: &str) -> impl Iterator<Item = &Node> {
        let items: &[Node] = match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        };
        items.iter().filter(|item| matches!(item.value, Value::Table(_)))
    }
}
