//! The machine we are on: what it offers, what limits us, what it is called.
//! Roots are parameters, so that tests and containers can point elsewhere.

pub mod cgroup;
pub mod clock;
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
