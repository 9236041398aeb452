//! From the labels of an answer to the machine it describes. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::machines::{Labels, Machine};
use crate::model::time::Timestamp;

/// Series that could not be assigned to one machine, and were left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Strays {
    /// By series key of the machine: the labels in which series of one signal and device
    /// differ.
    pub conflicts: BTreeMap<String, BTreeSet<String>>,
    /// Series that belong to no machine that was found: by `instance`, the labels of one.
    pub unknown: BTreeMap<String, String>,
}

impl Strays {
    /// Adds those of another window.
    pub fn extend(&mut self, other: Self) {
        for (machine, labels) in other.conflicts {
            self.conflicts.entry(machine).or_default().extend(labels);
        }
        for (instance, labels) in other.unknown {
            self.unknown.entry(instance).or_insert(labels);
        }
    }
}

/// Which machine, and which of its targets.
type Place = (usize, usize);

/// Machines and their targets by labels.
#[derive(Debug)]
pub(super) struct Places {
    /// By all labels of a target.
    exact: HashMap<Labels, Place>,
    /// By `instance`: all its targets.
    by_instance: HashMap<String, Vec<(Labels, Place)>>,
}

impl Places {
    pub(super) fn new(machines: &[Machine]) -> Self {
        let mut places = Self { exact: HashMap::new(), by_instance: HashMap::new() };
        for (number, machine) in machines.iter().enumerate() {
            for (at, target) in machine.targets.iter().enumerate() {
                places.exact.insert(target.labels.clone(), (number, at));
                let same = places.by_instance.entry(machine.instance.clone()).or_default();
                same.push((target.labels.clone(), (number, at)));
            }
        }
        places
    }

    /// The machine and target that series with these labels describe. Labels that the
    /// target does not have, or lacks here, are accepted as long as none contradicts and
    /// only one target fits.
    pub(super) fn find(&self, labels: &Labels) -> Option<Place> {
        if let Some(place) = self.exact.get(labels) {
            return Some(*place);
        }
        let instance = labels.get("instance").map_or("", String::as_str);
        let fits = |target: &Labels| {
            labels.iter().all(|(name, value)| target.get(name).is_none_or(|own| own == value))
        };
        let mut all = self.by_instance.get(instance)?.iter().filter(|(target, _)| fits(target));
        let (_, place) = all.next()?;
        all.next().is_none().then_some(*place)
    }

    /// Whether a machine has this `instance`.
    pub(super) fn knows(&self, instance: &str) -> bool {
        self.by_instance.contains_key(instance)
    }
}

/// Of machines that are seen twice: which target has a fresh sample at each moment.
#[derive(Debug, Default)]
pub(super) struct Owners(pub(super) BTreeMap<usize, BTreeMap<Timestamp, usize>>);

impl Owners {
    /// Whether a machine's samples of this moment are taken from this target. Where no
    /// target has a fresh one, the first counts.
    pub(super) fn is_owner(&self, machine: usize, target: usize, t: Timestamp) -> bool {
        self.0.get(&machine).is_none_or(|owners| owners.get(&t).copied().unwrap_or(0) == target)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::machines::ScrapeTarget, *};

    fn labels(all: &[(&str, &str)]) -> Labels {
        all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn machine(targets: &[&[(&str, &str)]]) -> Machine {
        let targets: Vec<ScrapeTarget> = targets
            .iter()
            .map(|all| ScrapeTarget { labels: labels(all), ..ScrapeTarget::default() })
            .collect();
        Machine { instance: targets[0].label("instance").to_owned(), targets, ..Machine::default() }
    }

    #[test]
    fn series_are_assigned_by_all_labels_of_the_target() {
        let places = Places::new(&[
            machine(&[&[("instance", "a"), ("cluster", "eu")]]),
            machine(&[&[("instance", "a"), ("cluster", "us")]]),
        ]);
        assert_eq!(places.find(&labels(&[("instance", "a"), ("cluster", "us")])), Some((1, 0)));
        // Of which cluster it is, is not known.
        assert_eq!(places.find(&labels(&[("instance", "a")])), None);
        assert_eq!(places.find(&labels(&[("instance", "a"), ("cluster", "asia")])), None);
        assert!(places.knows("a"));
    }

    #[test]
    fn labels_that_do_not_contradict_are_accepted() {
        let places = Places::new(&[machine(&[&[("instance", "a"), ("job", "node")]])]);
        assert_eq!(places.find(&labels(&[("instance", "a")])), Some((0, 0)));
        assert_eq!(places.find(&labels(&[("instance", "a"), ("shard", "1")])), Some((0, 0)));
        assert_eq!(places.find(&labels(&[("instance", "a"), ("job", "mysqld")])), None);
        assert_eq!(places.find(&labels(&[("instance", "b")])), None);
    }

    #[test]
    fn a_replica_fills_in_where_the_first_has_no_sample() {
        let owners = Owners(BTreeMap::from([(0, BTreeMap::from([(Timestamp(1), 1)]))]));
        assert!(owners.is_owner(0, 1, Timestamp(1)) && !owners.is_owner(0, 0, Timestamp(1)));
        assert!(owners.is_owner(0, 0, Timestamp(2)));
        assert!(owners.is_owner(1, 0, Timestamp(1)));
    }
}
