//! The report as data: what is said and drawn, in which order. Formats only
//! give it a shape.

use super::chart::{self, Chart, Line};
use crate::{
    analyze::{
        outcome::{Analysis, Kind, PhaseOutcome, Verdict},
        workload,
    },
    model::{
        run::{NodeData, Run, SourceKind},
        series::{Signal, SignalSet},
        stats,
        time::Window,
        units::{Unit, short_count, show_bytes, show_duration, show_seconds, three_digits},
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

/// A phase on the time axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Band {
    pub(super) label: String,
    /// Seconds since the run's start.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) loaded: bool,
}

/// A cell of the matrix of nodes and resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) tone: &'static str,
    pub(super) mark: &'static str,
    pub(super) word: String,
    pub(super) detail: String,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MatrixRow {
    pub(super) node: String,
    pub(super) source: String,
    pub(super) cells: Vec<Cell>,
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

/// A row of the load table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoadRow {
    pub(super) phase: String,
    pub(super) kind: String,
    pub(super) workers: usize,
    pub(super) requested: String,
    pub(super) achieved: String,
    pub(super) operations: String,
    pub(super) bytes: String,
    pub(super) errors: u64,
    pub(super) cpu: String,
    pub(super) p50: String,
    pub(super) p90: String,
    pub(super) p99: String,
    pub(super) p999: String,
    pub(super) max: String,
    pub(super) shortfall: String,
}

/// Charts of one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) node: String,
    pub(super) charts: Vec<Chart>,
    /// Seconds in which samples are missing.
    pub(super) gaps: Vec<(f64, f64)>,
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
    pub(super) columns: Vec<String>,
    pub(super) matrix: Vec<MatrixRow>,
    pub(super) seconds: f64,
    pub(super) bands: Vec<Band>,
    /// Seconds since the run's start at which the limit was reached.
    pub(super) onset: Option<f64>,
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
    let own = workload::signals(run);
    let manifest = &run.manifest;
    let (columns, matrix) = matrix(analysis, run);
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
        columns,
        matrix,
        seconds: whole.seconds().max(1.0),
        bands: bands(run, whole),
        onset: overall.and_then(|overall| overall.since).map(|since| chart::offset(since, whole)),
        panels: run.nodes.iter().map(|node| panel(run, node, &own, whole)).collect(),
        judgements: judgements(run, analysis),
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
        hosts: run.nodes.iter().map(host).collect(),
        scenario_text: run.scenario.clone(),
        overrides: manifest.overrides.join(", "),
        tool: format!("stressor {}", manifest.tool),
    }
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
    let validity = if !analysis.validity.ok {
        Badge { label: "Validity", word: "degraded".to_owned(), tone: "warn", mark: "▲" }
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

fn bands(run: &Run, whole: Window) -> Vec<Band> {
    run.manifest
        .phases
        .iter()
        .map(|phase| {
            let window = run.window(phase);
            Band {
                label: phase.label(),
                from: chart::offset(window.start, whole),
                to: chart::offset(window.end, whole),
                loaded: !phase.loads.is_empty(),
            }
        })
        .collect()
}

/// Per node the worst of each resource over the phases under load; over all
/// phases when there was no load.
fn matrix(analysis: &Analysis, run: &Run) -> (Vec<String>, Vec<MatrixRow>) {
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
    let rows = analysis
        .nodes
        .iter()
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

fn judgements(run: &Run, analysis: &Analysis) -> Vec<Judgement> {
    let overall = analysis.overall.as_ref();
    let mut all: Vec<Judgement> = analysis
        .nodes
        .iter()
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

/// The load table.
pub(super) fn load_rows(run: &Run, analysis: &Analysis) -> Vec<LoadRow> {
    analysis
        .loads
        .iter()
        .map(|load| {
            let unit = [Unit::Ratio, Unit::Bytes, Unit::BytesPerSecond, Unit::PerSecond]
                .into_iter()
                .find(|unit| unit.name() == load.unit)
                .unwrap_or(Unit::Count);
            let each = if unit == Unit::Ratio { " of a core each" } else { "" };
            let at = |of: fn(&crate::analyze::outcome::Latency) -> f64| {
                load.latency
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |latency| show_seconds(of(latency)))
            };
            LoadRow {
                phase: run.manifest.phases.get(load.index).map_or_else(
                    || load.phase.clone(),
                    super::super::model::run::PhaseRecord::label,
                ),
                kind: load.kind.clone(),
                workers: load.workers,
                requested: load.requested.map_or_else(
                    || "all there is".to_owned(),
                    |requested| format!("{}{each}", unit.show(requested)),
                ),
                achieved: unit.show(load.achieved),
                operations: format!("{}/s", short_count(load.operations_per_s)),
                bytes: if load.bytes_per_s > 0.0 {
                    format!("{}/s", show_bytes(load.bytes_per_s))
                } else {
                    "–".to_owned()
                },
                errors: load.errors,
                cpu: show_seconds(load.cpu_s),
                p50: at(|latency| latency.p50_s),
                p90: at(|latency| latency.p90_s),
                p99: at(|latency| latency.p99_s),
                p999: at(|latency| latency.p999_s),
                max: at(|latency| latency.max_s),
                shortfall: load.shortfall.clone().unwrap_or_default(),
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

fn panel(run: &Run, node: &NodeData, own: &SignalSet, whole: Window) -> Panel {
    let signals = &node.signals;
    let mut charts = Vec::new();
    let mut first = if node.record.loaded {
        load_lines(run, node.record.host.cores, whole)
    } else {
        Vec::new()
    };
    for (name, label) in [("cpu_busy", "CPU busy"), ("memory_used_ratio", "memory used")] {
        if let Some(signal) = signals.get(name, None) {
            first.push(chart::line(label, first.len(), signal, whole));
        }
    }
    if let Some((device, signal)) = busiest(signals, "disk_busy") {
        first.push(chart::line(&format!("disk {device} busy"), first.len(), signal, whole));
    }
    if let Some(signal) = signals.all("cgroup_memory_working_ratio").first() {
        first.push(chart::line("cgroup memory of its limit", first.len(), signal, whole));
    }
    charts.extend(Chart::new("Load and utilization", Unit::Ratio, first));
    let waiting = [
        ("cpu_psi_some", "for a core"),
        ("io_psi_some", "for I/O"),
        ("memory_psi_some", "for memory"),
    ]
    .iter()
    .enumerate()
    .filter_map(|(style, (name, label))| {
        Some(chart::line(label, style, signals.get(name, None)?, whole))
    })
    .collect();
    charts.extend(Chart::new("Share of time in which tasks waited (PSI)", Unit::Ratio, waiting));
    let mut disk = Vec::new();
    for (name, label) in [("disk_read_bytes", "read"), ("disk_written_bytes", "written")] {
        if let Some((device, signal)) = busiest(signals, name) {
            disk.push(chart::line(&format!("{device} {label}"), disk.len(), signal, whole));
        }
    }
    charts.extend(
        Chart::new("Disk throughput", Unit::BytesPerSecond, disk)
            .filter(|chart| chart.top >= 4096.0),
    );
    if let Some((device, signal)) = busiest(signals, "disk_queue") {
        charts.extend(
            Chart::new(
                "Requests in flight",
                Unit::Count,
                vec![chart::line(&device, 0, signal, whole)],
            )
            .filter(|chart| chart.top >= 0.5),
        );
    }
    let mut network = Vec::new();
    for (name, label) in [("network_received_bytes", "received"), ("network_sent_bytes", "sent")] {
        if let Some((device, signal)) = busiest(signals, name) {
            network.push(chart::line(&format!("{device} {label}"), network.len(), signal, whole));
        }
    }
    charts.extend(
        Chart::new("Network throughput", Unit::BytesPerSecond, network)
            .filter(|chart| chart.top >= 4096.0),
    );
    if node.record.loaded {
        let latency = [("load_latency_p50", "median"), ("load_latency_p99", "99th percentile")]
            .iter()
            .enumerate()
            .filter_map(|(style, (name, label))| {
                Some(chart::line(label, style, own.get(name, None)?, whole))
            })
            .collect();
        charts.extend(Chart::new("Latency of the load's operations", Unit::Seconds, latency));
    }
    Panel { node: node.record.name.clone(), charts, gaps: gaps(signals, whole) }
}

/// The device that was used most, by the mean of a signal.
fn busiest<'a>(signals: &'a SignalSet, name: &str) -> Option<(String, &'a Signal)> {
    signals
        .all(name)
        .iter()
        .map(|signal| {
            let values: Vec<f64> = signal.points.iter().map(|point| point.v).collect();
            (stats::mean(&values).unwrap_or(0.0), signal)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, signal)| (signal.device.clone().unwrap_or_default(), signal))
}

/// What each kind of load was asked for and achieved, as shares: of all cores
/// for cpu, of what was asked for anything else, and where no amount was
/// asked, of the most it ever did.
fn load_lines(run: &Run, cores: u32, whole: Window) -> Vec<Line> {
    let mut kinds: Vec<&str> = Vec::new();
    for interval in &run.workers {
        if !kinds.contains(&interval.kind.as_str()) {
            kinds.push(&interval.kind);
        }
    }
    let mut lines = Vec::new();
    for kind in kinds {
        let mut moments = std::collections::BTreeMap::new();
        for one in run.workers.iter().filter(|one| one.kind == kind) {
            let (achieved, requested) = moments.entry(one.t).or_insert((0.0, Some(0.0)));
            *achieved += one.achieved;
            *requested = requested.zip(one.requested).map(|(a, b): (f64, f64)| a + b);
        }
        let mut add = |name: String, of: &dyn Fn(f64, Option<f64>) -> Option<f64>| {
            let points: Vec<(f64, f64)> = moments
                .iter()
                .filter_map(|(t, (achieved, requested))| {
                    let share = of(*achieved, *requested).filter(|share| share.is_finite())?;
                    Some((chart::offset(*t, whole), share.clamp(0.0, 1.0)))
                })
                .collect();
            lines.push(Line { name, style: lines.len(), points: chart::thinned(&points) });
        };
        let most = moments.values().map(|(achieved, _)| *achieved).fold(0.0, f64::max);
        let asked = moments.values().all(|(_, requested)| requested.is_some_and(|r| r > 0.0));
        if kind == "cpu" && cores > 0 {
            let cores = f64::from(cores);
            add("cpu asked".to_owned(), &|_, requested| requested.map(|r| r / cores));
            add("cpu achieved by the load".to_owned(), &|achieved, _| Some(achieved / cores));
        } else if asked {
            add(format!("{kind} load, of asked"), &|achieved, requested| {
                Some(achieved / requested?)
            });
        } else {
            add(format!("{kind} load, of its best"), &|achieved, _| {
                (most > 0.0).then(|| achieved / most)
            });
        }
    }
    lines
}

fn gaps(signals: &SignalSet, whole: Window) -> Vec<(f64, f64)> {
    let interval_s = signals.interval_s.max(0.001);
    signals
        .times
        .windows(2)
        .filter_map(|pair| {
            let [a, b] = pair else { return None };
            (b.since(*a) > 1.5 * interval_s)
                .then(|| (chart::offset(*a, whole), chart::offset(*b, whole)))
        })
        .filter(|(from, to)| *to > 0.0 && *from < whole.seconds())
        .collect()
}
