//! C18 and parts of C20: tasks that wait for storage, here and elsewhere.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];
const REMOTE: &[&str] = &["remote-storage"];

fn blocked(host: Host, tasks: impl Into<Course>) -> Host {
    let tasks = tasks.into();
    host.gauge("node_procs_blocked", &[], tasks.clone()).gauge("node_load1", &[], tasks)
}

/// The client side of an NFS mount: requests a second, seconds that they take, and
/// time-outs a second.
fn nfs(
    host: Host,
    requests: impl Into<Course>,
    seconds: impl Into<Course>,
    timeouts: impl Into<Course>,
) -> Host {
    let mount = [("export", "filer:/export"), ("mountaddr", "10.0.0.8"), ("protocol", "tcp")];
    let read = [
        ("export", "filer:/export"),
        ("mountaddr", "10.0.0.8"),
        ("operation", "READ"),
        ("protocol", "tcp"),
    ];
    let (requests, seconds, timeouts) = (requests.into(), seconds.into(), timeouts.into());
    host.filesystem("filer:/export", "nfs4", "/mnt/data", 1000.0, 600.0)
        .counter("node_mountstats_nfs_age_seconds_total", &mount, 1.0)
        .counter("node_mountstats_nfs_operations_requests_total", &read, requests.clone())
        .counter("node_mountstats_nfs_operations_transmissions_total", &read, requests.clone())
        .counter(
            "node_mountstats_nfs_operations_request_time_seconds_total",
            &read,
            seconds.clone(),
        )
        .counter("node_mountstats_nfs_operations_response_time_seconds_total", &read, seconds)
        .counter("node_mountstats_nfs_operations_major_timeouts_total", &read, timeouts.clone())
        .counter("node_nfs_rpcs_total", &[], requests)
        .counter("node_nfs_rpc_retransmissions_total", &[], timeouts)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = elsewhere();
    all.extend(here());
    all
}

fn elsewhere() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let mounted = |host: Host| host.filesystem("filer:/export", "nfs4", "/mnt/data", 1000.0, 600.0);
    let waits = Course::step(0.0, 480.0, 0.85);
    vec![
        // 250 from the first sample on: a note, but not "nothing".
        Case::new("C18", "hang", blocked(new("10.7.0.1:9100", "hang"), 250.0), REMOTE)
            .only_possible()
            .or_possibly(&["none", "io-limit"])
            .never(&["disk", "cpu"])
            .must_say(Fact::any(&["250"])),
        Case::new(
            "C18",
            "hang-begins",
            blocked(new("10.7.0.2:9100", "hang-begins"), Course::step(0.0, 480.0, 180.0)),
            REMOTE,
        )
        .only_possible()
        .or_possibly(&["io-limit"])
        .never(&["none", "disk", "cpu"])
        .must_say(Fact::any(&["180"])),
        Case::new(
            "C18",
            "hang-mounted",
            blocked(mounted(new("10.7.0.3:9100", "hang-mounted")), Course::step(0.0, 480.0, 60.0)),
            REMOTE,
        )
        .only_possible()
        .or_possibly(&["io-limit"])
        .never(&["none", "disk"])
        .must_say(Fact::any(&["/mnt/data", "filer:/export"])),
        Case::new(
            "C18",
            "nfs-timeouts",
            nfs(
                blocked(
                    new("10.7.0.4:9100", "nfs-timeouts").pressure("io_waiting", waits.clone()),
                    Course::step(0.0, 480.0, 80.0),
                ),
                Course::step(200.0, 480.0, 0.5),
                Course::step(0.4, 480.0, 30.0),
                Course::step(0.0, 480.0, 2.0),
            ),
            REMOTE,
        )
        .or_possibly(&["io-limit"])
        .never(&["none", "disk"])
        .must_say(Fact::any(&["/mnt/data", "filer:/export"])),
        // It answers, but each read takes two seconds.
        Case::new(
            "C18",
            "nfs-slow",
            nfs(
                blocked(
                    new("10.7.0.5:9100", "nfs-slow").pressure("io_waiting", waits),
                    Course::step(0.0, 480.0, 30.0),
                ),
                Course::step(200.0, 480.0, 15.0),
                Course::step(0.4, 480.0, 30.0),
                0.0,
            ),
            REMOTE,
        )
        .or_possibly(&["io-limit"])
        .never(&["none", "disk"]),
        Case::new(
            "C18",
            "nfs-healthy",
            nfs(new("10.7.0.6:9100", "nfs-healthy"), 300.0, 0.9, 0.0),
            IDLE,
        )
        .never(REMOTE),
        // Two or three kernel threads that always sleep so.
        Case::new("C18", "few-blocked", blocked(new("10.7.0.7:9100", "few-blocked"), 2.0), IDLE)
            .never(&["remote-storage", "disk"]),
        // One instant in which the writers of a journal waited.
        Case::new(
            "C18",
            "blocked-once",
            blocked(new("10.7.0.8:9100", "blocked-once"), Course::during(600.0, 630.0, 40.0, 0.0)),
            IDLE,
        )
        .never(&["disk"])
        .or_possibly(&["remote-storage"]),
        // Tasks wait for I/O and no disk is busy: a limit or a mount elsewhere.
        Case::new(
            "C18",
            "io-elsewhere",
            new("10.7.0.9:9100", "io-elsewhere")
                .pressure("io_waiting", 0.9)
                .pressure("io_stalled", 0.7)
                .gauge("node_procs_blocked", &[], 6.0),
            &["io-limit", "remote-storage"],
        )
        .only_possible()
        .never(&["none", "disk"]),
    ]
}

fn here() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let queued = |host: Host, device: &str| {
        host.disk(device, 0.99, 24.0, 900.0).pressure("io_waiting", 0.7).pressure("io_stalled", 0.4)
    };
    let paths = queued(new("10.7.1.1:9100", "multipath"), "nvme0n1")
        .disk("nvme0c0n1", 0.99, 12.0, 450.0)
        .disk("nvme0c1n1", 0.99, 12.0, 450.0);
    let stacked = queued(queued(new("10.7.1.2:9100", "stacked"), "dm-0"), "sdb");
    let check = new("10.7.1.3:9100", "raid-check")
        .disk("sdb", 0.97, 2.6, 400.0)
        .disk("sdc", 0.97, 2.6, 400.0)
        .disk("md0", 0.0, 0.0, 0.0)
        .gauge("node_md_state", &[("device", "md0"), ("state", "check")], 1.0)
        .gauge("node_md_state", &[("device", "md0"), ("state", "active")], 0.0)
        .gauge("node_md_blocks", &[("device", "md0")], 1.9e9)
        .gauge(
            "node_md_blocks_synced",
            &[("device", "md0")],
            Course::Ramp((0.0, 6e8), (1200.0, 7e8)),
        );
    let waiting = blocked(queued(new("10.7.1.4:9100", "local-hang"), "sda"), 24.0);
    vec![
        // Two paths to one namespace.
        Case::new("C20", "multipath", paths, &["disk"])
            .device("nvme0n1")
            .ranked_at_most("disk", 2)
            .never(&["none"]),
        Case::new("C20", "stacked", stacked, &["disk saturated"]).never(&["none"]),
        // It checked the array before the window, and does so still.
        Case::new("C20", "raid-check", check, IDLE)
            .or_possibly(&["disk"])
            .should_say(Fact::any(&["raid", "md0", "check"])),
        Case::new("C18", "local-hang", waiting, &["disk saturated"])
            .device("sda")
            .never(&["none", "remote-storage"]),
        Case::new(
            "+",
            "disk-queue",
            new("10.7.1.5:9100", "disk-queue")
                .disk(
                    "sdb",
                    Course::step(0.02, 240.0, 0.99),
                    Course::step(0.02, 240.0, 16.0),
                    Course::step(5.0, 240.0, 600.0),
                )
                .pressure("io_waiting", Course::step(0.0, 240.0, 0.6))
                .noise(0.05),
            &["disk saturated"],
        )
        .device("sdb"),
        Case::new(
            "+",
            "disk-slow",
            new("10.7.1.6:9100", "disk-slow")
                .disk("vda", 0.86, 2.1, 40.0)
                .pressure("io_waiting", 0.75)
                .noise(0.03)
                .offset(8.8),
            &["disk saturated"],
        )
        .device("vda"),
        Case::new(
            "+",
            "disk-half",
            new("10.7.1.7:9100", "disk-half")
                .disk("sdb", 0.45, 0.6, 300.0)
                .pressure("io_waiting", 0.2)
                .noise(0.05),
            IDLE,
        )
        .never(&["disk"]),
        // One request at a time, each in 60 µs: busy all the time, and far from a limit.
        Case::new(
            "+",
            "disk-fast",
            new("10.7.1.8:9100", "disk-fast").disk("nvme0n1", 0.99, 1.0, 17_000.0),
            IDLE,
        )
        .never(&["disk saturated"])
        .or_possibly(&["disk"]),
    ]
}
