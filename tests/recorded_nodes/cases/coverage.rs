//! A1, A3, A6, A7, A8: when there were samples, and of what they are.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];
const SATURATED: &[&str] = &["cpu saturated"];
const GONE: &[&str] = &[
    "vanish",
    "gone",
    "disappear",
    "until",
    "last seen",
    "last sample",
    "no samples",
    "missing",
    "stopped",
    "ended",
];
const BEGAN: &[&str] = &[
    "began",
    "begins",
    "first sample",
    "first seen",
    "appeared",
    "only from",
    "since",
    "missing",
    "no samples",
    "started",
    "until",
];
const LOST: &[&str] = &[
    "missing",
    "lost",
    "no samples",
    "not seen",
    "unseen",
    "gap",
    "absent",
    "without",
    "not scraped",
    "failed",
    "could not be scraped",
];

fn loaded(host: Host) -> Host {
    host.busy(0.99).psi(0.9).gauge("node_procs_running", &[], 11.0)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = vanished();
    all.extend(several_jobs());
    all.extend(without_up());
    all.extend(survivors());
    all.extend(aggregated());
    all.extend(other_systems());
    all
}

fn vanished() -> Vec<Case> {
    let until =
        |instance: &str, name: &str, end: f64| Host::new(instance, name).alive(&[(f64::MIN, end)]);
    vec![
        // The target stays, and its scrapes fail.
        Case::new("A1", "died", loaded(until("10.2.0.1:9100", "died", 600.0)), SATURATED)
            .never(&["none"])
            .must_say(Fact::any(GONE).near(600.0)),
        // The target goes with the machine.
        Case::new(
            "A1",
            "scaled-in",
            loaded(until("10.2.0.2:9100", "scaled-in", 600.0)).target_goes_too(),
            SATURATED,
        )
        .never(&["none"])
        .must_say(Fact::any(GONE).near(600.0)),
        Case::new(
            "A1",
            "scaled-in-idle",
            until("10.2.0.3:9100", "scaled-in-idle", 900.0).target_goes_too(),
            IDLE,
        )
        .must_say(Fact::any(GONE).near(900.0)),
        // Of a window of eighteen minutes the first three are there.
        Case::new(
            "A1",
            "died-early",
            loaded(until("10.2.0.4:9100", "died-early", 300.0)),
            SATURATED,
        )
        .never(&["none"])
        .only_possible()
        .must_say(Fact::any(GONE).near(300.0)),
        Case::new(
            "A1",
            "began-late",
            Host::new("10.2.0.5:9100", "began-late").alive(&[(720.0, f64::MAX)]).target_goes_too(),
            IDLE,
        )
        .must_say(Fact::any(BEGAN).near(720.0)),
        Case::new(
            "A1",
            "scaled-out",
            loaded(Host::new("10.2.0.6:9100", "scaled-out").base(12.0))
                .booted(690.0)
                .alive(&[(720.0, f64::MAX)])
                .target_goes_too(),
            SATURATED,
        )
        .never(&["none"])
        .must_say(Fact::any(BEGAN).near(720.0)),
        // A spot machine that lived for seven minutes in the middle.
        Case::new(
            "A1",
            "short-lived",
            loaded(Host::new("10.2.0.7:9100", "short-lived"))
                .alive(&[(300.0, 720.0)])
                .target_goes_too(),
            SATURATED,
        )
        .never(&["none"])
        .must_say(Fact::any(GONE).near(720.0)),
        // The end is in the gap: the node is still among the candidates.
        Case::new(
            "A1",
            "end-in-gap",
            loaded(Host::new("10.2.0.8:9100", "end-in-gap"))
                .alive(&[(f64::MIN, 480.0), (900.0, f64::MAX)]),
            SATURATED,
        )
        .window(60.0, 640.0)
        .never(&["none"])
        .must_say(Fact::any(GONE).near(480.0))
        .kind("alone"),
        // The window reaches three hours past the last sample.
        Case::new(
            "A1",
            "end-past-data",
            loaded(Host::new("10.2.0.9:9100", "end-past-data")),
            SATURATED,
        )
        .window(300.0, 2400.0)
        .never(&["none"])
        .must_say(Fact::any(GONE).near(1200.0))
        .kind("alone"),
        Case::new("A1", "unknown-node", Host::new("10.2.0.10:9100", "known"), IDLE)
            .must_say(Fact::any(&["ghost"]))
            .or_rightly_refused(&["ghost"])
            .nodes(&["known", "ghost-.*"]),
    ]
}

fn several_jobs() -> Vec<Case> {
    let gap = |host: Host| host.alive(&[(f64::MIN, 300.0), (720.0, f64::MAX)]);
    let slow = |instance: &str| Host::exporter(instance, "blackbox").every(120.0);
    vec![
        // The database's exporter answered all the time, node_exporter did not.
        Case::new("A3", "db1", gap(Host::new("db1", "db1").busy(0.4)), IDLE)
            .with(Host::exporter("db1", "mysqld"))
            .only_possible()
            .must_say(Fact::any(LOST).percent(36.0, 42.0)),
        Case::new("A3", "db2", gap(loaded(Host::new("db2", "db2").job("linux"))), SATURATED)
            .with(Host::exporter("db2", "postgres"))
            .with(Host::exporter("db2", "pgbouncer").every(30.0))
            .only_possible()
            .must_say(Fact::any(LOST)),
        // A job with a scrape every two minutes must not set the rate window: the load
        // begins at the window, and eight minutes of rates would still be idle.
        Case::new(
            "A3",
            "slow-neighbour",
            Host::new("db3", "db3")
                .busy(Course::step(0.02, 720.0, 0.99))
                .psi(Course::step(0.0, 720.0, 0.9)),
            SATURATED,
        )
        .with(slow("db3"))
        .window(780.0, 1200.0)
        .never(&["none"]),
        Case::new(
            "A3",
            "slow-neighbour-idle",
            Host::new("db4", "db4")
                .busy(Course::step(0.99, 600.0, 0.03))
                .psi(Course::step(0.9, 600.0, 0.0)),
            IDLE,
        )
        .with(slow("db4"))
        .window(780.0, 1200.0)
        .never(&["cpu"]),
        Case::new("A3", "other-job-down", Host::new("db5", "db5").busy(0.3), IDLE)
            .with(Host::exporter("db5", "mysqld").alive(&[(f64::MIN, 400.0)]))
            .unsaid(&["vanished"]),
    ]
}

fn without_up() -> Vec<Case> {
    vec![
        Case::new("A6", "no-up", loaded(Host::new("10.2.2.1:9100", "no-up")).no_up(), SATURATED)
            .never(&["none"]),
        Case::new(
            "A6",
            "no-up-idle",
            Host::new("10.2.2.2:9100", "no-up-idle").no_up().offset(4.2),
            IDLE,
        ),
        Case::new(
            "A6",
            "no-up-gap",
            Host::new("10.2.2.3:9100", "no-up-gap")
                .no_up()
                .alive(&[(f64::MIN, 400.0), (820.0, f64::MAX)]),
            IDLE,
        )
        .only_possible()
        .must_say(Fact::any(LOST).percent(36.0, 42.0)),
        Case::new(
            "A6",
            "no-up-vanished",
            loaded(Host::new("10.2.2.4:9100", "no-up-vanished"))
                .no_up()
                .alive(&[(f64::MIN, 600.0)]),
            SATURATED,
        )
        .never(&["none"])
        .must_say(Fact::any(GONE).near(600.0)),
        // The only `up` is that of the server that was federated.
        Case::new(
            "A6",
            "federated",
            Host::new("10.2.2.5:9100", "federated").no_up().busy(0.2),
            IDLE,
        )
        .with(Host::exporter("prom-a:9090", "federate")),
        Case::new(
            "A6",
            "no-uname",
            loaded(Host::new("10.2.2.6:9100", "").without("node_uname_info")),
            SATURATED,
        )
        .never(&["none"])
        .or_refused(&["10.2.2.6"])
        .kind("odd"),
    ]
}

/// Only the samples of a healthy moment were taken.
fn survivors() -> Vec<Case> {
    let strained = |instance: &str, name: &str| Host::new(instance, name).busy(0.6).psi(0.3);
    vec![
        Case::new(
            "A7",
            "overloaded",
            strained("10.2.3.1:9100", "overloaded").alive(&[(f64::MIN, 600.0), (1050.0, f64::MAX)]),
            IDLE,
        )
        .only_possible()
        .or_possibly(&["cpu"])
        .must_say(Fact::any(LOST).percent(39.0, 44.0))
        .should_say(Fact::any(&["09:1"]))
        .strict(5),
        // Two scrapes of three time out all along.
        Case::new(
            "A7",
            "timing-out",
            strained("10.2.3.2:9100", "timing-out").lost(|i| i % 3 != 0),
            IDLE,
        )
        .only_possible()
        .or_possibly(&["cpu"])
        .must_say(Fact::any(LOST).percent(60.0, 70.0))
        .strict(5),
        // What was seen of an overloaded node just before and after.
        Case::new(
            "A7",
            "overloaded-memory",
            Host::new("10.2.3.3:9100", "thrashing")
                .memory(16.0, 1.5)
                .busy(0.5)
                .alive(&[(f64::MIN, 480.0), (900.0, f64::MAX)]),
            IDLE,
        )
        .only_possible()
        .or_possibly(&["memory"])
        .must_say(Fact::any(LOST).percent(36.0, 42.0))
        .strict(5),
        // One scrape in eighty is lost everywhere, and means nothing.
        Case::new("A7", "one-lost", Host::new("10.2.3.4:9100", "one-lost").lost(|i| i == 37), IDLE)
            .strict(0),
        Case::new(
            "A7",
            "two-lost-loaded",
            loaded(Host::new("10.2.3.5:9100", "two-lost")).lost(|i| i == 30 || i == 61),
            SATURATED,
        )
        .strict(0),
    ]
}

/// Labels that someone summed away, or history at another distance.
fn aggregated() -> Vec<Case> {
    let summed_disk = Host::new("10.2.4.2:9100", "summed-disk")
        .without_all("node_disk_")
        .counter("node_disk_io_time_seconds_total", &[], 1.6)
        .counter("node_disk_io_time_weighted_seconds_total", &[], 2.8)
        .counter("node_disk_reads_completed_total", &[], 300.0)
        .counter("node_disk_writes_completed_total", &[], 300.0)
        .counter("node_disk_read_time_seconds_total", &[], 1.4)
        .counter("node_disk_write_time_seconds_total", &[], 1.4);
    let summed_net = Host::new("10.2.4.3:9100", "summed-net")
        .without_all("node_network_")
        .counter("node_network_transmit_drop_total", &[], 40.0)
        .counter("node_network_transmit_bytes_total", &[], 1.2e8);
    vec![
        Case::new(
            "A8",
            "summed-cores",
            loaded(Host::new("10.2.4.1:9100", "summed-cores")).without_cpu_label(),
            SATURATED,
        )
        .never(&["none", "cpu-core", "cpu-affinity"])
        .only_possible()
        .should_say(Fact::any(&["cpu", "core"]).and(&["label", "aggregat", "summed"])),
        // 1.6 of how many disks?
        Case::new("A8", "summed-disk", summed_disk, IDLE).never(&["disk"]).only_possible(),
        Case::new("A8", "summed-net", summed_net, IDLE).never(&["network"]).only_possible(),
        Case::new(
            "A8",
            "summed-cores-one",
            Host::new("10.2.4.4:9100", "summed-one")
                .cores(16)
                .core_busy(3, 0.99)
                .without_cpu_label(),
            IDLE,
        )
        .never(&["cpu-core", "cpu"])
        .only_possible(),
        // One sample in five minutes, as a downsampled store keeps it.
        Case::new(
            "A8",
            "downsampled",
            loaded(Host::new("10.2.4.5:9100", "downsampled")).every(300.0),
            SATURATED,
        )
        .only_possible()
        .never(&["none"])
        .kind("alone"),
        Case::new(
            "A8",
            "every-minute",
            loaded(Host::new("10.2.4.6:9100", "every-minute")).every(60.0).offset(17.0),
            SATURATED,
        )
        .kind("60s"),
        Case::new(
            "A8",
            "every-minute-idle",
            Host::new("10.2.4.7:9100", "minute-idle").every(60.0).busy(0.45).offset(41.0),
            IDLE,
        )
        .kind("60s"),
        Case::new(
            "A8",
            "every-five",
            loaded(Host::new("10.2.4.8:9100", "every-five")).every(5.0).noise(0.03),
            SATURATED,
        )
        .window(33.0, 1187.0)
        .kind("5s"),
        Case::new(
            "A8",
            "every-five-idle",
            Host::new("10.2.4.9:9100", "five-idle").every(5.0).busy(0.4).noise(0.05),
            IDLE,
        )
        .window(33.0, 1187.0)
        .kind("5s"),
    ]
}

fn other_systems() -> Vec<Case> {
    let bsd = |instance: &str, name: &str, busy: f64| {
        Host::new(instance, name)
            .uname("FreeBSD")
            .busy(busy)
            .without_all("node_pressure_")
            .without_all("node_vmstat_")
            .without_all("node_disk_")
            .without_all("node_memory_")
            .gauge("node_memory_size_bytes", &[], 16e9)
            .gauge("node_memory_free_bytes", &[], 2e8)
            .gauge("node_memory_inactive_bytes", &[], 9e9)
            .without("node_procs_running")
            .without("node_procs_blocked")
    };
    let mac = Host::new("10.2.5.3:9100", "mini")
        .uname("Darwin")
        .without_all("node_pressure_")
        .without_all("node_vmstat_")
        .without_all("node_memory_")
        .gauge("node_memory_total_bytes", &[], 16e9)
        .gauge("node_memory_free_bytes", &[], 3e8)
        .gauge("node_memory_wired_bytes", &[], 4e9)
        .without("node_procs_running");
    let old = loaded(Host::new("10.2.5.4:9100", "old-names"))
        .without_cpu()
        .without_all("node_memory_")
        .without_all("node_filesystem_")
        .without_all("node_disk_")
        .without_all("node_pressure_")
        .gauge("node_memory_MemTotal", &[], 16e9)
        .gauge("node_memory_MemAvailable", &[], 12e9)
        .counter("node_cpu", &[("cpu", "cpu0"), ("mode", "user")], 0.99)
        .counter("node_cpu", &[("cpu", "cpu0"), ("mode", "idle")], 0.01);
    let no_psi = Host::new("10.2.5.5:9100", "centos7").without_all("node_pressure_");
    vec![
        Case::new("A8", "freebsd", bsd("10.2.5.1:9100", "bsd-a", 0.1), &["unknown"])
            .or_possibly(&["none"])
            .never(&["memory", "disk"]),
        Case::new("A8", "freebsd-busy", bsd("10.2.5.2:9100", "bsd-b", 0.99), &["cpu", "unknown"])
            .never(&["memory", "none"])
            .only_possible(),
        Case::new("A8", "darwin", mac, &["unknown"]).or_possibly(&["none"]).never(&["memory"]),
        Case::new("A8", "old-names", old, &["unknown"])
            .or_possibly(&["none"])
            .or_refused(&["node_"])
            .kind("odd"),
        // Kernels before 4.20 have no pressure: what waits is seen in the run queue.
        Case::new(
            "A8",
            "no-psi",
            no_psi.clone().busy(0.99).gauge("node_procs_running", &[], 14.0),
            SATURATED,
        )
        .never(&["none"]),
        Case::new(
            "A8",
            "no-psi-idle",
            Host::new("10.2.5.6:9100", "centos7b").without_all("node_pressure_").busy(0.4),
            IDLE,
        )
        .never(&["cpu"]),
    ]
}
