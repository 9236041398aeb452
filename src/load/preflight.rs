//! What is checked before anything starts: that the host keeps its reserves.

use std::{
    collections::BTreeSet,
    io::{Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

use crate::{
    host::{Roots, cgroup::Groups, effective_cores, memory::Memory},
    model::units::{show_bytes, show_duration},
    scenario::{
        explain::{self, Machine},
        plan::{DiskWork, Engine, FilesWork, LoadPlan, Plan, Work, Workers},
    },
};

use super::{groups, scratch, targets, traces, workers::disk};

/// What the preflight found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Reasons not to start; each with what to do.
    pub refusals: Vec<String>,
    /// What the user should know but need not act on.
    pub notes: Vec<String>,
}

/// Check a plan against this machine. With `unsafe_limits`, what would be
/// refused is only noted.
pub fn check(plan: &Plan, roots: &Roots, cores: &[usize], unsafe_limits: bool) -> Preflight {
    // What other nodes carry is theirs to check.
    let plan = &carried_here(plan);
    let mut found = Preflight::default();
    let groups = Groups::of_self(roots);
    let usable = machine(roots, cores).cores;
    if let Some(memory) = Memory::read(roots, &groups) {
        check_memory(plan, memory, usable, &mut found);
    }
    check_disk(plan, usable, &mut found);
    check_counts(plan, roots, cores, &mut found);
    check_duration(plan, &mut found);
    check_groups(plan, roots, &mut found);
    check_cores(plan, cores, &mut found);
    check_uring(plan, &mut found);
    // Harm to others, or to data, is no matter of this host's limits; and
    // nobody can work where there is no place.
    let elsewhere = targets::resolve(plan).err().unwrap_or_default();
    if unsafe_limits {
        let refusals = std::mem::take(&mut found.refusals);
        found.notes.extend(refusals.into_iter().map(|text| format!("--unsafe: {text}")));
    }
    found.refusals.extend(elsewhere);
    check_places(plan, &mut found);
    found
}

/// The plan without loads that have no workers here.
fn carried_here(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for phase in &mut plan.phases {
        phase.loads.retain(|load| load.workers != Workers::Count(0));
    }
    plan
}

/// What this machine offers to a plan.
pub fn machine(roots: &Roots, cores: &[usize]) -> Machine {
    let available = Memory::read(roots, &Groups::of_self(roots)).map_or(0, Memory::available);
    Machine { cores: effective_cores(roots, cores.len()).0, available }
}

/// Say which limit the numbers of workers come from.
fn check_counts(plan: &Plan, roots: &Roots, cores: &[usize], found: &mut Preflight) {
    let by_cores = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.loads)
        .any(|load| matches!(load.workers, Workers::PerCore(_)));
    if let (true, (usable, Some(why))) = (by_cores, effective_cores(roots, cores.len())) {
        found.notes.push(format!("`per-core` counts {usable}, by {why}"));
    }
}

fn check_duration(plan: &Plan, found: &mut Preflight) {
    if plan.duration() > plan.max_duration {
        found.refusals.push(format!(
            "the phases take {} together, and {} is the most: shorten them, or set `max_duration`",
            show_duration(plan.duration()),
            show_duration(plan.max_duration),
        ));
    }
    let real_time = |load: &LoadPlan| load.scheduler.is_real_time();
    let throttle = std::fs::read_to_string("/proc/sys/kernel/sched_rt_runtime_us");
    if plan.phases.iter().flat_map(|phase| &phase.loads).any(real_time)
        && throttle.is_ok_and(|text| text.trim() == "-1")
    {
        found.refusals.push(
            "real-time workers would never give a core back, as kernel.sched_rt_runtime_us is -1: set it to 950000, use another `scheduler`, or pass --unsafe"
                .to_owned(),
        );
    }
}

/// Make the cgroups once, to see that they can be had.
fn check_groups(plan: &Plan, roots: &Roots, found: &mut Preflight) {
    let mut seen = Vec::new();
    for load in plan.phases.iter().flat_map(|phase| &phase.loads) {
        let Some(limits) = load.cgroup else { continue };
        let folder = groups::folder(load);
        if seen.contains(&(limits, folder.clone())) {
            continue;
        }
        match groups::make(roots, limits, &folder, &groups::name(traces::owner(), 0, 0)) {
            Ok(made) => made.remove(),
            Err(error) => found.refusals.push(format!(
                "no cgroup can be made for a load: {error}; run as root, or in a group that is delegated to you"
            )),
        }
        seen.push((limits, folder));
    }
}

fn check_memory(plan: &Plan, memory: Memory, cores: u32, found: &mut Preflight) {
    let machine = Machine { cores, available: memory.available() };
    let worst = explain::worst_case(plan, machine).memory;
    if worst == 0 {
        return;
    }
    // Within a cgroup's limit only our own processes can be killed.
    if let Some(left) = memory.cgroup_left.filter(|left| *left < memory.host_available)
        && worst > left
    {
        found.notes.push(format!(
                "the load asks for {} of memory, the cgroup leaves {}: workers may be OOM-killed (or slowed down, where memory.high is the limit), which the report will show",
                show_bytes(worst as f64),
                show_bytes(left as f64),
            ));
    }
    let growth = memory.cgroup_left.map_or(worst, |left| worst.min(left));
    let after = memory.host_available.saturating_sub(growth);
    if after < memory.reserve() {
        found.refusals.push(format!(
            "the load asks for {} of memory and would leave {} of the host's {}; {} (the larger of 256 MiB and 5 %) must stay available: ask for at most {}, or pass --unsafe",
            show_bytes(worst as f64),
            show_bytes(after as f64),
            show_bytes(memory.total as f64),
            show_bytes(memory.reserve() as f64),
            show_bytes(memory.host_available.saturating_sub(memory.reserve()) as f64),
        ));
    }
}

fn check_disk(plan: &Plan, cores: u32, found: &mut Preflight) {
    let mut folders: Vec<(PathBuf, u64)> = Vec::new();
    for phase in &plan.phases {
        let mut taken: Vec<(PathBuf, u64)> = Vec::new();
        for load in &phase.loads {
            let workers = u64::from(load.workers.resolve(cores));
            let (folder, each) = match &load.work {
                Work::Disk(DiskWork { file: Some(_), .. }) => continue,
                Work::Disk(work) => (&work.directory, work.file_size),
                Work::Files(work) => (
                    &work.directory,
                    work.file_size.max(explain::BLOCK_BYTES).saturating_mul(work.count),
                ),
                _ => continue,
            };
            let folder = folder.clone().unwrap_or_else(|| PathBuf::from("."));
            let bytes = each.saturating_mul(workers);
            match taken.iter_mut().find(|(known, _)| *known == folder) {
                Some((_, sum)) => *sum = sum.saturating_add(bytes),
                None => taken.push((folder, bytes)),
            }
        }
        for (folder, bytes) in taken {
            match folders.iter_mut().find(|(known, _)| *known == folder) {
                Some((_, most)) => *most = (*most).max(bytes),
                None => folders.push((folder, bytes)),
            }
        }
    }
    for (folder, bytes) in folders {
        if let Err(refusal) = check_folder(&folder, bytes) {
            found.refusals.push(refusal);
        }
    }
}

/// Refuse files that are not there, not large enough, or in use, and folders
/// in which no file can be made.
fn check_places(plan: &Plan, found: &mut Preflight) {
    let mut folders = BTreeSet::new();
    for load in plan.phases.iter().flat_map(|phase| &phase.loads) {
        let here = || PathBuf::from(".");
        let (work, path) = match &load.work {
            Work::Disk(work @ DiskWork { file: Some(path), .. }) => (work, path),
            Work::Disk(DiskWork { directory, .. }) | Work::Files(FilesWork { directory, .. }) => {
                folders.insert(directory.clone().unwrap_or_else(here));
                continue;
            }
            _ => continue,
        };
        let shown = path.display();
        let refusal = match disk::existing(work, path, true)
            .and_then(|mut file| file.seek(SeekFrom::End(0)))
        {
            Ok(size) if size < work.file_size => format!(
                "{shown} has {}, less than the {} that the load is to use: set a smaller `file_size`",
                show_bytes(size as f64),
                show_bytes(work.file_size as f64),
            ),
            Ok(_) => continue,
            Err(error) => format!("{shown} cannot be used by a disk load: {error}"),
        };
        found.refusals.push(refusal);
    }
    for folder in folders {
        if let Err(error) = scratch::file(&folder, false) {
            found.refusals.push(format!(
                "no scratch file can be made in {}: {error}; set `directory` to a folder that can be written",
                folder.display()
            ));
        }
    }
}

fn check_folder(folder: &Path, bytes: u64) -> Result<(), String> {
    // One that is not there is told by `check_places`.
    let Ok(space) = statvfs(folder) else { return Ok(()) };
    let free = space.blocks_available() * space.fragment_size();
    let total = space.blocks() * space.fragment_size();
    let floor = (256 << 20).max(total / 20);
    if free.saturating_sub(bytes) < floor {
        return Err(format!(
            "scratch files of {} in {} would leave less than {} (the larger of 256 MiB and 5 %) of the {} that are free: use a smaller `file_size` or another `directory`, or pass --unsafe",
            show_bytes(bytes as f64),
            folder.display(),
            show_bytes(floor as f64),
            show_bytes(free as f64),
        ));
    }
    Ok(())
}

/// Say when disk loads have to do without io_uring, or cannot.
fn check_uring(plan: &Plan, found: &mut Preflight) {
    let wanted: Vec<&DiskWork> = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.loads)
        .filter_map(|load| match &load.work {
            Work::Disk(work) if work.wants_uring() => Some(work),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return;
    }
    let Err(error) = disk::uring_works() else { return };
    if wanted.iter().any(|work| work.engine == Engine::Uring) {
        found.refusals.push(format!(
            "`engine = \"io_uring\"` cannot be had: {error} (switched off by kernel.io_uring_disabled, or forbidden by a container's seccomp filter?); use \"auto\" or \"threads\""
        ));
    } else {
        found.notes.push(format!(
            "io_uring cannot be used ({error}): disk loads keep operations in flight by a thread for each"
        ));
    }
}

fn check_cores(plan: &Plan, cores: &[usize], found: &mut Preflight) {
    let mut missing: Vec<usize> = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.loads)
        .flat_map(|load| &load.cores)
        .copied()
        .filter(|core| !cores.contains(core))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        found.refusals.push(format!(
            "cores {missing:?} are asked for, this process may use {cores:?}: change `cores`"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn plan(load: &str) -> Plan {
        let text = format!(
            "name = \"t\"\n[[phase]]\nname = \"load\"\nduration = \"1s\"\n[[phase.load]]\n{load}"
        );
        scenario::parse("t.toml", &text, &[]).unwrap()
    }

    fn refusals(load: &str) -> Vec<String> {
        check(&plan(load), &Roots::default(), &[0, 1], false).refusals
    }

    #[test]
    fn memory_beyond_the_reserve_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        std::fs::write(
            folder.path().join("meminfo"),
            "MemTotal: 10000000 kB\nMemAvailable: 1000000 kB\n",
        )
        .unwrap();
        let check = |size: &str, unsafe_limits| {
            check(
                &plan(&format!("kind = \"memory\"\nsize = \"{size}\"")),
                &roots,
                &[0],
                unsafe_limits,
            )
        };
        assert!(check("400M", false).refusals.is_empty());
        assert_eq!(check("600M", false).refusals.len(), 1);
        assert_eq!(check("600M", true).refusals.len(), 0);
        assert_eq!(check("600M", true).notes.len(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_refused() {
        assert_eq!(refusals("kind = \"disk\"\ndirectory = \"/nonexistent\"").len(), 1);
        assert_eq!(
            refusals("kind = \"disk\"\nfile_size = \"900T\"\ndirectory = \"/tmp\"").len(),
            1
        );
    }

    #[test]
    fn a_core_that_is_not_there_is_refused() {
        assert_eq!(refusals("kind = \"cpu\"\ncores = [0, 999]").len(), 1);
        assert!(refusals("kind = \"cpu\"\ncores = [0]").is_empty());
    }
}
