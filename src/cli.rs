//! The command line: thin. Parses, dispatches, prints one error chain, and
//! knows the exit codes.

pub mod args;

mod access;
mod analyze;
mod exit;
mod fleet;
mod link;
mod list;
mod live;
mod nodes;
mod output;
mod report;
mod run;
mod scenario;
mod signals;
mod stack;
mod stress;
mod verdict;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use exit::Exit;

/// The whole program.
pub fn main() -> ExitCode {
    // A reader that went away (`| head`) is no reason to panic.
    let called = env::args_os().next().unwrap_or_default();
    if name_of(&called) == "stress" {
        return stress_main();
    }
    ignore_file_size_signal();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody can be told when the terminal is gone.
            let _ = error.print();
            return code.into();
        }
    };
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Analyze(args) => analyze::analyze(&args),
        Command::Report(args) => report::report(&args),
        Command::List(args) => list::list(&args),
        Command::Signals(args) => signals::signals(&args),
        Command::Stress(args) => return stress::main("stressor stress", &args.options),
        Command::Scenario(command) => scenario::scenario(&command),
        Command::Fleet(command) => fleet::fleet(&command),
        Command::Agent => Ok(fleet::agent()),
        Command::Check(args) => stack::check(&args),
        Command::Stack(command) => stack::stack(&command),
        Command::Completions { shell } => completions(shell),
        Command::Man => man(),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::error(&failure.error);
            failure.exit.into()
        }
    }
}

/// A file that reaches `ulimit -f` is then an error of the write, with its reason, and not
/// the end of the program without a word.
#[expect(unsafe_code, reason = "changing what a signal does is a system call")]
fn ignore_file_size_signal() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: no handler is installed, the signal is only ignored.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// The drop-in alone.
pub fn stress_main() -> ExitCode {
    let mut arguments = env::args_os();
    let called = arguments.next().unwrap_or_else(|| OsString::from("stress"));
    let options: Vec<OsString> = arguments.collect();
    stress::main(&name_of(&called), &options)
}

fn name_of(called: &OsString) -> String {
    Path::new(called)
        .file_name()
        .map_or_else(|| "stress".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "one form for all commands")]
fn completions(shell: clap_complete::Shell) -> Result<Exit, exit::Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stressor", &mut bytes);
    output::bytes(&bytes);
    Ok(Exit::Done)
}

fn man() -> Result<Exit, exit::Failure> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut bytes)?;
    output::bytes(&bytes);
    Ok(Exit::Done)
}
