//! The drop-in for the classic `stress`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stressor::cli::stress_main()
}
