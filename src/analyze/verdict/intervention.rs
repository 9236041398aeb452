//! What taking a load away shows: whether it was the cause, and whether half of
//! it would have done as much.

use super::Case;
use crate::{
    analyze::{
        assess::Assessment,
        outcome::{Cause, Evidence, Grade, Kind, Verdict},
        workload,
    },
    model::{
        catalogue,
        run::{PhaseRecord, Step},
    },
};

/// Half of the load that does at least this share of the work: throughput does
/// not follow the load any more. Between one half (it follows) and one (it does
/// not at all), nearer to the latter.
const STILL_DONE: f64 = 0.8;

/// A step of the intervention, as it turned out.
struct Turn<'a> {
    index: usize,
    record: &'a PhaseRecord,
    load: usize,
    step: Step,
    /// Whether the resource was still at its limit; `None` without data.
    at_limit: Option<bool>,
    /// What its leading signal read.
    value: Option<f64>,
}

impl Case<'_> {
    /// Let the verdict stand the test, where there was one.
    pub(super) fn tested(&self, root: &Assessment, verdict: Verdict) -> Verdict {
        let turns = self.turns(root);
        if turns.is_empty() || root.kind != Kind::Saturated {
            return verdict;
        }
        let missing = turns.iter().any(|turn| turn.at_limit.is_none());
        if missing {
            return said(
                verdict,
                "The intervention is undecided: its steps are too short for the samples to tell.",
            );
        }
        let Some(away) =
            turns.iter().find(|turn| turn.step == Step::Away && turn.at_limit == Some(false))
        else {
            let mut verdict = said(
                verdict,
                "It stayed at its limit when the load was taken away: other work is behind it.",
            );
            verdict.cause = Cause::Foreign;
            return verdict;
        };
        let back = turns.iter().find(|turn| turn.step == Step::Back);
        if back.is_none_or(|turn| turn.at_limit != Some(true)) {
            return Verdict {
                kind: Kind::Unknown,
                grade: Grade::Insufficient,
                resource: "unknown".to_owned(),
                device: None,
                since: None,
                statement: format!(
                    "On {}, the verdict that {} was saturated is withdrawn: it did not come back when the load was given back.",
                    self.node.record.name,
                    root.title()
                ),
                ..verdict
            };
        }
        let work = |index: usize| workload::throughput_of(self.run, index, away.load);
        let halved = turns.iter().find(|turn| (turn.step, turn.load) == (Step::Half, away.load));
        let relieved = halved.is_some_and(|turn| turn.at_limit == Some(false));
        let half = halved
            .and_then(|turn| Some(work(turn.index)? / work(self.index).filter(|all| *all > 0.0)?));
        let flat = half.is_some_and(|share| share >= STILL_DONE);
        let kind = self.loads.iter().find(|load| load.load == away.load).map_or("", |l| &l.kind);
        let mut tested = verdict;
        tested.evidence.extend(self.evidence(root, away));
        if !(flat || relieved) {
            return said(
                tested,
                &format!(
                    "It went with the {kind} load and came back with it; whether throughput had stopped growing was not shown."
                ),
            );
        }
        let how = half.filter(|_| flat).map_or_else(
            || "half of it was no longer too much".to_owned(),
            |share| format!("half of it did {:.0} % of the work", (share * 100.0).min(999.0)),
        );
        let text = format!(
            "Confirmed by intervention: it went when the {kind} load was taken away, came back with it, and {how}."
        );
        let mut confirmed = said(tested, &text);
        confirmed.grade = Grade::Confirmed;
        confirmed
    }

    fn turns(&self, root: &Assessment) -> Vec<Turn<'_>> {
        let phases = self.run.manifest.phases.iter().enumerate();
        phases
            .filter_map(|(index, record)| {
                let probe = record.probe.filter(|probe| probe.of == self.index)?;
                let window = self.run.steady(record);
                let all = self.assess(window, self.run.window(record));
                let same = all.iter().find(|other| {
                    other.resource.name == root.resource.name && other.device == root.device
                });
                let seen = super::super::data(self.run, self.node, record).samples
                    >= super::FEWEST_SAMPLES;
                // A cgroup that went with its load limits nothing any more.
                let at_limit = seen.then(|| same.is_some_and(Assessment::at_limit));
                let leading = root.leading().map(|held| held.criterion.signal);
                let value = same.and_then(|one| {
                    one.held.iter().find(|held| Some(held.criterion.signal) == leading)
                });
                Some(Turn {
                    index,
                    record,
                    load: probe.load,
                    step: probe.step,
                    at_limit,
                    value: value.map(|held| held.value),
                })
            })
            .collect()
    }

    fn evidence(&self, root: &Assessment, away: &Turn<'_>) -> Option<Evidence> {
        let held = root.leading()?;
        let row = catalogue::signal(held.criterion.signal)?;
        let value = away.value.unwrap_or(0.0);
        let samples = super::super::data(self.run, self.node, away.record).samples;
        Some(Evidence {
            signal: row.name.to_owned(),
            device: held.device.clone(),
            class: "intervention",
            stat: held.criterion.stat.name(),
            before: Some(held.value),
            value,
            threshold: held.criterion.limit,
            unit: row.unit.name(),
            supports: true,
            samples,
            source: "the load was taken away and given back",
            text: format!(
                "{}: {} with the load, {} without it",
                row.what,
                row.unit.show(held.value),
                row.unit.show(value)
            ),
        })
    }
}

fn said(mut verdict: Verdict, text: &str) -> Verdict {
    verdict.statement = format!("{} {text}", verdict.statement);
    verdict
}
