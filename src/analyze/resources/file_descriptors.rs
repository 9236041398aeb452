//! File descriptors of the whole system.

use super::{BLANK, Resource, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "file-descriptors",
    title: "the system's file descriptors",
    means: "The system's table of open files is nearly full. A process's own limit is another, and is not seen here.",
    usual: "descriptors that are not closed",
    utilization: &[level(
        "file_descriptors_ratio",
        0.90,
        0.70,
        "node-mixin NodeFileDescriptorLimit: 70 % warns, 90 % is critical; a process's own limit may be hit long before, which is not seen here",
    )],
    blind: "the number of open files was not sampled",
    advice: "raise fs.file-max, or find who leaks them",
    ..BLANK
};
