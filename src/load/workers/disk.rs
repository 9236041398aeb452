//! `disk`: writes or reads a nameless scratch file. An operation is one block;
//! its latency includes the flush that the fsync policy puts behind it and,
//! with a rate, the wait since it was due.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use super::{Context, Failure, due, failure, next};
use crate::{
    load::{pacer::Schedule, scratch, shared::Stage},
    scenario::plan::{DiskWork, Fsync},
};

/// What every logical block size of a disk divides.
const ALIGN: usize = 4096;
/// Block of the writes that lay down a file to be read.
const FILL: usize = 1 << 20;

pub(super) fn run(work: &DiskWork, context: &Context<'_>) -> Failure {
    let folder = work.directory.as_deref().unwrap_or_else(|| Path::new("."));
    let file = match scratch::file(folder, work.direct) {
        Ok(file) => file,
        Err(error) => return failure(Stage::Scratch, &error),
    };
    let mut seed = u64::from(context.number) * 2 + 1;
    let block = usize::try_from(work.block_size).unwrap_or(ALIGN);
    let mut buffer = Buffer::new(block, &mut seed);
    if !work.write
        && let Err(error) = fill(&file, work, &mut seed)
    {
        return failure(Stage::Scratch, &error);
    }
    let blocks = (work.file_size / work.block_size).max(1);
    let mut schedule = work.rate.map(Schedule::new);
    let start = context.begin();
    let mut number = 0;
    loop {
        let since = due(&mut schedule, start);
        let position = if work.random { next(&mut seed) % blocks } else { number % blocks };
        let offset = position * work.block_size;
        number += 1;
        let (result, stage) = if work.write {
            (file.write_all_at(buffer.slice(), offset), Stage::Write)
        } else {
            (file.read_exact_at(buffer.slice_mut(), offset), Stage::Read)
        };
        if let Err(error) = result {
            context.failed(failure(stage, &error));
            continue;
        }
        let flush = match work.fsync {
            Fsync::Never => false,
            Fsync::End => number % blocks == 0,
            Fsync::Every(n) => number % n == 0,
        };
        if flush && let Err(error) = file.sync_data() {
            context.failed(failure(Stage::Flush, &error));
            continue;
        }
        context.done(1, work.block_size, since.elapsed());
    }
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
