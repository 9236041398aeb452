//! The labelled set: is the verdict right?
//!
//! `cargo test --release --test ground_truth -- --all` runs every case on this
//! machine (about twenty minutes; root, and the tools that the cases name) and
//! prints what was right, with Wilson intervals, beside four baselines.
//! Without `--all` a few cases run, as a test. `--only TEXT` picks by name or
//! family, `--half score` one half, `--without` all but a family; `--scrape 5` and
//! `--seconds 40` make Prometheus coarser. Each run of the sampler is also judged
//! with parts of what it saw taken away: then nothing else may be named.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "its output is its result"
)]
#![allow(clippy::expect_used, clippy::panic, reason = "a broken case stops it")]

#[expect(clippy::indexing_slicing, reason = "places in its own table")]
mod ablation;
mod case;
mod cases;
mod helpers;
mod lab;
mod score;
#[path = "../integration/support.rs"]
#[expect(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared with the other tests, which use all of it"
)]
mod support;

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use case::{Case, Label};
use lab::Lab;
use score::{BASELINES, Judged, Node, Said};
use serde_json::Value;
use stressor::{
    host::clock::Clock,
    model::time::Timestamp,
    store::{folder::RunFolder, read},
};
use support::{Sandbox, Service, component, free_port, phase, wait_for_port};

/// Cases that run in every test.
const FEW: [&str; 3] = ["stress-four-a-core", "quota-half-core", "shaper"];
/// CPU time of others, in user mode and as a share of all cores, beyond which a
/// run is repeated.
const FOREIGN: f64 = 0.10;
const BASELINE_S: f64 = 4.0;

struct Options {
    only: Option<String>,
    half: Option<String>,
    without: Option<String>,
    all: bool,
    scrape_s: u32,
    seconds: f64,
}

impl Options {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
    fn of(arguments: &[String]) -> Self {
        let value = |name: &str| {
            let at = arguments.iter().position(|one| one == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str| value(name).and_then(|text| text.parse::<f64>().ok());
        Self {
            only: value("--only"),
            half: value("--half"),
            without: value("--without"),
            all: arguments.iter().any(|one| one == "--all"),
            scrape_s: number("--scrape").map_or(1, |s| s as u32),
            seconds: number("--seconds").unwrap_or(12.0),
        }
    }

    fn chosen(&self) -> Vec<&'static Case> {
        cases::ALL
            .iter()
            .filter(|case| match &self.only {
                Some(text) => case.name.contains(text.as_str()) || case.family == text,
                None => self.all || self.half.is_some() || FEW.contains(&case.name),
            })
            .filter(|case| self.without.as_deref() != Some(case.family))
            .filter(|case| match self.half.as_deref() {
                Some("tune") => case.half == case::Half::Tune,
                Some(_) => case.half == case::Half::Score,
                None => true,
            })
            .collect()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, rest @ ..] = arguments.as_slice()
        && first == "helper"
    {
        helpers::run(name, rest);
        return;
    }
    score::check_itself();
    let options = Options::of(&arguments);
    let chosen = options.chosen();
    let stack = Stack::start(options.scrape_s);
    let mut judged: Vec<Judged> = Vec::new();
    let mut said_by_baselines = [0_usize; BASELINES.len()];
    let mut ablations = ablation::Tally::default();
    let mut not_built = Vec::new();
    let mut cases = 0;
    for case in &chosen {
        match repeated(case, &stack, &options) {
            Ok((verdicts, baselines, without)) => {
                cases += 1;
                for line in ablations.count(case, &without) {
                    println!("   {line}");
                }
                for (right, said) in said_by_baselines.iter_mut().zip(baselines) {
                    *right += usize::from(case.label.resources.contains(&said));
                }
                for one in verdicts {
                    let sign = if one.right { "  " } else { "✗ " };
                    println!(
                        "{sign}{:<22} {:<10} {} {} {} ({})",
                        case.name,
                        one.source,
                        one.said.resource,
                        one.said.device.as_deref().unwrap_or("–"),
                        one.said.kind,
                        one.said.grade
                    );
                    if !one.right {
                        println!(
                            "   is {}: {}",
                            case.label.resources.join("|"),
                            one.said.statement
                        );
                    }
                    judged.push(one);
                }
            }
            Err(why) => {
                println!("– {:<22} cannot be built here: {why}", case.name);
                not_built.push(case.name);
            }
        }
    }
    println!();
    for source in ["embedded", "prometheus"] {
        let mine: Vec<&Judged> = judged.iter().filter(|one| one.source == source).collect();
        println!("{}\n{}", score::summary(&judged, source), score::matrix(&mine));
    }
    let ours = judged.iter().filter(|one| one.source == "embedded");
    let named =
        ours.filter(|one| one.label.resources.contains(&one.said.resource.as_str())).count();
    println!("the resource alone, embedded: {}", score::share(named, cases));
    for ((name, _), right) in BASELINES.iter().zip(said_by_baselines) {
        println!("the resource alone, {name}: {}", score::share(right, cases));
    }
    println!("\n{}", ablations.summary());
    let alarms = judged.iter().filter(|one| one.is_false_alarm()).count();
    let sure = judged.iter().filter(|one| one.is_sure_and_wrong()).count();
    println!(
        "\n{cases} cases, {} not built, {alarms} false alarms, {sure} wrong without reserve",
        not_built.len()
    );
    // A part of the set must be right as a whole; of all of it, the shares that
    // the project promises.
    let enough = |source: &str, least: f64| {
        let mine: Vec<&Judged> = judged.iter().filter(|one| one.source == source).collect();
        mine.iter().filter(|one| one.right).count() as f64 >= least * mine.len() as f64
    };
    let (embedded, prometheus) = if options.all { (0.95, 0.92) } else { (1.0, 1.0) };
    let failed = alarms > 0
        || ablations.any_wrong()
        || !enough("embedded", embedded)
        || !enough("prometheus", prometheus);
    let missing = !options.all && options.only.is_none() && !not_built.is_empty();
    // An exit drops nothing.
    drop(stack);
    if failed || missing {
        std::process::exit(1);
    }
}

/// node_exporter with what the catalogue can use of it, and a Prometheus.
struct Stack {
    _exporter: Service,
    _prometheus: Service,
    _sandbox: Sandbox,
    url: String,
    scrape_s: u32,
}

impl Stack {
    fn start(scrape_s: u32) -> Self {
        let sandbox = Sandbox::new();
        let (exporter_port, port) = (free_port(), free_port());
        let exporter = Service::start(
            Command::new(component(&["prometheus-node-exporter", "node_exporter"]))
                .arg(format!("--web.listen-address=127.0.0.1:{exporter_port}"))
                .arg("--no-collector.systemd")
                .args(["--collector.qdisc", "--collector.processes"])
                .arg("--collector.diskstats.device-exclude=^(ram|zram|fd)\\d+$")
                .arg("--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run)($|/)")
                .arg("--collector.vmstat.fields=^(oom_kill|pgpg|pswp|pg.*fault|workingset_refault.*).*"),
        );
        let config = sandbox.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: {scrape_s}s, scrape_timeout: 900ms}}\n\
                 scrape_configs:\n  - job_name: node\n    static_configs: [{{targets: ['127.0.0.1:{exporter_port}']}}]\n"
            ),
        );
        let prometheus = Service::start(
            Command::new(component(&["prometheus"]))
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", sandbox.path().join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        );
        wait_for_port(exporter_port);
        wait_for_port(port);
        sleep(Duration::from_secs(u64::from(6 + 5 * scrape_s)));
        let url = format!("http://127.0.0.1:{port}");
        Self { _exporter: exporter, _prometheus: prometheus, _sandbox: sandbox, url, scrape_s }
    }
}

type Found = (Vec<Judged>, [&'static str; BASELINES.len()], Vec<ablation::Without>);

/// Run a case until others took little of the machine.
fn repeated(case: &'static Case, stack: &Stack, options: &Options) -> Result<Found, String> {
    let mut foreign = 0.0;
    for _ in 0..3 {
        let (found, share) = once(case, stack, options)?;
        if share <= FOREIGN {
            return Ok(found);
        }
        foreign = share;
    }
    Err(format!("others used {:.0} % of the cores in three tries", foreign * 100.0))
}

fn once(case: &'static Case, stack: &Stack, options: &Options) -> Result<(Found, f64), String> {
    let sandbox = Sandbox::new();
    let mut lab = Lab::build(sandbox.path(), case.parts)?;
    if !case.before.is_empty() {
        lab.before(case.before)?;
    }
    // Room for a rate window and three samples, in either phase.
    let lead = if stack.scrape_s == 1 { BASELINE_S } else { f64::from(stack.scrape_s) * 7.0 };
    let own =
        if case.own.is_empty() { String::new() } else { format!("[[phase.load]]\n{}\n", case.own) };
    let confirm = if own.is_empty() {
        String::new()
    } else {
        format!("confirm = true\nconfirm_hold = \"{}s\"\n", stack.scrape_s * 7)
    };
    let scenario = format!(
        "name = \"case\"\n{confirm}[[phase]]\nname = \"baseline\"\nduration = \"{lead}s\"\n\
         [[phase]]\nname = \"load\"\nduration = \"{}s\"\n{own}",
        options.seconds
    );
    let path = sandbox.write("scenario.toml", &scenario).display().to_string();
    let start = |name: &str, more: &[&str]| {
        let mut all = vec!["run", path.as_str(), "--name", name, "--format", "json", "-q"];
        all.extend(more);
        sandbox
            .stressor(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    };
    let more = [("embedded", vec![]), ("prometheus", vec!["--prometheus", stack.url.as_str()])];
    let device = case.label.device.map(|device| named(device, &lab));
    let mut verdicts = Vec::new();
    let mut foreign = 0.0;
    // A load of our own must not be there twice, so its runs come in turn.
    let turns: Vec<_> = if own.is_empty() {
        vec![more.to_vec()]
    } else {
        more.iter().map(|one| vec![one.clone()]).collect()
    };
    for turn in turns {
        let begun = Instant::now();
        let children: Vec<_> =
            turn.iter().map(|(source, more)| (*source, start(source, more))).collect();
        sleep(
            Duration::from_secs_f64(lead).saturating_sub(begun.elapsed())
                + Duration::from_millis(100),
        );
        let loaded = Clock::start().now();
        if !case.load.is_empty() {
            lab.start(case.load);
        }
        let watched = (!case.reached.is_empty()).then(|| lab.watch(case.reached)).flatten();
        let watch = watched.map(|mut child| {
            let end = Instant::now() + Duration::from_secs_f64(options.seconds);
            std::thread::spawn(move || reached(&mut child, end))
        });
        if own.is_empty() {
            foreign = others_share(&lab, options.seconds);
        }
        let begins = match watch {
            Some(watch) => watch.join().expect("a thread").ok_or("the limit was not reached")?,
            None => loaded,
        };
        for (source, child) in children {
            let output = child.wait_with_output().expect("the program ends");
            lab.stop();
            let document: Value = serde_json::from_slice(&output.stdout)
                .map_err(|error| format!("{source}: {error} ({})", output.status))?;
            let of_load = phase(&document, "load");
            let mut said = Said::of(of_load.get("verdict").unwrap_or(&Value::Null));
            let since = of_load.pointer("/verdict/since").and_then(Value::as_str);
            said.onset_s = since
                .and_then(Timestamp::parse)
                .filter(|_| !case.negative && own.is_empty())
                .map(|since| since.since(begins));
            let from_afar = case.from_prometheus.filter(|_| source == "prometheus");
            let label: Label = from_afar.unwrap_or(case.label);
            let device = label.device.and(device.as_deref());
            let right = score::is_right(&label, device, &said);
            verdicts.push(Judged { case, source, label, said, right });
        }
    }
    let folder =
        RunFolder::find(&sandbox.path().join("reports"), "embedded").map_err(|e| e.to_string())?;
    let run = read::run(&folder).map_err(|error| error.to_string())?;
    let of_load = run.manifest.phases.iter().find(|phase| phase.name == "load");
    let window = of_load.map(|phase| run.steady(phase)).expect("a phase");
    let node = Node { data: run.nodes.first().expect("a node"), window };
    let said = BASELINES.map(|(_, says)| says(&node));
    Ok(((verdicts, said, ablation::all(&run)), foreign))
}

/// When the child that waits for a condition has ended; `None` when it has not by
/// `end`.
fn reached(child: &mut Child, end: Instant) -> Option<Timestamp> {
    while Instant::now() < end {
        if child.try_wait().ok()?.is_some() {
            return Some(Clock::start().now());
        }
        sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// The share of all cores that others than the lab took in user mode, while the
/// load is there.
fn others_share(lab: &Lab, seconds: f64) -> f64 {
    sleep(Duration::from_secs(1));
    let (user, own) = (user_seconds(), lab.user_seconds());
    let watched = Instant::now();
    sleep(Duration::from_secs_f64(seconds - 2.0));
    let others = (user_seconds() - user) - (lab.user_seconds() - own);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    others / watched.elapsed().as_secs_f64() / cores
}

/// What a label's device is called on this machine.
fn named(device: &str, lab: &Lab) -> String {
    match device {
        "lab" => "/stressor-lab".to_owned(),
        _ => match device.strip_prefix('$') {
            Some(variable) => {
                let path = lab.variable(variable).unwrap_or_default();
                path.strip_prefix("/dev/").unwrap_or(path).to_owned()
            }
            None => device.to_owned(),
        },
    }
}

/// Seconds of user time of all cores so far.
fn user_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut fields = stat.split_whitespace().skip(1).filter_map(|word| word.parse::<f64>().ok());
    (fields.next().unwrap_or(0.0) + fields.next().unwrap_or(0.0)) / 100.0
}
