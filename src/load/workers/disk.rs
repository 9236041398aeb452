//! `disk`: writes or reads a nameless scratch file. An operation is one block;
//! its latency includes the flush that the fsync policy puts behind it and,
//! with a rate, the wait since it was due. Each operation in flight has a
//! thread of the worker.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{Context, Failure, due, failure, next};
use crate::{
    load::{hogs::Saying, pacer::Schedule, scratch, shared::Stage},
    scenario::plan::{DiskWork, Fsync},
};

/// What every logical block size of a disk divides.
const ALIGN: usize = 4096;
/// Block of the writes that lay down a file to be read.
const FILL: usize = 1 << 20;

pub(in crate::load) fn run(work: &DiskWork, context: &Context<'_>) -> Failure {
    let folder = work.directory.as_deref().unwrap_or_else(|| Path::new("."));
    let file = match scratch::file(folder, work.direct) {
        Ok(file) => file,
        Err(error) => return failure(Stage::Scratch, &error),
    };
    let mut seed = u64::from(context.number) * 2 + 1;
    if !work.write
        && let Err(error) = fill(&file, work, &mut seed)
    {
        return failure(Stage::Scratch, &error);
    }
    let block = usize::try_from(work.block_size).unwrap_or(ALIGN);
    // A buffer for each operation in flight, made before the start.
    let mut buffers: Vec<Buffer> =
        (0..work.depth.max(1)).map(|_| Buffer::new(block, &mut seed)).collect();
    let start = context.begin();
    let common = Common {
        work,
        context,
        file,
        start,
        blocks: (work.file_size / work.block_size).max(1),
        started: AtomicU64::new(0),
        schedule: Mutex::new(work.rate.map(Schedule::new)),
    };
    std::thread::scope(|scope| {
        let first = buffers.pop();
        for buffer in buffers {
            let seed = next(&mut seed) | 1;
            let common = &common;
            scope.spawn(move || common.operate(buffer, seed));
        }
        if let Some(buffer) = first {
            common.operate(buffer, next(&mut seed) | 1);
        }
    });
    Failure { stage: Stage::None, errno: 0 }
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
    schedule: Mutex<Option<Schedule>>,
}

impl Common<'_> {
    /// One operation after the other; never returns.
    fn operate(&self, mut buffer: Buffer, mut seed: u64) {
        loop {
            let since = self.due();
            let number = self.started.fetch_add(1, Relaxed);
            match self.one(number, &mut buffer, &mut seed) {
                Ok(()) => self.context.done(1, self.work.block_size, since.elapsed()),
                Err(failure) => self.context.failed(failure),
            }
        }
    }

    fn due(&self) -> Instant {
        // Nobody can have panicked while holding it: the schedule only counts.
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        due(&mut schedule, self.start)
    }

    fn one(&self, number: u64, buffer: &mut Buffer, seed: &mut u64) -> Result<(), Failure> {
        let work = self.work;
        let position = if work.random { next(seed) } else { number } % self.blocks;
        let offset = position * work.block_size;
        if work.write {
            self.file
                .write_all_at(buffer.slice(), offset)
                .map_err(|error| failure(Stage::Write, &error))?;
        } else {
            self.file
                .read_exact_at(buffer.slice_mut(), offset)
                .map_err(|error| failure(Stage::Read, &error))?;
        }
        let flush = match work.fsync {
            Fsync::Never => false,
            Fsync::End => (number + 1).is_multiple_of(self.blocks),
            Fsync::Every(n) => (number + 1).is_multiple_of(n),
        };
        if flush {
            self.file.sync_data().map_err(|error| failure(Stage::Flush, &error))?;
        }
        Ok(())
    }
}

/// The hdd worker of the classic `stress`: one file after the other, written
/// in chunks that are one byte short of a MiB. Its files never had a name; the
/// one it tells is made up.
pub(in crate::load) fn classic(bytes: u64, say: &dyn Fn(&Saying)) -> Failure {
    const CHUNK: usize = (1 << 20) - 1;
    let debug = |text: String| say(&Saying::Debug(text));
    let mut seed = u64::from(std::process::id()) * 2 + 1;
    debug(format!("seeding {CHUNK} byte buffer with random data"));
    let mut buffer = Buffer::new(CHUNK, &mut seed);
    loop {
        let file = match scratch::file(Path::new("."), false) {
            Ok(file) => file,
            Err(error) => return failure(Stage::Scratch, &error),
        };
        let name = format!("./stress.{}", letters(next(&mut seed)));
        debug(format!("opened {name} for writing {bytes} bytes"));
        debug(format!("unlinking {name}"));
        debug(format!("fast writing to {name}"));
        let (mut at, whole) = (0, CHUNK as u64);
        while at < bytes {
            if at + whole > bytes {
                debug(format!("slow writing to {name}"));
            }
            let part = usize::try_from(whole.min(bytes - at)).unwrap_or(CHUNK);
            let chunk = buffer.slice_mut().get(..part).unwrap_or(&[]);
            if let Err(error) = file.write_all_at(chunk, at) {
                return failure(Stage::Write, &error);
            }
            at += part as u64;
        }
        debug(format!("closing {name} after {bytes} bytes"));
    }
}

/// Six letters, as mkstemp(3) makes them up.
fn letters(mut word: u64) -> String {
    (0..6)
        .map(|_| {
            let letter = b'a' + (word % 26) as u8;
            word /= 26;
            char::from(letter)
        })
        .collect()
}

/// Lay the file down, flushed, so that reads find real blocks.
fn fill(file: &File, work: &DiskWork, seed: &mut u64) -> io::Result<()> {
    let mut offset = 0;
    while offset < work.file_size {
        // New content each time: a disk may store equal blocks once.
        let left = usize::try_from(work.file_size - offset).unwrap_or(FILL);
        let mut buffer = Buffer::new(FILL.min(left), seed);
        file.write_all_at(buffer.slice_mut(), offset)?;
        offset += FILL as u64;
    }
    file.sync_all()
}

/// Random bytes, aligned as direct I/O wants them.
struct Buffer {
    bytes: Vec<u8>,
    skip: usize,
    len: usize,
}

impl Buffer {
    fn new(len: usize, seed: &mut u64) -> Self {
        let mut bytes = vec![0; len + ALIGN];
        for chunk in bytes.chunks_mut(8) {
            let word = next(seed).to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
        let skip = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { bytes, skip, len }
    }

    fn slice(&self) -> &[u8] {
        self.bytes.get(self.skip..self.skip + self.len).unwrap_or(&[])
    }

    fn slice_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.skip..self.skip + self.len).unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_random() {
        let buffer = Buffer::new(8192, &mut 1);
        assert_eq!(buffer.slice().len(), 8192);
        assert_eq!(buffer.slice().as_ptr() as usize % ALIGN, 0);
        assert!(buffer.slice().iter().any(|byte| *byte != 0));
    }
}
