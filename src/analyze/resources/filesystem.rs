//! Space of a file system.

use super::{BLANK, Resource, Standing, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "filesystem",
    title: "the file system at {device}",
    means: "No space is left for ordinary users. `saturated` is nothing at all: writes fail.",
    usual: "logs, temporary files, data that grew",
    utilization: &[level(
        "filesystem_used_ratio",
        0.97,
        0.90,
        "3 % left is critical (node-mixin NodeFilesystemAlmostOutOfSpace); near: a tenth left",
    )],
    saturation: &[level("filesystem_used_ratio", 0.9999, 0.97, "nothing left: writes are refused")],
    blind: "no file system on a local device was sampled",
    advice: "free or add space",
    standing: Standing::WhileUnmoved,
    ..BLANK
};
