//! A file system that is not local: NFS, CIFS, Ceph.

use super::{BLANK, Condition, Counts, Relation, Resource, saturation};

/// No local disk can be what the tasks wait for.
const NO_DISK_BUSY: &[Condition] = &[Condition::AllBelow("disk_busy", 0.50)];
/// As many requests under way as there would be from four tasks that do nothing else.
const IN_USE: &[Condition] = &[Condition::AtLeast("nfs_outstanding", 4.0)];
const STUCK: &str = "twenty tasks in uninterruptible sleep at four samples of ten, while every local disk is idle for more than half of the time: they wait for something that is not a local disk. A driver that hangs looks the same";

pub(super) static RESOURCE: Resource = Resource {
    name: "remote-storage",
    title: "remote storage {device}",
    means: "Tasks wait for a file system that another machine serves (NFS, CIFS, Ceph), while the local disks are idle.",
    usual: "an NFS server that is slow or unreachable, a network between that loses packets; a driver that hangs looks the same",
    saturation: &[
        saturation(
            "nfs_response_time",
            0.1,
            Counts::Alone,
            "a tenth of a second for an answer, ten times a seek of a hard disk, with four requests under way: the server or the network is the limit (nfsiostat(8), avg RTT)",
        )
        .when(IN_USE),
        saturation(
            "nfs_queue_time",
            0.05,
            Counts::Alone,
            "a twentieth of a second in the client's own queue before a request is sent, with four requests under way: the transport is full (nfsiostat(8), avg queue)",
        )
        .when(IN_USE),
        saturation(
            "nfs_retransmit_ratio",
            0.05,
            Counts::Alone,
            "a twentieth of the requests sent again: the server or the network drops them (nfsstat(8); 5 % is the limit of Managing NFS and NIS, chapter 18)",
        )
        .when(&[Condition::AtLeast("io_blocked", 1.0)]),
        saturation("io_blocked", MANY, Counts::Suspected, STUCK).when(NO_DISK_BUSY),
        saturation("tasks_uninterruptible", MANY, Counts::Suspected, STUCK).when(NO_DISK_BUSY),
    ],
    follows: &[
        Relation::always("network-allowance", "its requests wait for what the cloud lets through"),
        Relation::always("network", "its requests wait for the link"),
        Relation::always("network-path", "its requests are lost on the way and sent again"),
        Relation::always("cpu-quota", "tasks of a group without CPU time send late"),
        Relation::always("io-limit", "tasks that an I/O limit holds back sleep like these"),
        Relation::always("memory", "tasks that wait for memory sleep like these"),
        Relation::always("memory-limit", "tasks that wait for memory sleep like these"),
    ],
    blind: "NFS client statistics were not sampled (node_exporter: --collector.mountstats)",
    advice: "look at the file server and the network to it (nfsiostat, mountstats); `ps -eo state,wchan:32,args | grep ^D` shows what the tasks wait in",
    ..BLANK
};

/// Tasks in uninterruptible sleep that are no ordinary number.
pub(in crate::analyze) const MANY: f64 = 20.0;
