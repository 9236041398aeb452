//! What a figure means: what is full by construction, set aside on purpose, counted
//! backwards or so all the time is no limit, and what resembles it is.

use super::{
    check,
    machine::{BASELINE_S, Counters, GIB, LOAD_S, Machine, SECOND, run_of, snapshots},
    under_load,
};
use crate::{
    analyze::{
        analyze,
        outcome::{Analysis, Grade, Kind, Verdict},
    },
    model::{
        run::{Run, SourceKind},
        series::{Key, Snapshot},
        time::Timestamp,
    },
};

/// The verdict on these samples.
fn of(all: &[Snapshot]) -> Verdict {
    under_load(&analyze(&run_of(all))).clone()
}

/// The same as a past window: nothing is known of what was before, and nobody loaded it.
fn looked_back_at(all: &[Snapshot]) -> Verdict {
    let mut run: Run = run_of(all);
    run.manifest.phases.remove(0);
    run.manifest.phases[0].loads.clear();
    run.nodes[0].record.loaded = false;
    run.nodes[0].record.source = SourceKind::Prometheus;
    let analysis: Analysis = analyze(&run);
    under_load(&analysis).clone()
}

/// Adds gauges and counters to each second of a machine's samples.
fn with(machine: &Machine, more: impl Fn(i64) -> Vec<(String, f64)>) -> Vec<Snapshot> {
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
        assert_ne!(verdict.next.unwrap().resource, "filesystem");
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
        ("eno1", 0.0, Some(125e6)),
    ] {
        let verdict = of(&link(name, sent, 50.0, speed));
        let named = (verdict.resource.as_str(), verdict.device.as_deref());
        assert_eq!(named, ("network", Some(name)), "{}", verdict.statement);
    }
    silent(&of(&link("lo", 1e6, 50.0, None)), "link lo");
}

#[test]
fn a_link_without_a_carrier_is_not_named() {
    let mut all = link("eno1", 0.0, 50.0, Some(125e6));
    for snapshot in &mut all {
        snapshot.values.push((Key::new("node_network_carrier", &[("device", "eno1")]), 0.0));
    }
    silent(&of(&all), "eno1");
}

/// Each second by its own machine.
fn by_second(machine: impl Fn(i64) -> Machine) -> Vec<Snapshot> {
    let mut counters = Counters::default();
    (0..=BASELINE_S + LOAD_S)
        .map(|second| {
            let now = machine(second);
            counters.second(&now);
            counters.snapshot(Timestamp(second * SECOND), &now)
        })
        .collect()
}

#[test]
fn a_core_that_polls_is_a_note_and_hides_no_other() {
    let polls = of(&by_second(|_| Machine { busy: [1.0, 0.05], ..Machine::default() }));
    assert_eq!(polls.kind, Kind::None, "{}", polls.statement);
    assert!(polls.statement.contains("Core 0 was busy all the time"), "{}", polls.statement);
    // A quota shows through: tasks wait while the other core is idle.
    let throttled = of(&by_second(|second| Machine {
        busy: [1.0, 0.4],
        psi_cpu: if second > BASELINE_S { 0.8 } else { 0.0 },
        ..Machine::default()
    }));
    assert_eq!(throttled.resource, "cpu-quota", "{}", throttled.statement);
    // A core that became busy is a finding.
    check(&Machine { busy: [1.0, 0.05], ..Machine::default() }, "cpu-core", Kind::Full);
    // All cores are the CPU's limit, whenever that began.
    let all = of(&by_second(|_| Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() }));
    assert_eq!(all.resource, "cpu", "{}", all.statement);
}

#[test]
fn in_a_past_window_a_core_that_is_always_busy_is_possible_at_most() {
    let always =
        looked_back_at(&by_second(|_| Machine { busy: [1.0, 0.05], ..Machine::default() }));
    assert_eq!((always.resource.as_str(), always.grade), ("cpu-core", Grade::Possible));
    assert!(always.statement.contains("polls"), "{}", always.statement);
    // All cores together poll for nothing.
    let cpu = Machine { busy: [1.0; 2], psi_cpu: 0.9, ..Machine::default() };
    let cpu = looked_back_at(&by_second(|_| cpu.clone()));
    assert_eq!((cpu.resource.as_str(), cpu.grade), ("cpu", Grade::Likely));
}

#[test]
fn a_disk_that_was_as_busy_before_is_a_note() {
    let checked = |mib: f64, busy: f64| {
        of(&by_second(|second| {
            let is_loaded = second > BASELINE_S;
            Machine {
                disk_busy: if is_loaded { 1.0 } else { busy },
                disk_queue: if is_loaded { 9.0 } else { 9.0 * busy },
                disk_mib: if is_loaded { mib } else { 100.0 * busy },
                ..Machine::default()
            }
        }))
    };
    let same = checked(100.0, 1.0);
    assert_eq!((same.kind, same.grade), (Kind::None, Grade::Possible), "{}", same.statement);
    assert!(same.statement.contains("disk sda"), "{}", same.statement);
    // More work than before, or none before: the load's.
    assert_eq!(checked(200.0, 1.0).resource, "disk");
    assert_eq!(checked(100.0, 0.1).resource, "disk");
}

/// Counters of these cores only, from the second on at which a core goes.
fn losing_a_core(at: i64) -> Vec<Snapshot> {
    let mut all = snapshots(&Machine { busy: [0.5; 2], ..Machine::default() });
    let mut last: Vec<(Key, f64)> = Vec::new();
    for (second, snapshot) in (0..).zip(&mut all) {
        let is_second_core = |key: &Key| key.labels.get("cpu").is_some_and(|cpu| cpu == "1");
        if second < at {
            last = snapshot.values.iter().filter(|(key, _)| is_second_core(key)).cloned().collect();
        } else {
            // node_exporter goes on to export what it last knew.
            snapshot.values.retain(|(key, _)| !is_second_core(key));
            snapshot.values.extend(last.iter().cloned());
        }
    }
    all
}

#[test]
fn a_core_that_is_offline_is_no_core() {
    let verdict = of(&losing_a_core(1));
    assert_eq!(verdict.kind, Kind::None, "{}", verdict.statement);
    let run = run_of(&losing_a_core(1));
    let signals = &run.nodes[0].signals;
    let window = run.steady(&run.manifest.phases[1]);
    let median = |name: &str| signals.get(name, None).unwrap().median(window).unwrap();
    assert!((median("cpu_cores") - 1.0).abs() < 1e-9);
    assert!((median("cpu_busy") - 0.5).abs() < 1e-9);
    assert!((median("cpu_core_max") - 0.5).abs() < 1e-9);
}

#[test]
fn a_core_that_goes_within_the_window_is_noted() {
    let verdict = of(&losing_a_core(BASELINE_S + 10));
    assert!(verdict.statement.contains("from 2 to 1"), "{}", verdict.statement);
    assert!(!of(&losing_a_core(1)).statement.contains("number of cores"));
}

#[test]
fn threads_that_share_cores_leave_less_room_than_percent_say() {
    let machine = Machine { busy: [0.75; 2], ..Machine::default() };
    let with_threads = |cores: [&'static str; 2]| {
        of(&with(&machine, |_| {
            let key = |(cpu, core): (usize, &&str)| {
                format!("node_cpu_info{{cpu=\"{cpu}\",core=\"{core}\",package=\"0\"}}")
            };
            cores.iter().enumerate().map(|one| (key(one), 1.0)).collect()
        }))
    };
    let shared = with_threads(["0", "0"]).statement;
    assert!(shared.contains("about 9 to 13 % more work"), "{shared}");
    assert!(!with_threads(["0", "1"]).statement.contains("more work"));
}

#[test]
fn open_connections_to_one_destination_use_up_its_ports() {
    let judged = |used: f64| {
        of(&with(&Machine::default(), |second| {
            let used = if second > BASELINE_S { used } else { 0.3 };
            let of = |name: &str| {
                format!("stressor_destination_ports{name}{{destination=\"10.0.0.5:5432\"}}")
            };
            vec![(of("_used"), used * 28_232.0), (of(""), 28_232.0)]
        }))
    };
    let full = judged(0.98);
    assert_eq!((full.resource.as_str(), full.kind), ("ports", Kind::Full));
    assert!(full.statement.contains("(10.0.0.5:5432)"), "{}", full.statement);
    assert_eq!(judged(0.5).kind, Kind::None);
}

#[test]
fn a_disk_with_two_paths_is_one_disk() {
    let all = with(&Machine::default(), |second| {
        let loaded = (second - BASELINE_S).max(0) as f64;
        ["nvme0n1", "nvme0c0n1"]
            .iter()
            .flat_map(|device| {
                let of = |name: &str| format!("node_disk_{name}{{device=\"{device}\"}}");
                vec![
                    (of("io_time_seconds_total"), loaded),
                    (of("io_time_weighted_seconds_total"), 12.0 * loaded),
                ]
            })
            .collect()
    });
    let verdict = of(&all);
    assert_eq!(verdict.device.as_deref(), Some("nvme0n1"), "{}", verdict.statement);
    let paths: Vec<_> =
        verdict.consequences.iter().filter_map(|one| one.device.as_deref()).collect();
    assert_eq!(paths, ["nvme0c0n1"]);
    assert!(!verdict.statement.contains("nvme0c0n1"), "{}", verdict.statement);
}
