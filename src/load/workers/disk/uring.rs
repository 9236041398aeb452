//! Operations kept in flight by io_uring: one thread, one system call for as
//! many operations as are ready.

#![expect(unsafe_code, reason = "the kernel is handed pointers to our buffers")]

use std::{
    io,
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use io_uring::{
    EnterFlags, IoUring, opcode, squeue,
    types::{Fixed, FsyncFlags, SubmitArgs, Timespec},
};

use super::{
    super::{Failure, failure},
    Common, Operation, blocks,
};
use crate::load::{
    pacer::{Due, Schedule},
    shared::Stage,
};

/// A ring for `depth` operations, with the file registered.
///
/// # Errors
/// Where io_uring is not built in, switched off, or forbidden (a container's
/// seccomp filter, `kernel.io_uring_disabled`).
pub(super) fn ring(common: &Common<'_>) -> io::Result<IoUring> {
    let depth = common.work.depth;
    let ring = IoUring::builder()
        // Completions are reaped by this thread alone, when it asks: without
        // these, each one that arrives sends this CPU an interrupt.
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(depth)
        // Kernels before 6.1 do not know these, those before 5.19 not the next.
        .or_else(|_| IoUring::builder().setup_coop_taskrun().build(depth))
        .or_else(|_| IoUring::new(depth))?;
    ring.submitter().register_files(&[common.file.as_raw_fd()])?;
    Ok(ring)
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing to do until the next one is due.
    Free,
    /// The block is on its way.
    Move { write: bool },
    /// What was written is read back.
    Check,
    /// What was written is flushed.
    Flush,
}

/// One operation in flight.
struct Flight<'a> {
    buffer: &'a mut [u8],
    operation: Operation,
    since: Instant,
    step: Step,
    /// Bytes of the block that have been moved.
    moved: usize,
}

/// Work until killed, or until the ring breaks.
pub(super) fn run(
    common: &Common<'_>,
    mut ring: IoUring,
    buffers: Vec<&mut [u8]>,
    seed: &mut u64,
) -> Failure {
    let mut schedule = common.schedule();
    let mut flights: Vec<Flight<'_>> = buffers
        .into_iter()
        .map(|buffer| Flight {
            buffer,
            operation: Operation { offset: 0, write: false, flush: false },
            since: common.start,
            step: Step::Free,
            moved: 0,
        })
        .collect();
    let mut free: Vec<usize> = (0..flights.len()).collect();
    let mut completed: Vec<(usize, i32)> = Vec::with_capacity(flights.len());
    loop {
        let submitted = match begin(common, &mut schedule, &mut flights, &mut free, &mut ring, seed)
        {
            Begun::One => hand_over(&mut ring),
            Begun::None(Due::Now(_)) => ring.submit_and_wait(1),
            // Nothing is in flight and nothing is due.
            Begun::None(Due::In(wait)) if free.len() == flights.len() => {
                std::thread::sleep(wait);
                continue;
            }
            Begun::None(Due::In(wait)) => {
                let until = Timespec::from(wait);
                ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&until))
            }
        };
        match submitted {
            Ok(_) => (),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY)
                ) => {}
            Err(error) => return failure(Stage::Uring, &error),
        }
        completed.clear();
        completed.extend(
            ring.completion().filter_map(|entry| {
                Some((usize::try_from(entry.user_data()).ok()?, entry.result()))
            }),
        );
        for (index, result) in completed.iter().copied() {
            let Some(flight) = flights.get_mut(index) else { continue };
            if let Err(failure) = advance(common, flight, result) {
                common.context.failed(failure);
                flight.step = Step::Free;
            }
            if flight.step == Step::Free {
                free.push(index);
            } else {
                submit(common, &mut ring, flight, index);
            }
        }
    }
}

/// Whether an operation was begun.
enum Begun {
    One,
    /// None, since all are in flight (then one is due `Now`), or until one is due.
    None(Due),
}

/// Begin an operation if one is due and one is free.
fn begin(
    common: &Common<'_>,
    schedule: &mut Option<Schedule>,
    flights: &mut [Flight<'_>],
    free: &mut Vec<usize>,
    ring: &mut IoUring,
    seed: &mut u64,
) -> Begun {
    let Some(index) = free.last().copied() else { return Begun::None(Due::Now(Duration::ZERO)) };
    let since = match schedule {
        None => Instant::now(),
        Some(schedule) => match schedule.next(common.start.elapsed()) {
            Due::In(wait) => return Begun::None(Due::In(wait)),
            Due::Now(scheduled) => common.start + scheduled,
        },
    };
    free.pop();
    if let Some(flight) = flights.get_mut(index) {
        flight.operation = common.next(index as u64, seed);
        flight.since = since;
        flight.moved = 0;
        let Operation { offset, write, .. } = flight.operation;
        if write && common.work.verify {
            blocks::stamp(flight.buffer, offset, seed);
        }
        flight.step = Step::Move { write };
        submit(common, ring, flight, index);
    }
    Begun::One
}

/// Hand the kernel what is in the queue, and let it say what it has finished,
/// without waiting.
///
/// Each operation goes by itself: a disk that gets each as soon as it is there
/// has more to do meanwhile than one that waits for all of them (virtio, depth
/// 32: 90,000 against 74,000 reads per second). And each brings back what has
/// been finished: else all would be out before one is looked at, the disk
/// would have none left by then, and so on in step (120,000 against 200,000
/// writes per second).
fn hand_over(ring: &mut IoUring) -> io::Result<usize> {
    let queued = u32::try_from(ring.submission().len()).unwrap_or(u32::MAX);
    // SAFETY: the flags say that there is no argument, and none is given.
    unsafe { ring.submitter().enter::<()>(queued, 0, EnterFlags::GETEVENTS.bits(), None) }
}

/// Take the kernel's answer; the flight stands at its next step afterwards.
fn advance(common: &Common<'_>, flight: &mut Flight<'_>, result: i32) -> Result<(), Failure> {
    let stage = match flight.step {
        Step::Move { write: true } => Stage::Write,
        Step::Flush => Stage::Flush,
        _ => Stage::Read,
    };
    if matches!(-result, libc::EINTR | libc::EAGAIN) {
        // The same once more.
        return Ok(());
    }
    if result < 0 {
        return Err(Failure { stage, errno: -result });
    }
    if flight.step != Step::Flush {
        let moved = usize::try_from(result).unwrap_or(0);
        if moved == 0 {
            return Err(Failure { stage, errno: libc::EIO });
        }
        flight.moved += moved;
        if flight.moved < flight.buffer.len() {
            return Ok(());
        }
    }
    flight.moved = 0;
    let Operation { offset, write, flush } = flight.operation;
    let verify = common.work.verify;
    let checked = matches!(flight.step, Step::Check | Step::Move { write: false });
    if verify && checked && !blocks::is_intact(flight.buffer, offset) {
        return Err(Failure { stage: Stage::Verify, errno: libc::EILSEQ });
    }
    flight.step = match flight.step {
        Step::Move { write: true } if verify => Step::Check,
        Step::Move { .. } | Step::Check if write && flush => Step::Flush,
        _ => {
            common.context.done(1, common.work.block_size, flight.since.elapsed());
            Step::Free
        }
    };
    Ok(())
}

/// Put the flight's present step into the ring.
fn submit(common: &Common<'_>, ring: &mut IoUring, flight: &mut Flight<'_>, index: usize) {
    let file = Fixed(0);
    let offset = flight.operation.offset + flight.moved as u64;
    let part = flight.buffer.get_mut(flight.moved..).unwrap_or(&mut []);
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    let entry = match flight.step {
        Step::Move { write: true } => {
            opcode::Write::new(file, part.as_ptr(), length).offset(offset).build()
        }
        Step::Flush => opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build(),
        Step::Free | Step::Check | Step::Move { write: false } => {
            opcode::Read::new(file, part.as_mut_ptr(), length).offset(offset).build()
        }
    };
    let entry = entry.user_data(index as u64);
    while push(ring, &entry).is_err() {
        // The queue has a place for each flight; it is full only when the
        // kernel has not taken them yet.
        if ring.submit().is_err() {
            common.context.failed(Failure { stage: Stage::Uring, errno: libc::EBUSY });
        }
    }
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) -> Result<(), squeue::PushError> {
    // SAFETY: the buffer belongs to a flight, which lives as long as the ring
    // and is not touched until the kernel has answered for it.
    unsafe { ring.submission().push(entry) }
}
