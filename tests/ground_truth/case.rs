//! A labelled case: how it is built, and what is true of it by construction.

use crate::lab::Part;

/// Which half of the families a case belongs to: thresholds are tuned on one
/// and judged by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Thresholds may be tuned on it.
    Tune,
    /// Only judges.
    Score,
}

/// What is true.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    /// Any of these resources.
    pub(crate) resources: &'static [&'static str],
    /// The device: a name, or `$DISK`, `$FS`, `lab` for the lab's cgroup.
    pub(crate) device: Option<&'static str>,
    /// Any of these kinds.
    pub(crate) kinds: &'static [&'static str],
}

/// A case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Variants of one mechanism; a family lies in one half as a whole.
    pub(crate) family: &'static str,
    pub(crate) half: Half,
    pub(crate) label: Label,
    /// What node_exporter can show of it, where that is less.
    pub(crate) from_prometheus: Option<Label>,
    pub(crate) parts: &'static [Part],
    /// Before the run, inside the limits.
    pub(crate) before: &'static str,
    /// The load, a shell text.
    pub(crate) load: &'static str,
    /// A shell condition that holds from when the limit is reached, where that is
    /// not when the load starts. It is watched from outside.
    pub(crate) reached: &'static str,
    /// Whether it is a matched negative or a trap: nothing is saturated.
    pub(crate) negative: bool,
    /// The load of our own generator, as a scenario says it: the case is then
    /// run with an intervention.
    pub(crate) own: &'static str,
}

pub(crate) const SATURATED: &[&str] = &["saturated"];
pub(crate) const FULL: &[&str] = &["full"];
pub(crate) const AT_LIMIT: &[&str] = &["saturated", "full"];

pub(crate) const fn is(resource: &'static [&'static str], kinds: &'static [&'static str]) -> Label {
    Label { resources: resource, device: None, kinds }
}

impl Label {
    /// The same, on a device.
    pub(crate) const fn on(self, device: &'static str) -> Self {
        Self { device: Some(device), ..self }
    }
}

/// Nothing is at its limit.
pub(crate) const NONE: Label = is(&["none"], &["none"]);
/// Nothing is seen of it; saying so is right, and so is finding nothing.
pub(crate) const UNSEEN: Label = is(&["none", "unknown"], &["none", "unknown"]);

/// A case in which something is at its limit.
pub(crate) const fn positive(
    name: &'static str,
    family: &'static str,
    half: Half,
    label: Label,
    parts: &'static [Part],
    load: &'static str,
) -> Case {
    Case {
        name,
        family,
        half,
        label,
        from_prometheus: None,
        parts,
        before: "",
        load,
        reached: "",
        negative: false,
        own: "",
    }
}

/// A matched negative or a trap.
pub(crate) const fn negative(
    name: &'static str,
    family: &'static str,
    half: Half,
    parts: &'static [Part],
    load: &'static str,
) -> Case {
    Case { negative: true, ..positive(name, family, half, NONE, parts, load) }
}

impl Case {
    pub(crate) const fn after(self, before: &'static str) -> Self {
        Self { before, ..self }
    }

    /// The same, with a load of our own generator that is intervened with.
    pub(crate) const fn with_our(self, own: &'static str) -> Self {
        Self { own, ..self }
    }

    /// The same, at its limit from when this shell condition holds.
    pub(crate) const fn reached_when(self, reached: &'static str) -> Self {
        Self { reached, ..self }
    }

    pub(crate) const fn seen_from_afar_as(self, label: Label) -> Self {
        Self { from_prometheus: Some(label), ..self }
    }
}
