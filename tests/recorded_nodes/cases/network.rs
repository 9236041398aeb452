//! C17: links that drop by design, links whose speed is not what they say, and links
//! that are full.

use crate::{case::Case, openmetrics::Host};

const IDLE: &[&str] = &["none"];
const NOT: &[&str] = &["network"];
const GBIT: f64 = 125e6;

/// A virtual link that drops and says nothing of its speed.
fn virtual_link(instance: &str, name: &str, links: &[&str]) -> Host {
    links
        .iter()
        .fold(Host::new(instance, name), |host, link| host.link(link, 0.0, None).drops(link, 40.0))
}

fn is_down(host: Host, device: &str) -> Host {
    let d = [("device", device)];
    host.gauge("node_network_up", &d, 0.0).gauge("node_network_carrier", &d, 0.0).gauge(
        "node_network_info",
        &[("device", device), ("operstate", "down"), ("adminstate", "up")],
        1.0,
    )
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = by_design();
    all.extend(speeds());
    all
}

fn by_design() -> Vec<Case> {
    let bond = is_down(
        Host::new("10.6.0.9:9100", "bond-spare").link("eth1", 0.0, Some(GBIT)).drops("eth1", 25.0),
        "eth1",
    );
    let down_unknown = is_down(
        Host::new("10.6.0.10:9100", "unplugged")
            .link("eth2", 0.0, Some(-125_000.0))
            .drops("eth2", 12.0),
        "eth2",
    );
    let busy_tap = Host::new("10.6.0.11:9100", "vm-host")
        .link("tap100i0", 3e6, None)
        .drops("tap100i0", 20.0)
        .link("vnet7", 2e6, None)
        .drops("vnet7", 15.0);
    vec![
        Case::new(
            "C17",
            "taps",
            virtual_link("10.6.0.1:9100", "taps", &["tap0", "tap101i0", "vnet3"]),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "ovs",
            virtual_link(
                "10.6.0.2:9100",
                "ovs",
                &["ovs-system", "br-int", "br-tun", "genev_sys_6081"],
            ),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "vxlan",
            virtual_link(
                "10.6.0.3:9100",
                "vxlan",
                &["vxlan.calico", "flannel.1", "vxlan_sys_4789"],
            ),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "wireguard",
            virtual_link("10.6.0.4:9100", "wireguard", &["wg0", "tun0", "tailscale0"]),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "cilium",
            virtual_link(
                "10.6.0.5:9100",
                "cilium",
                &["cilium_host", "cilium_vxlan", "lxc12af01", "nodelocaldns", "kube-ipvs0"],
            ),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "lxc",
            virtual_link(
                "10.6.0.6:9100",
                "lxc",
                &["lxcbr0", "lxdbr0", "fwbr100i0", "fwpr100p0", "vmbr1"],
            ),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "podman",
            virtual_link(
                "10.6.0.7:9100",
                "podman",
                &["podman0", "veth1a2b", "docker0", "azv3f1", "eni12ab"],
            ),
            IDLE,
        )
        .never(NOT),
        Case::new("C17", "bond-spare", bond, IDLE).never(NOT),
        Case::new("C17", "unplugged", down_unknown, IDLE).never(NOT),
        // Guests that do not take their packets: the host's link is idle.
        Case::new("C17", "tap-traffic", busy_tap, IDLE)
            .never(&["network saturated", "network full"])
            .or_possibly(&["network"]),
        // Multicast and unknown protocols are dropped on receipt everywhere.
        Case::new(
            "C17",
            "receive-drops",
            Host::new("10.6.0.12:9100", "lldp").counter(
                "node_network_receive_drop_total",
                &[("device", "eth0")],
                3.0,
            ),
            IDLE,
        )
        .never(NOT),
    ]
}

fn speeds() -> Vec<Case> {
    let full = |instance: &str, name: &str, device: &str| {
        Host::new(instance, name).link(device, 0.96 * GBIT, Some(GBIT)).cores(8).busy(0.2)
    };
    let queue = |host: Host, backlog: f64, drops: f64| {
        let d = [("device", "eth0"), ("kind", "fq_codel")];
        host.gauge("node_qdisc_backlog", &d, backlog).counter("node_qdisc_drops_total", &d, drops)
    };
    vec![
        // `lo` is one name, not a prefix.
        Case::new("C17", "lonic", full("10.6.1.1:9100", "lonic", "lonic0"), &["network"])
            .device("lonic0")
            .never(&["none"]),
        Case::new(
            "C17",
            "loopback",
            Host::new("10.6.1.2:9100", "loopback").link("lo", 3e9, None).drops("lo", 30.0),
            IDLE,
        )
        .never(NOT),
        // A tunnel says 10 Mbit/s, whatever it can do.
        Case::new(
            "C17",
            "tunnel-speed",
            Host::new("10.6.1.3:9100", "tunnel-speed").link("tun0", 2e7, Some(1.25e6)),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "tap-speed",
            Host::new("10.6.1.4:9100", "tap-speed").link("tap9", 1.2e6, Some(1.25e6)),
            IDLE,
        )
        .never(NOT),
        // -1 Mbit/s, and 2^32 - 1 of them.
        Case::new(
            "C17",
            "speed-unknown",
            Host::new("10.6.1.5:9100", "speed-unknown").link("eth0", 5e7, Some(-125_000.0)),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "C17",
            "speed-overflow",
            Host::new("10.6.1.6:9100", "speed-overflow").link(
                "eth0",
                5e7,
                Some(536_870_911_875_000.0),
            ),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "+",
            "link-full",
            full("10.6.1.7:9100", "link-full", "eth0").noise(0.02),
            &["network"],
        )
        .device("eth0")
        .never(&["none"]),
        Case::new(
            "+",
            "link-half",
            Host::new("10.6.1.8:9100", "link-half")
                .link("eth0", 0.48 * GBIT, Some(GBIT))
                .noise(0.1),
            IDLE,
        )
        .never(NOT),
        Case::new(
            "+",
            "link-25g",
            Host::new("10.6.1.9:9100", "link-25g")
                .cores(16)
                .link("ens5", 3.0e9, Some(3.125e9))
                .base(8e14),
            &["network"],
        )
        .device("ens5")
        .never(&["none"]),
        // A real link that drops what it is given, with traffic and a speed.
        Case::new(
            "+",
            "send-drops",
            Host::new("10.6.1.10:9100", "send-drops")
                .link("eth0", 0.8 * GBIT, Some(GBIT))
                .drops("eth0", 60.0),
            &["network"],
        )
        .device("eth0")
        .never(&["none"]),
        Case::new(
            "+",
            "queue-drops",
            queue(
                Host::new("10.6.1.11:9100", "queue-drops").link("eth0", 3e7, None),
                64_000.0,
                400.0,
            ),
            &["network"],
        )
        .device("eth0")
        .never(&["none"]),
        Case::new(
            "+",
            "path-lossy",
            queue(Host::new("10.6.1.12:9100", "path-lossy"), 0.0, 0.0)
                .counter("node_netstat_Tcp_OutSegs", &[], 4000.0)
                .counter("node_netstat_Tcp_RetransSegs", &[], 220.0),
            &["network-path"],
        )
        .never(&["none"]),
        Case::new(
            "+",
            "path-half",
            queue(Host::new("10.6.1.13:9100", "path-half"), 0.0, 0.0)
                .counter("node_netstat_Tcp_OutSegs", &[], 4000.0)
                .counter("node_netstat_Tcp_RetransSegs", &[], 40.0),
            IDLE,
        )
        .never(&["network-path"]),
    ]
}
