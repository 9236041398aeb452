//! `stressor report`.

use std::fs;

use anyhow::{Context as _, anyhow};

use super::{
    args::ReportArgs,
    exit::{Exit, Failure},
    output, verdict,
};
use crate::{
    report::{self, Format},
    scenario::diagnostic::nearest,
    store::folder::RunFolder,
};

pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let formats = formats(&args.format)?;
    let folder = RunFolder::find(&args.reports.reports, &args.run)?;
    let (run, analysis) = verdict::read(&folder)?;
    if run.manifest.recovered && !args.quiet {
        output::warning(&format!(
            "{} was killed; the report shows what it had written until then",
            run.manifest.id
        ));
    }
    let only_json = args.format.len() == 1 && formats == [Format::Json] && args.output.is_none();
    for format in &formats {
        let bytes = report::render(&run, &analysis, *format)?;
        if only_json {
            output::bytes(&bytes);
        }
        match &args.output {
            None => folder.replace(format.file_name(), &bytes)?,
            Some(target) => {
                let path = target.join(format.file_name());
                fs::create_dir_all(target)
                    .and_then(|()| fs::write(&path, &bytes))
                    .with_context(|| format!("cannot write {}", path.display()))
                    .map_err(|error| Failure::new(Exit::Failed, error))?;
            }
        }
    }
    if !only_json && !args.quiet {
        output::text(&report::terminal::render(&run, &analysis, output::columns()));
        let names: Vec<&str> = formats.iter().map(|format| format.file_name()).collect();
        let target = args.output.as_deref().unwrap_or_else(|| folder.path());
        output::text(&format!("\n{}: {}\n", target.display(), names.join(", ")));
    }
    Ok(if args.strict && !analysis.validity.ok { Exit::Invalid } else { Exit::Done })
}

fn formats(names: &[String]) -> Result<Vec<Format>, Failure> {
    if names.is_empty() {
        return Ok(vec![Format::Html, Format::Png, Format::Json]);
    }
    names
        .iter()
        .map(|name| {
            let found = Format::ALL.iter().find(|(known, _)| known == name);
            found.map(|(_, format)| *format).ok_or_else(|| {
                let known: Vec<&str> = Format::ALL.iter().map(|(known, _)| *known).collect();
                let near = nearest(name, known.iter().copied())
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                Failure::new(
                    Exit::Usage,
                    anyhow!("--format {name:?} is not one of {}{near}", known.join(", ")),
                )
            })
        })
        .collect()
}
