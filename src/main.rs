//! The `stressor` program; called as `stress`, the drop-in.

use std::process::ExitCode;

fn main() -> ExitCode {
    stressor::cli::main()
}
