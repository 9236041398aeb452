//! `net`: sends over TCP or UDP. An operation is one write, one datagram, one
//! request with its answer, or one connection made; a latency is its time and,
//! with a rate, the wait since it was due. Bytes are those handed to the kernel.
//! `received` counts what the sink got: datagrams for UDP, reads for TCP.

mod sink;
mod tcp;
mod udp;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use super::{Context, Failure, due, failure, next};
use crate::{
    load::{pacer::Schedule, shared::Stage},
    scenario::plan::{NetWork, Pattern, Target},
};

pub(in crate::load) fn run(work: &NetWork, context: &Context<'_>) -> Failure {
    match start(work, context) {
        Ok(()) => Failure { stage: Stage::None, errno: 0 },
        Err(error) => failure(Stage::Connect, &error),
    }
}

fn start(work: &NetWork, context: &Context<'_>) -> io::Result<()> {
    // The sink's threads live as long as the process.
    std::thread::scope(|scope| {
        if let Some(listen) = &work.listen {
            let address = resolved(listen)?;
            return if work.udp {
                let sink = sink::udp(address)?;
                context.begin();
                sink::receive(&sink, context)
            } else {
                let sink = sink::tcp(address)?;
                context.begin();
                sink::serve(scope, &sink, context)
            };
        }
        // The sink's thread never ends, and would be waited for.
        let end = |error: io::Error| context.end(failure(Stage::Connect, &error));
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let target = |own_sink: SocketAddr| {
            work.target
                .as_ref()
                .and_then(|target| target.addresses.first())
                .map_or(own_sink, |a| *a)
        };
        if work.udp {
            let sink = sink::udp(own)?;
            let to = target(sink.local_addr()?);
            if work.target.is_none() {
                std::thread::Builder::new()
                    .spawn_scoped(scope, move || sink::receive(&sink, context))?;
            }
            udp::run(work, to, context).or_else(end)
        } else {
            let sink = sink::tcp(own)?;
            let to = target(sink.local_addr()?);
            if work.target.is_none() {
                let churn = work.pattern == Pattern::Connect;
                std::thread::Builder::new().spawn_scoped(scope, move || {
                    if churn {
                        sink::accept_only(&sink)
                    } else {
                        sink::serve(scope, &sink, context)
                    }
                })?;
            }
            tcp::run(work, to, context).or_else(end)
        }
    })
}

/// An address to listen at; it is this machine's own, so that it may be looked
/// up here.
fn resolved(listen: &Target) -> io::Result<SocketAddr> {
    use std::net::ToSocketAddrs as _;
    (listen.host.as_str(), listen.port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
}

/// When operations are due.
fn schedule(work: &NetWork) -> Option<Schedule> {
    let by_bytes = || Some(work.rate_bytes? as f64 / work.message as f64);
    work.rate.or_else(by_bytes).map(Schedule::new)
}

/// Random bytes to send: nothing on the way can compress them.
fn payload(work: &NetWork, context: &Context<'_>) -> Vec<u8> {
    let mut seed = u64::from(context.number) * 2 + 1;
    (0..work.message.div_ceil(8))
        .flat_map(|_| next(&mut seed).to_le_bytes())
        .take(usize::try_from(work.message).unwrap_or(usize::MAX))
        .collect()
}

/// One operation after the other; never returns.
fn repeat(
    work: &NetWork,
    context: &Context<'_>,
    bytes: u64,
    mut operation: impl FnMut() -> io::Result<()>,
) -> ! {
    let mut schedule = schedule(work);
    let start = context.begin();
    loop {
        let since: Instant = due(&mut schedule, start);
        match operation() {
            Ok(()) => context.done(1, bytes, since.elapsed()),
            Err(error) => context.failed(failure(Stage::Send, &error)),
        }
    }
}
