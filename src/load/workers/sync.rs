//! `sync`: calls sync(2). An operation is one call, a latency its time.

use super::{Context, Failure, due};
use crate::load::pacer::Schedule;

pub(in crate::load) fn run(rate: Option<f64>, context: &Context<'_>) -> Failure {
    let mut schedule = rate.map(Schedule::new);
    let start = context.begin();
    loop {
        let since = due(&mut schedule, start);
        nix::unistd::sync();
        context.done(1, 0, since.elapsed());
    }
}
