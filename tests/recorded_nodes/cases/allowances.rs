//! C19: what a cloud allows a machine.

use crate::{
    case::{Case, Fact},
    openmetrics::{Course, Host},
};

const IDLE: &[&str] = &["none"];
const NETWORK: &[&str] = &["network-allowance"];
const COUNTERS: [&str; 5] = ["bw_in", "bw_out", "pps", "conntrack", "linklocal"];

/// The ENA driver's counters, of which one grows.
fn ena(host: Host, grows: &str, rate: impl Into<Course>) -> Host {
    let d = [("device", "ens5")];
    let rate = rate.into();
    let host = COUNTERS.iter().fold(host.link("ens5", 2e8, None), |host, name| {
        host.counter(&format!("node_ethtool_{name}_allowance_exceeded"), &d, 0.0)
    });
    vendor(
        host.counter(&format!("node_ethtool_{grows}_allowance_exceeded"), &d, rate),
        "Amazon EC2",
    )
}

fn vendor(host: Host, vendor: &str) -> Host {
    let labels =
        [("bios_vendor", vendor), ("product_name", "m6i.large"), ("system_vendor", vendor)];
    host.gauge("node_dmi_info", &labels, 1.0)
}

pub(crate) fn cases() -> Vec<Case> {
    let new = |instance: &str, name: &str| Host::new(instance, name);
    let begins = |rate: f64| Course::step(0.0, 300.0, rate);
    let volume = |node: &str, address: &str, rate: f64| {
        let labels = [("instance_id", "i-0abc"), ("volume_id", "vol-0def")];
        Host::exporter(address, "ebs-csi-node")
            .label("node", node)
            .counter("aws_ebs_csi_exceeded_iops_seconds_total", &labels, rate)
            .counter("aws_ebs_csi_exceeded_tp_seconds_total", &labels, 0.0)
            .counter("aws_ebs_csi_ec2_exceeded_iops_seconds_total", &labels, 0.0)
            .counter("aws_ebs_csi_ec2_exceeded_tp_seconds_total", &labels, 0.0)
    };
    vec![
        Case::new(
            "C19",
            "ena-out",
            ena(new("10.8.0.1:9100", "ena-out"), "bw_out", begins(400.0)),
            NETWORK,
        )
        .never(&["none"]),
        Case::new(
            "C19",
            "ena-in",
            ena(new("10.8.0.2:9100", "ena-in"), "bw_in", begins(900.0)).noise(0.1),
            NETWORK,
        )
        .never(&["none"]),
        Case::new(
            "C19",
            "ena-packets",
            ena(new("10.8.0.3:9100", "ena-packets").cores(8), "pps", begins(60.0)),
            NETWORK,
        )
        .never(&["none"]),
        Case::new(
            "C19",
            "ena-conntrack",
            ena(new("10.8.0.4:9100", "ena-conntrack"), "conntrack", begins(30.0)),
            NETWORK,
        )
        .never(&["none"]),
        Case::new(
            "C19",
            "ena-linklocal",
            ena(new("10.8.0.5:9100", "ena-linklocal"), "linklocal", begins(25.0)),
            NETWORK,
        )
        .never(&["none"]),
        // They grew before, and do not now.
        Case::new("C19", "ena-past", ena(new("10.8.0.6:9100", "ena-past"), "bw_in", 0.0), IDLE)
            .never(NETWORK),
        Case::new(
            "C19",
            "ena-once",
            ena(new("10.8.0.7:9100", "ena-once"), "bw_in", Course::during(600.0, 616.0, 2.0, 0.0)),
            IDLE,
        )
        .never(&["network-allowance saturated"])
        .or_possibly(NETWORK),
        // A volume whose IOPS are used up: a limit of the disk, by its allowance.
        Case::new(
            "C19",
            "ebs",
            vendor(
                new("10.8.0.8:9100", "ebs")
                    .disk("nvme1n1", 0.99, 30.0, 3000.0)
                    .pressure("io_waiting", 0.8),
                "Amazon EC2",
            ),
            &["disk-allowance", "disk saturated"],
        )
        .with(volume("ebs", "10.8.0.8:3302", 0.9))
        .never(&["none"])
        .should_say(Fact::any(&["allowance", "exceeded", "provisioned"])),
        Case::new(
            "C19",
            "ebs-half",
            vendor(new("10.8.0.9:9100", "ebs-half").disk("nvme1n1", 0.3, 0.5, 900.0), "Amazon EC2"),
            IDLE,
        )
        .with(volume("ebs-half", "10.8.0.9:3302", 0.0))
        .never(&["disk-allowance", "disk"]),
        Case::new(
            "C19",
            "ec2-unmeasured",
            vendor(new("10.8.0.10:9100", "ec2-plain"), "Amazon EC2"),
            IDLE,
        )
        .unobserved(&["network-allowance", "disk-allowance"])
        .never(NETWORK),
        Case::new(
            "C19",
            "gcp-unmeasured",
            vendor(new("10.8.0.11:9100", "gcp-plain"), "Google"),
            IDLE,
        )
        .unobserved(&["network-allowance", "disk-allowance"])
        .never(NETWORK),
        Case::new(
            "C19",
            "azure-unmeasured",
            vendor(new("10.8.0.12:9100", "azure-plain"), "Microsoft Corporation"),
            IDLE,
        )
        .unobserved(&["network-allowance", "disk-allowance"])
        .never(NETWORK),
        // A burstable instance without credits.
        Case::new(
            "C19",
            "burstable",
            vendor(
                new("10.8.0.13:9100", "burstable").cores(2).busy(0.3).mode("steal", 0.6).psi(0.8),
                "Amazon EC2",
            ),
            &["cpu-steal"],
        )
        .never(&["none", "cpu-affinity", "cpu-quota"]),
    ]
}
