//! The catalogue's signals of some machines, window by window.

mod query;
mod stages;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use query::{Context, Found, Part, Query, is_limit, keep_changes};

use super::{
    client::{Client, Error},
    decode::{Answer, Reply},
    discovery::{BOOT_TIME, UNAME, UNAME_LABELS, split_uname},
    machines::{Labels, Machine},
    places::{Owners, Places, Strays},
    recorded, selector,
};
use crate::model::{
    catalogue::{self, SIGNALS},
    series::{Point, Signal},
    time::{Timestamp, Window},
};

/// Scrape interval that is assumed when the server does not tell: Prometheus's
/// own default is 1 min, most set-ups use 15 s.
pub const USUAL_INTERVAL_S: f64 = 15.0;
/// A rate window of four scrapes survives one that is lost.
pub(super) const WINDOW_SCRAPES: f64 = 4.0;
/// A sample that is older than this multiple of the interval is not of the newest scrape.
const FRESH_INTERVALS: f64 = 1.5;
/// Queries under way at once.
const AT_ONCE: usize = 4;
/// Signals in one query: fewer queries, and none that a server gives up on.
const PER_QUERY: usize = 6;
/// The label that says which signal a series is of.
const SIGNAL: &str = "stressor_signal";
/// The name under which the moments of successful scrapes are kept.
pub const UP: &str = "up";
/// The name under which changes of the boot time are kept.
pub const BOOT: &str = "boot_time";

/// A window's answer for one signal of one machine and device.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Catalogue name, [`UP`] or [`BOOT`].
    pub name: &'static str,
    /// The machine's [`Machine::series_key`].
    pub machine: String,
    /// The signal's part of that window.
    pub signal: Signal,
}

/// What a window's queries gave.
#[derive(Debug, Default)]
pub struct Collected {
    /// How many series with points there were.
    pub pieces: usize,
    /// Warnings of the server, each once.
    pub warnings: BTreeSet<String>,
    /// Signals whose query failed, with the reason.
    pub failed: Vec<(&'static str, String)>,
    /// Series that could not be assigned to one machine.
    pub strays: Strays,
    /// Why series of other exporters could not be read.
    pub companions_failed: BTreeSet<String>,
}

impl Collected {
    /// Adds what the queries of another source gave.
    pub fn add(&mut self, other: Self) {
        self.pieces += other.pieces;
        self.warnings.extend(other.warnings);
        self.failed.extend(other.failed);
        self.strays.extend(other.strays);
        self.companions_failed.extend(other.companions_failed);
    }
}

/// Reads the catalogue's signals of some machines.
#[derive(Debug, Clone)]
pub struct Source {
    client: Client,
    /// The user's matchers.
    base: String,
    machines: Arc<[Machine]>,
    places: Arc<Places>,
    /// Whether queries name each instance.
    by_instance: bool,
    /// Scrape interval in seconds, which is also the step.
    pub interval_s: f64,
    /// Rate window in seconds.
    pub window_s: f64,
    /// Seconds by which the server's clock is ahead of ours: its times are made
    /// ours.
    pub ahead_s: f64,
    /// Seconds for which the server hides its newest samples.
    pub hidden_s: f64,
    /// Catalogue names that are asked for; `None` for all.
    only: Option<Vec<&'static str>>,
    /// Signals that are read from recording rules.
    recorded: Arc<BTreeSet<&'static str>>,
    /// The matchers for series of other exporters; `None` where they are not read.
    companions: Option<String>,
}

impl Source {
    /// A source for these machines, which are selected by the user's matchers `base`, by
    /// their jobs, and where `by_instance` is set by their instances.
    pub fn new(
        client: Client,
        base: &str,
        machines: Vec<Machine>,
        by_instance: bool,
        interval_s: Option<f64>,
    ) -> Self {
        let interval_s = interval_s.unwrap_or(USUAL_INTERVAL_S);
        let places = Arc::new(Places::new(&machines));
        Self {
            client,
            base: base.to_owned(),
            machines: machines.into(),
            places,
            by_instance,
            interval_s,
            window_s: interval_s * WINDOW_SCRAPES,
            ahead_s: 0.0,
            hidden_s: 0.0,
            only: None,
            recorded: Arc::default(),
            companions: None,
        }
    }

    /// The same, where series of other exporters (containers, GPUs, a cloud's allowances)
    /// are read too. They carry these matchers, and other jobs and instances.
    #[must_use]
    pub fn with_companions(mut self, matchers: String) -> Self {
        self.companions = Some(matchers);
        self
    }

    /// The same, where these signals are read from recording rules.
    #[must_use]
    pub fn recorded(mut self, signals: BTreeSet<&'static str>) -> Self {
        self.recorded = Arc::new(signals);
        self
    }

    /// The same, for the machines with these series keys.
    #[must_use]
    pub fn of_keys(mut self, keys: &BTreeSet<String>) -> Self {
        let machines: Vec<Machine> =
            self.machines.iter().filter(|one| keys.contains(&one.series_key())).cloned().collect();
        self.places = Arc::new(Places::new(&machines));
        self.machines = machines.into();
        self.by_instance = true;
        self
    }

    /// The same, for all signals but these.
    #[must_use]
    pub fn except(mut self, signals: &[&'static str]) -> Self {
        self.companions = None;
        let rest = SIGNALS.iter().map(|row| row.name).filter(|name| !signals.contains(name));
        self.only(rest.collect())
    }

    /// The same, for these signals only.
    #[must_use]
    pub fn only(mut self, signals: Vec<&'static str>) -> Self {
        self.only = Some(signals);
        self
    }

    /// Whether there is any machine to read.
    pub fn has_machines(&self) -> bool {
        !self.machines.is_empty()
    }

    /// Where the data come from, without secrets.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// All signals from `window.start` to `window.end`, on a grid of whole
    /// steps. A query that fails is reported and does not stop the others.
    /// Pieces go to `keep` as they come, so that they need not all be held.
    pub async fn collect(&self, window: Window, keep: &mut dyn FnMut(Vec<Piece>)) -> Collected {
        let grid = Window { start: self.aligned(window.start), end: self.aligned(window.end) };
        let mut collected = Collected::default();
        let mut waiting: VecDeque<Query> = self.queries().into();
        // Of machines whose counters of CPU time ran backwards, what rests on them is asked
        // for with a guard.
        let mut context =
            Context { cores_off: self.cores_off(grid, keep).await, ..Context::default() };
        waiting.extend(self.guarded_queries(&context.cores_off));
        // Of machines that are seen twice, the samples of one target count at a time: which
        // one must be known first.
        if self.machines.iter().any(|machine| machine.targets.len() > 1)
            && let Some(presence) = waiting.pop_front()
        {
            match self.answer(&presence, grid).await {
                Ok(reply) => {
                    context.owners = self.owners(&reply.series);
                    self.take(&presence, reply, grid, &context, &mut collected, keep);
                }
                Err(error) => self.failed(&presence, &error, &mut collected, &mut waiting),
            }
        }
        let mut under_way = tokio::task::JoinSet::new();
        let mut refused = 0;
        loop {
            while under_way.len() < AT_ONCE
                && let Some(query) = waiting.pop_front()
            {
                let source = self.clone();
                under_way.spawn(async move {
                    let answer = source.answer(&query, grid).await;
                    (query, answer)
                });
            }
            let Some(done) = under_way.join_next().await else { break };
            // A task that panicked has no answer; its signals are unobserved.
            let Ok((query, answer)) = done else { continue };
            match answer {
                Ok(reply) => self.take(&query, reply, grid, &context, &mut collected, keep),
                Err(error) => {
                    let before = collected.failed.len();
                    self.failed(&query, &error, &mut collected, &mut waiting);
                    refused += usize::from(collected.failed.len() > before);
                    // When as many as are under way at once all fail, the server
                    // is away: the rest would only wait for it in turn.
                    if collected.pieces == 0 && refused >= AT_ONCE {
                        waiting.clear();
                    }
                }
            }
        }
        if collected.pieces > 0 {
            self.read_companions(grid, &mut collected, keep).await;
        }
        collected
    }

    /// Asks for the parts of a query on the grid.
    async fn answer(&self, query: &Query, grid: Window) -> Result<Reply, Error> {
        let (start, end) = (grid.start.plus(self.ahead_s), grid.end.plus(self.ahead_s));
        self.client.range(&self.promql_of(query), start, end, self.interval_s).await
    }

    /// Keeps what a query gave.
    fn take(
        &self,
        query: &Query,
        reply: Reply,
        grid: Window,
        context: &Context,
        collected: &mut Collected,
        keep: &mut dyn FnMut(Vec<Piece>),
    ) {
        collected.warnings.extend(reply.warnings);
        let mut found: Vec<Found> = Vec::new();
        for answer in reply.series {
            found.extend(self.find(query, answer, &mut collected.strays));
        }
        self.leave_out_conflicts(&mut found, &mut collected.strays);
        let mut pieces = Vec::new();
        for mut one in found {
            if context.is_replaced(query, &one) {
                continue;
            }
            let owners = &context.owners;
            one.points.retain(|point| owners.is_owner(one.machine, one.target, point.t));
            if one.name == UP {
                for point in &mut one.points {
                    point.v = f64::from(u8::from(self.is_fresh(point)));
                }
            } else if one.name == BOOT {
                keep_changes(&mut one.points);
            }
            for point in &mut one.points {
                point.t = point.t.plus(-self.ahead_s);
            }
            let all = one.points.len();
            // The grid's last point is asked for, too.
            one.points.retain(|point| grid.start <= point.t && point.t <= grid.end);
            if one.points.len() < all {
                collected.warnings.insert(OUTSIDE.to_owned());
            }
            let Some(machine) = self.machines.get(one.machine) else { continue };
            if !one.points.is_empty() {
                let signal =
                    Signal { device: one.device, points: one.points, window_s: one.averaged_s };
                pieces.push(Piece { name: one.name, machine: machine.series_key(), signal });
            }
        }
        collected.pieces += pieces.len();
        keep(pieces);
    }

    /// Asks in smaller parts for what the server could not compute as a whole, and notes
    /// what it cannot compute at all.
    fn failed(
        &self,
        query: &Query,
        error: &Error,
        collected: &mut Collected,
        waiting: &mut VecDeque<Query>,
    ) {
        let is_refused = matches!(error, Error::Status { status: 400 | 422, .. });
        let machines = query.machines.clone();
        let machines = machines.unwrap_or_else(|| (0..self.machines.len()).collect());
        if (is_refused || is_limit(error)) && query.parts.len() > 1 {
            let alone = |part: &Part| Query { parts: vec![*part], ..query.clone() };
            waiting.extend(query.parts.iter().map(alone));
        } else if is_limit(error) && machines.len() > 1 {
            let (first, second) = machines.split_at(machines.len() / 2);
            for half in [first, second] {
                waiting.push_back(Query { machines: Some(half.to_vec()), ..query.clone() });
            }
        } else {
            let names = query.parts.iter().map(|part| part.name);
            collected.failed.extend(names.map(|name| (name, error.to_string())));
        }
    }

    /// The signal, machine and target of an answer.
    fn find(&self, query: &Query, answer: Answer, strays: &mut Strays) -> Option<Found> {
        let Answer { mut labels, points } = answer;
        if points.is_empty() {
            return None;
        }
        labels.remove("__name__");
        let signal = labels.remove(SIGNAL)?;
        let part = query.parts.iter().find(|part| part.name == signal)?;
        let mut device = part.expr.and_then(|expr| expr.take_device(&mut labels));
        if part.name == UP {
            let (target, mut kernel) = split_uname(labels);
            labels = target;
            device = kernel.remove("nodename").filter(|name| !name.is_empty());
        }
        let Some((machine, target)) = self.places.find(&labels) else {
            let instance = labels.get("instance").cloned().unwrap_or_default();
            // Machines that were not asked for share the query's job.
            if self.by_instance || query.machines.is_some() || self.places.knows(&instance) {
                strays.unknown.entry(instance).or_insert_with(|| selector::shown(&labels));
            }
            return None;
        };
        if part.name == UP && self.machines.get(machine).is_none_or(Machine::has_one_host) {
            device = None;
        }
        Some(Found {
            name: part.name,
            machine,
            target,
            device,
            labels,
            points,
            averaged_s: part.averaged_s,
        })
    }

    /// Series of one signal, device and target that differ in labels nobody knows are not
    /// added up, and not chosen from: they are left out.
    fn leave_out_conflicts(&self, found: &mut Vec<Found>, strays: &mut Strays) {
        type Place = (&'static str, usize, usize, Option<String>);
        let mut first: HashMap<Place, Labels> = HashMap::with_capacity(found.len());
        let mut bad: BTreeSet<Place> = BTreeSet::new();
        // Presence may come from two metrics of one target.
        for one in found.iter().filter(|one| one.name != UP) {
            let place = (one.name, one.machine, one.target, one.device.clone());
            if let Some(labels) = first.get(&place) {
                let names = labels.keys().chain(one.labels.keys());
                let differing =
                    names.filter(|name| labels.get(*name) != one.labels.get(*name)).cloned();
                if let Some(machine) = self.machines.get(one.machine) {
                    strays.conflicts.entry(machine.series_key()).or_default().extend(differing);
                }
                bad.insert(place);
            } else {
                first.insert(place, one.labels.clone());
            }
        }
        if !bad.is_empty() {
            found.retain(|one| {
                !bad.contains(&(one.name, one.machine, one.target, one.device.clone()))
            });
        }
    }

    /// Whether the newest sample, whose time is the point's value, is of the last scrape. A
    /// server that was away writes no end to its series, and answers for five minutes with
    /// what it last knew.
    fn is_fresh(&self, point: &Point) -> bool {
        point.t.seconds() - point.v <= FRESH_INTERVALS * self.interval_s
    }

    /// Which target of a machine that is seen twice has a fresh sample at each moment.
    fn owners(&self, answers: &[Answer]) -> Owners {
        let mut fresh: BTreeMap<usize, BTreeMap<Timestamp, usize>> = BTreeMap::new();
        for answer in answers {
            let mut labels = answer.labels.clone();
            if labels.remove(SIGNAL).is_none_or(|signal| signal != UP) {
                continue;
            }
            let (target, _) = split_uname(labels);
            let Some((machine, at)) = self.places.find(&target) else { continue };
            if self.machines.get(machine).is_none_or(|one| one.targets.len() < 2) {
                continue;
            }
            let owners = fresh.entry(machine).or_default();
            for point in answer.points.iter().filter(|point| self.is_fresh(point)) {
                let owner = owners.entry(point.t).or_insert(at);
                *owner = (*owner).min(at);
            }
        }
        Owners(fresh)
    }

    /// The queries as they are sent.
    pub fn promql(&self) -> Vec<String> {
        self.queries().iter().map(|query| self.promql_of(query)).collect()
    }

    /// The union of a query's parts, each of which carries its name as a label.
    fn promql_of(&self, query: &Query) -> String {
        let range = format!("{}ms", (self.window_s * 1000.0).round());
        let selector = match &query.machines {
            Some(places) => {
                let some = places.iter().filter_map(|at| self.machines.get(*at)).cloned();
                selector::of_machines(&self.base, &some.collect::<Vec<_>>(), true)
            }
            None => selector::of_machines(&self.base, &self.machines, self.by_instance),
        };
        let parts = query.parts.iter().map(|part| {
            let promql = match part.name {
                UP => self.presence(&selector),
                BOOT => format!("sum without () ({BOOT_TIME}{{{selector}}})"),
                name if self.recorded.contains(name) && !query.is_guarded => {
                    format!("sum without () ({}{{{selector}}})", recorded::rule_name(name))
                }
                name => catalogue::signal(name).map_or_else(String::new, |row| {
                    if query.is_guarded {
                        row.expr.promql_guarded(&selector, &range)
                    } else {
                        row.expr.promql(&selector, &range)
                    }
                }),
            };
            format!("label_replace({promql}, \"{SIGNAL}\", \"{}\", \"\", \"\")", part.name)
        });
        parts.collect::<Vec<_>>().join(" or ")
    }

    /// The times of the machines' newest samples, by the metric that each of them has.
    fn presence(&self, selector: &str) -> String {
        let of_targets = self.machines.iter().flat_map(|one| &one.targets);
        let mut metrics: BTreeSet<&str> = of_targets.map(|target| target.presence).collect();
        if metrics.is_empty() {
            metrics.insert(UNAME);
        }
        let all = metrics.iter().map(|metric| format!("timestamp({metric}{{{selector}}})"));
        let ignored = UNAME_LABELS.join(", ");
        // A server without staleness markers, such as one that was filled from a file, still
        // shows the last value at a scrape that failed.
        format!(
            "(({}) unless ignoring ({ignored}) (up{{{selector}}} == 0))",
            all.collect::<Vec<_>>().join(" or ")
        )
    }

    /// What is asked for: which scrapes succeeded and when each machine was booted, which
    /// is small, and the signals by fives. Their number does not depend on that of the
    /// machines.
    fn queries(&self) -> Vec<Query> {
        let of_machine = |name| Part { name, averaged_s: 0.0, expr: None };
        let parts: Vec<Part> = SIGNALS
            .iter()
            .filter(|row| row.in_prometheus)
            .filter(|row| self.only.as_ref().is_none_or(|only| only.contains(&row.name)))
            .map(|row| Part {
                name: row.name,
                averaged_s: if row.expr.has_rate() { self.window_s } else { 0.0 },
                expr: Some(&row.expr),
            })
            .collect();
        let whole =
            |parts: &[Part]| Query { parts: parts.to_vec(), machines: None, is_guarded: false };
        let signals = parts.chunks(PER_QUERY).map(whole);
        let presence = whole(&[of_machine(UP), of_machine(BOOT)]);
        std::iter::once(presence).chain(signals).collect()
    }

    fn aligned(&self, t: Timestamp) -> Timestamp {
        Timestamp::from_seconds((t.seconds() / self.interval_s).floor() * self.interval_s)
    }
}

/// Answers that are not to what was asked.
const OUTSIDE: &str = "answers carry times outside the window that was asked for and are left out: is a clock wrong, or a cache in between?";
