//! The vm worker of the classic `stress`.

use std::{num::NonZeroUsize, time::Duration};

use super::super::area::Area;
use crate::load::{
    hogs::{Hang, Saying},
    shared::Stage,
    workers::Failure,
};

/// Take, write a byte every stride,
/// rest, read them back, free.
pub(in crate::load) fn classic(
    bytes: u64,
    stride: u64,
    hang: Hang,
    keep: bool,
    say: &dyn Fn(&Saying),
) -> Failure {
    let Some(size) = usize::try_from(bytes).ok().and_then(NonZeroUsize::new) else {
        return Failure { stage: Stage::Map, errno: libc::ENOMEM };
    };
    let step = usize::try_from(stride).unwrap_or(usize::MAX).max(1);
    let debug = |text: String| say(&Saying::Debug(text));
    let mut kept = None;
    loop {
        let area = if let Some(area) = kept.take() {
            area
        } else {
            debug(format!("allocating {bytes} bytes ..."));
            match Area::take(size) {
                Ok(area) => area,
                Err(errno) => return Failure { stage: Stage::Map, errno: errno as i32 },
            }
        };
        debug(format!("touching bytes in strides of {stride} bytes ..."));
        area.fill(step);
        match hang {
            Hang::No => (),
            Hang::Forever => {
                debug("sleeping forever with allocated memory".to_owned());
                loop {
                    std::thread::sleep(Duration::from_secs(86_400));
                }
            }
            Hang::Seconds(seconds) => {
                debug(format!("sleeping for {seconds}s with allocated memory"));
                std::thread::sleep(Duration::from_secs(seconds));
            }
        }
        if !area.is_filled(step) {
            return Failure { stage: Stage::Read, errno: libc::EFAULT };
        }
        if keep {
            kept = Some(area);
        } else {
            drop(area);
            debug(format!("freed {bytes} bytes"));
        }
    }
}
