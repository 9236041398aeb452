//! Network namespaces other than our own, which have interfaces, sockets and
//! queues of their own that no file of ours shows. Whatever process lives in
//! one shows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::PathBuf,
};

use nix::sched::{CloneFlags, setns};

use super::{Values, labelled, network, qdisc::Queues};
use crate::host::Roots;

/// Namespaces that are watched at once.
const MOST: usize = 8;
/// Processes that are looked at for their namespace.
const MOST_PROCESSES: usize = 4096;

/// A namespace that is watched.
#[derive(Debug)]
struct Namespace {
    /// Its name under /run/netns, or the program that lives in it.
    name: String,
    /// A process in it, relative to /proc.
    process: PathBuf,
    queues: Option<Queues>,
    /// How many ports connections can leave from.
    ports: Option<f64>,
}

/// The namespaces that are watched.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// By their inode.
    watched: BTreeMap<u64, Namespace>,
    /// How often each process was looked at.
    looks: BTreeMap<u32, u8>,
}

/// A process is looked at this often before it counts as known: it can enter
/// another namespace right after its start (`ip netns exec`).
const LOOKS: u8 = 2;

/// Which processes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    /// All of them.
    All,
    /// Those that are new: a namespace whose first process is the load itself is
    /// seen from its next sample on.
    New,
}

impl Namespaces {
    /// Look for namespaces that came, and among all processes for those that went.
    pub(super) fn scan(&mut self, roots: &Roots, among: Among) {
        let inode = |path: PathBuf| -> Option<u64> {
            let link = fs::read_link(roots.proc.join(path)).ok()?;
            link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
        };
        let Some(own) = inode("self/ns/net".into()) else { return };
        let mut seen: BTreeMap<u64, PathBuf> = BTreeMap::new();
        let mut looks = BTreeMap::new();
        let entries = fs::read_dir(&roots.proc).into_iter().flatten().flatten();
        for entry in entries.take(MOST_PROCESSES) {
            let name = entry.file_name();
            let Ok(number) = name.to_string_lossy().parse::<u32>() else { continue };
            let looked = self.looks.get(&number).copied().unwrap_or(0);
            looks.insert(number, LOOKS.min(looked + 1));
            if among == Among::New && looked >= LOOKS {
                continue;
            }
            let process = PathBuf::from(name);
            if let Some(found) = inode(process.join("ns/net")).filter(|found| *found != own) {
                seen.entry(found).or_insert(process);
            }
        }
        self.looks = looks;
        if among == Among::All {
            self.watched.retain(|inode, _| seen.contains_key(inode));
        }
        if seen.is_empty() {
            return;
        }
        let names = named();
        for (inode, process) in seen {
            if let Some(known) = self.watched.get_mut(&inode) {
                let (_, ports) = inside(roots.proc.join(process.join("ns/net")), false);
                known.ports = ports;
                known.process = process;
                continue;
            }
            if self.watched.len() >= MOST {
                break;
            }
            let comm = || roots.proc_text(process.join("comm")).unwrap_or_default();
            let name = names.get(&inode).cloned().unwrap_or_else(|| comm().trim().to_owned());
            let (queues, ports) = inside(roots.proc.join(process.join("ns/net")), true);
            self.watched.insert(inode, Namespace { name, process, queues, ports });
        }
    }

    /// Read each. An interface is called `name@namespace`.
    pub(super) fn sample(&mut self, roots: &Roots, values: &mut Values) {
        let mut taken = BTreeSet::new();
        for (inode, namespace) in &mut self.watched {
            // Two of one name are told apart by their number.
            let mut name = namespace.name.clone();
            if !taken.insert(name.clone()) {
                name = format!("{name}-{inode}");
            }
            let label = |device: &str| format!("{device}@{name}");
            let net = namespace.process.join("net");
            if let Some(text) = roots.proc_text(net.join("dev")) {
                network::interfaces(&text, label, values);
            }
            for file in ["snmp", "netstat", "sockstat"] {
                let text = roots.proc_text(net.join(file)).unwrap_or_default();
                for (metric, count) in network::sockets(file, &text) {
                    let metric = format!("stressor_netns_{metric}");
                    labelled(values, &metric, ("netns", &name), count);
                }
            }
            if let Some(ports) = namespace.ports {
                labelled(values, "stressor_netns_ports", ("netns", &name), ports);
            }
            if let Some(queues) = &mut namespace.queues {
                queues.sample(label, values);
            }
        }
    }
}

/// The names that `ip netns` gave, by inode.
fn named() -> BTreeMap<u64, String> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let inode = fs::metadata(entry.path()).ok()?.ino();
            Some((inode, entry.file_name().to_string_lossy().into_owned()))
        })
        .collect()
}

/// A socket and the range of ports of a namespace. Needs a privilege; without
/// it, its interfaces and counters are still seen.
fn inside(path: PathBuf, queues: bool) -> (Option<Queues>, Option<f64>) {
    // A thread that goes there never comes back; it ends there.
    let visitor = std::thread::Builder::new().spawn(move || {
        let file = File::open(path).ok()?;
        setns(&file, CloneFlags::CLONE_NEWNET).ok()?;
        // /proc/sys/net shows the reading thread's namespace.
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
        Some((queues.then(Queues::open).flatten(), range.as_deref().and_then(network::ports_of)))
    });
    visitor.ok().and_then(|visitor| visitor.join().ok()).flatten().unwrap_or((None, None))
}
