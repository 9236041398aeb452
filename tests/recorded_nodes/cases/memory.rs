//! C14: memory that is used in name only, and memory that is really gone.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, GIB, Host},
};

const IDLE: &[&str] = &["none"];
const NOT: &[&str] = &["memory saturated", "memory full", "memory near", "memory-limit"];

fn pages(host: Host, total: f64, free: f64, size: f64) -> Host {
    host.gauge("node_memory_HugePages_Total", &[], total)
        .gauge("node_memory_HugePages_Free", &[], free)
        .gauge("node_memory_HugePages_Rsvd", &[], 0.0)
        .gauge("node_memory_Hugepagesize_bytes", &[], size)
        .gauge("node_memory_Hugetlb_bytes", &[], total * size)
}

fn arc(host: Host, size: f64, least: f64) -> Host {
    host.gauge("node_zfs_arc_size", &[], size * GIB)
        .gauge("node_zfs_arc_c_min", &[], least * GIB)
        .gauge("node_zfs_arc_c_max", &[], 2.0 * size * GIB)
        .gauge("node_zfs_arc_c", &[], size * GIB)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = in_name_only();
    all.extend(really());
    all
}

fn in_name_only() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let huge = |instance: &str, name: &str| new(instance, name).cores(24).memory(755.0, 17.0);
    let two_sizes = pages(
        new("10.4.0.3:9100", "small-pages").cores(12).memory(256.0, 10.0),
        115_200.0,
        0.0,
        2_097_152.0,
    );
    let tmpfs = new("10.4.0.6:9100", "shm")
        .memory(64.0, 2.5)
        .gauge("node_memory_Shmem_bytes", &[], 50.0 * GIB)
        .filesystem("tmpfs", "tmpfs", "/dev/shm", 60.0, 10.0);
    let balloon = new("10.4.0.8:9100", "balloon")
        .memory(Course::step(64.0, 600.0, 16.0), Course::step(50.0, 600.0, 5.0));
    let zram = new("10.4.0.9:9100", "zram")
        .memory(16.0, 7.0)
        .swap(8.0, 3.0)
        .counter("node_vmstat_pswpin", &[], 2500.0)
        .counter("node_vmstat_pswpout", &[], 2500.0)
        .pressure("memory_waiting", 0.01);
    let killed = new("10.4.0.11:9100", "pod-killed").memory(64.0, 40.0).counter(
        "node_vmstat_oom_kill",
        &[],
        0.02,
    );
    let no_available = new("10.4.0.12:9100", "no-available")
        .without("node_memory_MemAvailable_bytes")
        .gauge("node_memory_MemFree_bytes", &[], 0.3 * GIB)
        .gauge("node_memory_Cached_bytes", &[], 11.0 * GIB)
        .gauge("node_memory_Buffers_bytes", &[], 1.0 * GIB);
    vec![
        // A page of 1 GiB each, set aside and free.
        Case::new(
            "C14",
            "hugepages",
            pages(huge("10.4.0.1:9100", "hugepages"), 720.0, 700.0, GIB),
            IDLE,
        )
        .never(NOT)
        .should_say(Fact::any(&["huge page", "hugepage", "huge-page"])),
        // A database has them all, on purpose; what is left for the rest is half free.
        Case::new(
            "C14",
            "hugepages-used",
            pages(huge("10.4.0.2:9100", "oracle"), 720.0, 0.0, GIB),
            IDLE,
        )
        .never(&["memory saturated", "memory full"])
        .or_possibly(&["memory near"])
        .should_say(Fact::any(&["huge page", "hugepage", "huge-page"])),
        Case::new("C14", "hugepages-small", two_sizes, IDLE)
            .never(&["memory saturated", "memory full"])
            .or_possibly(&["memory near"]),
        // The cache of ZFS shrinks when others need memory.
        Case::new(
            "C14",
            "zfs-arc",
            arc(new("10.4.0.4:9100", "zfs").memory(128.0, 5.0), 90.0, 4.0),
            IDLE,
        )
        .never(NOT)
        .should_say(Fact::any(&["arc", "zfs"])),
        // It holds what it must hold, and the rest is gone.
        Case::new(
            "C14",
            "zfs-arc-pressed",
            arc(
                new("10.4.0.5:9100", "zfs-pressed")
                    .memory(128.0, 3.0)
                    .pressure("memory_waiting", 0.4)
                    .pressure("memory_stalled", 0.2),
                6.0,
                4.0,
            ),
            &["memory saturated"],
        )
        .never(&["none"]),
        // Files in memory: used on purpose, but not to be had without deleting them.
        Case::new("C14", "tmpfs", tmpfs, IDLE)
            .never(&["memory saturated"])
            .or_possibly(&["memory full", "memory near"])
            .should_say(Fact::any(&["tmpfs", "shared memory", "shmem"])),
        Case::new(
            "C14",
            "page-cache",
            new("10.4.0.7:9100", "page-cache")
                .gauge("node_memory_MemFree_bytes", &[], 0.2 * GIB)
                .gauge("node_memory_Cached_bytes", &[], 12.0 * GIB),
            IDLE,
        )
        .never(NOT),
        Case::new("C14", "balloon", balloon, IDLE).never(NOT),
        Case::new("C14", "zram", zram, IDLE).never(NOT),
        // Swap that filled up long ago and rests.
        Case::new(
            "C14",
            "swap-resting",
            new("10.4.0.10:9100", "swap-resting").memory(16.0, 8.0).swap(4.0, 0.0),
            IDLE,
        )
        .never(NOT),
        // Kills inside a container's limit, while the host has memory.
        Case::new("C14", "pod-killed", killed, IDLE)
            .never(&["memory"])
            .or_possibly(&["memory-limit"])
            .should_say(Fact::any(&["kill", "oom"])),
        // Kernels before 3.14 do not tell what is available.
        Case::new("C14", "no-available", no_available, &["unknown"])
            .or_possibly(&["none"])
            .never(&["memory"]),
        // A database that maps its files faults all the time.
        Case::new(
            "C14",
            "mapped-files",
            new("10.4.0.13:9100", "mapped").memory(64.0, 36.0).counter(
                "node_vmstat_pgmajfault",
                &[],
                900.0,
            ),
            IDLE,
        )
        .never(NOT),
    ]
}

fn really() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let swapping = new("10.4.1.2:9100", "swapping")
        .memory(16.0, 0.5)
        .swap(8.0, 2.0)
        .counter("node_vmstat_pswpin", &[], 1500.0)
        .counter("node_vmstat_pswpout", &[], 1800.0)
        .pressure("memory_waiting", 0.5)
        .pressure("memory_stalled", 0.3)
        .noise(0.1);
    vec![
        Case::new(
            "+",
            "memory-pressure",
            new("10.4.1.1:9100", "mem-pressure")
                .memory(64.0, 1.5)
                .pressure("memory_waiting", 0.35)
                .pressure("memory_stalled", 0.2)
                .noise(0.05)
                .cores(16),
            &["memory saturated"],
        ),
        Case::new("+", "memory-swap", swapping, &["memory saturated"]),
        Case::new(
            "+",
            "memory-full",
            new("10.4.1.3:9100", "mem-full").memory(32.0, 0.9),
            &["memory full"],
        )
        .never(&["memory saturated", "none"]),
        Case::new(
            "+",
            "memory-half",
            new("10.4.1.4:9100", "mem-half").memory(32.0, 16.0).noise(0.05).offset(3.3),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "+",
            "memory-killer",
            new("10.4.1.5:9100", "mem-killer")
                .memory(32.0, 0.6)
                .counter("node_vmstat_oom_kill", &[], 0.05)
                .pressure("memory_waiting", 0.2),
            &["memory saturated"],
        ),
        // It fills up in the last third of the window.
        Case::new(
            "+",
            "memory-leak",
            new("10.4.1.6:9100", "mem-leak")
                .memory(16.0, Course::Ramp((0.0, 12.0), (840.0, 0.3)))
                .pressure("memory_waiting", Course::step(0.0, 850.0, 0.4)),
            &["memory"],
        ),
    ]
}
