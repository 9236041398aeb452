//! The run's own series for a Prometheus to scrape while it goes on
//! (OpenMetrics 1.0, <https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{load::loader::Progress, scenario::plan::LoadPlan};

/// A scraper that does not ask within this is let go.
const PATIENCE: Duration = Duration::from_secs(2);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a load has done so far.
#[derive(Debug, Default)]
struct Totals {
    kind: &'static str,
    workers: usize,
    operations: u64,
    bytes: u64,
    errors: u64,
    cpu_s: f64,
}

/// Answers scrapes from a thread of its own.
#[derive(Debug)]
pub(super) struct Listen {
    page: Arc<Mutex<String>>,
    ending: Arc<AtomicBool>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    /// Labels of the run: its name, its scenario, the node that is loaded.
    run: (String, String, String),
    /// By phase and load.
    totals: BTreeMap<(String, usize), Totals>,
}

impl Listen {
    /// Answer at `listener`.
    pub(super) fn start(listener: TcpListener) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let page = Arc::new(Mutex::new("# EOF\n".to_owned()));
        let ending = Arc::new(AtomicBool::new(false));
        let (shown, over) = (Arc::clone(&page), Arc::clone(&ending));
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let text = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A scraper that goes away is its own affair.
                let _ = answer(client, &text);
            }
        });
        Ok(Self {
            page,
            ending,
            address,
            thread: Some(thread),
            run: (String::new(), String::new(), String::new()),
            totals: BTreeMap::new(),
        })
    }

    /// Say which run this is.
    pub(super) fn of(&mut self, run: &str, scenario: &str, node: &str) {
        self.run = (run.to_owned(), scenario.to_owned(), node.to_owned());
        self.show(None);
    }

    /// Take in what the workers of a phase did since the last time.
    pub(super) fn add(&mut self, phase: &str, loads: &[LoadPlan], done: &[Progress]) {
        for (index, load) in loads.iter().enumerate() {
            let totals = self.totals.entry((phase.to_owned(), index)).or_default();
            totals.kind = load.work.kind();
            totals.workers = 0;
            for one in done.iter().filter(|one| one.load == index) {
                totals.workers += 1;
                totals.operations += one.operations;
                totals.bytes += one.bytes;
                totals.errors += one.errors;
                totals.cpu_s += one.cpu.as_secs_f64();
            }
        }
        self.show(Some(phase));
    }

    /// A phase is over: its counters stay, its workers are gone.
    pub(super) fn phase_ends(&mut self) {
        for totals in self.totals.values_mut() {
            totals.workers = 0;
        }
        self.show(None);
    }

    fn show(&self, phase: Option<&str>) {
        let text = page(&self.run, phase, &self.totals);
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

impl Drop for Listen {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // It waits for a client: be one.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut client: TcpStream, page: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < 16 << 10 {
        match client.read(&mut part)? {
            0 => return Ok(()),
            length => head.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let (status, body) = if head.starts_with(b"GET /metrics") {
        ("200 OK", page)
    } else {
        ("404 Not Found", "the run's series are at /metrics\n")
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A family's name, type, help and value.
type Family = (&'static str, &'static str, &'static str, fn(&Totals) -> f64);

const FAMILIES: [Family; 5] = [
    ("stressor_workers", "gauge", "Workers of a load that are there.", |one| one.workers as f64),
    ("stressor_operations", "counter", "Operations done by a load.", |one| one.operations as f64),
    ("stressor_bytes", "counter", "Bytes moved by a load.", |one| one.bytes as f64),
    ("stressor_errors", "counter", "Operations of a load that failed.", |one| one.errors as f64),
    ("stressor_cpu_seconds", "counter", "CPU time used by a load.", |one| one.cpu_s),
];

fn page(
    (run, scenario, node): &(String, String, String),
    phase: Option<&str>,
    totals: &BTreeMap<(String, usize), Totals>,
) -> String {
    // The names are those of files and of TOML's keys: no quotes in them.
    let mut text = format!(
        "# TYPE stressor_run info\n# HELP stressor_run The run that goes on.\nstressor_run_info{{run=\"{run}\",scenario=\"{scenario}\",node=\"{node}\"}} 1\n"
    );
    text.push_str(
        "# TYPE stressor_phase gauge\n# HELP stressor_phase 1 for the phase that goes on.\n",
    );
    if let Some(phase) = phase {
        let _ =
            writeln!(text, "stressor_phase{{run=\"{run}\",node=\"{node}\",phase=\"{phase}\"}} 1");
    }
    for (name, kind, help, value) in FAMILIES {
        let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
        let suffix = if kind == "counter" { "_total" } else { "" };
        for ((phase, load), one) in totals {
            let _ = writeln!(
                text,
                "{name}{suffix}{{run=\"{run}\",node=\"{node}\",phase=\"{phase}\",load=\"{load}:{}\"}} {}",
                one.kind,
                value(one)
            );
        }
    }
    text.push_str("# EOF\n");
    text
}
