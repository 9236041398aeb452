//! `http`: sends requests. An operation is one request with its whole answer; a
//! latency counts from the time it was due, or, in a closed loop, sent. Bytes
//! are those of the answers. An answer of 400 or above, a time-out and a lost
//! connection are errors; the latency of a time-out is counted, as leaving it
//! out would make the worst requests disappear.

mod answer;
mod client;
mod epoll;
mod request;
mod server;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    sync::atomic::Ordering::Relaxed,
    time::Instant,
};

use super::{Context, Failure, failure};
use crate::{
    load::{arrivals::Arrivals, shared::Stage},
    scenario::plan::{HttpWork, Target, Url},
};

pub(in crate::load) fn run(work: &HttpWork, context: &Context<'_>) -> Failure {
    match start(work, context) {
        Ok(()) => Failure { stage: Stage::None, errno: 0 },
        Err(error) => in_short(&error),
    }
}

fn in_short(error: &io::Error) -> Failure {
    if NoTls::is(error) {
        Failure { stage: Stage::Tls, errno: libc::EPROTO }
    } else {
        failure(Stage::Connect, error)
    }
}

/// The server was there, and TLS could not be agreed on.
#[derive(Debug, thiserror::Error)]
#[error("no TLS")]
struct NoTls;

impl NoTls {
    fn is(error: &io::Error) -> bool {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).is_some()
    }
}

fn start(work: &HttpWork, context: &Context<'_>) -> io::Result<()> {
    if let Some(listen) = &work.listen {
        let address = (listen.host.as_str(), listen.port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))?;
        let server = server::Server::new(address)?;
        context.begin();
        return server.serve(|bytes| context.done(1, bytes, std::time::Duration::ZERO));
    }
    let request = request::Request::read(work)?;
    std::thread::scope(|scope| {
        let (url, to) = if let Some(url) = &work.url {
            let to = url.target.addresses.first().copied();
            let to = to.ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))?;
            (url.clone(), to)
        } else {
            let server = server::Server::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let to = server.address()?;
            std::thread::Builder::new().spawn_scoped(scope, move || server.serve(|_| ()))?;
            (own(to), to)
        };
        // HTTP/1.1 without TLS is what loads hardest and is done here; for the
        // rest there is a library that does it well.
        let ended = if work.http2 || url.tls {
            client::run(work, &url, &request, context)
        } else {
            epoll::run(work, &request.head(&url), to, context)
        };
        // The server's thread never ends, and would be waited for.
        ended.or_else(|error| context.end(in_short(&error)))
    })
}

/// The address of the worker's own server.
fn own(at: SocketAddr) -> Url {
    let target = Target { host: at.ip().to_string(), port: at.port(), addresses: vec![at] };
    Url { tls: false, target, path: "/".to_owned(), plain_port: false }
}

/// When requests are due, for an open loop.
fn arrivals(work: &HttpWork, context: &Context<'_>) -> Option<Arrivals> {
    let seed = u64::from(context.index).wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    work.arrival.map(|arrival| Arrivals::new(arrival, context.duration, seed))
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With an answer of this status.
    Answer(u16),
    /// Not in time.
    Timeout,
    /// Without a connection.
    NotConnected,
    /// In the middle.
    BrokenOff,
}

/// Count a request that has ended.
fn count(context: &Context<'_>, end: End, since: Instant, bytes: u64) {
    let tally = match end {
        End::Answer(status) => usize::from(status / 100).saturating_sub(1).min(4),
        End::Timeout => 5,
        End::NotConnected => 6,
        End::BrokenOff => 7,
    };
    let slot = context.slot;
    if let Some(tally) = slot.tallies.get(tally) {
        tally.fetch_add(1, Relaxed);
    }
    match end {
        End::Answer(status) => {
            context.done(1, bytes, since.elapsed());
            if status >= 400 {
                slot.errors.fetch_add(1, Relaxed);
            }
        }
        End::Timeout | End::NotConnected | End::BrokenOff => {
            slot.errors.fetch_add(1, Relaxed);
            if end == End::Timeout {
                let took = since.elapsed().as_nanos();
                slot.buckets.record(u64::try_from(took).unwrap_or(u64::MAX));
            }
        }
    }
}
