//! `switch`: two threads take turns, so that the kernel switches between them
//! all the time: they hand a byte back and forth through pipes, or wake each
//! other by a futex. An operation is one round trip (two switches and, with
//! pipes, four system calls), a latency its time.

use std::{
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, Thread},
};

use super::{Context, Failure, due, failure};
use crate::load::{pacer::Schedule, shared::Stage};

pub(in crate::load) fn run(rate: Option<f64>, futex: bool, context: &Context<'_>) -> Failure {
    if futex { by_futex(rate, context) } else { by_pipe(rate, context) }
}

fn by_futex(rate: Option<f64>, context: &Context<'_>) -> Failure {
    let (turns, near) = (Turns::default(), thread::current());
    thread::scope(|scope| {
        let hand_back = || {
            loop {
                turns.wait(true);
                turns.hand(false, &near);
            }
        };
        let far = match thread::Builder::new().spawn_scoped(scope, hand_back) {
            Ok(far) => far,
            Err(error) => return failure(Stage::Fork, &error),
        };
        let mut schedule = rate.map(Schedule::new);
        let start = context.begin();
        loop {
            let since = due(&mut schedule, start);
            turns.hand(true, far.thread());
            turns.wait(false);
            context.done(1, 0, since.elapsed());
        }
    })
}

/// Whose turn it is. Parking a thread is waiting at a futex of its own.
#[derive(Debug, Default)]
struct Turns {
    far: AtomicBool,
}

impl Turns {
    fn hand(&self, far: bool, to: &Thread) {
        self.far.store(far, Ordering::Release);
        to.unpark();
    }

    fn wait(&self, far: bool) {
        while self.far.load(Ordering::Acquire) != far {
            thread::park();
        }
    }
}

fn by_pipe(rate: Option<f64>, context: &Context<'_>) -> Failure {
    let (there, back) = match io::pipe().and_then(|there| Ok((there, io::pipe()?))) {
        Ok(pipes) => pipes,
        Err(error) => return failure(Stage::Scratch, &error),
    };
    let (mut far_in, mut near_out) = there;
    let (mut near_in, mut far_out) = back;
    thread::scope(|scope| {
        let answering = move || answer(&mut far_in, &mut far_out);
        if let Err(error) = thread::Builder::new().spawn_scoped(scope, answering) {
            return failure(Stage::Fork, &error);
        }
        let mut schedule = rate.map(Schedule::new);
        let start = context.begin();
        loop {
            let since = due(&mut schedule, start);
            match round_trip(&mut near_out, &mut near_in) {
                Ok(()) => context.done(1, 0, since.elapsed()),
                Err(error) => context.failed(failure(Stage::Write, &error)),
            }
        }
    })
}

fn round_trip(out: &mut PipeWriter, back: &mut PipeReader) -> io::Result<()> {
    out.write_all(b"S")?;
    back.read_exact(&mut [0])
}

/// Send back what comes, until the other end is gone.
fn answer(from: &mut PipeReader, to: &mut PipeWriter) {
    let mut byte = [0];
    while from.read_exact(&mut byte).is_ok() && to.write_all(&byte).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_byte_comes_back() {
        let (mut far_in, mut near_out) = io::pipe().unwrap();
        let (mut near_in, mut far_out) = io::pipe().unwrap();
        let answering = std::thread::spawn(move || answer(&mut far_in, &mut far_out));
        let begun = Instant::now();
        for _ in 0..100 {
            round_trip(&mut near_out, &mut near_in).unwrap();
        }
        assert!(begun.elapsed().as_secs() < 10);
        drop(near_out);
        answering.join().unwrap();
    }
}
