//! The sentences of a verdict.

use super::{
    assess::{Assessment, Held},
    outcome::{Cause, Data, Kind, LoadOutcome},
    workload::Starved,
};
use crate::model::{
    catalogue::{self, Class},
    run::PhaseRecord,
    time::{Timestamp, Window},
    units::three_digits,
};

/// What a statement is made of.
pub(super) struct Facts<'a> {
    pub(super) node: &'a str,
    pub(super) run_start: Timestamp,
    pub(super) root: &'a Assessment,
    pub(super) since: Option<Timestamp>,
    pub(super) cause: Cause,
    /// Whether the run puts a load on any node.
    pub(super) has_load: bool,
    pub(super) others: &'a [(&'a Assessment, Meeting)],
    /// Processes and the cores that each used.
    pub(super) busiest: Vec<(String, f64)>,
    /// Whether there are processes that cannot be seen.
    pub(super) hidden: bool,
}

/// How two resources that were at their limit share the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Most of the time together.
    Simultaneous,
    /// One after the other.
    Alternating,
    /// A part of the time together.
    Partly,
}

/// The verdict in one sentence, and one more for what else there was.
pub(super) fn statement(facts: &Facts<'_>) -> String {
    let root = facts.root;
    let since = facts.since.map_or_else(String::new, |since| {
        let offset = since.since(facts.run_start).max(0.0);
        format!("from {} UTC (T+{offset:.1} s) on, ", since.clock())
    });
    let was = match root.kind {
        Kind::Saturated => "was saturated",
        Kind::Full => "was fully used and nothing waited for it yet",
        _ => "was near its limit",
    };
    let mut because: Vec<String> = Vec::new();
    for class in [Class::Error, Class::Utilization, Class::Saturation] {
        let strongest = root
            .held
            .iter()
            .filter(|held| {
                let shows_use = class == Class::Utilization && held.but.is_none();
                held.class == class && (held.decides || shows_use)
            })
            .max_by(|a, b| (a.value / a.criterion.limit).total_cmp(&(b.value / b.criterion.limit)));
        because.extend(strongest.map(measured));
    }
    // A signal can say both that a limit is used up and that work waits for it.
    because.dedup();
    let mut text =
        format!("On {}, {since}{} {was}: {}.", facts.node, root.title(), because.join("; "));
    match facts.cause {
        // Where nobody put a load on, there is none to compare with.
        _ if !facts.has_load => (),
        Cause::Foreign => text.push_str(" It was not this scenario's load."),
        Cause::Mixed => text.push_str(" Only a part of it was this scenario's load."),
        Cause::Scenario | Cause::Unknown => (),
    }
    if root.hinted {
        text.push_str(
            " This is concluded from what the rest of the machine shows; the limit itself was not seen.",
        );
    }
    if facts.cause != Cause::Scenario && !facts.busiest.is_empty() {
        let busiest: Vec<String> = facts
            .busiest
            .iter()
            .map(|(process, cores)| format!("{process} {} cores", three_digits(*cores)))
            .collect();
        let of = if facts.hidden { " of those that can be seen" } else { "" };
        text.push_str(&format!(" Busiest{of}: {}.", busiest.join(", ")));
    }
    for (meeting, words) in [
        (Meeting::Simultaneous, "At its limit at the same time"),
        (Meeting::Alternating, "At its limit in turn with it"),
        (Meeting::Partly, "At its limit for a part of the same time"),
    ] {
        let others: Vec<String> = facts
            .others
            .iter()
            .filter(|(_, how)| *how == meeting)
            .map(|(other, _)| format!("{} ({})", other.title(), other.kind.name()))
            .collect();
        if !others.is_empty() {
            text.push_str(&format!(" {words}: {}.", others.join(", ")));
        }
    }
    text
}

/// `99.9 % of all cores' time spent working`.
fn measured(held: &Held) -> String {
    let Some(row) = catalogue::signal(held.criterion.signal) else {
        return held.criterion.signal.to_owned();
    };
    // `share of …: 99 %` reads better as `99 % of …`.
    match row.what.strip_prefix("share of ") {
        Some(of) => format!("{} of {of}", row.unit.show(held.value)),
        None => format!("{} {}", row.unit.show(held.value), row.what),
    }
}

/// Why a resource is not the one.
pub(super) fn clean_because(assessment: &Assessment) -> String {
    let parts: Vec<String> = assessment
        .held
        .iter()
        .filter_map(|held| {
            let row = catalogue::signal(held.criterion.signal)?;
            Some(format!("{} {}", row.name, row.unit.show(held.value)))
        })
        .collect();
    let parts: Vec<String> = parts.into_iter().chain(assessment.context.clone()).collect();
    if parts.is_empty() { "no signal of it was seen".to_owned() } else { parts.join(", ") }
}

/// Nothing is near its limit.
pub(super) fn clean(node: &str, assessments: &[Assessment], load: &str) -> String {
    // Those that a load uses up; how full a file system is says nothing of it.
    let nearest = assessments
        .iter()
        .filter(|assessment| assessment.utilization.is_some() && assessment.resource.vital)
        // Busy all the time says nothing of a disk that can do more at once.
        .filter(|assessment| assessment.resource.ceiling_known)
        .max_by(|a, b| a.utilization.unwrap_or(0.0).total_cmp(&b.utilization.unwrap_or(0.0)));
    let closest = nearest.map_or_else(String::new, |nearest| {
        format!(
            "; of cores and memory the closest was {} at {} % of its ceiling",
            nearest.title(),
            three_digits(nearest.utilization.unwrap_or(0.0) * 100.0)
        )
    });
    format!("On {node}, no resource was near its limit{closest}{load}.")
}

/// Nothing is near its limit, but not everything was seen.
pub(super) fn partly_blind(node: &str, blind: &[&Assessment]) -> String {
    let list: Vec<String> = blind
        .iter()
        .map(|assessment| format!("{} ({})", assessment.resource.name, assessment.resource.blind))
        .collect();
    format!(
        "On {node}, no observed resource was near its limit, but not all were observed: {}.",
        list.join("; ")
    )
}

/// Not enough samples.
pub(super) fn too_few(node: &str, phase: &PhaseRecord, data: &Data) -> String {
    format!(
        "On {node}, phase {} cannot be judged: {} of {} samples are there, and {} are the least. Make the phase longer or sample more often.",
        phase.label(),
        data.samples,
        data.expected,
        super::assess::FEWEST_SAMPLES
    )
}

/// Too little was seen to say that nothing was at its limit.
pub(super) fn mostly_unseen(node: &str, phase: &PhaseRecord, data: &Data) -> String {
    format!(
        "On {node}, nothing was seen at its limit in phase {}, but {} of {} samples are there: too few to say that nothing was.",
        phase.label(),
        data.samples,
        data.expected
    )
}

/// What would limit next.
pub(super) fn next(assessment: &Assessment, growth: f64) -> String {
    format!(
        "{} would be next, at about {} × this load: {} % of its ceiling now, if its use grows in proportion",
        assessment.title(),
        three_digits(growth),
        three_digits(assessment.utilization.unwrap_or(0.0) * 100.0)
    )
}

/// A load that its own workers were too slow for.
pub(super) fn late_generator(node: &str, load: &LoadOutcome) -> String {
    let asked = load.requested.unwrap_or(0.0);
    format!(
        "On {node}, the load generator was the limit: its {} {} workers had no CPU time left and did {} of {} operations asked each second. What this shows of the node is a lower bound; use more workers.",
        load.workers,
        load.kind,
        three_digits(load.achieved),
        three_digits(asked)
    )
}

/// Throughput stopped growing, and no resource is behind it.
pub(super) fn application(node: &str, assessments: &[Assessment]) -> String {
    let unseen: Vec<&str> = assessments
        .iter()
        .filter(|assessment| assessment.kind == Kind::Unknown)
        .map(|assessment| assessment.resource.name)
        .collect();
    let but = if unseen.is_empty() {
        String::new()
    } else {
        format!(" (not observed: {})", unseen.join(", "))
    };
    format!(
        "On {node}, throughput fell behind what was offered and no observed resource was near its limit{but}: the limit lies in the application, or in something it waits for elsewhere."
    )
}

/// The load got less of the cores than it asked for, nobody else had them, and nothing says
/// who withheld them.
pub(super) fn starved(node: &str, starved: &Starved) -> String {
    format!(
        "On {node}, nothing was seen at its limit, and yet the workers got {} of the {} cores that they asked for while {} cores were idle: something that is not in sight of this process held them back. Look at cpu.stat of the cgroups above this one (a container's or pod's CPU quota), at the affinity mask (cpuset) and at the hypervisor.",
        three_digits(starved.got),
        three_digits(starved.asked),
        three_digits(starved.idle)
    )
}

/// Bursts that a sample averages away.
pub(super) fn bursts(waits: f64, busy: f64) -> String {
    format!(
        " Work came in bursts shorter than a sample: the cores were busy {} % of the time, and in {} % of it tasks waited for one. Sample more often to see them.",
        three_digits(busy * 100.0),
        three_digits(waits * 100.0)
    )
}

/// How much of a window a verdict is of.
pub(super) fn for_a_part(part: Window, window: Window) -> String {
    format!(
        "It was so for {} s of the {} s of the window, until {} UTC.",
        three_digits(part.seconds()),
        three_digits(window.seconds()),
        part.end.clock()
    )
}
