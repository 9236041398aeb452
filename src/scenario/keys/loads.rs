//! The kinds of load and their keys.

use super::{Key, Kind, may, must};

/// A kind of load.
#[derive(Debug, Clone, Copy)]
pub struct LoadKind {
    /// The value of `kind`.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Its own keys, beside [`LOAD_COMMON`].
    pub keys: &'static [Key],
}

/// Keys that every load has.
pub static LOAD_COMMON: &[Key] = &[
    must(
        "kind",
        Kind::Choice(&[
            "cpu",
            "memory",
            "sync",
            "disk",
            "files",
            "net",
            "http",
            "switch",
            "fork",
            "descriptors",
            "processes",
            "sockets",
        ]),
        "What is loaded.",
    ),
    may(
        "workers",
        Kind::Workers,
        "How many worker processes: a number, `per-core`, or `2x-cores`. Default 1; for cpu `per-core`.",
    ),
    may(
        "nodes",
        Kind::Pattern,
        "Regular expression over the names of the nodes that carry this load. Default: every node that can.",
    ),
    may("cores", Kind::Cores, "Pin the workers to these cores in turn, such as [0, 1]."),
    may(
        "nice",
        Kind::Integer(-20, 19),
        "Nice value of the workers; below 0 needs a privilege. Default: that of the program; for cpu, where the program may not raise its own priority, one more, so that sampling and guards stay on time. Such workers use all idle time, and four fifths of what another program's task at nice 0 gets.",
    ),
    may(
        "scheduler",
        Kind::Choice(&["other", "batch", "idle", "fifo", "rr"]),
        "Scheduling class; fifo and rr (at the lowest real-time priority) need a privilege and keep everything else off their cores. Default other.",
    ),
    may(
        "io_class",
        Kind::Choice(&["best-effort", "idle", "realtime"]),
        "I/O scheduling class; realtime needs a privilege. Default: by the nice value, as the kernel does.",
    ),
    may(
        "cgroup",
        Kind::Table(CGROUP),
        "Put the workers of this load into a cgroup of their own (version 2, or 1 where that is what there is) with these limits, so that a container can be rehearsed. Needs root or a delegated group.",
    ),
];

/// What is taken and kept.
static HOLD: &[Key] = &[
    must("count", Kind::Integer(1, 100_000_000), "How many each worker takes."),
    may(
        "rate",
        Kind::Number(0.001, 1e9),
        "How many per second each worker takes. Default: as fast as possible.",
    ),
];

/// Bytes per second of each worker.
const RATE_BYTES: Key = may(
    "rate_bytes",
    Kind::Size(false),
    "Bytes per second for each worker, such as \"100M\". Default: as many as possible.",
);

/// Limits of a load's cgroup.
static CGROUP: &[Key] = &[
    may("cpu", Kind::Number(0.01, 1024.0), "Cores' worth of CPU time, such as 0.5."),
    may("memory", Kind::Size(false), "Bytes of memory, page cache included."),
    may("processes", Kind::Integer(1, 4_194_304), "Tasks."),
    may(
        "read_bytes",
        Kind::Size(false),
        "Bytes per second read from the disk on which the load's `directory` lies.",
    ),
    may(
        "write_bytes",
        Kind::Size(false),
        "Bytes per second written to the disk on which the load's `directory` lies.",
    ),
];

/// All kinds of load.
pub static LOADS: &[LoadKind] = &[
    LoadKind {
        name: "cpu",
        doc: "Computes without touching memory.",
        keys: &[
            may(
                "load",
                Kind::Number(0.0, 100.0),
                "Percent of a core for each worker, held on the worker's own CPU clock. Default 100.",
            ),
            may(
                "method",
                Kind::Choice(&[
                    "sqrt",
                    "integer",
                    "float",
                    "matrix",
                    "vector",
                    "hash",
                    "branch",
                    "memory-latency",
                    "mixed",
                ]),
                "What is computed. Default sqrt.",
            ),
            may(
                "rate",
                Kind::Number(0.001, 1e12),
                "Operations per second for each worker, in place of `load`. Default: as `load` says.",
            ),
        ],
    },
    LoadKind {
        name: "memory",
        doc: "Takes memory and touches it, or moves bytes through it.",
        keys: &[
            must(
                "size",
                Kind::Size(true),
                "Bytes for all workers of this load together; a percentage is of the memory available to this process (host and cgroup) when the phase begins.",
            ),
            may(
                "stride",
                Kind::Size(false),
                "Distance between touched bytes. Default 4K: one a page.",
            ),
            may(
                "keep",
                Kind::Flag,
                "Take the memory once, before the phase begins, and touch it again and again (true, the default), or free it and take it again each time (false).",
            ),
            may(
                "pause",
                Kind::Duration(0.0, 3600.0),
                "Rest after each pass over the memory. Default 0s.",
            ),
            may("hang", Kind::Flag, "Touch the memory once and then only hold it. Default false."),
            may(
                "growth",
                Kind::Size(false),
                "Take the memory during the phase, so many bytes per second for all workers together, up to `size`. Default: all of it before the phase begins.",
            ),
            may(
                "huge_pages",
                Kind::Flag,
                "Ask for transparent huge pages (MADV_HUGEPAGE). Default false.",
            ),
            may(
                "lock",
                Kind::Flag,
                "Lock the memory, so that it cannot be swapped out (mlock); needs a limit (ulimit -l) that allows it. Default false.",
            ),
            may(
                "bandwidth",
                Kind::Choice(&["read", "write", "copy", "triad", "random"]),
                "Move bytes as fast as the memory allows instead of touching: `triad` is a = b + s·c on doubles, `random` reads and writes one line of 64 bytes anywhere. Choose a `size` beyond the caches.",
            ),
            RATE_BYTES,
        ],
    },
    LoadKind {
        name: "sync",
        doc: "Calls sync(2): flushes every file system of the host.",
        keys: &[may(
            "rate",
            Kind::Number(0.001, 1e9),
            "Calls per second for each worker. Default: as many as possible.",
        )],
    },
    LoadKind {
        name: "disk",
        doc: "Writes or reads a scratch file of its own, which has no name and vanishes with the worker.",
        keys: &[
            may(
                "operation",
                Kind::Choice(&["write", "read", "mixed"]),
                "What is done; `mixed` does both. Default write.",
            ),
            may("reads", Kind::Number(0.0, 100.0), "Percent of reads in a mixed load. Default 50."),
            may("access", Kind::Choice(&["sequential", "random"]), "Default sequential."),
            may(
                "block_size",
                Kind::Size(false),
                "Bytes of one operation. Default 1M, for random access 4K.",
            ),
            may(
                "file_size",
                Kind::Size(false),
                "Bytes of each worker's file, or to use of `file`, from its start. Default 256M.",
            ),
            may("direct", Kind::Flag, "Bypass the page cache (O_DIRECT). Default false."),
            may(
                "fsync",
                Kind::Fsync,
                "`never` (default), `end` (after each pass over the file), or N: after every N writes.",
            ),
            may("directory", Kind::Path, "Where the file lives. Default: the current folder."),
            may(
                "file",
                Kind::Path,
                "A file or block device that exists, used by all workers in place of a scratch file each.",
            ),
            may(
                "overwrite",
                Kind::Flag,
                "Allow writes to `file`: what it holds is lost. A mounted device is never written to.",
            ),
            may(
                "rate",
                Kind::Number(0.001, 1e9),
                "Operations per second for each worker. Default: as many as possible.",
            ),
            may(
                "depth",
                Kind::Integer(1, 1024),
                "Operations in flight for each worker. Default 1.",
            ),
            may(
                "engine",
                Kind::Choice(&["auto", "io_uring", "threads"]),
                "How operations are kept in flight: by io_uring, or by a thread for each. Default auto: io_uring for a depth above 1, where the kernel allows it.",
            ),
            may(
                "verify",
                Kind::Flag,
                "Give every block a checksum and check it: on every read, and by reading back what was written. Default false.",
            ),
            RATE_BYTES,
        ],
    },
    LoadKind {
        name: "files",
        doc: "Creates, looks up and removes files in a folder of its own, which goes with the run: pressure on inodes and directories.",
        keys: &[
            may(
                "count",
                Kind::Integer(1, 100_000_000),
                "Files that each worker has at once; beyond that, each new one takes the place of the oldest. Default 1.",
            ),
            may("file_size", Kind::Size(false), "Bytes written to each file. Default none."),
            may("directory", Kind::Path, "Where the folder lives. Default: the current folder."),
            may(
                "rate",
                Kind::Number(0.001, 1e9),
                "Files per second for each worker. Default: as many as possible.",
            ),
        ],
    },
    LoadKind {
        name: "net",
        doc: "Sends over TCP or UDP: streams, requests with answers, or connections made and closed; to a sink of its own on loopback, or to one elsewhere.",
        keys: &[
            may("protocol", Kind::Choice(&["tcp", "udp"]), "Default tcp."),
            may(
                "pattern",
                Kind::Choice(&["stream", "request", "connect"]),
                "`stream` sends as fast as it can, `request` waits for the answer to each message, `connect` makes a TCP connection and closes it. Default stream.",
            ),
            may(
                "message",
                Kind::Size(false),
                "Bytes of one write, datagram or request. Default 128K for a TCP stream, 1472 for a UDP stream, 64 for requests.",
            ),
            may(
                "target",
                Kind::Address,
                "Where to send to: a `net` load with `listen` on another node. Outside loopback it must stand in `allow_targets`. Default: a sink of the worker's own on loopback.",
            ),
            may(
                "listen",
                Kind::Address,
                "Be the sink for others at this address, and send nothing.",
            ),
            may(
                "time_wait",
                Kind::Flag,
                "Close connections in the ordinary way, after which a port waits for 60 s (true), or by a reset (false, the default): the first uses up the host's ports.",
            ),
            may(
                "rate",
                Kind::Number(0.001, 1e9),
                "Messages or connections per second for each worker. Default: as many as possible.",
            ),
            RATE_BYTES,
        ],
    },
    LoadKind {
        name: "http",
        doc: "Sends HTTP requests: by connections that each wait for the answer (closed loop), or, with a rate, at scheduled times whatever the answers take (open loop); then a latency counts from the time a request was due.",
        keys: &[
            may(
                "url",
                Kind::LoadUrl,
                "What is requested. Outside loopback its host must stand in `allow_targets`. Default: a small server of the worker's own on loopback.",
            ),
            may(
                "listen",
                Kind::Address,
                "Be a small server for others at this address, and send nothing.",
            ),
            may(
                "method",
                Kind::Choice(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
                "Default GET.",
            ),
            may(
                "headers",
                Kind::Texts,
                "Headers, such as [\"Accept: text/html\"]. Secret ones belong into `header_file`.",
            ),
            may(
                "header_file",
                Kind::Path,
                "File with more headers, one a line; it is not copied into the run.",
            ),
            may("body", Kind::Text, "Body of each request."),
            may("body_file", Kind::Path, "File with the body of each request."),
            may("version", Kind::Choice(&["1.1", "2"]), "HTTP version. Default 1.1."),
            may("connections", Kind::Integer(1, 65_536), "Connections of each worker. Default 10."),
            may(
                "streams",
                Kind::Integer(1, 1000),
                "Requests in flight on each HTTP/2 connection. Default 1.",
            ),
            may(
                "keep_alive",
                Kind::Flag,
                "Send many requests over one connection (true, the default), or make a connection for each (false).",
            ),
            may("timeout", Kind::Duration(0.001, 3600.0), "Time for one request. Default 10s."),
            may("ca_file", Kind::Path, "PEM file with the authorities to trust."),
            may("insecure", Kind::Flag, "Do not check the server's certificate. Default false."),
            may(
                "rate",
                Kind::Number(0.001, 1e9),
                "Requests per second for each worker: open loop. Default: closed loop.",
            ),
            may(
                "arrival",
                Kind::Choice(&["constant", "poisson"]),
                "Requests at even distances, or at random ones with the same mean. Default constant.",
            ),
            may(
                "rate_to",
                Kind::Number(0.0, 1e9),
                "The rate rises or falls to this, evenly over the phase. Default: it stays.",
            ),
            may(
                "spike_rate",
                Kind::Number(0.001, 1e9),
                "The rate during a spike: a burst of traffic at the end of every `spike_every`.",
            ),
            may(
                "spike_every",
                Kind::Duration(0.1, 86_400.0),
                "Time from one spike to the next. Default 10s.",
            ),
            may("spike_for", Kind::Duration(0.01, 86_400.0), "How long a spike lasts. Default 1s."),
        ],
    },
    LoadKind {
        name: "switch",
        doc: "Two threads a worker take turns: context switches.",
        keys: &[
            may(
                "via",
                Kind::Choice(&["pipe", "futex"]),
                "How they wake each other: a byte through a pipe, or a futex as locks do. Default pipe.",
            ),
            may(
                "rate",
                Kind::Number(0.001, 1e9),
                "Round trips per second for each worker. Default: as many as possible.",
            ),
        ],
    },
    LoadKind {
        name: "fork",
        doc: "Makes processes that end at once.",
        keys: &[may(
            "rate",
            Kind::Number(0.001, 1e9),
            "Processes per second for each worker. Default: as many as possible.",
        )],
    },
    LoadKind {
        name: "descriptors",
        doc: "Opens file descriptors and keeps them: the limits of a process (ulimit -n) and of the host (fs.file-max).",
        keys: HOLD,
    },
    LoadKind {
        name: "processes",
        doc: "Makes processes that sleep, and keeps them: the limits of a cgroup, of a user (ulimit -u) and of the host (kernel.pid_max).",
        keys: HOLD,
    },
    LoadKind {
        name: "sockets",
        doc: "Opens TCP connections over loopback and keeps both ends: sockets, ports and their memory.",
        keys: HOLD,
    },
];

/// The kind of a name.
pub fn load_kind(name: &str) -> Option<&'static LoadKind> {
    LOADS.iter().find(|kind| kind.name == name)
}
