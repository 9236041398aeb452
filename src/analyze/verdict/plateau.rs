//! From one level of a ramp to the next: did throughput follow the load?

use super::Case;
use crate::{
    analyze::{
        assess::Assessment,
        outcome::{Evidence, Kind},
        workload,
    },
    model::{run::PhaseRecord, units::Unit},
};

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

impl Case<'_> {
    /// Whether the level before this one was saturated by the same resource.
    pub(super) fn seen_before(&self, root: &Assessment) -> bool {
        let Some((_, before)) = self.level_before() else { return false };
        self.assess(self.run.steady(before), self.run.window(before)).iter().any(|other| {
            other.resource.name == root.resource.name
                && other.device == root.device
                && other.kind == Kind::Saturated
        })
    }

    /// Whether throughput grew by less than a tenth of what the offered load
    /// grew by, from the level before to this one.
    pub(super) fn plateau(&self) -> bool {
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
    pub(super) fn plateau_evidence(&self) -> Option<Evidence> {
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
}
