//! What a load must leave a name for, and so could leave behind: the folders of
//! `files` loads, and the loads' cgroups. The spawner removes them when its workers are gone, the
//! program when the spawner was killed, and the next run when both were.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

use super::groups;
use crate::{
    host::Roots,
    scenario::plan::{LoadPlan, PhasePlan, Work},
};

/// How such a folder is called; the number of the run's owner follows.
const PREFIX: &str = ".stressor-files-";
/// The inode of the first PID namespace (`PROC_PID_INIT_INO` of the kernel).
const FIRST_NAMESPACE: u64 = 0xefff_fffc;

/// The number by which what this run leaves is called: that of the process; in a container,
/// whose processes have the same numbers as those of other containers, one that no process
/// has.
pub(super) fn owner() -> u32 {
    static OWNER: OnceLock<u32> = OnceLock::new();
    *OWNER.get_or_init(|| {
        let process = std::process::id();
        let namespace = fs::metadata("/proc/self/ns/pid").map(|about| about.ino()).ok();
        match namespace {
            None | Some(FIRST_NAMESPACE) => process,
            Some(inode) => {
                // Fibonacci hashing (Knuth), with the bit set that no process number has.
                let mixed = (inode << 22 ^ u64::from(process)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                u32::try_from(mixed >> 32).unwrap_or(process) | 0x8000_0000
            }
        }
    })
}

/// The folder below `directory` that belongs to the run of process `owner`.
pub(super) fn folder(directory: &Path, owner: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{owner}"))
}

/// A folder that others leave alone for as long as a process has this open: the lock is
/// shared with the processes that are forked while it is held.
#[derive(Debug)]
pub(super) struct Held {
    _lock: Flock<File>,
}

/// Hold a folder that is there. `None` where its file system has no locks, or somebody
/// removes it at this moment.
pub(super) fn hold(folder: &Path) -> Option<Held> {
    let lock = locked(folder)?;
    // Another process swept it just now and removed the folder that was opened.
    let is_same = |there: fs::Metadata| lock.metadata().is_ok_and(|ours| ours.ino() == there.ino());
    fs::metadata(folder).is_ok_and(is_same).then_some(Held { _lock: lock })
}

fn locked(folder: &Path) -> Option<Flock<File>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC);
    let file = options.open(folder).ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}

/// Make a folder and hold it. A folder of that name that nobody holds was left behind by
/// an earlier owner of the number.
fn make_and_hold(folder: &Path) -> Option<Held> {
    for _ in 0..50 {
        let is_new = fs::create_dir(folder).is_ok();
        if !is_new && !folder.is_dir() {
            return None;
        }
        match hold(folder) {
            Some(held) if is_new => return Some(held),
            Some(_held) => {
                remove(folder);
                continue;
            }
            None => (),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Remove a folder if nobody holds it and no process here has its owner's number. A run in
/// another container, whose processes are not seen here, holds its own.
fn sweep_one(folder: &Path, owner: u32, remove: impl Fn(&Path)) {
    if Path::new("/proc").join(owner.to_string()).exists() {
        return;
    }
    // Held until it is gone, so that nobody takes it in the meantime.
    if let Some(lock) = locked(folder) {
        remove(folder);
        drop(lock);
    }
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
        let loads = phases.iter().flat_map(|phase| &phase.loads);
        let mut directories: Vec<PathBuf> = loads.filter_map(directory).collect();
        directories.sort();
        directories.dedup();
        let loads: Vec<_> = phases.iter().flat_map(|phase| phase.loads.clone()).collect();
        Self { owner, directories, parents: groups::parents(&loads, &Roots::default()) }
    }

    /// Make the folders of a phase's loads and hold them. Where one cannot be made, its
    /// workers fail and say why.
    pub(super) fn hold(&self, phase: &PhasePlan) -> Vec<Held> {
        let mut directories: Vec<PathBuf> = phase.loads.iter().filter_map(directory).collect();
        directories.sort();
        directories.dedup();
        let folders = directories.iter().map(|directory| folder(directory, self.owner));
        folders.filter_map(|folder| make_and_hold(&folder)).collect()
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
        self.groups(|owner, path| {
            if owner == self.owner {
                groups::remove(path);
            }
        });
    }

    /// Every cgroup of a run, with its owner's number.
    fn groups(&self, each: impl Fn(u32, &Path)) {
        for entry in self.parents.iter().flat_map(fs::read_dir).flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| {
                name.strip_prefix(groups::PREFIX)?.split('-').next()?.parse().ok()
            });
            if let Some(owner) = owner {
                each(owner, &entry.path());
            }
        }
    }

    /// Remove what runs left behind that are over.
    pub(super) fn sweep(&self) {
        self.groups(|owner, path| sweep_one(path, owner, groups::remove));
        for directory in &self.directories {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
                if let Some(owner) = owner {
                    sweep_one(&entry.path(), owner, remove);
                }
            }
        }
    }
}

/// Where the files of a load lie, of those that have names.
fn directory(load: &LoadPlan) -> Option<PathBuf> {
    match &load.work {
        Work::Files(work) => Some(work.directory.clone().unwrap_or_else(|| PathBuf::from("."))),
        _ => None,
    }
}

/// A worker that is just being killed may still make a file in it.
fn remove(folder: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(2));
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

    /// A run in another container: its process has no number here.
    #[test]
    fn what_another_run_holds_is_not_swept() {
        let directory = tempfile::tempdir().unwrap();
        let theirs = folder(directory.path(), 4_194_306);
        let held = make_and_hold(&theirs).unwrap();
        fs::write(theirs.join("0"), "x").unwrap();
        let traces = Traces {
            owner: std::process::id(),
            directories: vec![directory.path().into()],
            parents: Vec::new(),
        };
        traces.sweep();
        assert!(theirs.join("0").exists());
        assert!(hold(&theirs).is_none(), "two runs hold one folder");
        drop(held);
        traces.sweep();
        assert!(!theirs.exists());
    }
}
