//! The machine we are on: what it offers, what limits us, what it is called.
//! Roots are parameters, so that tests and containers can point elsewhere.

pub mod cgroup;
pub mod clock;
pub mod digest;
pub mod facts;
pub mod memory;

use std::path::{Path, PathBuf};

/// Where /proc and /sys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Usually `/proc`.
    pub proc: PathBuf,
    /// Usually `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys") }
    }
}

impl Roots {
    /// The text of a file below /proc; `None` when it cannot be read.
    pub fn proc_text(&self, path: impl AsRef<Path>) -> Option<String> {
        std::fs::read_to_string(self.proc.join(path)).ok()
    }

    /// The trimmed text of a file below /sys; `None` when it cannot be read.
    pub fn sys_text(&self, path: impl AsRef<Path>) -> Option<String> {
        std::fs::read_to_string(self.sys.join(path)).ok().map(|text| text.trim().to_owned())
    }
}

/// Cores that this process may run on (its affinity mask), at least 1.
///
/// `core_affinity` reads the mask of the calling thread, so this must be
/// called before any thread pins itself.
pub fn allowed_cores() -> Vec<usize> {
    let cores: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// How many cores this process can really use, and what limits it when that is
/// fewer than the host has: its affinity mask (taskset, cpuset) or the CPU
/// quota of its cgroup, rounded up.
pub fn effective_cores(roots: &Roots, allowed: usize) -> (u32, Option<String>) {
    let stat = roots.proc_text("stat").unwrap_or_default();
    let of_host = stat
        .lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .count()
        .max(allowed);
    let cores = u32::try_from(allowed).unwrap_or(u32::MAX);
    let groups = cgroup::Groups::of_self(roots);
    let quota = groups.cpu.as_ref().and_then(|group| Some((group, cgroup::cpu_quota(group)?)));
    if let Some((group, quota)) = quota.filter(|(_, quota)| *quota < f64::from(cores)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "above 0 and below a count of cores"
        )]
        let whole = (quota.ceil().max(1.0)) as u32;
        let words = format!(
            "the CPU quota of cgroup {}, {} cores; the host has {of_host}",
            group.name,
            crate::model::units::three_digits(quota)
        );
        return (whole, Some(words));
    }
    let words = (allowed < of_host)
        .then(|| format!("the affinity mask or cpuset, {allowed} of the host's {of_host} cores"));
    (cores, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(quota: &str) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("self")).unwrap();
        std::fs::create_dir_all(at("cg/box")).unwrap();
        std::fs::write(at("stat"), "cpu  1\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n").unwrap();
        std::fs::write(at("self/cgroup"), "0::/box\n").unwrap();
        let mount = format!("32 20 0:28 / {} rw - cgroup2 cgroup rw\n", at("cg").display());
        std::fs::write(at("self/mountinfo"), mount).unwrap();
        std::fs::write(at("cg/box/cpu.max"), quota).unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        (folder, roots)
    }

    #[test]
    fn the_tightest_limit_of_cores_counts_and_is_named() {
        let (_folder, roots) = machine("max 100000\n");
        assert_eq!(effective_cores(&roots, 4), (4, None));
        let (cores, why) = effective_cores(&roots, 2);
        assert_eq!(cores, 2);
        assert!(why.unwrap().contains("2 of the host's 4 cores"));
        let (_folder, roots) = machine("150000 100000\n");
        let (cores, why) = effective_cores(&roots, 4);
        assert_eq!(cores, 2);
        assert!(why.unwrap().contains("cgroup /box, 1.5 cores"));
        // A quota beyond what may be used limits nothing.
        assert_eq!(effective_cores(&roots, 1).0, 1);
    }
}
