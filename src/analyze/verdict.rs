//! All assessments of a phase: which is the root, what follows from it, what
//! is clean, what was not seen.

use super::{
    assess::{self, Assessment, FEWEST_SAMPLES, LEAST_COVERAGE},
    cause, onset,
    outcome::{Cause, Data, Grade, Kind, Mention, PhaseOutcome, Ranked, Verdict},
    resources::{ALL, Relation},
    words, workload,
};
use crate::model::{
    run::{NodeData, PhaseRecord, Run},
    series::SignalSet,
    stats,
    time::{Timestamp, Window},
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
    data: Data,
}

/// Judge one phase of one node; `None` when there is no such phase.
pub(super) fn phase(
    run: &Run,
    node: &NodeData,
    index: usize,
    own: &SignalSet,
) -> Option<PhaseOutcome> {
    let phase = run.manifest.phases.get(index)?;
    let (whole, window) = (run.window(phase), run.steady(phase));
    let data = super::data(run, node, phase);
    let case = Case { run, node, phase, index, whole, window, own, data: data.clone() };
    let mut assessments = case.assess(window, whole);
    assessments.sort_by(|a, b| {
        Case::rank(b).partial_cmp(&Case::rank(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
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
        let Some(root) = roots.first().copied().or(near) else {
            return self.clean(assessments, unobserved);
        };
        let cause = cause::cause(root, &self.node.signals, self.own, self.is_loaded(), self.whole);
        let since = self.since(root);
        let grade = self.grade(root, &roots, &unobserved);
        let others = roots.get(1..).unwrap_or(&[]);
        let mut evidence = root.evidence(true);
        evidence.extend(others.iter().flat_map(|other| other.evidence(false)));
        Verdict {
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
                others,
            }),
            evidence,
            consequences,
            exonerated: exonerated(assessments),
            unobserved,
            next: next(root, assessments),
        }
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
        if root.resource.name != "cpu-core" {
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
        let complete = self.data.covers(LEAST_COVERAGE);
        let decisive = root.met.error || root.met.saturation;
        if root.kind != Kind::Saturated || !decisive || !complete {
            return Grade::Possible;
        }
        let vital_unseen = unobserved
            .iter()
            .filter(|mention| {
                super::resources::resource(&mention.resource).is_some_and(|one| one.vital)
            })
            .count();
        if vital_unseen > 2 {
            return Grade::Possible;
        }
        if vital_unseen == 0 && roots.len() == 1 && self.seen_before(root) && self.plateau() {
            return Grade::Confirmed;
        }
        Grade::Likely
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
        let Some((index, before)) = self.level_before() else { return false };
        let level = |phase: &PhaseRecord| phase.level.as_ref().map(|level| level.value);
        let growth = level(self.phase)
            .zip(level(before))
            .filter(|(now, then)| now > then && *then > 0.0)
            .map(|(now, then)| now / then - 1.0);
        let throughput = |index| workload::throughput(self.run, index).filter(|rate| *rate > 0.0);
        let gained =
            throughput(self.index).zip(throughput(index)).map(|(now, then)| now / then - 1.0);
        growth.zip(gained).is_some_and(|(growth, gained)| gained < 0.1 * growth)
    }

    fn level_before(&self) -> Option<(usize, &PhaseRecord)> {
        self.phase.level.as_ref()?;
        let index = self.index.checked_sub(1)?;
        let before = self.run.manifest.phases.get(index)?;
        (before.name == self.phase.name).then_some((index, before))
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
        let complete = self.data.covers(LEAST_COVERAGE);
        let waits_seen = self.node.signals.get("cpu_psi_some", None).is_some();
        Verdict {
            resource: "none".to_owned(),
            device: None,
            kind: Kind::None,
            grade: if complete && waits_seen { Grade::Likely } else { Grade::Possible },
            cause: if self.is_loaded() { Cause::Scenario } else { Cause::Unknown },
            since: None,
            statement: words::clean(&self.node.record.name, assessments, self.is_loaded()),
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
    phases.iter().rev().find(|phase| phase.loads.is_empty()).map(|phase| run.window(phase))
}

fn exonerated(assessments: &[Assessment]) -> Vec<Mention> {
    assessments
        .iter()
        .filter(|assessment| assessment.kind == Kind::Idle)
        .map(|assessment| Mention {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            text: words::clean_because(assessment),
        })
        .collect()
}

fn unobserved(assessments: &[Assessment]) -> Vec<Mention> {
    assessments
        .iter()
        .filter(|assessment| {
            assessment.kind == Kind::Unknown
                // Seen by its errors only: say what was not seen.
                || (assessment.utilization.is_none() && !assessment.resource.utilization.is_empty())
        })
        .map(|assessment| Mention {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            text: assessment.resource.blind.to_owned(),
        })
        .collect()
}

/// What would limit next: of the other resources with a known ceiling the one
/// nearest to it, with the load at which it would get there if its use grows
/// in proportion (the utilization law, U = X · S).
fn next(root: &Assessment, assessments: &[Assessment]) -> Option<Mention> {
    // A single core is part of the CPU, and a ceiling that is not known is no
    // base for a forecast.
    let part = |other: &Assessment| {
        other.resource.name == "cpu-core"
            || (other.resource.name.starts_with("cpu") && root.resource.name.starts_with("cpu"))
    };
    let (growth, next) = assessments
        .iter()
        .filter(|other| other.resource.name != root.resource.name && !part(other))
        .filter(|other| other.kind != Kind::Unknown && other.resource.ceiling_known)
        .filter_map(|other| {
            let (now, before) = other.utilization.zip(other.utilization_before)?;
            // Without a rise there is nothing to extrapolate.
            (now - before > 0.02).then(|| ((1.0 - before) / (now - before), other))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Mention {
        resource: next.resource.name.to_owned(),
        device: next.device.clone(),
        text: words::next(next, growth),
    })
}

/// The resource with the least headroom.
fn nearest(assessments: &[Assessment]) -> Option<Mention> {
    let nearest = assessments
        .iter()
        .filter(|other| other.resource.ceiling_known)
        .max_by(|a, b| a.utilization.unwrap_or(0.0).total_cmp(&b.utilization.unwrap_or(0.0)))?;
    Some(Mention {
        resource: nearest.resource.name.to_owned(),
        device: nearest.device.clone(),
        text: words::clean_because(nearest),
    })
}
