//! Which nodes a plan means, and where each one's samples come from.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    fleet::inventory::Member,
    host::{Roots, facts},
    model::{
        run::{Caveat, HostFacts, NodeRecord, SourceKind},
        time::{Timestamp, Window},
    },
    scenario::plan::{Plan, Telemetry},
    telemetry::prometheus::{
        choice::{self, Unknown},
        client::{self, Client},
        discovery::{self, Scope},
        machines::{Machine, host_of},
        recorded, selector, server,
        source::{Source, USUAL_INTERVAL_S},
    },
};

/// Why a plan's nodes cannot be watched or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node is not this machine and there is no Prometheus.
    #[error(
        "node {name:?} is not this machine ({hostname}) and the embedded sampler sees only this one: set [telemetry] prometheus, or call the node \"local\""
    )]
    OutOfSight {
        /// The node.
        name: String,
        /// This machine.
        hostname: String,
    },
    /// There is load, and no node to carry it.
    #[error(
        "no [[node]] is this machine ({hostname}), so nothing would carry the load: call one \"local\" or {hostname:?}, or leave [[node]] out"
    )]
    NoneLocal {
        /// This machine.
        hostname: String,
    },
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// A node is not among the targets.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The runtime could not be made.
    #[error("no asynchronous runtime can be made")]
    Runtime(#[source] std::io::Error),
}

/// The nodes of a run.
#[derive(Debug)]
pub struct Nodes {
    /// Their records, in the scenario's order.
    pub records: Vec<NodeRecord>,
    /// The Prometheus to read, when there is one.
    pub source: Option<Source>,
    /// More of it: of nodes that are scraped less often, in a past time range.
    pub others: Vec<Source>,
    /// Where samples come from, without secrets.
    pub telemetry: Vec<String>,
    /// What the reader of the report must know.
    pub notes: Vec<String>,
    /// What makes the data doubtful.
    pub caveats: Vec<Caveat>,
}

/// Find the plan's nodes. Talks to the Prometheus, if the plan names one.
///
/// # Errors
/// When a node cannot be found or watched, or nothing would carry the load.
pub fn resolve(plan: &Plan, roots: &Roots) -> Result<Nodes, Error> {
    let facts = facts::read(roots);
    match &plan.telemetry.prometheus {
        None => embedded(plan, facts),
        Some(url) => runtime()?.block_on(prometheus(plan, url, facts)),
    }
}

fn is_loaded(plan: &Plan) -> bool {
    plan.phases.iter().any(|phase| !phase.loads.is_empty())
}

/// What the plan calls this machine, if this machine carries load: the only one
/// does, and among nodes that are loaded from here the one that is named.
pub(super) fn carried_here(plan: &Plan, hostname: &str) -> Option<String> {
    let is_this = |name: &str| name == "local" || name == hostname;
    let named = plan.nodes.iter().find(|node| node.way.is_none() && is_this(&node.name));
    match named {
        Some(node) => Some(node.name.clone()),
        None if plan.nodes.iter().any(|node| node.way.is_some()) => None,
        None => Some("local".to_owned()),
    }
}

/// Whether the plan says how a node is loaded from here.
fn has_way(plan: &Plan, name: &str) -> bool {
    plan.nodes.iter().any(|node| node.name == name && node.way.is_some())
}

fn embedded(plan: &Plan, host: HostFacts) -> Result<Nodes, Error> {
    let names: Vec<String> = if plan.nodes.is_empty() {
        vec!["local".to_owned()]
    } else {
        plan.nodes.iter().map(|node| node.name.clone()).collect()
    };
    let interval_s = plan.telemetry.interval.as_secs_f64();
    let mut records = Vec::new();
    for name in names {
        let agent = has_way(plan, &name);
        if !agent && name != "local" && name != host.hostname && !plan.nodes.is_empty() {
            return Err(Error::OutOfSight { name, hostname: host.hostname });
        }
        records.push(NodeRecord {
            name,
            instance: None,
            labels: BTreeMap::new(),
            source: SourceKind::Embedded,
            loaded: is_loaded(plan),
            agent,
            interval_s,
            window_s: interval_s,
            host: host.clone(),
        });
    }
    Ok(Nodes {
        records,
        source: None,
        others: Vec::new(),
        telemetry: vec!["embedded sampler (/proc, /sys)".to_owned()],
        notes: Vec::new(),
        caveats: Vec::new(),
    })
}

async fn prometheus(plan: &Plan, url: &str, host: HostFacts) -> Result<Nodes, Error> {
    let mut client = Client::new(url, &plan.telemetry)?;
    let base = selector::of_telemetry(&plan.telemetry);
    let machines = discovery::machines(&client, Scope { selector: &base, window: None }).await?;
    let mut chosen = Vec::new();
    if plan.nodes.is_empty() {
        let machine = choice::this_machine(&machines, &host.hostname, client.base())?;
        chosen.push(("local".to_owned(), machine.clone(), true));
    } else {
        for node in &plan.nodes {
            let instance = node.instance.as_deref();
            let local = node.name == "local" || node.name == host.hostname;
            let machine = if node.name == "local" && instance.is_none() {
                choice::this_machine(&machines, &host.hostname, client.base())?
            } else {
                choice::named(&machines, &node.name, instance, client.base())?
            };
            let local = local || machine.nodename() == host.hostname;
            chosen.push((node.name.clone(), machine.clone(), local));
        }
    }
    let far = plan.nodes.iter().any(|node| node.way.is_some());
    if is_loaded(plan) && !far && !chosen.iter().any(|(_, _, local)| *local) {
        return Err(Error::NoneLocal { hostname: host.hostname });
    }
    let read: Vec<Machine> = chosen.iter().map(|(_, machine, _)| machine.clone()).collect();
    let interval = server::scrape_interval(&client, &base, &read, None).await?;
    let ahead = server::clock_ahead(&client, now).await?.unwrap_or(0.0);
    let usual = interval.seconds().unwrap_or(USUAL_INTERVAL_S);
    let freshness = server::freshness(&mut client, &base, &read, usual).await?;
    let mut notes = client.notes();
    let mut source = Source::new(client, &base, read, true, interval.seconds());
    source = source.with_companions(plan.telemetry.matchers.join(","));
    source.ahead_s = ahead;
    source.hidden_s = freshness.hidden_s;
    notes.extend(assumed_interval(interval, &source));
    notes.extend(freshness.note);
    notes.extend(wrong_clock(ahead));
    notes.extend(too_short(plan, source.interval_s, source.window_s));
    let mut caveats = Vec::new();
    let records = chosen
        .into_iter()
        .map(|(name, machine, local)| {
            notes.extend(replicas(&machine));
            let far = seen_from_afar(&machine, &source);
            let host = if local { host.clone() } else { far.host };
            let agent = has_way(plan, &name);
            let carries = agent || (local && carried_here(plan, &host.hostname).is_some());
            let record =
                NodeRecord { name, loaded: carries && is_loaded(plan), agent, host, ..far };
            caveats.extend(other_system(&machine, &record.name));
            record
        })
        .collect();
    let telemetry = vec![format!("Prometheus at {}", source.base())];
    Ok(Nodes { records, source: Some(source), others: Vec::new(), telemetry, notes, caveats })
}

/// The nodes that a Prometheus has series of in a time range, also those that were gone
/// before its end: those whose name, instance or host one of `names` matches, a regular
/// expression over the whole of it; or all.
///
/// # Errors
/// When the server does not answer, or does not know one of them.
pub fn past(plan: &Plan, names: &[String], window: Window) -> Result<Nodes, Error> {
    let url = plan.telemetry.prometheus.as_deref().unwrap_or_default();
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut client = Client::new(url, &plan.telemetry)?;
        let base = selector::of_telemetry(&plan.telemetry);
        let scope = Scope { selector: &base, window: Some(window) };
        let machines = discovery::machines(&client, scope).await?;
        let mut notes = Vec::new();
        let mut chosen: Vec<Machine> = Vec::new();
        for name in names {
            let matched = choice::matching(&machines, name, client.base())?;
            for one in matched.machines {
                if !chosen.contains(one) {
                    chosen.push(one.clone());
                }
            }
            let unmatched = matched.unmatched.iter();
            notes.extend(
                unmatched.map(|one| {
                    format!("--node {name:?}: no node in this time range matches {one:?}")
                }),
            );
        }
        if names.is_empty() {
            chosen = machines;
        }
        let interval = server::scrape_interval(&client, &base, &chosen, Some(window)).await?;
        let usual = interval.seconds().unwrap_or(USUAL_INTERVAL_S);
        let ends_now = now().since(window.end) < LONGEST_TAIL_S + usual;
        let freshness = if ends_now {
            server::freshness(&mut client, &base, &chosen, usual).await?
        } else {
            server::Freshness::default()
        };
        notes.extend(client.notes());
        let groups = server::by_interval(&client, &base, &chosen, window, usual).await?;
        if let [(fastest, _), .., (slowest, slow)] = groups.as_slice() {
            let listed: Vec<&str> = slow.iter().take(3).map(|one| one.name.as_str()).collect();
            notes.push(format!(
                "the nodes are scraped at different intervals, from {fastest} s to {slowest} s ({}): each is judged by its own",
                listed.join(", ")
            ));
        }
        let is_single = groups.len() == 1;
        let mut sources = Vec::new();
        for (interval_s, machines) in groups {
            let is_few = !is_single && machines.len() <= MOST_NAMED;
            let by_instance = !names.is_empty() || is_few;
            let known = machines.clone();
            let mut source =
                Source::new(client.clone(), &base, machines, by_instance, Some(interval_s))
                    .with_companions(plan.telemetry.matchers.join(","));
            source.hidden_s = freshness.hidden_s;
            if is_single && known.len() > MANY_NODES {
                let signals =
                    recorded::usable(&client, &base, &known, window, interval_s).await?;
                if !signals.is_empty() {
                    notes.push(format!(
                        "{} signals were read from the recording rules of `stack init` (stressor:…)",
                        signals.len()
                    ));
                    source = source.recorded(signals);
                }
            }
            sources.push((source, known));
        }
        let mut records: Vec<NodeRecord> = sources
            .iter()
            .flat_map(|(source, known)| known.iter().map(|one| seen_from_afar(one, source)))
            .collect();
        records.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
        let mut sources = sources.into_iter().map(|(source, _)| source);
        let source = sources.next();
        let others = sources.collect();
        notes.extend(source.as_ref().and_then(|source| assumed_interval(interval, source)));
        notes.extend(freshness.note);
        notes.extend(chosen.iter().filter_map(replicas));
        let thinned = interval.caveat().filter(|_| is_single);
        let thinned = thinned.map(|text| Caveat { node: None, text });
        let systems = chosen.iter().filter_map(|machine| other_system(machine, &machine.name));
        let caveats = thinned.into_iter().chain(systems).collect();
        let telemetry = vec![format!("Prometheus at {}", client.base())];
        Ok(Nodes { records, source, others, telemetry, notes, caveats })
    })
}

/// Of as many nodes the queries name each one, where they are not all of their jobs.
const MOST_NAMED: usize = 200;

/// Of more nodes than this, what the server has computed already is read where it can be,
/// and what is only for display is not read at first.
pub(super) const MANY_NODES: usize = 50;

/// A time range that ends longer ago than this has no samples that are still hidden.
const LONGEST_TAIL_S: f64 = 300.0;

/// A remark on a machine that is seen twice.
fn replicas(machine: &Machine) -> Option<String> {
    let labels = machine.replica_labels();
    (!labels.is_empty()).then(|| {
        format!(
            "{}: the server has {} copies of this machine's series, which differ in the label {} (replicas); they are not added up, one copy is used at a time",
            machine.name,
            machine.targets.len(),
            labels.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

/// A remark on a machine that does not run Linux.
fn other_system(machine: &Machine, name: &str) -> Option<Caveat> {
    let system = &machine.main_target()?.system;
    (!system.is_empty() && system != "Linux").then(|| Caveat {
        node: Some(name.to_owned()),
        text: format!(
            "{name} runs {system}: most signals exist on Linux only, and what they mean elsewhere is not known"
        ),
    })
}

/// All nodes that a Prometheus scrapes, as members of an inventory that are only
/// watched.
///
/// # Errors
/// When the server does not answer or has none.
pub fn members(telemetry: &Telemetry) -> Result<Vec<Member>, Error> {
    let mut all: Vec<Member> = known(telemetry)?
        .into_iter()
        .map(|one| {
            let address = host_of(&one.instance).to_owned();
            let job = one.main_target().map(|target| target.label("job").to_owned());
            let name = if one.nodename().is_empty() { &address } else { one.nodename() };
            Member {
                name: name.to_owned(),
                address: Some(address),
                ssh: None,
                groups: job.into_iter().collect(),
                instance: Some(one.instance),
            }
        })
        .collect();
    all.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
    Ok(all)
}

/// What a Prometheus calls these members, where it knows them by their name or
/// address.
///
/// # Errors
/// When the server does not answer or has no node.
pub fn find_instances(telemetry: &Telemetry, members: &mut [Member]) -> Result<(), Error> {
    let known = known(telemetry)?;
    for member in members {
        let is_it = |one: &&Machine| {
            let host = host_of(&one.instance);
            one.nodename() == member.name
                || host == member.name
                || member.address.as_deref() == Some(host)
        };
        member.instance = known.iter().find(is_it).map(|one| one.instance.clone());
    }
    Ok(())
}

fn known(telemetry: &Telemetry) -> Result<Vec<Machine>, Error> {
    let url = telemetry.prometheus.as_deref().unwrap_or_default();
    runtime()?.block_on(async {
        let client = Client::new(url, telemetry)?;
        let base = selector::of_telemetry(telemetry);
        Ok(discovery::machines(&client, Scope { selector: &base, window: None }).await?)
    })
}

/// Where the queries run.
///
/// # Errors
/// When the kernel refuses what it needs.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}

fn assumed_interval(interval: server::Interval, source: &Source) -> Option<String> {
    interval.seconds().is_none().then(|| {
        format!(
            "the scrape interval could not be read from Prometheus; {} s is assumed",
            source.interval_s
        )
    })
}

fn now() -> Timestamp {
    crate::host::clock::Clock::start().now()
}

/// A word on clocks that disagree.
fn wrong_clock(ahead_s: f64) -> Option<String> {
    (ahead_s.abs() > 0.0).then(|| {
        format!(
            "the clock of Prometheus is {:.1} s {} that of this machine; its times are corrected by that. Set both by NTP",
            ahead_s.abs(),
            if ahead_s > 0.0 { "ahead of" } else { "behind" }
        )
    })
}

/// The record of a node that only its Prometheus knows.
fn seen_from_afar(machine: &Machine, source: &Source) -> NodeRecord {
    let target = machine.main_target();
    NodeRecord {
        name: machine.name.clone(),
        instance: Some(machine.instance.clone()),
        labels: machine.distinct.clone(),
        source: SourceKind::Prometheus,
        loaded: false,
        agent: false,
        interval_s: source.interval_s,
        window_s: source.window_s,
        host: HostFacts {
            hostname: machine.nodename().to_owned(),
            kernel: target.map_or_else(String::new, |target| target.release.clone()),
            os: target.map_or_else(String::new, |target| target.system.clone()),
            ..HostFacts::default()
        },
    }
}

/// A phase must have room for three whole rate windows, a scrape apart: a
/// shorter one shows less than its load (at 15 s scrapes, 20 s of full load read
/// as 44 %) or carries no verdict.
fn too_short(plan: &Plan, interval_s: f64, window_s: f64) -> Option<String> {
    let least = Duration::from_secs_f64(window_s + 3.0 * interval_s);
    let short: Vec<&str> = plan
        .phases
        .iter()
        .filter(|phase| phase.duration < least)
        .map(|phase| phase.name.as_str())
        .collect();
    (!short.is_empty()).then(|| {
        format!(
            "with a scrape every {interval_s} s a phase must last {} to be seen whole; too short: {}. Make it longer, or scrape more often",
            crate::model::units::show_duration(least),
            short.join(", ")
        )
    })
}
