//! `files`: creates files with a name, looks them up and removes them. An
//! operation is one file: created, written, looked up, and, once there are as
//! many as asked for, the oldest one removed. A latency is the time of all that.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use super::{Context, Failure, due, failure};
use crate::{
    load::{pacer::Schedule, shared::Stage, traces},
    scenario::plan::FilesWork,
};

pub(in crate::load) fn run(work: &FilesWork, context: &Context<'_>) -> Failure {
    let folder = work.directory.as_deref().unwrap_or_else(|| Path::new("."));
    let folder = traces::folder(folder, context.owner).join(context.index.to_string());
    if let Err(error) = fs::create_dir_all(&folder) {
        return failure(Stage::Scratch, &error);
    }
    let content = vec![b'S'; usize::try_from(work.file_size.min(1 << 20)).unwrap_or(0)];
    let mut there: VecDeque<PathBuf> = VecDeque::new();
    let mut schedule = work.rate.map(Schedule::new);
    let start = context.begin();
    for number in 0_u64.. {
        let since = due(&mut schedule, start);
        let path = folder.join(number.to_string());
        match create(&path, work.file_size, &content) {
            Ok(()) => {
                there.push_back(path);
                let mut result = Ok(());
                while there.len() as u64 > work.count {
                    result = there.pop_front().map_or(Ok(()), fs::remove_file);
                }
                match result {
                    Ok(()) => context.done(1, work.file_size, since.elapsed()),
                    Err(error) => context.failed(failure(Stage::File, &error)),
                }
            }
            Err(error) => {
                // A file that could not be filled must not stay.
                let _ = fs::remove_file(&path);
                context.failed(failure(Stage::File, &error));
            }
        }
        context.slot.held.store(there.len() as u64, Relaxed);
    }
    Failure { stage: Stage::None, errno: 0 }
}

fn create(path: &Path, bytes: u64, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(content.len());
        file.write_all(content.get(..part).unwrap_or(&[]))?;
        left -= part as u64;
    }
    drop(file);
    fs::metadata(path).map(drop)
}
