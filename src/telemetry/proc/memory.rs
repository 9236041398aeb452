//! Memory in use, and what the kernel does to find more.

use super::{Values, plain};
use crate::host::{Roots, cgroup::flat_value, memory::meminfo};

const MEMINFO: [&str; 11] = [
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Cached",
    "Dirty",
    "Writeback",
    "SwapTotal",
    "SwapFree",
    "Shmem",
    "Hugetlb",
    "Hugepagesize",
];
const VMSTAT: [&str; 8] = [
    // Of the host only: what a group reclaims within its limit is not counted here.
    "pgscan_direct",
    "pswpin",
    "pswpout",
    "pgmajfault",
    "pgfault",
    "oom_kill",
    "workingset_refault_anon",
    "workingset_refault_file",
];

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("meminfo") {
        for name in MEMINFO {
            if let Some(bytes) = meminfo(&text, name) {
                plain(values, &format!("node_memory_{name}_bytes"), bytes as f64);
            }
        }
        // A count, where all others are sizes.
        if let Some(pages) = huge_pages(&text) {
            plain(values, "node_memory_HugePages_Total", pages);
        }
    }
    if let Some(text) = roots.proc_text("spl/kstat/zfs/arcstats") {
        for (name, bytes) in arc(&text) {
            plain(values, &format!("node_zfs_arc_{name}"), bytes);
        }
    }
    if let Some(text) = roots.proc_text("vmstat") {
        for name in VMSTAT {
            if let Some(count) = flat_value(&text, name) {
                plain(values, &format!("node_vmstat_{name}"), count);
            }
        }
    }
}

/// Huge pages of the usual size that are set aside.
fn huge_pages(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("HugePages_Total:"))?;
    line.trim().parse().ok()
}

/// Size and minimum of the cache of ZFS: lines of name, type and value.
fn arc(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, value) = (words.next()?, words.nth(1)?);
        ["size", "c_min"].contains(&name).then_some(())?;
        Some((name, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_read() {
        let meminfo = "MemTotal: 100 kB\nHugePages_Total:     720\nHugePages_Free:      700\n";
        assert_eq!(huge_pages(meminfo), Some(720.0));
        assert_eq!(huge_pages("MemTotal: 100 kB\n"), None);
        let arcstats =
            "9 1 0x01 123 33456 1 2\nname type data\nhits 4 5\nc_min 4 100\nsize 4 900\n";
        assert_eq!(arc(arcstats).collect::<Vec<_>>(), [("c_min", 100.0), ("size", 900.0)]);
    }
}
