//! Recorded nodes: is the verdict right on other people's data?
//!
//! Each case is one or more machines as a Prometheus recorded them, after public
//! reports of what such data look like: replicas, vanished nodes, image file systems,
//! counters that run backwards, and plain limits with their halves beside them.
//!
//! `cargo test --release --test recorded_nodes -- --all` asks a real Prometheus 2, a
//! Prometheus 3 and VictoriaMetrics about each of them, and prints a confusion matrix
//! over all causes, all "must not say" cases, and the counts. Without arguments all
//! nodes are in one Prometheus 2 and are asked for in groups; any wrong answer fails.
//! `--only TEXT` picks by name or class, `--server NAME` one server, `--single` asks
//! for each case in a call of its own, `--show` prints each verdict.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "its output is its result"
)]
#![allow(clippy::expect_used, clippy::panic, reason = "a broken case stops it")]

mod case;
mod cases;
mod front;
mod openmetrics;
mod score;
mod servers;
#[path = "../integration/support.rs"]
#[expect(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared with the other tests, which use all of it"
)]
mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use case::{Case, Check};
use openmetrics::{Host, T0};
use score::{Judged, Outcome};
use serde_json::Value;
use servers::{Blocks, Kind, Server};
use support::{Outcome as Ended, Sandbox};

/// Cases in one call at most. Of more than 50 nodes only the signals are read that a
/// verdict rests on, so a few large calls are the cheapest; `--single` reads them all.
const IN_A_CALL: usize = 110;
/// Calls at once.
const AT_ONCE: usize = 3;

struct Options {
    all: bool,
    single: bool,
    show: bool,
    only: Option<String>,
    servers: Vec<Kind>,
}

impl Options {
    fn of(arguments: &[String]) -> Self {
        let has = |name: &str| arguments.iter().any(|one| one == name);
        let value = |name: &str| {
            let at = arguments.iter().position(|one| one == name)?;
            arguments.get(at + 1).cloned()
        };
        let all = has("--all");
        let servers = match value("--server") {
            Some(name) => {
                Kind::ALL.into_iter().filter(|kind| kind.name().starts_with(&name)).collect()
            }
            None if all => Kind::ALL.to_vec(),
            None => vec![Kind::Prometheus2],
        };
        Self {
            all,
            single: has("--single") || all,
            show: has("--show"),
            only: value("--only"),
            servers,
        }
    }

    fn chooses(&self, name: &str, item: &str) -> bool {
        self.only.as_ref().is_none_or(|text| name.contains(text.as_str()) || item == text)
    }
}

fn main() {
    case::check_itself();
    let options = Options::of(&std::env::args().skip(1).collect::<Vec<_>>());
    assert!(!options.servers.is_empty(), "--server is one of {:?}", Kind::ALL.map(Kind::name));
    let began = Instant::now();
    let cases: Vec<Case> =
        cases::all().into_iter().filter(|case| options.chooses(case.name, case.item)).collect();
    // What stands before a server needs the plain nodes, whatever was chosen.
    let background = cases::background();
    let hosts: Vec<&Host> = cases.iter().flat_map(|case| &case.hosts).chain(&background).collect();
    let sandbox = Sandbox::new();
    let blocks = Blocks::of(&sandbox, &hosts);
    println!(
        "{} cases, {} recorded exporters, blocks made in {:.1?}",
        cases.len(),
        hosts.len(),
        began.elapsed()
    );
    let mut judged: Vec<Judged> = Vec::new();
    for kind in &options.servers {
        let server = Server::start(*kind, &sandbox, &hosts, &blocks);
        let asking = Asking { server: &server, sandbox: &sandbox, calls: AtomicUsize::new(0) };
        let mut mine = asking.all(&cases, options.single);
        mine.extend(front::judge(
            &server,
            &sandbox,
            &|name, item| options.chooses(name, item),
            options.all,
        ));
        print(&options, *kind, &mine);
        println!("{}: {:.1?} so far", kind.name(), began.elapsed());
        judged.extend(mine);
    }
    let share = |of: &dyn Fn(&&Judged) -> bool| judged.iter().filter(of).count();
    let (correct, wrong) =
        (share(&|one| one.outcome == Outcome::Correct), share(&|one| one.outcome.is_wrong()));
    println!("{correct} of {} correct, {wrong} wrong", judged.len());
    drop(sandbox);
    if wrong > 0 || (correct as f64) < 0.9 * judged.len() as f64 {
        std::process::exit(1);
    }
}

fn print(options: &Options, kind: Kind, judged: &[Judged]) {
    let all: Vec<&Judged> = judged.iter().collect();
    if options.show {
        for one in judged {
            println!(
                "{:<28} {:<4} {:<30} {} ({})",
                one.outcome.name(),
                one.item,
                one.case,
                one.said,
                one.grade
            );
        }
    }
    println!("\n# {}\n\n{}", kind.name(), score::matrix(&all));
    println!("{}", score::must_not_say(&all));
    println!("{}\n{}", score::faults(&all), score::counts(&all));
}

/// A server that is asked about cases.
struct Asking<'a> {
    server: &'a Server,
    sandbox: &'a Sandbox,
    calls: AtomicUsize,
}

impl Asking<'_> {
    /// Judge all cases: together where that is possible, else one by one.
    fn all(&self, cases: &[Case], single: bool) -> Vec<Judged> {
        let mut groups: BTreeMap<String, Vec<&Case>> = BTreeMap::new();
        for case in cases {
            let key = if single || !case.is_grouped() {
                case.name.to_owned()
            } else {
                format!("{}@{:?}{:?}", case.kind, case.window, case.strict)
            };
            groups.entry(key).or_default().push(case);
        }
        let mut calls: Vec<&[&Case]> =
            groups.values().flat_map(|group| group.chunks(IN_A_CALL)).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.len()));
        let mut judged = in_parallel(&calls, |call| self.call(call));
        let place = |one: &Judged| cases.iter().position(|case| case.name == one.case);
        judged.sort_by_key(place);
        judged
    }

    fn call(&self, cases: &[&Case]) -> Vec<Judged> {
        let (ended, document) = self.run(cases);
        match (cases, document) {
            // One node that cannot be found fails the call for all.
            ([_, _, ..], None) => cases.iter().flat_map(|case| self.call(&[case])).collect(),
            (_, document) => cases
                .iter()
                .flat_map(|case| judge(case, &ended, document.as_ref(), cases.len() == 1))
                .collect(),
        }
    }

    fn run(&self, cases: &[&Case]) -> (Ended, Option<Value>) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.server.kind.name());
        let mut arguments: Vec<String> =
            ["analyze", "--prometheus", &self.server.url(), "--format", "json", "--name", &name]
                .map(str::to_owned)
                .to_vec();
        if let Some(first) = cases.first() {
            let (from, to) = first.window;
            let times = [
                "--start".to_owned(),
                format!("{}", T0 + from),
                "--end".to_owned(),
                format!("{}", T0 + to),
            ];
            if !first.args.iter().any(|arg| arg == "--end" || arg == "--start") {
                arguments.extend(times);
            }
            arguments.extend(first.args.iter().cloned());
            arguments.extend(first.strict.map(|_| "--strict".to_owned()));
        }
        for case in cases {
            let nodes: Vec<String> = match &case.nodes {
                Some(nodes) => nodes.iter().map(|node| (*node).to_owned()).collect(),
                None => case.instances(),
            };
            arguments.extend(nodes.into_iter().flat_map(|node| ["--node".to_owned(), node]));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = self.sandbox.run(&arguments);
        let document = serde_json::from_str(&ended.stdout).ok();
        (ended, document)
    }
}

/// Do something with each item, a few at once.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Vec<R> + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Judge each node of a case by what a call ended with.
fn judge(case: &Case, ended: &Ended, document: Option<&Value>, alone: bool) -> Vec<Judged> {
    let is_only = alone && case.checks.len() == 1;
    let right_exit = case.strict.unwrap_or(0);
    let one = |check: &Check| {
        let (mut outcome, said, grade, mut why) = match document {
            Some(document) => score::judge(check, document, is_only),
            None => refused(check, ended),
        };
        if document.is_some() && ended.code != Some(right_exit) && !outcome.is_wrong() {
            (outcome, why) = (
                Outcome::Incomplete,
                format!("exit {:?}, where {right_exit} is right", ended.code),
            );
        }
        Judged {
            case: case.name,
            item: case.item,
            node: check.node.clone(),
            truth: check.right.join("|"),
            never: check.never.join(", "),
            said,
            grade,
            outcome,
            why,
        }
    };
    case.checks.iter().map(one).collect()
}

/// What an error is worth, where a verdict was asked for.
fn refused(check: &Check, ended: &Ended) -> (Outcome, String, String, String) {
    let message = ended.stderr.lines().next().unwrap_or_default().to_owned();
    let says_why = check.refusal.iter().any(|word| ended.stderr.contains(word));
    let outcome = match (says_why, check.refusal_is_right) {
        (true, true) => Outcome::Correct,
        (true, false) => Outcome::Honest,
        (false, _) => Outcome::NoAnswer,
    };
    let short: String = message.chars().take(110).collect();
    (outcome, "–".to_owned(), "–".to_owned(), format!("exit {}: {short}", ended.code.unwrap_or(-1)))
}
