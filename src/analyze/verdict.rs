//! All assessments of a phase: which is the root, what follows from it, what
//! is clean, what was not seen.

mod episode;
mod intervention;
mod lists;

use lists::{exonerated, nearest, next, unobserved};

use super::{
    assess::{self, Assessment, FEWEST_SAMPLES, LEAST_COVERAGE},
    cause, onset,
    outcome::{
        Cause, Data, Evidence, Grade, Kind, LoadOutcome, Mention, PhaseOutcome, Ranked, Verdict,
    },
    resources::{ALL, Relation},
    words, workload,
};
use crate::model::{
    run::{NodeData, PhaseRecord, Run},
    series::{Point, SignalSet},
    stats,
    time::{Timestamp, Window},
    units::Unit,
};

/// What a phase of a node is judged by.
struct Case<'a> {
    run: &'a Run,
    node: &'a NodeData,
    phase: &'a PhaseRecord,
    index: usize,
    /// From the making of the workers on: refusals count from here.
    whole: Window,
    /// From the load's being there on.
    window: Window,
    own: &'a SignalSet,
    /// What the loads of this phase came to.
    loads: Vec<&'a LoadOutcome>,
    data: Data,
    /// Whether it is a part of a phase, found in the data.
    is_part: bool,
}

/// Judge one phase of one node; `None` when there is no such phase.
pub(super) fn phase(
    run: &Run,
    node: &NodeData,
    index: usize,
    own: &SignalSet,
    loads: &[LoadOutcome],
) -> Option<PhaseOutcome> {
    let phase = run.manifest.phases.get(index)?;
    let (whole, window) = (run.window(phase), run.steady(phase));
    let data = super::data(run, node, phase);
    let loads = loads.iter().filter(|load| load.index == index).collect();
    let case = Case {
        run,
        node,
        phase,
        index,
        whole,
        window,
        own,
        loads,
        data: data.clone(),
        is_part: false,
    };
    let mut assessments = case.assess(window, whole);
    sorted(&mut assessments);
    let verdict = case.verdict(&assessments);
    let ranking = assessments
        .iter()
        .filter(|assessment| assessment.kind != Kind::Unknown)
        .map(|assessment| Ranked {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            kind: assessment.kind,
            utilization: assessment.utilization,
        })
        .collect();
    Some(PhaseOutcome {
        phase: phase.name.clone(),
        level: phase.level.as_ref().map(|level| level.value),
        start: whole.start,
        end: whole.end,
        verdict,
        ranking,
        data,
        index,
    })
}

/// A share of the load's growth that is no growth of throughput.
const FLAT: f64 = 0.1;

/// From one level of a ramp to the next.
struct Growth {
    /// By which share the load grew.
    offered: f64,
    /// By which share throughput grew.
    gained: f64,
    /// Operations a second at the level before.
    before: f64,
    /// And at this one.
    value: f64,
}

/// The nearest to a limit first.
fn sorted(assessments: &mut [Assessment]) {
    assessments.sort_by(|a, b| {
        Case::rank(b).partial_cmp(&Case::rank(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
}

impl Case<'_> {
    fn assess(&self, window: Window, whole: Window) -> Vec<Assessment> {
        let baseline = baseline(self.run, self.index);
        ALL.iter()
            .flat_map(|resource| {
                assess::resource(resource, &self.node.signals, window, whole, baseline)
            })
            .collect()
    }

    /// Larger is nearer to the limit: by kind, then by whether the load moved
    /// it (a file system that was full before is not what the load did), then
    /// by causal order.
    fn rank(assessment: &Assessment) -> (u8, u8, f64) {
        let moved = match (assessment.utilization, assessment.utilization_before) {
            (Some(now), Some(before)) => now - before > 0.05,
            _ => true,
        };
        let order = ALL
            .iter()
            .position(|resource| resource.name == assessment.resource.name)
            .unwrap_or(ALL.len());
        let second = if assessment.at_limit() {
            -(order as f64)
        } else {
            assessment.utilization.unwrap_or(0.0)
        };
        (assessment.kind.strength(), u8::from(moved), second)
    }

    fn verdict(&self, assessments: &[Assessment]) -> Verdict {
        let unobserved = unobserved(assessments);
        if self.data.samples < FEWEST_SAMPLES {
            return Self::unknown(
                words::too_few(&self.node.record.name, self.phase, &self.data),
                unobserved,
            );
        }
        if let Some(load) = self.late_generator() {
            let statement = words::late_generator(&self.node.record.name, load);
            return self.beyond("generator", statement, assessments, unobserved);
        }
        let mut roots: Vec<&Assessment> = Vec::new();
        let mut consequences = Vec::new();
        for assessment in assessments.iter().filter(|assessment| assessment.at_limit()) {
            match self.root_of(assessment, assessments) {
                Some(relation) => consequences.push(Mention {
                    resource: assessment.resource.name.to_owned(),
                    device: assessment.device.clone(),
                    text: format!("{}: {}", assessment.title(), relation.why),
                }),
                None => roots.push(assessment),
            }
        }
        // Nothing at its limit: the nearest, if one is near.
        let near = assessments.iter().find(|assessment| {
            assessment.kind == Kind::Near && self.root_of(assessment, assessments).is_none()
        });
        if let Some(part) = roots.is_empty().then(|| self.episode()).flatten() {
            return part;
        }
        let Some(root) = roots.first().copied().or(near) else {
            return self.clean(assessments, unobserved);
        };
        let cause = cause::cause(root, &self.node.signals, self.own, self.is_loaded(), self.whole);
        let since = self.since(root);
        let grade = self.grade(root, &roots, &unobserved);
        let others = roots.get(1..).unwrap_or(&[]);
        let others: Vec<(&Assessment, words::Meeting)> =
            others.iter().map(|other| (*other, self.meeting(root, other))).collect();
        let mut evidence = root.evidence(true);
        evidence.extend(self.plateau_evidence());
        evidence.extend(others.iter().flat_map(|(other, _)| other.evidence(false)));
        let verdict = Verdict {
            resource: root.resource.name.to_owned(),
            device: self.device(root),
            kind: root.kind,
            grade,
            cause,
            since,
            statement: words::statement(&words::Facts {
                node: &self.node.record.name,
                run_start: self.run.manifest.start,
                root,
                since,
                cause,
                others: &others,
                busiest: self.busiest(root),
            }),
            evidence,
            consequences,
            exonerated: exonerated(assessments),
            unobserved,
            next: next(root, assessments),
        };
        self.tested(root, verdict)
    }

    /// The root that explains this resource being at its limit.
    fn root_of(
        &self,
        assessment: &Assessment,
        assessments: &[Assessment],
    ) -> Option<&'static Relation> {
        assessment.resource.follows.iter().find(|relation| {
            let root = assessments.iter().any(|other| {
                other.resource.name == relation.root
                    && (relation.between)(assessment.device.as_deref(), other.device.as_deref())
                    && (other.at_limit()
                        || (assessment.kind == Kind::Near && other.kind == Kind::Near))
            });
            root && relation.when.is_none_or(|(signal, least)| {
                let values = self
                    .node
                    .signals
                    .get(signal, None)
                    .map(|signal| signal.values_in(self.window))
                    .unwrap_or_default();
                stats::median(&values).is_some_and(|median| median >= least)
            })
        })
    }

    fn since(&self, root: &Assessment) -> Option<Timestamp> {
        let leading = root.leading()?;
        let limit =
            if root.kind == Kind::Near { leading.criterion.near } else { leading.criterion.limit };
        let signal = self.node.signals.get(leading.criterion.signal, root.device.as_deref())?;
        onset::since(signal, limit, self.window).or_else(|| {
            // Errors come in single events: from the first one on.
            let first = signal.points_in(self.whole).find(|point| point.v >= limit)?;
            Some(first.t.plus(-signal.window_s).max(self.whole.start))
        })
    }

    /// For a node-wide signal that means one of several devices, the device.
    fn device(&self, root: &Assessment) -> Option<String> {
        if !["cpu-core", "cpu-affinity"].contains(&root.resource.name) {
            return root.device.clone();
        }
        // The busiest core, when the thread stayed on it.
        self.node
            .signals
            .all("cpu_core_busy")
            .iter()
            .filter_map(|core| {
                let median = stats::median(&core.values_in(self.window))?;
                (median >= 0.9).then(|| (median, core.device.clone()))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .and_then(|(_, device)| device)
    }

    fn grade(&self, root: &Assessment, roots: &[&Assessment], unobserved: &[Mention]) -> Grade {
        if root.hinted || !self.data.covers(LEAST_COVERAGE) {
            return Grade::Possible;
        }
        let vital_unseen = unobserved
            .iter()
            .filter(|mention| {
                super::resources::resource(&mention.resource).is_some_and(|one| one.vital)
            })
            .count();
        let decisive = root.met.error || root.met.saturation;
        match root.kind {
            Kind::Saturated if decisive && vital_unseen <= 2 => {
                let alone = vital_unseen == 0 && roots.len() == 1;
                if alone && self.seen_before(root) && self.plateau() {
                    Grade::Confirmed
                } else {
                    Grade::Likely
                }
            }
            // At a ceiling that is known, and what would wait for it was looked
            // at and does not.
            Kind::Full if vital_unseen == 0 && root.waits_seen() => Grade::Likely,
            _ => Grade::Possible,
        }
    }

    /// Whether two resources were at their limit at the same times, or in turn.
    fn meeting(&self, one: &Assessment, other: &Assessment) -> words::Meeting {
        let times = |assessment: &Assessment| -> Option<std::collections::BTreeSet<Timestamp>> {
            let held = assessment.leading()?;
            let signals = &self.node.signals;
            let signal = signals.get(held.criterion.signal, held.device.as_deref())?;
            let at_limit = |point: &Point| point.v >= held.criterion.limit;
            Some(signal.points_in(self.window).filter(at_limit).map(|point| point.t).collect())
        };
        let (Some(one), Some(other)) = (times(one), times(other)) else {
            return words::Meeting::Partly;
        };
        let both = one.intersection(&other).count() as f64;
        let fewer = one.len().min(other.len()).max(1) as f64;
        match both / fewer {
            share if share >= 0.5 => words::Meeting::Simultaneous,
            share if share < 0.2 => words::Meeting::Alternating,
            _ => words::Meeting::Partly,
        }
    }

    /// Who used the cores, where that is what ran out.
    fn busiest(&self, root: &Assessment) -> Vec<(String, f64)> {
        if !root.resource.name.starts_with("cpu") {
            return Vec::new();
        }
        let mut all: Vec<(String, f64)> = self
            .node
            .signals
            .all("process_cpu_cores")
            .iter()
            .filter_map(|one| {
                let cores = stats::median(&one.values_in(self.window))?;
                Some((one.device.clone()?, cores)).filter(|_| cores >= 0.05)
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(3);
        all
    }

    /// A load that came too late because its own workers had no time left.
    fn late_generator(&self) -> Option<&LoadOutcome> {
        /// A worker that uses this much of a core is its own limit (locust warns
        /// from 90 % on).
        const BUSY: f64 = 0.9;
        /// Share of operations that may be late.
        const LATE: f64 = 0.01;
        let seconds = self.window.seconds().max(1e-3);
        self.loads.iter().copied().find(|load| {
            let share = load.cpu_s / seconds / (load.workers.max(1) as f64);
            let late = load.requested.is_some_and(|asked| load.achieved < asked * (1.0 - LATE));
            self.is_loaded()
                && ["http", "net"].contains(&load.kind.as_str())
                && late
                && share >= BUSY
        })
    }

    /// Whether a load got less than it asked for, and no resource says why.
    fn held_back(&self) -> bool {
        const LEAST: f64 = 0.95;
        self.loads.iter().any(|load| {
            load.kind == "http" && load.requested.is_some_and(|asked| load.achieved < asked * LEAST)
        })
    }

    /// The limit is not a resource of this node.
    fn beyond(
        &self,
        resource: &str,
        statement: String,
        assessments: &[Assessment],
        unobserved: Vec<Mention>,
    ) -> Verdict {
        let complete = self.data.covers(LEAST_COVERAGE);
        Verdict {
            resource: resource.to_owned(),
            device: None,
            kind: Kind::Saturated,
            grade: if complete { Grade::Likely } else { Grade::Possible },
            cause: Cause::Scenario,
            since: None,
            statement,
            evidence: assessments
                .iter()
                .filter(|assessment| assessment.resource.vital)
                .flat_map(|assessment| assessment.evidence(false))
                .collect(),
            consequences: Vec::new(),
            exonerated: exonerated(assessments),
            unobserved,
            next: nearest(assessments),
        }
    }

    /// Whether the level before this one was saturated by the same resource.
    fn seen_before(&self, root: &Assessment) -> bool {
        let Some((_, before)) = self.level_before() else { return false };
        self.assess(self.run.steady(before), self.run.window(before)).iter().any(|other| {
            other.resource.name == root.resource.name
                && other.device == root.device
                && other.kind == Kind::Saturated
        })
    }

    /// Whether throughput grew by less than a tenth of what the offered load
    /// grew by, from the level before to this one.
    fn plateau(&self) -> bool {
        self.growth().is_some_and(|growth| growth.gained < FLAT * growth.offered)
    }

    /// How load and throughput grew from the level before to this one.
    fn growth(&self) -> Option<Growth> {
        let (index, before) = self.level_before()?;
        let level = |phase: &PhaseRecord| phase.level.as_ref().map(|level| level.value);
        let (now, then) = level(self.phase).zip(level(before))?;
        let throughput = |index| workload::throughput(self.run, index).filter(|rate| *rate > 0.0);
        let (work, work_then) = throughput(self.index).zip(throughput(index))?;
        (now > then && then > 0.0).then(|| Growth {
            offered: now / then - 1.0,
            gained: work / work_then - 1.0,
            before: work_then,
            value: work,
        })
    }

    /// A plateau as evidence.
    fn plateau_evidence(&self) -> Option<Evidence> {
        let growth = self.growth().filter(|_| self.plateau())?;
        let unit = Unit::PerSecond;
        Some(Evidence {
            signal: "load_operations".to_owned(),
            device: None,
            class: "plateau",
            stat: "mean".to_owned(),
            before: Some(growth.before),
            value: growth.value,
            threshold: growth.before * (1.0 + FLAT * growth.offered),
            unit: unit.name(),
            supports: true,
            samples: self.data.samples,
            source: "throughput grew by less than a tenth of what the load grew by",
            text: format!(
                "operations completed: {} at the level before, {} with {:.0} % more load",
                unit.show(growth.before),
                unit.show(growth.value),
                growth.offered * 100.0
            ),
        })
    }

    fn level_before(&self) -> Option<(usize, &PhaseRecord)> {
        self.phase.level.as_ref()?;
        let index = self.index.checked_sub(1)?;
        let before = self.run.manifest.phases.get(index)?;
        (before.name == self.phase.name && before.probe.is_none()).then_some((index, before))
    }

    fn is_loaded(&self) -> bool {
        self.node.record.loaded && !self.phase.loads.is_empty()
    }

    /// Nothing is near its limit, as far as was seen.
    fn clean(&self, assessments: &[Assessment], unobserved: Vec<Mention>) -> Verdict {
        let blind: Vec<&Assessment> = assessments
            .iter()
            .filter(|assessment| assessment.kind == Kind::Unknown && assessment.resource.vital)
            .collect();
        if !blind.is_empty() {
            let statement = words::partly_blind(&self.node.record.name, &blind);
            return Self::unknown(statement, unobserved);
        }
        if self.is_loaded() && (self.plateau() || self.held_back()) {
            let statement = words::application(&self.node.record.name, assessments);
            return self.beyond("application", statement, assessments, unobserved);
        }
        let complete = self.data.covers(LEAST_COVERAGE);
        let waits_seen = self.node.signals.get("cpu_psi_some", None).is_some();
        Verdict {
            resource: "none".to_owned(),
            device: None,
            kind: Kind::None,
            grade: if complete && waits_seen { Grade::Likely } else { Grade::Possible },
            cause: if self.is_loaded() { Cause::Scenario } else { Cause::Unknown },
            since: None,
            statement: words::clean(&self.node.record.name, assessments, self.is_loaded())
                + &self.bursts(),
            evidence: assessments
                .iter()
                .filter(|assessment| assessment.resource.vital)
                .flat_map(|assessment| assessment.evidence(false))
                .collect(),
            consequences: Vec::new(),
            exonerated: exonerated(assessments),
            unobserved,
            next: nearest(assessments),
        }
    }

    /// A word on bursts that are shorter than a sample: tasks waited for most
    /// of the time in which the cores were busy, and most of the time they were
    /// not. Pressure is a sum of time and sees what a mean of use does not.
    fn bursts(&self) -> String {
        let median = |name: &str| {
            let signal = self.node.signals.get(name, None)?;
            stats::median(&signal.values_in(self.window))
        };
        let waits = median("cpu_psi_some").zip(median("cpu_busy"));
        match waits.filter(|(waits, busy)| *waits >= 0.2 && *waits >= 0.6 * busy) {
            Some((waits, busy)) => words::bursts(waits, busy),
            None => String::new(),
        }
    }

    fn unknown(statement: String, unobserved: Vec<Mention>) -> Verdict {
        Verdict {
            resource: "unknown".to_owned(),
            device: None,
            kind: Kind::Unknown,
            grade: Grade::Insufficient,
            cause: Cause::Unknown,
            since: None,
            statement,
            evidence: Vec::new(),
            consequences: Vec::new(),
            exonerated: Vec::new(),
            unobserved,
            next: None,
        }
    }
}

/// The last phase without load before phase `index`.
fn baseline(run: &Run, index: usize) -> Option<Window> {
    let phases = run.manifest.phases.get(..index)?;
    // A phase whose loads are away for a test is no quiet one: what they left
    // behind is still there.
    let is_quiet = |phase: &&PhaseRecord| phase.loads.is_empty() && phase.probe.is_none();
    phases.iter().rev().find(is_quiet).map(|phase| run.window(phase))
}
