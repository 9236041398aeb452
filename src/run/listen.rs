//! Lets a Prometheus scrape the run's own series while it goes on.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::series::Shared;

/// A scraper that has not asked and read the answer within this is let go.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request: what Prometheus sends has some hundred bytes.
const LONGEST: usize = 16 << 10;
/// Scrapers that are answered at once; others are let go.
const MOST_CLIENTS: usize = 16;
/// How often it is looked whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers scrapes from threads of its own. Nothing waits for them: a client that is slow
/// must not keep a run from ending.
#[derive(Debug)]
pub(super) struct Listen {
    ending: Arc<AtomicBool>,
}

impl Listen {
    /// Answer at `listener` with these series.
    ///
    /// # Errors
    /// When the listener cannot be polled, or no thread can be made.
    pub(super) fn start(listener: TcpListener, series: Shared) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let ending = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ending);
        thread::Builder::new().spawn(move || {
            let clients = Arc::new(AtomicUsize::new(0));
            while !over.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((client, _)) => accept(client, &series, &clients),
                    // Nobody is there, or one client's error.
                    Err(_) => thread::sleep(LOOK_EVERY),
                }
            }
        })?;
        Ok(Self { ending })
    }
}

impl Drop for Listen {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
    }
}

/// Answer a client from a thread of its own, unless there are too many.
fn accept(client: TcpStream, series: &Shared, clients: &Arc<AtomicUsize>) {
    if clients.fetch_add(1, Ordering::AcqRel) >= MOST_CLIENTS {
        clients.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let (series, counted) = (series.clone(), Arc::clone(clients));
    let answering = thread::Builder::new().stack_size(256 << 10).spawn(move || {
        // A scraper that goes away is its own affair.
        let _ = answer(client, &series, Instant::now() + PATIENCE);
        counted.fetch_sub(1, Ordering::AcqRel);
    });
    if answering.is_err() {
        clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is left until the deadline.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn answer(mut client: TcpStream, series: &Shared, deadline: Instant) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < LONGEST {
        client.set_read_timeout(Some(left(deadline)?))?;
        match client.read(&mut part)? {
            0 => return Ok(()),
            length => head.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let page = series.with(|series| series.page());
    let (status, body) = if head.starts_with(b"GET /metrics") {
        ("200 OK", page.as_str())
    } else {
        ("404 Not Found", "the run's series are at /metrics\n")
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        client.set_write_timeout(Some(left(deadline)?))?;
        let sent = client.write(rest)?;
        if sent == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(address: std::net::SocketAddr) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        let _ = client.read_to_string(&mut text);
        text
    }

    #[test]
    fn a_slow_client_is_let_go_and_holds_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listen = Listen::start(listener, Shared::default()).unwrap();
        let begun = Instant::now();
        let mut slow = TcpStream::connect(address).unwrap();
        slow.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        // It is answered next to the slow one.
        assert!(scrape(address).starts_with("HTTP/1.1 200 OK"));
        assert!(begun.elapsed() < PATIENCE);
        // A byte now and then gains no time.
        while begun.elapsed() < PATIENCE + Duration::from_secs(1) {
            if slow.write_all(b"a").is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        slow.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(!matches!(slow.read(&mut [0; 16]), Ok(1..)), "an answer without a request");
        let begun = Instant::now();
        let _stays = TcpStream::connect(address).unwrap();
        drop(listen);
        assert!(begun.elapsed() < Duration::from_millis(500));
    }
}
