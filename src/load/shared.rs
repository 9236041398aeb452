//! Memory that the program and its workers share: one slot a worker, read
//! while they run and after they are gone.

#![expect(unsafe_code, reason = "memory shared between processes is mapped by hand")]

use std::{
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::buckets::Buckets;

/// Where a worker stands.
pub mod state {
    /// Not started.
    pub const EMPTY: u32 = 0;
    /// Set up, waiting for the start.
    pub const READY: u32 = 1;
    /// At work.
    pub const RUNNING: u32 = 2;
    /// Ended by itself: [`super::Slot::noted`] says why.
    pub const FAILED: u32 = 3;
}

/// What a worker was doing when it failed or was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stage {
    /// Nothing went wrong.
    None = 0,
    /// Taking memory.
    Map = 1,
    /// Making the scratch file.
    Scratch = 2,
    /// Writing.
    Write = 3,
    /// Reading.
    Read = 4,
    /// Flushing.
    Flush = 5,
    /// Pinning itself to its core.
    Pin = 6,
    /// Waiting because the host's memory reserve was reached.
    Reserve = 7,
    /// Making a process.
    Fork = 8,
    /// Locking memory.
    Lock = 9,
    /// Taking its scheduling class.
    Schedule = 10,
    /// Checking what it had read.
    Verify = 11,
    /// Setting io_uring up.
    Uring = 12,
    /// Opening a descriptor.
    Open = 13,
    /// Opening a connection.
    Connect = 14,
    /// Creating, looking up or removing a file.
    File = 15,
    /// Keeping away from a limit of the host.
    HostLimit = 16,
    /// Entering its cgroup.
    Group = 17,
    /// Sending, or awaiting an answer.
    Send = 18,
    /// Agreeing on TLS.
    Tls = 19,
}

impl Stage {
    /// The stage in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "working",
            Self::Map => "taking memory",
            Self::Scratch => "making its scratch file",
            Self::Write => "writing",
            Self::Read => "reading",
            Self::Flush => "flushing",
            Self::Pin => "pinning itself to its core",
            Self::Fork => "making a process",
            Self::Lock => "locking memory",
            Self::Schedule => "taking its scheduling class",
            Self::Verify => "checking the content of a block",
            Self::Uring => "setting io_uring up",
            Self::Open => "opening a descriptor",
            Self::Connect => "opening a connection",
            Self::File => "creating and removing files",
            Self::Send => "sending",
            Self::Tls => "agreeing on TLS (is the certificate trusted? see `ca_file`)",
            Self::Group => "entering its cgroup",
            Self::HostLimit => "keeping away from a limit of the host",
            Self::Reserve => "keeping the host's memory reserve",
        }
    }

    fn from(value: u32) -> Self {
        [
            Self::Map,
            Self::Scratch,
            Self::Write,
            Self::Read,
            Self::Flush,
            Self::Pin,
            Self::Reserve,
            Self::Fork,
            Self::Lock,
            Self::Schedule,
            Self::Verify,
            Self::Uring,
            Self::Open,
            Self::Connect,
            Self::File,
            Self::HostLimit,
            Self::Group,
            Self::Send,
            Self::Tls,
        ]
        .into_iter()
        .find(|stage| *stage as u32 == value)
        .unwrap_or(Self::None)
    }
}

/// How many counters a kind may have of its own.
pub(super) const TALLIES: usize = 8;

/// One worker's part. Only the worker writes while it runs.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot {
    pub(super) state: AtomicU32,
    stage: AtomicU32,
    errno: AtomicI32,
    pub(super) operations: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) resident: AtomicU64,
    /// Things it holds that the kernel has a limit of.
    pub(super) held: AtomicU64,
    /// Operations that were due so far, where a schedule says when.
    pub(super) scheduled: AtomicU64,
    /// CPU time of its own children that have ended, in nanoseconds.
    pub(super) children_ns: AtomicU64,
    /// Bytes the worker was asked to hold; written by the spawner.
    pub(super) target: AtomicU64,
    /// What a kind counts beside operations; [`Work::tallies`] has the names.
    ///
    /// [`Work::tallies`]: crate::scenario::plan::Work::tallies
    pub(super) tallies: [AtomicU64; TALLIES],
    pub(super) buckets: Buckets,
}

impl Slot {
    /// Note what went wrong, or what holds the worker back.
    pub(super) fn note(&self, stage: Stage, errno: i32) {
        self.errno.store(errno, Ordering::Relaxed);
        self.stage.store(stage as u32, Ordering::Release);
    }

    /// What went wrong last, with its errno (0 when there is none).
    pub fn noted(&self) -> (Stage, i32) {
        (Stage::from(self.stage.load(Ordering::Acquire)), self.errno.load(Ordering::Relaxed))
    }

    fn clear(&self) {
        self.note(Stage::None, 0);
        for counter in [
            &self.operations,
            &self.bytes,
            &self.errors,
            &self.resident,
            &self.held,
            &self.scheduled,
            &self.children_ns,
            &self.target,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        for tally in &self.tallies {
            tally.store(0, Ordering::Relaxed);
        }
        self.buckets.clear();
        self.state.store(state::EMPTY, Ordering::Release);
    }
}

#[repr(C, align(64))]
#[derive(Debug)]
struct Header {
    /// Counts the starts; workers wait on it.
    starts: AtomicU32,
}

/// The whole region. It lives until the program ends.
#[derive(Debug)]
pub struct Shared {
    base: NonNull<std::ffi::c_void>,
    bytes: NonZeroUsize,
    slots: usize,
}

// SAFETY: the region holds only atomics, which any thread may use.
unsafe impl Send for Shared {}
// SAFETY: as above; `Shared` hands out shared references only.
unsafe impl Sync for Shared {}

impl Shared {
    /// A region with this many slots, shared with processes forked later.
    ///
    /// # Errors
    /// When the kernel refuses the memory.
    pub fn new(slots: usize) -> nix::Result<Self> {
        let bytes = size_of::<Header>() + slots * size_of::<Slot>();
        let bytes = NonZeroUsize::new(bytes).ok_or(nix::Error::EINVAL)?;
        // SAFETY: an anonymous mapping at an address of the kernel's choice
        // overlaps nothing. It is page-aligned and zero, which is a valid
        // value of every atomic in it.
        let base = unsafe {
            mmap_anonymous(
                None,
                bytes,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE,
            )?
        };
        Ok(Self { base, bytes, slots })
    }

    /// How many slots there are.
    pub const fn len(&self) -> usize {
        self.slots
    }

    /// Whether there is no slot.
    pub const fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// One worker's part.
    pub fn slot(&self, index: usize) -> Option<&Slot> {
        if index >= self.slots {
            return None;
        }
        let offset = size_of::<Header>() + index * size_of::<Slot>();
        // SAFETY: the offset lies inside the mapping (index < slots), is a
        // multiple of 64 from a page-aligned base, and what is there is a Slot.
        Some(unsafe { self.base.byte_add(offset).cast::<Slot>().as_ref() })
    }

    /// Make the first `count` slots empty again.
    pub(super) fn clear(&self, count: usize) {
        for slot in (0..count).filter_map(|index| self.slot(index)) {
            slot.clear();
        }
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping begins with a Header.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// How many starts there have been.
    pub(super) fn starts(&self) -> u32 {
        self.header().starts.load(Ordering::Acquire)
    }

    /// Release every worker that waits.
    pub(super) fn start(&self) {
        let starts = &self.header().starts;
        starts.fetch_add(1, Ordering::Release);
        // SAFETY: FUTEX_WAKE reads nothing but the address of a live atomic.
        unsafe {
            libc::syscall(libc::SYS_futex, starts.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
        }
    }

    /// Wait until there have been more than `seen` starts.
    pub(super) fn wait_for_start(&self, seen: u32) {
        let starts = &self.header().starts;
        while starts.load(Ordering::Acquire) <= seen {
            // SAFETY: FUTEX_WAIT compares the live atomic with `seen` and
            // sleeps; a null timeout means none.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    starts.as_ptr(),
                    libc::FUTEX_WAIT,
                    seen,
                    std::ptr::null::<libc::timespec>(),
                );
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping, and no reference
        // into it outlives `self`.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}
