//! How much memory this process can still take without hurting anyone.

use super::{
    Roots,
    cgroup::{self, Groups},
};

/// Memory of the host and of the cgroup that binds us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// `MemTotal` of the host, in bytes.
    pub total: u64,
    /// `MemAvailable` of the host, in bytes.
    pub host_available: u64,
    /// What the cgroup's limit leaves, in bytes; dropped page cache counts.
    pub cgroup_left: Option<u64>,
}

impl Memory {
    /// Read the host and the cgroup. `None` when /proc/meminfo cannot be read.
    pub fn read(roots: &Roots, groups: &Groups) -> Option<Self> {
        let text = roots.proc_text("meminfo")?;
        let cgroup_left = groups.memory.as_ref().and_then(|group| {
            let limit = cgroup::memory_limit(group)?;
            let used = cgroup::memory_usage(group)?;
            let cache = cgroup::usage::inactive_file(group).unwrap_or(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not below 0"
            )]
            Some((limit - used + cache).max(0.0) as u64)
        });
        Some(Self {
            total: meminfo(&text, "MemTotal")?,
            host_available: meminfo(&text, "MemAvailable")?,
            cgroup_left,
        })
    }

    /// Available to this process: the smaller of host and cgroup.
    pub fn available(self) -> u64 {
        self.cgroup_left.map_or(self.host_available, |left| left.min(self.host_available))
    }

    /// What must stay available on the host: the larger of 256 MiB and 5 %.
    pub fn reserve(self) -> u64 {
        (256 << 20).max(self.total / 20)
    }
}

/// A value of /proc/meminfo in bytes.
pub fn meminfo(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_counts() {
        let memory =
            Memory { total: 100 << 30, host_available: 50 << 30, cgroup_left: Some(1 << 30) };
        assert_eq!(memory.available(), 1 << 30);
        assert_eq!(memory.reserve(), 5 << 30);
        assert_eq!(Memory { total: 1 << 30, ..memory }.reserve(), 256 << 20);
    }

    #[test]
    fn meminfo_is_in_kib() {
        assert_eq!(meminfo("MemTotal:   8 kB\nMemAvailable:  4 kB\n", "MemAvailable"), Some(4096));
        assert_eq!(meminfo("MemTotal:   8 kB\n", "MemAvailable"), None);
    }
}
