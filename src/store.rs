//! The run folder: what was asked, seen and done, kept so that a crash loses
//! at most the last second.
//!
//! ```text
//! reports/run-42/
//!   run.json       manifest, replaced whole
//!   scenario.toml  as given
//!   samples.jsonl  embedded sampler: a line of column names, then rows
//!   signals.jsonl  Prometheus: a line a signal, device and window
//!   workers.jsonl  a line a worker and interval
//!   events.jsonl   a line an event
//!   journals.json  lines and digests of the above, once the run has ended
//! ```
//!
//! Rates and verdicts are derived on reading, so that a better analysis
//! improves old runs.

pub mod folder;
pub mod journal;
pub mod read;

mod cleaned;
mod digests;

use std::path::PathBuf;

/// File names of a run, once.
pub mod names {
    /// The manifest.
    pub const MANIFEST: &str = "run.json";
    /// The scenario as given.
    pub const SCENARIO: &str = "scenario.toml";
    /// Rows of the embedded sampler.
    pub const SAMPLES: &str = "samples.jsonl";
    /// Rows of the sampler of another node.
    pub fn samples_of(node: &str) -> String {
        format!("samples-{node}.jsonl")
    }

    /// Answers of a Prometheus.
    pub const SIGNALS: &str = "signals.jsonl";
    /// Worker statistics.
    pub const WORKERS: &str = "workers.jsonl";
    /// What happened.
    pub const EVENTS: &str = "events.jsonl";
    /// Lines and digests of the journals and of the scenario.
    pub const DIGESTS: &str = "journals.json";
}

/// Why a run could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder failed.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried: `cannot create`, `cannot read` …
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// There is a run of that name.
    #[error("{} exists already; choose another --name, or leave it out for the next number", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The name cannot be a folder's.
    #[error("{name:?} cannot name a run: letters, digits, `-`, `_` and `.`")]
    BadName {
        /// The name.
        name: String,
    },
    /// There is no such run.
    #[error("there is no run {name:?} in {}{}", folder.display(), near.as_ref().map_or_else(String::new, |near| format!("; did you mean {near}?")))]
    NotFound {
        /// What was asked for.
        name: String,
        /// Where it was sought.
        folder: PathBuf,
        /// The nearest name.
        near: Option<String>,
    },
    /// There is no run at all.
    #[error("there is no run in {} yet; make one with `stressor run scenarios/cpu-100.toml`", folder.display())]
    Empty {
        /// Where it was sought.
        folder: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A run was killed here before it wrote what it is.
    #[error("{} has no run.json: a run was killed before it began; remove the folder", path.display())]
    Unbegun {
        /// Where.
        path: PathBuf,
    },
    /// The run was made by a later version.
    #[error("{} has schema {found}, this program reads {known}: use a later stressor", path.display())]
    Later {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
}

impl Error {
    /// Shorthand for [`Error::Io`].
    fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
