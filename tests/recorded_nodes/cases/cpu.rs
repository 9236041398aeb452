//! C15, C16, C20: counters that run backwards, pressure that no core explains, pods
//! with limits, and cores that are away or busy by design.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, GIB, Host},
};

const IDLE: &[&str] = &["none"];
const SATURATED: &[&str] = &["cpu saturated"];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = backwards();
    all.extend(unexplained());
    all.extend(pods());
    all.extend(pods_memory());
    all.extend(cores());
    all
}

fn loaded(host: Host) -> Host {
    host.busy(0.99).psi(0.9).gauge("node_procs_running", &[], 11.0)
}

/// A counter that loses a tick in every other scrape.
fn wobbling(t: f64) -> f64 {
    5e4 + 0.001 * t - 0.02 * ((t / 15.0).floor() % 2.0)
}

fn backwards() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let all_cores = (0..4).fold(new("10.5.0.1:9100", "steal-back"), |host, core| {
        host.raw_mode(core, "steal", |t| 9e8 - 200.0 * t)
    });
    let iowait =
        |host: Host| (0..4).fold(host, |host, core| host.raw_mode(core, "iowait", wobbling));
    vec![
        Case::new("C15", "steal-back", all_cores, IDLE)
            .or_possibly(&["none"])
            .never(&["cpu-steal", "cpu"]),
        Case::new(
            "C15",
            "steal-back-one",
            new("10.5.0.2:9100", "steal-back-one").raw_mode(1, "steal", |t| 9e8 - 200.0 * t),
            IDLE,
        )
        .never(&["cpu-steal", "cpu"]),
        // It jumps by nearly 2^64 ticks once.
        Case::new(
            "C15",
            "steal-jump",
            new("10.5.0.3:9100", "steal-jump")
                .raw_mode(0, "steal", |t| if t < 600.0 { 12.0 } else { 1.844_674e17 }),
            IDLE,
        )
        .never(&["cpu-steal", "cpu"]),
        Case::new("C15", "iowait-back", iowait(new("10.5.0.4:9100", "iowait-back")), IDLE)
            .never(&["cpu", "cpu-steal"]),
        // The same on a node whose cores are all busy: it must not hide them.
        Case::new(
            "C15",
            "iowait-back-loaded",
            iowait(loaded(new("10.5.0.5:9100", "iowait-loaded"))),
            SATURATED,
        )
        .never(&["none"]),
        Case::new(
            "C15",
            "idle-back",
            new("10.5.0.6:9100", "idle-back").raw_mode(2, "idle", |t| {
                1e5 + 0.97 * t - if (600.0..615.0).contains(&t) { 14.6 } else { 0.0 }
            }),
            IDLE,
        )
        .never(&["cpu"]),
        Case::new(
            "C15",
            "user-back-loaded",
            loaded(new("10.5.0.7:9100", "user-back")).raw_mode(3, "user", |t| {
                1e5 + 0.792 * t - if (450.0..465.0).contains(&t) { 12.0 } else { 0.0 }
            }),
            SATURATED,
        )
        .never(&["none"]),
        // Pressure that a kernel counts past one second a second.
        Case::new(
            "C15",
            "psi-over-one",
            loaded(new("10.5.0.8:9100", "psi-over-one")).psi(1.04),
            SATURATED,
        )
        .never(&["none"]),
    ]
}

fn unexplained() -> Vec<Case> {
    let wide = |instance: &str, name: &str| Host::new(instance, name).cores(16).busy(0.2);
    vec![
        Case::new(
            "C16",
            "throttled-pod",
            wide("10.5.1.1:9100", "throttled-pod").core_busy(0, 0.97).psi(0.58),
            &["cpu-quota", "cpu-core"],
        )
        .never(&["cpu-affinity", "cpu saturated", "cpu full"])
        .only_possible(),
        Case::new(
            "C16",
            "throttled-flat",
            wide("10.5.1.2:9100", "throttled-flat").psi(0.6),
            &["cpu-quota"],
        )
        .or_possibly(&["none"])
        .never(&["cpu-affinity", "cpu", "cpu-core"])
        .only_possible(),
        // A thread at 92 % and a throttled pod: no core is even full.
        Case::new(
            "C16",
            "throttled-near",
            wide("10.5.1.3:9100", "throttled-near").core_busy(5, 0.91).psi(0.7),
            &["cpu-quota", "cpu-core"],
        )
        .or_possibly(&["none"])
        .never(&["cpu-affinity saturated"])
        .only_possible(),
        // Short bursts wait on their own: a tenth of the time means nothing.
        Case::new("C16", "psi-low", wide("10.5.1.4:9100", "psi-low").psi(0.1), IDLE).never(&[
            "cpu-affinity",
            "cpu-quota",
            "cpu",
        ]),
    ]
}

/// cAdvisor's series of a container, as the kubelet of a node serves them.
fn cadvisor(node: &str, address: &str) -> Host {
    Host::exporter(address, "kubelet")
        .label("node", node)
        .label("metrics_path", "/metrics/cadvisor")
}

const CART: [(&str, &str); 3] = [("namespace", "shop"), ("pod", "cart-0"), ("container", "app")];

fn throttled(host: Host, share: f64) -> Host {
    host.counter("container_cpu_cfs_periods_total", &CART, 10.0)
        .counter("container_cpu_cfs_throttled_periods_total", &CART, 10.0 * share)
        .counter("container_cpu_cfs_throttled_seconds_total", &CART, share)
}

fn quota(host: Host, cores: f64, used: f64) -> Host {
    host.gauge("container_spec_cpu_quota", &CART, cores * 1e5)
        .gauge("container_spec_cpu_period", &CART, 1e5)
        .counter("container_cpu_usage_seconds_total", &CART, used)
}

fn pods() -> Vec<Case> {
    let node = |instance: &str, name: &str, psi: f64| {
        Host::new(instance, name).cores(16).busy(0.2).psi(psi)
    };
    let named = || Fact::any(&["cart-0"]).and(&["shop"]);
    let by_state = Host::exporter("10.5.9.1:8080", "kube-state-metrics").gauge(
        "kube_pod_container_resource_limits",
        &[
            ("namespace", "shop"),
            ("pod", "cart-0"),
            ("container", "app"),
            ("node", "kube-d"),
            ("resource", "cpu"),
            ("unit", "core"),
        ],
        2.0,
    );
    let other = throttled(quota(cadvisor("kube-far", "10.5.2.99:10250"), 1.0, 0.98), 0.9);
    vec![
        Case::new("C16", "kube", node("10.5.2.1:9100", "kube", 0.58), &["cpu-quota"])
            .with(throttled(cadvisor("kube", "10.5.2.1:10250"), 0.9))
            .never(&["cpu-affinity", "none"])
            .must_say(named()),
        Case::new("C16", "kube-quota", node("10.5.2.2:9100", "kube-b", 0.5), &["cpu-quota"])
            .with(throttled(quota(cadvisor("kube-b", "10.5.2.2:10250"), 2.0, 1.97), 0.8))
            .never(&["cpu-affinity", "none"])
            .must_say(named()),
        // A tenth of the periods at half of the quota.
        Case::new("C16", "kube-half", node("10.5.2.3:9100", "kube-c", 0.05), IDLE)
            .with(throttled(quota(cadvisor("kube-c", "10.5.2.3:10250"), 2.0, 0.9), 0.08))
            .never(&["cpu-quota", "cpu-affinity"]),
        Case::new("C16", "kube-state", node("10.5.2.4:9100", "kube-d", 0.5), &["cpu-quota"])
            .with(throttled(cadvisor("kube-d", "10.5.2.4:10250"), 0.7).counter(
                "container_cpu_usage_seconds_total",
                &CART,
                1.96,
            ))
            .with(by_state)
            .never(&["cpu-affinity", "none"])
            .must_say(named()),
        // The throttled pod runs on a node of another name.
        Case::new("C16", "kube-elsewhere", node("10.5.2.5:9100", "kube-e", 0.02), IDLE)
            .with(other)
            .never(&["cpu-quota", "cpu-affinity"]),
        // The node itself is full; that a pod is throttled as well is no root.
        Case::new(
            "C16",
            "kube-full-node",
            loaded(Host::new("10.5.2.6:9100", "kube-f").cores(8)),
            &["cpu saturated", "cpu-quota saturated"],
        )
        .with(throttled(cadvisor("kube-f", "10.5.2.6:10250"), 0.5))
        .never(&["none", "cpu-affinity"]),
    ]
}

fn pods_memory() -> Vec<Case> {
    let node = |instance: &str, name: &str| {
        Host::new(instance, name).cores(8).busy(0.15).memory(64.0, 40.0)
    };
    let limited = |name: &str, address: &str, working: Course| {
        cadvisor(name, address)
            .gauge("container_spec_memory_limit_bytes", &CART, 2.0 * GIB)
            .gauge(
                "container_memory_working_set_bytes",
                &CART,
                Course::Scaled(Box::new(working), GIB),
            )
            .gauge("container_memory_usage_bytes", &CART, 1.99 * GIB)
    };
    let hit = limited("mem-a", "10.5.3.1:10250", Course::Ramp((0.0, 1.2), (500.0, 1.99)))
        .counter("container_memory_failcnt", &CART, Course::step(0.0, 500.0, 80.0))
        .counter("container_oom_events_total", &CART, Course::step(0.0, 500.0, 0.03));
    vec![
        Case::new(
            "C16",
            "kube-memory",
            node("10.5.3.1:9100", "mem-a")
                .pressure("memory_waiting", Course::step(0.0, 500.0, 0.3))
                .counter("node_vmstat_oom_kill", &[], Course::step(0.0, 500.0, 0.03)),
            &["memory-limit"],
        )
        .with(hit)
        .never(&["memory saturated", "none"])
        .must_say(Fact::any(&["cart-0"]).and(&["shop"])),
        // Page cache fills every limit; what works in it is half.
        Case::new("C16", "kube-memory-cache", node("10.5.3.2:9100", "mem-b"), IDLE)
            .with(limited("mem-b", "10.5.3.2:10250", Course::Fixed(1.0)))
            .never(&["memory-limit", "memory"]),
    ]
}

fn cores() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let polling = |instance: &str, name: &str| {
        (0..4).fold(new(instance, name).cores(16).busy(0.05), |host, core| {
            host.core_busy(core, 0.999)
        })
    };
    let isolated = (0..4).fold(polling("10.5.4.2:9100", "dpdk-isolated"), |host, core| {
        host.gauge("node_cpu_isolated", &[("cpu", &core.to_string())], 1.0)
    });
    let smt = (0..16).fold(
        new("10.5.4.3:9100", "smt").cores(16).busy(0.02).psi(Course::step(0.0, 300.0, 0.04)),
        |host, cpu: usize| {
            let (number, core) = (cpu.to_string(), (cpu % 8).to_string());
            let host = host.gauge(
                "node_cpu_info",
                &[("cpu", &number), ("core", &core), ("package", "0")],
                1.0,
            );
            if cpu < 8 { host.core_busy(cpu, Course::step(0.02, 300.0, 0.97)) } else { host }
        },
    );
    let throttles = |host: Host, rate: f64| {
        ["0", "1", "4", "9"].iter().fold(host, |host, core| {
            let host = host.counter(
                "node_cpu_core_throttles_total",
                &[("core", core), ("package", "0")],
                0.0,
            );
            if *core == "9" {
                host.counter(
                    "node_cpu_core_throttles_total",
                    &[("core", core), ("package", "0")],
                    rate,
                )
            } else {
                host
            }
        })
    };
    vec![
        // Cores that spin for packets, before the load and after.
        Case::new("C20", "dpdk", polling("10.5.4.1:9100", "dpdk"), IDLE)
            .or_possibly(&["cpu-core"])
            .never(&["cpu-affinity", "cpu"]),
        Case::new("C20", "dpdk-isolated", isolated, IDLE)
            .or_possibly(&["cpu-core"])
            .never(&["cpu-affinity", "cpu"])
            .should_say(Fact::any(&["isolat", "poll"])),
        // One thread on each of eight cores, and their siblings idle: 50 % are not left.
        Case::new("C20", "smt", smt, &["cpu", "cpu-core", "none"]).only_possible().should_say(
            Fact::any(&["sibling", "smt", "hyper-thread", "hyperthread", "hardware thread"]),
        ),
        // Half of the cores were taken offline; their counters stay as they were.
        Case::new(
            "C20",
            "offline",
            loaded(new("10.5.4.4:9100", "offline").cores(8)).offline(4..8, f64::MIN, true),
            SATURATED,
        )
        .never(&["none", "cpu-affinity"]),
        Case::new(
            "C20",
            "unplugged-cores",
            new("10.5.4.5:9100", "unplugged-cores").cores(8).busy(0.4).offline(4..8, 600.0, false),
            IDLE,
        )
        .never(&["cpu", "cpu-affinity", "cpu-core"]),
        Case::new(
            "C20",
            "cores-from-eight",
            loaded(new("10.5.4.6:9100", "from-eight").cores(4).first_core(8)),
            SATURATED,
        )
        .never(&["none"]),
        Case::new(
            "C20",
            "thermal-gaps",
            throttles(new("10.5.4.7:9100", "thermal-gaps").cores(8).busy(0.8).psi(0.05), 2.5),
            &["cpu-thermal"],
        )
        .never(&["none"]),
        // It was hot once, long ago.
        Case::new(
            "C20",
            "thermal-past",
            throttles(new("10.5.4.8:9100", "thermal-past").cores(8).busy(0.7), 0.0),
            IDLE,
        )
        .never(&["cpu-thermal"]),
    ]
}
