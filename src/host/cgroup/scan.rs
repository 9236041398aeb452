//! All control groups of the machine that set a limit, whoever made them.

use std::{collections::VecDeque, fs, path::PathBuf};

use super::{Group, Version, cpu_quota, io_limits, memory_limit, pids_limit};
use crate::host::Roots;

/// Groups that are looked at in one scan of one hierarchy; a machine with more
/// is seen in part.
const MOST_VISITED: usize = 4096;
/// Groups with a limit that are kept for one controller. Each is read with
/// every sample.
const MOST_KEPT: usize = 64;

/// The groups that set a limit, by controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limited {
    /// With a CPU quota.
    pub cpu: Vec<Group>,
    /// With a memory limit.
    pub memory: Vec<Group>,
    /// With a limit of tasks.
    pub pids: Vec<Group>,
    /// With a limit of disk operations or bytes.
    pub io: Vec<Group>,
}

impl Limited {
    /// Walk every hierarchy that is mounted here.
    pub fn scan(roots: &Roots) -> Self {
        let mounts = roots.proc_text("self/mountinfo").unwrap_or_default();
        let mut found = Self::default();
        for hierarchy in mounts.lines().filter_map(hierarchy) {
            let serves = |name: &str| {
                hierarchy.version == Version::V2
                    || hierarchy.controllers.iter().any(|one| one == name)
            };
            let kinds: [(bool, Limit, &mut Vec<Group>); 4] = [
                (serves("cpu"), cpu_quota, &mut found.cpu),
                (serves("memory"), memory_limit, &mut found.memory),
                (serves("pids"), pids_limit, &mut found.pids),
                (
                    serves("blkio"),
                    |group| io_limits(group).first().map(|one| one.most),
                    &mut found.io,
                ),
            ];
            let mut kinds: Vec<_> = kinds.into_iter().filter(|(serves, ..)| *serves).collect();
            if kinds.is_empty() {
                continue;
            }
            for group in hierarchy.groups() {
                for (_, limit, kept) in &mut kinds {
                    if kept.len() < MOST_KEPT && limit(&group).is_some() {
                        kept.push(group.clone());
                    }
                }
            }
        }
        found
    }
}

/// Reads a limit of a group; `None` when it sets none.
type Limit = fn(&Group) -> Option<f64>;

struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    mount: PathBuf,
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mount = PathBuf::from(left.split(' ').nth(4)?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1).unwrap_or(""));
    let version = match kind {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    Some(Hierarchy { version, controllers: options.split(',').map(str::to_owned).collect(), mount })
}

impl Hierarchy {
    /// Its groups, the upper ones first.
    fn groups(&self) -> Vec<Group> {
        let mut waiting = VecDeque::from([self.mount.clone()]);
        let mut groups = Vec::new();
        while let Some(path) = waiting.pop_front() {
            if groups.len() >= MOST_VISITED {
                break;
            }
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push_back(entry.path());
                }
            }
            let below = path.strip_prefix(&self.mount).unwrap_or(&path);
            let name = format!("/{}", below.display());
            groups.push(Group { version: self.version, path, name });
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_with_a_limit_are_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("self")).unwrap();
        fs::create_dir_all(at("cg/a/b")).unwrap();
        let mount = format!("32 20 0:28 / {} rw - cgroup2 cgroup rw\n", at("cg").display());
        fs::write(at("self/mountinfo"), mount).unwrap();
        fs::write(at("cg/a/cpu.max"), "max 100000\n").unwrap();
        fs::write(at("cg/a/b/cpu.max"), "50000 100000\n").unwrap();
        fs::write(at("cg/a/b/io.max"), "8:0 rbps=max wbps=1024 riops=300 wiops=max\n").unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let found = Limited::scan(&roots);
        let names = |groups: &[Group]| groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.cpu), ["/a/b"]);
        assert_eq!(names(&found.io), ["/a/b"]);
        assert!(found.memory.is_empty());
    }
}
