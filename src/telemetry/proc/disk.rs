//! Block devices and mounted file systems.

use std::{collections::BTreeSet, path::Path};

use nix::sys::statvfs::statvfs;

use super::{Values, labelled, numbers};
use crate::{host::Roots, model::series::Key};

/// Bytes of a sector in /proc/diskstats, whatever the disk's own sectors are.
const SECTOR: f64 = 512.0;

/// File systems that hold no data of their own, or whose server may be gone,
/// so that asking for their space could hang the sampler.
const PASSED_OVER: [&str; 30] = [
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
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "9p",
];

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("diskstats") {
        diskstats(&text, |device| is_whole(roots, device), values);
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
}

/// Mounted file systems, each device once (bind mounts show it again).
fn mounts(text: &str) -> Vec<Mount> {
    let mut seen = BTreeSet::new();
    let mut mounts = Vec::new();
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(2);
        let (Some(number), Some(_), Some(point)) = (left.next(), left.next(), left.next()) else {
            continue;
        };
        let mut right = right.split(' ');
        let (Some(kind), Some(device)) = (right.next(), right.next()) else { continue };
        if PASSED_OVER.contains(&kind) || kind.starts_with("fuse") || !seen.insert(number) {
            continue;
        }
        mounts.push(Mount {
            device: device.to_owned(),
            kind: kind.to_owned(),
            point: unescaped(point),
        });
    }
    mounts
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
    fn remote_file_systems_are_named_and_not_asked() {
        let text = "22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:50 / /srv\\040x rw shared:1 - nfs4 10.0.0.9:/x rw\n";
        let mut values = Values::new();
        remote(text, &mut values);
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].0.labels["mountpoint"], "/srv x");
        assert_eq!(values[0].0.labels["device"], "10.0.0.9:/x");
    }
}
