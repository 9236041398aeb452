//! The sending end over UDP.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use super::{super::Context, payload, repeat, sink};
use crate::scenario::plan::{NetWork, Pattern};

/// How long an answer may take before it counts as lost.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn run(work: &NetWork, to: SocketAddr, context: &Context<'_>) -> io::Result<()> {
    let any = match to.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let mut message = payload(work, context);
    let mode = if work.pattern == Pattern::Request { sink::ECHO } else { sink::DISCARD };
    if let Some(first) = message.first_mut() {
        *first = mode;
    }
    let mut answer = vec![0; message.len()];
    repeat(work, context, work.message, || {
        socket.send(&message)?;
        if mode == sink::ECHO {
            socket.recv(&mut answer)?;
        }
        Ok(())
    })
}
