//! All assessments of a phase: which is the root, what follows from it, what
//! is clean, what was not seen.

mod episode;
mod intervention;
mod lists;
mod none;
mod notes;
mod plateau;
mod qualify;
mod rivals;
mod standing;

use lists::{exonerated, next, ranking, unobserved};

use super::{
    assess::{self, Assessment, FEWEST_SAMPLES, Held, LEAST_COVERAGE},
    cause, onset,
    outcome::{Cause, Data, Grade, Kind, LoadOutcome, Mention, PhaseOutcome, Verdict},
    resources::{ALL, Counts, Relation, Resource},
    shares, sight, words,
};
use crate::model::{
    catalogue::Class,
    run::{NodeData, PhaseRecord, Run},
    series::{Point, SignalSet},
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
    /// What the loads of this phase came to.
    loads: Vec<&'a LoadOutcome>,
    data: Data,
    /// Whether it is a part of a phase, found in the data.
    is_part: bool,
    /// What is left out of the signals because it was so before, in sentences.
    left_out: Vec<String>,
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
    let adjusted = standing::without_busy_before(run, node, index);
    let (node, left_out) = match &adjusted {
        Some((node, left_out)) => (node, left_out.as_slice()),
        None => (node, &[][..]),
    };
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
        left_out: left_out.to_vec(),
    };
    let mut assessments = case.assess(window, whole);
    sorted(&mut assessments);
    let (verdict, is_qualified) = case.qualified(&assessments);
    Some(PhaseOutcome {
        phase: phase.name.clone(),
        level: phase.level.as_ref().map(|level| level.value),
        start: whole.start,
        end: whole.end,
        verdict,
        ranking: ranking(&assessments),
        data,
        index,
        is_qualified,
    })
}

/// The nearest to a limit first.
fn sorted(assessments: &mut [Assessment]) {
    assessments.sort_by(|a, b| {
        Case::rank(b).partial_cmp(&Case::rank(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
}

impl Case<'_> {
    fn assess(&self, window: Window, whole: Window) -> Vec<Assessment> {
        self.assess_these(ALL, window, whole)
    }

    fn assess_these(
        &self,
        resources: &[&'static Resource],
        window: Window,
        whole: Window,
    ) -> Vec<Assessment> {
        let baseline = baseline(self.run, self.index);
        let mut assessments: Vec<Assessment> = resources
            .iter()
            .flat_map(|resource| {
                assess::resource(resource, &self.node.signals, window, whole, baseline)
            })
            .filter(|one| self.applies(one.resource, one.kind))
            .collect();
        self.mark_standing(&mut assessments);
        assessments
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
            // Of file systems, those of this machine first.
            -(order as f64) - if assessment.is_remote() { 0.5 } else { 0.0 }
        } else {
            assessment.utilization.unwrap_or(0.0)
        };
        let strength = if assessment.standing { 0 } else { assessment.kind.strength() };
        (strength, u8::from(moved), second)
    }

    /// The verdict with what the reader must know beside it.
    fn judged(&self, assessments: &[Assessment]) -> Verdict {
        self.with_notes(self.verdict(assessments), assessments, &self.left_out)
    }

    fn verdict(&self, assessments: &[Assessment]) -> Verdict {
        let unread = sight::unread(&self.node.signals, self.window);
        let unobserved = unobserved(assessments, &unread);
        if self.data.samples < FEWEST_SAMPLES {
            return Self::unknown(
                words::too_few(&self.node.record.name, self.phase, &self.data),
                unobserved,
            );
        }
        if let Some(generator) = self.generator(assessments, &unobserved) {
            return generator;
        }
        let mut roots: Vec<&Assessment> = Vec::new();
        let mut consequences = Vec::new();
        for assessment in assessments.iter().filter(|one| one.at_limit()) {
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
        roots.retain(|root| !self.is_of_the_watching(root));
        self.put_larger_first(&mut roots);
        let near = assessments.iter().find(|assessment| {
            assessment.kind == Kind::Near
                && !assessment.standing
                && !self.is_of_the_watching(assessment)
                && self.root_of(assessment, assessments).is_none()
        });
        if let Some(part) = roots.is_empty().then(|| self.episode()).flatten() {
            return part;
        }
        let Some(root) = roots.first().copied().or(near) else {
            return self.clean(assessments, unobserved);
        };
        let windows = (self.whole, baseline(self.run, self.index));
        let cause = cause::cause(root, &self.node.signals, self.own, self.is_loaded(), windows);
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
                has_load: self.run.manifest.phases.iter().any(|phase| !phase.loads.is_empty()),
                others: &others,
                busiest: self.busiest(root),
                hidden: sight::hidden_tasks(&self.node.signals, self.window).is_some(),
            }),
            evidence,
            consequences,
            exonerated: exonerated(assessments),
            unobserved,
            next: next(root, assessments),
            notes: Vec::new(),
        };
        self.tested(root, self.with_rivals(root, verdict))
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
                    && self.can_explain(other, assessment)
                    && (other.at_limit()
                        || (assessment.kind == Kind::Near && other.kind == Kind::Near))
                    && self.is_large_enough(other, assessment, assessments)
            });
            root && relation.when.is_none_or(|(signal, least)| {
                let signal = self.node.signals.get(signal, None);
                let median = signal.and_then(|signal| signal.median(self.window));
                median.is_some_and(|median| median >= least)
            })
        })
    }

    /// Whether a root binds enough of the machine to be why another resource is used up.
    fn is_large_enough(
        &self,
        root: &Assessment,
        of: &Assessment,
        assessments: &[Assessment],
    ) -> bool {
        let is_too_small =
            |group: &Assessment| shares::is_too_small(group, of, &self.node.signals, self.window);
        // Tasks that a small group holds back look confined to the core that others use up.
        let is_side_effect = || {
            let groups = assessments.iter().filter(|group| group.at_limit());
            let mut explaining = groups.filter(|group| {
                root.resource.follows.iter().any(|one| one.root == group.resource.name)
            });
            explaining.any(is_too_small)
        };
        !is_too_small(root) && !is_side_effect()
    }

    /// Groups that bind a smaller part of the machine than another root come after it.
    fn put_larger_first(&self, roots: &mut Vec<&Assessment>) {
        let seen = (&self.node.signals, self.window);
        let is_outranked = |group: &Assessment| {
            roots
                .iter()
                .any(|other| shares::is_outranked(group, other, seen, Self::rank(other).1 == 1))
        };
        let (small, large): (Vec<&Assessment>, Vec<&Assessment>) =
            roots.iter().partition(|one| is_outranked(one));
        *roots = large.into_iter().chain(small).collect();
    }

    /// Whether it was stressor itself, which watched, that kept a core busy.
    fn is_of_the_watching(&self, root: &Assessment) -> bool {
        if root.resource.name != "cpu-core" {
            return false;
        }
        let own = sight::own_cores(&self.node.signals, self.window).unwrap_or(0.0);
        let led_by = root.leading().map(|held| (held.criterion.signal, held.value));
        matches!(led_by, Some(("cpu_core_max", busy)) if own >= 0.5 * busy)
    }

    fn since(&self, root: &Assessment) -> Option<Timestamp> {
        let leading = root.leading()?;
        let is_near = root.kind == Kind::Near;
        let limit = |held: &Held| if is_near { held.criterion.near } else { held.criterion.limit };
        let signal =
            |held: &Held| self.node.signals.get(held.criterion.signal, held.device.as_deref());
        // What waits, and needs nothing else to count, can be there before a
        // ceiling is: a group re-reads its cache long before it has none left.
        let counting = root.held.iter().filter(|held| {
            let alone = held.class == Class::Saturation && held.criterion.counts == Counts::Alone;
            held.decides && (alone || held.class == Class::Utilization)
        });
        let from = |held: &Held| onset::since(signal(held)?, limit(held), self.window);
        counting.chain([leading]).filter_map(from).min().or_else(|| {
            // Errors come in single events: from the first one on.
            let signal = signal(leading)?;
            let first = signal.points_in(self.whole).find(|point| point.v >= limit(leading))?;
            // The sample before it, over nearly the same window, had none of it.
            let newest = self.data.interval_s.min(signal.window_s);
            Some(first.t.plus(-newest).max(self.whole.start))
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
                let median = core.median(self.window)?;
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
            Kind::Full if vital_unseen == 0 && (root.waits_seen() || root.fills_a_gpu()) => {
                Grade::Likely
            }
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
                let cores = one.median(self.window)?;
                Some((one.device.clone()?, cores)).filter(|_| cores >= 0.05)
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(3);
        all
    }

    fn is_loaded(&self) -> bool {
        let mine = self.node.record.loaded && !self.phase.loads.is_empty();
        // A load can be for some nodes only; of one machine, its workers may all
        // have failed before they were counted.
        let is_fleet = self.run.nodes.iter().any(|node| node.record.agent);
        mine && (!is_fleet || self.own.times.iter().any(|t| self.whole.contains(*t)))
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
            notes: Vec::new(),
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
