//! What the workers of each kind do.

use super::HttpWork;
use core::net::SocketAddr;
use std::{path::PathBuf, time::Duration};

/// What the workers of a load do.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Compute.
    Cpu {
        /// What is computed.
        method: CpuMethod,
        /// Share of a core for each worker, 0 to 1.
        load: f64,
        /// Operations per second for each worker.
        rate: Option<f64>,
    },
    /// Take and touch memory.
    Memory(MemoryWork),
    /// Flush all file systems.
    Sync {
        /// Calls per second for each worker.
        rate: Option<f64>,
    },
    /// Write or read a scratch file.
    Disk(DiskWork),
    /// Have two threads take turns.
    Switch {
        /// Round trips per second for each worker.
        rate: Option<f64>,
        /// They wake each other by a futex, not through pipes.
        futex: bool,
    },
    /// Make processes that end at once.
    Fork {
        /// Processes per second for each worker.
        rate: Option<f64>,
    },
    /// Send over the network.
    Net(NetWork),
    /// Send HTTP requests.
    Http(Box<HttpWork>),
    /// Create, look up and remove files.
    Files(FilesWork),
    /// Take things that the kernel has a limit of, and keep them.
    Hold(HoldWork),
}

impl Work {
    /// The value of `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Memory(_) => "memory",
            Self::Sync { .. } => "sync",
            Self::Disk(_) => "disk",
            Self::Switch { .. } => "switch",
            Self::Fork { .. } => "fork",
            Self::Net(_) => "net",
            Self::Http(_) => "http",
            Self::Files(_) => "files",
            Self::Hold(work) => work.what.name(),
        }
    }

    /// Names of what the kind counts beside operations; at most eight.
    pub const fn tallies(&self) -> &'static [&'static str] {
        match self {
            Self::Net(_) => &["received"],
            Self::Http(_) => {
                &["1xx", "2xx", "3xx", "4xx", "5xx", "timeouts", "not connected", "broken off"]
            }
            _ => &[],
        }
    }

    /// Where it sends to, if that is not a sink of its own.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Net(work) => work.target.as_ref(),
            Self::Http(work) => work.url.as_ref().map(|url| &url.target),
            _ => None,
        }
    }

    /// The same, to be filled in.
    pub fn target_mut(&mut self) -> Option<&mut Target> {
        match self {
            Self::Net(work) => work.target.as_mut(),
            Self::Http(work) => work.url.as_mut().map(|url| &mut url.target),
            _ => None,
        }
    }
}

/// What a CPU worker computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuMethod {
    /// Square roots.
    Sqrt,
    /// Integer multiplication, shifts and rotations.
    Integer,
    /// Floating-point multiplication and addition.
    Float,
    /// Products of small matrices.
    Matrix,
    /// Multiply-adds in the widest registers that the CPU has.
    Vector,
    /// Hashing of a buffer in the first-level cache.
    Hash,
    /// Branches that no predictor can foresee.
    Branch,
    /// Loads that each need the one before, all over 64 MiB.
    MemoryLatency,
    /// All of the others in turn.
    Mixed,
}

impl CpuMethod {
    /// All but [`CpuMethod::Mixed`].
    pub const SINGLE: [Self; 8] = [
        Self::Sqrt,
        Self::Integer,
        Self::Float,
        Self::Matrix,
        Self::Vector,
        Self::Hash,
        Self::Branch,
        Self::MemoryLatency,
    ];

    /// Bytes that a worker walks over for [`CpuMethod::MemoryLatency`]: more
    /// than most last-level caches hold.
    pub const CHAIN_BYTES: u64 = 64 << 20;

    /// Read the key's value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::SINGLE.into_iter().chain([Self::Mixed]).find(|method| method.name() == text)
    }

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqrt => "sqrt",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Matrix => "matrix",
            Self::Vector => "vector",
            Self::Hash => "hash",
            Self::Branch => "branch",
            Self::MemoryLatency => "memory-latency",
            Self::Mixed => "mixed",
        }
    }
}

/// How much memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Bytes for all workers together.
    Bytes(u64),
    /// A share, 0 to 1, of what is available when the phase begins.
    Available(f64),
}

/// The work of a memory worker.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryWork {
    /// For all workers together.
    pub size: Amount,
    /// Bytes between touched bytes.
    pub stride: u64,
    /// What happens to it after each pass.
    pub holding: Holding,
    /// Rest after each pass.
    pub pause: Duration,
    /// Bytes per second for all workers together, taken during the phase.
    pub growth: Option<u64>,
    /// Ask for transparent huge pages.
    pub huge_pages: bool,
    /// Lock it into memory.
    pub lock: bool,
    /// Move bytes instead of touching.
    pub bandwidth: Option<Bandwidth>,
    /// Bytes per second for each worker.
    pub rate_bytes: Option<u64>,
}

/// What a memory worker does once it has touched its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Touch it again.
    Again,
    /// Hold it.
    Hang,
    /// Free it and take it again.
    Free,
}

/// How bytes are moved through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bandwidth {
    /// Load all of it.
    Read,
    /// Store over all of it.
    Write,
    /// From one half to the other.
    Copy,
    /// `a = b + s·c` on thirds (McCalpin's STREAM).
    Triad,
    /// Read and write single lines anywhere.
    Random,
}

impl Bandwidth {
    /// All, in the order of the manual.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Copy, Self::Triad, Self::Random];

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Copy => "copy",
            Self::Triad => "triad",
            Self::Random => "random",
        }
    }
}

/// The work of a disk worker.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskWork {
    /// The share of reads, 0 (only writes) to 1 (only reads).
    pub reads: f64,
    /// Random, or else sequential.
    pub random: bool,
    /// Bytes of one operation.
    pub block_size: u64,
    /// Bytes of each worker's file, a multiple of the block size.
    pub file_size: u64,
    /// Bypass the page cache.
    pub direct: bool,
    /// When to flush.
    pub fsync: Fsync,
    /// Where the file lives; `None` is the current folder.
    pub directory: Option<PathBuf>,
    /// A file or block device that is there already and that all workers use,
    /// in place of a scratch file each.
    pub file: Option<PathBuf>,
    /// Operations per second for each worker.
    pub rate: Option<f64>,
    /// Bytes per second for each worker.
    pub rate_bytes: Option<u64>,
    /// Operations in flight for each worker.
    pub depth: u32,
    /// How they are kept in flight.
    pub engine: Engine,
    /// Check the content of every block.
    pub verify: bool,
}

impl DiskWork {
    /// Bytes of a block that its checksum needs.
    pub const STAMP_BYTES: u64 = 32;

    /// Whether io_uring is to be used where the kernel allows it.
    pub fn wants_uring(&self) -> bool {
        match self.engine {
            Engine::Auto => self.depth > 1,
            Engine::Uring => true,
            Engine::Threads => false,
        }
    }

    /// Whether blocks must be there before the work begins: for whoever reads,
    /// and for random or direct writes, which would measure how the file system
    /// finds room and not how the disk writes.
    pub fn is_laid_down_first(&self) -> bool {
        self.file.is_none() && (self.reads > 0.0 || self.random || self.direct)
    }
}

/// How disk operations are kept in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// By io_uring for a depth above 1, where the kernel allows it.
    Auto,
    /// By io_uring.
    Uring,
    /// By a thread for each.
    Threads,
}

impl Engine {
    /// All, in the order of the manual.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Uring, Self::Threads];

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Uring => "io_uring",
            Self::Threads => "threads",
        }
    }
}

/// When written data is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Never; the kernel decides.
    Never,
    /// After each pass over the file.
    End,
    /// After this many writes.
    Every(u64),
}

/// The work of a files worker.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesWork {
    /// Files that each worker has at once.
    pub count: u64,
    /// Bytes written to each.
    pub file_size: u64,
    /// Where they live; `None` is the current folder.
    pub directory: Option<PathBuf>,
    /// Files per second for each worker.
    pub rate: Option<f64>,
}

/// The work of a worker that takes and keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HoldWork {
    /// What is taken.
    pub what: Held,
    /// How many each worker takes.
    pub count: u64,
    /// How many per second each worker takes; `None` for as fast as possible.
    pub rate: Option<f64>,
}

/// A thing that the kernel has a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Open file descriptors.
    Descriptors,
    /// Processes that sleep.
    Processes,
    /// TCP connections over loopback, both ends.
    Sockets,
}

impl Held {
    /// All, in the order of the manual.
    pub const ALL: [Self; 3] = [Self::Descriptors, Self::Processes, Self::Sockets];

    /// The value of `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Processes => "processes",
            Self::Sockets => "sockets",
        }
    }
}

/// A host and port, with the addresses that they stand for once these have
/// been looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What the host resolves to; empty before the preflight.
    pub addresses: Vec<SocketAddr>,
}

impl Target {
    /// Read `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, addresses: Vec::new() })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The work of a net worker.
#[derive(Debug, Clone, PartialEq)]
pub struct NetWork {
    /// Over UDP, or else TCP.
    pub udp: bool,
    /// What is sent and awaited.
    pub pattern: Pattern,
    /// Bytes of one write, datagram or request.
    pub message: u64,
    /// Where to; `None` for a sink of its own.
    pub target: Option<Target>,
    /// Be a sink at this address.
    pub listen: Option<Target>,
    /// Close in the ordinary way, which leaves a port waiting.
    pub time_wait: bool,
    /// Messages or connections per second for each worker.
    pub rate: Option<f64>,
    /// Bytes per second for each worker.
    pub rate_bytes: Option<u64>,
}

/// What goes over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Bytes in one direction.
    Stream,
    /// A message, and the same one back.
    Request,
    /// Connections.
    Connect,
}

impl Pattern {
    /// All, in the order of the manual.
    pub const ALL: [Self; 3] = [Self::Stream, Self::Request, Self::Connect];

    /// The key's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Request => "request",
            Self::Connect => "connect",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("[::1]:5201", "::1", 5201),
            ("web.internal:8080", "web.internal", 8080),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port));
            assert_eq!(target.to_string(), text);
        }
        for text in ["", "80", ":80", "::1:80", "host:", "host:99999", "[::1:80"] {
            assert_eq!(Target::parse(text), None, "{text:?}");
        }
    }
}
