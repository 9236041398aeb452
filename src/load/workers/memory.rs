//! `memory`: takes bytes from the kernel and touches them by stride. An
//! operation is one touched byte; a latency is that of a run of touches over
//! at most 1 MiB; bytes are those passed over.

#![expect(unsafe_code, reason = "memory is mapped, touched and freed by hand")]

use std::{
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::{Context, Failure};
use crate::{
    host::{Roots, memory::meminfo},
    load::{
        hogs::{Hang, Saying},
        shared::Stage,
    },
    scenario::plan::MemoryWork,
};

/// Bytes touched between two looks at the host's available memory. At the
/// 4 GB/s at which a kernel hands out pages at most, that is every 4 ms.
const LOOK_EVERY: usize = 16 << 20;
/// Bytes passed over for one latency.
const CHUNK: usize = 1 << 20;

pub(in crate::load) fn run(work: &MemoryWork, context: &Context<'_>) -> Failure {
    let Some(bytes) = usize::try_from(context.bytes).ok().and_then(NonZeroUsize::new) else {
        return Failure { stage: Stage::Map, errno: libc::EINVAL };
    };
    let stride = usize::try_from(work.stride).unwrap_or(usize::MAX).max(1);
    let mut kept = None;
    if work.keep {
        // The phase begins when the memory is held; taking it is the setup.
        match Area::take(bytes) {
            Ok(area) => {
                area.touch(stride, Pass::Setup, context);
                kept = Some(area);
            }
            Err(errno) => return Failure { stage: Stage::Map, errno: errno as i32 },
        }
    }
    context.begin();
    loop {
        let settled = kept.is_some();
        let area = match kept.take().map_or_else(|| Area::take(bytes), Ok) {
            Ok(area) => area,
            Err(errno) => {
                context.failed(Failure { stage: Stage::Map, errno: errno as i32 });
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let mut pass = if settled { Pass::Again } else { Pass::First };
        loop {
            area.touch(stride, pass, context);
            pass = Pass::Again;
            std::thread::sleep(work.pause);
            if !work.keep {
                break;
            }
        }
        drop(area);
        context.slot.resident.store(0, Relaxed);
    }
}

/// The vm worker of the classic `stress`: take, write a byte every stride,
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

/// Which time the memory is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Before the phase: the kernel hands the pages out, nothing is counted.
    Setup,
    /// The kernel hands the pages out.
    First,
    /// The pages are there.
    Again,
}

/// A mapping of our own.
struct Area {
    base: NonNull<std::ffi::c_void>,
    bytes: NonZeroUsize,
}

impl Area {
    fn take(bytes: NonZeroUsize) -> nix::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice
        // overlaps nothing.
        let base = unsafe {
            mmap_anonymous(
                None,
                bytes,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
            )?
        };
        Ok(Self { base, bytes })
    }

    /// Write one byte every `stride`.
    fn fill(&self, stride: usize) {
        for at in (0..self.bytes.get()).step_by(stride) {
            // SAFETY: `at` is below the mapping's length.
            unsafe { self.base.byte_add(at).cast::<u8>().write_volatile(b'Z') };
        }
    }

    /// Whether what [`Area::fill`] wrote is there.
    fn is_filled(&self, stride: usize) -> bool {
        (0..self.bytes.get()).step_by(stride).all(|at| {
            // SAFETY: `at` is below the mapping's length.
            unsafe { self.base.byte_add(at).cast::<u8>().read_volatile() == b'Z' }
        })
    }

    /// Write one byte every `stride`; on the first pass look before each step
    /// whether the host can still give.
    fn touch(&self, stride: usize, pass: Pass, context: &Context<'_>) {
        let first = pass != Pass::Again;
        let bytes = self.bytes.get();
        let mut at = 0;
        let mut look = 0;
        while at < bytes {
            if first && at >= look {
                wait_for_reserve(context);
                look = at + LOOK_EVERY;
            }
            let began = Instant::now();
            let end = (at + CHUNK.max(stride)).min(bytes);
            let mut touched = 0;
            let from = at;
            while at < end {
                // SAFETY: `at` is below the mapping's length.
                unsafe { self.base.byte_add(at).cast::<u8>().write_volatile(b'S') };
                touched += 1;
                at += stride;
            }
            if pass != Pass::Setup {
                context.done(touched, (end - from) as u64, began.elapsed());
            }
            if first {
                context.slot.resident.store(end as u64, Relaxed);
            }
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping; no pointer into it
        // is kept.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}

/// Hold still while the host has less than the reserve.
fn wait_for_reserve(context: &Context<'_>) {
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
