//! All files of a set-up. Pure: the same `stack.toml` gives the same bytes.

use super::{aws, dashboards, grafana, machines, prometheus, rules};
use crate::scenario::setup::Setup;

/// One file of the set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Relative to the output folder.
    pub path: String,
    /// What is in it.
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
}

impl Artefact {
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        // Templates lose the newline at their end.
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self { path: path.into(), text, executable: false }
    }

    pub(super) fn executable(mut self) -> Self {
        self.executable = true;
        self
    }
}

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A template could not be filled in.
    #[error("a template cannot be filled in: {0}")]
    Template(#[from] askama::Error),
    /// A document could not be written as JSON.
    #[error("a document cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Every file for a set-up, in the order of their paths.
///
/// # Errors
/// When a template cannot be filled in, which no valid set-up makes happen.
pub fn all(setup: &Setup) -> Result<Vec<Artefact>, Error> {
    let mut all = prometheus::artefacts(setup)?;
    all.extend(rules::artefacts(setup));
    all.extend(grafana::artefacts(setup, grafana::INSTALLED)?);
    all.extend(dashboards::artefacts(setup)?);
    all.extend(aws::artefacts(setup)?);
    all.extend(machines::artefacts(setup)?);
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// A text as a quoted scalar of YAML and JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A duration as Prometheus and Grafana read it: whole days, seconds or
/// milliseconds.
pub(super) fn promql_duration(duration: std::time::Duration) -> String {
    const DAY: u64 = 86_400;
    match (duration.as_secs(), duration.subsec_millis()) {
        (seconds, 0) if seconds > 0 && seconds % DAY == 0 => format!("{}d", seconds / DAY),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Names the program in what it writes, so that people know where to change it.
pub(super) const WRITTEN: &str =
    "Written by `stressor stack init`: change stack.toml and run it again.";
