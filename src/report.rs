//! The report: a pure function of a run and its analysis, bytes out. The same
//! run gives the same bytes, on any machine, later.

pub mod terminal;

mod chart;
mod csv;
mod document;
mod html;
mod json;
mod junit;
mod markdown;
mod png;
mod timeline;

use crate::{analyze::outcome::Analysis, model::run::Run};

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One page, no request to anywhere.
    Html,
    /// One picture.
    Png,
    /// `verdict.json`.
    Json,
    /// Every signal's points.
    Csv,
    /// Gates and verdict as test cases.
    Junit,
    /// A comment for a pull request or an issue.
    Markdown,
}

impl Format {
    /// All formats with the name that `--format` takes.
    pub const ALL: [(&'static str, Self); 6] = [
        ("html", Self::Html),
        ("png", Self::Png),
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("junit", Self::Junit),
        ("md", Self::Markdown),
    ];

    /// The file it is written to.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Png => "report.png",
            Self::Json => "verdict.json",
            Self::Csv => "signals.csv",
            Self::Junit => "junit.xml",
            Self::Markdown => "report.md",
        }
    }
}

/// Places of the nodes that a report shows in detail, the first first.
pub fn shown_in_detail(analysis: &Analysis) -> Vec<usize> {
    let mut nodes = document::order(analysis);
    nodes.truncate(document::MOST_NODES);
    nodes
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The page's template failed.
    #[error("the page could not be written")]
    Template(#[from] askama::Error),
    /// The verdict could not be written as JSON.
    #[error("the verdict could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The picture could not be drawn.
    #[error("the picture could not be drawn: {0}")]
    Picture(String),
}

/// Make a report.
///
/// # Errors
/// When the format's writer fails; no input makes it do so.
pub fn render(run: &Run, analysis: &Analysis, format: Format) -> Result<Vec<u8>, Error> {
    match format {
        Format::Html => html::render(&document::document(run, analysis)),
        Format::Png => png::render(&document::document(run, analysis)),
        Format::Json => json::render(analysis),
        Format::Csv => Ok(csv::render(run)),
        Format::Junit => Ok(junit::render(analysis)),
        Format::Markdown => Ok(markdown::render(run, analysis)),
    }
}
