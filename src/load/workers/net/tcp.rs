//! The sending end over TCP.

#![expect(unsafe_code, reason = "the standard library cannot set SO_LINGER yet")]

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

use super::{super::Context, payload, repeat, sink};
use crate::scenario::plan::{NetWork, Pattern};

/// How long a connection may take to be made, and an answer to come.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(work: &NetWork, to: SocketAddr, context: &Context<'_>) -> io::Result<()> {
    match work.pattern {
        Pattern::Stream => stream(work, to, context),
        Pattern::Request => request(work, to, context),
        Pattern::Connect => {
            // The first one shows whether anybody is there.
            connect(to, work.time_wait)?;
            repeat(work, context, 0, || connect(to, work.time_wait))
        }
    }
}

fn stream(work: &NetWork, to: SocketAddr, context: &Context<'_>) -> io::Result<()> {
    let payload = payload(work, context);
    let mut connection = Some(open(to, &[sink::DISCARD])?);
    repeat(work, context, work.message, || {
        let stream = match &mut connection {
            Some(stream) => stream,
            None => connection.insert(open(to, &[sink::DISCARD])?),
        };
        let written = stream.write_all(&payload);
        if written.is_err() {
            connection = None;
        }
        written
    })
}

fn request(work: &NetWork, to: SocketAddr, context: &Context<'_>) -> io::Result<()> {
    let payload = payload(work, context);
    let mut answer = vec![0; payload.len()];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let hello: Vec<u8> = [sink::ECHO].into_iter().chain(length).collect();
    let mut connection = Some(open(to, &hello)?);
    repeat(work, context, work.message, || {
        let stream = match &mut connection {
            Some(stream) => stream,
            None => connection.insert(open(to, &hello)?),
        };
        let answered = stream.write_all(&payload).and_then(|()| stream.read_exact(&mut answer));
        if answered.is_err() {
            connection = None;
        }
        answered
    })
}

fn open(to: SocketAddr, hello: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(hello)?;
    Ok(stream)
}

/// Make a connection and close it.
fn connect(to: SocketAddr, time_wait: bool) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    if !time_wait {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let length = libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap_or(0);
        // SAFETY: reads one live local structure of the length given.
        unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                length,
            );
        }
    }
    Ok(())
}
