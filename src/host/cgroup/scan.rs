//! All control groups of the machine that set a limit, whichever program made them, and which of
//! them are worth a place in every sample.
//!
//! A machine can have thousands. Each call of [`Watch::look`] walks and reads as many as
//! a small share of the time since the last call allows, so that the cost does not grow
//! with their number; what is not read in each sample is counted.

mod heat;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heat::{HOT, Heat};

use super::{Group, Version, cpu_quota, folders_of_self, io_limits, memory_limit, pids_limit};
use crate::host::Roots;

/// Groups that are visited at all; a machine with more is seen in part.
const MOST_VISITED: usize = 16_384;
/// Groups with a limit that are read with every sample, for one controller.
pub const MOST_KEPT: usize = 64;
/// Share of the time that walking the hierarchies may take,
const WALK_SHARE: f64 = 0.003;
/// and reading what shows that a group is at its limit.
const PROBE_SHARE: f64 = 0.004;
/// What one of both may take at a time,
const MOST_AT_ONCE: Duration = Duration::from_millis(20);
/// at least,
const LEAST_AT_ONCE: Duration = Duration::from_micros(200);
/// and at the first look, which shall see everything.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// From one walk to the next.
const WALK_EVERY: Duration = Duration::from_secs(3);
/// A new group gets its limits a moment after its folder,
const YOUNG: Duration = Duration::from_secs(15);
/// and those of an old one change rarely.
const LIMITS_LAST: Duration = Duration::from_secs(30);
/// Groups whose limits are read with each walk, however old they are.
const FEW: usize = 256;
/// A group that was at its limit is kept for this long.
const HOT_FOR: Duration = Duration::from_secs(30);
/// Samples after which those that are merely looked at in turn make room for others: enough
/// for a verdict on them.
const TURN: usize = 8;

/// What a limit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// Processes and threads.
    Tasks,
    /// Operations or bytes of a disk.
    Io,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Tasks, Self::Io];

    /// Its name in version 2, and in samples.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Tasks => "pids",
            Self::Io => "io",
        }
    }

    /// Its name in version 1.
    const fn old_name(self) -> &'static str {
        match self {
            Self::Io => "blkio",
            _ => self.name(),
        }
    }

    /// The limit that a group sets; `None` when it sets none.
    fn limit(self, group: &Group) -> Option<f64> {
        match self {
            Self::Cpu => cpu_quota(group),
            Self::Memory => memory_limit(group),
            Self::Tasks => pids_limit(group),
            Self::Io => io_limits(group).first().map(|one| one.most),
        }
    }
}

/// The groups to read with one sample, of one controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The groups.
    pub groups: Vec<Group>,
    /// How many set a limit, those that are chosen among them.
    pub limited: usize,
}

/// A group that was visited.
#[derive(Debug)]
struct Known {
    group: Group,
    /// Controllers of its hierarchy.
    serves: [bool; 4],
    /// Links of its folder, which are two more than the folders in it.
    links: u64,
    children: Vec<PathBuf>,
    found: Instant,
    limits_read: Instant,
    /// The walk that saw it last.
    walk: u64,
    /// What is known of each limit that it sets.
    limits: [Option<Heat>; 4],
}

/// Knows the groups of a machine.
#[derive(Debug, Default)]
pub struct Watch {
    known: BTreeMap<PathBuf, Known>,
    /// Groups that this process is in.
    ours: BTreeSet<PathBuf>,
    /// Folders that the walk still has to visit, with their hierarchy's version, mount and
    /// controllers.
    waiting: VecDeque<(Hierarchy, PathBuf)>,
    walk: u64,
    walked: Option<Instant>,
    /// Groups with a limit, in turn to be probed, and whose turn it is.
    probed: (Vec<PathBuf>, usize),
    looked: Option<Instant>,
    looks: usize,
    unvisited: usize,
}

#[derive(Debug, Clone)]
struct Hierarchy {
    version: Version,
    serves: [bool; 4],
    mount: PathBuf,
}

impl Watch {
    /// Go on with what there is to see, for a bounded time. To be called before each sample.
    pub fn look(&mut self, roots: &Roots, now: Instant) {
        let since = self.looked.map(|then| now.saturating_duration_since(then));
        let share = |share: f64| {
            since
                .map_or(FIRST_LOOK, |since| since.mul_f64(share).clamp(LEAST_AT_ONCE, MOST_AT_ONCE))
        };
        self.looked = Some(now);
        self.looks += 1;
        self.go_on(roots, now, share(WALK_SHARE));
        self.probe(now, share(PROBE_SHARE));
    }

    /// The groups of a controller to read with this sample: those that this process is in,
    /// those that are at their limit or near it, and of the others some in turn.
    pub fn chosen(&self, controller: Controller) -> Chosen {
        let mut all: Vec<(f64, &Known)> = self
            .known
            .values()
            .filter_map(|known| {
                let rank = known.heat(controller)?.rank();
                let is_ours = self.ours.contains(&known.group.path);
                Some((if is_ours { f64::INFINITY } else { rank }, known))
            })
            .collect();
        let limited = all.len();
        if limited > MOST_KEPT {
            // Stable, so that the others stay in the order of their paths.
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            let hot = all.iter().take_while(|(rank, _)| *rank >= HOT).count().min(MOST_KEPT);
            let places = MOST_KEPT - hot;
            let others = all.split_off(hot);
            let first = (self.looks / TURN).saturating_mul(places);
            let in_turn = others.iter().cycle().skip(first % others.len().max(1)).take(places);
            all.extend(in_turn);
        }
        Chosen { groups: all.into_iter().map(|(_, known)| known.group.clone()).collect(), limited }
    }

    /// Groups that were not even visited, at least.
    pub const fn unvisited(&self) -> usize {
        self.unvisited
    }

    /// Whether this process is in a group or in one below it.
    pub fn is_ours(&self, group: &Group) -> bool {
        self.ours.contains(&group.path)
    }

    /// Go on with the walk, or begin the next one when it is time.
    fn go_on(&mut self, roots: &Roots, now: Instant, most: Duration) {
        if self.waiting.is_empty() {
            if self.walked.is_some_and(|then| now.saturating_duration_since(then) < WALK_EVERY) {
                return;
            }
            self.begin_walk(roots, now);
        }
        let begun = cpu_time();
        let mut visited = 0_usize;
        while let Some((hierarchy, path)) = self.waiting.pop_front() {
            self.visit(&hierarchy, &path, now);
            visited += 1;
            // A look at the clock costs as much as a visit to a file.
            if visited.is_multiple_of(8) && cpu_time().saturating_sub(begun) >= most {
                break;
            }
        }
        if self.waiting.is_empty() {
            self.end_walk();
        }
    }

    fn begin_walk(&mut self, roots: &Roots, now: Instant) {
        self.walk += 1;
        self.walked = Some(now);
        self.ours = folders_of_self(roots);
        let mounts = roots.proc_text("self/mountinfo").unwrap_or_default();
        let hierarchies = mounts.lines().filter_map(hierarchy);
        let limiting = hierarchies.filter(|one| one.serves.contains(&true));
        self.waiting = limiting.map(|one| (one.clone(), one.mount)).collect();
        self.unvisited = 0;
    }

    fn end_walk(&mut self) {
        let walk = self.walk;
        self.known.retain(|_, known| known.walk == walk);
        let limited =
            self.known.iter().filter(|(_, known)| known.limits.iter().any(Option::is_some));
        self.probed.0 = limited.map(|(path, _)| path.clone()).collect();
    }

    fn visit(&mut self, hierarchy: &Hierarchy, path: &Path, now: Instant) {
        let Ok(metadata) = fs::metadata(path) else { return };
        let is_few = self.known.len() <= FEW;
        if !self.known.contains_key(path) {
            if self.known.len() >= MOST_VISITED {
                self.unvisited += 1;
                return;
            }
            let known = Known::new(hierarchy, path, now);
            self.known.insert(path.to_path_buf(), known);
        }
        let Some(known) = self.known.get_mut(path) else { return };
        known.walk = self.walk;
        let links = metadata.nlink();
        // Not every file system counts the folders in a folder.
        if links < 2 || links != known.links {
            known.links = links;
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            known.children = folders.map(|entry| entry.path()).collect();
            known.children.sort();
        }
        let since = |then: Instant| now.saturating_duration_since(then);
        let is_young = since(known.found) < YOUNG;
        if since(known.limits_read) >= if is_few || is_young { WALK_EVERY } else { LIMITS_LAST } {
            known.read_limits(now);
        }
        let below = known.children.iter().map(|child| (hierarchy.clone(), child.clone()));
        self.waiting.extend(below);
    }

    /// Read of the groups what shows whether they are at their limit, where not all of a
    /// controller can be read with each sample.
    fn probe(&mut self, now: Instant, most: Duration) {
        let crowded = Controller::ALL.map(|controller| {
            self.known.values().filter(|known| known.heat(controller).is_some()).count() > MOST_KEPT
        });
        if !crowded.contains(&true) {
            return;
        }
        let begun = cpu_time();
        let (paths, next) = &mut self.probed;
        for done in 0..paths.len() {
            if done > 0 && done.is_multiple_of(8) && cpu_time().saturating_sub(begun) >= most {
                return;
            }
            *next = if *next + 1 < paths.len() { *next + 1 } else { 0 };
            let Some(known) = paths.get(*next).and_then(|path| self.known.get_mut(path)) else {
                continue;
            };
            let limits = Controller::ALL.into_iter().zip(crowded).zip(&mut known.limits);
            for ((controller, _), heat) in limits.filter(|((_, crowded), _)| *crowded) {
                if let Some(heat) = heat {
                    heat.take(controller, &known.group, now);
                }
            }
        }
    }
}

/// CPU time that this thread has used: what a budget is spent in. On a busy machine the
/// thread waits for a core, and that costs nobody anything. Zero where the kernel does not
/// tell, so that no look ends early.
fn cpu_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

impl Known {
    fn new(hierarchy: &Hierarchy, path: &Path, now: Instant) -> Self {
        let below = path.strip_prefix(&hierarchy.mount).unwrap_or(path);
        let name = format!("/{}", below.display());
        let mut known = Self {
            group: Group { version: hierarchy.version, path: path.to_path_buf(), name },
            serves: hierarchy.serves,
            links: 0,
            children: Vec::new(),
            found: now,
            limits_read: now,
            walk: 0,
            limits: [const { None }; 4],
        };
        known.read_limits(now);
        known
    }

    /// What is known of its limit of a controller; `None` when it sets none.
    fn heat(&self, controller: Controller) -> Option<&Heat> {
        self.limits.get(controller as usize)?.as_ref()
    }

    fn read_limits(&mut self, now: Instant) {
        self.limits_read = now;
        for ((controller, serves), known) in
            Controller::ALL.into_iter().zip(self.serves).zip(&mut self.limits)
        {
            let limit = if serves { controller.limit(&self.group) } else { None };
            match (limit, known.as_mut()) {
                (Some(limit), Some(heat)) => heat.set_limit(limit),
                (Some(limit), None) => *known = Some(Heat::new(limit)),
                (None, _) => *known = None,
            }
        }
    }
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mount = PathBuf::from(left.split(' ').nth(4)?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1).unwrap_or(""));
    let version = match kind {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let serves = Controller::ALL.map(|controller| {
        version == Version::V2 || options.split(',').any(|name| name == controller.old_name())
    });
    Some(Hierarchy { version, serves, mount })
}

#[cfg(test)]
mod tests;
