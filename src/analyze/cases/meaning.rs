//! What a figure means: what is full by construction, set aside on purpose, counted
//! backwards or dropped by design is no limit, and what resembles it is.

use super::{
    machine::{BASELINE_S, GIB, Machine, run_of, snapshots},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Grade, Kind, Verdict},
    },
    model::{
        run::SourceKind,
        series::{Key, Snapshot},
    },
};

/// The verdict on these samples.
pub(super) fn of(all: &[Snapshot]) -> Verdict {
    under_load(&analyze(&run_of(all))).clone()
}

/// The same as a past window: nothing is known of what was before, and nobody loaded it.
pub(super) fn looked_back_at(all: &[Snapshot]) -> Verdict {
    let mut run = run_of(all);
    run.manifest.phases.remove(0);
    run.manifest.phases[0].loads.clear();
    run.nodes[0].record.loaded = false;
    run.nodes[0].record.source = SourceKind::Prometheus;
    under_load(&analyze(&run)).clone()
}

/// Adds gauges and counters to each second of a machine's samples.
pub(super) fn with(machine: &Machine, more: impl Fn(i64) -> Vec<(String, f64)>) -> Vec<Snapshot> {
    let mut all = snapshots(machine);
    for (second, snapshot) in (0..).zip(&mut all) {
        let more = more(second).into_iter().map(|(key, v)| (Key::parse(&key).unwrap(), v));
        snapshot.values.extend(more);
    }
    all
}

/// A file system of 100 GiB.
fn file_system(labels: &str, available: f64, inodes: f64, ro: f64) -> Vec<(String, f64)> {
    let of = |name: &str| format!("node_filesystem_{name}{{{labels}}}");
    vec![
        (of("size_bytes"), 100.0 * GIB),
        (of("avail_bytes"), available * GIB),
        (of("files"), 1e6),
        (of("files_free"), inodes),
        (of("readonly"), ro),
    ]
}

fn labels(device: &str, kind: &str, mountpoint: &str) -> String {
    format!("device=\"{device}\",fstype=\"{kind}\",mountpoint=\"{mountpoint}\"")
}

/// `none`, and not a word on this.
fn silent(verdict: &Verdict, word: &str) {
    assert_eq!(verdict.kind, Kind::None, "{}", verdict.statement);
    assert!(!verdict.statement.contains(word), "{}", verdict.statement);
    assert!(verdict.notes.is_empty(), "{:?}", verdict.notes);
}

#[test]
fn images_and_what_is_mounted_read_only_never_count() {
    for (device, kind, ro) in [
        ("/dev/loop3", "squashfs", 1.0),
        ("snapfuse", "fuse.snapfuse", 0.0),
        ("squashfuse", "fuse.squashfuse_ll", 0.0),
        ("/dev/loop4", "erofs", 1.0),
        ("/dev/sr0", "iso9660", 1.0),
        ("/dev/sr0", "udf", 0.0),
        ("/dev/loop5", "ext4", 1.0),
        ("tool.AppImage", "fuse.tool.AppImage", 1.0),
        ("/dev/sdb1", "fuseblk", 1.0),
        ("overlay", "overlay", 0.0),
        ("nsfs", "nsfs", 0.0),
    ] {
        let all = with(&Machine::default(), |_| {
            file_system(&labels(device, kind, "/snap/core22"), 0.0, 0.0, ro)
        });
        silent(&of(&all), "/snap");
        silent(&looked_back_at(&all), "/snap");
    }
    // Mounted with write access, and filling: it counts.
    let all = with(&Machine::default(), |second| {
        let left = if second > BASELINE_S { 0.0 } else { 50.0 };
        file_system(&labels("/dev/sdb1", "fuseblk", "/media/usb"), left, 9e5, 0.0)
    });
    assert_eq!(of(&all).device.as_deref(), Some("/media/usb"));
}

#[test]
fn a_file_system_without_a_number_of_inodes_has_not_run_out_of_them() {
    let all = with(&Machine::default(), |_| {
        let mut values = file_system(&labels("/dev/sdb", "btrfs", "/data"), 50.0, 0.0, 0.0);
        values.retain(|(key, _)| !key.contains("files{"));
        values.push((
            format!("node_filesystem_files{{{}}}", labels("/dev/sdb", "btrfs", "/data")),
            0.0,
        ));
        values
    });
    silent(&of(&all), "/data");
}

#[test]
fn what_was_full_before_and_does_not_move_is_a_note() {
    let all = with(&Machine::default(), |_| {
        file_system(&labels("/dev/sdb", "ext4", "/archive"), 0.0, 0.0, 0.0)
    });
    for verdict in [of(&all), looked_back_at(&all)] {
        assert_eq!(verdict.kind, Kind::None, "{}", verdict.statement);
        assert!(verdict.statement.contains("/archive"), "{}", verdict.statement);
        let noted: Vec<&str> = verdict.notes.iter().map(|note| note.resource.as_str()).collect();
        assert_eq!(noted, ["filesystem", "inodes"]);
        assert_ne!(verdict.next.unwrap().device.as_deref(), Some("/archive"));
    }
}

#[test]
fn a_full_one_that_is_written_to_or_became_full_is_the_verdict() {
    let at = labels("/dev/sdb", "ext4", "/data");
    // A few blocks come and go.
    let written = with(&Machine::default(), |second| {
        file_system(&at, if second % 2 == 0 { 0.0 } else { 0.0001 }, 9e5, 0.0)
    });
    let filled = with(&Machine::default(), |second| {
        file_system(&at, (60 - 5 * second).max(0) as f64, 9e5, 0.0)
    });
    for verdict in [of(&written), looked_back_at(&written), of(&filled), looked_back_at(&filled)] {
        assert_eq!(verdict.resource, "filesystem", "{}", verdict.statement);
        assert_eq!(verdict.device.as_deref(), Some("/data"));
    }
}

#[test]
fn a_remote_export_is_named_as_remote_and_after_local_ones() {
    let export = labels("filer:/export", "nfs4", "/mnt/archive");
    let shrinking = |second: i64| (20 - second).max(0) as f64;
    let all = with(&Machine::default(), |second| file_system(&export, shrinking(second), 9e5, 0.0));
    let remote = looked_back_at(&all);
    assert_eq!(remote.resource, "filesystem");
    assert!(remote.statement.contains("(remote nfs4 filer:/export)"), "{}", remote.statement);
    let all = with(&Machine::default(), |second| {
        let mut values = file_system(&export, shrinking(second), 9e5, 0.0);
        let local = labels("/dev/sdz", "xfs", "/zzz");
        values.extend(file_system(&local, shrinking(second), 9e5, 0.0));
        values
    });
    let both = looked_back_at(&all);
    assert_eq!(both.device.as_deref(), Some("/zzz"), "{}", both.statement);
    assert!(both.statement.contains("filer:/export"), "{}", both.statement);
}

#[test]
fn sixty_mounts_of_one_device_are_one_file_system() {
    let all = with(&Machine::default(), |second| {
        (0..60)
            .flat_map(|pod| {
                let point = format!("/var/lib/kubelet/pods/{pod:08x}/volume-subpaths/a/b/{pod}");
                let at = labels("/dev/nvme0n1p1", "xfs", &point);
                file_system(&at, if second > BASELINE_S { 0.1 } else { 60.0 }, 9e5, 0.0)
            })
            .collect()
    });
    let analysis = analyze(&run_of(&all));
    let ranked = &analysis.nodes[0].phases[1].ranking;
    let full: Vec<_> = ranked.iter().filter(|one| one.kind == Kind::Full).collect();
    assert_eq!(full.len(), 1, "{full:#?}");
}

#[test]
fn huge_pages_are_no_memory_that_is_used_up() {
    let machine = |available_gib: f64| {
        // 14 of 16 GiB are set aside.
        let machine = Machine { available_gib, free_gib: available_gib, ..Machine::default() };
        let mut all = with(&machine, |_| {
            vec![
                ("node_memory_HugePages_Total".to_owned(), 14.0),
                ("node_memory_Hugepagesize_bytes".to_owned(), GIB),
            ]
        });
        for snapshot in all.iter_mut().take(10) {
            for (key, v) in &mut snapshot.values {
                if key.name == "node_memory_MemAvailable_bytes" {
                    *v = 1.6 * GIB;
                }
            }
        }
        all
    };
    let idle = of(&machine(1.5));
    assert_eq!(idle.kind, Kind::None, "{}", idle.statement);
    let clean = idle.exonerated.iter().find(|one| one.resource == "memory").unwrap();
    assert!(clean.text.contains("14 GiB of huge pages"), "{}", clean.text);
    // The rest is used up: that is a limit, and the evidence says of what.
    let full = of(&machine(0.05));
    assert_eq!((full.resource.as_str(), full.kind), ("memory", Kind::Full));
    let said = &full.evidence.iter().find(|one| one.signal == "memory_used_ratio").unwrap().text;
    assert!(said.contains("14 GiB of huge pages"), "{said}");
    assert!(full.statement.contains("14 GiB of huge pages"), "{}", full.statement);
}

#[test]
fn the_kernels_sum_of_huge_pages_of_all_sizes_comes_first() {
    let machine = Machine { available_gib: 1.5, free_gib: 1.5, ..Machine::default() };
    let all = with(&machine, |_| {
        vec![
            ("node_memory_HugePages_Total".to_owned(), 0.0),
            ("node_memory_Hugepagesize_bytes".to_owned(), 2_097_152.0),
            ("node_memory_Hugetlb_bytes".to_owned(), 14.0 * GIB),
        ]
    });
    assert_eq!(of(&all).kind, Kind::None);
}

#[test]
fn the_cache_of_zfs_is_available_down_to_its_minimum() {
    let judged = |size: f64| {
        let machine = Machine { available_gib: 0.5, free_gib: 0.5, ..Machine::default() };
        of(&with(&machine, |_| {
            vec![
                ("node_zfs_arc_size".to_owned(), size * GIB),
                ("node_zfs_arc_c_min".to_owned(), GIB),
            ]
        }))
    };
    let cached = judged(12.0);
    assert_eq!(cached.kind, Kind::None, "{}", cached.statement);
    let clean = cached.exonerated.iter().find(|one| one.resource == "memory").unwrap();
    assert!(clean.text.contains("11 GiB in the cache of ZFS"), "{}", clean.text);
    // Below its minimum it gives nothing back, and takes nothing away.
    for size in [0.5, 1.0] {
        let full = judged(size);
        assert_eq!((full.resource.as_str(), full.kind), ("memory", Kind::Full));
        assert!(!full.statement.contains("ZFS"), "{}", full.statement);
    }
}

#[test]
fn what_lies_in_tmpfs_is_used_and_said() {
    let machine = Machine { available_gib: 0.5, free_gib: 0.5, ..Machine::default() };
    let full = of(&with(&machine, |_| vec![("node_memory_Shmem_bytes".to_owned(), 12.0 * GIB)]));
    assert_eq!((full.resource.as_str(), full.kind), ("memory", Kind::Full));
    assert!(full.statement.contains("12 GiB in tmpfs"), "{}", full.statement);
}

#[test]
fn steal_that_runs_backwards_is_no_steal() {
    let steal = "node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"}";
    for step in [0.01, 200.0] {
        for machine in
            [Machine::default(), Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() }]
        {
            let mut all = snapshots(&machine);
            for (second, snapshot) in (0..).zip(&mut all) {
                for (key, v) in &mut snapshot.values {
                    if key.to_string() == steal {
                        *v = 9e8 - step * f64::from(second);
                    }
                }
            }
            let verdict = of(&all);
            let expected = if machine.busy[0] > 0.5 { "cpu" } else { "none" };
            assert_eq!(verdict.resource, expected, "{}", verdict.statement);
            assert_eq!(verdict.grade, Grade::Likely);
        }
    }
}

#[test]
fn a_core_whose_counters_jump_is_left_out_and_noted() {
    // Idle time of core 1 gains a day each second: the node would look idle.
    let mut all = snapshots(&Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() });
    for (second, snapshot) in (0..).zip(&mut all) {
        for (key, v) in &mut snapshot.values {
            if key.to_string() == "node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"}" {
                *v += 86_400.0 * f64::from(second);
            }
        }
    }
    let verdict = of(&all);
    assert_eq!(verdict.resource, "cpu", "{}", verdict.statement);
    assert!(verdict.statement.contains("CPU time of core 1"), "{}", verdict.statement);
}

/// A link beside the machine's own.
fn link(name: &str, sent: f64, drops: f64, speed: Option<f64>) -> Vec<Snapshot> {
    with(&Machine::default(), |second| {
        let loaded = (second - BASELINE_S).max(0) as f64;
        let of = |metric: &str| format!("node_network_{metric}{{device=\"{name}\"}}");
        let mut values = vec![
            (of("transmit_bytes_total"), sent * second as f64),
            (of("transmit_drop_total"), drops * loaded),
            (of("iface_id"), 7.0),
            (of("iface_link"), 7.0),
        ];
        values.extend(speed.map(|speed| (of("speed_bytes"), speed)));
        values
    })
}

#[test]
fn a_virtual_link_that_drops_by_design_is_not_named() {
    for name in [
        "tap0",
        "tun0",
        "vnet3",
        "ovs-system",
        "vxlan.calico",
        "genev_sys_6081",
        "wg0",
        "lxc1a2b",
        "cilium_host",
        "veth12",
        "br-int",
        "cni0",
        "tailscale0",
        "somebridge",
        "enp9s0",
    ] {
        // About no traffic, no speed.
        for sent in [0.0, 20_000.0] {
            silent(&of(&link(name, sent, 50.0, None)), name);
        }
    }
}

#[test]
fn a_link_that_carries_traffic_or_has_a_speed_is_named_by_its_drops() {
    for (name, sent, speed) in [
        ("eth1", 1e6, None),
        ("lom0", 1e6, None),
        ("lo1", 1e6, None),
        ("bond0", 1e3, Some(125e6)),
        ("eno1", 60.0, Some(125e6)),
    ] {
        let verdict = of(&link(name, sent, 50.0, speed));
        let named = (verdict.resource.as_str(), verdict.device.as_deref());
        assert_eq!(named, ("network", Some(name)), "{}", verdict.statement);
    }
    silent(&of(&link("lo", 1e6, 50.0, None)), "link lo");
}

#[test]
fn a_link_that_is_down_is_not_named() {
    silent(&of(&link("eno1", 0.0, 50.0, Some(125e6))), "eno1");
}
