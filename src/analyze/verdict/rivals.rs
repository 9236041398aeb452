//! What else could explain a verdict: it caps the grade, and the statement names it.
//! And what has been so from the first sample on, which is a note and no finding.

use super::Case;
use crate::{
    analyze::{
        assess::Assessment,
        outcome::{Grade, Kind, Verdict},
        resources::{MANY_TASKS, Resource},
    },
    model::{
        run::SourceKind,
        units::{Unit, three_digits},
    },
};

/// Tasks that are ready to run for each busy core from which on tasks wait for a core
/// that is taken: one runs, one reads the figure, one waits. Tasks that a quota holds back
/// are not counted as ready.
const WAITING_FOR_A_CORE: f64 = 3.0;
/// Share of time in which tasks wait that needs an explanation.
const WAITS: f64 = 0.25;
/// A value that stays this near to its median, as a share of it, is constant.
const CONSTANT: f64 = 0.1;
/// Mounts that a statement names.
const MOST_NAMED: usize = 4;

impl Case<'_> {
    /// Whether a resource that was not seen can exist on this machine, so that its being
    /// unseen is worth a word; or, seen, says something.
    pub(super) fn applies(&self, resource: &Resource, kind: Kind) -> bool {
        let is_seen = |signal: &&str| !self.node.signals.all(signal).is_empty();
        match resource.name {
            "remote-storage" => {
                ![Kind::Unknown, Kind::Idle].contains(&kind)
                    || ["remote_mounts", "nfs_outstanding", "nfs_retransmit_ratio"]
                        .iter()
                        .any(is_seen)
            }
            "network-allowance" | "disk-allowance" if kind == Kind::Unknown => {
                ["cloud_vm"].iter().any(is_seen)
            }
            name if name.starts_with("gpu") && kind == Kind::Unknown => {
                self.node.record.host.gpus > 0
                    || ["gpu_capacity", "gpu_busy", "gpu_memory_used_ratio", "gpu_engine_active"]
                        .iter()
                        .any(is_seen)
            }
            _ => true,
        }
    }

    /// Whether a resource is where it was from the first sample on, and that alone does not
    /// make it a limit: tasks of a mount that hung long ago, GPU memory that a framework
    /// reserved at its start.
    pub(super) fn is_standing(&self, one: &Assessment) -> bool {
        let is_suspect = one.resource.name == "gpu-memory"
            || (one.resource.name == "remote-storage" && one.hinted);
        let signal = one
            .leading()
            .filter(|_| is_suspect)
            .and_then(|held| self.node.signals.get(held.criterion.signal, held.device.as_deref()));
        let Some((signal, typical)) =
            signal.and_then(|signal| Some((signal, signal.median(self.window)?)))
        else {
            return false;
        };
        let until = signal.points.iter().take_while(|point| point.t <= self.window.end);
        until.into_iter().all(|point| (point.v - typical).abs() <= CONSTANT * typical)
    }

    /// Whether a root that is only suspected may explain something else: remote storage,
    /// where some is mounted, explains what is only concluded; an I/O limit that nobody saw
    /// does not explain tasks that may wait for remote storage.
    pub(super) fn can_explain(&self, root: &Assessment, other: &Assessment) -> bool {
        match root.resource.name {
            "remote-storage" if root.hinted => {
                other.hinted && !self.node.signals.all("remote_mounts").is_empty()
            }
            "io-limit" if root.hinted => other.resource.name != "remote-storage",
            _ => true,
        }
    }

    /// A note on what has been so from the first sample on, where it needs other words than
    /// a share in use.
    pub(super) fn standing_note(&self, one: &Assessment, verdict: Kind) -> Option<String> {
        match one.resource.name {
            // The statement has the rest.
            "remote-storage" if verdict == Kind::Unknown => Some(
                "This was so from the first sample on, and may have begun before the window."
                    .to_owned(),
            ),
            "remote-storage" => {
                let tasks = self.stuck_tasks()?;
                Some(format!(
                    "Note: about {} tasks were in uninterruptible sleep from the first sample on, and no local disk was busy{}.",
                    three_digits(tasks),
                    self.mounts_in_words()
                ))
            }
            "gpu-memory" => Some(
                "Note: GPU memory was allocated from the first sample on; some frameworks reserve it at startup."
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// How many tasks slept uninterruptibly, where that is no ordinary number.
    pub(super) fn stuck_tasks(&self) -> Option<f64> {
        ["io_blocked", "tasks_uninterruptible"]
            .into_iter()
            .filter_map(|signal| self.median_of(signal))
            .max_by(f64::total_cmp)
            .filter(|tasks| *tasks >= MANY_TASKS)
    }

    /// The median of a signal of the whole node.
    pub(super) fn median_of(&self, signal: &str) -> Option<f64> {
        self.node.signals.get(signal, None)?.median(self.window)
    }

    /// `; remote file systems mounted here: /srv (does not answer), /home`.
    pub(super) fn mounts_in_words(&self) -> String {
        let mut mounts: Vec<(bool, &str)> = self
            .node
            .signals
            .all("remote_mounts")
            .iter()
            .filter_map(|mount| {
                Some((mount.median(self.window).unwrap_or(0.0) < 0.5, mount.device.as_deref()?))
            })
            .collect();
        if mounts.is_empty() {
            return "; no mounted remote file system was observed, so a hung driver or device is also possible"
                .to_owned();
        }
        mounts.sort_unstable();
        let more = mounts.len().saturating_sub(MOST_NAMED);
        let mut names: Vec<String> = mounts
            .iter()
            .take(MOST_NAMED)
            .map(|(answers, name)| {
                if *answers {
                    (*name).to_owned()
                } else if let Some(open) = name.strip_suffix(')') {
                    format!("{open}; its size could not be read)")
                } else {
                    format!("{name} (its size could not be read)")
                }
            })
            .collect();
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        format!("; remote file systems mounted here: {}", names.join(", "))
    }

    /// The verdict with the other explanations that the data leave open.
    pub(super) fn with_rivals(&self, root: &Assessment, verdict: Verdict) -> Verdict {
        let spent = self.median_of("cpu_credits").is_some_and(|left| left < 1.0);
        if root.resource.name == "cpu-steal" && spent {
            let statement = format!("{} The instance's CPU credits are spent.", verdict.statement);
            return Verdict { statement, ..verdict };
        }
        let Some(rival) = self.rival(root) else { return verdict };
        Verdict {
            grade: verdict.grade.min(Grade::Possible),
            statement: format!("{} {rival}", verdict.statement),
            ..verdict
        }
    }

    /// Another explanation of a verdict with this root, in a sentence or two.
    fn rival(&self, root: &Assessment) -> Option<String> {
        match root.resource.name {
            "cpu-affinity" | "cpu-core" => self.quota_as_rival(),
            "cpu-quota"
                if root.hinted
                    && self.median_of("cpu_core_max").is_some_and(|most| most >= 0.95) =>
            {
                self.quota_as_rival()
            }
            "remote-storage" if root.hinted => Some(format!(
                "The tasks were in uninterruptible sleep while no local disk was busy{}. An I/O limit of a container or unit looks the same; `ps -eo state,wchan:32,args | grep ^D` on the node shows what they wait in.",
                self.mounts_in_words()
            )),
            "io-limit" if root.hinted && !self.node.signals.all("remote_mounts").is_empty() => {
                Some(format!(
                    "A remote file system that is slow looks the same{}.",
                    self.mounts_in_words()
                ))
            }
            "disk" => self.raid_as_rival().or_else(|| self.leak_as_rival(root)),
            "memory" if root.kind != Kind::Saturated => self.shared_memory_as_rival(),
            "gpu" if !root.fills_a_gpu() => Some(
                "Only the presence of a kernel was measured: a kernel that uses a small part of the GPU shows the same. DCGM_FI_PROF_SM_ACTIVE of dcgm-exporter would tell."
                    .to_owned(),
            ),
            "gpu-memory" => Some(
                "Frameworks reserve GPU memory ahead of need, so full GPU memory alone is not a limit."
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// A check or rebuild of a RAID array reads its disks whenever they would be idle, and
    /// gives way to everybody else.
    fn raid_as_rival(&self) -> Option<String> {
        let arrays = self.node.signals.all("raid_sync").iter();
        let active: Vec<&str> = arrays
            .filter(|array| array.median(self.window).is_some_and(|active| active >= 0.5))
            .filter_map(|array| array.device.as_deref())
            .collect();
        (!active.is_empty()).then(|| {
            format!(
                "A check or rebuild of RAID ({}) was active. It uses otherwise idle disk time and yields to other requests, so the disks may have capacity left. sync_speed_max limits its rate.",
                active.join(", ")
            )
        })
    }

    /// Requests in flight that nothing completes, nobody waits for and no time is counted
    /// for: kernels have lost count of them before, and the disk then always looks busy.
    /// By Little's law the queue is the completions per second times the time of each.
    fn leak_as_rival(&self, root: &Assessment) -> Option<String> {
        const EXPLAINED: f64 = 0.2;
        let device = root.device.as_deref();
        let of = |signal: &str| self.node.signals.get(signal, device)?.median(self.window);
        let queue = of("disk_queue")?;
        let explained = of("disk_operations")? * of("disk_await").unwrap_or(0.0);
        let waits = self.median_of("io_psi_some")?;
        let blocked = self.median_of("io_blocked").unwrap_or(0.0);
        let is_leak = explained < EXPLAINED * queue && waits < 0.05 && blocked < 1.0;
        is_leak.then(|| {
            format!(
                "The figures of this disk contradict each other: {} requests in flight, but its completions explain {}, and no task waits for I/O. The kernel may have lost count of requests (a known fault); check /sys/block/*/inflight and the disk's own statistics.",
                three_digits(queue),
                three_digits(explained)
            )
        })
    }

    /// Memory that is in use because somebody set it aside: a database's buffers, files in
    /// a tmpfs.
    fn shared_memory_as_rival(&self) -> Option<String> {
        let shared = self.median_of("memory_shared_bytes")?;
        let is_most = self.median_of("memory_used_bytes").is_none_or(|used| shared >= 0.5 * used);
        is_most.then(|| {
            format!(
                "{} of it is tmpfs and shared memory (a database's buffers, /dev/shm), often sized on purpose. No task waits for memory, so this use may be intended.",
                Unit::Bytes.show(shared)
            )
        })
    }

    /// Tasks wait, one core is busy, and the two need not have to do with one another.
    fn quota_as_rival(&self) -> Option<String> {
        let waits = self.median_of("cpu_psi_some").filter(|waits| *waits >= WAITS)?;
        let ready = self.median_of("cpu_runnable_per_busy_core");
        if ready.is_some_and(|ready| ready >= WAITING_FOR_A_CORE) {
            return None;
        }
        let how = match self.node.record.source {
            SourceKind::Prometheus => {
                "cAdvisor's or the kubelet's container_cpu_cfs_* series in the same Prometheus would tell"
            }
            SourceKind::Embedded => "cpu.stat of the containers and units would tell",
        };
        Some(format!(
            "Two explanations remain: tasks restricted to the busy core by an affinity mask or cpuset, or a CPU quota on a container or unit and an unrelated busy thread. Some task waited {} % of the time, and few tasks were runnable. {how}.",
            three_digits(waits * 100.0)
        ))
    }
}
