//! A node that is talked to: the program is brought there once, its agent is
//! started, and messages go both ways until one end falls silent.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::{
    transport::{self, Transport},
    wire::{BEAT_S, FromAgent, SCHEMA, SILENCE_S, ToAgent},
};
use crate::{
    host::{clock::Clock, digest},
    model::{run::HostFacts, time::Timestamp},
};

/// How long a node may take to answer the plan: a slow link and a cold cache.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is kept of a node's complaints.
const TAIL: usize = 2000;

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own program cannot be read.
    #[error("the program itself cannot be read, so it cannot be brought to a node: {0}")]
    Itself(std::io::Error),
    /// The way there does not work.
    #[error("{node}: `{way}` fails: {why}")]
    Way {
        /// The node.
        node: String,
        /// The command, in words.
        way: String,
        /// What it said.
        why: String,
    },
    /// The node cannot carry out the plan.
    #[error("{node}: {}", reasons.join("; "))]
    Refused {
        /// The node.
        node: String,
        /// Why.
        reasons: Vec<String>,
    },
}

/// Something came from a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A message, and when it came.
    Message(Box<FromAgent>, Instant),
    /// Its end, and what it said last.
    Gone(String),
}

/// How far a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is asked of it.
    Idle,
    /// Its workers set themselves up.
    SettingUp,
    /// They wait.
    Ready,
    /// It is lost, for this reason.
    Lost(String),
}

/// The program, ready to be brought to nodes.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    digest: String,
}

impl Program {
    /// The running program.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn itself() -> Result<Self, Error> {
        // Also when the file was replaced since we started.
        let path = PathBuf::from("/proc/self/exe");
        let bytes = fs::read(&path).map_err(Error::Itself)?;
        let mut digest = digest::hex(&bytes);
        digest.truncate(32);
        Ok(Self { path, digest })
    }
}

/// A node that takes part.
#[derive(Debug)]
pub struct Remote {
    /// Its place among the tasks.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The machine.
    pub host: HostFacts,
    /// What the reader of the report must know.
    pub notes: Vec<String>,
    /// How far it is.
    pub stage: Stage,
    /// Seconds by which its clock is ahead of ours, and how sure that is.
    ahead: (f64, f64),
    child: Child,
    orders: Option<Sender<ToAgent>>,
    heard_at: Instant,
}

/// What a node is asked to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its place among the nodes that take part.
    pub index: usize,
    /// Its name.
    pub node: String,
    /// The way there.
    pub transport: Transport,
    /// What it is told first.
    pub plan: ToAgent,
}

impl Remote {
    /// Bring the program to a node, start its agent, and tell it the plan.
    /// Whatever it says from then on goes to `heard`.
    ///
    /// # Errors
    /// When the way there fails, or the node refuses.
    pub fn start(
        program: &Program,
        task: &Task,
        clock: Clock,
        heard: &Sender<(usize, Heard)>,
    ) -> Result<Self, Error> {
        let way = |why: String| Error::Way {
            node: task.node.clone(),
            way: task.transport.in_words(),
            why,
        };
        bring(program, &task.transport).map_err(way)?;
        let mut command = task.transport.command(&transport::agent(&program.digest));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| way(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(way("it has no streams".to_owned()));
        };
        let (orders, taken) = unbounded();
        let complaints = collected(stderr);
        thread::spawn(move || write(stdin, &taken));
        let (first, hello) = unbounded();
        listen(stdout, task.index, complaints, first, heard.clone());
        let _ = orders.send(task.plan.clone());
        let answer = hello.recv_timeout(PATIENCE);
        let end = |mut child: Child| {
            let _ = child.kill();
            let _ = child.wait();
        };
        let why = match answer {
            Ok(Heard::Message(message, _)) => match *message {
                FromAgent::Hello { schema: SCHEMA, host, notes, .. } => {
                    let remote = Self {
                        index: task.index,
                        name: task.node.clone(),
                        host,
                        notes,
                        stage: Stage::Idle,
                        ahead: (0.0, f64::INFINITY),
                        child,
                        orders: Some(orders),
                        heard_at: Instant::now(),
                    };
                    remote.tell(ToAgent::Beat { sent: clock.now() });
                    return Ok(remote);
                }
                FromAgent::Refused { reasons } => {
                    end(child);
                    return Err(Error::Refused { node: task.node.clone(), reasons });
                }
                FromAgent::Hello { version, .. } => {
                    format!("its agent is of another version ({version})")
                }
                FromAgent::Failed { why } => why,
                other => format!("its agent begins with {other:?}"),
            },
            Ok(Heard::Gone(why)) => why,
            Err(RecvTimeoutError::Timeout) => {
                format!("its agent says nothing for {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => "its agent ended".to_owned(),
        };
        end(child);
        Err(way(why))
    }

    /// Tell it something. A node that is gone is noticed elsewhere.
    pub fn tell(&self, order: ToAgent) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// Who can be told things from another thread.
    pub fn orders(&self) -> Option<Sender<ToAgent>> {
        self.orders.clone()
    }

    /// Whether it still takes part.
    pub fn is_here(&self) -> bool {
        !matches!(self.stage, Stage::Lost(_))
    }

    /// Note that it said something; a beat tells how its clock stands.
    pub fn note(&mut self, message: &FromAgent, heard: Instant, now: Timestamp) {
        self.heard_at = heard;
        match message {
            FromAgent::Ready => self.stage = Stage::Ready,
            FromAgent::Beat { sent, t } => {
                let way_s = now.since(*sent).max(0.0);
                // The quickest answer is the surest (Cristian 1989).
                if way_s < self.ahead.1 {
                    self.ahead = (t.since(*sent) - way_s / 2.0, way_s);
                }
            }
            _ => (),
        }
    }

    /// A time of its clock, by ours.
    pub fn ours(&self, t: Timestamp) -> Timestamp {
        t.plus(-self.ahead.0)
    }

    /// Whether it is known how its clock stands.
    pub fn is_timed(&self) -> bool {
        self.ahead.1.is_finite()
    }

    /// Whether it has been silent for too long.
    pub fn is_silent(&self) -> bool {
        self.heard_at.elapsed() > Duration::from_secs(SILENCE_S)
    }

    /// Give it up. Its load stops by itself, at the latest when it has not heard
    /// of us for as long as we have not of it.
    pub fn lose(&mut self, why: &str) {
        if self.is_here() {
            self.stage = Stage::Lost(why.to_owned());
            self.orders = None;
            let _ = self.child.kill();
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.tell(ToAgent::End);
        // The end of its stdin ends it.
        self.orders = None;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Say to all nodes that we are here, until what is returned is dropped.
pub fn beat(all: Vec<Sender<ToAgent>>, clock: Clock) -> Sender<()> {
    let (stop, stopped) = unbounded::<()>();
    thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_secs(BEAT_S)) == Err(RecvTimeoutError::Timeout) {
            for orders in &all {
                let _ = orders.send(ToAgent::Beat { sent: clock.now() });
            }
        }
    });
    stop
}

/// Take the program away from a node; what it said.
///
/// # Errors
/// When the way there fails.
pub fn clean(node: &str, transport: &Transport) -> Result<String, Error> {
    run(&mut transport.command(&transport::clean()), None).map_err(|why| Error::Way {
        node: node.to_owned(),
        way: transport.in_words(),
        why,
    })
}

/// Bring the program to a node, unless it is there.
fn bring(program: &Program, transport: &Transport) -> Result<(), String> {
    let there = run(&mut transport.command(&transport::probe(&program.digest)), None)?;
    if there.lines().any(|line| line == "there") {
        return Ok(());
    }
    run(&mut transport.command(&transport::install(&program.digest)), Some(&program.path))?;
    Ok(())
}

/// Run a command to its end; what it printed, or what went wrong.
fn run(command: &mut Command, input: Option<&Path>) -> Result<String, String> {
    let stdin = match input {
        Some(path) => Stdio::from(fs::File::open(path).map_err(|error| error.to_string())?),
        None => Stdio::null(),
    };
    let output = command.stdin(stdin).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(if said.is_empty() { output.status.to_string() } else { said.to_owned() })
}

/// Orders, a line each, as they come.
fn write(mut stdin: ChildStdin, orders: &Receiver<ToAgent>) {
    for order in orders {
        let Ok(mut line) = serde_json::to_vec(&order) else { continue };
        line.push(b'\n');
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

/// The end of what it complains of.
fn collected(mut stderr: ChildStderr) -> Arc<Mutex<String>> {
    let tail = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&tail);
    thread::spawn(move || {
        let mut part = [0; 512];
        while let Ok(length @ 1..) = stderr.read(&mut part) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(&String::from_utf8_lossy(part.get(..length).unwrap_or_default()));
            let surplus = kept.len().saturating_sub(TAIL);
            let cut = (surplus..kept.len()).find(|at| kept.is_char_boundary(*at)).unwrap_or(0);
            kept.drain(..cut);
        }
    });
    tail
}

/// Messages, as they come: the first to `first`, all others to `heard`.
fn listen(
    stdout: ChildStdout,
    index: usize,
    complaints: Arc<Mutex<String>>,
    first: Sender<Heard>,
    heard: Sender<(usize, Heard)>,
) {
    thread::spawn(move || {
        let mut first = Some(first);
        let mut pass = |one: Heard| match first.take() {
            Some(first) => first.send(one).is_ok(),
            None => heard.send((index, one)).is_ok(),
        };
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // A login shell may greet; that is no message.
            let Ok(message) = serde_json::from_str(&line) else { continue };
            if !pass(Heard::Message(Box::new(message), Instant::now())) {
                return;
            }
        }
        // Complaints come by another way, and may be a little later.
        thread::sleep(Duration::from_millis(50));
        let said = complaints.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned();
        let why = if said.is_empty() { "its connection ended".to_owned() } else { said };
        pass(Heard::Gone(why));
    });
}
