//! C13: which file systems count, and when being full is news.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];
const NOT: &[&str] = &["filesystem", "inodes"];
const REMOTE: &[&str] =
    &["remote", "nfs", "cifs", "ceph", "network file system", "sshfs", "gluster"];

/// An image that is full by nature.
fn image(host: Host, device: &str, fstype: &str, mountpoint: &str) -> Host {
    host.filesystem(device, fstype, mountpoint, 1.0, 0.0)
        .inodes(device, fstype, mountpoint, 5e3, 0.0)
        .read_only(device, fstype, mountpoint)
}

/// Fills up at this second and stays full.
fn filling(at: f64) -> Course {
    Course::Ramp((0.0, 60.0), (at, 0.0))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = images();
    all.extend(remote());
    all.extend(local());
    all
}

fn images() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let snaps = (0..12).fold(new("10.3.0.2:9100", "snaps"), |host, i| {
        image(host, &format!("/dev/loop{i}"), "squashfs", &format!("/snap/core/{i}"))
    });
    let verity = new("10.3.0.5:9100", "verity")
        .filesystem("/dev/mapper/usr", "ext4", "/usr", 2.0, 0.0)
        .inodes("/dev/mapper/usr", "ext4", "/usr", 3e4, 0.0)
        .read_only("/dev/mapper/usr", "ext4", "/usr");
    // An overlay over an image, and a FUSE image that is not marked as read-only.
    let app = new("10.3.0.6:9100", "appimage")
        .filesystem("editor.AppImage", "fuse.editor.AppImage", "/tmp/.mount_editor", 0.2, 0.0)
        .inodes("editor.AppImage", "fuse.editor.AppImage", "/tmp/.mount_editor", 900.0, 0.0);
    vec![
        Case::new(
            "C13",
            "snapfuse",
            image(
                new("10.3.0.1:9100", "snapfuse"),
                "snapfuse",
                "fuse.snapfuse",
                "/snap/core22/1380",
            ),
            IDLE,
        )
        .never(NOT),
        Case::new("C13", "snaps", snaps, IDLE).never(NOT),
        Case::new(
            "C13",
            "erofs",
            image(
                image(new("10.3.0.3:9100", "erofs"), "/dev/loop1", "erofs", "/usr/lib/modules"),
                "/dev/loop2",
                "cramfs",
                "/opt/rom",
            ),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C13",
            "cdrom",
            image(new("10.3.0.4:9100", "cdrom"), "/dev/sr0", "iso9660", "/media/cdrom0"),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C13",
            "udf-disc",
            image(new("10.3.0.7:9100", "udf"), "/dev/sr0", "udf", "/media/dvd"),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C13",
            "squashfuse",
            image(
                new("10.3.0.8:9100", "squashfuse"),
                "squashfuse",
                "fuse.squashfuse",
                "/var/singularity/mnt",
            ),
            IDLE,
        )
        .never(NOT),
        Case::new("C13", "verity", verity, IDLE).never(NOT),
        Case::new("C13", "appimage", app, IDLE).never(NOT),
    ]
}

fn remote() -> Vec<Case> {
    let archive =
        |instance: &str, name: &str, device: &str, fstype: &str| {
            Host::new(instance, name)
                .filesystem(device, fstype, "/mnt/archive", 1000.0, 0.0)
                .inodes(device, fstype, "/mnt/archive", 1e7, 0.0)
        };
    // A full archive elsewhere is not this node's limit; it may be named as remote.
    let remote = |case: Case| {
        case.or_possibly(&["filesystem", "inodes", "remote-storage"]).should_say(Fact::any(REMOTE))
    };
    vec![
        remote(Case::new(
            "C13",
            "filer",
            archive("10.3.1.1:9100", "filer", "filer:/export", "nfs4"),
            IDLE,
        )),
        remote(Case::new(
            "C13",
            "share",
            archive("10.3.1.2:9100", "share", "//nas/backup", "cifs"),
            IDLE,
        )),
        remote(Case::new(
            "C13",
            "cephfs",
            archive("10.3.1.3:9100", "cephfs", "10.0.0.9:6789:/", "ceph"),
            IDLE,
        )),
        remote(Case::new(
            "C13",
            "sshfs",
            archive("10.3.1.4:9100", "sshfs", "me@far:/data", "fuse.sshfs"),
            IDLE,
        )),
        remote(Case::new(
            "C13",
            "gluster",
            archive("10.3.1.5:9100", "gluster", "gl1:/vol", "fuse.glusterfs"),
            IDLE,
        )),
        // The local one that fills up comes first.
        Case::new(
            "C13",
            "filer-and-local",
            archive("10.3.1.6:9100", "filer-local", "filer:/export", "nfs").filesystem(
                "/dev/sdb1",
                "xfs",
                "/srv",
                100.0,
                filling(700.0),
            ),
            &["filesystem"],
        )
        .device("/srv"),
    ]
}

fn local() -> Vec<Case> {
    let binds = (0..60).fold(Host::new("10.3.2.1:9100", "binds"), |host, i| {
        let mount = format!("/var/lib/kubelet/pods/{i:08x}/volume-subpaths/a/b/{i}");
        host.filesystem("/dev/nvme0n1p1", "xfs", &mount, 50.0, 0.125)
    });
    let binds_filling = (0..30).fold(Host::new("10.3.2.2:9100", "binds-filling"), |host, i| {
        let mount = format!("/var/lib/docker/volumes/{i}/_data");
        host.filesystem("/dev/sdb1", "ext4", &mount, 60.0, filling(600.0))
    });
    let datasets = (0..20).fold(Host::new("10.3.2.3:9100", "datasets"), |host, i| {
        host.filesystem(
            &format!("tank/home{i}"),
            "zfs",
            &format!("/home/{i}"),
            60.0,
            filling(600.0),
        )
    });
    let underflow = Host::new("10.3.2.7:9100", "underflow")
        .filesystem("/dev/sdc1", "btrfs", "/pool", 500.0, 1.7e10)
        .inodes("/dev/sdc1", "btrfs", "/pool", 0.0, 0.0);
    let boot =
        Host::new("10.3.2.8:9100", "boot-full").filesystem("/dev/sda2", "ext4", "/boot", 0.5, 0.0);
    let reserved = Host::new("10.3.2.9:9100", "reserved")
        .filesystem("/dev/sdd1", "ext4", "/logs", 100.0, Course::Ramp((0.0, 30.0), (500.0, 0.0)))
        .disk("sdd", 0.3, 0.4, 60.0);
    vec![
        // Sixty mounts, one file system: full all the time, which is said once.
        Case::new("C13", "binds", binds, &["filesystem", "none"]).ranked_at_most("filesystem", 3),
        Case::new("C13", "binds-filling", binds_filling, &["filesystem"])
            .ranked_at_most("filesystem", 3),
        // Datasets of one pool are one space.
        Case::new("C13", "datasets", datasets, &["filesystem"]),
        // Full before the window, nothing is written: a note.
        Case::new(
            "C13",
            "full-before",
            Host::new("10.3.2.4:9100", "full-before").filesystem(
                "/dev/sdb1",
                "ext4",
                "/old",
                100.0,
                0.0,
            ),
            IDLE,
        )
        .or_possibly(&["filesystem"])
        .should_say(Fact::any(&["/old"])),
        Case::new("C13", "boot-full", boot, IDLE)
            .or_possibly(&["filesystem"])
            .should_say(Fact::any(&["/boot"])),
        Case::new(
            "C13",
            "filling",
            Host::new("10.3.2.5:9100", "filling")
                .filesystem("/dev/sdb1", "ext4", "/data", 60.0, filling(700.0))
                .disk("sdb", 0.3, 0.5, 80.0),
            &["filesystem saturated"],
        )
        .device("/data"),
        Case::new(
            "C13",
            "half-filling",
            Host::new("10.3.2.6:9100", "half-filling").filesystem(
                "/dev/sdb1",
                "ext4",
                "/data",
                60.0,
                Course::Ramp((0.0, 50.0), (1200.0, 30.0)),
            ),
            IDLE,
        )
        .never(NOT),
        // Free space that underflowed, and a file system without inodes.
        Case::new("C13", "underflow", underflow, IDLE).never(NOT),
        // What root keeps for itself is no space for users.
        Case::new("C13", "reserved", reserved, &["filesystem saturated"]).device("/logs"),
        Case::new(
            "C13",
            "inodes-filling",
            Host::new("10.3.2.10:9100", "inodes-filling")
                .filesystem("/dev/sdb1", "ext4", "/mail", 60.0, 40.0)
                .inodes("/dev/sdb1", "ext4", "/mail", 1e6, Course::Ramp((0.0, 5e5), (600.0, 0.0))),
            &["inodes saturated"],
        )
        .device("/mail"),
        Case::new(
            "C13",
            "inodes-half",
            Host::new("10.3.2.11:9100", "inodes-half")
                .filesystem("/dev/sdb1", "ext4", "/mail", 60.0, 40.0)
                .inodes("/dev/sdb1", "ext4", "/mail", 1e6, Course::Ramp((0.0, 7e5), (1200.0, 5e5))),
            IDLE,
        )
        .never(NOT),
    ]
}
