//! A1, A2, A4, A5: which machine the series belong to.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];
const FULL: &[&str] = &["cpu full"];
const SATURATED: &[&str] = &["cpu saturated"];
const REBOOT: &[&str] = &["reboot", "boot", "restarted"];
const OTHER: &[&str] =
    &["another machine", "other machine", "different machine", "changed", "replaced", "name"];

fn loaded(host: Host) -> Host {
    host.busy(0.99).psi(0.9).gauge("node_procs_running", &[], 11.0)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = replicas();
    all.extend(tenants());
    all.extend(names());
    all.extend(successors());
    all
}

/// Copies of one machine's series.
fn replicas() -> Vec<Case> {
    // One busy task a core waits 15 % of the time; two copies make 30 %.
    let one = |replica: &str| {
        Host::new("10.1.0.2:9100", "ha").label("prometheus_replica", replica).busy(0.99).psi(0.15)
    };
    let late = |replica: &str, offset: f64| {
        Host::new("10.1.0.3:9100", "ha-late")
            .label("replica", replica)
            .offset(offset)
            .busy(0.99)
            .psi(0.14)
    };
    let thanos = |replica: &str| {
        Host::new("10.1.0.4:9100", "ha-three")
            .label("prometheus", "monitoring/k8s")
            .label("prometheus_replica", replica)
            .disk("sda", 0.4, 0.7, 90.0)
            .psi(0.1)
            .busy(0.3)
    };
    // A DaemonSet whose pod is killed every two minutes: its series overlap.
    let pod = |number: usize| {
        let names = [
            "exp-a", "exp-b", "exp-c", "exp-d", "exp-e", "exp-f", "exp-g", "exp-h", "exp-i",
            "exp-j",
        ];
        let from = number as f64 * 120.0;
        Host::new("10.1.0.5:9100", "crashloop")
            .label("pod", names.get(number).copied().unwrap_or("exp"))
            .label("namespace", "monitoring")
            .busy(0.98)
            .psi(0.15)
            .target_goes_too()
            .alive(&[(from, from + 125.0)])
    };
    let relabeled = |job: &str, from: f64, to: f64| {
        loaded(Host::new("10.1.0.6:9100", "relabeled"))
            .job(job)
            .target_goes_too()
            .alive(&[(from, to)])
    };
    let twice = |job: &str| Host::new("10.1.0.7:9100", "two-jobs").job(job).busy(0.55).psi(0.16);
    let mut crashloop = Case::new("A2", "crashloop", pod(0), FULL)
        .never(&["cpu saturated"])
        // What is left of the overlaps is a reason for doubt.
        .or_possibly(&["none", "cpu near"]);
    for number in 1..10 {
        crashloop = crashloop.with(pod(number));
    }
    vec![
        Case::new("A2", "ha", one("a"), FULL).with(one("b")).never(&["cpu saturated"]),
        Case::new("A2", "ha-late", late("0", 0.0), FULL)
            .with(late("1", 6.3).alive(&[(f64::MIN, 420.0), (700.0, f64::MAX)]))
            .never(&["cpu saturated"]),
        Case::new("A2", "ha-three", thanos("k8s-0"), IDLE)
            .with(thanos("k8s-1"))
            .with(thanos("k8s-2"))
            .never(&["disk", "cpu", "cpu-affinity"]),
        crashloop,
        // One machine, whose job was renamed: its whole window is there.
        Case::new("A2", "relabeled", relabeled("node", f64::MIN, 600.0), SATURATED)
            .with(relabeled("node-exporter", 600.0, f64::MAX))
            .never(&["none"]),
        Case::new("A2", "two-jobs", twice("node"), IDLE)
            .with(twice("node-fast"))
            .never(&["cpu", "cpu-affinity"])
            .or_refused(&["several jobs", "job"]),
    ]
}

/// Different machines under one address.
fn tenants() -> Vec<Case> {
    let eu = || Host::new("10.1.1.1:9100", "gw-eu").label("cluster", "eu").busy(0.1);
    let us = || loaded(Host::new("10.1.1.1:9100", "gw-us").label("cluster", "us"));
    let same = |cluster: &str, boot: f64| {
        Host::new("10.1.1.2:9100", "node-1").label("cluster", cluster).booted(boot)
    };
    let tenant = |id: &str, boot: f64| {
        Host::new("10.1.1.3:9100", if id == "a" { "shop-a" } else { "shop-b" })
            .label("tenant_id", id)
            .busy(0.5)
            .psi(0.17)
            .disk("sda", 0.45, 0.9, 100.0)
            .booted(boot)
    };
    let chosen = |cluster: &str| {
        let host = Host::new("10.1.1.4:9100", if cluster == "eu" { "pick-eu" } else { "pick-us" });
        host.label("cluster", cluster)
    };
    vec![
        Case::new("A2", "two-clusters", eu(), IDLE)
            .never(&["cpu"])
            .beside(us(), SATURATED)
            .never(&["none"]),
        // Even the host name is the same; only the boot time and the load are not.
        Case::new("A2", "two-clusters-one-name", same("ams", -5e5).busy(0.2), IDLE)
            .marks(&["ams"])
            .never(&["cpu"])
            .beside(loaded(same("fra", -9e5)), SATURATED)
            .marks(&["fra"])
            .never(&["none"]),
        Case::new("A2", "two-tenants", tenant("a", -4e5), IDLE)
            .never(&["disk", "cpu", "cpu-affinity"])
            .beside(tenant("b", -7e5), IDLE)
            .never(&["disk", "cpu", "cpu-affinity"]),
        Case::new("A2", "match-cluster", chosen("eu").busy(0.2), IDLE)
            .with(loaded(chosen("us")))
            .never(&["cpu"])
            .args(&["--match", "cluster=\"eu\""]),
        Case::new(
            "A2",
            "match-busy-cluster",
            loaded(Host::new("10.1.1.5:9100", "hot-us").label("cluster", "us")),
            SATURATED,
        )
        .with(Host::new("10.1.1.5:9100", "hot-eu").label("cluster", "eu"))
        .never(&["none"])
        .args(&["--match", "cluster=\"us\""]),
    ]
}

/// Host names that are the same, or no file names.
fn names() -> Vec<Case> {
    let ubuntu = |instance: &str| Host::new(instance, "ubuntu");
    let web = |instance: &str, boot: f64| Host::new(instance, "web").booted(boot);
    vec![
        Case::new("A5", "same-name", ubuntu("10.1.0.11:9100"), IDLE)
            .marks(&["10.1.0.11:9100"])
            .never(&["cpu"])
            .beside(loaded(ubuntu("10.1.0.12:9100")), SATURATED)
            .marks(&["10.1.0.12:9100"])
            .never(&["none"]),
        // Asked for by the name that three machines have.
        Case::new("A5", "same-name-asked", web("10.1.2.1:9100", -3e5), IDLE)
            .marks(&["10.1.2.1:9100"])
            .beside(loaded(web("10.1.2.2:9100", -4e5)), SATURATED)
            .marks(&["10.1.2.2:9100"])
            .beside(web("10.1.2.3:9100", -5e5).busy(0.4), IDLE)
            .marks(&["10.1.2.3:9100"])
            .nodes(&["web"]),
        Case::new("A5", "url-name", Host::new("https://10.1.0.24/metrics", "").busy(0.1), IDLE),
        Case::new("A5", "slash-name", Host::new("10.1.0.25:9100", "rack1/a").busy(0.1), IDLE),
        Case::new("A5", "parent-name", Host::new("10.1.0.26:9100", "../../x").busy(0.1), IDLE),
        Case::new("A5", "ipv6", loaded(Host::new("[fd00::5]:9100", "six")), SATURATED),
        Case::new(
            "A5",
            "quoted-name",
            Host::new("10.1.0.28:9100", "ein host (alt)").busy(0.1),
            IDLE,
        ),
    ]
}

/// Another machine, or the same one booted again, in the window.
fn successors() -> Vec<Case> {
    let reboot = |instance: &str, name: &str, boot: f64| Host::new(instance, name).booted(boot);
    let jitter = Host::new("10.1.3.4:9100", "boot-jitter")
        .gauge(
            "node_boot_time_seconds",
            &[],
            Course::Of(|t| 1_763_000_000.0 + (t / 15.0).floor() % 3.0),
        )
        .busy(0.2);
    vec![
        Case::new(
            "A4",
            "replaced",
            reboot("10.1.3.1:9100", "old-1", -9e5)
                .alive(&[(f64::MIN, 580.0)])
                .watched(f64::MIN, 600.0),
            &["none", "cpu saturated"],
        )
        .with(
            loaded(reboot("10.1.3.1:9100", "new-1", 500.0).base(90.0))
                .alive(&[(600.0, f64::MAX)])
                .watched(600.0, f64::MAX),
        )
        .also_called("new-1")
        .must_say(Fact::any(OTHER).near(600.0)),
        Case::new(
            "A4",
            "rebooted-under-load",
            reboot("10.1.3.2:9100", "crashed", -9e5)
                .memory(16.0, 0.4)
                .pressure("memory_waiting", 0.4)
                .pressure("memory_stalled", 0.2)
                .alive(&[(f64::MIN, 660.0)])
                .watched(f64::MIN, 735.0),
            &["memory saturated"],
        )
        .with(
            reboot("10.1.3.2:9100", "crashed", 700.0)
                .base(0.0)
                .alive(&[(735.0, f64::MAX)])
                .watched(735.0, f64::MAX),
        )
        .must_say(Fact::any(REBOOT).near(690.0)),
        Case::new(
            "A4",
            "rebooted-idle",
            reboot("10.1.3.3:9100", "patched", -9e5)
                .alive(&[(f64::MIN, 600.0)])
                .watched(f64::MIN, 675.0),
            IDLE,
        )
        .with(
            reboot("10.1.3.3:9100", "patched", 640.0)
                .base(0.0)
                .alive(&[(675.0, f64::MAX)])
                .watched(675.0, f64::MAX),
        )
        .or_possibly(&["none"])
        .must_say(Fact::any(REBOOT).near(630.0)),
        // No scrape failed: a fast virtual machine is back within one interval.
        Case::new(
            "A4",
            "rebooted-quickly",
            loaded(reboot("10.1.3.5:9100", "quick", -9e5).base(4e6))
                .alive(&[(f64::MIN, 600.0)])
                .watched(f64::MIN, 600.0),
            SATURATED,
        )
        .with(
            loaded(reboot("10.1.3.5:9100", "quick", 588.0).base(3.0))
                .alive(&[(600.0, f64::MAX)])
                .watched(600.0, f64::MAX),
        )
        .must_say(Fact::any(REBOOT).near(600.0)),
        // The boot time is computed from two clocks: a second more or less is none.
        Case::new("A4", "boot-jitter", jitter, IDLE).unsaid(&[
            "reboot",
            "another machine",
            "restarted",
        ]),
        // The name was completed by DHCP; the boot time and the counters go on.
        Case::new(
            "A4",
            "renamed",
            Host::new("10.1.3.6:9100", "app-7")
                .busy(0.3)
                .alive(&[(f64::MIN, 600.0)])
                .target_goes_too(),
            IDLE,
        )
        .with(
            Host::new("10.1.3.6:9100", "app-7.example.com")
                .busy(0.3)
                .alive(&[(600.0, f64::MAX)])
                .target_goes_too(),
        )
        .also_called("app-7.example.com")
        .never(&["cpu"]),
    ]
}
