//! The report as data: what is said and drawn, in which order. Formats only
//! give it a shape.

mod loads;
mod matrix;

pub(super) use loads::{LoadRow, load_rows};
pub(super) use matrix::{MOST_NODES, MatrixRow, order};

use matrix::{matrix, more};

use super::{
    chart,
    timeline::{self, Band, Panel},
};
use crate::{
    analyze::outcome::{Analysis, Kind, Level, PhaseOutcome, Verdict},
    model::{
        run::{NodeData, Run, SourceKind},
        units::{Unit, show_bytes, show_duration, show_seconds},
    },
};

/// A word with its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Badge {
    pub(super) label: &'static str,
    pub(super) word: String,
    /// `good`, `warn`, `bad`, `plain`: colour and shape follow from it.
    pub(super) tone: &'static str,
    pub(super) mark: &'static str,
}

/// A row of the evidence table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EvidenceRow {
    pub(super) signal: String,
    pub(super) class: &'static str,
    pub(super) before: String,
    pub(super) value: String,
    pub(super) threshold: String,
    pub(super) samples: usize,
    pub(super) supports: bool,
    pub(super) source: &'static str,
}

/// The verdict on one node and phase, with all its reasons.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub(super) node: String,
    pub(super) phase: String,
    pub(super) when: String,
    pub(super) badge: Badge,
    pub(super) grade: String,
    pub(super) cause: String,
    pub(super) statement: String,
    pub(super) evidence: Vec<EvidenceRow>,
    pub(super) consequences: Vec<String>,
    pub(super) exonerated: Vec<(String, String)>,
    pub(super) unobserved: Vec<(String, String)>,
    pub(super) next: String,
    pub(super) advice: String,
    pub(super) samples: String,
    /// Whether it is the one the report opens with.
    pub(super) leading: bool,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    pub(super) title: String,
    pub(super) run: String,
    pub(super) scenario: String,
    pub(super) description: String,
    pub(super) when: String,
    pub(super) headline: String,
    pub(super) statement: String,
    pub(super) badges: Vec<Badge>,
    pub(super) notes: Vec<String>,
    /// All nodes in a sentence or two, and who is unlike the others.
    pub(super) fleet: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) matrix: Vec<MatrixRow>,
    pub(super) seconds: f64,
    pub(super) bands: Vec<Band>,
    /// Seconds since the run's start at which the limit was reached.
    pub(super) onset: Option<f64>,
    /// What is left out of a page of many nodes; empty for nothing.
    pub(super) more: String,
    pub(super) panels: Vec<Panel>,
    pub(super) judgements: Vec<Judgement>,
    pub(super) gates: Vec<(bool, String, String)>,
    pub(super) loads: Vec<LoadRow>,
    pub(super) plan: Vec<(String, String, String)>,
    pub(super) events: Vec<(String, String)>,
    pub(super) hosts: Vec<(String, Vec<(&'static str, String)>)>,
    pub(super) scenario_text: String,
    pub(super) overrides: String,
    pub(super) tool: String,
}

/// Build the report of a run.
pub(super) fn document(run: &Run, analysis: &Analysis) -> Document {
    let whole = run.whole();
    let manifest = &run.manifest;
    let order = order(analysis);
    let shown: Vec<usize> = order.iter().copied().take(MOST_NODES).collect();
    let (columns, matrix) = matrix(analysis, run, &order);
    let overall = analysis.overall.as_ref();
    Document {
        title: format!("{}: {}", manifest.id, headline(analysis)),
        run: manifest.id.clone(),
        scenario: manifest.scenario.clone(),
        description: manifest.description.clone(),
        when: format!(
            "{}, {}",
            manifest.start.long(),
            show_duration(std::time::Duration::from_secs_f64(whole.seconds().round()))
        ),
        headline: headline(analysis),
        statement: overall.map_or_else(
            || "No phase took place, so there is nothing to judge.".to_owned(),
            |overall| overall.statement.clone(),
        ),
        badges: badges(analysis),
        notes: analysis.validity.notes.clone(),
        fleet: fleet(analysis),
        columns,
        matrix,
        seconds: whole.seconds().max(1.0),
        bands: timeline::bands(run, whole),
        onset: overall.and_then(|overall| overall.since).map(|since| chart::offset(since, whole)),
        more: more(analysis.nodes.len()),
        panels: shown
            .iter()
            .filter_map(|at| run.nodes.get(*at))
            .map(|node| timeline::panel(run, node, whole))
            .collect(),
        judgements: judgements(run, analysis, &shown),
        gates: analysis
            .thresholds
            .iter()
            .map(|gate| {
                let name = format!(
                    "{} of {} on {}, phase {}",
                    gate.stat, gate.signal, gate.node, gate.phase
                );
                (gate.ok, name, gate.text.clone())
            })
            .collect(),
        loads: load_rows(run, analysis),
        plan: manifest
            .phases
            .iter()
            .map(|phase| {
                let window = run.window(phase);
                let loads = if phase.loads.is_empty() {
                    "no load".to_owned()
                } else {
                    phase.loads.join("; ")
                };
                let length = std::time::Duration::from_secs_f64(window.seconds());
                (
                    phase.label(),
                    format!("{} UTC, {}", window.start.clock(), show_duration(length)),
                    loads,
                )
            })
            .collect(),
        events: run.events.iter().map(|event| (event.t.clock(), event.text.clone())).collect(),
        hosts: shown.iter().filter_map(|at| run.nodes.get(*at)).map(host).collect(),
        scenario_text: run.scenario.clone(),
        overrides: manifest.overrides.join(", "),
        tool: format!("stressor {}", manifest.tool),
    }
}

/// All nodes together; nothing for a single one.
pub(super) fn fleet(analysis: &Analysis) -> Vec<String> {
    analysis.fleet.as_ref().map_or_else(Vec::new, |fleet| {
        let apart = fleet.apart.iter().map(|apart| format!("{}.", apart.text));
        std::iter::once(fleet.statement.clone()).chain(apart).collect()
    })
}

/// The verdict in a few words: `cpu saturated on local`.
pub(super) fn headline(analysis: &Analysis) -> String {
    match &analysis.overall {
        None => "nothing was measured".to_owned(),
        Some(overall) => match overall.kind {
            Kind::None => "no bottleneck found".to_owned(),
            Kind::Unknown => "the data cannot say".to_owned(),
            kind => {
                let device =
                    overall.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
                format!("{}{device} {} on {}", overall.resource, kind.name(), overall.node)
            }
        },
    }
}

/// Colour, shape and word of a kind.
pub(super) fn tone(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Saturated => ("bad", "■"),
        Kind::Full => ("bad", "◆"),
        Kind::Near => ("warn", "▲"),
        Kind::Idle | Kind::None => ("good", "○"),
        Kind::Unknown => ("plain", "?"),
    }
}

fn badges(analysis: &Analysis) -> Vec<Badge> {
    let failed = analysis.thresholds.iter().filter(|gate| !gate.ok).count();
    let gates = match (analysis.thresholds.len(), failed) {
        (0, _) => Badge { label: "Gates", word: "none set".to_owned(), tone: "plain", mark: "–" },
        (all, 0) => {
            Badge {
                label: "Gates", word: format!("{all} of {all} pass"), tone: "good", mark: "✓"
            }
        }
        (all, failed) => Badge {
            label: "Gates",
            word: format!("{failed} of {all} fail"),
            tone: "bad",
            mark: "✗",
        },
    };
    let kind = analysis.overall.as_ref().map_or(Kind::Unknown, |overall| overall.kind);
    let (bottleneck_tone, mark) = tone(kind);
    let bottleneck =
        Badge { label: "Bottleneck", word: headline(analysis), tone: bottleneck_tone, mark };
    let level = analysis.validity.level;
    let validity = if level != Level::Valid {
        Badge { label: "Validity", word: level.name().to_owned(), tone: "warn", mark: "▲" }
    } else if analysis.state == "complete" {
        Badge { label: "Validity", word: "valid".to_owned(), tone: "good", mark: "✓" }
    } else {
        Badge {
            label: "Validity",
            word: format!("valid, {}", analysis.state),
            tone: "warn",
            mark: "▲",
        }
    };
    vec![bottleneck, validity, gates]
}

fn judgements(run: &Run, analysis: &Analysis, shown: &[usize]) -> Vec<Judgement> {
    let overall = analysis.overall.as_ref();
    let mut all: Vec<Judgement> = shown
        .iter()
        .filter_map(|at| analysis.nodes.get(*at))
        .flat_map(|node| node.phases.iter().map(move |phase| (node, phase)))
        .map(|(node, phase)| {
            let label = run
                .manifest
                .phases
                .get(phase.index)
                .map_or_else(|| phase.phase.clone(), super::super::model::run::PhaseRecord::label);
            let leading = overall.is_some_and(|overall| {
                overall.node == node.node
                    && overall.phase == phase.phase
                    && overall.level == phase.level
            });
            judgement(&node.node, label, phase, leading)
        })
        .collect();
    all.sort_by_key(|judgement| !judgement.leading);
    all
}

fn judgement(node: &str, label: String, phase: &PhaseOutcome, leading: bool) -> Judgement {
    let verdict = &phase.verdict;
    let (tone, mark) = tone(verdict.kind);
    let device = verdict.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
    let word = match verdict.kind {
        Kind::None | Kind::Unknown => verdict.kind.name().to_owned(),
        kind => format!("{}{device} {}", verdict.resource, kind.name()),
    };
    let mentions = |list: &[crate::analyze::outcome::Mention]| {
        list.iter()
            .map(|mention| {
                let device =
                    mention.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
                (format!("{}{device}", mention.resource), mention.text.clone())
            })
            .collect()
    };
    Judgement {
        node: node.to_owned(),
        phase: label,
        when: format!("{} to {} UTC", phase.start.clock(), phase.end.clock()),
        badge: Badge { label: "Verdict", word, tone, mark },
        grade: verdict.grade.name().to_owned(),
        cause: verdict.cause.name().to_owned(),
        statement: verdict.statement.clone(),
        evidence: evidence(verdict),
        consequences: verdict.consequences.iter().map(|mention| mention.text.clone()).collect(),
        exonerated: mentions(&verdict.exonerated),
        unobserved: mentions(&verdict.unobserved),
        next: verdict.next.as_ref().map_or_else(String::new, |next| next.text.clone()),
        advice: if matches!(verdict.kind, Kind::Saturated | Kind::Full | Kind::Near) {
            crate::analyze::resources::resource(&verdict.resource)
                .map_or_else(String::new, |resource| resource.advice.to_owned())
        } else {
            String::new()
        },
        samples: format!(
            "{} of {} samples, {} gaps, one every {}",
            phase.data.samples,
            phase.data.expected,
            phase.data.gaps,
            show_seconds(phase.data.interval_s)
        ),
        leading,
    }
}

fn evidence(verdict: &Verdict) -> Vec<EvidenceRow> {
    verdict
        .evidence
        .iter()
        .map(|one| {
            let unit = crate::model::catalogue::unit_of(&one.signal).unwrap_or(Unit::Count);
            let device =
                one.device.as_ref().map_or_else(String::new, |device| format!(" {device}"));
            EvidenceRow {
                signal: format!("{}{device}", one.signal),
                class: one.class,
                before: one.before.map_or_else(|| "–".to_owned(), |before| unit.show(before)),
                value: format!("{} ({})", unit.show(one.value), one.stat),
                threshold: unit.show(one.threshold),
                samples: one.samples,
                supports: one.supports,
                source: one.source,
            }
        })
        .collect()
}

fn host(node: &NodeData) -> (String, Vec<(&'static str, String)>) {
    let record = &node.record;
    let host = &record.host;
    let source = match record.source {
        SourceKind::Embedded => {
            format!("embedded sampler, every {}", show_seconds(record.interval_s))
        }
        SourceKind::Prometheus => format!(
            "Prometheus, instance {}, a scrape every {}, rates over {}",
            record.instance.as_deref().unwrap_or("unknown"),
            show_seconds(record.interval_s),
            show_seconds(record.window_s)
        ),
    };
    let mut facts = vec![("samples", source)];
    let mut add = |name: &'static str, value: String| {
        if !value.is_empty() {
            facts.push((name, value));
        }
    };
    add("host", host.hostname.clone());
    add("system", host.os.clone());
    add("kernel", host.kernel.clone());
    if host.cores > 0 {
        add(
            "CPU",
            format!(
                "{} × {}",
                host.cores,
                if host.cpu_model.is_empty() { "core" } else { &host.cpu_model }
            ),
        );
    }
    if host.cores_allowed > 0 && host.cores_allowed != host.cores {
        add("usable cores", host.cores_allowed.to_string());
    }
    if host.memory_bytes > 0 {
        add("memory", show_bytes(host.memory_bytes as f64));
    }
    add("cgroup", host.cgroup.clone());
    add("limits", host.limits.join(", "));
    add("not observable here", host.absent.join("; "));
    add("load", if record.loaded { "carries the load" } else { "watched only" }.to_owned());
    (record.name.clone(), facts)
}
