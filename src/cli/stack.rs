//! `stressor stack` and `stressor check`.

use std::{fs, path::PathBuf, time::Duration};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::{
    args::{
        CheckArgs, Engine, Printed, Probing, StackCheckArgs, StackCommand, StackFile,
        StackInitArgs, StackLocalArgs, StackRenderArgs,
    },
    exit::{Exit, Failure},
    nodes, output,
};
use crate::{
    analyze::resources,
    host::{Roots, facts},
    model::{
        text::{LONGEST_MESSAGE, LONGEST_NAME, short, visible, visible_json, visible_lines},
        units::parse_duration,
    },
    scenario::{self, plan::Telemetry, setup::Setup},
    stack::{
        artefacts,
        check::{self, Dashboards, Finding, State, Subject, Watched},
        kubernetes::{self, Jobs},
        local::{self, Local},
        write::{self, Change},
    },
};

const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

pub(super) fn stack(command: &StackCommand) -> Result<Exit, Failure> {
    match command {
        StackCommand::Init(args) => init(args),
        StackCommand::Check(args) => check_stack(args),
        StackCommand::Up(args) => up(args),
        StackCommand::Down(args) => down(args),
        StackCommand::Render(args) => render(args),
    }
}

fn file_of(place: &StackFile) -> PathBuf {
    place.file.clone().unwrap_or_else(|| place.output.join("stack.toml"))
}

fn setup(place: &StackFile) -> Result<Setup, Failure> {
    let path = file_of(place);
    let text = fs::read_to_string(&path)
        .with_context(|| {
            format!(
                "cannot read {}: describe the machines there, or name them: stressor stack init --node main=10.0.1.10 --node client-1=10.0.1.11",
                path.display()
            )
        })
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok(scenario::parse_stack(&path.display().to_string(), &text, &place.set)?)
}

fn init(args: &StackInitArgs) -> Result<Exit, Failure> {
    let path = file_of(&args.place);
    if !args.nodes.is_empty() {
        describe(&path, args)?;
    }
    let setup = setup(&args.place)?;
    for network in setup.open_to_all() {
        output::warning(&format!(
            "{network} is everybody: SSH, Prometheus and Grafana are open to the Internet, and Prometheus has no password"
        ));
    }
    if setup.admin.is_empty() {
        output::note("nobody may reach the set-up from outside: name networks in [access] admin");
    }
    let artefacts = artefacts::all(&setup).map_err(|error| Failure::new(Exit::Failed, error))?;
    let changes = write::write(&args.place.output, &artefacts, args.force)
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    let mut kept = 0;
    for (path, change) in &changes {
        let (style, word, diff) = match change {
            Change::New => (GREEN, "new", None),
            Change::Changed => (GREEN, "changed", None),
            Change::Unchanged => (DIM, "unchanged", None),
            Change::Removed => (YELLOW, "removed", None),
            Change::Forgotten => (YELLOW, "left: changed by hand, and no longer needed", None),
            Change::Overwritten { diff } => (YELLOW, "overwritten", Some(diff)),
            Change::Kept { diff } => {
                kept += 1;
                (RED, "kept: it was changed by hand", Some(diff))
            }
        };
        output::text(&format!("{style}{word:<10}{style:#} {}\n", visible(path)));
        if let Some(diff) = diff {
            output::text(&format!("{DIM}{}{DIM:#}", visible_lines(diff)));
        }
    }
    if kept > 0 {
        return Err(Failure::new(
            Exit::Refused,
            anyhow!(
                "{kept} files were changed by hand and left as they are: bring your changes into stack.toml, or write over them with --force"
            ),
        ));
    }
    Ok(Exit::Done)
}

/// Write the description from the command line's nodes.
fn describe(path: &std::path::Path, args: &StackInitArgs) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, anyhow!(text));
    if path.exists() {
        return Err(usage(format!(
            "{} is there already: add machines to it, or leave --node out",
            path.display()
        )));
    }
    let mut text = String::from(
        "# The machines and what watches them. Change this, and run\n# `stressor stack init` again; every key is in docs/stack.md.\nscrape_interval = \"5s\"\n\n[access]\n# Networks that may reach SSH, Prometheus (9090) and Grafana (3000).\n",
    );
    text.push_str(&format!("admin = {:?}\n", args.admin));
    for (at, node) in args.nodes.iter().enumerate() {
        let (name, address) = node.split_once('=').ok_or_else(|| {
            usage(format!("--node {node:?} has no `=`: write --node name=address"))
        })?;
        let role = if at == 0 { "server" } else { "client" };
        text.push_str(&format!(
            "\n[[node]]\nname = {name:?}\naddress = {address:?}\nrole = \"{role}\"\n"
        ));
    }
    // What cannot be used is not written.
    scenario::parse_stack("the command line", &text, &args.place.set)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    output::text(&format!("{GREEN}new       {GREEN:#} {}\n", path.display()));
    Ok(())
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

fn check_stack(args: &StackCheckArgs) -> Result<Exit, Failure> {
    let setup = setup(&args.place)?;
    let server = setup.server().map(|node| node.address.clone()).unwrap_or_default();
    if let Some(url) = &args.probing.prometheus {
        without_secret("--prometheus", url)?;
    }
    let url = args.probing.prometheus.clone().unwrap_or_else(|| {
        if server.contains(':') {
            format!("http://[{server}]:9090")
        } else {
            format!("http://{server}:9090")
        }
    });
    let nodes = setup
        .nodes
        .iter()
        .map(|node| Watched { name: node.name.clone(), instance: node.instance() })
        .collect();
    let subject = Subject {
        nodes,
        prometheus: Some((url, Telemetry::default())),
        grafana: grafana(&args.probing)?,
        interval_s: Some(setup.scrape_interval.as_secs_f64()),
        decisive: resources::decisive(),
    };
    look(&subject, Vec::new(), args.probing.format)
}

pub(super) fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    // Before it can stand in a message about the scenario.
    if let Some(url) = &args.probing.prometheus {
        without_secret("--prometheus", url)?;
    }
    let mut subject = Subject {
        nodes: Vec::new(),
        prometheus: None,
        grafana: grafana(&args.probing)?,
        interval_s: None,
        decisive: resources::decisive(),
    };
    if let Some(path) = &args.scenario {
        let mut set = args.set.clone();
        // The inventory may be that of the Prometheus given here.
        set.extend(
            args.probing.prometheus.iter().map(|url| format!("telemetry.prometheus=\"{url}\"")),
        );
        let (_, plan) = nodes::read(path, &set, &args.access, &args.nodes)?;
        subject.nodes = plan
            .nodes
            .iter()
            .filter_map(|node| {
                Some(Watched { name: node.name.clone(), instance: node.instance.clone()? })
            })
            .collect();
        let telemetry = plan.telemetry;
        subject.prometheus = telemetry.prometheus.clone().map(|url| (url, telemetry));
    }
    if let Some(url) = &args.probing.prometheus {
        let telemetry = if let Some((_, telemetry)) = subject.prometheus.take() {
            telemetry
        } else {
            let mut telemetry = Telemetry::default();
            args.access.apply(&mut telemetry)?;
            telemetry
        };
        subject.prometheus = Some((url.clone(), telemetry));
    }
    look(&subject, vec![this_machine()], args.probing.format)
}

/// Refuse an address with a user or password in it: addresses are printed, and
/// those of a run are kept.
pub(super) fn without_secret(option: &str, url: &str) -> Result<(), Failure> {
    let good = reqwest::Url::parse(url).is_ok_and(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none()
    });
    if good {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        anyhow!(
            "{option} is no http or https address without a user and password in it; secrets come from files"
        ),
    ))
}

fn grafana(probing: &Probing) -> Result<Option<Dashboards>, Failure> {
    let Some(url) = &probing.grafana else { return Ok(None) };
    without_secret("--grafana", url)?;
    let token = match &probing.grafana_token_file {
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read the token file {}", path.display()))
                .map_err(|error| Failure::new(Exit::Usage, error))?;
            Some(text.trim().to_owned())
        }
        None => None,
    };
    Ok(Some(Dashboards { url: url.clone(), token }))
}

/// What the embedded sampler sees here.
fn this_machine() -> Finding {
    let host = facts::read(&Roots::default());
    let mut text = format!(
        "{}, {} of {} cores, cgroups: {}",
        host.kernel, host.cores_allowed, host.cores, host.cgroup
    );
    if !host.absent.is_empty() {
        text.push_str(&format!("; not seen here: {}", host.absent.join(", ")));
    }
    let state = if host.absent.is_empty() { State::Ok } else { State::Warning };
    Finding { of: "local".to_owned(), check: "sampler", state, text, todo: None }
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    ok: bool,
    findings: &'a [Finding],
}

fn look(subject: &Subject, mut findings: Vec<Finding>, format: Printed) -> Result<Exit, Failure> {
    findings.extend(check::check(subject).map_err(|error| Failure::new(Exit::Failed, error))?);
    let worst = check::worst(&findings);
    match format {
        Printed::Json => {
            let document = Document { schema: 1, ok: worst != State::Failed, findings: &findings };
            let text = serde_json::to_string_pretty(&document)
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            output::bytes(format!("{}\n", visible_json(&text)).as_bytes());
        }
        Printed::Text => output::text(&in_words(&findings)),
    }
    Ok(if worst == State::Failed { Exit::Refused } else { Exit::Done })
}

fn in_words(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut of = "";
    for finding in findings {
        if finding.of != of {
            of = &finding.of;
            text.push_str(&format!("\n{}\n", short(of, LONGEST_NAME)));
        }
        let (style, mark) = match finding.state {
            State::Ok => (GREEN, "✓"),
            State::Warning => (YELLOW, "!"),
            State::Failed => (RED, "✗"),
        };
        text.push_str(&format!(
            "  {style}{mark}{style:#} {:<12} {}\n",
            finding.check,
            short(&finding.text, LONGEST_MESSAGE)
        ));
        if let Some(todo) = &finding.todo {
            text.push_str(&format!("{:17}{DIM}→ {}{DIM:#}\n", "", visible(todo)));
        }
    }
    let count = |state: State| findings.iter().filter(|one| one.state == state).count();
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    text.push_str(&match (failed, warnings) {
        (0, 0) => format!("\n{GREEN}ready{GREEN:#}: a run can be trusted\n"),
        (0, _) => format!("\n{GREEN}ready{GREEN:#}, with {warnings} to know of\n"),
        _ => format!("\n{RED}not ready{RED:#}: {failed} would make a run's verdict worthless\n"),
    });
    text
}

fn local(args: &StackLocalArgs) -> Result<Local, Failure> {
    let interval = parse_duration(&args.scrape_interval)
        .ok()
        .filter(|interval| {
            (Duration::from_millis(100)..=Duration::from_secs(300)).contains(interval)
        })
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                anyhow!("--scrape-interval {:?}: give 100ms to 5m", args.scrape_interval),
            )
        })?;
    Ok(Local {
        data: args.data.clone(),
        port: args.port,
        exporter_port: args.exporter_port,
        grafana_port: args.grafana_port,
        scrape_interval: interval,
        node: facts::read(&Roots::default()).hostname,
    })
}

fn up(args: &StackLocalArgs) -> Result<Exit, Failure> {
    let running = local::up(&local(args)?).map_err(|error| Failure::new(Exit::Failed, error))?;
    for one in &running {
        output::text(&format!(
            "{GREEN}up{GREEN:#} {:<14} {}  (process {})\n",
            one.program, one.url, one.pid
        ));
    }
    if !running.iter().any(|one| one.program == "grafana") {
        output::text(&format!("{DIM}Grafana is not installed, and left out{DIM:#}\n"));
    }
    let port = args.port;
    output::text(&format!(
        "\nnext: stressor run scenarios/cpu-100.toml --prometheus http://127.0.0.1:{port}\nstop: stressor stack down --data {}\n",
        args.data.display()
    ));
    Ok(Exit::Done)
}

fn down(args: &StackLocalArgs) -> Result<Exit, Failure> {
    let stopped = local::down(&args.data).map_err(|error| Failure::new(Exit::Failed, error))?;
    output::text(&match stopped {
        0 => format!("nothing of {} is running\n", args.data.display()),
        _ => format!("{stopped} programs stopped; their data stay in {}\n", args.data.display()),
    });
    Ok(Exit::Done)
}

fn render(args: &StackRenderArgs) -> Result<Exit, Failure> {
    let setup = setup(&args.place)?;
    let path = &args.scenario;
    let text = super::scenario::text(path)?;
    let plan = scenario::parse(&path.display().to_string(), &text, &[])?;
    let Engine::Kubernetes = args.engine;
    let jobs = Jobs {
        image: &args.image,
        scenario: &text,
        plan: &plan,
        cores: &args.cores,
        memory: &args.memory,
    };
    let manifests =
        kubernetes::manifests(&setup, &jobs).map_err(|error| Failure::new(Exit::Failed, error))?;
    output::bytes(manifests.as_bytes());
    Ok(Exit::Done)
}
