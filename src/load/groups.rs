//! Cgroups of the loads' own: made before the workers are forked, entered by
//! them, removed when they are gone.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::traces::{self, Held};
use crate::{
    host::{
        Roots,
        cgroup::{Group, Groups, Version, home},
    },
    scenario::plan::{GroupPlan, LoadPlan, Plan, Work},
};

/// How the groups are called; the number of the program's process follows.
pub(super) const PREFIX: &str = "stressor-run-";
/// Length of a quota's period, the kernel's default.
const PERIOD_US: f64 = 100_000.0;

/// The name of the group of one load.
pub(super) fn name(owner: u32, phase: usize, load: usize) -> String {
    format!("{PREFIX}{owner}-{phase}-{load}")
}

/// The folder, file or device whose disk a group's I/O limits are for.
pub(super) fn folder(load: &LoadPlan) -> PathBuf {
    let folder = match &load.work {
        Work::Disk(work) => work.file.clone().or_else(|| work.directory.clone()),
        Work::Files(work) => work.directory.clone(),
        _ => None,
    };
    folder.unwrap_or_else(|| PathBuf::from("."))
}

/// The folders of one group, one a hierarchy.
#[derive(Debug, Default)]
pub(super) struct Made {
    folders: Vec<PathBuf>,
    /// Tells other runs that they are not left behind.
    held: Vec<Held>,
}

impl Made {
    /// Put the calling process into it.
    pub(super) fn enter(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), "0"))
    }

    /// Remove it. Whoever was in it should be gone.
    pub(super) fn remove(&self) {
        self.folders.iter().for_each(|folder| remove(folder));
    }
}

/// One controller's settings: its name in version 1 and in version 2, and what
/// to write into which file.
struct Setting {
    controller: (&'static str, &'static str),
    files: fn(Version, GroupPlan, &str) -> Vec<(&'static str, String)>,
}

impl Setting {
    /// The group of ours that has the controller: of version 1 where there is
    /// one.
    fn home(&self, roots: &Roots) -> Option<Group> {
        let (v1, v2) = self.controller;
        home(roots, v1).filter(|home| home.version == Version::V1).or_else(|| home(roots, v2))
    }
}

const CPU: Setting = Setting {
    controller: ("cpu", "cpu"),
    files: |version, limits, _| {
        let quota = (limits.cpu.unwrap_or(1.0) * PERIOD_US).round();
        match version {
            Version::V1 => vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ],
            Version::V2 => vec![("cpu.max", format!("{quota} {PERIOD_US}"))],
        }
    },
};
const MEMORY: Setting = Setting {
    controller: ("memory", "memory"),
    files: |version, limits, _| {
        let file = match version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        vec![(file, limits.memory.unwrap_or(u64::MAX).to_string())]
    },
};
const TASKS: Setting = Setting {
    controller: ("pids", "pids"),
    files: |_, limits, _| vec![("pids.max", limits.processes.unwrap_or(1).to_string())],
};
const IO: Setting = Setting {
    controller: ("blkio", "io"),
    files: |version, limits, device| {
        let mut files = Vec::new();
        for (bytes, v1, v2) in [
            (limits.read_bytes, "blkio.throttle.read_bps_device", "rbps"),
            (limits.write_bytes, "blkio.throttle.write_bps_device", "wbps"),
        ] {
            let Some(bytes) = bytes else { continue };
            files.push(match version {
                Version::V1 => (v1, format!("{device} {bytes}")),
                Version::V2 => ("io.max", format!("{device} {v2}={bytes}")),
            });
        }
        files
    },
};

/// Make the group of a load with its limits.
///
/// # Errors
/// What could not be done, with the file.
pub(super) fn make(
    roots: &Roots,
    limits: GroupPlan,
    folder: &Path,
    name: &str,
) -> Result<Made, String> {
    let mut made = Made::default();
    let result = fill(roots, limits, folder, name, &mut made);
    if result.is_err() {
        made.remove();
    }
    result.map(|()| made)
}

fn fill(
    roots: &Roots,
    limits: GroupPlan,
    folder: &Path,
    name: &str,
    made: &mut Made,
) -> Result<(), String> {
    for setting in settings(limits) {
        let (v1, v2) = setting.controller;
        let home = setting
            .home(roots)
            .ok_or_else(|| format!("this system has no cgroup controller {v1} or {v2}"))?;
        let parent = parent(&home);
        if home.version == Version::V2 {
            hand_down(&parent, v2)?;
        }
        let path = parent.join(name);
        let said = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| format!("{path}: {error}")
        };
        if !made.folders.contains(&path) {
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(said(&path)(error));
                }
                _ => {
                    made.held.extend(traces::hold(&path));
                    made.folders.push(path.clone());
                }
            }
        }
        let device =
            if v2 == "io" { device(roots, folder).map_err(said(folder))? } else { String::new() };
        for (file, value) in (setting.files)(home.version, limits, &device) {
            let file = path.join(file);
            fs::write(&file, value).map_err(said(&file))?;
        }
    }
    Ok(())
}

fn settings(limits: GroupPlan) -> Vec<Setting> {
    let io = limits.read_bytes.or(limits.write_bytes);
    [
        limits.cpu.map(|_| CPU),
        limits.memory.map(|_| MEMORY),
        limits.processes.map(|_| TASKS),
        io.map(|_| IO),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where our groups of a hierarchy are made: below our own in version 1 and at
/// the root; beside it in version 2, where a group with processes in it can
/// hand no controllers down.
fn parent(home: &Group) -> PathBuf {
    let is_root = || !home.path.join("cgroup.type").exists();
    let above = if home.version == Version::V1 || is_root() { None } else { home.path.parent() };
    above.unwrap_or(&home.path).to_path_buf()
}

/// Let the groups below `parent` have a controller of version 2.
fn hand_down(parent: &Path, controller: &str) -> Result<(), String> {
    let handed_down = parent.join("cgroup.subtree_control");
    let has = fs::read_to_string(&handed_down)
        .is_ok_and(|text| text.split_whitespace().any(|word| word == controller));
    if !has {
        fs::write(&handed_down, format!("+{controller}"))
            .map_err(|error| format!("{}: {error}", handed_down.display()))?;
    }
    Ok(())
}

/// The number of the whole disk on which a folder lies, or which it is, as `major:minor`.
fn device(roots: &Roots, folder: &Path) -> io::Result<String> {
    let metadata = fs::metadata(folder)?;
    let is_disk = metadata.file_type().is_block_device();
    let device = if is_disk { metadata.rdev() } else { metadata.dev() };
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    let path = fs::canonicalize(roots.sys.join("dev/block").join(&number)).map_err(|_| {
        io::Error::other("lies on no block device, so its reads and writes cannot be limited")
    })?;
    // A partition lies in the folder of its disk.
    let disk = match path.parent() {
        Some(disk) if path.join("partition").exists() => disk,
        _ => &path,
    };
    fs::read_to_string(disk.join("dev")).map(|text| text.trim().to_owned())
}

/// Where groups of ours may be, for whoever removes them.
pub(super) fn parents(plan: &[LoadPlan], roots: &Roots) -> Vec<PathBuf> {
    let mut parents: Vec<PathBuf> = plan
        .iter()
        .filter_map(|load| load.cgroup)
        .flat_map(settings)
        .flat_map(|setting| [setting.controller.0, setting.controller.1])
        .filter_map(|controller| home(roots, controller))
        .flat_map(|home| {
            let above = home.path.parent().map(Path::to_path_buf);
            [Some(home.path), above].into_iter().flatten()
        })
        .collect();
    parents.sort();
    parents.dedup();
    parents
}

/// The kernel needs a moment to see that a group is empty.
pub(super) fn remove(folder: &Path) {
    for _ in 0..50 {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            _ => return,
        }
    }
}

/// The groups that the loads of a plan will be in, for the sampler; each is
/// there only while its phase lasts.
pub fn watched(plan: &Plan, roots: &Roots) -> Vec<Groups> {
    let mut all = Vec::new();
    for (phase_index, phase) in plan.phases.iter().enumerate() {
        for (index, load) in phase.loads.iter().enumerate() {
            let Some(limits) = load.cgroup else { continue };
            let group = |set: bool, setting: Setting| {
                let home = setting.home(roots).filter(|_| set)?;
                Some(Group {
                    version: home.version,
                    path: parent(&home).join(name(traces::owner(), phase_index, index)),
                    // The same for all levels of a ramp, of which one is on.
                    name: format!("{}:{}", phase.name, load.work.kind()),
                })
            };
            all.push(Groups {
                interface: "",
                cpu: group(limits.cpu.is_some(), CPU),
                memory: group(limits.memory.is_some(), MEMORY),
                pids: group(limits.processes.is_some(), TASKS),
                io: group(limits.read_bytes.or(limits.write_bytes).is_some(), IO),
            });
        }
    }
    all
}
