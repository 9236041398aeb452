//! Memory in use, and what the kernel does to find more.

use super::{Values, plain};
use crate::host::{Roots, cgroup::flat_value, memory::meminfo};

const MEMINFO: [&str; 8] = [
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Cached",
    "Dirty",
    "Writeback",
    "SwapTotal",
    "SwapFree",
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
    }
    if let Some(text) = roots.proc_text("vmstat") {
        for name in VMSTAT {
            if let Some(count) = flat_value(&text, name) {
                plain(values, &format!("node_vmstat_{name}"), count);
            }
        }
    }
}
