//! Operations kept in flight by a thread for each.

use std::{
    os::unix::fs::FileExt as _,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{
    super::{Failure, due, failure, next},
    Common, Operation, blocks,
};
use crate::load::{pacer::Schedule, shared::Stage};

/// Work until killed. A buffer for each operation in flight.
pub(super) fn run(common: &Common<'_>, mut buffers: Vec<&mut [u8]>, seed: &mut u64) {
    let schedule = Mutex::new(common.schedule());
    std::thread::scope(|scope| {
        let first = buffers.pop();
        for (lane, buffer) in (1..).zip(buffers) {
            let (seed, schedule) = (next(seed) | 1, &schedule);
            let operate = move || operate(common, schedule, lane, buffer, seed);
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, operate) {
                // Fewer than were asked for would be another load.
                common.context.end(failure(Stage::Fork, &error));
            }
        }
        if let Some(buffer) = first {
            operate(common, &schedule, 0, buffer, next(seed) | 1);
        }
    });
}

/// One operation after the other; never returns.
fn operate(
    common: &Common<'_>,
    schedule: &Mutex<Option<Schedule>>,
    lane: u64,
    buffer: &mut [u8],
    mut seed: u64,
) {
    loop {
        let since = due_of_all(schedule, common.start);
        let operation = common.next(lane, &mut seed);
        match one(common, operation, buffer, &mut seed) {
            Ok(()) => common.context.done(1, common.work.block_size, since.elapsed()),
            Err(failure) => common.context.failed(failure),
        }
    }
}

fn due_of_all(schedule: &Mutex<Option<Schedule>>, start: Instant) -> Instant {
    // Nobody can have panicked while holding it: the schedule only counts.
    let mut schedule = schedule.lock().unwrap_or_else(PoisonError::into_inner);
    due(&mut schedule, start)
}

fn one(
    common: &Common<'_>,
    operation: Operation,
    buffer: &mut [u8],
    seed: &mut u64,
) -> Result<(), Failure> {
    let Operation { offset, write, flush } = operation;
    let verify = common.work.verify;
    if write {
        if verify {
            blocks::stamp(buffer, offset, seed);
        }
        common.file.write_all_at(buffer, offset).map_err(|error| failure(Stage::Write, &error))?;
    }
    if !write || verify {
        common.file.read_exact_at(buffer, offset).map_err(|error| failure(Stage::Read, &error))?;
    }
    if verify && !blocks::is_intact(buffer, offset) {
        return Err(Failure { stage: Stage::Verify, errno: libc::EILSEQ });
    }
    if flush {
        common.file.sync_data().map_err(|error| failure(Stage::Flush, &error))?;
    }
    Ok(())
}
