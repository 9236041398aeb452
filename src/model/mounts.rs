//! Which mounted file systems are one and the same, and which of them lie on another
//! machine.

use std::collections::BTreeMap;

use super::series::{Point, Signal};

/// Between the parts of a file system's name in the journal. It occurs in no path that
/// people use.
const BETWEEN: char = '\u{1f}';
/// What marks a remote file system in its shown name.
const REMOTE: &str = " (remote ";
/// Two mounts of one device whose values differ by more than this share are not one
/// file system: a project quota gives a directory a size of its own.
const SAME: f64 = 0.005;

/// File systems whose data lie on another machine.
const REMOTE_KINDS: [&str; 24] = [
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.cephfs",
    "fuse.glusterfs",
    "fuse.goofys",
    "fuse.juicefs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "prl_fs",
    "smb3",
    "smbfs",
    "virtiofs",
];

/// One name for the three labels of a mounted file system, until [`settle`] makes it
/// one to show.
pub fn encoded(point: &str, source: &str, kind: &str) -> String {
    format!("{point}{BETWEEN}{source}{BETWEEN}{kind}")
}

/// Whether a file system of this kind, mounted from this source, lies on another
/// machine: `filer:/export` and `//filer/share` do, whatever the kind is called.
pub fn is_remote_kind(source: &str, kind: &str) -> bool {
    let is_export = !source.starts_with('/')
        && source.split_once(":/").is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'));
    REMOTE_KINDS.contains(&kind) || source.starts_with("//") || is_export
}

/// Whether a shown name is of a remote file system.
pub fn is_remote(device: &str) -> bool {
    device.contains(REMOTE)
}

/// The signals of a node's file systems, each file system once and under the name that
/// is shown: its shortest mount point, with the export where it is a remote one.
///
/// Names that are not from [`encoded`] stay as they are.
pub fn settle(signals: Vec<Signal>) -> Vec<Signal> {
    let mut settled = Vec::new();
    let mut by_point: BTreeMap<String, Mount> = BTreeMap::new();
    for signal in signals {
        match Mount::of(signal) {
            Err(other) => settled.push(other),
            // Of two at one mount point only the later is visible, and both show its
            // values. The one with a device is not the initial root.
            Ok(mount) => match by_point.get_mut(&mount.point) {
                Some(known) if mount.is_on_a_device() || !known.is_on_a_device() => *known = mount,
                Some(_) => (),
                None => drop(by_point.insert(mount.point.clone(), mount)),
            },
        }
    }
    let mut mounts: Vec<Mount> = by_point.into_values().collect();
    mounts.sort_by(|a, b| (a.point.len(), &a.point).cmp(&(b.point.len(), &b.point)));
    let mut kept: BTreeMap<String, Vec<Mount>> = BTreeMap::new();
    for mount in mounts {
        let key = if mount.is_on_a_device() { mount.source.clone() } else { mount.point.clone() };
        let same = kept.entry(key).or_default();
        match same.iter_mut().find(|other| alike(&other.signal.points, &mount.signal.points)) {
            // It may have been mounted for a part of the time only.
            Some(other) => fill(&mut other.signal.points, mount.signal.points),
            None => same.push(mount),
        }
    }
    settled.extend(kept.into_values().flatten().map(Mount::shown));
    settled.sort_by(|a, b| a.device.cmp(&b.device));
    settled
}

struct Mount {
    point: String,
    source: String,
    kind: String,
    signal: Signal,
}

impl Mount {
    fn of(signal: Signal) -> Result<Self, Signal> {
        let parts: Option<[String; 3]> = signal.device.as_deref().and_then(|device| {
            let mut parts = device.split(BETWEEN).map(str::to_owned);
            Some([parts.next()?, parts.next()?, parts.next()?])
        });
        let Some([point, source, kind]) = parts else { return Err(signal) };
        Ok(Self { point, source, kind, signal })
    }

    /// Whether its source is a device, a data set or an export, of which there is one.
    /// Each mount of a `tmpfs` or `none` is a file system of its own.
    fn is_on_a_device(&self) -> bool {
        self.source.contains(['/', ':']) || self.kind == "zfs"
    }

    fn shown(self) -> Signal {
        let Self { point, source, kind, mut signal } = self;
        let is_remote = is_remote_kind(&source, &kind);
        signal.device =
            Some(if is_remote { format!("{point}{REMOTE}{kind} {source})") } else { point });
        signal
    }
}

/// Whether two mounts have the same values at the times that both have, or no such time.
fn alike(a: &[Point], b: &[Point]) -> bool {
    let (mut a, mut b) = (a.iter().rev().peekable(), b.iter().rev().peekable());
    while let (Some(one), Some(other)) = (a.peek(), b.peek()) {
        match one.t.cmp(&other.t) {
            std::cmp::Ordering::Greater => drop(a.next()),
            std::cmp::Ordering::Less => drop(b.next()),
            std::cmp::Ordering::Equal => {
                return (one.v - other.v).abs() <= SAME * one.v.abs().max(other.v.abs());
            }
        }
    }
    true
}

/// Add the points of another mount of the same file system that lie outside of ours.
fn fill(points: &mut Vec<Point>, more: Vec<Point>) {
    let span = points.first().map(|point| point.t).zip(points.last().map(|point| point.t));
    let Some((first, last)) = span else {
        *points = more;
        return;
    };
    let before = points.len();
    points.extend(more.into_iter().filter(|point| point.t < first || point.t > last));
    if points.len() > before {
        points.sort_by_key(|point| point.t);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn mount(point: &str, source: &str, kind: &str, used: f64) -> Signal {
        let points = (0..3).map(|second| Point { t: Timestamp(second * 1000), v: used }).collect();
        Signal { device: Some(encoded(point, source, kind)), points, window_s: 0.0 }
    }

    fn names(signals: Vec<Signal>) -> Vec<String> {
        settle(signals).into_iter().filter_map(|signal| signal.device).collect()
    }

    #[test]
    fn many_mounts_of_one_device_are_one_file_system() {
        let pods = (0..60).map(|pod| format!("/var/lib/kubelet/pods/{pod}/volume-subpaths/a"));
        let mut all: Vec<Signal> =
            pods.map(|point| mount(&point, "/dev/nvme0n1p1", "xfs", 0.99)).collect();
        all.push(mount("/data", "/dev/nvme0n1p1", "xfs", 0.99));
        assert_eq!(names(all), ["/data"]);
    }

    #[test]
    fn what_shares_a_word_and_no_device_stays_apart() {
        let all = vec![
            mount("/tmp", "tmpfs", "tmpfs", 0.1),
            mount("/run", "tmpfs", "tmpfs", 0.1),
            mount("/a", "none", "tmpfs", 0.1),
            mount("/b", "none", "tmpfs", 0.1),
        ];
        assert_eq!(names(all), ["/a", "/b", "/run", "/tmp"]);
        // A project quota: one device, another size.
        let all = vec![mount("/", "/dev/sda1", "xfs", 0.4), mount("/q", "/dev/sda1", "xfs", 1.0)];
        assert_eq!(names(all), ["/", "/q"]);
    }

    #[test]
    fn one_mounted_over_another_is_the_one_with_a_device() {
        let all = vec![
            mount("/", "rootfs", "rootfs", 0.4),
            mount("/", "/dev/sda1", "ext4", 0.4),
            mount("/var/lib/docker", "/dev/sda1", "ext4", 0.4),
        ];
        assert_eq!(names(all), ["/"]);
    }

    #[test]
    fn a_remote_one_is_named_as_such() {
        for (source, kind) in [
            ("filer:/export", "nfs4"),
            ("//nas/share", "cifs"),
            ("10.0.0.1:6789,10.0.0.2:6789:/", "ceph"),
            ("vol0", "fuse.glusterfs"),
            ("me@host:/home", "fuse.unknown"),
        ] {
            let names = names(vec![mount("/mnt", source, kind, 0.5)]);
            assert_eq!(names, [format!("/mnt (remote {kind} {source})")]);
            assert!(is_remote(&names[0]));
        }
        for (source, kind) in [
            ("/dev/sda1", "ext4"),
            ("/dev/mapper/vg-a:b", "xfs"),
            ("rpool/ROOT/a", "zfs"),
            ("tmpfs", "tmpfs"),
            ("/dev/sdb", "ocfs2"),
        ] {
            assert!(!is_remote_kind(source, kind), "{source}");
        }
    }

    #[test]
    fn a_name_of_an_older_journal_stays() {
        let old = Signal { device: Some("/data".into()), points: vec![], window_s: 0.0 };
        assert_eq!(settle(vec![old.clone()]), [old]);
    }
}
