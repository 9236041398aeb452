//! What a machine is like: each method changes one thing of it.

use super::{Course, GIB, Host, Series, T0, label_text};

impl Host {
    pub(super) fn plain(self) -> Self {
        let pressures =
            ["cpu_waiting", "memory_waiting", "memory_stalled", "io_waiting", "io_stalled"];
        let mut host = pressures.iter().fold(self, |host, what| {
            host.counter(&format!("node_pressure_{what}_seconds_total"), &[], 0.0)
        });
        for name in ["pswpin", "pswpout", "pgmajfault", "oom_kill"] {
            host = host.counter(&format!("node_vmstat_{name}"), &[], 0.0);
        }
        for (name, value) in [
            ("node_boot_time_seconds", T0 - 900_000.0),
            ("node_procs_running", 1.0),
            ("node_procs_blocked", 0.0),
            ("node_load1", 0.2),
            ("node_filefd_allocated", 2000.0),
            ("node_filefd_maximum", 1e6),
            ("node_sockstat_TCP_tw", 5.0),
        ] {
            host = host.gauge(name, &[], value);
        }
        for (name, rate) in [
            ("Tcp_OutSegs", 100.0),
            ("Tcp_RetransSegs", 0.1),
            ("TcpExt_ListenOverflows", 0.0),
            ("Udp_RcvbufErrors", 0.0),
        ] {
            host = host.counter(&format!("node_netstat_{name}"), &[], rate);
        }
        host.counter("node_context_switches_total", &[], 900.0)
            .memory(16.0, 12.0)
            .swap(0.0, 0.0)
            .disk("sda", 0.01, 0.01, 7.0)
            .filesystem("/dev/sda1", "ext4", "/", 100.0, 70.0)
            .link("eth0", 2e4, Some(125e6))
    }

    // The machine.

    pub(crate) fn gauge(
        self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl Into<Course>,
    ) -> Self {
        self.set(name, labels, Series::Gauge(value.into()))
    }

    pub(crate) fn counter(
        self,
        name: &str,
        labels: &[(&str, &str)],
        rate: impl Into<Course>,
    ) -> Self {
        self.set(name, labels, Series::Counter(rate.into()))
    }

    /// Neither this series nor any of its name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.series.retain(|(known, _), _| known != name);
        self.set(name, &[], Series::Gone)
    }

    /// Not any series whose name begins so.
    pub(crate) fn without_all(mut self, prefix: &str) -> Self {
        self.series.retain(|(known, _), _| !known.starts_with(prefix));
        self
    }

    fn set(mut self, name: &str, labels: &[(&str, &str)], series: Series) -> Self {
        self.series.insert((name.to_owned(), label_text(labels)), series);
        self
    }

    pub(crate) fn uname(mut self, sysname: &str) -> Self {
        self.series.retain(|(name, _), _| name != "node_uname_info");
        let nodename = self.nodename.clone();
        let labels = [
            ("domainname", "(none)"),
            ("machine", "x86_64"),
            ("nodename", nodename.as_str()),
            ("release", "6.8.0-45-generic"),
            ("sysname", sysname),
            ("version", "#1 SMP"),
        ];
        self.gauge("node_uname_info", &labels, 1.0)
    }

    pub(crate) fn booted(self, seconds: f64) -> Self {
        self.gauge("node_boot_time_seconds", &[], T0 + seconds)
    }

    pub(crate) fn cores(mut self, cores: usize) -> Self {
        self.cores = cores;
        self
    }

    /// Cores are numbered from here on.
    pub(crate) fn first_core(mut self, number: usize) -> Self {
        self.first_core = number;
        self
    }

    /// All cores: four fifths of this in user mode, the rest in the kernel.
    pub(crate) fn busy(mut self, share: impl Into<Course>) -> Self {
        let share = share.into();
        self.modes.insert("user", Course::Scaled(Box::new(share.clone()), 0.8));
        self.modes.insert("system", Course::Scaled(Box::new(share), 0.2));
        self
    }

    /// The same, of one core.
    pub(crate) fn core_busy(self, core: usize, share: impl Into<Course>) -> Self {
        let share = share.into();
        self.core_mode(core, "user", Course::Scaled(Box::new(share.clone()), 0.8)).core_mode(
            core,
            "system",
            Course::Scaled(Box::new(share), 0.2),
        )
    }

    pub(crate) fn mode(mut self, mode: &'static str, share: impl Into<Course>) -> Self {
        self.modes.insert(mode, share.into());
        self
    }

    pub(crate) fn core_mode(
        mut self,
        core: usize,
        mode: &'static str,
        share: impl Into<Course>,
    ) -> Self {
        self.core_modes.insert((core, mode), share.into());
        self
    }

    /// The values of one counter of one core.
    pub(crate) fn raw_mode(
        mut self,
        core: usize,
        mode: &'static str,
        values: fn(f64) -> f64,
    ) -> Self {
        self.raw_modes.insert((core, mode), Course::Of(values));
        self
    }

    /// These cores are offline from a second on. Their counters stay as they were,
    /// or their series end.
    pub(crate) fn offline(
        mut self,
        cores: std::ops::Range<usize>,
        since: f64,
        stays: bool,
    ) -> Self {
        self.offline.extend(cores.map(|core| (core, since, stays)));
        self
    }

    /// CPU time of all cores together, without the label `cpu`.
    pub(crate) fn without_cpu_label(mut self) -> Self {
        self.cpu_label = false;
        self
    }

    pub(crate) fn without_cpu(mut self) -> Self {
        self.cpu_series = false;
        self
    }

    /// Pressure: `cpu_waiting`, `memory_waiting`, `io_stalled` and so on.
    pub(crate) fn pressure(self, what: &str, share: impl Into<Course>) -> Self {
        self.counter(&format!("node_pressure_{what}_seconds_total"), &[], share)
    }

    /// Share of time in which some task waits for a core.
    pub(crate) fn psi(self, share: impl Into<Course>) -> Self {
        self.pressure("cpu_waiting", share)
    }

    /// Memory in GiB: in all, and what is available.
    pub(crate) fn memory(self, total: impl Into<Course>, available: impl Into<Course>) -> Self {
        let bytes = |course: Course| Course::Scaled(Box::new(course), GIB);
        self.gauge("node_memory_MemTotal_bytes", &[], bytes(total.into())).gauge(
            "node_memory_MemAvailable_bytes",
            &[],
            bytes(available.into()),
        )
    }

    /// Swap in GiB: in all, and what is free.
    pub(crate) fn swap(self, total: f64, free: f64) -> Self {
        self.gauge("node_memory_SwapTotal_bytes", &[], total * GIB).gauge(
            "node_memory_SwapFree_bytes",
            &[],
            free * GIB,
        )
    }

    /// A disk: share of time with requests in flight, how many of them, and how
    /// many complete a second. What one takes follows by Little's law.
    pub(crate) fn disk(
        self,
        device: &str,
        busy: impl Into<Course>,
        queue: impl Into<Course>,
        operations: impl Into<Course>,
    ) -> Self {
        let (queue, operations) = (queue.into(), operations.into());
        let part = |course: &Course, factor: f64| Course::Scaled(Box::new(course.clone()), factor);
        let d = [("device", device)];
        self.counter("node_disk_io_time_seconds_total", &d, busy)
            .counter("node_disk_reads_completed_total", &d, part(&operations, 0.3))
            .counter("node_disk_writes_completed_total", &d, part(&operations, 0.7))
            .counter("node_disk_read_bytes_total", &d, part(&operations, 4800.0))
            .counter("node_disk_written_bytes_total", &d, part(&operations, 11200.0))
            .counter("node_disk_read_time_seconds_total", &d, part(&queue, 0.3))
            .counter("node_disk_write_time_seconds_total", &d, part(&queue, 0.7))
            .counter("node_disk_io_time_weighted_seconds_total", &d, queue)
    }

    /// A file system in GiB: in all, and what users can still take.
    pub(crate) fn filesystem(
        self,
        device: &str,
        fstype: &str,
        mountpoint: &str,
        size: f64,
        available: impl Into<Course>,
    ) -> Self {
        let labels = [("device", device), ("fstype", fstype), ("mountpoint", mountpoint)];
        let available = Course::Scaled(Box::new(available.into()), GIB);
        self.gauge("node_filesystem_size_bytes", &labels, size * GIB)
            .gauge("node_filesystem_avail_bytes", &labels, available)
            .gauge("node_filesystem_readonly", &labels, 0.0)
            .inodes(device, fstype, mountpoint, 1e6, 9e5)
    }

    pub(crate) fn read_only(self, device: &str, fstype: &str, mountpoint: &str) -> Self {
        let labels = [("device", device), ("fstype", fstype), ("mountpoint", mountpoint)];
        self.gauge("node_filesystem_readonly", &labels, 1.0)
    }

    pub(crate) fn inodes(
        self,
        device: &str,
        fstype: &str,
        mountpoint: &str,
        all: f64,
        free: impl Into<Course>,
    ) -> Self {
        let labels = [("device", device), ("fstype", fstype), ("mountpoint", mountpoint)];
        self.gauge("node_filesystem_files", &labels, all).gauge(
            "node_filesystem_files_free",
            &labels,
            free,
        )
    }

    /// A link with so many bytes a second in either direction, and its speed.
    pub(crate) fn link(self, device: &str, bytes: impl Into<Course>, speed: Option<f64>) -> Self {
        let (bytes, d) = (bytes.into(), [("device", device)]);
        let mut host = self
            .counter("node_network_receive_bytes_total", &d, bytes.clone())
            .counter("node_network_transmit_bytes_total", &d, bytes)
            .gauge("node_network_up", &d, 1.0)
            .gauge("node_network_iface_id", &d, 2.0)
            .gauge("node_network_iface_link", &d, 2.0);
        for name in ["receive_drop", "receive_errs", "transmit_errs", "transmit_drop"] {
            host = host.counter(&format!("node_network_{name}_total"), &d, 0.0);
        }
        match speed {
            Some(speed) => host.gauge("node_network_speed_bytes", &d, speed),
            None => host,
        }
    }

    /// Packets a second that a link drops before they are sent.
    pub(crate) fn drops(self, device: &str, rate: impl Into<Course>) -> Self {
        self.counter("node_network_transmit_drop_total", &[("device", device)], rate)
    }
}
