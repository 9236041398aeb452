//! What a control group uses of a machine.

use std::path::PathBuf;

use super::{Group, Version, flat_value, parse_limit};

/// CPU seconds of a group, with the text of its cpu.stat. Version 1 counts them in a
/// hierarchy that may be mounted apart from that of the quota.
pub fn cpu_seconds(group: &Group, version: Version, stat: &str) -> Option<f64> {
    match version {
        Version::V1 => accounted(group).map(|ns| ns / 1e9),
        Version::V2 => flat_value(stat, "usage_usec").map(|us| us / 1e6),
    }
}

fn accounted(group: &Group) -> Option<f64> {
    group.number("cpuacct.usage").or_else(|| {
        let apart: PathBuf = group
            .path
            .components()
            .map(
                |part| {
                    if part.as_os_str() == "cpu" { "cpuacct".as_ref() } else { part.as_os_str() }
                },
            )
            .collect();
        std::fs::read_to_string(apart.join("cpuacct.usage")).ok()?.trim().parse().ok()
    })
}

/// Page cache of the group that the kernel drops first, in bytes.
pub fn inactive_file(group: &Group) -> Option<f64> {
    inactive_file_of(group.version, &group.text("memory.stat")?)
}

/// The same by the text of its memory.stat.
pub fn inactive_file_of(version: Version, stat: &str) -> Option<f64> {
    match version {
        Version::V1 => flat_value(stat, "total_inactive_file"),
        Version::V2 => flat_value(stat, "inactive_file"),
    }
}

/// Pages of a group that were read again soon after it had to drop them, by its memory.stat.
pub fn refaults_of(version: Version, stat: &str) -> Option<f64> {
    let prefix = match version {
        Version::V1 => "total_",
        Version::V2 => "",
    };
    let of = |kind: &str| flat_value(stat, &format!("{prefix}workingset_refault_{kind}"));
    Some(of("anon")? + of("file")?)
}

/// Bytes that a group has read and written on all disks.
pub fn io_bytes(group: &Group) -> Option<f64> {
    match group.version {
        Version::V1 => {
            let file = "blkio.throttle.io_service_bytes";
            let text = group.text(&format!("{file}_recursive")).or_else(|| group.text(file))?;
            flat_value(&text, "Total")
        }
        Version::V2 => {
            let text = group.text("io.stat")?;
            let of = |pair: &str| {
                let (key, value) = pair.split_once('=')?;
                ["rbytes", "wbytes"].contains(&key).then(|| parse_limit(value)).flatten()
            };
            Some(text.split_whitespace().filter_map(of).sum())
        }
    }
}
