//! `stressor analyze`.

use anyhow::anyhow;

use super::{
    args::AnalyzeArgs,
    exit::{Exit, Failure},
    link::{self, Link, Start},
    output, verdict,
};
use crate::{
    host::clock::Clock,
    model::{
        time::{Timestamp, Window},
        time_expression::{Context, Edge, parse_offset, parse_time},
        units::parse_duration,
    },
    report,
    run::past::{self, Options},
    scenario,
    telemetry::prometheus::secrets,
};

/// Longest window in seconds: a year.
const LONGEST_S: f64 = 366.0 * 86_400.0;

pub(super) fn analyze(args: &AnalyzeArgs) -> Result<Exit, Failure> {
    let Asked { window, nodes, job } = asked(args, Clock::start().now())?;
    let seconds = window.seconds();
    let text = format!(
        "name = \"analyze\"\ndescription = \"A past window, without load.\"\nmax_duration = \"{seconds}s\"\n\n[[phase]]\nname = \"window\"\nduration = \"{seconds}s\"\n"
    );
    let mut overrides = args.set.clone();
    overrides.push(format!("telemetry.prometheus={:?}", args.prometheus));
    if let Some(job) = &job {
        overrides.push(format!("telemetry.job={job:?}"));
    }
    let mut plan = scenario::parse("the command line", &text, &overrides)?;
    args.access.apply(&mut plan.telemetry)?;
    let overrides = args.access.kept(&overrides, &plan.telemetry);
    for warning in secrets::exposed(&plan.telemetry) {
        output::warning(&warning);
    }
    let options = Options {
        reports: args.reports.reports.clone(),
        name: args.name.clone(),
        scenario_text: text,
        overrides,
        window,
        nodes,
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

/// The window, nodes and job that the command line names, be it by themselves or
/// in the address of a page.
struct Asked {
    window: Window,
    nodes: Vec<String>,
    job: Option<String>,
}

fn usage(text: String) -> Failure {
    Failure::new(Exit::Usage, anyhow!(text))
}

fn asked(args: &AnalyzeArgs, now: Timestamp) -> Result<Asked, Failure> {
    let offset_s = match &args.time_zone {
        None => 0,
        Some(text) => parse_offset(text).map_err(|error| {
            usage(format!(
                "--time-zone: {error}; for a zone by name, give the offset that was in force"
            ))
        })?,
    };
    let context = Context { now, offset_s };
    let in_start = args.start.as_ref().filter(|text| link::is_link(text));
    let link = match (&args.grafana_url, in_start) {
        (Some(url), _) => Some(read_link("--grafana-url", url)?),
        (None, Some(url)) => Some(read_link("--start", url)?),
        (None, None) => None,
    };
    let (start, end) = match &link {
        Some(link) => ends_of_link(link, args.end.as_deref(), context)?,
        None => ends(args, context)?,
    };
    let seconds = end.since(start);
    if !(1.0..=LONGEST_S).contains(&seconds) {
        return Err(usage(format!(
            "the window from {start} to {end} is {seconds} s long: give one of 1 s to a year"
        )));
    }
    let (nodes, job) = link.map(|link| (link.nodes, link.job)).unwrap_or_default();
    Ok(Asked {
        window: Window { start, end },
        nodes: if args.nodes.is_empty() { nodes } else { args.nodes.clone() },
        job: args.job.clone().or(job),
    })
}

fn read_link(option: &str, url: &str) -> Result<Link, Failure> {
    let link = link::read(url).map_err(|why| usage(format!("{option}: {why}")))?;
    if !link.ignored.is_empty() {
        output::warning(&format!(
            "the address also chooses {}, which is not a node or a job: if it is a label of the series, add it as --match 'LABEL=\"VALUE\"'",
            link.ignored.join(", ")
        ));
    }
    Ok(link)
}

fn time(option: &str, text: &str, edge: Edge, context: Context) -> Result<Timestamp, Failure> {
    parse_time(text, edge, context).map_err(|error| usage(format!("{option}: {error}")))
}

fn duration(option: &str, text: &str) -> Result<f64, Failure> {
    parse_duration(text).map(|length| length.as_secs_f64()).map_err(|error| {
        usage(format!("{option} {text:?}: {error}; write a duration such as 15m, 1h30m, 1d or 2w"))
    })
}

fn ends_of_link(
    link: &Link,
    end: Option<&str>,
    context: Context,
) -> Result<(Timestamp, Timestamp), Failure> {
    let end = match end {
        Some(text) => time("--end", text, Edge::End, context)?,
        None => time("the end in the address", &link.end, Edge::End, context)?,
    };
    let start = match &link.start {
        Start::At(text) => time("the start in the address", text, Edge::Start, context)?,
        Start::Before(text) => end.plus(-duration("the range in the address", text)?),
    };
    Ok((start, end))
}

fn ends(args: &AnalyzeArgs, context: Context) -> Result<(Timestamp, Timestamp), Failure> {
    let end = match &args.end {
        Some(text) => time("--end", text, Edge::End, context)?,
        None => context.now,
    };
    let start = match &args.start {
        Some(text) => time("--start", text, Edge::Start, context)?,
        None => end.plus(-duration("--last", &args.last)?),
    };
    Ok((start, end))
}
