//! The resources that can give out. Each is a file that declares its signals,
//! its thresholds with their sources, and what it can be a consequence of;
//! adding one is adding a file and its line here.

mod cpu;
mod cpu_core;
mod cpu_quota;
mod cpu_steal;
mod disk;
mod file_descriptors;
mod filesystem;
mod inodes;
mod memory;
mod memory_limit;
mod network;
mod pids;
mod tcp_listen;
mod udp_receive;

use crate::model::stats::Stat;

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
    /// Where the threshold comes from.
    pub source: &'static str,
}

/// When a met criterion of saturation or error counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Only when utilization is at its limit.
    AtLimit,
    /// Only when utilization is near its limit.
    Near,
    /// In any case.
    Alone,
    /// Only at the limit, and only when no other saturation signal is seen.
    Substitute,
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
    /// Why it follows.
    pub why: &'static str,
}

/// A resource.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// Its word in the vocabulary.
    pub name: &'static str,
    /// Its name in a sentence: `the CPU`, `disk {device}`.
    pub title: &'static str,
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
}

/// All resources, in causal order: of two that are equally near to their
/// limit, the earlier is more likely the root.
pub static ALL: &[&Resource] = &[
    &memory_limit::RESOURCE,
    &cpu_quota::RESOURCE,
    &cpu_steal::RESOURCE,
    &memory::RESOURCE,
    &disk::RESOURCE,
    &cpu::RESOURCE,
    &cpu_core::RESOURCE,
    &network::RESOURCE,
    &filesystem::RESOURCE,
    &inodes::RESOURCE,
    &file_descriptors::RESOURCE,
    &pids::RESOURCE,
    &tcp_listen::RESOURCE,
    &udp_receive::RESOURCE,
];

/// The resource of a name.
pub fn resource(name: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|resource| resource.name == name)
}

/// A utilization: met from `limit` on by the median sample, near from `near`.
const fn utilization(
    signal: &'static str,
    limit: f64,
    near: f64,
    source: &'static str,
) -> Criterion {
    Criterion { signal, stat: Stat::Percentile(50), limit, near, counts: Counts::Alone, source }
}

/// A utilization of something that fills up and stays full: met when a tenth
/// of the phase's samples reach the limit. A machine that takes half a phase
/// to fill its memory has filled it all the same.
const fn level(signal: &'static str, limit: f64, near: f64, source: &'static str) -> Criterion {
    Criterion { signal, stat: Stat::Percentile(90), limit, near, counts: Counts::Alone, source }
}

/// A saturation: met from `limit` on by the median sample.
const fn saturation(
    signal: &'static str,
    limit: f64,
    counts: Counts,
    source: &'static str,
) -> Criterion {
    Criterion { signal, stat: Stat::Percentile(50), limit, near: limit, counts, source }
}

/// An error: met by this many events each second, averaged over the phase.
const fn errors(
    signal: &'static str,
    limit: f64,
    counts: Counts,
    source: &'static str,
) -> Criterion {
    Criterion { signal, stat: Stat::Mean, limit, near: limit, counts, source }
}

/// Nothing is declared, so this is the start of each resource.
const BLANK: Resource = Resource {
    name: "",
    title: "",
    utilization: &[],
    ceiling_known: true,
    saturation: &[],
    errors: &[],
    follows: &[],
    own: None,
    vital: false,
    blind: "",
    advice: "",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue;

    #[test]
    fn every_criterion_names_a_signal_and_a_source() {
        for resource in ALL {
            let all = resource.utilization.iter().chain(resource.saturation).chain(resource.errors);
            for criterion in all {
                assert!(catalogue::signal(criterion.signal).is_some(), "{}", criterion.signal);
                assert!(!criterion.source.is_empty(), "{}", criterion.signal);
                assert!(criterion.near <= criterion.limit, "{}", criterion.signal);
            }
            for relation in resource.follows {
                let root = ALL.iter().position(|other| other.name == relation.root);
                assert!(root.is_some(), "{}", relation.root);
            }
        }
    }
}
