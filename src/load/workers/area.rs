//! Memory of a worker's own, mapped and freed by hand.

#![expect(unsafe_code, reason = "memory is mapped, touched and freed by hand")]

use std::{num::NonZeroUsize, ptr::NonNull};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap_anonymous, munmap};

/// A private mapping, freed when dropped.
pub(super) struct Area {
    base: NonNull<std::ffi::c_void>,
    bytes: NonZeroUsize,
}

impl Area {
    pub(super) fn take(bytes: NonZeroUsize) -> nix::Result<Self> {
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

    /// Have the kernel back it with huge pages where it can.
    pub(super) fn in_huge_pages(&self) -> nix::Result<()> {
        // SAFETY: the advice covers just this mapping and loses no content.
        unsafe { madvise(self.base, self.bytes.get(), MmapAdvise::MADV_HUGEPAGE) }
    }

    /// Keep `length` bytes from `from` in memory.
    pub(super) fn lock(&self, from: usize, length: usize) -> nix::Result<()> {
        let length = length.min(self.len().saturating_sub(from));
        // SAFETY: the range lies within the mapping.
        unsafe { mlock(self.base.byte_add(from.min(self.len())), length) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.get()
    }

    /// Write one byte every `stride` within a range; how many were written.
    pub(super) fn touch(&self, range: std::ops::Range<usize>, stride: usize) -> u64 {
        let mut touched = 0;
        for at in (range.start..range.end.min(self.len())).step_by(stride) {
            // SAFETY: `at` is below the mapping's length.
            unsafe { self.base.byte_add(at).cast::<u8>().write_volatile(b'S') };
            touched += 1;
        }
        touched
    }

    /// Write one byte every `stride`.
    pub(super) fn fill(&self, stride: usize) {
        for at in (0..self.len()).step_by(stride) {
            // SAFETY: `at` is below the mapping's length.
            unsafe { self.base.byte_add(at).cast::<u8>().write_volatile(b'Z') };
        }
    }

    /// Whether what [`Area::fill`] wrote is there.
    pub(super) fn is_filled(&self, stride: usize) -> bool {
        (0..self.len()).step_by(stride).all(|at| {
            // SAFETY: `at` is below the mapping's length.
            unsafe { self.base.byte_add(at).cast::<u8>().read_volatile() == b'Z' }
        })
    }

    /// All of it as bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: readable and writable for its whole length, zeroed by the
        // kernel, and borrowed from `self`.
        unsafe { std::slice::from_raw_parts_mut(self.base.cast().as_ptr(), self.len()) }
    }

    /// All of it as words.
    pub(super) fn words(&mut self) -> &mut [u64] {
        // SAFETY: page-aligned, readable and writable for its whole length,
        // borrowed from `self`, and any bits are a u64.
        unsafe { std::slice::from_raw_parts_mut(self.base.cast().as_ptr(), self.len() / 8) }
    }

    /// All of it as doubles.
    pub(super) fn doubles(&mut self) -> &mut [f64] {
        // SAFETY: page-aligned, readable and writable for its whole length,
        // borrowed from `self`, and any bits are an f64.
        unsafe { std::slice::from_raw_parts_mut(self.base.cast().as_ptr(), self.len() / 8) }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping; no pointer into it
        // is kept.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}
