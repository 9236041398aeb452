//! `memory`: takes bytes from the kernel and touches them by stride, or moves
//! bytes through them. When it touches, an operation is one touched byte, a
//! latency that of a run of touches over at most 1 MiB, and bytes are those
//! passed over. For bandwidth, an operation and its latency are those of a
//! piece of at most 1 MiB (`random`: of 1,024 lines of 64 bytes), and bytes
//! are those read plus those written.

#![expect(unsafe_code, reason = "memory is mapped, touched and freed by hand")]

mod bandwidth;
mod classic;

use std::{
    hint::black_box,
    num::NonZeroUsize,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

pub(in crate::load) use classic::classic;

use super::{Context, Failure, area::Area};
use crate::{
    host::{Roots, memory::meminfo},
    load::{pacer::Pace, shared::Stage},
    scenario::plan::{Bandwidth, Holding, MemoryWork},
};

/// Bytes touched between two looks at the host's available memory. At the
/// 4 GB/s at which a kernel hands out pages at most, that is every 4 ms.
const LOOK_EVERY: usize = 16 << 20;
/// Bytes passed over for one latency.
const CHUNK: usize = 1 << 20;
/// Bytes of a line of the cache, and how many of them are one random operation.
const LINE: usize = 64;
const LINES: u64 = 1024;
/// Words of a piece.
const WORDS: usize = CHUNK / 8;

pub(in crate::load) fn run(work: &MemoryWork, context: &Context<'_>) -> Failure {
    let Some(bytes) = usize::try_from(context.bytes).ok().and_then(NonZeroUsize::new) else {
        return Failure { stage: Stage::Map, errno: libc::EINVAL };
    };
    match work.bandwidth {
        Some(bandwidth) => stream(work, bandwidth, bytes, context),
        None => touch(work, bytes, context),
    }
}

/// Take the memory as the scenario wants it.
fn take(work: &MemoryWork, bytes: NonZeroUsize) -> Result<Area, Failure> {
    let refused = |errno| Failure { stage: Stage::Map, errno: errno as i32 };
    let area = Area::take(bytes).map_err(refused)?;
    if work.huge_pages {
        area.in_huge_pages().map_err(refused)?;
    }
    Ok(area)
}

fn touch(work: &MemoryWork, bytes: NonZeroUsize, context: &Context<'_>) -> Failure {
    let mut toucher = Toucher {
        work,
        context,
        stride: usize::try_from(work.stride).unwrap_or(usize::MAX).max(1),
        pace: work.rate_bytes.map(|rate| Pace::new(rate as f64)),
        start: Instant::now(),
    };
    let mut kept = None;
    if work.holding != Holding::Free {
        let area = match take(work, bytes) {
            Ok(area) => area,
            Err(failure) => return failure,
        };
        // The phase begins when the memory is held; taking it is the setup,
        // unless taking it is what the phase is about.
        if work.growth.is_none()
            && let Err(failure) = toucher.first(&area, Pass::Setup)
        {
            return failure;
        }
        kept = Some(area);
    }
    toucher.start = context.begin();
    if let (Some(area), Some(growth)) = (&kept, work.growth)
        && let Err(failure) = toucher.grow(area, growth)
    {
        return failure;
    }
    if let Some(area) = kept {
        loop {
            if work.holding == Holding::Hang {
                std::thread::sleep(Duration::from_secs(3600));
                continue;
            }
            toucher.again(&area);
            std::thread::sleep(work.pause);
        }
    }
    loop {
        match take(work, bytes).and_then(|area| toucher.first(&area, Pass::First).map(|()| area)) {
            Ok(area) => {
                std::thread::sleep(work.pause);
                drop(area);
            }
            Err(failure) => {
                context.failed(failure);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        context.slot.resident.store(0, Relaxed);
    }
}

/// Which time the memory is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Before the phase: the kernel hands the pages out, nothing is counted.
    Setup,
    /// The kernel hands the pages out.
    First,
}

/// Touches memory and counts it.
struct Toucher<'a> {
    work: &'a MemoryWork,
    context: &'a Context<'a>,
    stride: usize,
    pace: Option<Pace>,
    start: Instant,
}

impl Toucher<'_> {
    /// Touch an area that the kernel has not handed out yet, looking now and
    /// then whether the host can still give.
    fn first(&mut self, area: &Area, pass: Pass) -> Result<(), Failure> {
        let mut at = 0;
        let mut look = 0;
        while at < area.len() {
            if at >= look {
                wait_for_reserve(self.context);
                look = at + LOOK_EVERY;
            }
            at = self.chunk(area, at, pass == Pass::First)?;
        }
        Ok(())
    }

    /// Touch it bit by bit: `growth` bytes per second for all workers.
    fn grow(&mut self, area: &Area, growth: u64) -> Result<(), Failure> {
        let mut pace = Pace::new(growth as f64 / f64::from(self.context.workers));
        let target = &self.context.slot.target;
        target.store(0, Relaxed);
        let mut at = 0;
        let mut look = 0;
        while at < area.len() {
            if at >= look {
                wait_for_reserve(self.context);
                look = at + LOOK_EVERY;
            }
            // What should be held by now is what is asked by now.
            target.store(pace.due(self.start.elapsed()).min(area.len() as u64), Relaxed);
            let from = at;
            at = self.chunk(area, at, true)?;
            if let Some(rest) = pace.after((at - from) as f64, self.start.elapsed()) {
                std::thread::sleep(rest);
            }
        }
        target.store(area.len() as u64, Relaxed);
        Ok(())
    }

    /// Touch what is held.
    fn again(&mut self, area: &Area) {
        let mut at = 0;
        while at < area.len() {
            let began = Instant::now();
            let end = self.end(area, at);
            let touched = area.touch(at..end, self.stride);
            self.context.done(touched, (end - at) as u64, began.elapsed());
            self.rest(end - at);
            at = end;
        }
    }

    /// Touch one piece for the first time; where it ends.
    fn chunk(&mut self, area: &Area, at: usize, counted: bool) -> Result<usize, Failure> {
        let began = Instant::now();
        let end = self.end(area, at);
        let touched = area.touch(at..end, self.stride);
        if self.work.lock {
            area.lock(at, end - at)
                .map_err(|errno| Failure { stage: Stage::Lock, errno: errno as i32 })?;
        }
        if counted {
            self.context.done(touched, (end - at) as u64, began.elapsed());
            self.rest(end - at);
        }
        self.context.slot.resident.store(end as u64, Relaxed);
        Ok(end)
    }

    /// The end of a piece: a whole number of strides from `at`.
    fn end(&self, area: &Area, at: usize) -> usize {
        let strides = (CHUNK / self.stride).max(1);
        at.saturating_add(strides.saturating_mul(self.stride)).min(area.len())
    }

    fn rest(&mut self, bytes: usize) {
        if let Some(rest) =
            self.pace.as_mut().and_then(|pace| pace.after(bytes as f64, self.start.elapsed()))
        {
            std::thread::sleep(rest);
        }
    }
}

/// Move bytes until killed.
fn stream(
    work: &MemoryWork,
    bandwidth: Bandwidth,
    bytes: NonZeroUsize,
    context: &Context<'_>,
) -> Failure {
    let mut toucher = Toucher { work, context, stride: 4096, pace: None, start: Instant::now() };
    let mut area = match take(work, bytes) {
        Ok(area) => area,
        Err(failure) => return failure,
    };
    if let Err(failure) = toucher.first(&area, Pass::Setup) {
        return failure;
    }
    let mut pace = work.rate_bytes.map(|rate| Pace::new(rate as f64));
    let mut seed = u64::from(context.number) * 2 + 1;
    let start = context.begin();
    let mut piece = |moved: u64, began: Instant| {
        context.done(1, moved, began.elapsed());
        if let Some(rest) = pace.as_mut().and_then(|pace| pace.after(moved as f64, start.elapsed()))
        {
            std::thread::sleep(rest);
        }
    };
    let bytes_of = |words: usize| (words * 8) as u64;
    loop {
        match bandwidth {
            Bandwidth::Read => {
                for part in area.words().chunks(WORDS) {
                    let began = Instant::now();
                    black_box(bandwidth::read(part));
                    piece(bytes_of(part.len()), began);
                }
            }
            Bandwidth::Write => {
                let value = super::next(&mut seed);
                for part in area.words().chunks_mut(WORDS) {
                    let began = Instant::now();
                    bandwidth::write(part, value);
                    piece(bytes_of(part.len()), began);
                }
            }
            Bandwidth::Copy => {
                let words = area.words();
                let (from, to) = words.split_at_mut(words.len() / 2);
                for (from, to) in from.chunks(WORDS).zip(to.chunks_mut(WORDS)) {
                    let began = Instant::now();
                    bandwidth::copy(from, to);
                    piece(2 * bytes_of(from.len()), began);
                }
            }
            Bandwidth::Triad => {
                let doubles = area.doubles();
                // Thirds of whole lines, so that stores stay aligned.
                let third = (doubles.len() / 3 / 8 * 8).max(1);
                let (a, rest) = doubles.split_at_mut(third.min(doubles.len()));
                let (b, c) = rest.split_at(third.min(rest.len()));
                for ((a, b), c) in
                    a.chunks_mut(WORDS / 4).zip(b.chunks(WORDS / 4)).zip(c.chunks(WORDS / 4))
                {
                    let began = Instant::now();
                    bandwidth::triad(a, b, c);
                    piece(3 * bytes_of(a.len()), began);
                }
            }
            Bandwidth::Random => {
                let words = area.words();
                let lines = (words.len() / (LINE / 8)).max(1) as u64;
                let began = Instant::now();
                for _ in 0..LINES {
                    let line = super::next(&mut seed) % lines;
                    let at = usize::try_from(line).unwrap_or(0) * (LINE / 8);
                    if let Some(word) = words.get_mut(at) {
                        *word = word.wrapping_add(seed);
                    }
                }
                black_box(&mut *words);
                // Each line comes from memory and goes back.
                piece(2 * LINES * LINE as u64, began);
            }
        }
    }
}

/// Hold still while the host has less than the reserve.
pub(super) fn wait_for_reserve(context: &Context<'_>) {
    let roots = Roots::default();
    let short = || {
        roots
            .proc_text("meminfo")
            .and_then(|text| meminfo(&text, "MemAvailable"))
            .is_some_and(|available| available < context.reserve)
    };
    if !short() {
        return;
    }
    context.slot.note(Stage::Reserve, 0);
    while short() {
        std::thread::sleep(Duration::from_millis(100));
    }
    context.slot.note(Stage::None, 0);
}
