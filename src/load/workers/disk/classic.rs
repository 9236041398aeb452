//! The hdd worker of the classic `stress`.

use std::{os::unix::fs::FileExt as _, path::Path};

use super::blocks::refill;
use crate::load::{
    hogs::Saying,
    scratch,
    shared::Stage,
    workers::{Failure, failure, next},
};

/// One file after the other, written
/// in chunks that are one byte short of a MiB. Its files never had a name; the
/// one it tells is made up.
pub(in crate::load) fn classic(bytes: u64, say: &dyn Fn(&Saying)) -> Failure {
    const CHUNK: usize = (1 << 20) - 1;
    let debug = |text: String| say(&Saying::Debug(text));
    let mut seed = u64::from(std::process::id()) * 2 + 1;
    debug(format!("seeding {CHUNK} byte buffer with random data"));
    let mut buffer = vec![0; CHUNK];
    refill(&mut buffer, &mut seed);
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
            let chunk = buffer.get(..part).unwrap_or(&[]);
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
