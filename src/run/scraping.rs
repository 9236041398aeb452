//! The thread that reads a Prometheus while the run goes on, and once more
//! when late scrapes have arrived.

use std::{
    collections::BTreeSet,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::doubts;
use crate::{
    host::clock::Clock,
    model::{
        run::{Caveat, NodeRecord},
        time::{Timestamp, Window},
    },
    telemetry::prometheus::source::{Piece, Source},
};

/// How long a server that fails after the run is asked again.
const PATIENCE: Duration = Duration::from_secs(25);

/// What the thread says.
#[derive(Debug)]
pub(super) enum News {
    /// Answers to be kept.
    Pieces(Vec<Piece>),
    /// Something the reader of the report must know.
    Note(String),
    /// Something that makes the data doubtful.
    Caveat(Caveat),
}

/// The running thread.
#[derive(Debug)]
pub(super) struct Scraping {
    /// What it says.
    pub(super) news: Receiver<News>,
    end: Option<Sender<Timestamp>>,
    thread: Option<JoinHandle<()>>,
}

impl Scraping {
    /// Read from `start` on.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(
        source: Source,
        nodes: Vec<NodeRecord>,
        start: Timestamp,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (sender, news) = unbounded();
        let (end, ended) = unbounded();
        let thread = thread::Builder::new().spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = sender.send(News::Note(format!("Prometheus cannot be read: {error}")));
                    return;
                }
            };
            let noted = BTreeSet::new();
            Reader { source, nodes, start, clock, sender, noted }.read(&runtime, &ended);
        })?;
        Ok(Self { news, end: Some(end), thread: Some(thread) })
    }

    /// The run ended: read the whole once more when the last scrapes are in.
    pub(super) fn finish(&mut self, end: Timestamp) {
        if let Some(sender) = self.end.take() {
            let _ = sender.send(end);
        }
    }

    /// Whether the thread has said all.
    pub(super) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

struct Reader {
    source: Source,
    nodes: Vec<NodeRecord>,
    start: Timestamp,
    clock: Clock,
    sender: Sender<News>,
    noted: BTreeSet<String>,
}

impl Reader {
    fn read(&mut self, runtime: &tokio::runtime::Runtime, ended: &Receiver<Timestamp>) {
        let interval = self.source.interval_s;
        // Often enough to show what goes on, seldom enough to cost little.
        let every = Duration::from_secs_f64((2.0 * interval).max(5.0));
        let mut from = self.start;
        let end = loop {
            match ended.recv_timeout(every) {
                Ok(end) => break end,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => (),
            }
            let to = self.clock.now();
            if self.window(runtime, Window { start: from, end: to }) {
                // The newest scrape may still be on its way: look again.
                from = to.plus(-self.source.window_s);
            }
        };
        // The last scrape of the run, the one after it that closes its rate,
        // and a second for the server to store it.
        let settled = end.plus(2.0 * interval + 1.0 + self.source.hidden_s);
        let wait = settled.since(self.clock.now());
        if wait > 0.0 {
            thread::sleep(Duration::from_secs_f64(wait));
        }
        let whole = Window { start: self.start, end: end.plus(interval) };
        // An outage at the end: the server may come back.
        let begun = Instant::now();
        for pause in [0, 2, 5, 10] {
            if begun.elapsed() > PATIENCE {
                break;
            }
            thread::sleep(Duration::from_secs(pause));
            if self.window(runtime, whole) {
                return;
            }
        }
        self.note("Prometheus did not answer after the run: what it scraped since its last answer is missing".to_owned());
    }

    /// Read a window; whether every query was answered.
    fn window(&mut self, runtime: &tokio::runtime::Runtime, window: Window) -> bool {
        let sender = self.sender.clone();
        let collected = runtime.block_on(self.source.collect(window, &mut |pieces| {
            let _ = sender.send(News::Pieces(pieces));
        }));
        let whole = collected.failed.is_empty();
        let (notes, caveats) = doubts::of(&collected, &self.nodes);
        for note in notes {
            self.note(note);
        }
        // A query that failed is asked again later, so it is no lasting doubt.
        for caveat in caveats.into_iter().filter(|_| whole) {
            if self.noted.insert(caveat.text.clone()) {
                let _ = self.sender.send(News::Caveat(caveat));
            }
        }
        whole
    }

    /// Say it once.
    fn note(&mut self, text: String) {
        if self.noted.insert(text.clone()) {
            let _ = self.sender.send(News::Note(text));
        }
    }
}
