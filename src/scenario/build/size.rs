//! How many phases and loads a scenario may come to: a ramp and `confirm` make many of a
//! few bytes.

use std::ops::Range;

use super::super::{diagnostic::Diagnostic, plan::PhasePlan};

/// Phases of a scenario at most, each level of a ramp one.
pub(super) const MOST_PHASES: usize = 10_000;
/// Loads of all phases and levels together at most.
pub(super) const MOST_LOADS: usize = 100_000;

pub(super) fn too_many(place: &Range<usize>, phases: usize, loads: usize) -> Diagnostic {
    Diagnostic::new(
        place.clone(),
        format!("up to here there are {phases} phases in all, and {loads} loads in all"),
    )
    .allowed(format!("{MOST_PHASES} phases, each level of a ramp one, and {MOST_LOADS} loads"))
}

/// What is wrong with confirming these phases: up to three phases come for each load, each
/// with all of them.
pub(super) fn of_probes(phases: &[PhasePlan]) -> Option<fn(Range<usize>) -> Diagnostic> {
    let squares = phases.iter().map(|phase| 3 * phase.loads.len().pow(2));
    (squares.sum::<usize>() > MOST_LOADS).then_some(|place| {
        Diagnostic::new(place, "`confirm` has too many loads to halve and take away")
            .hint("leave it out, or confirm a scenario of fewer loads")
    })
}
