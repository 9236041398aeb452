//! Lets a Prometheus scrape the run's own series while it goes on.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::series::Shared;

/// A scraper that does not ask within this is let go.
const PATIENCE: Duration = Duration::from_secs(2);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers scrapes from a thread of its own.
#[derive(Debug)]
pub(super) struct Listen {
    ending: Arc<AtomicBool>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Listen {
    /// Answer at `listener` with these series.
    pub(super) fn start(listener: TcpListener, series: Shared) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ending);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let page = series.with(|series| series.page());
                // A scraper that goes away is its own affair.
                let _ = answer(client, &page);
            }
        });
        Ok(Self { ending, address, thread: Some(thread) })
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
