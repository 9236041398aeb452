//! `stressor run`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::{
    args::{Printed, RunArgs},
    exit::{Exit, Failure},
    live::Display,
    nodes, output,
    stack::without_secret,
    verdict,
};
use crate::{
    host::Roots,
    load::preflight,
    model::{run::State, text::visible_lines},
    run::{Options, annotations::Grafana, conduct, push::Receiving},
    scenario::{explain, plan::Plan, telemetry::without_header_values},
    telemetry::prometheus::secrets,
};

pub(super) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let mut overrides = args.set.clone();
    if let Some(url) = &args.prometheus {
        overrides.push(format!("telemetry.prometheus=\"{url}\""));
    }
    if args.confirm {
        overrides.push("confirm=true".to_owned());
    }
    let (text, plan) = nodes::read(&args.scenario, &overrides, &args.access, &args.nodes)?;
    let roots = Roots { proc: args.procfs.clone(), sys: args.sysfs.clone() };
    if args.dry_run {
        return dry_run(args, &plan, &roots);
    }
    let overrides = args.access.kept(&overrides, &plan.telemetry);
    // Nobody who reads the text from here on, be it another node, needs the headers.
    let (text, _) = without_header_values(&text, &[]);
    let options = Options {
        reports: args.reports.reports.clone(),
        name: args.name.clone(),
        scenario_text: text,
        overrides,
        tags: tags(&args.tag)?,
        roots,
        unsafe_limits: args.unsafe_limits,
        listen: args.listen,
        remote_write: remote_write(args)?,
        grafana: grafana(args)?,
    };
    for warning in secrets::exposed(&plan.telemetry) {
        output::warning(&warning);
    }
    let mut display = Display::new(args.quiet, args.verbose);
    let outcome = conduct(&plan, &options, &mut |update| display.show(&update))?;
    display.clear();
    let analysis = verdict::judge(&outcome.folder, args.judging)?;
    Ok(match outcome.state {
        State::Interrupted => {
            let signal = outcome.signal.map_or(2, |signal| signal as i32);
            Exit::Signal(u8::try_from(signal).unwrap_or(2))
        }
        State::Aborted => Exit::Aborted,
        State::Failed | State::Running => Exit::Failed,
        State::Complete => verdict::exit(&analysis, args.judging),
    })
}

/// What `--dry-run --format json` prints.
#[derive(Serialize)]
struct DryRun<'a> {
    schema: u32,
    scenario: &'a str,
    seconds: f64,
    phases: Vec<String>,
    workers: u32,
    cpu_cores: f64,
    memory_bytes: u64,
    scratch_bytes: u64,
    notes: &'a [String],
    refusals: &'a [String],
}

fn dry_run(args: &RunArgs, plan: &Plan, roots: &Roots) -> Result<Exit, Failure> {
    let cores = crate::host::allowed_cores();
    let machine = preflight::machine(roots, &cores);
    let found = preflight::check(plan, roots, &cores, args.unsafe_limits);
    match args.judging.format {
        Printed::Text => {
            output::text(&visible_lines(&explain::plan(plan, machine)));
            output::text("\n");
            for note in &found.notes {
                output::warning(note);
            }
        }
        Printed::Json => {
            let worst = explain::worst_case(plan, machine);
            let document = DryRun {
                schema: 1,
                scenario: &plan.name,
                seconds: plan.duration().as_secs_f64(),
                phases: plan.phases.iter().map(|phase| phase.name.clone()).collect(),
                workers: worst.workers,
                cpu_cores: worst.cpu_cores,
                memory_bytes: worst.memory,
                scratch_bytes: worst.disk,
                notes: &found.notes,
                refusals: &found.refusals,
            };
            let text = serde_json::to_string_pretty(&document)
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            output::bytes(format!("{text}\n").as_bytes());
        }
    }
    if found.refusals.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Refused, anyhow!(found.refusals.join("\n"))))
}

/// The Grafana to tell of phases, with its token out of a file: a secret on a
/// command line is seen by everybody.
fn grafana(args: &RunArgs) -> Result<Option<Grafana>, Failure> {
    let (Some(url), Some(path)) = (&args.grafana, &args.grafana_token_file) else {
        return Ok(None);
    };
    without_secret("--grafana", url)?;
    Ok(Some(Grafana { url: url.clone(), token: token(path)? }))
}

/// Who the run's own series are pushed to.
fn remote_write(args: &RunArgs) -> Result<Option<Receiving>, Failure> {
    let Some(url) = &args.remote_write else { return Ok(None) };
    without_secret("--remote-write", url)?;
    let header = |text: &String| {
        let parts = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        parts
            .filter(|(name, _)| !name.is_empty())
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .ok_or_else(|| {
                let what = format!(
                    "--remote-write-header {text:?} has no name and value: write \"NAME: VALUE\""
                );
                Failure::new(Exit::Usage, anyhow!(what))
            })
    };
    Ok(Some(Receiving {
        url: url.clone(),
        token: args.remote_write_token_file.as_deref().map(token).transpose()?,
        headers: args.remote_write_header.iter().map(header).collect::<Result<_, _>>()?,
    }))
}

fn token(path: &Path) -> Result<String, Failure> {
    if let Some(warning) = secrets::exposed_file("token", path) {
        output::warning(&warning);
    }
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {}", path.display()))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok(text.trim().to_owned())
}

fn tags(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    given
        .iter()
        .map(|tag| {
            tag.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(
                || {
                    Failure::new(
                        Exit::Usage,
                        anyhow!("--tag {tag:?} has no `=`: write --tag key=value"),
                    )
                },
            )
        })
        .collect()
}
