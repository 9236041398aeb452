//! Open file descriptors.

use std::fs::File;

use super::{super::failure, Failure, Stage, Take};

/// Each is a file description of its own, so that the host's limit counts it
/// as well as the process's.
#[derive(Default)]
pub(super) struct Descriptors {
    open: Vec<File>,
}

impl Take for Descriptors {
    fn one(&mut self) -> Result<(), Failure> {
        let file = File::open("/dev/null").map_err(|error| failure(Stage::Open, &error))?;
        self.open.push(file);
        Ok(())
    }
}
