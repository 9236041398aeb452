//! The embedded sampler: counters and gauges of /proc, /sys and the own
//! cgroup, under node_exporter's names, so that one catalogue serves both
//! sources. A file that cannot be read yields nothing, never zero.

mod cgroup;
mod cpu;
mod disk;
mod ethtool;
mod kernel;
mod memory;
mod namespaces;
mod network;
mod nfs;
mod ports;
mod processes;
mod qdisc;

use std::time::{Duration, Instant};

use ethtool::Allowances;
use namespaces::{Among, Namespaces};
use ports::Ports;
use processes::Processes;
use qdisc::Queues;

use crate::{
    host::{
        Roots,
        cgroup::{Groups, scan::Watch},
        clock::Clock,
        facts,
    },
    model::series::{Key, Snapshot},
};

/// Values read so far in one snapshot.
type Values = Vec<(Key, f64)>;

/// How often it looks for new namespaces and busy processes: walking
/// them costs more than a sample.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Reads a machine.
#[derive(Debug)]
pub struct Sampler {
    roots: Roots,
    /// Groups to read while they exist, our own first.
    groups: Vec<Groups>,
    watch: Watch,
    queues: Option<Queues>,
    allowances: Option<Allowances>,
    /// Who made the machine.
    vendor: Option<String>,
    namespaces: Namespaces,
    processes: Processes,
    ports: Ports,
    /// Which processors are threads of one core.
    topology: Values,
    looked: Option<Instant>,
    clock: Clock,
}

impl Sampler {
    /// A sampler of the machine below `roots`.
    pub fn new(roots: Roots, clock: Clock) -> Self {
        let groups = vec![Groups::of_self(&roots)];
        // The kernel answers for the machine we run on, and for no other root.
        let is_here = roots == Roots::default();
        let queues = is_here.then(Queues::open).flatten();
        let allowances = is_here.then(|| Allowances::open(&roots)).flatten();
        Self {
            allowances,
            vendor: facts::vendor(&roots),
            roots,
            groups,
            watch: Watch::default(),
            queues,
            namespaces: Namespaces::default(),
            processes: Processes::default(),
            ports: Ports::default(),
            topology: Values::new(),
            looked: None,
            clock,
        }
    }

    /// Read these groups too, whenever they exist.
    #[must_use]
    pub fn watching(mut self, more: Vec<Groups>) -> Self {
        self.groups.extend(more);
        self
    }

    /// Read everything once.
    pub fn sample(&mut self) -> Snapshot {
        if self.looked.is_none_or(|then| then.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            self.namespaces.scan(&self.roots, Among::All);
            self.processes.scan(&self.roots);
            self.ports.scan(&self.roots);
            self.topology = cpu::topology(&self.roots);
        } else {
            self.namespaces.scan(&self.roots, Among::New);
            self.processes.scan_new(&self.roots);
        }
        self.watch.look(&self.roots, Instant::now());
        let t = self.clock.now();
        let mut values = Values::new();
        let roots = &self.roots;
        cpu::sample(roots, &mut values);
        values.extend_from_slice(&self.topology);
        memory::sample(roots, &mut values);
        disk::sample(roots, &mut values);
        network::sample(roots, &mut values);
        nfs::sample(roots, &mut values);
        self.ports.sample(&mut values);
        kernel::sample(roots, &mut values);
        if let Some(vendor) = &self.vendor {
            labelled(&mut values, "node_dmi_info", ("system_vendor", vendor), 1.0);
        }
        if let Some(allowances) = &self.allowances {
            allowances.sample(&mut values);
        }
        cgroup::sample(&self.groups, &self.watch, &mut values);
        if let Some(queues) = &mut self.queues {
            queues.sample(str::to_owned, &mut values);
        }
        self.namespaces.sample(roots, &mut values);
        self.processes.sample(roots, &mut values);
        Snapshot { t, values }
    }
}

/// Add a value without labels.
fn plain(values: &mut Values, name: &str, value: f64) {
    values.push((Key::new(name, &[]), value));
}

/// Add a value with one label.
fn labelled(values: &mut Values, name: &str, label: (&str, &str), value: f64) {
    values.push((Key::new(name, &[label]), value));
}

/// The numbers of a line, split at white space; text becomes NaN, which no
/// series keeps.
fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().map(|word| word.parse().unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{catalogue, series::RawSet};

    #[test]
    fn this_machine_yields_the_signals_a_verdict_needs() {
        let mut sampler = Sampler::new(Roots::default(), Clock::start());
        let mut raw = RawSet::default();
        raw.push(&sampler.sample());
        std::thread::sleep(std::time::Duration::from_millis(150));
        raw.push(&sampler.sample());
        for name in ["cpu_busy", "cpu_core_max", "memory_used_ratio", "file_descriptors_ratio"] {
            let row = catalogue::signal(name).unwrap();
            let signals = row.expr.evaluate(&raw, 0.15);
            assert_eq!(signals.len(), 1, "{name}");
            let v = signals[0].points.last().unwrap().v;
            assert!((0.0..=1.05).contains(&v), "{name} = {v}");
        }
    }

    #[test]
    fn an_empty_root_yields_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let mut sampler = Sampler::new(roots, Clock::start());
        assert!(sampler.sample().values.is_empty());
    }
}
