//! Append-only journals. A writer thread puts each line into the kernel's
//! hands as soon as it comes; a second thread flushes to the disk once a
//! second, so that a stuck disk delays the flush and never the next line.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;

use super::{
    Error,
    digests::{self, Tally},
    folder::RunFolder,
    names,
};
use crate::model::{
    run::{Event, WorkerInterval},
    series::{Signal, Snapshot},
};

/// One line of a journal.
#[derive(Debug)]
enum Entry {
    Samples(Vec<u8>),
    Signals(Vec<u8>),
    Workers(Vec<u8>),
    Events(Vec<u8>),
    /// Rows of another node's sampler.
    Others(String, Vec<u8>),
}

/// A Prometheus answer, as one line of `signals.jsonl`.
#[derive(Debug, Serialize)]
struct SignalLine<'a> {
    name: &'a str,
    instance: &'a str,
    #[serde(flatten)]
    signal: &'a Signal,
}

/// Appends to the journals of one run.
#[derive(Debug)]
pub struct Journal {
    sender: Option<Sender<Entry>>,
    writer: Option<JoinHandle<BTreeMap<String, Tally>>>,
    syncer: Option<JoinHandle<()>>,
    done: Arc<AtomicBool>,
    wake: Sender<()>,
    /// The columns that the last row of each node had; our own have no name.
    columns: BTreeMap<String, Vec<String>>,
    failure: Arc<Mutex<Option<std::io::Error>>>,
    folder: RunFolder,
    /// Held while the run goes on; gone with the process, however it goes.
    _lock: Flock<File>,
}

impl Journal {
    /// Create the journals of a run and hold its lock.
    ///
    /// # Errors
    /// When a file cannot be created.
    pub fn create(folder: &RunFolder) -> Result<Self, Error> {
        Self::open(folder, true)
    }

    /// Open the journals of a run that is there, to add to them.
    ///
    /// # Errors
    /// When a file cannot be opened, or somebody writes to the run.
    pub fn extend(folder: &RunFolder) -> Result<Self, Error> {
        Self::open(folder, false)
    }

    fn open(folder: &RunFolder, new: bool) -> Result<Self, Error> {
        let open = |name: &str| {
            let path = folder.path().join(name);
            OpenOptions::new()
                .create_new(new)
                .append(true)
                .open(&path)
                .map_err(Error::io("cannot create", path))
        };
        let files = [
            open(names::SAMPLES)?,
            open(names::SIGNALS)?,
            open(names::WORKERS)?,
            open(names::EVENTS)?,
        ];
        let path = folder.path().join(names::EVENTS);
        let lock = File::open(&path).map_err(Error::io("cannot open", path.clone()))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| Error::io("cannot lock", path)(errno.into()))?;
        let mut copies = Vec::new();
        for file in &files {
            let copy = file.try_clone().map_err(Error::io("cannot open", folder.path()))?;
            copies.push(copy);
        }
        digests::forget(folder);
        let mut tallies = BTreeMap::new();
        for name in [names::SAMPLES, names::SIGNALS, names::WORKERS, names::EVENTS] {
            let path = folder.path().join(name);
            let tally = Tally::of_file(&path).map_err(Error::io("cannot read", path))?;
            tallies.insert(name.to_owned(), tally);
        }
        let failure = Arc::new(Mutex::new(None));
        let done = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = unbounded();
        let (wake, woken) = bounded(1);
        let no_thread = || Error::io("cannot start a thread to write", folder.path());
        let writer = {
            let failure = Arc::clone(&failure);
            let others = Others { folder: folder.path().to_owned(), files: BTreeMap::new() };
            thread::Builder::new()
                .spawn(move || write(&receiver, &files, others, tallies, &failure))
                .map_err(no_thread())?
        };
        let syncer = {
            let done = Arc::clone(&done);
            let sync = move || {
                loop {
                    let timeout = woken.recv_timeout(Duration::from_secs(1));
                    for file in &copies {
                        // An error of the disk shows at the next write too.
                        let _ = file.sync_data();
                    }
                    if done.load(Ordering::Acquire)
                        || timeout == Err(RecvTimeoutError::Disconnected)
                    {
                        break;
                    }
                }
            };
            thread::Builder::new().spawn(sync).map_err(no_thread())?
        };
        Ok(Self {
            sender: Some(sender),
            writer: Some(writer),
            syncer: Some(syncer),
            done,
            wake,
            columns: BTreeMap::new(),
            failure,
            folder: folder.clone(),
            _lock: lock,
        })
    }

    /// Append a snapshot: a row, and a line of column names where they differ
    /// from the row before.
    pub fn sample(&mut self, snapshot: &Snapshot) {
        let bytes = self.rows("", snapshot);
        self.send(Entry::Samples(bytes));
    }

    /// The same, of another node.
    pub fn sample_of(&mut self, node: &str, snapshot: &Snapshot) {
        let bytes = self.rows(node, snapshot);
        self.send(Entry::Others(node.to_owned(), bytes));
    }

    fn rows(&mut self, node: &str, snapshot: &Snapshot) -> Vec<u8> {
        let columns: Vec<String> = snapshot.values.iter().map(|(key, _)| key.to_string()).collect();
        let mut bytes = Vec::new();
        if self.columns.get(node) != Some(&columns) {
            push_line(&mut bytes, &Columns { columns: &columns });
            self.columns.insert(node.to_owned(), columns);
        }
        // NaN becomes null in JSON and is read as absent.
        let v: Vec<f64> = snapshot.values.iter().map(|(_, v)| *v).collect();
        push_line(&mut bytes, &Row { t: snapshot.t.0, v });
        bytes
    }

    /// Append what a Prometheus answered for one signal.
    pub fn signal(&self, name: &str, instance: &str, signal: &Signal) {
        self.send(Entry::Signals(line(&SignalLine { name, instance, signal })));
    }

    /// Append what a worker did.
    pub fn worker(&self, interval: &WorkerInterval) {
        self.send(Entry::Workers(line(interval)));
    }

    /// Append an event.
    pub fn event(&self, event: &Event) {
        self.send(Entry::Events(line(event)));
    }

    /// The first error of a write, if there was one.
    pub fn failure(&self) -> Option<std::io::Error> {
        self.failure.lock().ok()?.take()
    }

    /// Write and flush everything.
    ///
    /// # Errors
    /// When a write failed.
    pub fn close(mut self) -> Result<(), std::io::Error> {
        self.finish();
        self.failure().map_or(Ok(()), Err)
    }

    fn finish(&mut self) {
        drop(self.sender.take());
        let tallies = self.writer.take().and_then(|writer| writer.join().ok());
        self.done.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
        if let Some(tallies) = tallies {
            // Without it, a later loss is not noticed; the run itself is whole.
            let _ = digests::write(&self.folder, tallies);
        }
    }

    fn send(&self, entry: Entry) {
        if let Some(sender) = &self.sender {
            // The writer lives as long as `self`.
            let _ = sender.send(entry);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.finish();
    }
}

#[derive(Serialize)]
struct Columns<'a> {
    columns: &'a [String],
}

#[derive(Serialize)]
struct Row {
    t: i64,
    v: Vec<f64>,
}

/// Files of other nodes' samples, made when there is something to keep.
struct Others {
    folder: PathBuf,
    files: BTreeMap<String, File>,
}

impl Others {
    fn append(&mut self, node: &str, bytes: &[u8]) -> std::io::Result<()> {
        if !self.files.contains_key(node) {
            let path = self.folder.join(names::samples_of(node));
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            self.files.insert(node.to_owned(), file);
        }
        self.files.get_mut(node).map_or(Ok(()), |file| file.write_all(bytes))
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for file in self.files.values() {
            let _ = file.sync_data();
        }
    }
}

/// Append what comes, and count what each file then holds.
fn write(
    entries: &Receiver<Entry>,
    files: &[File; 4],
    mut others: Others,
    mut tallies: BTreeMap<String, Tally>,
    failure: &Mutex<Option<std::io::Error>>,
) -> BTreeMap<String, Tally> {
    let [samples, signals, workers, events] = files;
    for entry in entries {
        let (mut file, name, bytes) = match &entry {
            Entry::Samples(bytes) => (samples, names::SAMPLES, bytes),
            Entry::Signals(bytes) => (signals, names::SIGNALS, bytes),
            Entry::Workers(bytes) => (workers, names::WORKERS, bytes),
            Entry::Events(bytes) => (events, names::EVENTS, bytes),
            Entry::Others(node, bytes) => {
                tallies.entry(names::samples_of(node)).or_default().add(bytes);
                note(failure, others.append(node, bytes));
                continue;
            }
        };
        if let Some(tally) = tallies.get_mut(name) {
            tally.add(bytes);
        }
        note(failure, file.write_all(bytes));
    }
    tallies
}

/// Keep the first error.
fn note(failure: &Mutex<Option<std::io::Error>>, appended: std::io::Result<()>) {
    if let Err(error) = appended
        && let Ok(mut first) = failure.lock()
    {
        first.get_or_insert(error);
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_line(&mut bytes, value);
    bytes
}

fn push_line(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let before = bytes.len();
    if serde_json::to_writer(&mut *bytes, value).is_err() {
        // Our own plain types always serialize; a half line must not stay.
        bytes.truncate(before);
        return;
    }
    bytes.push(b'\n');
}

/// Whether a program still works on this run.
pub fn is_running(folder: &RunFolder) -> bool {
    let mut options = OpenOptions::new();
    // A pipe of that name would never open.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let Ok(file) = options.open(folder.path().join(names::EVENTS)) else { return false };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
}
