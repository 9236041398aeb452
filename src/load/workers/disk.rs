//! `disk`: writes or reads a nameless scratch file. An operation is one block;
//! its latency includes reading back when it is verified, the flush that the
//! fsync policy puts behind it and, with a rate, the wait since it was due.

mod blocks;
mod classic;
mod threads;
mod uring;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use blocks::{ALIGN, Memory};
pub(in crate::load) use classic::classic;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::{Context, Failure, failure, next};
use crate::{
    load::{pacer::Schedule, scratch, shared::Stage},
    scenario::plan::{DiskWork, Engine, Fsync},
};

/// Bytes of the writes that lay down a file, at least.
const FILL: usize = 1 << 20;

pub(in crate::load) fn run(work: &DiskWork, context: &Context<'_>) -> Failure {
    let folder = work.directory.as_deref().unwrap_or_else(|| Path::new("."));
    let file = match &work.file {
        Some(path) => existing(work, path, false),
        None => scratch::file(folder, work.direct),
    };
    let file = match file {
        Ok(file) => file,
        Err(error) => return failure(Stage::Scratch, &error),
    };
    let mut seed = u64::from(context.number) * 2 + 1;
    if work.is_laid_down_first()
        && let Err(error) = fill(&file, work, &mut seed)
    {
        return failure(Stage::Scratch, &error);
    }
    let block = usize::try_from(work.block_size).unwrap_or(ALIGN);
    // A buffer for each operation in flight, made before the start.
    let depth = work.depth.max(1) as usize;
    let mut memory = match Memory::take(depth, block) {
        Ok(memory) => memory,
        Err(errno) => return Failure { stage: Stage::Map, errno: errno as i32 },
    };
    let buffers = memory.blocks(depth, block, &mut seed);
    let mut common = Common {
        work,
        context,
        file,
        start: Instant::now(),
        blocks: (work.file_size / work.block_size).max(1),
        started: AtomicU64::new(0),
        written: AtomicU64::new(0),
    };
    let ring = work.wants_uring().then(|| uring::ring(&common));
    let ring = match ring {
        Some(Ok(ring)) => Some(ring),
        Some(Err(error)) if work.engine == Engine::Uring => return failure(Stage::Uring, &error),
        // The preflight has told that threads take its place.
        Some(Err(_)) | None => None,
    };
    common.start = context.begin();
    if let Some(ring) = ring {
        return uring::run(&common, ring, buffers, &mut seed);
    }
    threads::run(&common, buffers, &mut seed);
    Failure { stage: Stage::None, errno: 0 }
}

/// Open a file or block device that is there already.
///
/// # Errors
/// When it is not there, not one of these, or not permitted; and, asked to have
/// it `alone`, when it is a device to be written that is mounted or otherwise in
/// use.
pub(in crate::load) fn existing(work: &DiskWork, path: &Path, alone: bool) -> io::Result<File> {
    let kind = path.metadata()?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::other("it is neither a file nor a block device"));
    }
    let writes = work.reads < 1.0;
    let direct = if work.direct { libc::O_DIRECT } else { 0 };
    // The kernel's own safeguard against two users of a device.
    let alone = if alone && writes && kind.is_block_device() { libc::O_EXCL } else { 0 };
    OpenOptions::new().read(true).write(writes).custom_flags(direct | alone).open(path)
}

/// Whether this process may use io_uring.
///
/// # Errors
/// The kernel's answer when it may not.
pub(in crate::load) fn uring_works() -> io::Result<()> {
    io_uring::IoUring::new(1).map(drop)
}

/// What the operations in flight have in common.
struct Common<'a> {
    work: &'a DiskWork,
    context: &'a Context<'a>,
    file: File,
    start: Instant,
    /// Blocks in the file.
    blocks: u64,
    /// Operations begun.
    started: AtomicU64,
    /// Writes begun.
    written: AtomicU64,
}

/// One operation, decided.
#[derive(Debug, Clone, Copy)]
struct Operation {
    offset: u64,
    write: bool,
    /// Whether a flush follows.
    flush: bool,
}

impl Common<'_> {
    fn schedule(&self) -> Option<Schedule> {
        let by_bytes = || Some(self.work.rate_bytes? as f64 / self.work.block_size as f64);
        self.work.rate.or_else(by_bytes).map(Schedule::new)
    }

    /// Decide on the next operation of one that is in flight, `lane`.
    fn next(&self, lane: u64, seed: &mut u64) -> Operation {
        let work = self.work;
        let number = self.started.fetch_add(1, Relaxed);
        let position = if !work.random {
            number % self.blocks
        } else if work.verify {
            // Each has blocks of its own, so that none reads what another is
            // just writing.
            let depth = u64::from(work.depth.max(1));
            lane + depth * (next(seed) % (self.blocks / depth).max(1))
        } else {
            next(seed) % self.blocks
        };
        let write = match work.reads {
            reads if reads <= 0.0 => true,
            reads if reads >= 1.0 => false,
            // 53 random bits as a number from 0 to 1.
            reads => (next(seed) >> 11) as f64 / (1_u64 << 53) as f64 >= reads,
        };
        let flush = write && {
            let written = self.written.fetch_add(1, Relaxed) + 1;
            match work.fsync {
                Fsync::Never => false,
                Fsync::End => written.is_multiple_of(self.blocks),
                Fsync::Every(n) => written.is_multiple_of(n),
            }
        };
        Operation { offset: position * work.block_size, write, flush }
    }
}

/// Lay the file down, flushed, so that reads find real blocks.
fn fill(file: &File, work: &DiskWork, seed: &mut u64) -> io::Result<()> {
    let block = usize::try_from(work.block_size).unwrap_or(ALIGN);
    // Whole blocks, about as much as one write takes well.
    let length = (FILL / block).max(1) * block;
    let mut memory = Memory::take(1, length)?;
    let mut blocks = memory.blocks(1, length, seed);
    let buffer = blocks.pop().unwrap_or_default();
    let mut offset = 0;
    while offset < work.file_size {
        blocks::refill(buffer, seed);
        let left = usize::try_from(work.file_size - offset).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let part = buffer.get_mut(..length).unwrap_or(&mut []);
        if work.verify {
            for (block, at) in part.chunks_mut(block).zip((offset..).step_by(block)) {
                blocks::stamp(block, at, seed);
            }
        }
        file.write_all_at(part, offset)?;
        offset += length as u64;
    }
    file.sync_all()?;
    // Out of the page cache: direct operations would have to clear it page by
    // page, and buffered reads would not reach the disk.
    Ok(posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}
