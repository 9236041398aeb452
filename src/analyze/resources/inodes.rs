//! Inodes of a file system.

use super::{BLANK, Resource, Standing, level};

pub(super) static RESOURCE: Resource = Resource {
    name: "inodes",
    title: "the inodes of {device}",
    means: "No new file can be made, though there may be space.",
    usual: "many small files",
    utilization: &[level(
        "inodes_used_ratio",
        0.97,
        0.90,
        "3 % left is critical (node-mixin NodeFilesystemAlmostOutOfFiles); near: a tenth left",
    )],
    saturation: &[level("inodes_used_ratio", 0.9999, 0.97, "nothing left: new files are refused")],
    blind: "no file system with a fixed number of inodes was sampled",
    advice: "delete small files, or make the file system anew with more inodes",
    standing: Standing::WhileUnmoved,
    ..BLANK
};
