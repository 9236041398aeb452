//! Why a Prometheus gave no data.

use super::{super::decode, LARGEST_ANSWER, problem::Limit};
use crate::telemetry::prometheus::secrets;

/// Why a Prometheus did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials could not be read.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The CA file holds no certificate.
    #[error("the CA file {path} holds no PEM certificate")]
    NoCertificate {
        /// Where it is.
        path: String,
    },
    /// This machine has no authorities to check a server's certificate with.
    #[error(
        "{url}: this machine has no CA certificates to check the server's certificate with: install the package ca-certificates, or set `ca_file`"
    )]
    NoAuthorities {
        /// Without secrets.
        url: String,
    },
    /// The client could not be made.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
    /// The server could not be reached or broke off.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// Without secrets.
        url: String,
        /// The chain of causes.
        why: String,
        /// Whether it took longer than we wait.
        hung: bool,
    },
    /// The server redirects to where requests are not sent.
    #[error("{from} redirects to {to}: {todo}")]
    Redirect {
        /// What was asked, without secrets.
        from: String,
        /// Where it points, without user, password and query.
        to: String,
        /// Why that is not followed, and what to do.
        todo: String,
    },
    /// A page for people came where data should be.
    #[error(
        "{url} answers with a web page{}, not with data (it begins {start:?}): it is a login page, or the path prefix of `prometheus` is wrong; a program is let in by `token_file`, or `username` and `password_file`",
        .title.as_ref().map_or_else(String::new, |title| format!(" titled {title:?}"))
    )]
    Page {
        /// Without secrets.
        url: String,
        /// The page's title, shortened.
        title: Option<String>,
        /// Its first characters.
        start: String,
    },
    /// The server computes or returns less than was asked for: less may be asked.
    #[error("{url} refuses so much at once ({}): {why}", .limit.in_words())]
    Limit {
        /// Without secrets.
        url: String,
        /// What there is too much of.
        limit: Limit,
        /// In the server's words.
        why: String,
    },
    /// The server answered with an error.
    #[error("{url} answers {status}: {why}")]
    Status {
        /// Without secrets.
        url: String,
        /// HTTP status.
        status: u16,
        /// The API's message, or the start of the body.
        why: String,
    },
    /// The answer is not data.
    #[error("{url}: {source}")]
    Decode {
        /// Without secrets.
        url: String,
        /// What is wrong.
        source: decode::Error,
    },
    /// The answer is larger than we read.
    #[error("{url}: the answer exceeds {} MiB; ask for fewer nodes (`job`, `[[node]]`)", LARGEST_ANSWER >> 20)]
    TooLarge {
        /// Without secrets.
        url: String,
    },
}

impl Error {
    /// Whether the same request may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // 501 and 505: the server has no such method or version at all.
            Self::Status { status, .. } => {
                *status == 429 || (*status >= 500 && ![501, 505].contains(status))
            }
            _ => false,
        }
    }
}
