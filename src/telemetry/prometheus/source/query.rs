//! What is asked for together, and what an answer is once it is known whose it is.

use std::collections::BTreeSet;

use crate::{
    model::{
        catalogue::{self, SignalRow},
        expr::Expr,
        series::{Point, SAME_BOOT_S},
    },
    telemetry::prometheus::{client::Error, machines::Labels, places::Owners},
};

/// Whether the server refused a query for its size, and would compute a smaller one.
pub(super) fn is_limit(error: &Error) -> bool {
    matches!(error, Error::TooLarge { .. } | Error::Limit { .. })
}

/// Keeps the first point and those at which the value changed.
pub(super) fn keep_changes(points: &mut Vec<Point>) {
    let mut last: Option<f64> = None;
    points.retain(|point| {
        let is_change = last.is_none_or(|last| (point.v - last).abs() > SAME_BOOT_S);
        if is_change {
            last = Some(point.v);
        }
        is_change
    });
}

/// One signal of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Seconds over which its points are averaged.
    pub(super) averaged_s: f64,
    /// The expression, which tells the device from the labels.
    pub(super) expr: Option<&'static Expr>,
}

/// Signals that are asked for together.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) parts: Vec<Part>,
    /// The machines that it is limited to; `None` for all.
    pub(super) machines: Option<Vec<usize>>,
    /// Whether CPU time counts only of cores whose counters are in order.
    pub(super) is_guarded: bool,
}

/// What must be known of some machines to take answers.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Of machines that are seen twice, whose samples count when.
    pub(super) owners: Owners,
    /// Machines with cores whose counters of CPU time are not in order.
    pub(super) cores_off: BTreeSet<usize>,
}

impl Context {
    /// Whether a guarded query gives this signal of this machine, or the answer is to one
    /// and of a machine that needs none.
    pub(super) fn is_replaced(&self, query: &Query, one: &Found) -> bool {
        let uses_cpu_time = catalogue::signal(one.name).is_some_and(SignalRow::uses_cpu_time);
        uses_cpu_time && self.cores_off.contains(&one.machine) != query.is_guarded
    }
}

/// An answer that was assigned to a machine.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: &'static str,
    pub(super) machine: usize,
    pub(super) target: usize,
    pub(super) device: Option<String>,
    /// The labels of its target.
    pub(super) labels: Labels,
    pub(super) points: Vec<Point>,
    pub(super) averaged_s: f64,
}
