//! Plain limits that node_exporter shows, and half of each beside it, over different
//! numbers of cores, intervals, phases and bases.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];
const SATURATED: &[&str] = &["cpu saturated"];
const NO_CPU: &[&str] = &["cpu", "cpu-core", "cpu-affinity", "cpu-quota"];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = processors();
    all.extend(cores());
    all.extend(tables());
    all
}

fn queued(host: Host, cores: usize) -> Host {
    host.cores(cores).busy(0.985).psi(0.85).gauge("node_procs_running", &[], 3.0 * cores as f64)
}

fn processors() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    vec![
        Case::new("+", "plain", new("10.11.0.1:9100", "plain"), IDLE).strict(0),
        Case::new("+", "cpu-one", queued(new("10.11.0.2:9100", "cpu-one"), 1), SATURATED)
            .never(&["none"]),
        Case::new(
            "+",
            "cpu-four",
            queued(new("10.11.0.3:9100", "cpu-four").noise(0.05).offset(6.6), 4),
            SATURATED,
        )
        .never(&["none"])
        .window(131.0, 1101.0),
        Case::new("+", "cpu-64", queued(new("10.11.0.4:9100", "cpu-64").base(3e8), 64), SATURATED)
            .never(&["none"]),
        Case::new(
            "+",
            "cpu-256",
            queued(new("10.11.0.5:9100", "cpu-256").every(60.0), 256),
            SATURATED,
        )
        .never(&["none"])
        .kind("60s"),
        Case::new(
            "+",
            "cpu-full",
            new("10.11.0.6:9100", "cpu-full").cores(8).busy(0.99).psi(0.12).gauge(
                "node_procs_running",
                &[],
                8.0,
            ),
            &["cpu full"],
        )
        .never(&["cpu saturated", "none"]),
        Case::new(
            "+",
            "cpu-near",
            new("10.11.0.7:9100", "cpu-near").cores(8).busy(0.88).psi(0.1),
            &["cpu near"],
        )
        .never(&["cpu saturated", "cpu full"]),
        Case::new(
            "+",
            "cpu-half-1",
            new("10.11.0.8:9100", "cpu-half-1").cores(1).busy(0.49).psi(0.08),
            IDLE,
        )
        .never(NO_CPU),
        Case::new(
            "+",
            "cpu-half-64",
            new("10.11.0.9:9100", "cpu-half-64").cores(64).busy(0.5).psi(0.06).noise(0.1).base(7e8),
            IDLE,
        )
        .never(NO_CPU),
        // The load begins in the window, and its time is named.
        Case::new(
            "+",
            "cpu-begins",
            new("10.11.0.10:9100", "cpu-begins")
                .cores(4)
                .busy(Course::step(0.05, 480.0, 0.99))
                .psi(Course::step(0.0, 480.0, 0.9)),
            SATURATED,
        )
        .never(&["none"])
        .should_say(Fact::any(&[]).near(480.0)),
        Case::new(
            "+",
            "cpu-old-base",
            queued(new("10.11.0.11:9100", "cpu-old-base").base(8.5e12), 2),
            SATURATED,
        )
        .never(&["none"]),
    ]
}

fn cores() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let begins = |to: f64| Course::step(0.03, 300.0, to);
    let irq = |share: f64| {
        new("10.11.1.5:9100", "softirq")
            .cores(8)
            .busy(0.1)
            .core_mode(2, "softirq", Course::step(0.0, 300.0, share))
            .counter(
                "node_softnet_times_squeezed_total",
                &[("cpu", "2")],
                Course::step(0.0, 300.0, 80.0),
            )
    };
    vec![
        Case::new(
            "+",
            "one-core",
            new("10.11.1.1:9100", "one-core")
                .cores(8)
                .core_busy(5, begins(0.995))
                .psi(begins(0.02)),
            &["cpu-core"],
        )
        .never(&["cpu", "none"]),
        Case::new(
            "+",
            "one-core-half",
            new("10.11.1.2:9100", "one-core-half").cores(8).core_busy(5, 0.5),
            IDLE,
        )
        .never(NO_CPU),
        // Four tasks on one core of four: either an affinity or a quota beside a thread.
        Case::new(
            "+",
            "affinity",
            new("10.11.1.3:9100", "affinity")
                .cores(4)
                .core_busy(1, begins(0.998))
                .psi(begins(0.98))
                .gauge("node_procs_running", &[], 5.0),
            &["cpu-affinity"],
        )
        .or_possibly(&["cpu-core", "cpu-quota"])
        .never(&["cpu", "none"]),
        Case::new(
            "+",
            "steal",
            new("10.11.1.4:9100", "steal")
                .cores(4)
                .busy(0.5)
                .mode("steal", begins(0.35))
                .psi(begins(0.6)),
            &["cpu-steal"],
        )
        .never(&["none", "cpu-affinity", "cpu-quota"]),
        Case::new("+", "softirq", irq(0.88), &["cpu-softirq"]).never(&["none", "cpu-affinity"]),
        Case::new(
            "+",
            "steal-half",
            new("10.11.1.6:9100", "steal-half").cores(4).busy(0.4).mode("steal", 0.04),
            IDLE,
        )
        .never(&["cpu-steal"]),
        Case::new(
            "+",
            "softirq-half",
            new("10.11.1.7:9100", "softirq-half").cores(8).busy(0.1).core_mode(2, "softirq", 0.3),
            IDLE,
        )
        .never(&["cpu-softirq"]),
        Case::new(
            "+",
            "thermal",
            new("10.11.1.8:9100", "thermal")
                .cores(8)
                .busy(0.85)
                .counter("node_cpu_core_throttles_total", &[("core", "0"), ("package", "0")], 3.0)
                .counter("node_cpu_core_throttles_total", &[("core", "1"), ("package", "0")], 2.0),
            &["cpu-thermal"],
        )
        .never(&["none"]),
    ]
}

/// Tables of the kernel that fill up, and refusals.
fn tables() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let begins = |to: f64| Course::step(0.0, 300.0, to);
    let grows = |from: f64, to: f64| Course::Ramp((200.0, from), (600.0, to));
    let conntrack = |instance: &str, name: &str, entries: Course, drops: Course| {
        new(instance, name)
            .gauge("node_nf_conntrack_entries", &[], entries)
            .gauge("node_nf_conntrack_entries_limit", &[], 262_144.0)
            .counter("node_nf_conntrack_stat_drop", &[], drops)
    };
    let threads = |instance: &str, name: &str, count: Course| {
        new(instance, name).gauge("node_processes_threads", &[], count).gauge(
            "node_processes_max_threads",
            &[],
            32_768.0,
        )
    };
    let unlimited = new("10.11.2.9:9100", "files-unlimited").gauge(
        "node_filefd_maximum",
        &[],
        9.223_372_036_854_776e18,
    );
    vec![
        Case::new(
            "+",
            "listen",
            new("10.11.2.1:9100", "listen")
                .counter("node_netstat_TcpExt_ListenOverflows", &[], begins(12.0))
                .counter("node_netstat_TcpExt_ListenDrops", &[], begins(12.0)),
            &["tcp-listen"],
        )
        .never(&["none"]),
        Case::new(
            "+",
            "listen-rare",
            new("10.11.2.2:9100", "listen-rare").counter(
                "node_netstat_TcpExt_ListenOverflows",
                &[],
                0.02,
            ),
            IDLE,
        )
        .never(&["tcp-listen saturated"]),
        Case::new(
            "+",
            "udp",
            new("10.11.2.3:9100", "udp").counter(
                "node_netstat_Udp_RcvbufErrors",
                &[],
                begins(90.0),
            ),
            &["udp-receive"],
        )
        .never(&["none"]),
        Case::new(
            "+",
            "udp-rare",
            new("10.11.2.4:9100", "udp-rare").counter("node_netstat_Udp_RcvbufErrors", &[], 0.1),
            IDLE,
        )
        .never(&["udp-receive"]),
        Case::new(
            "+",
            "conntrack",
            conntrack("10.11.2.5:9100", "conntrack", grows(1e5, 2.61e5), begins(30.0)),
            &["conntrack"],
        )
        .never(&["none"]),
        Case::new(
            "+",
            "conntrack-half",
            conntrack("10.11.2.6:9100", "conntrack-half", Course::Fixed(1.3e5), Course::Fixed(0.0)),
            IDLE,
        )
        .never(&["conntrack"]),
        Case::new(
            "+",
            "files",
            new("10.11.2.7:9100", "files").gauge("node_filefd_allocated", &[], grows(5e5, 9.7e5)),
            &["file-descriptors"],
        )
        .never(&["none"]),
        Case::new(
            "+",
            "files-half",
            new("10.11.2.8:9100", "files-half").gauge("node_filefd_allocated", &[], 5e5),
            IDLE,
        )
        .never(&["file-descriptors"]),
        Case::new("+", "files-unlimited", unlimited, IDLE).never(&["file-descriptors"]),
        Case::new(
            "+",
            "threads",
            threads("10.11.2.10:9100", "threads", grows(1e4, 3.24e4)),
            &["pids"],
        )
        .never(&["none"]),
        Case::new(
            "+",
            "threads-half",
            threads("10.11.2.11:9100", "threads-half", Course::Fixed(1.6e4)),
            IDLE,
        )
        .never(&["pids"]),
        // Connections to one address: node_exporter does not say to which.
        Case::new(
            "C20",
            "established",
            new("10.11.2.12:9100", "established")
                .gauge("node_tcp_connection_states", &[("state", "established")], 28_200.0)
                .gauge("node_sockstat_TCP_inuse", &[], 28_210.0),
            IDLE,
        )
        .or_possibly(&["ports"])
        .never(&["ports saturated", "ports full"]),
        // A refusal that a full CPU explains is a consequence.
        Case::new(
            "+",
            "listen-by-cpu",
            queued(new("10.11.2.13:9100", "listen-by-cpu"), 4).counter(
                "node_netstat_TcpExt_ListenOverflows",
                &[],
                8.0,
            ),
            SATURATED,
        )
        .never(&["none", "tcp-listen"]),
    ]
}
