//! Whose load it was: the workers' share of what the node did.

use super::{assess::Assessment, outcome::Cause};
use crate::model::{catalogue, series::SignalSet, stats::Stat, time::Window, units::Unit};

/// From this share on the load was ours.
const MOSTLY: f64 = 0.8;
/// Up to this share it was not.
const HARDLY: f64 = 0.2;

/// `own` are the workers' signals; `loaded` says whether they ran on this node
/// in this phase.
pub(super) fn cause(
    assessment: &Assessment,
    node: &SignalSet,
    own: &SignalSet,
    loaded: bool,
    window: Window,
) -> Cause {
    if !loaded {
        return Cause::Foreign;
    }
    match share(assessment, node, own, window) {
        Some(share) if share >= MOSTLY => Cause::Scenario,
        Some(share) if share <= HARDLY => Cause::Foreign,
        Some(_) => Cause::Mixed,
        None => Cause::Unknown,
    }
}

/// Our share, 0 to 1; `None` where it is not measured.
pub(super) fn share(
    assessment: &Assessment,
    node: &SignalSet,
    own: &SignalSet,
    window: Window,
) -> Option<f64> {
    let (own_name, total_name) = assessment.resource.own?;
    // What is held at its most is compared at its peak (a worker that was
    // killed for memory held it until then); what flows, by its median.
    let stat = match catalogue::unit_of(total_name)? {
        Unit::Bytes => Stat::Max,
        _ => Stat::Percentile(50),
    };
    let own = own.get(own_name, None)?.stat(stat, window)?;
    let total = node
        .get(total_name, assessment.device.as_deref())
        .or_else(|| node.get(total_name, None))?;
    let total = total.stat(stat, window)?;
    (total > 0.0).then(|| (own / total).clamp(0.0, 1.0))
}
