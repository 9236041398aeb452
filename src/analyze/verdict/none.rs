//! No resource of this node is at its limit: nothing is, or what is lies
//! elsewhere (our own generator, the application), or not everything was seen.

use super::{
    Case,
    lists::{exonerated, nearest},
};
use crate::analyze::{
    assess::{Assessment, LEAST_COVERAGE},
    outcome::{Cause, Grade, Kind, LoadOutcome, Mention, Verdict},
    sight, words,
    workload::{self, Starved},
};
use crate::model::units::{Unit, three_digits};

/// A load that got much less than it asked for, for no reason that was seen.
enum Starvation {
    /// Of the time of idle cores.
    OfCores(Starved),
    /// Of operations or bytes, in words.
    OfOperations(String),
}

impl Case<'_> {
    /// The load generator itself was the limit: what was seen of the node is a
    /// lower bound.
    pub(super) fn generator(
        &self,
        assessments: &[Assessment],
        unobserved: &[Mention],
    ) -> Option<Verdict> {
        let load = self.late_generator()?;
        Some(Verdict {
            resource: "generator".to_owned(),
            kind: Kind::Saturated,
            statement: words::late_generator(&self.node.record.name, load),
            ..self.nothing_at_its_limit(assessments, unobserved.to_vec())
        })
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

    /// Nothing is near its limit, as far as was seen.
    pub(super) fn clean(&self, assessments: &[Assessment], unobserved: Vec<Mention>) -> Verdict {
        let blind: Vec<&Assessment> = assessments
            .iter()
            .filter(|assessment| assessment.kind == Kind::Unknown && assessment.resource.vital)
            .collect();
        if !blind.is_empty() {
            let statement = words::partly_blind(&self.node.record.name, &blind);
            return Self::unknown(statement, unobserved);
        }
        // What was not looked at for half of the time may have been at its limit.
        if !self.data.covers(0.5) {
            let statement = words::mostly_unseen(&self.node.record.name, self.phase, &self.data);
            return Self::unknown(statement, unobserved);
        }
        let loads = self.is_loaded().then(|| self.starvation()).flatten();
        if let Some(Starvation::OfCores(starved)) = &loads {
            let statement = words::starved(&self.node.record.name, starved);
            return Self::unknown(statement, unobserved);
        }
        let nothing = self.nothing_at_its_limit(assessments, unobserved);
        if self.is_loaded() && (self.plateau() || self.held_back()) {
            return Verdict {
                resource: "application".to_owned(),
                kind: Kind::Saturated,
                statement: words::application(&self.node.record.name, assessments),
                ..nothing
            };
        }
        let waits_seen = self.node.signals.get("cpu_psi_some", None).is_some();
        let unread = sight::unread(&self.node.signals, self.window);
        let is_sure = waits_seen && loads.is_none() && unread.is_empty();
        let load = match &loads {
            Some(Starvation::OfOperations(words)) => words.as_str(),
            _ if self.is_loaded() => "; the load did not reach this node's capacity",
            _ => "",
        };
        let mut statement = words::clean(&self.node.record.name, assessments, load);
        for one in &unread {
            statement.push_str(&format!(" Not all of it was seen: {}.", one.in_words()));
        }
        Verdict {
            grade: if is_sure { nothing.grade } else { Grade::Possible },
            statement: statement + &self.bursts(),
            ..nothing
        }
    }

    /// Whether the load got much less than it asked for, though nothing is at its limit.
    fn starvation(&self) -> Option<Starvation> {
        if let Some(starved) =
            workload::starved_of_cores(self.run, self.node, self.index, self.window)
        {
            return Some(Starvation::OfCores(starved));
        }
        let rates = [Unit::PerSecond, Unit::BytesPerSecond];
        let load = self.loads.iter().find(|load| {
            rates.iter().any(|unit| unit.name() == load.unit)
                && load.requested.is_some_and(|asked| load.achieved < workload::STARVED * asked)
        })?;
        let share = load.achieved / load.requested?.max(f64::MIN_POSITIVE);
        Some(Starvation::OfOperations(format!(
            "; the {} load got {} % of what it asked for, and nothing that was seen says why",
            load.kind,
            three_digits(share * 100.0)
        )))
    }

    /// What all of these have in common.
    fn nothing_at_its_limit(
        &self,
        assessments: &[Assessment],
        unobserved: Vec<Mention>,
    ) -> Verdict {
        let complete = self.data.covers(LEAST_COVERAGE);
        let vital = assessments.iter().filter(|assessment| assessment.resource.vital);
        Verdict {
            resource: "none".to_owned(),
            device: None,
            kind: Kind::None,
            grade: if complete { Grade::Likely } else { Grade::Possible },
            cause: if self.is_loaded() { Cause::Scenario } else { Cause::Unknown },
            since: None,
            statement: String::new(),
            evidence: vital.flat_map(|assessment| assessment.evidence(false)).collect(),
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
        let median = |name: &str| self.node.signals.get(name, None)?.median(self.window);
        let waits = median("cpu_psi_some").zip(median("cpu_busy"));
        match waits.filter(|(waits, busy)| *waits >= 0.2 && *waits >= 0.6 * busy) {
            Some((waits, busy)) => words::bursts(waits, busy),
            None => String::new(),
        }
    }
}
