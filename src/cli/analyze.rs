//! `stressor analyze`.

use anyhow::anyhow;

use super::{
    args::AnalyzeArgs,
    exit::{Exit, Failure},
    verdict,
};
use crate::{
    host::clock::Clock,
    model::{
        time::{Timestamp, Window},
        units::parse_duration,
    },
    report,
    run::past::{self, Options},
    scenario,
};

/// Longest window in seconds: a year.
const LONGEST_S: f64 = 366.0 * 86_400.0;

pub(super) fn analyze(args: &AnalyzeArgs) -> Result<Exit, Failure> {
    let window = window(args)?;
    let seconds = window.seconds();
    let text = format!(
        "name = \"analyze\"\ndescription = \"A past window, without load.\"\nmax_duration = \"{seconds}s\"\n\n[[phase]]\nname = \"window\"\nduration = \"{seconds}s\"\n"
    );
    let mut overrides = args.set.clone();
    overrides.push(format!("telemetry.prometheus={:?}", args.prometheus));
    if let Some(job) = &args.job {
        overrides.push(format!("telemetry.job={job:?}"));
    }
    let plan = scenario::parse("the command line", &text, &overrides)?;
    let options = Options {
        reports: args.reports.reports.clone(),
        name: args.name.clone(),
        scenario_text: text,
        overrides,
        window,
        nodes: args.nodes.clone(),
        decisive: crate::analyze::resources::decisive(),
    };
    let past::Past { folder, rest } = past::look_back(&plan, &options)?;
    if let Some(rest) = rest {
        // Ranked by what decides, then looked at closely.
        let ranked = crate::analyze::analyze(&crate::store::read::run(&folder)?);
        rest.read(&folder, &report::shown_in_detail(&ranked))?;
    }
    let analysis = verdict::judge(&folder, args.judging)?;
    Ok(verdict::exit(&analysis, args.judging))
}

fn window(args: &AnalyzeArgs) -> Result<Window, Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, anyhow!(text));
    let time = |option: &str, text: &str| {
        Timestamp::parse(text).ok_or_else(|| {
            usage(format!(
                "{option} {text:?} is no time: write 2026-01-02T12:00:00Z, or seconds since 1970"
            ))
        })
    };
    let end = match &args.end {
        Some(text) => time("--end", text)?,
        None => Clock::start().now(),
    };
    let start = if let Some(text) = &args.start {
        time("--start", text)?
    } else {
        let last = parse_duration(&args.last)
            .map_err(|error| usage(format!("--last {:?}: {error}", args.last)))?;
        end.plus(-last.as_secs_f64())
    };
    let seconds = end.since(start);
    if !(1.0..=LONGEST_S).contains(&seconds) {
        return Err(usage(format!(
            "the window from {start} to {end} is {seconds} s long: give one of 1 s to a year"
        )));
    }
    Ok(Window { start, end })
}
