//! A node's half of a run: a plan comes in on stdin, what happens goes out on
//! stdout. It keeps nothing, listens nowhere, and stops its load when the run
//! has been silent for ten seconds or its stdin ends.

use std::{
    io::{BufReader, Stdin, Write as _, stdin, stdout},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, select, tick, unbounded};

use super::{
    conduct::reserve,
    exits::Exits,
    progress,
    sampling::{self, Sampling},
};
use crate::{
    fleet::wire::{self, FromAgent, SCHEMA, SILENCE_S, ToAgent},
    host::{Roots, clock::Clock, facts},
    load::{Loader, groups, preflight, targets},
    model::{run::Event, series::Snapshot},
    scenario::{self, plan::Plan},
    telemetry::proc::Sampler,
};

/// How often what the workers did is told.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The run said that it is over.
    Over,
    /// The run went away, or was silent for too long.
    Alone,
    /// The plan cannot be carried out here.
    Refused,
}

/// Carry out what comes in. The caller must have one thread.
pub fn serve() -> End {
    let mut input = BufReader::new(stdin());
    let mut line = Vec::new();
    let first = match wire::read_line(&mut input, &mut line) {
        Ok(true) => serde_json::from_slice(&line),
        Ok(false) => return End::Alone,
        Err(error) => return refuse(vec![error.to_string()]),
    };
    match first {
        Ok(ToAgent::Plan { schema: SCHEMA, node, scenario, overrides, unsafe_limits }) => {
            match Agent::new(&node, &scenario, &overrides, unsafe_limits, input) {
                Ok(agent) => agent.work(),
                Err(reasons) => refuse(reasons),
            }
        }
        Ok(ToAgent::Plan { schema, .. }) => {
            refuse(vec![format!("the run speaks version {schema}, and this agent {SCHEMA}")])
        }
        Ok(_) | Err(_) => refuse(vec!["what comes first is no plan".to_owned()]),
    }
}

fn refuse(reasons: Vec<String>) -> End {
    if let Ok(line) = serde_json::to_string(&FromAgent::Refused { reasons }) {
        let _ = writeln!(stdout(), "{line}");
    }
    End::Refused
}

struct Agent {
    plan: Plan,
    clock: Clock,
    loader: Loader,
    exits: Exits,
    sampling: Sampling,
    columns: Vec<String>,
    orders: Receiver<ToAgent>,
    out: Option<Sender<FromAgent>>,
    writer: Option<JoinHandle<()>>,
    /// The phase that is on, and whether its workers have begun.
    phase: Option<(usize, bool)>,
    ready: bool,
    counted: Instant,
}

impl Agent {
    fn new(
        node: &str,
        text: &str,
        overrides: &[String],
        unsafe_limits: bool,
        input: BufReader<Stdin>,
    ) -> Result<Self, Vec<String>> {
        let plan = scenario::parse_for("the scenario", text, overrides, node)
            .map_err(|error| vec![error.to_string()])?;
        let roots = Roots::default();
        let cores = crate::host::allowed_cores();
        let found = preflight::check(&plan, &roots, &cores, unsafe_limits);
        if !found.refusals.is_empty() {
            return Err(found.refusals);
        }
        let plan = targets::resolve(&plan)?;
        let machine = preflight::machine(&roots, &cores);
        let reserve = reserve(&roots, unsafe_limits);
        // Before anything makes a thread: see `Loader::new`.
        let loader =
            Loader::new(&plan, machine.cores, reserve).map_err(|error| vec![error.to_string()])?;
        sampling::prefer();
        let _ = std::fs::write("/proc/self/oom_score_adj", "-500");
        let clock = Clock::start();
        let sampler = Sampler::new(roots.clone(), clock).watching(groups::watched(&plan, &roots));
        let no_thread = |error: std::io::Error| {
            vec![format!("no thread can be started ({error}): raise the limit of processes")]
        };
        let sampling = Sampling::start(sampler, plan.telemetry.interval).map_err(no_thread)?;
        let (out, lines) = unbounded();
        let writer = thread::Builder::new().spawn(move || write(&lines)).map_err(no_thread)?;
        let agent = Self {
            exits: Exits::new(roots.clone()),
            clock,
            loader,
            sampling,
            columns: Vec::new(),
            orders: taken(input).map_err(no_thread)?,
            out: Some(out),
            writer: Some(writer),
            phase: None,
            ready: false,
            counted: Instant::now(),
            plan,
        };
        agent.tell(FromAgent::Hello {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: facts::read(&roots),
            notes: found.notes,
        });
        Ok(agent)
    }

    fn work(mut self) -> End {
        let mut heard = Instant::now();
        let silence = Duration::from_secs(SILENCE_S);
        loop {
            let setting_up = matches!(self.phase, Some((_, false))) && !self.ready;
            // The phase shall begin when the last worker is ready, not later.
            let ticks = if setting_up { tick(Duration::from_millis(1)) } else { tick(TELL_EVERY) };
            let orders = self.orders.clone();
            let snapshots = self.sampling.snapshots.clone();
            select! {
                recv(orders) -> order => {
                    heard = Instant::now();
                    match order {
                        Ok(ToAgent::End) => return self.end(End::Over),
                        Ok(order) => {
                            if let Err(why) = self.follow(&order) {
                                self.tell(FromAgent::Failed { why });
                                return self.end(End::Alone);
                            }
                        }
                        Err(_) => return self.end(End::Alone),
                    }
                }
                recv(snapshots) -> snapshot => {
                    // With those that waited while this thread waited for a core.
                    for snapshot in snapshot.into_iter().chain(snapshots.try_iter()) {
                        self.sample(&snapshot);
                    }
                }
                recv(ticks) -> _ => (),
            }
            if heard.elapsed() > silence {
                return self.end(End::Alone);
            }
            if let Err(why) = self.look() {
                self.tell(FromAgent::Failed { why });
                return self.end(End::Alone);
            }
        }
    }

    /// The load goes first, then what is still to be told.
    fn end(mut self, end: End) -> End {
        let _ = self.loader.stop();
        drop(self.out.take());
        // Nobody may be there to read it any more, which must not hold us up.
        if end == End::Over
            && let Some(writer) = self.writer.take()
        {
            let _ = writer.join();
        }
        end
    }

    fn follow(&mut self, order: &ToAgent) -> Result<(), String> {
        match *order {
            ToAgent::Fork { phase } => {
                self.loader.fork(phase).map_err(|error| error.to_string())?;
                self.phase = Some((phase, false));
                self.ready = false;
                self.counted = Instant::now();
            }
            ToAgent::Release => {
                self.count();
                self.loader.release();
                self.counted = Instant::now();
                self.phase = self.phase.map(|(phase, _)| (phase, true));
                self.tell(FromAgent::Released { t: self.clock.now() });
            }
            ToAgent::Stop => {
                self.count();
                let stuck = self.loader.stop().map_err(|error| error.to_string())?;
                self.phase = None;
                self.tell(FromAgent::Stopped { stuck });
            }
            ToAgent::Beat { sent } => {
                self.tell(FromAgent::Beat { sent, t: self.clock.now() });
            }
            ToAgent::Plan { .. } | ToAgent::End => (),
        }
        Ok(())
    }

    /// See to the workers.
    fn look(&mut self) -> Result<(), String> {
        let Some((phase, begun)) = self.phase else { return Ok(()) };
        for exit in self.loader.exits().map_err(|error| error.to_string())? {
            let text = self.exits.in_words(&exit);
            self.event(phase, Some(exit.worker), text);
        }
        if !begun && !self.ready && self.loader.is_ready() {
            self.ready = true;
            for (worker, errno) in self.loader.refused().to_vec() {
                let text = format!("worker {worker} could not be started: {errno}");
                self.event(phase, Some(worker), text);
            }
            self.tell(FromAgent::Ready);
        }
        if self.counted.elapsed() >= TELL_EVERY {
            self.count();
        }
        Ok(())
    }

    /// Tell what the workers did since the last time.
    fn count(&mut self) {
        let Some((index, begun)) = self.phase else { return };
        let Some(phase) = self.plan.phases.get(index) else { return };
        let now = Instant::now();
        let took = now.duration_since(self.counted);
        if phase.loads.is_empty() || took < Duration::from_millis(20) {
            return;
        }
        self.counted = now;
        let done = self.loader.progress();
        let t = self.clock.at(now);
        for interval in progress::intervals(&done, &phase.loads, (index, !begun), t, took) {
            self.tell(FromAgent::Worker(interval));
        }
    }

    fn sample(&mut self, snapshot: &Snapshot) {
        let names: Vec<String> = snapshot.values.iter().map(|(key, _)| key.to_string()).collect();
        let columns = (names != self.columns).then(|| names.clone());
        self.columns = names;
        let v = snapshot.values.iter().map(|(_, v)| v.is_finite().then_some(*v)).collect();
        self.tell(FromAgent::Sample { t: snapshot.t, columns, v });
    }

    fn event(&self, phase: usize, worker: Option<u32>, text: String) {
        let t = self.clock.now();
        let kind = "worker".to_owned();
        self.tell(FromAgent::Event(Event {
            t,
            kind,
            text,
            phase: Some(phase),
            node: String::new(),
            worker,
        }));
    }

    fn tell(&self, message: FromAgent) {
        if let Some(out) = &self.out {
            let _ = out.send(message);
        }
    }
}

/// Orders as they come; the channel ends with stdin.
fn taken(mut input: BufReader<Stdin>) -> std::io::Result<Receiver<ToAgent>> {
    let (sender, orders) = unbounded();
    thread::Builder::new().spawn(move || {
        let mut line = Vec::new();
        while let Ok(true) = wire::read_line(&mut input, &mut line) {
            // A later version may say more than we know.
            let Ok(order) = serde_json::from_slice(&line) else { continue };
            if sender.send(order).is_err() {
                return;
            }
        }
    })?;
    Ok(orders)
}

/// A thread of its own: a way back that is blocked must not keep the load on.
fn write(messages: &Receiver<FromAgent>) {
    let mut out = stdout().lock();
    for message in messages {
        let Ok(line) = serde_json::to_string(&message) else { continue };
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
