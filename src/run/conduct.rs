//! Prepares a run: checks, nodes, folder, and everything the conductor needs.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{
    annotations::{Annotations, Grafana},
    conductor::Conductor,
    crew::{self, Crew},
    exits::Exits,
    guards::Guards,
    listen::Listen,
    live::{Newest, Update},
    nodes::{self, Nodes},
    push::{Push, Receiving},
    sampling::{self, Sampling},
    scraping::Scraping,
    series::Shared,
    signals,
};

use crate::{
    fleet::{
        remote::Task,
        transport::Transport,
        wire::{SCHEMA, ToAgent},
    },
    host::{Roots, cgroup::Groups, clock::Clock, facts, memory::Memory},
    load::{
        Loader, groups, loader,
        preflight::{self, Preflight},
        targets,
    },
    model::{
        run::{Manifest, RUN_SCHEMA, State},
        time::Timestamp,
    },
    scenario::{self, explain, plan::Plan},
    store::{self, folder::RunFolder, journal::Journal, names},
    telemetry::proc::Sampler,
};

/// How often the run's own series are pushed, at most.
const PUSH_EVERY: Duration = Duration::from_secs(1);

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
    /// Where the run's own series can be scraped.
    pub listen: Option<SocketAddr>,
    /// Who the run's own series are pushed to.
    pub remote_write: Option<Receiving>,
    /// The Grafana that is told of phases.
    pub grafana: Option<Grafana>,
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
    /// The kernel gives no thread.
    #[error(
        "no thread can be started ({0}): raise the limit of processes (`ulimit -u`, or `pids.max` of the cgroup)"
    )]
    Thread(std::io::Error),
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
    let whole = plan;
    let hostname = facts::read(&options.roots).hostname;
    let here = nodes::carried_here(whole, &hostname);
    // What this machine carries; other nodes get the scenario as it is.
    let plan = &match here {
        None => whole.without_load(),
        Some(name) => {
            let (text, set) = (&options.scenario_text, &options.overrides);
            scenario::parse_for("the scenario", text, set, &name)
                .map_err(|error| Error::Refused(vec![error.to_string()]))?
        }
    };
    let cores = crate::host::allowed_cores();
    let found = preflight::check(plan, &options.roots, &cores, options.unsafe_limits);
    if !found.refusals.is_empty() {
        return Err(Error::Refused(found.refusals));
    }
    let plan = &targets::resolve(plan).map_err(Error::Refused)?;
    let machine = preflight::machine(&options.roots, &cores);
    let reserve = reserve(&options.roots, options.unsafe_limits);
    // Before anything makes a thread: see `Loader::new`.
    let loader = Loader::new(plan, machine.cores, reserve)?;
    let series = Shared::default();
    let listen = options.listen.map(|address| listen(address, &series)).transpose()?;
    sampling::prefer();
    let ending = signals::listen().map_err(Error::Thread)?;
    // The run must survive what it does to the machine; the workers go first.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-500");
    show(Update::Line(explain::worst_case_line(plan, machine)));
    let mut nodes = nodes::resolve(whole, &options.roots)?;
    let clock = Clock::start();
    let max_errors = whole.fleet.max_errors.unwrap_or(0);
    let (crew, missing) = crew::muster(
        loader,
        &tasks(whole, options),
        clock,
        (whole.fleet.max_concurrency, max_errors),
    )
    .map_err(Error::Refused)?;
    introduce(&crew, missing, &mut nodes);
    let folder = RunFolder::create(&options.reports, options.name.as_deref())?;
    folder.replace(names::SCENARIO, options.scenario_text.as_bytes())?;
    let manifest = manifest(plan, options, &folder, &nodes, &found, clock.now());
    folder.write_manifest(&manifest)?;
    for note in &manifest.notes {
        show(Update::Warning(note.clone()));
    }
    let here = manifest.nodes.iter().find(|node| node.loaded && !node.agent);
    let here = here.or(manifest.nodes.first()).map(|node| node.name.clone()).unwrap_or_default();
    series.with(|series| series.of(&manifest.id, &manifest.scenario, &here));
    let (push, annotations) =
        tell_others(options, &series, clock, plan.telemetry.interval, &manifest.id)
            .map_err(Error::Thread)?;
    let sampler =
        Sampler::new(options.roots.clone(), clock).watching(groups::watched(plan, &options.roots));
    let sampling = Sampling::start(sampler, plan.telemetry.interval).map_err(Error::Thread)?;
    let scraping = nodes
        .source
        .map(|source| Scraping::start(source, manifest.nodes.clone(), manifest.start, clock))
        .transpose()
        .map_err(Error::Thread)?;
    let mut conductor = Conductor {
        plan,
        whole,
        machine,
        clock,
        crew,
        most_lost: whole.fleet.max_errors,
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
        others: BTreeMap::new(),
        columns: BTreeMap::new(),
        achieved: String::new(),
        load_readings: Vec::new(),
        series,
        _listen: listen,
        push,
        annotations,
        show,
    };
    let stop = conductor.phases();
    Ok(conductor.finish(stop))
}

/// What each node that is loaded from here is told.
fn tasks(plan: &Plan, options: &Options) -> Vec<Task> {
    let far = plan.nodes.iter().filter_map(|node| Some((node, node.way.as_ref()?)));
    far.enumerate()
        .map(|(index, (node, way))| Task {
            index,
            node: node.name.clone(),
            transport: Transport::from(way),
            plan: ToAgent::Plan {
                schema: SCHEMA,
                node: node.name.clone(),
                scenario: options.scenario_text.clone(),
                overrides: options.overrides.clone(),
                unsafe_limits: options.unsafe_limits,
            },
        })
        .collect()
}

/// What nodes said of themselves, into their records.
fn introduce(crew: &Crew, missing: Vec<(String, String)>, nodes: &mut Nodes) {
    for remote in &crew.remotes {
        if let Some(record) = nodes.records.iter_mut().find(|record| record.name == remote.name) {
            record.host = remote.host.clone();
        }
        nodes.notes.extend(remote.notes.iter().map(|note| format!("{}: {note}", remote.name)));
    }
    for (node, why) in missing {
        if let Some(record) = nodes.records.iter_mut().find(|record| record.name == node) {
            record.loaded = false;
        }
        nodes.notes.push(format!("{node} took no part: {why}"));
    }
}

/// Start to tell those who asked for it: a receiver of series, a Grafana.
fn tell_others(
    options: &Options,
    series: &Shared,
    clock: Clock,
    interval: Duration,
    run: &str,
) -> std::io::Result<(Option<Push>, Option<Annotations>)> {
    let every = interval.max(PUSH_EVERY);
    let push = options.remote_write.clone();
    let push = push.map(|to| Push::start(to, series.clone(), clock, every)).transpose()?;
    let annotations = options.grafana.clone();
    let annotations = annotations.map(|grafana| Annotations::start(grafana, run)).transpose()?;
    Ok((push, annotations))
}

/// Where the run's own series can be scraped.
fn listen(address: SocketAddr, series: &Shared) -> Result<Listen, Error> {
    let listener = TcpListener::bind(address);
    listener.and_then(|listener| Listen::start(listener, series.clone())).map_err(|error| {
        Error::Refused(vec![format!(
            "--listen {address}: {error}; is another run there? Give another port"
        )])
    })
}

/// Bytes of the host's memory that workers must leave.
pub(super) fn reserve(roots: &Roots, unsafe_limits: bool) -> u64 {
    if unsafe_limits {
        return 0;
    }
    Memory::read(roots, &Groups::default()).map_or(0, Memory::reserve)
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
        caveats: nodes.caveats.clone(),
        stopped: None,
    }
}
