//! `stressor scenario`.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use super::{
    args::ScenarioCommand,
    exit::{Exit, Failure},
    output,
};
use crate::{
    host::{Roots, allowed_cores},
    load::preflight,
    model::{
        text::{LONGEST_NAME, short, visible, visible_lines},
        units::show_duration,
    },
    scenario::{self, explain, plan::Plan, schema},
};

pub(super) fn scenario(command: &ScenarioCommand) -> Result<Exit, Failure> {
    match command {
        ScenarioCommand::Validate { scenarios } => Ok(validate(scenarios)),
        ScenarioCommand::Explain { scenario, set } => {
            let plan = read(scenario, set)?;
            let machine = preflight::machine(&Roots::default(), &allowed_cores());
            output::text(&format!("{}\n", visible_lines(&explain::plan(&plan, machine))));
            Ok(Exit::Done)
        }
        ScenarioCommand::Schema => {
            let text = serde_json::to_string_pretty(&schema::schema())
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            output::bytes(format!("{text}\n").as_bytes());
            Ok(Exit::Done)
        }
        ScenarioCommand::List { folder } => list(folder),
    }
}

/// The text of a scenario.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let read = || -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        // What is longer is refused by the parser, in words.
        fs::File::open(path)?.take(scenario::LONGEST as u64 + 1).read_to_end(&mut bytes)?;
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..valid).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            anyhow!(
                "line {line}, byte {} is no UTF-8: save the file in that encoding",
                valid - start + 1
            )
        })
    };
    read()
        .with_context(|| format!("cannot read the scenario {}", path.display()))
        .map_err(|error| Failure::new(Exit::Usage, error))
}

fn read(path: &Path, set: &[String]) -> Result<Plan, Failure> {
    Ok(scenario::parse(&path.display().to_string(), &text(path)?, set)?)
}

fn validate(paths: &[PathBuf]) -> Exit {
    let mut exit = Exit::Done;
    for path in paths {
        match read(path, &[]) {
            Ok(plan) => output::text(&format!(
                "{}: valid, {} phases, {}\n",
                visible(&path.display().to_string()),
                plan.phases.len(),
                show_duration(plan.duration())
            )),
            Err(failure) => {
                output::error(&failure.error);
                exit = Exit::Usage;
            }
        }
    }
    exit
}

fn list(folder: &Path) -> Result<Exit, Failure> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            anyhow!("{} has no scenario (*.toml)", folder.display()),
        ));
    }
    for path in paths {
        let line = match read(&path, &[]) {
            Ok(plan) => format!(
                "{:<36} {:>7}  {}\n",
                path.display().to_string(),
                show_duration(plan.duration()),
                short(&plan.description, LONGEST_NAME)
            ),
            Err(_) => format!(
                "{:<36} invalid: see `stressor scenario validate`\n",
                path.display().to_string()
            ),
        };
        output::text(&format!("{}\n", visible(line.trim_end())));
    }
    Ok(Exit::Done)
}
