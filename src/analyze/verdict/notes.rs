//! What the reader must know beside a verdict: what was so all the time, what was left
//! out of the figures, and what a percentage does not say.

use super::Case;
use crate::{
    analyze::{
        assess::{Assessment, FEWEST_SAMPLES},
        outcome::{Grade, Kind, Mention, Verdict},
    },
    model::{catalogue::CORE_TIME_OFF, series::Signal, time::Window, units::three_digits},
};

/// What two threads of one core do together, as a multiple of what one does alone: a
/// fifth to three tenths more (Marr et al., "Hyper-Threading Technology Architecture
/// and Microarchitecture", 2002: up to 30 %).
const TWO_THREADS: [f64; 2] = [1.2, 1.3];
/// Share of busy time from which on threads begin to share cores, and at which none is
/// left.
const SHARED: std::ops::Range<f64> = 0.5..0.95;
/// Notes of one kind that are given in full.
const MOST_NAMED: usize = 3;

impl Case<'_> {
    /// The verdict with its notes, each also a sentence of its statement.
    pub(super) fn with_notes(
        &self,
        mut verdict: Verdict,
        assessments: &[Assessment],
        left_out: &[String],
    ) -> Verdict {
        let mut notes: Vec<Mention> = Vec::new();
        let mut note = |resource: &str, device: Option<String>, text: String| {
            notes.push(Mention { resource: resource.to_owned(), device, text });
        };
        let standing: Vec<&Assessment> = assessments.iter().filter(|one| one.standing).collect();
        for one in standing.iter().take(MOST_NAMED) {
            let text = self.standing_note(one, verdict.kind).unwrap_or_else(|| standing_words(one));
            note(one.resource.name, one.device.clone(), text);
        }
        if let Some(more) = standing.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
            let text = format!("{more} more were also unchanged.");
            note("filesystem", None, text);
        }
        for text in left_out {
            note("cpu-core", None, text.clone());
        }
        let root = assessments.iter().find(|one| {
            one.resource.name == verdict.resource && one.kind == verdict.kind && !one.standing
        });
        for doubt in root.iter().flat_map(|root| &root.doubts) {
            verdict.grade = verdict.grade.min(Grade::Possible);
            note(&verdict.resource, verdict.device.clone(), doubt.clone());
        }
        if let Some(root) = root.filter(|root| !root.context.is_empty()) {
            let text = format!("Of memory: {}.", root.context.join("; "));
            note(root.resource.name, root.device.clone(), text);
        }
        let of_cpu = [self.cores_off(), self.cores_changed(), self.shared_cores(&verdict)];
        for text in of_cpu.into_iter().flatten() {
            note("cpu", None, text);
        }
        // Nobody knows what a device that has always been busy would do without that.
        if verdict.kind == Kind::None && standing.iter().any(|one| one.resource.vital) {
            verdict.grade = verdict.grade.min(Grade::Possible);
        }
        for note in &notes {
            verdict.statement.push(' ');
            verdict.statement.push_str(&note.text);
        }
        verdict.notes.extend(notes);
        verdict
    }

    fn signal(&self, name: &str) -> Option<&Signal> {
        self.node.signals.get(name, None)
    }

    /// Cores whose counters ran backwards or jumped.
    fn cores_off(&self) -> Option<String> {
        let mut cores: Vec<&str> = self
            .node
            .signals
            .all(CORE_TIME_OFF)
            .iter()
            // One interval in which a core goes off or comes back is no fault of counters.
            .filter(|core| core.slice(self.window).len() >= FEWEST_SAMPLES)
            .filter_map(|core| core.device.as_deref())
            .collect();
        cores.sort_by_key(|core| (core.len(), *core));
        let named: Vec<&str> = cores.iter().copied().take(8).collect();
        let more = if cores.len() > named.len() { " and others" } else { "" };
        (!cores.is_empty()).then(|| {
            format!(
                "The CPU time of core {}{more} does not add up to one second per second (a counter ran backwards or jumped): its samples are left out.",
                named.join(", ")
            )
        })
    }

    /// Cores that came or went within the window.
    fn cores_changed(&self) -> Option<String> {
        let cores = self.signal("cpu_cores")?;
        let quarter = self.window.seconds() / 4.0;
        let (start, end) = (self.window.start, self.window.end);
        let median = |window: Window| {
            let is_enough = cores.slice(window).len() >= FEWEST_SAMPLES;
            is_enough.then(|| cores.median(window)).flatten()
        };
        let before = median(Window { start, end: start.plus(quarter) })?.round();
        let after = median(Window { start: end.plus(-quarter), end })?.round();
        // Of many cores, rounding to ticks is a large part of one.
        let is_change = (before - after).abs() >= (0.01 * before).max(0.5);
        // Samples of cores that are left out are no cores that went.
        let is_off = !self.node.signals.all(CORE_TIME_OFF).is_empty();
        (is_change && !is_off).then(|| {
            format!(
                "The number of cores changed within the window, from {before} to {after}: percentages before and after the change are not comparable.",
            )
        })
    }

    /// The headroom in work, where threads share cores.
    fn shared_cores(&self, verdict: &Verdict) -> Option<String> {
        if !["cpu", "none"].contains(&verdict.resource.as_str()) {
            return None;
        }
        let threads = self.signal("cpu_threads_per_core")?.median(self.window)?;
        let busy = self.signal("cpu_busy")?.median(self.window)?;
        // Of four or eight threads no common figure is known.
        if !(1.5..2.5).contains(&threads) || !SHARED.contains(&busy) {
            return None;
        }
        let [low, high] = TWO_THREADS.map(|both| headroom(busy, both) * 100.0);
        Some(format!(
            "Two threads share each core here, so {} % busy leaves room for about {low:.0} to {high:.0} % more work, and not for {} %.",
            three_digits(busy * 100.0),
            three_digits((1.0 / busy - 1.0) * 100.0)
        ))
    }
}

/// Work that is still possible, as a share of what is done, where the threads are busy
/// for this share of the time (a half to one) and two of a core do `both` times the work
/// of one: the scheduler fills idle cores first, then second threads.
fn headroom(busy: f64, both: f64) -> f64 {
    let done = 1.0 + (2.0 * busy - 1.0) * (both - 1.0);
    both / done - 1.0
}

/// `the file system at /a (100 % in use)`.
fn standing_words(one: &Assessment) -> String {
    let used = one
        .utilization
        .map_or_else(String::new, |used| format!(" ({} % in use)", three_digits(used * 100.0)));
    if one.resource.ceiling_known {
        format!(
            "Not counted, because it has not changed since the first sample: {}{used}. Free space there if something must write to it.",
            one.title()
        )
    } else {
        format!(
            "Not counted, because it was equally busy before the load and did the same work: {}{used}.",
            one.title()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_threads_add_little() {
        assert!((headroom(0.5, 1.3) - 0.3).abs() < 1e-9);
        assert!((headroom(0.75, 1.2) - (1.2 / 1.1 - 1.0)).abs() < 1e-9);
        assert!(headroom(1.0, 1.3).abs() < 1e-9);
    }
}
