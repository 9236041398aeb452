//! Which nodes a plan means, and where each one's samples come from.

use std::time::Duration;

use crate::{
    fleet::inventory::Member,
    host::{Roots, facts},
    model::{
        run::{HostFacts, NodeRecord, SourceKind},
        time::Timestamp,
    },
    scenario::plan::{Plan, Telemetry},
    telemetry::prometheus::{
        client::{self, Client},
        server,
        source::Source,
        targets::{self, Candidate, Unknown},
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
    /// Where samples come from, without secrets.
    pub telemetry: Vec<String>,
    /// What the reader of the report must know.
    pub notes: Vec<String>,
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
        telemetry: vec!["embedded sampler (/proc, /sys)".to_owned()],
        notes: Vec::new(),
    })
}

async fn prometheus(plan: &Plan, url: &str, host: HostFacts) -> Result<Nodes, Error> {
    let mut client = Client::new(url, &plan.telemetry)?;
    let backend = server::backend(&mut client).await?;
    let job = plan.telemetry.job.as_deref();
    let candidates = targets::candidates(&client, job, None).await?;
    let mut chosen = Vec::new();
    if plan.nodes.is_empty() {
        let candidate = targets::this_machine(&candidates, &host.hostname, client.base())?;
        chosen.push(("local".to_owned(), candidate, true));
    } else {
        for node in &plan.nodes {
            let instance = node.instance.as_deref();
            let local = node.name == "local" || node.name == host.hostname;
            let candidate = if node.name == "local" && instance.is_none() {
                targets::this_machine(&candidates, &host.hostname, client.base())?
            } else {
                targets::named(&candidates, &node.name, instance, client.base())?
            };
            let local = local || candidate.nodename == host.hostname;
            chosen.push((node.name.clone(), candidate, local));
        }
    }
    let far = plan.nodes.iter().any(|node| node.way.is_some());
    if is_loaded(plan) && !far && !chosen.iter().any(|(_, _, local)| *local) {
        return Err(Error::NoneLocal { hostname: host.hostname });
    }
    let instances: Vec<String> =
        chosen.iter().map(|(_, candidate, _)| candidate.instance.clone()).collect();
    let told = server::scrape_interval(&client, &instances, None).await?;
    let ahead = server::clock_ahead(&client, now).await?.unwrap_or(0.0);
    let way = client.notes();
    let mut source = Source::new(client, &instances, job, told);
    source.ahead_s = ahead;
    source.hides_s = backend.hides_s;
    let mut notes: Vec<String> = assumed_interval(told, &source).into_iter().collect();
    notes.extend(way.into_iter().chain(backend.note));
    notes.extend(wrong_clock(ahead));
    notes.extend(too_short(plan, source.interval_s, source.window_s));
    let records = chosen
        .into_iter()
        .map(|(name, candidate, local)| {
            let far = seen_from_afar(candidate, &source);
            let host = if local { host.clone() } else { far.host };
            let agent = has_way(plan, &name);
            let carries = agent || (local && carried_here(plan, &host.hostname).is_some());
            NodeRecord { name, loaded: carries && is_loaded(plan), agent, host, ..far }
        })
        .collect();
    let telemetry = vec![format!("Prometheus at {}", source.base())];
    Ok(Nodes { records, source: Some(source), telemetry, notes })
}

/// The nodes that a Prometheus knew at `end`: those whose name, instance or host
/// one of `names` matches, a regular expression over the whole of it; or all.
///
/// # Errors
/// When the server does not answer, or does not know one of them.
pub fn past(plan: &Plan, names: &[String], end: Timestamp) -> Result<Nodes, Error> {
    let url = plan.telemetry.prometheus.as_deref().unwrap_or_default();
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut client = Client::new(url, &plan.telemetry)?;
        let backend = server::backend(&mut client).await?;
        let job = plan.telemetry.job.as_deref();
        let candidates = targets::candidates(&client, job, Some(end)).await?;
        let chosen = if names.is_empty() {
            let mut all = candidates.clone();
            all.sort_by(|a, b| (&a.nodename, &a.instance).cmp(&(&b.nodename, &b.instance)));
            all.dedup_by(|a, b| a.instance == b.instance);
            // Two jobs that scrape one machine would count it twice.
            for one in &all {
                targets::named(&candidates, &one.instance, Some(&one.instance), client.base())?;
            }
            all
        } else {
            let mut chosen: Vec<Candidate> = Vec::new();
            for name in names {
                for one in targets::matching(&candidates, name, client.base())? {
                    if !chosen.iter().any(|known| known.instance == one.instance) {
                        chosen.push(one);
                    }
                }
            }
            chosen
        };
        let instances: Vec<String> = chosen.iter().map(|one| one.instance.clone()).collect();
        let told = server::scrape_interval(&client, &instances, Some(end)).await?;
        let way = client.notes();
        let mut source = Source::new(client, &instances, job, told);
        source.hides_s = backend.hides_s;
        if names.is_empty() {
            source = source.of_jobs(&chosen.iter().map(|one| one.job.as_str()).collect());
        }
        let notes =
            assumed_interval(told, &source).into_iter().chain(way).chain(backend.note).collect();
        let records = chosen.into_iter().map(|one| seen_from_afar(one, &source)).collect();
        let telemetry = vec![format!("Prometheus at {}", source.base())];
        Ok(Nodes { records, source: Some(source), telemetry, notes })
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
            let address = targets::host(&one.instance).to_owned();
            let name = if one.nodename.is_empty() { &address } else { &one.nodename };
            Member {
                name: name.clone(),
                address: Some(address),
                ssh: None,
                instance: Some(one.instance),
                groups: vec![one.job],
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
        let is_it = |one: &&Candidate| {
            let host = targets::host(&one.instance);
            one.nodename == member.name
                || host == member.name
                || member.address.as_deref() == Some(host)
        };
        member.instance = known.iter().find(is_it).map(|one| one.instance.clone());
    }
    Ok(())
}

fn known(telemetry: &Telemetry) -> Result<Vec<Candidate>, Error> {
    let url = telemetry.prometheus.as_deref().unwrap_or_default();
    runtime()?.block_on(async {
        let client = Client::new(url, telemetry)?;
        Ok(targets::candidates(&client, telemetry.job.as_deref(), None).await?)
    })
}

/// Where the queries run.
///
/// # Errors
/// When the kernel refuses what it needs.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}

fn assumed_interval(told: Option<f64>, source: &Source) -> Option<String> {
    told.is_none().then(|| {
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
fn seen_from_afar(candidate: Candidate, source: &Source) -> NodeRecord {
    let name = if candidate.nodename.is_empty() {
        candidate.instance.clone()
    } else {
        candidate.nodename.clone()
    };
    NodeRecord {
        name,
        instance: Some(candidate.instance),
        source: SourceKind::Prometheus,
        loaded: false,
        agent: false,
        interval_s: source.interval_s,
        window_s: source.window_s,
        host: HostFacts {
            hostname: candidate.nodename,
            kernel: candidate.release,
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
