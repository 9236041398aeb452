//! Prepares a run: checks, nodes, folder, and everything the conductor needs.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::{
    conductor::Conductor,
    exits::Exits,
    guards::Guards,
    live::{Newest, Update},
    nodes::{self, Nodes},
    sampling::{self, Sampling},
    scraping::Scraping,
    signals,
};
use crate::{
    host::{Roots, cgroup::Groups, clock::Clock, memory::Memory},
    load::{
        Loader, groups, loader,
        preflight::{self, Preflight},
        targets,
    },
    model::{
        run::{Manifest, RUN_SCHEMA, State},
        time::Timestamp,
    },
    scenario::{explain, plan::Plan},
    store::{self, folder::RunFolder, journal::Journal, names},
    telemetry::proc::Sampler,
};

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where runs are kept.
    pub reports: PathBuf,
    /// The run's name; `run-N` without one.
    pub name: Option<String>,
    /// The scenario as given.
    pub scenario_text: String,
    /// `--set` values.
    pub overrides: Vec<String>,
    /// Free labels.
    pub tags: std::collections::BTreeMap<String, String>,
    /// Where /proc and /sys are.
    pub roots: Roots,
    /// Start although a safety limit would be crossed.
    pub unsafe_limits: bool,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Where it is kept.
    pub folder: RunFolder,
    /// How far it came.
    pub state: State,
    /// The signal that ended it.
    pub signal: Option<Signal>,
}

/// Why a run could not take place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that must hold before a start does not.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The nodes could not be found.
    #[error(transparent)]
    Nodes(#[from] nodes::Error),
    /// The load failed.
    #[error(transparent)]
    Load(#[from] loader::Error),
    /// The run could not be kept.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Carry out a plan. The caller must have one thread.
///
/// # Errors
/// When the run cannot start, or its folder cannot be written. A run that
/// started leaves its folder in any case.
pub fn conduct(
    plan: &Plan,
    options: &Options,
    show: &mut dyn FnMut(Update),
) -> Result<Outcome, Error> {
    let cores = crate::host::allowed_cores();
    let found = preflight::check(plan, &options.roots, &cores, options.unsafe_limits);
    if !found.refusals.is_empty() {
        return Err(Error::Refused(found.refusals));
    }
    let plan = &targets::resolve(plan).map_err(Error::Refused)?;
    let machine = preflight::machine(&options.roots, &cores);
    let reserve = reserve(options);
    // Before anything makes a thread: see `Loader::new`.
    let loader = Loader::new(plan, machine.cores, reserve)?;
    sampling::prefer();
    let ending = signals::listen();
    // The run must survive what it does to the machine; the workers go first.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-500");
    show(Update::Line(explain::worst_case_line(plan, machine)));
    let nodes = nodes::resolve(plan, &options.roots)?;
    let folder = RunFolder::create(&options.reports, options.name.as_deref())?;
    folder.replace(names::SCENARIO, options.scenario_text.as_bytes())?;
    let clock = Clock::start();
    let manifest = manifest(plan, options, &folder, &nodes, &found, clock.now());
    folder.write_manifest(&manifest)?;
    for note in &manifest.notes {
        show(Update::Warning(note.clone()));
    }
    let sampler =
        Sampler::new(options.roots.clone(), clock).watching(groups::watched(plan, &options.roots));
    let sampling = Sampling::start(sampler, plan.telemetry.interval);
    let scraping = nodes.source.map(|source| Scraping::start(source, manifest.start, clock));
    let mut conductor = Conductor {
        plan,
        machine,
        clock,
        loader,
        journal: Journal::create(&folder)?,
        folder,
        manifest,
        snapshots: sampling.snapshots.clone(),
        sampling: Some(sampling),
        scraping,
        ending,
        guards: Guards::new(&plan.aborts),
        exits: Exits::new(options.roots.clone()),
        newest: Newest::default(),
        achieved: String::new(),
        load_readings: Vec::new(),
        show,
    };
    let stop = conductor.phases();
    Ok(conductor.finish(stop))
}

/// Bytes of the host's memory that workers must leave.
fn reserve(options: &Options) -> u64 {
    if options.unsafe_limits {
        return 0;
    }
    let groups = Groups::default();
    Memory::read(&options.roots, &groups).map_or(0, Memory::reserve)
}

fn manifest(
    plan: &Plan,
    options: &Options,
    folder: &RunFolder,
    nodes: &Nodes,
    preflight: &Preflight,
    start: Timestamp,
) -> Manifest {
    let mut notes = preflight.notes.clone();
    notes.extend(nodes.notes.iter().cloned());
    Manifest {
        schema: RUN_SCHEMA,
        id: folder.id(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        state: State::Running,
        recovered: false,
        start,
        end: None,
        scenario: plan.name.clone(),
        description: plan.description.clone(),
        overrides: options.overrides.clone(),
        phases: Vec::new(),
        nodes: nodes.records.clone(),
        telemetry: nodes.telemetry.clone(),
        tags: options.tags.clone(),
        notes,
        stopped: None,
    }
}
