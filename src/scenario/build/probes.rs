//! Interventions: after a loaded phase, each of its loads is halved and taken
//! away, alone, and then all of it is given back. What follows which change
//! shows what causes what; no monitor can do this.

use std::time::Duration;

use super::loads::at_level;
use crate::{
    model::run::{Probe, Step},
    scenario::plan::{LoadPlan, PhasePlan, Work, Workers},
};

/// The phases with their interventions, each of which takes `hold`.
pub(super) fn inserted(phases: Vec<PhasePlan>, hold: Duration) -> Vec<PhasePlan> {
    let mut all: Vec<PhasePlan> = Vec::new();
    let mut phases = phases.into_iter().peekable();
    while let Some(phase) = phases.next() {
        // Of a ramp, its highest level.
        let goes_on = phases.peek().is_some_and(|next| next.name == phase.name);
        let of = all.len();
        let steps = if goes_on { Vec::new() } else { steps(&phase, of, hold) };
        all.push(phase);
        all.extend(steps);
    }
    all
}

fn steps(phase: &PhasePlan, of: usize, hold: Duration) -> Vec<PhasePlan> {
    if phase.loads.is_empty() {
        return Vec::new();
    }
    let step = |load: usize, step: Step, loads: Vec<LoadPlan>| PhasePlan {
        probe: Some(Probe { of, load, step }),
        duration: hold,
        loads,
        ..phase.clone()
    };
    let mut steps = Vec::new();
    for (index, load) in phase.loads.iter().enumerate() {
        if let Some(half) = half(load) {
            let mut loads = phase.loads.clone();
            if let Some(one) = loads.get_mut(index) {
                *one = half;
            }
            steps.push(step(index, Step::Half, loads));
        }
        let mut loads = phase.loads.clone();
        loads.remove(index);
        steps.push(step(index, Step::Away, loads));
    }
    steps.push(step(0, Step::Back, phase.loads.clone()));
    steps
}

/// Half of a load: half of its workers, or of what its one worker does at once.
fn half(load: &LoadPlan) -> Option<LoadPlan> {
    match load.workers {
        Workers::Count(count) if count > 1 => {
            Some(LoadPlan { workers: Workers::Count(count / 2), ..load.clone() })
        }
        Workers::PerCore(factor) => {
            Some(LoadPlan { workers: Workers::PerCore(factor / 2.0), ..load.clone() })
        }
        Workers::Count(_) => {
            let depth = match &load.work {
                Work::Disk(work) => work.depth,
                Work::Http(work) => work.connections,
                _ => 1,
            };
            (depth > 1).then(|| at_level(load, "depth", f64::from(depth / 2)).ok()).flatten()
        }
    }
}
