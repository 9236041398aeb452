//! The alerts, each with series that make it fire and series that do not.

use super::recorded;
use crate::{analyze::resources, scenario::setup::Setup};

/// When an alert fires.
#[derive(Debug, Clone, Copy)]
pub(in crate::stack) enum When {
    /// Each of these signals is at the limit that the resource's verdict has
    /// for it: resource and signals.
    AtLimit(&'static str, &'static [&'static str]),
    /// An expression of its own.
    Expr(&'static str),
    /// A scrape takes more than this share of its interval.
    ScrapeTakes(f64),
}

/// A series of a rule test.
#[derive(Debug, Clone, Copy)]
pub(in crate::stack) struct Input {
    /// Name and labels beside those of the node.
    pub(in crate::stack) series: (&'static str, &'static str),
    pub(in crate::stack) shape: Shape,
}

/// How its values go.
#[derive(Debug, Clone, Copy)]
pub(in crate::stack) enum Shape {
    /// A counter that rises by so much a second.
    Rate(f64),
    /// A gauge.
    Value(f64),
    /// A gauge, as a share of the scrape interval.
    OfInterval(f64),
}

/// An alert rule.
#[derive(Debug, Clone, Copy)]
pub(in crate::stack) struct Alert {
    pub(in crate::stack) name: &'static str,
    pub(in crate::stack) when: When,
    /// Scrapes for which it must hold.
    pub(in crate::stack) scrapes: u32,
    pub(in crate::stack) severity: &'static str,
    pub(in crate::stack) summary: &'static str,
    pub(in crate::stack) action: &'static str,
    /// The device label of its series, with a value for the test.
    pub(in crate::stack) device: Option<(&'static str, &'static str)>,
    pub(in crate::stack) fires: &'static [Input],
    pub(in crate::stack) quiet: &'static [Input],
}

impl Alert {
    /// The expression, with the verdict's thresholds.
    pub(in crate::stack) fn expr(&self, setup: &Setup) -> String {
        match self.when {
            When::Expr(expr) => expr.to_owned(),
            When::ScrapeTakes(share) => format!(
                "scrape_duration_seconds{{job=\"node\"}} >= {}",
                share * setup.scrape_interval.as_secs_f64()
            ),
            When::AtLimit(resource, signals) => {
                let parts: Vec<String> = signals
                    .iter()
                    .map(|signal| format!("{} >= {}", recorded(signal), limit(resource, signal)))
                    .collect();
                parts.join(" and ")
            }
        }
    }
}

/// The limit of a signal in a resource's verdict; infinite, so that nothing
/// fires, where there is none, which a test rules out.
fn limit(resource: &str, signal: &str) -> f64 {
    resources::resource(resource)
        .and_then(|resource| resource.criteria().find(|criterion| criterion.signal == signal))
        .map_or(f64::INFINITY, |criterion| criterion.limit)
}

const fn rate(name: &'static str, labels: &'static str, per_second: f64) -> Input {
    Input { series: (name, labels), shape: Shape::Rate(per_second) }
}

const fn value(name: &'static str, labels: &'static str, value: f64) -> Input {
    Input { series: (name, labels), shape: Shape::Value(value) }
}

const CPU: &str = "node_cpu_seconds_total";
const USER: &str = "cpu=\"0\",mode=\"user\"";
const IDLE: &str = "cpu=\"0\",mode=\"idle\"";
const STEAL: &str = "cpu=\"0\",mode=\"steal\"";
const CPU_PSI: &str = "node_pressure_cpu_waiting_seconds_total";
const MEMORY_PSI: &str = "node_pressure_memory_waiting_seconds_total";
const AVAILABLE: &str = "node_memory_MemAvailable_bytes";
const TOTAL: &str = "node_memory_MemTotal_bytes";
const IO_TIME: &str = "node_disk_io_time_seconds_total";
const IO_WEIGHTED: &str = "node_disk_io_time_weighted_seconds_total";
const VDA: &str = "device=\"vda\"";
const ETH0: &str = "device=\"eth0\"";
const ROOT: &str = "mountpoint=\"/\",fstype=\"ext4\",device=\"/dev/vda1\"";
const SENT: &str = "node_network_transmit_bytes_total";
const SPEED: &str = "node_network_speed_bytes";
const LINK: &str = "node_network_iface_link";
const LINK_ID: &str = "node_network_iface_id";

pub(in crate::stack) static ALERTS: &[Alert] = &[
    Alert {
        name: "NodeDown",
        when: When::Expr("up{job=\"node\"} == 0"),
        scrapes: 6,
        severity: "critical",
        summary: "{{ $labels.node }} is not scraped",
        action: "refused: node_exporter is not running; timed out: the security group, or the node is overloaded or gone",
        device: None,
        fires: &[value("up", "", 0.0)],
        quiet: &[value("up", "", 1.0)],
    },
    Alert {
        name: "NodeScrapeSlow",
        when: When::ScrapeTakes(0.5),
        scrapes: 6,
        severity: "warning",
        summary: "scrapes of {{ $labels.node }} take over half of their interval",
        action: "the node may be overloaded: see its CPU and disks; or leave collectors out",
        device: None,
        fires: &[Input { series: ("scrape_duration_seconds", ""), shape: Shape::OfInterval(0.9) }],
        quiet: &[Input { series: ("scrape_duration_seconds", ""), shape: Shape::OfInterval(0.1) }],
    },
    Alert {
        name: "NodeClockWrong",
        when: When::Expr("abs(node_timex_offset_seconds{job=\"node\"}) > 0.5"),
        scrapes: 12,
        severity: "warning",
        summary: "the clock of {{ $labels.node }} is wrong by more than half a second",
        action: "set up NTP: times of different nodes cannot be compared",
        device: None,
        fires: &[value("node_timex_offset_seconds", "", -2.0)],
        quiet: &[value("node_timex_offset_seconds", "", 0.01)],
    },
    Alert {
        name: "NodeCpuSaturated",
        when: When::AtLimit("cpu", &["cpu_busy", "cpu_psi_some"]),
        scrapes: 6,
        severity: "warning",
        summary: "all cores of {{ $labels.node }} are busy and tasks wait for them",
        action: "more cores, or less work",
        device: None,
        fires: &[rate(CPU, USER, 1.0), rate(CPU, IDLE, 0.0), rate(CPU_PSI, "", 0.9)],
        // One task a core: busy, and nothing waits.
        quiet: &[rate(CPU, USER, 1.0), rate(CPU, IDLE, 0.0), rate(CPU_PSI, "", 0.1)],
    },
    Alert {
        name: "NodeCpuStolen",
        when: When::AtLimit("cpu-steal", &["cpu_steal"]),
        scrapes: 6,
        severity: "warning",
        summary: "the hypervisor withholds CPU time from {{ $labels.node }}",
        action: "CPU credits of a burstable instance, or a crowded host: take another instance type",
        device: None,
        fires: &[rate(CPU, USER, 0.6), rate(CPU, STEAL, 0.4)],
        quiet: &[rate(CPU, USER, 0.98), rate(CPU, STEAL, 0.02)],
    },
    Alert {
        name: "NodeMemoryFull",
        when: When::AtLimit("memory", &["memory_used_ratio"]),
        scrapes: 6,
        severity: "warning",
        summary: "{{ $labels.node }} has next to no memory available",
        action: "more memory, or less in use: the kernel will kill processes next",
        device: None,
        fires: &[value(TOTAL, "", 1e9), value(AVAILABLE, "", 1e7)],
        quiet: &[value(TOTAL, "", 1e9), value(AVAILABLE, "", 4e8)],
    },
    Alert {
        name: "NodeMemoryPressure",
        when: When::AtLimit("memory", &["memory_psi_some"]),
        scrapes: 6,
        severity: "warning",
        summary: "tasks on {{ $labels.node }} wait for memory",
        action: "the working set is larger than memory, or than a cgroup's limit",
        device: None,
        fires: &[rate(MEMORY_PSI, "", 0.5)],
        quiet: &[rate(MEMORY_PSI, "", 0.01)],
    },
    Alert {
        name: "NodeOutOfMemory",
        when: When::AtLimit("memory", &["oom_kills"]),
        scrapes: 0,
        severity: "critical",
        summary: "the kernel of {{ $labels.node }} killed a process for memory",
        action: "the kernel's log names the process, and the cgroup if it was one's limit",
        device: None,
        fires: &[rate("node_vmstat_oom_kill", "", 0.2)],
        quiet: &[rate("node_vmstat_oom_kill", "", 0.0)],
    },
    Alert {
        name: "NodeDiskSaturated",
        when: When::AtLimit("disk", &["disk_busy", "disk_queue"]),
        scrapes: 6,
        severity: "warning",
        summary: "disk {{ $labels.device }} of {{ $labels.node }} is busy all the time, and requests queue",
        action: "a faster disk, more of its provisioned IOPS, or fewer requests",
        device: Some(("device", "vda")),
        fires: &[rate(IO_TIME, VDA, 1.0), rate(IO_WEIGHTED, VDA, 8.0)],
        // At depth one a fast disk is busy too.
        quiet: &[rate(IO_TIME, VDA, 1.0), rate(IO_WEIGHTED, VDA, 1.0)],
    },
    Alert {
        name: "NodeFilesystemFull",
        when: When::AtLimit("filesystem", &["filesystem_used_ratio"]),
        scrapes: 0,
        severity: "critical",
        summary: "{{ $labels.mountpoint }} of {{ $labels.node }} is full",
        action: "make room: writes will fail",
        device: Some(("mountpoint", "/")),
        fires: &[
            value("node_filesystem_size_bytes", ROOT, 1e10),
            value("node_filesystem_avail_bytes", ROOT, 1e8),
        ],
        quiet: &[
            value("node_filesystem_size_bytes", ROOT, 1e10),
            value("node_filesystem_avail_bytes", ROOT, 5e9),
        ],
    },
    Alert {
        name: "NodeInodesFull",
        when: When::AtLimit("inodes", &["inodes_used_ratio"]),
        scrapes: 0,
        severity: "critical",
        summary: "{{ $labels.mountpoint }} of {{ $labels.node }} has no inodes left",
        action: "remove files: none can be created",
        device: Some(("mountpoint", "/")),
        fires: &[
            value("node_filesystem_files", ROOT, 1e6),
            value("node_filesystem_files_free", ROOT, 1e3),
        ],
        quiet: &[
            value("node_filesystem_files", ROOT, 1e6),
            value("node_filesystem_files_free", ROOT, 5e5),
        ],
    },
    Alert {
        name: "NodeLinkFull",
        when: When::AtLimit("network", &["network_send_ratio"]),
        scrapes: 6,
        severity: "warning",
        summary: "{{ $labels.node }} sends as much over {{ $labels.device }} as the link carries",
        action: "a faster link, or less traffic",
        device: Some(("device", "eth0")),
        fires: &[
            rate(SENT, ETH0, 1.2e8),
            value(SPEED, ETH0, 1.25e8),
            value(LINK, ETH0, 2.0),
            value(LINK_ID, ETH0, 2.0),
        ],
        quiet: &[
            rate(SENT, ETH0, 5e7),
            value(SPEED, ETH0, 1.25e8),
            value(LINK, ETH0, 2.0),
            value(LINK_ID, ETH0, 2.0),
        ],
    },
    Alert {
        name: "NodeSendDrops",
        when: When::AtLimit("network", &["network_send_drops"]),
        scrapes: 2,
        severity: "warning",
        summary: "{{ $labels.node }} drops packets before it sends them over {{ $labels.device }}",
        action: "the queue before the link is full: a shaper, or more traffic than the link carries",
        device: Some(("device", "eth0")),
        fires: &[rate("node_network_transmit_drop_total", ETH0, 50.0)],
        quiet: &[rate("node_network_transmit_drop_total", ETH0, 0.0)],
    },
    Alert {
        name: "NodeListenOverflow",
        when: When::AtLimit("tcp-listen", &["tcp_listen_overflows"]),
        scrapes: 2,
        severity: "warning",
        summary: "a program on {{ $labels.node }} accepts connections too slowly: some are refused",
        action: "a longer queue (net.core.somaxconn and the program's own), or a program that accepts faster",
        device: None,
        fires: &[rate("node_netstat_TcpExt_ListenOverflows", "", 20.0)],
        quiet: &[rate("node_netstat_TcpExt_ListenOverflows", "", 0.0)],
    },
    Alert {
        name: "NodeConntrackFull",
        when: When::AtLimit("conntrack", &["conntrack_ratio"]),
        scrapes: 2,
        severity: "warning",
        summary: "the connection table of {{ $labels.node }} is full",
        action: "raise net.netfilter.nf_conntrack_max, or track fewer connections",
        device: None,
        fires: &[
            value("node_nf_conntrack_entries", "", 65_000.0),
            value("node_nf_conntrack_entries_limit", "", 65_536.0),
        ],
        quiet: &[
            value("node_nf_conntrack_entries", "", 30_000.0),
            value("node_nf_conntrack_entries_limit", "", 65_536.0),
        ],
    },
    Alert {
        name: "NodeDescriptorsFull",
        when: When::AtLimit("file-descriptors", &["file_descriptors_ratio"]),
        scrapes: 2,
        severity: "warning",
        summary: "{{ $labels.node }} has next to no file descriptors left",
        action: "raise fs.file-max, or find what leaks them",
        device: None,
        fires: &[
            value("node_filefd_allocated", "", 95_000.0),
            value("node_filefd_maximum", "", 100_000.0),
        ],
        quiet: &[
            value("node_filefd_allocated", "", 20_000.0),
            value("node_filefd_maximum", "", 100_000.0),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue;

    #[test]
    fn every_alert_rests_on_a_recorded_signal_with_a_limit() {
        for alert in ALERTS {
            if let When::AtLimit(resource, signals) = alert.when {
                for signal in signals {
                    assert!(limit(resource, signal).is_finite(), "{}: {signal}", alert.name);
                    let is_recorded =
                        super::super::recorded_signals().any(|row| row.name == *signal);
                    assert!(is_recorded, "{}: {signal}", alert.name);
                }
            }
        }
    }

    #[test]
    fn what_is_shown_is_there_in_prometheus() {
        for name in super::super::SHOWN {
            let row = catalogue::signal(name);
            assert!(row.is_some_and(|row| row.in_prometheus), "{name}");
        }
    }
}
