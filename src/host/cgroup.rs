//! Control groups, version 1, 2 or both, and the limits they set: those this
//! process lives in, and (`scan`) all of the machine that set one.

pub mod scan;
pub mod usage;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::Roots;

/// Which interface a controller is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// The folder of the group whose limit binds us for one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The interface its files have.
    pub version: Version,
    /// The folder.
    pub path: PathBuf,
    /// The group's name, as /proc/self/cgroup has it.
    pub name: String,
}

impl Group {
    /// The trimmed text of one of its files.
    pub fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file)).ok().map(|text| text.trim().to_owned())
    }

    /// A file that holds one number; `max` and unlimited are `None`.
    pub fn number(&self, file: &str) -> Option<f64> {
        parse_limit(&self.text(file)?)
    }

    /// One value of a file with lines `key value`.
    pub fn value(&self, file: &str, key: &str) -> Option<f64> {
        flat_value(&self.text(file)?, key)
    }
}

/// The groups of this process that set a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// `v1`, `v2`, `hybrid` or `none`.
    pub interface: &'static str,
    /// The group with the lowest memory limit, if any sets one.
    pub memory: Option<Group>,
    /// The group with the lowest CPU quota, if any sets one.
    pub cpu: Option<Group>,
    /// The group with the lowest limit of tasks, if any sets one.
    pub pids: Option<Group>,
    /// The group with the lowest limit on a disk, if any sets one.
    pub io: Option<Group>,
}

impl Groups {
    /// Find the groups of this process.
    pub fn of_self(roots: &Roots) -> Self {
        let memberships = roots.proc_text("self/cgroup").unwrap_or_default();
        let mounts = roots.proc_text("self/mountinfo").unwrap_or_default();
        let places = places(&memberships, &mounts);
        let tightest = |controller: &str, limit: fn(&Group) -> Option<f64>| {
            places
                .iter()
                .filter(|place| place.serves(controller))
                .flat_map(Place::upwards)
                .filter_map(|group| Some((limit(&group)?, group)))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, group)| group)
        };
        let has = |version| places.iter().any(|place| place.version == version);
        Self {
            interface: match (has(Version::V1), has(Version::V2)) {
                (true, true) => "hybrid",
                (true, false) => "v1",
                (false, true) => "v2",
                (false, false) => "none",
            },
            memory: tightest("memory", memory_limit),
            cpu: tightest("cpu", cpu_quota),
            pids: tightest("pids", pids_limit),
            io: tightest("blkio", |group| io_limits(group).first().map(|one| one.most)),
        }
    }

    /// The limits in words.
    pub fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(limit) = self.memory.as_ref().and_then(memory_limit) {
            let of_group = self.memory.as_ref().map_or_else(String::new, memory_behaviour);
            let limit = crate::model::units::show_bytes(limit);
            words.push(format!("cgroup memory limit {limit}{of_group}"));
        }
        if let Some(quota) = self.cpu.as_ref().and_then(cpu_quota) {
            words.push(format!(
                "cgroup CPU quota of {} cores",
                crate::model::units::three_digits(quota)
            ));
        }
        if let Some(limit) = self.pids.as_ref().and_then(pids_limit) {
            words.push(format!("cgroup limit of {limit} tasks"));
        }
        for limit in self.io.iter().flat_map(io_limits) {
            let of = limit.of.replace('_', " ");
            let most = crate::model::units::three_digits(limit.most);
            words.push(format!("cgroup limit of {most} {of} on disk {}", limit.number));
        }
        words
    }
}

/// The group this process is in, for one controller: `None` where there is no
/// hierarchy that serves it.
pub fn home(roots: &Roots, controller: &str) -> Option<Group> {
    let memberships = roots.proc_text("self/cgroup")?;
    let mounts = roots.proc_text("self/mountinfo")?;
    let places = places(&memberships, &mounts);
    // A controller is on one of both; version 1 names those that it has.
    let one =
        |version| places.iter().find(|place| place.version == version && place.serves(controller));
    one(Version::V1).or_else(|| one(Version::V2))?.upwards().into_iter().next()
}

/// The folders of all groups that this process is in: its own in each hierarchy and those
/// above, as far as they can be seen. What binds one of them binds this process.
pub fn folders_of_self(roots: &Roots) -> BTreeSet<PathBuf> {
    let memberships = roots.proc_text("self/cgroup").unwrap_or_default();
    let mounts = roots.proc_text("self/mountinfo").unwrap_or_default();
    let places = places(&memberships, &mounts);
    places.iter().flat_map(Place::upwards).map(|group| group.path).collect()
}

/// The memory in bytes from which on a group is slowed down or killed: the smaller of
/// `memory.max` and `memory.high`. Soft limits of version 1 hold nothing back.
pub fn memory_limit(group: &Group) -> Option<f64> {
    let high = match group.version {
        Version::V1 => None,
        Version::V2 => group.number("memory.high"),
    };
    let limits = [memory_max(group), high].into_iter().flatten();
    limits.min_by(f64::total_cmp)
}

/// The memory in bytes from which on the kernel kills in a group.
pub fn memory_max(group: &Group) -> Option<f64> {
    match group.version {
        Version::V1 => group.number("memory.limit_in_bytes"),
        Version::V2 => group.number("memory.max"),
    }
}

/// What happens at the memory limit of a group, after the limit itself: ` by memory.high`.
fn memory_behaviour(group: &Group) -> String {
    let mut words = Vec::new();
    let high = group.number("memory.high").filter(|_| group.version == Version::V2);
    if high.is_some_and(|high| memory_max(group).is_none_or(|max| high < max)) {
        words.push("by memory.high, which slows down and does not kill".to_owned());
    }
    if let Some(swap) = group.number("memory.swap.max") {
        words.push(format!("swap limit {}", crate::model::units::show_bytes(swap)));
    }
    if group.number("memory.oom.group") == Some(1.0) {
        words.push("a kill ends all processes of the group".to_owned());
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) }
}

/// The memory charged to a group in bytes.
pub fn memory_usage(group: &Group) -> Option<f64> {
    match group.version {
        Version::V1 => group.number("memory.usage_in_bytes"),
        Version::V2 => group.number("memory.current"),
    }
}

/// The CPU quota of a group in cores.
pub fn cpu_quota(group: &Group) -> Option<f64> {
    match group.version {
        Version::V1 => {
            let quota = group.number("cpu.cfs_quota_us").filter(|quota| *quota > 0.0)?;
            Some(quota / group.number("cpu.cfs_period_us").filter(|period| *period > 0.0)?)
        }
        Version::V2 => {
            let text = group.text("cpu.max")?;
            let (quota, period) = text.split_once(' ')?;
            Some(parse_limit(quota)? / parse_limit(period)?)
        }
    }
}

/// The limit of tasks of a group.
pub fn pids_limit(group: &Group) -> Option<f64> {
    group.number("pids.max")
}

/// What may be done on a disk in a second, and how much has been done.
#[derive(Debug, Clone, PartialEq)]
pub struct IoLimit {
    /// `major:minor` of the disk.
    pub number: String,
    /// `read_iops`, `write_iops`, `read_bps` or `write_bps`.
    pub of: &'static str,
    /// Operations or bytes a second.
    pub most: f64,
    /// Operations or bytes so far; `None` where the kernel does not count them.
    pub done: Option<f64>,
}

/// Version 1: the file of the limit, that of the count, the count's word.
const IO_V1: [(&str, &str, &str); 4] = [
    ("read_iops", "blkio.throttle.io_serviced", "Read"),
    ("write_iops", "blkio.throttle.io_serviced", "Write"),
    ("read_bps", "blkio.throttle.io_service_bytes", "Read"),
    ("write_bps", "blkio.throttle.io_service_bytes", "Write"),
];
/// Version 2: the key in io.max and that in io.stat.
const IO_V2: [(&str, &str, &str); 4] = [
    ("read_iops", "riops", "rios"),
    ("write_iops", "wiops", "wios"),
    ("read_bps", "rbps", "rbytes"),
    ("write_bps", "wbps", "wbytes"),
];

/// The limits that a group sets on disks.
pub fn io_limits(group: &Group) -> Vec<IoLimit> {
    match group.version {
        Version::V1 => IO_V1
            .iter()
            .flat_map(|(of, counts, word)| {
                let limits = group.text(&format!("blkio.throttle.{of}_device")).unwrap_or_default();
                if limits.is_empty() {
                    return Vec::new();
                }
                // With everything below it, as far as the kernel keeps that.
                let counts = group
                    .text(&format!("{counts}_recursive"))
                    .or_else(|| group.text(counts))
                    .unwrap_or_default();
                let limit = |line: &str| {
                    let (number, most) = line.split_once(' ')?;
                    let most = parse_limit(most).filter(|most| *most > 0.0)?;
                    let done = flat_value(&counts, &format!("{number} {word}"));
                    Some(IoLimit { number: number.to_owned(), of, most, done })
                };
                limits.lines().filter_map(limit).collect::<Vec<_>>()
            })
            .collect(),
        Version::V2 => {
            let limits = group.text("io.max").unwrap_or_default();
            if limits.is_empty() {
                return Vec::new();
            }
            let counts = group.text("io.stat").unwrap_or_default();
            let key = |line: &str, key: &str| -> Option<f64> {
                let mut pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
                parse_limit(pairs.find(|(name, _)| *name == key)?.1)
            };
            let of_line = |line: &str| -> Vec<IoLimit> {
                let Some(number) = line.split(' ').next() else { return Vec::new() };
                let count = counts.lines().find(|line| line.split(' ').next() == Some(number));
                IO_V2
                    .iter()
                    .filter_map(|(of, limit, done)| {
                        let most = key(line, limit).filter(|most| *most > 0.0)?;
                        let done = count.and_then(|line| key(line, done));
                        Some(IoLimit { number: number.to_owned(), of, most, done })
                    })
                    .collect()
            };
            limits.lines().flat_map(of_line).collect()
        }
    }
}

/// `None` for `max`, and for the huge numbers by which version 1 says so.
fn parse_limit(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    // Version 1 writes 2^63 rounded down to a page for "no limit".
    (number < 9e18).then_some(number)
}

/// The value of `key` in lines of `key value`.
pub fn flat_value(text: &str, key: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}

/// Where one hierarchy is mounted and which group of it we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    version: Version,
    /// Controllers of a version 1 hierarchy; empty for version 2.
    controllers: Vec<String>,
    mount: PathBuf,
    group: String,
}

impl Place {
    fn serves(&self, controller: &str) -> bool {
        self.version == Version::V2 || self.controllers.iter().any(|name| name == controller)
    }

    /// Our group and its ancestors, as far as they can be seen.
    fn upwards(&self) -> Vec<Group> {
        let relative = Path::new(self.group.trim_start_matches('/'));
        let mut groups = Vec::new();
        for ancestor in relative.ancestors() {
            let path = self.mount.join(ancestor);
            if path.is_dir() {
                let name = format!("/{}", ancestor.display());
                groups.push(Group { version: self.version, path, name });
            }
        }
        groups
    }
}

fn places(memberships: &str, mountinfo: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let version = if controllers.is_empty() { Version::V2 } else { Version::V1 };
        let controllers: Vec<String> = controllers.split(',').map(str::to_owned).collect();
        let Some((root, mount)) =
            mountinfo.lines().find_map(|line| mount(line, version, &controllers))
        else {
            continue;
        };
        // In a container the mount may show only a part of the hierarchy.
        let group = group.strip_prefix(root.trim_end_matches('/')).unwrap_or(group).to_owned();
        places.push(Place { version, controllers, mount, group });
    }
    places
}

/// Root and mount point, when a line of mountinfo is the hierarchy sought.
fn mount(line: &str, version: Version, controllers: &[String]) -> Option<(String, PathBuf)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1).unwrap_or(""));
    let found = match version {
        Version::V2 => kind == "cgroup2",
        Version::V1 => {
            kind == "cgroup"
                && options.split(',').any(|option| controllers.iter().any(|name| name == option))
        }
    };
    found.then(|| (root.to_owned(), PathBuf::from(mount)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_interfaces_are_found() {
        let places = places(
            "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/user.slice\n",
            "30 20 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
             31 20 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(places.len(), 3);
        assert_eq!(places[0].mount, Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(places[0].group, "/a/b");
        assert!(places[1].serves("cpu"));
        assert!(!places[1].serves("memory"));
        assert_eq!(places[2].version, Version::V2);
    }

    #[test]
    fn a_container_sees_a_part_of_the_hierarchy() {
        let places = places(
            "0::/docker/x\n",
            "32 20 0:28 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
        );
        assert_eq!(places[0].group, "");
    }

    #[test]
    fn limits_of_both_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("memory.max", "max\n");
        write("cpu.max", "50000 100000\n");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("cpu.cfs_quota_us", "-1\n");
        write("cpu.cfs_period_us", "100000\n");
        let group = |version| Group { version, path: folder.path().into(), name: "/".into() };
        assert_eq!(memory_limit(&group(Version::V2)), None);
        assert_eq!(cpu_quota(&group(Version::V2)), Some(0.5));
        assert_eq!(memory_limit(&group(Version::V1)), None);
        assert_eq!(cpu_quota(&group(Version::V1)), None);
        write("blkio.throttle.read_iops_device", "254:0 300\n");
        write("blkio.throttle.io_serviced", "254:0 Read 12\n254:0 Write 7\nTotal 19\n");
        write("io.max", "8:0 rbps=max wbps=1024 riops=300 wiops=max\n");
        write("io.stat", "8:0 rbytes=4096 wbytes=2048 rios=1 wios=2 dbytes=0 dios=0\n");
        let of = |version| {
            let all = io_limits(&group(version));
            all.into_iter().map(|one| (one.of, one.most, one.done)).collect::<Vec<_>>()
        };
        assert_eq!(of(Version::V1), [("read_iops", 300.0, Some(12.0))]);
        assert_eq!(
            of(Version::V2),
            [("read_iops", 300.0, Some(1.0)), ("write_bps", 1024.0, Some(2048.0))]
        );
        write("memory.limit_in_bytes", "268435456\n");
        assert_eq!(memory_limit(&group(Version::V1)), Some(268_435_456.0));
        assert_eq!(usage::io_bytes(&group(Version::V2)), Some(6144.0));
    }

    #[test]
    fn memory_high_is_a_limit_and_a_soft_limit_of_version_1_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let group = |version| Group { version, path: folder.path().into(), name: "/".into() };
        write("memory.max", "max\n");
        write("memory.high", "83886080\n");
        write("memory.swap.max", "0\n");
        write("memory.oom.group", "1\n");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("memory.soft_limit_in_bytes", "83886080\n");
        assert_eq!(memory_limit(&group(Version::V2)), Some(83_886_080.0));
        assert_eq!(memory_max(&group(Version::V2)), None);
        assert_eq!(memory_limit(&group(Version::V1)), None);
        let groups = Groups { memory: Some(group(Version::V2)), ..Groups::default() };
        let words = groups.in_words().join(" ");
        for part in ["80 MiB (by memory.high", "swap limit 0", "all processes of the group"] {
            assert!(words.contains(part), "{words}");
        }
        write("memory.max", "41943040\n");
        assert_eq!(memory_limit(&group(Version::V2)), Some(41_943_040.0));
        assert!(!groups.in_words().join(" ").contains("memory.high"));
    }
}
