//! Block devices and mounted file systems.

use std::{collections::BTreeMap, path::Path};

use nix::sys::statvfs::statvfs;

use super::{Values, labelled, numbers};
use crate::{
    host::Roots,
    model::{mounts::is_remote_kind, series::Key},
};

/// Bytes of a sector in /proc/diskstats, whatever the disk's own sectors are.
const SECTOR: f64 = 512.0;

/// File systems that hold no data of their own.
const PASSED_OVER: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("diskstats") {
        diskstats(&text, |device| is_whole(roots, device), values);
    }
    if let Some(text) = roots.proc_text("mdstat") {
        raid(&text, values);
    }
    if let Some(text) = roots.proc_text("self/mountinfo") {
        for mount in mounts(&text) {
            space(&mount, values);
        }
        remote(&text, values);
    }
}

/// Partitions are parts of a disk that is counted already.
fn is_whole(roots: &Roots, device: &str) -> bool {
    let name = device.replace('/', "!");
    let block = roots.sys.join("block");
    !block.exists() || block.join(name).exists()
}

/// What the md driver does with its arrays beside serving requests.
fn raid(text: &str, values: &mut Values) {
    let mut array = "";
    for line in text.lines() {
        if let Some((name, _)) = line.split_once(" : ") {
            array = name.trim();
        }
        let active = ["check", "recovery", "resync"]
            .into_iter()
            .find(|state| line.contains(&format!("{state} =")));
        if let Some(state) = active.filter(|_| !array.is_empty()) {
            let labels = [("device", array), ("state", state)];
            values.push((Key::new("node_md_state", &labels), 1.0));
        }
    }
}

fn diskstats(text: &str, whole: impl Fn(&str) -> bool, values: &mut Values) {
    for line in text.lines() {
        let Some(device) = line.split_whitespace().nth(2) else { continue };
        // What lies in memory is no disk. A loop device is one: it has a queue
        // of its own. That what it does is also done by the disk below it, the
        // analysis knows.
        let is_made_up = ["ram", "zram", "fd"].iter().any(|prefix| device.starts_with(prefix));
        if is_made_up || !whole(device) {
            continue;
        }
        let fields = numbers(line);
        let field = |at: usize| fields.get(at).copied().unwrap_or(f64::NAN);
        // A device that never did anything is no device.
        if field(3) + field(7) <= 0.0 {
            continue;
        }
        for (name, value) in [
            ("node_disk_reads_completed_total", field(3)),
            ("node_disk_read_bytes_total", field(5) * SECTOR),
            ("node_disk_read_time_seconds_total", field(6) / 1000.0),
            ("node_disk_writes_completed_total", field(7)),
            ("node_disk_written_bytes_total", field(9) * SECTOR),
            ("node_disk_write_time_seconds_total", field(10) / 1000.0),
            ("node_disk_io_now", field(11)),
            ("node_disk_io_time_seconds_total", field(12) / 1000.0),
            ("node_disk_io_time_weighted_seconds_total", field(13) / 1000.0),
        ] {
            labelled(values, name, ("device", device), value);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    kind: String,
    point: String,
    /// Whether it cannot be written to, by its own options or its file system's.
    is_read_only: bool,
}

/// Mounted file systems, each once: of several mounts of one the shortest that can be
/// written to. One whose server may be gone is left out, because asking for its space
/// could hang the sampler.
fn mounts(text: &str) -> Vec<Mount> {
    let lines = || text.lines().filter_map(mount);
    // What is mounted over another hides it, and answers for it.
    let on_top: BTreeMap<String, &str> =
        lines().map(|(number, mount)| (mount.point, number)).collect();
    let mut mounts: BTreeMap<&str, Mount> = BTreeMap::new();
    for (number, mount) in lines() {
        let is_hidden = on_top.get(&mount.point).is_some_and(|top| *top != number);
        let is_left_out = PASSED_OVER.contains(&mount.kind.as_str())
            || mount.kind.starts_with("fuse")
            || is_remote_kind(&mount.device, &mount.kind);
        if is_hidden || is_left_out {
            continue;
        }
        let rank = |mount: &Mount| (mount.is_read_only, mount.point.len(), mount.point.clone());
        match mounts.get_mut(number) {
            Some(known) if rank(&mount) < rank(known) => *known = mount,
            Some(_) => (),
            None => drop(mounts.insert(number, mount)),
        }
    }
    mounts.into_values().collect()
}

/// A line of /proc/self/mountinfo: the number of the device, and what is mounted.
fn mount(line: &str) -> Option<(&str, Mount)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (number, _root, point, options) = (left.next()?, left.next()?, left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, device) = (right.next()?, right.next()?);
    let of_all = right.next().unwrap_or_default();
    let is_read_only = options.split(',').chain(of_all.split(',')).any(|option| option == "ro");
    let (device, kind, point) = (unescaped(device), kind.to_owned(), unescaped(point));
    Some((number, Mount { device, kind, point, is_read_only }))
}

/// File systems that another machine serves, by their name alone: asking for their space
/// could hang the sampler.
fn remote(text: &str, values: &mut Values) {
    const REMOTE: [&str; 9] =
        ["nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "beegfs", "gpfs", "fuse.glusterfs"];
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        let (Some(kind), Some(device)) = (right.next(), right.next()) else { continue };
        let Some(point) = left.split(' ').nth(4).filter(|_| REMOTE.contains(&kind)) else {
            continue;
        };
        let (device, point) = (unescaped(device), unescaped(point));
        let labels = [("device", device.as_str()), ("fstype", kind), ("mountpoint", &point)];
        values.push((Key::new("node_filesystem_device_error", &labels), 0.0));
    }
}

/// Mount points have spaces and the like as three octal digits.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn space(mount: &Mount, values: &mut Values) {
    let Ok(space) = statvfs(Path::new(&mount.point)) else { return };
    if space.blocks() == 0 {
        return;
    }
    let fragment = space.fragment_size() as f64;
    for (name, value) in [
        ("node_filesystem_size_bytes", space.blocks() as f64 * fragment),
        ("node_filesystem_avail_bytes", space.blocks_available() as f64 * fragment),
        ("node_filesystem_files", space.files() as f64),
        ("node_filesystem_files_free", space.files_free() as f64),
        ("node_filesystem_readonly", f64::from(u8::from(mount.is_read_only))),
    ] {
        let labels = [
            ("device", mount.device.as_str()),
            ("fstype", &mount.kind),
            ("mountpoint", &mount.point),
        ];
        values.push((Key::new(name, &labels), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_read_and_partitions_are_not() {
        let text = " 254 0 vda 100 0 200 50 10 0 80 20 1 500 900 0 0 0 0 0 0\n 254 1 vda1 9 0 9 9 9 0 9 9 0 9 9\n 7 0 loop0 9 0 9 9 9 0 9 9 0 9 9\n 254 16 vdb 0 0 0 0 0 0 0 0 0 0 0\n";
        let mut values = Values::new();
        diskstats(text, |device| device != "vda1", &mut values);
        assert_eq!(values.len(), 18);
        let get = |name: &str| values.iter().find(|(k, _)| k.name == name).unwrap().1;
        assert_eq!(get("node_disk_read_bytes_total"), 200.0 * 512.0);
        assert_eq!(get("node_disk_io_time_seconds_total"), 0.5);
        assert_eq!(get("node_disk_io_time_weighted_seconds_total"), 0.9);
    }

    #[test]
    fn a_file_system_is_counted_once() {
        let text = "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /proc rw - proc proc rw\n24 22 254:0 /x /mnt/a\\040b rw - ext4 /dev/vda rw\n25 22 254:16 / /data\\040x rw - xfs /dev/vdb rw\n";
        let points: Vec<String> = mounts(text).into_iter().map(|mount| mount.point).collect();
        assert_eq!(points, ["/", "/data x"]);
    }

    #[test]
    fn arrays_that_are_checked_are_found() {
        let text = "Personalities : [raid1]\nmd0 : active raid1 sdb1[1] sda1[0]\n      976 blocks [2/2] [UU]\n      [=>...]  check = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec\nmd1 : active raid1 sdc1[1]\n      976 blocks [2/2] [UU]\nunused devices: <none>\n";
        let mut values = Values::new();
        raid(text, &mut values);
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].0.labels["device"], "md0");
        assert_eq!(values[0].0.labels["state"], "check");
    }

    #[test]
    fn remote_file_systems_are_named_and_not_asked() {
        let text = "22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:50 / /srv\\040x rw shared:1 - nfs4 10.0.0.9:/x rw\n";
        let mut values = Values::new();
        remote(text, &mut values);
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].0.labels["mountpoint"], "/srv x");
        assert_eq!(values[0].0.labels["device"], "10.0.0.9:/x");
    }

    #[test]
    fn the_shortest_mount_that_can_be_written_to_names_a_file_system() {
        let text = "\
            30 1 8:1 / /var/lib/kubelet/pods/a/b rw - ext4 /dev/sda1 rw\n\
            31 1 8:1 / /ro ro,noatime shared:7 - ext4 /dev/sda1 rw\n\
            32 1 8:1 / /data rw - ext4 /dev/sda1 rw\n\
            33 1 7:0 / /snap/core/1 rw - ext4 /dev/loop0 ro\n\
            34 1 8:2 / /over rw - ext4 /dev/sda2 rw\n\
            35 34 8:3 / /over rw - ext4 /dev/sda3 rw\n\
            36 1 0:50 / /mnt rw - nfs4 filer:/export rw\n";
        let mounts = mounts(text);
        let seen: Vec<(&str, bool)> =
            mounts.iter().map(|mount| (mount.point.as_str(), mount.is_read_only)).collect();
        assert_eq!(seen, [("/snap/core/1", true), ("/data", false), ("/over", false)]);
        assert_eq!(mounts[2].device, "/dev/sda3");
    }
}
