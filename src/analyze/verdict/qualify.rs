//! What makes a verdict doubtful whatever it says: samples that do not cover the window,
//! another boot or machine within it, data whose meaning is not known. It is said in the
//! statement, and the verdict is `possible` at most.

use super::{Case, sorted};
use crate::{
    analyze::{
        assess::{Assessment, LEAST_COVERAGE},
        coverage::{self, Coverage},
        outcome::{Grade, Kind, Verdict},
    },
    model::{
        catalogue::CORE_TIME_OFF,
        run::{PhaseRecord, SourceKind},
        series::{Break, Change},
        time::Window,
    },
};

/// Caveats that a statement names; the others are in the notes.
const MOST_NAMED: usize = 2;

impl Case<'_> {
    /// The verdict on the phase, and whether something makes it doubtful.
    pub(super) fn qualified(&self, assessments: &[Assessment]) -> (Verdict, bool) {
        let (mut verdict, mut is_qualified) = self.of_what_was_seen(assessments);
        if let Some(text) = self.burst(&verdict) {
            verdict.statement.push_str(&text);
            verdict.grade = verdict.grade.min(Grade::Possible);
        }
        let caveats = self.caveats();
        if !caveats.is_empty() && verdict.kind != Kind::Unknown {
            let named: Vec<&str> = caveats.iter().take(MOST_NAMED).map(String::as_str).collect();
            verdict.statement = format!(
                "{} Confidence is limited by the data: {}.",
                verdict.statement,
                named.join("; ").trim_end_matches('.')
            );
            is_qualified = true;
        }
        if is_qualified {
            verdict.grade = verdict.grade.min(Grade::Possible);
        }
        (verdict, is_qualified)
    }

    /// The verdict on the part of the window that has samples, part by part where another
    /// boot or machine begins.
    fn of_what_was_seen(&self, assessments: &[Assessment]) -> (Verdict, bool) {
        let node = &self.node.record;
        let signals = &self.node.signals;
        let parts = coverage::parts(signals, self.window);
        if parts.len() > 1 {
            return (self.part_by_part(&parts), true);
        }
        let coverage = Coverage::of(signals, self.window);
        // The own sampler's lost samples are its own, and the notes have them.
        if node.source == SourceKind::Embedded
            || coverage.missing >= 1.0
            || coverage.is_whole(self.window)
        {
            return (self.judged(assessments), false);
        }
        let mut verdict = if coverage.present == self.window {
            self.judged(assessments)
        } else {
            self.part(coverage.present)
        };
        verdict.statement =
            format!("{}{}", coverage.preamble(&node.name, self.window), verdict.statement);
        (verdict, true)
    }

    /// The verdict on a part of the window.
    fn part(&self, part: Window) -> Verdict {
        let record = PhaseRecord {
            start: part.start,
            steady: Some(part.start),
            end: Some(part.end),
            ..self.phase.clone()
        };
        let case = Case {
            phase: &record,
            whole: part,
            window: part,
            data: crate::analyze::data(self.run, self.node, &record),
            loads: self.loads.clone(),
            left_out: self.left_out.clone(),
            ..*self
        };
        let mut assessments = case.assess(part, part);
        sorted(&mut assessments);
        case.judged(&assessments)
    }

    /// The strongest of the parts' verdicts, with a statement that has all of them.
    fn part_by_part(&self, parts: &[(Window, Option<&Break>)]) -> Verdict {
        let name = &self.node.record.name;
        let mut text = String::new();
        let mut strongest: Option<Verdict> = None;
        let mut is_rebooted = false;
        for (part, begun_by) in parts {
            if let Some(one) = begun_by {
                is_rebooted |= matches!(one.change, Change::Reboot(_));
                text += &format!(" {}", coverage::describe(name, one));
            }
            text += if begun_by.is_none() { " Before the first change: " } else { " After that: " };
            if !coverage::can_be_judged(&self.node.signals, *part) {
                text += "too few samples for a verdict.";
                continue;
            }
            let verdict = self.part(*part);
            text += &verdict.statement;
            let rank = |one: &Verdict| (one.kind.strength(), one.grade);
            if strongest.as_ref().is_none_or(|known| rank(&verdict) > rank(known)) {
                strongest = Some(verdict);
            }
        }
        let mut verdict = strongest.unwrap_or_else(|| Self::unknown(String::new(), Vec::new()));
        verdict.statement = format!("On {name}, the window is judged in parts.{text}");
        let is_clean = matches!(verdict.kind, Kind::None | Kind::Near);
        if is_rebooted && is_clean && self.is_loaded() {
            let statement = format!(
                "{} The samples do not show why it was rebooted: check its console and kernel log (`journalctl -k -b -1`).",
                verdict.statement
            );
            return Self::unknown(statement, verdict.unobserved);
        }
        verdict
    }

    /// Reasons to doubt the data of this node.
    fn caveats(&self) -> Vec<String> {
        let node = &self.node.record;
        let of_run = self.run.manifest.caveats.iter();
        let mut all: Vec<String> = of_run
            .filter(|caveat| caveat.node.as_ref().is_none_or(|name| *name == node.name))
            .map(|caveat| caveat.text.clone())
            .collect();
        all.extend(self.missing_modes());
        all.extend(self.partly_measured());
        let has = |signal: &str| !self.node.signals.all(signal).is_empty();
        if has("cpu_busy") && !has("cpu_core_max") {
            all.push(
                "CPU time is not split by core (the label `cpu` was aggregated away), so a single busy core would not be seen"
                    .to_owned(),
            );
        }
        all
    }

    /// CPU time that does not add up over the modes: a mode was dropped on the way, and every
    /// share of CPU time is a share of something else.
    fn missing_modes(&self) -> Option<String> {
        const ABOUT_ONE: std::ops::RangeInclusive<f64> = 0.8..=1.2;
        let signals = &self.node.signals;
        let seconds = signals.get("cpu_cores", None)?.median(self.window)?;
        let each = signals.all("cpu_core_busy").iter();
        let cores = each.filter(|core| !core.slice(self.window).is_empty()).count();
        let is_judged = self.node.record.source == SourceKind::Prometheus
            && cores > 0
            && signals.all(CORE_TIME_OFF).is_empty();
        (is_judged && !ABOUT_ONE.contains(&(seconds / cores as f64))).then(|| {
            format!(
                "the modes of {cores} cores add up to {seconds:.2} CPU seconds per second, so a mode is missing (dropped by relabeling?) and shares of CPU time are wrong"
            )
        })
    }

    /// Signals that a verdict needs and that end within the window, or begin in it, while
    /// others go on.
    fn partly_measured(&self) -> Option<String> {
        /// A rate needs samples before its first point, and one may be missing at each end.
        const SLACK: usize = 7;
        if self.node.record.source != SourceKind::Prometheus {
            return None;
        }
        let signals = &self.node.signals;
        let there = signals.times.iter().filter(|t| self.window.contains(**t)).count();
        let names = ["cpu_busy", "cpu_psi_some", "memory_used_ratio", "disk_busy", "io_psi_some"];
        let partial: Vec<String> = names
            .iter()
            .filter_map(|name| {
                let lengths = signals.all(name).iter().map(|one| one.slice(self.window).len());
                let most = lengths.max()?;
                let is_partial = ((most + SLACK) as f64) < LEAST_COVERAGE * there as f64;
                is_partial.then(|| format!("{name} has {most} of {there} samples"))
            })
            .collect();
        (!partial.is_empty())
            .then(|| format!("{}, while other series of the node go on", partial.join(", ")))
    }

    /// Refusals that came in a burst of a longer window.
    fn burst(&self, verdict: &Verdict) -> Option<String> {
        const OFTEN: f64 = 0.2;
        let is_cut = self.is_loaded() || self.phase.level.is_some() || self.phase.probe.is_some();
        let mut supporting = verdict.evidence.iter().filter(|one| one.supports);
        let leading = supporting
            .next()
            .filter(|one| one.class == "error" && verdict.kind == Kind::Saturated && !is_cut)?;
        // What also waits, or has no room left, is no single burst.
        if supporting.any(|one| one.class != "error") {
            return None;
        }
        let signal = self.node.signals.get(&leading.signal, leading.device.as_deref())?;
        let points = signal.slice(self.window);
        let met: Vec<_> =
            points.iter().filter(|point| point.v >= leading.threshold).map(|one| one.t).collect();
        let (first, last) = (met.first()?, met.last()?);
        let is_burst = (met.len() as f64) < OFTEN * points.len() as f64;
        is_burst.then(|| {
            format!(
                " This was so in {} of {} samples, from {} to {} UTC, and not in the rest of the window.",
                met.len(),
                points.len(),
                first.clock(),
                last.clock()
            )
        })
    }
}
