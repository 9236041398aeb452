//! The resources that can give out. Each is a file that declares its signals,
//! its thresholds with their sources, and what it can be a consequence of;
//! adding one is adding a file and its line here.

mod conntrack;
mod cpu;
mod cpu_affinity;
mod cpu_core;
mod cpu_quota;
mod cpu_softirq;
mod cpu_steal;
mod cpu_thermal;
mod disk;
mod disk_allowance;
mod file_descriptors;
mod filesystem;
mod gpu;
mod gpu_memory;
mod gpu_power;
mod gpu_thermal;
mod inodes;
mod io_limit;
mod memory;
mod memory_limit;
mod network;
mod network_allowance;
mod network_path;
mod pids;
mod ports;
mod remote_storage;
mod sockets;
mod tcp_listen;
mod udp_receive;

pub(in crate::analyze) use remote_storage::MANY as MANY_TASKS;

use crate::model::{catalogue, stats::Stat};

/// A signal held against a threshold.
#[derive(Debug, Clone, Copy)]
pub struct Criterion {
    /// Catalogue name.
    pub signal: &'static str,
    /// Which statistic of the phase's samples.
    pub stat: Stat,
    /// From here on the criterion is met.
    pub limit: f64,
    /// From here on it is near, for utilizations.
    pub near: f64,
    /// What else must hold for it to count.
    pub counts: Counts,
    /// Medians that must all hold for it to count. One that was not seen does
    /// not hold.
    pub when: &'static [Condition],
    /// Where the threshold comes from.
    pub source: &'static str,
}

/// The median of another signal, of the same device where it has devices.
#[derive(Debug, Clone, Copy)]
pub enum Condition {
    /// It is at least this.
    AtLeast(&'static str, f64),
    /// It is below this.
    Below(&'static str, f64),
    /// It is not there.
    Unseen(&'static str),
    /// It is there, of any device.
    Seen(&'static str),
    /// It is below this on every device that was seen.
    AllBelow(&'static str, f64),
}

impl Condition {
    /// The signal it looks at.
    pub const fn signal(&self) -> &'static str {
        match self {
            Self::AtLeast(signal, _)
            | Self::Below(signal, _)
            | Self::Unseen(signal)
            | Self::Seen(signal)
            | Self::AllBelow(signal, _) => signal,
        }
    }

    /// `cpu_busy below 85 %`.
    pub fn in_words(&self) -> String {
        let (relation, limit) = match self {
            Self::Unseen(signal) => return format!("{signal} not seen"),
            Self::Seen(signal) => return format!("{signal} seen"),
            Self::AtLeast(_, limit) => ("at least", *limit),
            Self::Below(_, limit) => ("below", *limit),
            Self::AllBelow(_, limit) => ("everywhere below", *limit),
        };
        let unit = catalogue::unit_of(self.signal());
        let limit = unit.map_or_else(|| limit.to_string(), |unit| unit.show(limit));
        format!("{} {relation} {limit}", self.signal())
    }
}

/// When a met criterion of saturation or error counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Only when utilization is at its limit.
    AtLimit,
    /// Only when utilization is near its limit, or cannot be seen.
    Near,
    /// In any case.
    Alone,
    /// Only at the limit, and only when no other saturation signal is seen.
    Substitute,
    /// In any case, but only when the resource itself is not seen: what the
    /// rest of the machine would look like if it were the limit. Makes a
    /// verdict possible, never likely.
    Hint,
    /// In any case, and also when the resource itself is seen; another cause can look the
    /// same. Makes a verdict possible, never likely.
    Suspected,
    /// Never decides; from its `near` on, with utilization near its limit, the resource is
    /// near its limit.
    Nears,
    /// Shown, but never decides.
    Never,
}

/// A resource of which this one can be the consequence.
#[derive(Debug, Clone, Copy)]
pub struct Relation {
    /// The possible root.
    pub root: &'static str,
    /// A signal and the median it must reach; without one the relation holds
    /// whenever the root is at its limit.
    pub when: Option<(&'static str, f64)>,
    /// Which device of this resource follows from which of the root.
    pub between: fn(Option<&str>, Option<&str>) -> bool,
    /// Why it follows.
    pub why: &'static str,
}

impl Relation {
    /// A relation that holds whenever the root is at its limit.
    const fn always(root: &'static str, why: &'static str) -> Self {
        Self { root, when: None, between: |_, _| true, why }
    }
}

/// Whether a block device lies on another one: what it does, the other does
/// too. By the kernel's names, which both sources show.
pub fn is_stacked(device: Option<&str>) -> bool {
    let stacked = ["loop", "dm-", "md", "bcache", "drbd", "rbd"];
    device.is_some_and(|device| stacked.iter().any(|prefix| device.starts_with(prefix)))
}

/// Whether one is a path of the other, a multipath device: `nvme0c1n1` of `nvme0n1`.
/// What the device does, its paths do.
pub fn is_path_of(path: Option<&str>, device: Option<&str>) -> bool {
    let of = |name: &str| -> Option<String> {
        let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
        let (controller, namespace) = rest.split_once('n')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        [subsystem, controller, namespace]
            .into_iter()
            .all(is_number)
            .then(|| format!("nvme{subsystem}n{namespace}"))
    };
    path.and_then(of).is_some_and(|whole| Some(whole.as_str()) == device)
}

/// A resource.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// Its word in the vocabulary.
    pub name: &'static str,
    /// Its name in a sentence: `the CPU`, `disk {device}`.
    pub title: &'static str,
    /// What it is, in a sentence or two.
    pub means: &'static str,
    /// What usually uses it up.
    pub usual: &'static str,
    /// Shares of a ceiling.
    pub utilization: &'static [Criterion],
    /// Whether utilization 1 means that no more is possible. A disk that is
    /// busy all the time may still do more at once.
    pub ceiling_known: bool,
    /// Work that waits.
    pub saturation: &'static [Criterion],
    /// Refusals: events in a phase that reach the limit, and more often than
    /// in the baseline.
    pub errors: &'static [Criterion],
    /// What it can follow from.
    pub follows: &'static [Relation],
    /// Our workers' signal and the node's, whose quotient is our share.
    pub own: Option<(&'static str, &'static str)>,
    /// Whether "nothing is saturated" needs it to have been observed.
    pub vital: bool,
    /// What it means that it is not observed.
    pub blind: &'static str,
    /// What to do when it is the limit.
    pub advice: &'static str,
    /// What it means that it was at its limit all the time.
    pub standing: Standing,
    /// Signals of what its figures leave out or count in, with the words for it after
    /// the amount.
    pub context: &'static [(&'static str, &'static str)],
}

/// What it means that a resource is at its limit, or near it, all the time. What changes
/// is a finding; a condition that does not change is a note beside the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is a finding all the same: work may have waited all the time.
    Finding,
    /// A note while it does not change at all: a full file system that nobody writes to.
    WhileUnmoved,
    /// A note when it was so in the baseline and did the same work then: a RAID check.
    WhileAsBefore,
    /// Possible at most where nobody knows what was before: a thread that polls.
    InDoubt,
}

impl Resource {
    /// All that it is judged by.
    pub fn criteria(&self) -> impl Iterator<Item = &'static Criterion> + use<> {
        self.utilization.iter().chain(self.saturation).chain(self.errors)
    }
}

/// All resources, in causal order: of two that are equally near to their
/// limit, the earlier is more likely the root.
pub static ALL: &[&Resource] = &[
    &network_allowance::RESOURCE,
    &disk_allowance::RESOURCE,
    &memory_limit::RESOURCE,
    &cpu_quota::RESOURCE,
    &io_limit::RESOURCE,
    &cpu_steal::RESOURCE,
    &cpu_thermal::RESOURCE,
    &memory::RESOURCE,
    &cpu_softirq::RESOURCE,
    &cpu_affinity::RESOURCE,
    &disk::RESOURCE,
    &cpu::RESOURCE,
    &cpu_core::RESOURCE,
    &network::RESOURCE,
    &network_path::RESOURCE,
    &remote_storage::RESOURCE,
    &gpu_power::RESOURCE,
    &gpu_thermal::RESOURCE,
    &gpu::RESOURCE,
    &gpu_memory::RESOURCE,
    &filesystem::RESOURCE,
    &inodes::RESOURCE,
    &file_descriptors::RESOURCE,
    &pids::RESOURCE,
    &tcp_listen::RESOURCE,
    &udp_receive::RESOURCE,
    &conntrack::RESOURCE,
    &ports::RESOURCE,
    &sockets::RESOURCE,
];

/// Signals that decide nothing by themselves, but say what a machine has (a cloud's
/// allowances, remote file systems, GPUs) and what else may explain a verdict.
const CONTEXT: &[&str] = &[
    "cloud_vm",
    "gpu_capacity",
    "remote_mounts",
    "io_blocked",
    "cpu_load1",
    "cpu_runnable",
    "cpu_runnable_per_busy_core",
    "network_sent_bytes",
    "raid_sync",
];

/// Every signal that a verdict can rest on.
pub fn decisive() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = CONTEXT.to_vec();
    for resource in ALL {
        for criterion in resource.criteria() {
            names.push(criterion.signal);
            names.extend(criterion.when.iter().map(Condition::signal));
        }
        names.extend(resource.context.iter().map(|(signal, _)| *signal));
        names.extend(resource.follows.iter().filter_map(|relation| Some(relation.when?.0)));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The resource of a name.
pub fn resource(name: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|resource| resource.name == name)
}

/// What four samples of ten reach. Two resources that are the limit in turn
/// are each at it for a little less than half the time.
const OFTEN: Stat = Stat::Percentile(60);

/// A utilization: met when four samples of ten reach `limit`, near from `near`.
const fn utilization(
    signal: &'static str,
    limit: f64,
    near: f64,
    source: &'static str,
) -> Criterion {
    Criterion { signal, stat: OFTEN, limit, near, counts: Counts::Alone, when: &[], source }
}

/// A utilization of something that fills up and stays full: met when a tenth
/// of the phase's samples reach the limit. A machine that takes half a phase
/// to fill its memory has filled it all the same.
const fn level(signal: &'static str, limit: f64, near: f64, source: &'static str) -> Criterion {
    Criterion {
        signal,
        stat: Stat::Percentile(90),
        limit,
        near,
        counts: Counts::Alone,
        when: &[],
        source,
    }
}

/// A saturation: met when four samples of ten reach `limit`.
const fn saturation(
    signal: &'static str,
    limit: f64,
    counts: Counts,
    source: &'static str,
) -> Criterion {
    Criterion { signal, stat: OFTEN, limit, near: limit, counts, when: &[], source }
}

/// An error: met by this many events each second, averaged over the phase.
const fn errors(
    signal: &'static str,
    limit: f64,
    counts: Counts,
    source: &'static str,
) -> Criterion {
    Criterion { signal, stat: Stat::Mean, limit, near: limit, counts, when: &[], source }
}

impl Criterion {
    /// The same, where these hold too.
    const fn when(self, when: &'static [Condition]) -> Self {
        Self { when, ..self }
    }

    /// The same, near from here on.
    const fn near_from(self, near: f64) -> Self {
        Self { near, ..self }
    }

    /// The same, by another statistic.
    const fn by(self, stat: Stat) -> Self {
        Self { stat, ..self }
    }
}

/// Nothing is declared, so this is the start of each resource.
const BLANK: Resource = Resource {
    name: "",
    title: "",
    means: "",
    usual: "",
    utilization: &[],
    ceiling_known: true,
    saturation: &[],
    errors: &[],
    follows: &[],
    own: None,
    vital: false,
    blind: "",
    advice: "",
    standing: Standing::Finding,
    context: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_its_device() {
        assert!(is_path_of(Some("nvme0c1n2"), Some("nvme0n2")));
        for (path, device) in [
            ("nvme0c1n2", "nvme0n1"),
            ("nvme0n1", "nvme0n1"),
            ("nvme1c0n1", "nvme0n1"),
            ("nvmec0n1", "nvmen1"),
            ("sdc", "sd"),
        ] {
            assert!(!is_path_of(Some(path), Some(device)), "{path}");
        }
    }

    #[test]
    fn every_criterion_names_a_signal_and_a_source() {
        for resource in ALL {
            for criterion in resource.criteria() {
                assert!(catalogue::signal(criterion.signal).is_some(), "{}", criterion.signal);
                assert!(!criterion.source.is_empty(), "{}", criterion.signal);
                assert!(criterion.near <= criterion.limit, "{}", criterion.signal);
                for condition in criterion.when {
                    assert!(catalogue::signal(condition.signal()).is_some(), "{condition:?}");
                }
            }
            for (signal, _) in resource.context {
                assert!(catalogue::signal(signal).is_some(), "{signal}");
            }
            for relation in resource.follows {
                let root = ALL.iter().position(|other| other.name == relation.root);
                assert!(root.is_some(), "{}", relation.root);
            }
        }
    }
}
