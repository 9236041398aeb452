//! What is said when a part of the signals is not there: less, and never
//! something else.

use std::fmt::Write as _;

use stressor::{analyze::analyze, model::run::Run};

use crate::case::Case;

/// A name, and whether a signal is taken away.
type Ablation = (&'static str, fn(&str) -> bool);

/// Signals that are taken away together.
const ABLATIONS: [Ablation; 4] = [
    ("no pressure", |name| name.contains("psi") || name.ends_with("unexplained")),
    ("no refaults", |name| name.contains("refaults")),
    ("default collectors only", |name| {
        name.starts_with("cgroup_")
            || name.starts_with("netns_")
            || name.contains("refaults")
            || ["network_queue_bytes", "network_queue_drops", "network_shaper_ratio"]
                .contains(&name)
            || ["pids_ratio", "ports_used_ratio", "process_cpu_cores"].contains(&name)
    }),
    ("one sample in fifteen", |_| false),
];

/// A verdict without some signals.
pub(crate) struct Without {
    ablation: usize,
    resource: String,
    kind: &'static str,
    grade: &'static str,
}

/// The verdicts on the phase `load` of a run, for each ablation.
pub(crate) fn all(run: &Run) -> Vec<Without> {
    let judged = ABLATIONS.iter().enumerate().map(|(ablation, (_, is_gone))| {
        let mut run = run.clone();
        for node in &mut run.nodes {
            node.signals.signals.retain(|name, _| !is_gone(name));
            if ablation == 3 {
                thin(&mut node.signals);
            }
        }
        let analysis = analyze(&run);
        let phases = analysis.nodes.first().map(|node| node.phases.as_slice());
        let phase = phases.into_iter().flatten().find(|phase| phase.phase == "load");
        let verdict = &phase.expect("a phase").verdict;
        Without {
            ablation,
            resource: verdict.resource.clone(),
            kind: verdict.kind.name(),
            grade: verdict.grade.name(),
        }
    });
    judged.collect()
}

/// As if sampled every fifteen intervals.
fn thin(signals: &mut stressor::model::series::SignalSet) {
    signals.interval_s *= 15.0;
    signals.times = signals.times.iter().copied().step_by(15).collect();
    for signal in signals.signals.values_mut().flatten() {
        signal.points = signal.points.iter().copied().step_by(15).collect();
    }
}

/// How often another resource was named.
#[derive(Default)]
pub(crate) struct Tally {
    same: [usize; ABLATIONS.len()],
    less: [usize; ABLATIONS.len()],
    other: [usize; ABLATIONS.len()],
}

impl Tally {
    /// Count a case's verdicts; a line for each that names something else.
    pub(crate) fn count(&mut self, case: &Case, all: &[Without]) -> Vec<String> {
        let mut lines = Vec::new();
        for one in all {
            let counts = if case.label.resources.contains(&one.resource.as_str()) {
                &mut self.same
            } else if matches!(one.resource.as_str(), "none" | "unknown") {
                &mut self.less
            } else {
                lines.push(format!(
                    "with {}: {} {} ({})",
                    ABLATIONS[one.ablation].0, one.resource, one.kind, one.grade
                ));
                &mut self.other
            };
            counts[one.ablation] += 1;
        }
        lines
    }

    pub(crate) fn any_wrong(&self) -> bool {
        self.other.iter().any(|count| *count > 0)
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::from(
            "| taken away | the same resource | none or unknown | another resource |\n| --- | --- | --- | --- |\n",
        );
        for (at, (name, _)) in ABLATIONS.iter().enumerate() {
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} |",
                self.same[at], self.less[at], self.other[at]
            );
        }
        text
    }
}
