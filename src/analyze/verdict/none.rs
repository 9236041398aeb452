//! No resource of this node is at its limit: nothing is, or what is lies
//! elsewhere (our own generator, the application), or not everything was seen.

use super::{
    Case,
    lists::{exonerated, nearest},
};
use crate::analyze::{
    assess::{Assessment, FEWEST_SAMPLES, LEAST_COVERAGE},
    outcome::{Cause, Grade, Kind, LoadOutcome, Mention, Verdict},
    resources::MANY_TASKS,
    sight, words,
    workload::{self, Starved},
};
use crate::model::{
    catalogue::Class,
    run::SourceKind,
    units::{Unit, three_digits},
};

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
        if let Some(why) = self.tasks_wait_elsewhere() {
            return Self::unknown(why, unobserved);
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
        let unmeasured = self.unmeasured(assessments);
        // Tasks that wait for half of the time wait for something.
        let is_open = self.median_of("cpu_psi_some").is_some_and(|waits| waits >= 0.5)
            || !self.sleepers().is_empty()
            || !unmeasured.is_empty()
            || !self.briefly_at_a_limit(assessments).is_empty();
        let is_sure = waits_seen && loads.is_none() && unread.is_empty() && !is_open;
        let load = match &loads {
            Some(Starvation::OfOperations(words)) => words.as_str(),
            _ if self.is_loaded() => "; the load did not reach this node's capacity",
            _ => "",
        };
        let mut statement = words::clean(&self.node.record.name, assessments, load);
        for one in &unread {
            statement.push_str(&format!(" Not all of it was seen: {}.", one.in_words()));
        }
        let briefly = self.briefly_at_a_limit(assessments);
        let remarks = self.bursts() + &self.sleepers() + &unmeasured + &briefly;
        Verdict {
            grade: if is_sure { nothing.grade } else { Grade::Possible },
            statement: statement + &remarks,
            ..nothing
        }
    }

    /// A word on cores and memory that were at their limit for a part of a past window, too
    /// short to be the window's verdict.
    fn briefly_at_a_limit(&self, assessments: &[Assessment]) -> String {
        if self.is_loaded() {
            return String::new();
        }
        let of_vital = assessments
            .iter()
            .filter(|one| one.resource.vital && one.resource.ceiling_known && !one.standing);
        let brief = of_vital.flat_map(|one| &one.held).filter_map(|held| {
            let criterion = held.criterion;
            if held.class != Class::Utilization || held.but.is_some() {
                return None;
            }
            let signal = self.node.signals.get(criterion.signal, held.device.as_deref())?;
            let points = signal.slice(self.window);
            let mut at_limit = points.iter().filter(|point| point.v >= criterion.limit);
            let met = at_limit.clone().count();
            let last = at_limit.next_back()?.t;
            (met >= FEWEST_SAMPLES).then(|| {
                format!(
                    " {} was at its limit in {met} of {} samples, the last time at {} UTC; that is too short for a finding: look at that time alone (--start, --end).",
                    criterion.signal,
                    points.len(),
                    last.clock()
                )
            })
        });
        brief.take(1).collect()
    }

    /// A word on what a node always has and whose use was not measured: the series may be
    /// filtered, or aggregated without the label that names the device.
    fn unmeasured(&self, assessments: &[Assessment]) -> String {
        let of_vital = assessments
            .iter()
            .filter(|one| one.resource.vital && !one.resource.utilization.is_empty())
            .filter(|one| one.held.iter().all(|held| held.class != Class::Utilization))
            .map(|one| one.resource.name);
        let mut names: Vec<&str> = of_vital.collect();
        // Without a speed a link has no utilization, but what it carries is counted.
        if self.node.record.source == SourceKind::Prometheus
            && self.node.signals.all("network_sent_bytes").is_empty()
        {
            names.push("network");
        }
        if !self.node.signals.all("disk_busy").is_empty()
            && self.node.signals.all("disk_queue").is_empty()
        {
            names.push("the disks' queues");
        }
        names.dedup();
        if names.is_empty() {
            return String::new();
        }
        format!(
            " The utilization of {} was not measured (the series are missing, or aggregated without the device label), so a limit there would not be detected.",
            names.join(", ")
        )
    }

    /// Many tasks sleep uninterruptibly and no local disk is busy: whatever they wait for
    /// is at its limit or away, so "no resource" would be wrong.
    fn tasks_wait_elsewhere(&self) -> Option<String> {
        let tasks = self.stuck_tasks()?;
        (!self.has_busy_disk()).then(|| {
            format!(
                "On {}, about {} tasks were in uninterruptible sleep and no local disk was busy for half of the time{}. These data do not show what they wait for: run `ps -eo state,wchan:32,args | grep ^D` on the node.",
                self.node.record.name,
                three_digits(tasks),
                self.mounts_in_words()
            )
        })
    }

    /// Whether some local disk is busy for half of the time.
    fn has_busy_disk(&self) -> bool {
        let disks = self.node.signals.all("disk_busy").iter();
        disks.filter_map(|disk| disk.median(self.window)).any(|busy| busy >= 0.5)
    }

    /// A word on tasks that slept uninterruptibly and are no limit by what was seen: those
    /// that wait for a disk that keeps up, and a load average that no running task explains.
    fn sleepers(&self) -> String {
        if let Some(tasks) = self.stuck_tasks() {
            return format!(
                " About {} tasks were blocked on I/O or in uninterruptible sleep. At least one local disk was busy, but no disk had a queue that counts as a limit.",
                three_digits(tasks)
            );
        }
        let load = self.node.signals.get("cpu_load1", None).map(|one| one.slice(self.window));
        let ends = load.and_then(|points| Some((points.first()?.v, points.last()?.v)));
        let Some((first, last)) = ends else { return String::new() };
        let running = self.median_of("cpu_runnable").unwrap_or(last);
        // One that falls is of what was before.
        if last < MANY_TASKS || last < 0.9 * first || running > last / 4.0 {
            return String::new();
        }
        format!(
            " The load average was {} with {} running or runnable tasks. It also counts tasks in uninterruptible sleep (state D), which wait for a disk, a driver or a remote file system: `ps -eo state,wchan:32,args | grep ^D` on the node lists them.",
            three_digits(last),
            three_digits(running)
        )
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
            "; the {} load got {} % of what it asked for, and no observed resource explains it",
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
            notes: Vec::new(),
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
