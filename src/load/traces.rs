//! What a load must leave a name for, and so could leave behind: the folders of
//! `files` loads, and the loads' cgroups. The spawner removes them when its workers are gone, the
//! program when the spawner was killed, and the next run when both were.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::groups;
use crate::{
    host::Roots,
    scenario::plan::{PhasePlan, Work},
};

/// How such a folder is called; the number of the program's process follows.
const PREFIX: &str = ".stressor-files-";

/// The folder below `directory` that belongs to the run of process `owner`.
pub(super) fn folder(directory: &Path, owner: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{owner}"))
}

/// Everything that the run of one process may leave.
#[derive(Debug, Clone)]
pub(super) struct Traces {
    owner: u32,
    directories: Vec<PathBuf>,
    /// Cgroups in which ours are made.
    parents: Vec<PathBuf>,
}

impl Traces {
    pub(super) fn of(phases: &[PhasePlan], owner: u32) -> Self {
        let mut directories: Vec<PathBuf> = phases
            .iter()
            .flat_map(|phase| &phase.loads)
            .filter_map(|load| match &load.work {
                Work::Files(work) => {
                    Some(work.directory.clone().unwrap_or_else(|| PathBuf::from(".")))
                }
                _ => None,
            })
            .collect();
        directories.sort();
        directories.dedup();
        let loads: Vec<_> = phases.iter().flat_map(|phase| phase.loads.clone()).collect();
        Self { owner, directories, parents: groups::parents(&loads, &Roots::default()) }
    }

    /// Whether there is nothing that could stay behind.
    pub(super) fn is_none(&self) -> bool {
        self.directories.is_empty() && self.parents.is_empty()
    }

    /// Remove everything. The workers should be gone.
    pub(super) fn remove(&self) {
        for directory in &self.directories {
            remove(&folder(directory, self.owner));
        }
        self.groups(|owner| owner == self.owner);
    }

    /// Remove the cgroups of the runs that `whose` picks.
    fn groups(&self, whose: impl Fn(u32) -> bool) {
        for entry in self.parents.iter().flat_map(fs::read_dir).flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| {
                name.strip_prefix(groups::PREFIX)?.split('-').next()?.parse().ok()
            });
            if owner.is_some_and(&whose) {
                groups::remove(&entry.path());
            }
        }
    }

    /// Remove what runs left behind whose process is gone.
    pub(super) fn sweep(&self) {
        self.groups(|owner| !Path::new("/proc").join(owner.to_string()).exists());
        for directory in &self.directories {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                    continue;
                };
                let alive = Path::new("/proc").join(owner).exists();
                if owner.parse::<u32>().is_ok() && !alive {
                    remove(&entry.path());
                }
            }
        }
    }
}

/// A worker that is just being killed may still make a file in it.
fn remove(folder: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_runs_left_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let dead = folder(directory.path(), 4_194_305);
        let mine = folder(directory.path(), std::process::id());
        let other = directory.path().join(".stressor-files-mine");
        for folder in [&dead, &mine, &other] {
            fs::create_dir_all(folder.join("0")).unwrap();
        }
        let traces = Traces {
            owner: std::process::id(),
            directories: vec![directory.path().into()],
            parents: Vec::new(),
        };
        traces.sweep();
        assert!(!dead.exists() && mine.exists() && other.exists());
        traces.remove();
        assert!(!mine.exists() && other.exists());
    }
}
