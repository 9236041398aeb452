//! A run that loads nothing: a past window, as a Prometheus kept it.

use std::{collections::BTreeSet, path::PathBuf};

use super::{
    conduct::Error,
    doubts,
    nodes::{self, MANY_NODES, Nodes},
};
use crate::{
    host::clock::Clock,
    model::{
        run::{Manifest, PhaseRecord, RUN_SCHEMA, State},
        time::Window,
    },
    scenario::plan::Plan,
    store::{self, folder::RunFolder, journal::Journal, names},
    telemetry::prometheus::source::{BOOT, Collected, Piece, Source, UP},
};

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where runs are kept.
    pub reports: PathBuf,
    /// The run's name; `run-N` without one.
    pub name: Option<String>,
    /// A scenario that says the same: its telemetry, and one phase without
    /// load that is as long as the window.
    pub scenario_text: String,
    /// `--set` values.
    pub overrides: Vec<String>,
    /// What to look at.
    pub window: Window,
    /// Nodes by name or instance; none for all.
    pub nodes: Vec<String>,
    /// The signals that a verdict rests on: of many nodes, only these are read.
    pub decisive: Vec<&'static str>,
}

/// A window that was read.
#[derive(Debug)]
pub struct Past {
    /// The run that it is kept as.
    pub folder: RunFolder,
    /// The signals that were not read, of many nodes.
    pub rest: Option<Rest>,
}

/// What is still to be read of the nodes that turn out to matter.
#[derive(Debug)]
pub struct Rest {
    sources: Vec<Source>,
    manifest: Manifest,
    window: Window,
}

/// Read a window and keep it as a run.
///
/// # Errors
/// When the server does not answer, does not know a node, or has nothing of
/// the window; or when the run cannot be kept.
pub fn look_back(plan: &Plan, options: &Options) -> Result<Past, Error> {
    let now = Clock::start().now();
    let mut window = options.window;
    let mut early_notes = Vec::new();
    if window.end > now && window.start < now {
        early_notes.push(format!(
            "the time range ends in the future, at {}; it was read until now, {now}",
            window.end
        ));
        window.end = now;
    }
    let Nodes { records, source, others, telemetry, mut notes, mut caveats } =
        nodes::past(plan, &options.nodes, window)?;
    notes.splice(0..0, early_notes);
    let mut sources: Vec<Source> = source.into_iter().chain(others).collect();
    if sources.is_empty() {
        return Err(Error::Refused(vec!["no Prometheus is given".to_owned()]));
    }
    let rest = (records.len() > MANY_NODES).then(|| {
        let all = sources.iter().cloned();
        all.map(|one| one.except(&options.decisive).recorded(BTreeSet::new())).collect::<Vec<_>>()
    });
    if rest.is_some() {
        let decisive = |one: Source| one.only(options.decisive.clone());
        sources = sources.into_iter().map(decisive).collect();
    }
    let runtime = nodes::runtime()?;
    let folder = RunFolder::create(&options.reports, options.name.as_deref())?;
    folder.replace(names::SCENARIO, options.scenario_text.as_bytes())?;
    let journal = Journal::create(&folder)?;
    let Window { start, end } = window;
    let mut manifest = Manifest {
        schema: RUN_SCHEMA,
        id: folder.id(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        state: State::Running,
        recovered: false,
        start,
        end: Some(end),
        scenario: plan.name.clone(),
        description: plan.description.clone(),
        overrides: options.overrides.clone(),
        phases: vec![PhaseRecord {
            name: "window".to_owned(),
            level: None,
            probe: None,
            start,
            steady: None,
            end: Some(end),
            planned_s: window.seconds(),
            loads: Vec::new(),
        }],
        nodes: records,
        telemetry,
        tags: std::collections::BTreeMap::new(),
        notes: Vec::new(),
        caveats: Vec::new(),
        stopped: None,
    };
    // A reader that is killed leaves a run that says so.
    folder.write_manifest(&manifest)?;
    let mut collected = Collected::default();
    for source in &sources {
        collected.add(runtime.block_on(source.collect(window, &mut |pieces| {
            for piece in pieces {
                journal.signal(piece.name, &piece.machine, &piece.signal);
            }
        })));
    }
    close(journal, &folder)?;
    if collected.pieces == 0 {
        // Nothing was there, so nothing is lost.
        let _ = std::fs::remove_dir_all(folder.path());
        let mut why = vec![format!(
            "{} has no samples from {} to {}",
            sources.first().map_or("the server", Source::base),
            window.start,
            window.end
        )];
        why.extend(doubts::of(&collected, &manifest.nodes).0);
        return Err(Error::Refused(why));
    }
    let (more_notes, more_caveats) = doubts::of(&collected, &manifest.nodes);
    notes.extend(more_notes);
    caveats.extend(more_caveats);
    manifest.state = State::Complete;
    manifest.notes = notes;
    manifest.caveats = caveats;
    folder.write_manifest(&manifest)?;
    let rest = rest.map(|sources| Rest { sources, manifest, window });
    Ok(Past { folder, rest })
}

fn close(journal: Journal, folder: &RunFolder) -> Result<(), store::Error> {
    journal.close().map_err(|source| store::Error::Io {
        what: "cannot write",
        path: folder.path().to_owned(),
        source,
    })
}

impl Rest {
    /// Read it for the nodes at these places of the manifest.
    ///
    /// # Errors
    /// When it cannot be kept. That a server gives no answer is noted.
    pub fn read(mut self, folder: &RunFolder, nodes: &[usize]) -> Result<(), Error> {
        let records = &self.manifest.nodes;
        let chosen = nodes.iter().filter_map(|at| Some(records.get(*at)?.series_key()));
        let chosen: BTreeSet<String> = chosen.collect();
        let sources = self.sources.into_iter().map(|one| one.of_keys(&chosen));
        let journal = Journal::extend(folder)?;
        let runtime = nodes::runtime()?;
        let mut collected = Collected::default();
        for source in sources.filter(Source::has_machines) {
            collected.add(runtime.block_on(source.collect(self.window, &mut |pieces| {
                let is_read = |piece: &Piece| [UP, BOOT].contains(&piece.name);
                for piece in pieces.into_iter().filter(|piece| !is_read(piece)) {
                    journal.signal(piece.name, &piece.machine, &piece.signal);
                }
            })));
        }
        close(journal, folder)?;
        let told = format!(
            "of {} nodes the signals that a verdict rests on were read, and all signals of the {} nearest to a limit; ask for others with --node",
            records.len(),
            nodes.len()
        );
        let (notes, _) = doubts::of(&collected, &self.manifest.nodes);
        self.manifest.notes.push(told);
        self.manifest.notes.extend(notes);
        folder.write_manifest(&self.manifest)?;
        Ok(())
    }
}
