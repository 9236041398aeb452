//! A node that is talked to: the program is brought there once, its agent is
//! started, and messages go both ways until one end falls silent.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::{
    transport::{self, Transport},
    wire::{self, BEAT_S, FromAgent, SCHEMA, SILENCE_S, ToAgent},
};
use crate::{
    host::{clock::Clock, digest},
    model::{
        run::HostFacts,
        text::{LONGEST_MESSAGE, short},
        time::Timestamp,
    },
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
    /// When it last said something, whether or not anybody has listened.
    spoke: Arc<Mutex<Instant>>,
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
    /// Start a node's agent, having brought the program there if it has none, and
    /// tell it the plan. Whatever it says from then on goes to `heard`.
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
        let mut talk = Talk::begin(program, task, heard).map_err(way)?;
        let mut answer = talk.first.recv_timeout(PATIENCE);
        if let Ok(Heard::Message(message, _)) = &answer
            && **message == FromAgent::Absent
        {
            talk.end();
            let mut install = task.transport.command(&transport::install(&program.digest));
            run(&mut install, Some(&program.path)).map_err(way)?;
            talk = Talk::begin(program, task, heard).map_err(way)?;
            answer = talk.first.recv_timeout(PATIENCE);
        }
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
                        child: talk.child,
                        orders: Some(talk.orders),
                        spoke: talk.spoke,
                    };
                    remote.tell(ToAgent::Beat { sent: clock.now() });
                    return Ok(remote);
                }
                FromAgent::Refused { reasons } => {
                    talk.end();
                    return Err(Error::Refused { node: task.node.clone(), reasons });
                }
                FromAgent::Hello { version, .. } => {
                    format!("its agent is of another version ({version})")
                }
                FromAgent::Failed { why } => why,
                FromAgent::Absent => "the program was brought there, and is not there".to_owned(),
                other => format!("its agent begins with {other:?}"),
            },
            Ok(Heard::Gone(why)) => why,
            Err(RecvTimeoutError::Timeout) => {
                format!("its agent says nothing for {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => "its agent ended".to_owned(),
        };
        talk.end();
        Err(way(why))
    }

    /// Tell it something. A node that is gone is noticed elsewhere.
    pub fn tell(&self, order: ToAgent) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// Whether it still takes part.
    pub fn is_here(&self) -> bool {
        !matches!(self.stage, Stage::Lost(_))
    }

    /// Take in how far it is; a beat tells how its clock stands.
    pub fn note(&mut self, message: &FromAgent, now: Timestamp) {
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
        let spoke = *self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        spoke.elapsed() > Duration::from_secs(SILENCE_S)
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

/// A connection with an agent at its other end.
struct Talk {
    child: Child,
    orders: Sender<ToAgent>,
    /// The first thing that it says.
    first: Receiver<Heard>,
    spoke: Arc<Mutex<Instant>>,
}

impl Talk {
    /// Connect, and tell the plan to whoever is there.
    fn begin(
        program: &Program,
        task: &Task,
        heard: &Sender<(usize, Heard)>,
    ) -> Result<Self, String> {
        let mut command = task.transport.command(&transport::agent(&program.digest));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no streams".to_owned());
        };
        let (orders, taken) = unbounded();
        let (first_sender, first) = unbounded();
        let spoke = Arc::new(Mutex::new(Instant::now()));
        let threads = || {
            let complaints = collected(stderr)?;
            thread::Builder::new().spawn(move || write(stdin, &taken))?;
            let ears = Ears { complaints, spoke: Arc::clone(&spoke), heard: heard.clone() };
            ears.listen(stdout, task.index, first_sender)
        };
        if let Err(error) = threads() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "no thread can be started ({error}): raise the limit of processes"
            ));
        }
        let _ = orders.send(task.plan.clone());
        Ok(Self { child, orders, first, spoke })
    }

    fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says to nodes that we are here, from when each joins until it is dropped.
#[derive(Debug)]
pub struct Beat {
    nodes: Arc<Mutex<Vec<Sender<ToAgent>>>>,
    _stop: Sender<()>,
}

impl Beat {
    /// For nobody yet.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        let (stop, stopped) = unbounded::<()>();
        let nodes: Arc<Mutex<Vec<Sender<ToAgent>>>> = Arc::default();
        let all = Arc::clone(&nodes);
        thread::Builder::new().spawn(move || {
            let every = Duration::from_secs(BEAT_S);
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                for orders in all.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    let _ = orders.send(ToAgent::Beat { sent: clock.now() });
                }
            }
        })?;
        Ok(Self { nodes, _stop: stop })
    }

    /// For this node, too.
    pub fn join(&self, remote: &Remote) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.extend(remote.orders.clone());
    }
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
fn collected(mut stderr: ChildStderr) -> std::io::Result<Arc<Mutex<String>>> {
    let tail = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&tail);
    thread::Builder::new().spawn(move || {
        let mut part = [0; 512];
        while let Ok(length @ 1..) = stderr.read(&mut part) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(&String::from_utf8_lossy(part.get(..length).unwrap_or_default()));
            let surplus = kept.len().saturating_sub(TAIL);
            let cut = (surplus..kept.len()).find(|at| kept.is_char_boundary(*at)).unwrap_or(0);
            kept.drain(..cut);
        }
    })?;
    Ok(tail)
}

/// Where what a node says goes.
struct Ears {
    complaints: Arc<Mutex<String>>,
    spoke: Arc<Mutex<Instant>>,
    heard: Sender<(usize, Heard)>,
}

impl Ears {
    /// Messages, as they come: the first to `first`, all others to `heard`.
    fn listen(
        self,
        stdout: ChildStdout,
        index: usize,
        first: Sender<Heard>,
    ) -> std::io::Result<()> {
        thread::Builder::new().spawn(move || {
            let mut first = Some(first);
            let mut pass = |one: Heard| match first.take() {
                Some(first) => first.send(one).is_ok(),
                None => self.heard.send((index, one)).is_ok(),
            };
            let (mut stdout, mut line) = (BufReader::new(stdout), Vec::new());
            let mut broken = None;
            loop {
                match wire::read_line(&mut stdout, &mut line) {
                    Ok(true) => (),
                    Ok(false) => break,
                    Err(error) => {
                        broken = Some(error.to_string());
                        break;
                    }
                }
                // A login shell may greet; that is no message.
                let Some(message) = wire::message(&line) else { continue };
                let now = Instant::now();
                *self.spoke.lock().unwrap_or_else(PoisonError::into_inner) = now;
                let is_last = message == FromAgent::Absent;
                if !pass(Heard::Message(Box::new(message), now)) || is_last {
                    return;
                }
            }
            // Complaints come by another way, and may be a little later.
            thread::sleep(Duration::from_millis(50));
            let said = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            let said = said.trim().to_owned();
            let ended = || broken.unwrap_or_else(|| "its connection ended".to_owned());
            let why = if said.is_empty() { ended() } else { said };
            pass(Heard::Gone(short(&why, LONGEST_MESSAGE)));
        })?;
        Ok(())
    }
}
