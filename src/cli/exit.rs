//! Exit codes. They are part of the contract: never renumber.

use std::process::ExitCode;

use crate::{load, run, scenario, store};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0
    Done,
    /// 1: internal or I/O failure
    Failed,
    /// 2: usage or invalid scenario
    Usage,
    /// 3: a threshold failed
    Threshold,
    /// 4: stopped by a safety guard or an abort condition
    Aborted,
    /// 5: not valid enough for a verdict, with --strict
    Invalid,
    /// 6: preflight refused
    Refused,
    /// 128 + signal
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Threshold => 3,
            Exit::Aborted => 4,
            Exit::Invalid => 5,
            Exit::Refused => 6,
            Exit::Signal(signal) => 128 + signal,
        })
    }
}

/// An error with the code it ends the program with.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<scenario::Error> for Failure {
    fn from(error: scenario::Error) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let exit = match &error {
            store::Error::Exists { .. }
            | store::Error::BadName { .. }
            | store::Error::NotFound { .. }
            | store::Error::Unbegun { .. }
            | store::Error::Empty { .. } => Exit::Usage,
            store::Error::Io { .. } | store::Error::Damaged { .. } | store::Error::Later { .. } => {
                Exit::Failed
            }
        };
        Self::new(exit, error)
    }
}

impl From<crate::report::Error> for Failure {
    fn from(error: crate::report::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<load::loader::Error> for Failure {
    fn from(error: load::loader::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<run::conduct::Error> for Failure {
    fn from(error: run::conduct::Error) -> Self {
        use run::conduct::Error;
        match error {
            Error::Refused(_) | Error::Nodes(_) => Self::new(Exit::Refused, error),
            Error::Store(error) => error.into(),
            Error::Load(_) | Error::Thread(_) => Self::new(Exit::Failed, error),
        }
    }
}
