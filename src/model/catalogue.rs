//! The signal catalogue: every quantity that a verdict may rest on. Adding a
//! signal is adding a row.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    expr::{
        CPU_TIME,
        Expr::{
            self, Add, CoreTimeOff, Distinct, Div, Gauge, Max, MaxRate, Mul, OneMinus, Or,
            Positive, Rate, Scale, Unless, WhereAbove, WhereEqual,
        },
        Match::{In, NotIn, NotPrefix},
        Select, metric, select,
    },
    units::Unit,
};

/// What a signal says of its resource, after Gregg's USE method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A request was refused or lost.
    Error,
    /// Work waited.
    Saturation,
    /// Share of a ceiling in use, or a rate.
    Utilization,
}

impl Class {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Saturation => "saturation",
            Self::Utilization => "utilization",
        }
    }
}

/// One row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct SignalRow {
    /// Name in scenarios, reports and JSON.
    pub name: &'static str,
    /// The resource it describes.
    pub resource: &'static str,
    /// What it says of the resource.
    pub class: Class,
    /// Unit of the values.
    pub unit: Unit,
    /// How it is computed from node_exporter's names.
    pub expr: Expr,
    /// Whether node_exporter offers it with default flags; otherwise only the
    /// embedded sampler sees it.
    pub in_prometheus: bool,
    /// One line for people.
    pub what: &'static str,
}

const CPU: Select = metric(CPU_TIME);
const CPU_BUSY: Select =
    select("node_cpu_seconds_total", &[NotIn("mode", &["idle", "iowait", "steal"])]);
/// Links that have a speed of their own and no reason to drop packets by design. Of a
/// virtual link with another name its traffic decides (`network` in the analysis).
const LINKS: &[super::expr::Match] = &[
    // Not by prefix: `lo1` and `lom0` are names of real links.
    NotIn("device", &["lo"]),
    NotPrefix(
        "device",
        &[
            "lo@",
            "veth",
            "docker",
            "br-",
            "virbr",
            "cni",
            "flannel",
            "cali",
            "cilium",
            "lxc",
            "lxdbr",
            "ifb",
            "dummy",
            "sit",
            "ip6tnl",
            "gre",
            "teql",
            "tunl",
            "erspan",
            "tap",
            "tun",
            "vnet",
            "ovs",
            "vxlan",
            "genev",
            "wg",
            "tailscale",
            "zt",
            "nordlynx",
            "vmbr",
            "podman",
            "weave",
            "azv",
            "eni",
            "macvtap",
            "fwbr",
            "fwpr",
            "fwln",
        ],
    ),
];
/// Queues that can hold something.
const QUEUED: &[super::expr::Match] = &[NotIn("kind", &["noqueue"])];
/// File systems that store nothing of their own, images that are full by construction,
/// and views of other file systems. What is mounted read-only is left out by that.
const REAL_FS: &[super::expr::Match] = &[NotIn(
    "fstype",
    &[
        "aufs",
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "cramfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "erofs",
        "fuse.archivemount",
        "fuse.cvmfs2",
        "fuse.erofsfuse",
        "fuse.fuse-archive",
        "fuse.fuse-overlayfs",
        "fuse.fuseiso",
        "fuse.gvfsd-fuse",
        "fuse.lxcfs",
        "fuse.portal",
        "fuse.ratarmount",
        "fuse.snapfuse",
        "fuse.squashfuse",
        "fuse.squashfuse_ll",
        "fusectl",
        "hugetlbfs",
        "iso9660",
        "mqueue",
        "nsfs",
        "overlay",
        "proc",
        "pstore",
        "ramfs",
        "romfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
        "udf",
        "vfat",
    ],
)];
/// Mounts that cannot be written to.
const READ_ONLY: Expr = Gauge(metric("node_filesystem_readonly"), MOUNT);

/// Memory of the host, in bytes.
const MEMORY: Expr = Gauge(metric("node_memory_MemTotal_bytes"), None);
/// Nothing, for each node.
const NO_MEMORY: Expr = Scale(0.0, &MEMORY);
/// Memory set aside as huge pages, free or not: of all sizes where the kernel says it
/// (4.20 and later), else of the usual size.
const HUGE_PAGES: Expr = Or(
    &Gauge(metric("node_memory_Hugetlb_bytes"), None),
    &Mul(
        &Gauge(metric("node_memory_HugePages_Total"), None),
        &Gauge(metric("node_memory_Hugepagesize_bytes"), None),
    ),
);
/// What the cache of ZFS holds above its minimum, and gives back when it is asked.
const ARC_TO_SPARE: Expr = Positive(&Add(
    &Gauge(metric("node_zfs_arc_size"), None),
    &Scale(-1.0, &Gauge(metric("node_zfs_arc_c_min"), None)),
));
/// Memory that is there for programs: all but the huge pages.
const USABLE_MEMORY: Expr = Add(&MEMORY, &Scale(-1.0, &Or(&HUGE_PAGES, &NO_MEMORY)));
/// Memory that programs can still get, in bytes.
const AVAILABLE_MEMORY: Expr =
    Add(&Gauge(metric("node_memory_MemAvailable_bytes"), None), &Or(&ARC_TO_SPARE, &NO_MEMORY));

macro_rules! mode {
    ($($mode:literal),+) => {
        Div(&Rate(select("node_cpu_seconds_total", &[In("mode", &[$($mode),+])]), None), &Rate(CPU, None))
    };
}

const fn row(
    name: &'static str,
    resource: &'static str,
    class: Class,
    unit: Unit,
    expr: Expr,
    what: &'static str,
) -> SignalRow {
    SignalRow { name, resource, class, unit, expr, in_prometheus: true, what }
}

/// A row that only the embedded sampler can fill.
const fn embedded(
    name: &'static str,
    resource: &'static str,
    class: Class,
    unit: Unit,
    expr: Expr,
    what: &'static str,
) -> SignalRow {
    SignalRow { name, resource, class, unit, expr, in_prometheus: false, what }
}

/// A row that another exporter than node_exporter fills (dcgm-exporter, the EBS CSI
/// driver, kube-state-metrics); `telemetry::prometheus::companions` reads it.
const fn companion(
    name: &'static str,
    resource: &'static str,
    class: Class,
    unit: Unit,
    expr: Expr,
    what: &'static str,
) -> SignalRow {
    SignalRow { name, resource, class, unit, expr, in_prometheus: false, what }
}

use Class::{Error, Saturation, Utilization};
use Unit::{Bytes, BytesPerSecond, Cores, Count as Tasks, PerSecond, Ratio, Seconds};

const DISK: Option<&str> = Some("device");
const MOUNT: Option<&str> = Some("mountpoint");
/// The speed of links that are no half of a pair: a veth tells ten gigabits a
/// second, whatever it can do, and its other half is another interface.
const REAL_SPEED: Expr = WhereEqual(
    &Gauge(select("node_network_speed_bytes", LINKS), DISK),
    &Gauge(metric("node_network_iface_link"), DISK),
    &Gauge(metric("node_network_iface_id"), DISK),
);
const CGROUP: Option<&str> = Some("cgroup");
const NETNS: Option<&str> = Some("netns");
const PROCESS: Option<&str> = Some("process");
const EXPORT: Option<&str> = Some("export");
const VOLUME: Option<&str> = Some("volume");
const GPU: Option<&str> = Some("gpu");
/// File systems whose data lie on another machine.
const REMOTE_MOUNTS: &[super::expr::Match] = &[In(
    "fstype",
    &[
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ceph",
        "fuse.ceph",
        "fuse.ceph-fuse",
        "glusterfs",
        "fuse.glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "afs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.juicefs",
        "fuse.JuiceFS",
    ],
)];
/// What Amazon EC2, Google Compute Engine and Azure write into the DMI table.
const CLOUD: &[super::expr::Match] = &[In(
    "system_vendor",
    &["Amazon EC2", "Google", "Google Compute Engine", "Microsoft Corporation"],
)];

/// A counter of the ENA driver by ethtool: under its own name, as node_exporter has it, or
/// with the suffix that the naming rules of Prometheus ask for.
macro_rules! ena {
    ($name:literal) => {
        Or(
            &Rate(metric(concat!("node_ethtool_", $name)), DISK),
            &Rate(metric(concat!("node_ethtool_", $name, "_total")), DISK),
        )
    };
}

/// Seconds that a kind of NFS time grows by for each request of an export.
macro_rules! nfs_time {
    ($kind:literal) => {
        Div(
            &Rate(
                metric(concat!("node_mountstats_nfs_operations_", $kind, "_time_seconds_total")),
                EXPORT,
            ),
            &Rate(metric("node_mountstats_nfs_operations_requests_total"), EXPORT),
        )
    };
}
const DESTINATION: Option<&str> = Some("destination");
const CONTROLLER: Option<&str> = Some("controller");
const CORE_MAX: Expr = Max(&Div(&Rate(CPU_BUSY, Some("cpu")), &Rate(CPU, Some("cpu"))));
const SOFTIRQ: Select = select("node_cpu_seconds_total", &[In("mode", &["softirq", "irq"])]);
const BUSIEST_DISK: Expr = Max(&Rate(metric("node_disk_io_time_seconds_total"), DISK));

/// Every signal, by resource.
#[rustfmt::skip]
pub static SIGNALS: &[SignalRow] = &[
    row("cpu_busy", "cpu", Utilization, Ratio, Div(&Rate(CPU_BUSY, None), &Rate(CPU, None)), "share of all cores' time spent working (not idle, iowait or steal)"),
    row("cpu_busy_cores", "cpu", Utilization, Cores, Rate(CPU_BUSY, None), "cores' worth of work done"),
    row("cpu_user", "cpu", Utilization, Ratio, mode!("user", "nice"), "share of time in user code"),
    row("cpu_system", "cpu", Utilization, Ratio, mode!("system"), "share of time in the kernel"),
    row("cpu_iowait", "cpu", Utilization, Ratio, mode!("iowait"), "share of idle time with I/O pending; for display only, the kernel calls it unreliable"),
    row("cpu_softirq", "cpu", Utilization, Ratio, mode!("softirq", "irq"), "share of time handling interrupts"),
    row("cpu_steal", "cpu-steal", Utilization, Ratio, mode!("steal"), "share of time the hypervisor gave to others"),
    row("cpu_core_busy", "cpu-core", Utilization, Ratio, Div(&Rate(CPU_BUSY, Some("cpu")), &Rate(CPU, Some("cpu"))), "share of one core's time spent working"),
    row("cpu_core_max", "cpu-core", Utilization, Ratio, CORE_MAX, "busy share of the busiest core"),
    row("cpu_cores", "cpu", Utilization, Cores, Rate(CPU, None), "cores online: CPU seconds of all modes in a second, so that cores that are offline do not count"),
    row("cpu_threads_per_core", "cpu", Utilization, Tasks, Div(&Distinct(metric("node_cpu_info"), &["cpu"]), &Distinct(metric("node_cpu_info"), &["core", "package"])), "hardware threads that share one physical core (node_exporter: --collector.cpu.info)"),
    // A source asks for it by itself, and less often: see `core_time_off_promql`.
    embedded(CORE_TIME_OFF, "cpu", Utilization, Cores, CoreTimeOff(CPU), "CPU seconds that the modes of a core add up to in a second, where that is not about one; such a core is left out"),
    row("cpu_psi_some", "cpu", Saturation, Ratio, Rate(metric("node_pressure_cpu_waiting_seconds_total"), None), "share of time in which some task waited for a core (PSI)"),
    row("cpu_wait_unexplained", "cpu-quota", Saturation, Ratio, Add(&Rate(metric("node_pressure_cpu_waiting_seconds_total"), None), &Scale(-1.0, &CORE_MAX)), "share of time in which some task waited for a core while even the busiest one was idle"),
    row("cpu_runnable", "cpu", Saturation, Tasks, Gauge(metric("node_procs_running"), None), "tasks running or ready to run, at the instant of the sample"),
    row("cpu_runqueue_wait", "cpu", Saturation, Tasks, Rate(metric("node_schedstat_waiting_seconds_total"), None), "mean number of tasks ready but waiting (schedstat, Little's law)"),
    row("cpu_runnable_per_core", "cpu", Saturation, Tasks, Div(&Gauge(metric("node_procs_running"), None), &Rate(CPU, None)), "tasks running or ready to run for each core, at the instant of the sample"),
    row("cpu_runnable_per_busy_core", "cpu-affinity", Saturation, Tasks, Div(&Gauge(metric("node_procs_running"), None), &Rate(CPU_BUSY, None)), "tasks running or ready to run for each core's worth of work that is done, at the instant of the sample"),
    row("cpu_load1", "cpu", Saturation, Tasks, Gauge(metric("node_load1"), None), "load average over 1 minute; counts uninterruptible sleep too"),
    row("context_switches", "cpu", Utilization, PerSecond, Rate(metric("node_context_switches_total"), None), "context switches"),
    row("cpu_softirq_core_max", "cpu-softirq", Utilization, Ratio, Max(&Div(&Rate(SOFTIRQ, Some("cpu")), &Rate(CPU, Some("cpu")))), "share of one core's time spent on interrupts, of the core that spent most"),
    row("softnet_squeezed", "cpu-softirq", Saturation, PerSecond, Rate(metric("node_softnet_times_squeezed_total"), None), "times that a core left packets for later because its turn was over"),
    row("cpu_throttles", "cpu-thermal", Error, PerSecond, Rate(metric("node_cpu_core_throttles_total"), None), "times that cores were slowed down for heat or power"),
    embedded("process_cpu_cores", "cpu", Utilization, Cores, Rate(metric("stressor_process_cpu_seconds_total"), PROCESS), "CPU time of the busiest processes"),
    embedded("process_busiest_cores", "cpu-core", Utilization, Cores, Max(&Rate(metric("stressor_process_cpu_seconds_total"), PROCESS)), "CPU time of the busiest process"),
    embedded("cgroup_cpu_throttled", "cpu-quota", Saturation, Ratio, Div(&Rate(metric("stressor_cgroup_cpu_throttled_periods_total"), CGROUP), &Rate(metric("stressor_cgroup_cpu_periods_total"), CGROUP)), "share of quota periods in which the cgroup was throttled"),
    embedded("cgroup_cpu_quota_used", "cpu-quota", Utilization, Ratio, Div(&Rate(metric("stressor_cgroup_cpu_usage_seconds_total"), CGROUP), &Gauge(metric("stressor_cgroup_cpu_quota_cores"), CGROUP)), "CPU time used by the cgroup as a share of its quota"),
    embedded("cgroup_cpu_psi_some", "cpu-quota", Saturation, Ratio, Rate(metric("stressor_cgroup_pressure_cpu_waiting_seconds_total"), CGROUP), "share of time in which some task of the cgroup waited for a core (PSI of cgroup v2)"),

    embedded("cgroup_cpu_cores", "cpu-quota", Utilization, Cores, Rate(metric("stressor_cgroup_cpu_usage_seconds_total"), CGROUP), "CPU time used by the cgroup"),
    embedded("cgroup_cpu_quota_cores", "cpu-quota", Utilization, Cores, Gauge(metric("stressor_cgroup_cpu_quota_cores"), CGROUP), "CPU quota of the cgroup"),
    embedded("cgroup_has_load", "cpu-quota", Utilization, Tasks, Gauge(metric("stressor_cgroup_has_load"), CGROUP), "1 for a cgroup that the workers are in, or that is above theirs"),
    embedded("cgroups_limited", "cpu-quota", Utilization, Tasks, Gauge(metric("stressor_cgroups_limited"), CONTROLLER), "cgroups that set a limit, by controller"),
    embedded("cgroups_unread", "cpu-quota", Utilization, Tasks, Gauge(metric("stressor_cgroups_unread"), CONTROLLER), "cgroups with a limit that were not read in this sample, by controller"),
    embedded("tasks_total", "cpu", Utilization, Tasks, Gauge(metric("stressor_tasks"), None), "processes and threads of the machine, in whatever namespace"),
    embedded("tasks_hidden", "cpu", Utilization, Tasks, Gauge(metric("stressor_tasks_hidden"), None), "processes and threads that cannot be seen from here (hidepid, a PID namespace)"),
    embedded("processes_unread", "cpu", Utilization, Tasks, Gauge(metric("stressor_processes_unread"), None), "processes that the last scan did not look at"),
    embedded("own_cpu_cores", "cpu", Utilization, Cores, Rate(metric("stressor_own_cpu_seconds_total"), None), "CPU time of stressor itself: control, sampler and spawner, without the workers"),

    row("memory_used_ratio", "memory", Utilization, Ratio, OneMinus(&Div(&AVAILABLE_MEMORY, &USABLE_MEMORY)), "share of memory that is not available (caches count as available, huge pages are left out)"),
    row("memory_used_bytes", "memory", Utilization, Bytes, Add(&USABLE_MEMORY, &Scale(-1.0, &AVAILABLE_MEMORY)), "memory that is not available, without huge pages"),
    row("memory_available_ratio", "memory", Utilization, Ratio, Div(&AVAILABLE_MEMORY, &USABLE_MEMORY), "share of memory that programs can still get"),
    row("memory_available_bytes", "memory", Utilization, Bytes, AVAILABLE_MEMORY, "memory that programs can still get"),
    row("memory_huge_pages_bytes", "memory", Utilization, Bytes, Positive(&HUGE_PAGES), "memory set aside as huge pages, where there are any"),
    row("memory_arc_bytes", "memory", Utilization, Bytes, ARC_TO_SPARE, "memory in the cache of ZFS above its minimum"),
    row("raid_sync", "disk", Utilization, Tasks, Gauge(select("node_md_state", &[In("state", &["check", "recovering", "recovery", "resync"])]), DISK), "whether a RAID array is being checked or rebuilt: 1 while it is"),
    row("memory_shared_bytes", "memory", Utilization, Bytes, WhereAbove(&Gauge(metric("node_memory_Shmem_bytes"), None), &Scale(0.05, &MEMORY)), "memory in tmpfs and shared segments, where it is over a twentieth of all; it is in use until somebody deletes it"),
    row("memory_psi_some", "memory", Saturation, Ratio, Rate(metric("node_pressure_memory_waiting_seconds_total"), None), "share of time in which some task waited for memory (PSI)"),
    row("memory_psi_full", "memory", Saturation, Ratio, Rate(metric("node_pressure_memory_stalled_seconds_total"), None), "share of time in which all tasks waited for memory (PSI)"),
    row("swap_io", "memory", Saturation, PerSecond, Add(&Rate(metric("node_vmstat_pswpin"), None), &Rate(metric("node_vmstat_pswpout"), None)), "pages swapped in and out"),
    row("swap_used_ratio", "memory", Utilization, Ratio, OneMinus(&Div(&Gauge(metric("node_memory_SwapFree_bytes"), None), &Gauge(metric("node_memory_SwapTotal_bytes"), None))), "share of swap occupied; not pressure by itself"),
    row("major_faults", "memory", Saturation, PerSecond, Rate(metric("node_vmstat_pgmajfault"), None), "page faults that needed I/O"),
    row("memory_refaults", "memory", Saturation, PerSecond, Add(&Rate(metric("node_vmstat_workingset_refault_anon"), None), &Rate(metric("node_vmstat_workingset_refault_file"), None)), "pages read again soon after they were evicted"),
    embedded("memory_direct_scans", "memory", Saturation, PerSecond, Rate(metric("node_vmstat_pgscan_direct"), None), "pages that tasks had to look at to find free memory of the host; what a cgroup does within its limit is not in it"),
    row("oom_kills", "memory", Error, PerSecond, Rate(metric("node_vmstat_oom_kill"), None), "processes killed for memory, cgroup kills included"),
    embedded("cgroup_memory_used_ratio", "memory-limit", Utilization, Ratio, Div(&Gauge(metric("stressor_cgroup_memory_usage_bytes"), CGROUP), &Gauge(metric("stressor_cgroup_memory_limit_bytes"), CGROUP)), "memory charged to the cgroup as a share of its limit, page cache included"),
    embedded("cgroup_memory_working_ratio", "memory-limit", Utilization, Ratio, Div(&Gauge(metric("stressor_cgroup_memory_working_bytes"), CGROUP), &Gauge(metric("stressor_cgroup_memory_limit_bytes"), CGROUP)), "the cgroup's memory without easily dropped page cache, as a share of its limit"),
    embedded("cgroup_memory_bytes", "memory-limit", Utilization, Bytes, Gauge(metric("stressor_cgroup_memory_working_bytes"), CGROUP), "the cgroup's memory without easily dropped page cache"),
    embedded("cgroup_memory_limit_hits", "memory-limit", Saturation, PerSecond, Rate(metric("stressor_cgroup_memory_limit_hits_total"), CGROUP), "times the cgroup ran into its memory limit (memory.max or memory.high)"),
    embedded("cgroup_memory_refaults", "memory-limit", Saturation, PerSecond, Rate(metric("stressor_cgroup_memory_refaults_total"), CGROUP), "pages of the cgroup read again soon after it had to drop them"),
    embedded("cgroup_memory_psi_some", "memory-limit", Saturation, Ratio, Rate(metric("stressor_cgroup_pressure_memory_waiting_seconds_total"), CGROUP), "share of time in which some task of the cgroup waited for memory (PSI of cgroup v2)"),
    embedded("cgroup_memory_limit_bytes", "memory-limit", Utilization, Bytes, Gauge(metric("stressor_cgroup_memory_limit_bytes"), CGROUP), "memory limit of the cgroup: the smaller of memory.max and memory.high"),
    embedded("cgroup_swap_used_ratio", "memory-limit", Utilization, Ratio, Div(&Gauge(metric("stressor_cgroup_swap_bytes"), CGROUP), &Gauge(metric("stressor_cgroup_swap_limit_bytes"), CGROUP)), "swap used by the cgroup as a share of its limit (memory.swap.max)"),
    embedded("cgroup_oom_kills", "memory-limit", Error, PerSecond, Rate(metric("stressor_cgroup_oom_kills_total"), CGROUP), "processes of the cgroup killed for its memory limit"),

    row("disk_busy", "disk", Utilization, Ratio, Rate(metric("node_disk_io_time_seconds_total"), DISK), "share of time with at least one request in flight"),
    row("disk_queue", "disk", Saturation, Tasks, Rate(metric("node_disk_io_time_weighted_seconds_total"), DISK), "mean number of requests in flight"),
    row("disk_queue_while_busy", "disk", Saturation, Tasks, Div(&Rate(metric("node_disk_io_time_weighted_seconds_total"), DISK), &Rate(metric("node_disk_io_time_seconds_total"), DISK)), "mean number of requests in flight, of the time in which there was one"),
    row("disk_await", "disk", Saturation, Seconds, Div(&Add(&Rate(metric("node_disk_read_time_seconds_total"), DISK), &Rate(metric("node_disk_write_time_seconds_total"), DISK)), &Add(&Rate(metric("node_disk_reads_completed_total"), DISK), &Rate(metric("node_disk_writes_completed_total"), DISK))), "mean time from request to completion"),
    row("disk_operations", "disk", Utilization, PerSecond, Add(&Rate(metric("node_disk_reads_completed_total"), DISK), &Rate(metric("node_disk_writes_completed_total"), DISK)), "reads and writes completed"),
    row("disk_read_bytes", "disk", Utilization, BytesPerSecond, Rate(metric("node_disk_read_bytes_total"), DISK), "bytes read"),
    row("disk_written_bytes", "disk", Utilization, BytesPerSecond, Rate(metric("node_disk_written_bytes_total"), DISK), "bytes written"),
    row("disk_bytes", "disk", Utilization, BytesPerSecond, Add(&Rate(metric("node_disk_read_bytes_total"), DISK), &Rate(metric("node_disk_written_bytes_total"), DISK)), "bytes read and written"),
    row("io_psi_some", "disk", Saturation, Ratio, Rate(metric("node_pressure_io_waiting_seconds_total"), None), "share of time in which some task waited for I/O (PSI); blind to asynchronous I/O"),
    row("io_psi_full", "disk", Saturation, Ratio, Rate(metric("node_pressure_io_stalled_seconds_total"), None), "share of time in which all tasks waited for I/O (PSI)"),
    row("io_wait_unexplained", "io-limit", Saturation, Ratio, Add(&Rate(metric("node_pressure_io_waiting_seconds_total"), None), &Scale(-1.0, &BUSIEST_DISK)), "share of time in which some task waited for I/O while even the busiest disk was idle"),
    embedded("cgroup_io_limit_used", "io-limit", Utilization, Ratio, MaxRate(metric("stressor_cgroup_io_limit_used_seconds_total"), CGROUP), "operations or bytes of the cgroup on a disk, as a share of its limit there"),
    embedded("cgroup_io_psi_some", "io-limit", Saturation, Ratio, Rate(metric("stressor_cgroup_pressure_io_waiting_seconds_total"), CGROUP), "share of time in which some task of the cgroup waited for I/O (PSI of cgroup v2)"),
    embedded("cgroup_io_bytes", "io-limit", Utilization, BytesPerSecond, Rate(metric("stressor_cgroup_io_bytes_total"), CGROUP), "bytes that the cgroup read and wrote on disks"),
    row("io_blocked", "disk", Saturation, Tasks, Gauge(metric("node_procs_blocked"), None), "tasks blocked on I/O, at the instant of the sample"),
    row("memory_dirty_bytes", "disk", Utilization, Bytes, Gauge(metric("node_memory_Dirty_bytes"), None), "page cache waiting to be written"),

    row("filesystem_used_ratio", "filesystem", Utilization, Ratio, Unless(&OneMinus(&Div(&Gauge(select("node_filesystem_avail_bytes", REAL_FS), MOUNT), &Gauge(select("node_filesystem_size_bytes", REAL_FS), MOUNT))), &READ_ONLY), "share of the file system that users can no longer take; read-only ones and images are left out"),
    row("filesystem_available_bytes", "filesystem", Utilization, Bytes, Unless(&Gauge(select("node_filesystem_avail_bytes", REAL_FS), MOUNT), &READ_ONLY), "space that users can still take"),
    row("inodes_used_ratio", "inodes", Utilization, Ratio, Unless(&OneMinus(&Div(&Gauge(select("node_filesystem_files_free", REAL_FS), MOUNT), &Gauge(select("node_filesystem_files", REAL_FS), MOUNT))), &READ_ONLY), "share of inodes in use, where their number is fixed"),

    row("network_received_bytes", "network", Utilization, BytesPerSecond, Rate(metric("node_network_receive_bytes_total"), DISK), "bytes received"),
    row("network_sent_bytes", "network", Utilization, BytesPerSecond, Rate(metric("node_network_transmit_bytes_total"), DISK), "bytes sent"),
    row("network_receive_ratio", "network", Utilization, Ratio, Div(&Rate(select("node_network_receive_bytes_total", LINKS), DISK), &REAL_SPEED), "received bytes as a share of the link's speed, where the speed is known"),
    row("network_send_ratio", "network", Utilization, Ratio, Div(&Rate(select("node_network_transmit_bytes_total", LINKS), DISK), &REAL_SPEED), "sent bytes as a share of the link's speed, where the speed is known"),
    row("network_send_drops", "network", Error, PerSecond, Rate(select("node_network_transmit_drop_total", LINKS), DISK), "packets dropped before they were sent"),
    row("network_receive_drops", "network", Saturation, PerSecond, Rate(select("node_network_receive_drop_total", LINKS), DISK), "received packets dropped; unknown protocols count too"),
    row("network_errors", "network", Error, PerSecond, Add(&Rate(select("node_network_receive_errs_total", LINKS), DISK), &Rate(select("node_network_transmit_errs_total", LINKS), DISK)), "packets with errors"),
    row("network_queue_bytes", "network", Saturation, Bytes, Gauge(select("node_qdisc_backlog", QUEUED), DISK), "bytes that waited in the link's queue, at the instant of the sample"),
    row("network_queue_drops", "network", Error, PerSecond, Rate(select("node_qdisc_drops_total", QUEUED), DISK), "packets that the link's queue dropped"),
    embedded("network_shaper_ratio", "network", Utilization, Ratio, Div(&Rate(metric("node_network_transmit_bytes_total"), DISK), &Gauge(metric("stressor_qdisc_rate_bytes"), DISK)), "sent bytes as a share of the rate that a token bucket on the link lets through"),
    row("softnet_dropped", "cpu-softirq", Error, PerSecond, Rate(metric("node_softnet_dropped_total"), None), "packets dropped because a core's backlog was full"),
    row("tcp_retransmit_ratio", "network-path", Error, Ratio, Div(&Rate(metric("node_netstat_Tcp_RetransSegs"), None), &Rate(metric("node_netstat_Tcp_OutSegs"), None)), "share of TCP segments sent again"),
    row("tcp_segments_sent", "network-path", Utilization, PerSecond, Rate(metric("node_netstat_Tcp_OutSegs"), None), "TCP segments sent"),
    embedded("netns_tcp_retransmit_ratio", "network-path", Error, Ratio, Div(&Rate(metric("stressor_netns_netstat_Tcp_RetransSegs"), NETNS), &Rate(metric("stressor_netns_netstat_Tcp_OutSegs"), NETNS)), "share of TCP segments sent again, in another network namespace"),
    embedded("netns_tcp_segments_sent", "network-path", Utilization, PerSecond, Rate(metric("stressor_netns_netstat_Tcp_OutSegs"), NETNS), "TCP segments sent in another network namespace"),
    row("tcp_listen_overflows", "tcp-listen", Error, PerSecond, Rate(metric("node_netstat_TcpExt_ListenOverflows"), None), "connections refused because an accept queue was full"),
    embedded("netns_tcp_listen_overflows", "tcp-listen", Error, PerSecond, Rate(metric("stressor_netns_netstat_TcpExt_ListenOverflows"), NETNS), "connections refused because an accept queue was full, in another network namespace"),
    row("udp_receive_errors", "udp-receive", Error, PerSecond, Rate(metric("node_netstat_Udp_RcvbufErrors"), None), "datagrams lost because a socket's buffer was full"),
    embedded("netns_udp_receive_errors", "udp-receive", Error, PerSecond, Rate(metric("stressor_netns_netstat_Udp_RcvbufErrors"), NETNS), "datagrams lost because a socket's buffer was full, in another network namespace"),
    row("conntrack_ratio", "conntrack", Utilization, Ratio, Div(&Gauge(metric("node_nf_conntrack_entries"), None), &Gauge(metric("node_nf_conntrack_entries_limit"), None)), "share of the connection-tracking table in use"),
    row("conntrack_drops", "conntrack", Error, PerSecond, Rate(metric("node_nf_conntrack_stat_drop"), None), "packets dropped because the connection-tracking table was full"),
    row("tcp_time_wait", "ports", Utilization, Tasks, Gauge(metric("node_sockstat_TCP_tw"), None), "closed TCP connections whose port is not free yet"),
    embedded("ports_used_ratio", "ports", Utilization, Ratio, Div(&Gauge(metric("node_sockstat_TCP_tw"), None), &Gauge(metric("stressor_ports"), None)), "closed connections that hold a port, as a share of the ports that connections can leave from"),
    embedded("destination_ports_ratio", "ports", Utilization, Ratio, Div(&Gauge(metric("stressor_destination_ports_used"), DESTINATION), &Gauge(metric("stressor_destination_ports"), DESTINATION)), "ports that connections to one destination hold, open or closed, as a share of those that they can leave from; counted where the sockets could fill half of them"),
    embedded("netns_ports_used_ratio", "ports", Utilization, Ratio, Div(&Gauge(metric("stressor_netns_sockstat_TCP_tw"), NETNS), &Gauge(metric("stressor_netns_ports"), NETNS)), "the same in another network namespace"),
    embedded("tcp_memory_ratio", "sockets", Utilization, Ratio, Div(&Gauge(metric("node_sockstat_TCP_mem"), None), &Gauge(metric("stressor_tcp_memory_limit_pages"), None)), "memory of all TCP buffers as a share of where the kernel begins to trim them"),
    embedded("tcp_memory_pressures", "sockets", Error, PerSecond, Rate(metric("node_netstat_TcpExt_TCPMemoryPressures"), None), "times that TCP ran into its memory limit"),

    row("file_descriptors_ratio", "file-descriptors", Utilization, Ratio, Div(&Gauge(metric("node_filefd_allocated"), None), &Gauge(metric("node_filefd_maximum"), None)), "share of the system's file descriptors in use"),
    embedded("process_files_ratio", "file-descriptors", Utilization, Ratio, Div(&Gauge(metric("stressor_process_open_fds"), PROCESS), &Gauge(metric("stressor_process_max_fds"), PROCESS)), "open files of a process as a share of its own limit, where they are over a half of it"),
    row("pids_ratio", "pids", Utilization, Ratio, Div(&Gauge(metric("node_processes_threads"), None), &Gauge(metric("node_processes_max_threads"), None)), "share of the system's threads in use"),
    embedded("cgroup_pids_ratio", "pids", Utilization, Ratio, Div(&Gauge(metric("stressor_cgroup_pids"), CGROUP), &Gauge(metric("stressor_cgroup_pids_limit"), CGROUP)), "tasks of the cgroup as a share of its limit"),
    embedded("cgroup_pids_refused", "pids", Error, PerSecond, Rate(metric("stressor_cgroup_pids_refused_total"), CGROUP), "tasks that the cgroup was refused"),

    row("remote_mounts", "remote-storage", Utilization, Tasks, Or(&Gauge(select("node_filesystem_device_error", REMOTE_MOUNTS), MOUNT), &Scale(0.0, &Gauge(select("node_filesystem_size_bytes", REMOTE_MOUNTS), MOUNT))), "remote file systems that are mounted: 1 where the size could not be read, else 0"),
    row("tasks_uninterruptible", "remote-storage", Saturation, Tasks, Gauge(select("node_processes_state", &[In("state", &["D"])]), None), "processes in uninterruptible sleep (state D), at the instant of the sample"),
    row("nfs_response_time", "remote-storage", Saturation, Seconds, nfs_time!("response"), "mean time from sending an NFS request to its answer"),
    row("nfs_queue_time", "remote-storage", Saturation, Seconds, nfs_time!("queue"), "mean time that an NFS request waited here before it was sent"),
    row("nfs_outstanding", "remote-storage", Saturation, Tasks, Rate(metric("node_mountstats_nfs_operations_request_time_seconds_total"), EXPORT), "mean number of NFS requests under way (Little's law)"),
    row("nfs_retransmit_ratio", "remote-storage", Saturation, Ratio, Div(&Rate(metric("node_nfs_rpc_retransmissions_total"), None), &Rate(metric("node_nfs_rpcs_total"), None)), "share of NFS requests sent again"),

    row("cloud_vm", "network-allowance", Utilization, Tasks, Gauge(select("node_dmi_info", CLOUD), None), "1 on a machine that Amazon EC2, Google Cloud or Azure made, by its DMI vendor"),
    row("network_allowance_in", "network-allowance", Saturation, PerSecond, ena!("bw_in_allowance_exceeded"), "packets queued or dropped because the instance's inbound bandwidth was used up"),
    row("network_allowance_out", "network-allowance", Saturation, PerSecond, ena!("bw_out_allowance_exceeded"), "packets queued or dropped because the instance's outbound bandwidth was used up"),
    row("network_allowance_packets", "network-allowance", Saturation, PerSecond, ena!("pps_allowance_exceeded"), "packets queued or dropped because the instance's packets per second were used up"),
    row("network_allowance_connections", "network-allowance", Error, PerSecond, ena!("conntrack_allowance_exceeded"), "packets dropped because the instance tracks no more connections"),
    row("network_allowance_local", "network-allowance", Error, PerSecond, ena!("linklocal_allowance_exceeded"), "packets to the cloud's own DNS, metadata and time service that were dropped"),
    companion("disk_allowance_volume", "disk-allowance", Saturation, Ratio, Rate(metric("aws_ebs_csi_exceeded_iops_seconds_total"), VOLUME), "share of time in which more was asked of the volume than its operations or bytes per second (the larger of the two)"),
    companion("disk_allowance_instance", "disk-allowance", Saturation, Ratio, Rate(metric("aws_ebs_csi_ec2_exceeded_iops_seconds_total"), VOLUME), "share of time in which more was asked of the volumes than the instance's operations or bytes per second (the larger of the two)"),
    companion("disk_burst_used", "disk-allowance", Utilization, Ratio, OneMinus(&Scale(0.01, &Gauge(metric("aws_ebs_burst_balance_average"), VOLUME))), "share of the burst credits that is spent"),
    companion("cpu_credits", "cpu-steal", Utilization, Tasks, Gauge(metric("aws_ec2_cpucredit_balance_average"), None), "CPU credits that a burstable instance has left, in minutes of a core"),

    companion("gpu_busy", "gpu", Utilization, Ratio, Scale(0.01, &Gauge(metric("DCGM_FI_DEV_GPU_UTIL"), GPU)), "share of time in which some kernel was on the GPU, however little of it the kernel used"),
    companion("gpu_engine_active", "gpu", Utilization, Ratio, Gauge(metric("DCGM_FI_PROF_GR_ENGINE_ACTIVE"), GPU), "share of time in which the graphics or compute engine did anything"),
    companion("gpu_sm_active", "gpu", Utilization, Ratio, Gauge(metric("DCGM_FI_PROF_SM_ACTIVE"), GPU), "share of time in which a multiprocessor had work, averaged over all of them"),
    companion("gpu_xid", "gpu", Error, Tasks, Gauge(metric("DCGM_FI_DEV_XID_ERRORS"), GPU), "number of the last error (XID) that the driver reported; 0 for none"),
    companion("gpu_capacity", "gpu", Utilization, Tasks, Gauge(metric("kube_node_status_capacity"), None), "GPUs that the node offers to Kubernetes"),
    companion("gpu_memory_used_ratio", "gpu-memory", Utilization, Ratio, Div(&Gauge(metric("DCGM_FI_DEV_FB_USED"), GPU), &Add(&Gauge(metric("DCGM_FI_DEV_FB_USED"), GPU), &Gauge(metric("DCGM_FI_DEV_FB_FREE"), GPU))), "share of the GPU's memory in use"),
    companion("gpu_power_ratio", "gpu-power", Utilization, Ratio, Div(&Gauge(metric("DCGM_FI_DEV_POWER_USAGE"), GPU), &Or(&Gauge(metric("DCGM_FI_DEV_ENFORCED_POWER_LIMIT"), GPU), &Gauge(metric("DCGM_FI_DEV_POWER_MGMT_LIMIT"), GPU))), "power drawn as a share of the limit"),
    companion("gpu_power_capped", "gpu-power", Saturation, Ratio, Gauge(metric("stressor_gpu_power_capped"), GPU), "1 where the clock was lowered for power, else 0 (bits 2 and 7 of the clock event reasons), at the instant of the sample"),
    companion("gpu_power_violation", "gpu-power", Saturation, Ratio, Rate(metric("DCGM_FI_DEV_POWER_VIOLATION"), GPU), "share of time in which the clock was lowered for power"),
    companion("gpu_temperature", "gpu-thermal", Utilization, Tasks, Gauge(metric("DCGM_FI_DEV_GPU_TEMP"), GPU), "temperature of the GPU in degrees Celsius"),
    companion("gpu_thermal_slowed", "gpu-thermal", Saturation, Ratio, Gauge(metric("stressor_gpu_thermal_slowed"), GPU), "1 where the clock was lowered for heat, else 0 (bits 5 and 6 of the clock event reasons), at the instant of the sample"),
    companion("gpu_thermal_violation", "gpu-thermal", Saturation, Ratio, Rate(metric("DCGM_FI_DEV_THERMAL_VIOLATION"), GPU), "share of time in which the clock was lowered for heat"),
];

impl SignalRow {
    /// Who can fill it: both sources, the embedded sampler, or another exporter that is
    /// scraped by the same Prometheus.
    pub fn source(&self) -> &'static str {
        if self.in_prometheus {
            "both"
        } else if self.is_companion() {
            "other exporter"
        } else {
            "embedded"
        }
    }

    /// Whether another exporter than node_exporter fills it.
    pub fn is_companion(&self) -> bool {
        let foreign = ["DCGM_", "aws_", "kube_", "stressor_gpu_"];
        let metrics = self.expr.metrics();
        metrics.iter().any(|metric| foreign.iter().any(|prefix| metric.starts_with(prefix)))
    }

    /// Whether a healthy, fully monitored machine may lack it, because it describes what
    /// not every machine has: remote file systems, a cloud's allowances, GPUs.
    pub fn is_optional(&self) -> bool {
        ["remote-storage", "network-allowance", "disk-allowance"].contains(&self.resource)
            || self.is_companion()
    }

    /// Whether it is computed from CPU time by core and mode, whose counters can run
    /// backwards.
    pub fn uses_cpu_time(&self) -> bool {
        self.expr.metrics().contains(&CPU_TIME)
    }
}

/// The signal of cores whose modes do not add up to one second per second.
pub const CORE_TIME_OFF: &str = "cpu_time_off";

/// The PromQL that finds cores whose counters of CPU time ran backwards: one series per
/// core, labelled `cpu` beside the labels of its target, and none on a sound fleet.
///
/// Its rates average over `window`, so one answer per window is enough. The rows with
/// [`SignalRow::uses_cpu_time`] are wrong for the nodes that it names; for those ask
/// [`Expr::promql_guarded`].
pub fn core_time_off_promql(selector: &str, window: &str) -> String {
    CoreTimeOff(CPU).promql(selector, window)
}

/// The catalogue as the table of docs/signals.md. `$window` stands for the
/// rate window, and each selection gets the nodes' `instance`.
pub fn markdown() -> String {
    let mut text = String::from(
        "| signal | resource | class | unit | source | what | PromQL |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in SIGNALS {
        let promql = if row.in_prometheus {
            format!("`{}`", row.expr.promql("", "$window").replace('|', "\\|"))
        } else {
            "–".to_owned()
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {promql} |\n",
            row.name,
            row.resource,
            row.class.name(),
            row.unit.name(),
            row.source(),
            row.what
        ));
    }
    text
}

/// The row of a name.
pub fn signal(name: &str) -> Option<&'static SignalRow> {
    /// Where each name stands: an analysis of a fleet asks some hundred thousand
    /// times.
    static ROWS: LazyLock<HashMap<&str, &SignalRow>> =
        LazyLock::new(|| SIGNALS.iter().map(|row| (row.name, row)).collect());
    ROWS.get(name).copied()
}

/// The signals that the worker processes themselves yield.
pub static WORKER_SIGNALS: &[(&str, Unit, &str)] = &[
    ("load_operations", PerSecond, "operations completed by all workers"),
    ("load_bytes", BytesPerSecond, "bytes moved by all workers"),
    ("load_disk_bytes", BytesPerSecond, "bytes moved by disk workers"),
    ("load_errors", PerSecond, "failed operations of all workers"),
    ("load_cpu_cores", Cores, "CPU time used by all workers"),
    ("load_resident_bytes", Bytes, "memory held by all workers"),
    ("load_latency_p50", Seconds, "median latency of the workers' operations"),
    ("load_latency_p99", Seconds, "99th percentile of the workers' operations"),
];

/// The unit of a catalogue or worker signal.
pub fn unit_of(name: &str) -> Option<Unit> {
    signal(name).map(|row| row.unit).or_else(|| {
        WORKER_SIGNALS.iter().find(|(worker, ..)| *worker == name).map(|(_, unit, _)| *unit)
    })
}

/// All names a threshold or an abort condition may use.
pub fn names() -> Vec<&'static str> {
    SIGNALS
        .iter()
        .map(|row| row.name)
        .chain(WORKER_SIGNALS.iter().map(|(name, ..)| *name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_once() {
        let names = names();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
    }
}
