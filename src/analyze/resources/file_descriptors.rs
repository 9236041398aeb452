//! File descriptors of the whole system, and of a process.

use super::{BLANK, Resource, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "file-descriptors",
    title: "the file descriptors of {device}",
    means: "The system's table of open files is nearly full, or a process has as many open as it may: opening, accepting and connecting fail.",
    usual: "descriptors that are not closed, or a limit from a time with fewer connections",
    utilization: &[
        level(
            "file_descriptors_ratio",
            0.90,
            0.70,
            "node-mixin NodeFileDescriptorLimit: 70 % warns, 90 % is critical",
        ),
        level(
            "process_files_ratio",
            0.95,
            0.80,
            "the process's soft limit (getrlimit(2), RLIMIT_NOFILE); one that others own, or that a Linux before 6.2 runs, is not seen",
        ),
    ],
    blind: "the number of open files was not sampled",
    advice: "find who leaks them, or raise the process's limit (LimitNOFILE=, ulimit -n) or fs.file-max",
    ..BLANK
};
