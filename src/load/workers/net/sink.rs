//! The other end: takes what comes, and answers requests.

#![expect(unsafe_code, reason = "bytes are thrown away without being copied")]

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    sync::atomic::Ordering::Relaxed,
    thread::Scope,
};

use super::super::{Context, listen};

/// The first byte of a connection or datagram: throw the rest away, or send it
/// back. Four bytes with the length of a request follow `ECHO` on a connection.
pub(super) const DISCARD: u8 = b'S';
pub(super) const ECHO: u8 = b'R';

/// The first byte of a datagram that answers one. It is no request, so that two sinks never
/// answer one another.
const ANSWER: u8 = b'A';

/// The largest request that is answered.
const LARGEST: u32 = 16 << 20;
/// Bytes that one read throws away at most.
const PIECE: usize = 4 << 20;

pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address)
}

/// Take connections that are only made and closed.
pub(super) fn accept_only(listener: &TcpListener) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok(_) => (),
            Err(error) if is_passing(&error) => (),
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error of accept(2) is one connection's, or a signal.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

pub(super) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(address)
}

/// Serve connections, each by a thread; ends only when the socket breaks.
pub(super) fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    listener: &TcpListener,
    context: &'scope Context<'scope>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // Most connections of a churn end before they say a word; those
                // need no thread.
                if !is_over(&stream) {
                    let _ = std::thread::Builder::new()
                        .stack_size(128 << 10)
                        .spawn_scoped(scope, move || connection(stream, context));
                }
            }
            // Out of descriptors for the moment.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(error) if is_passing(&error) => (),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the other end has gone already.
fn is_over(stream: &TcpStream) -> bool {
    let mut byte = [0];
    // SAFETY: looks at one byte into a live local buffer, without waiting.
    let seen = unsafe {
        libc::recv(
            stream.as_raw_fd(),
            byte.as_mut_ptr().cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    let waits = || io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
    seen == 0 || (seen < 0 && !waits())
}

fn connection(mut stream: TcpStream, context: &Context<'_>) {
    let mut mode = [0];
    if stream.read_exact(&mut mode).is_err() {
        return;
    }
    // Either ends when the other side does; what it sent is counted.
    let _ = match mode {
        [ECHO] => echo(&mut stream, context),
        _ => discard(&stream, context),
    };
}

fn echo(stream: &mut TcpStream, context: &Context<'_>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length == 0 || length > LARGEST {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut message = vec![0; length as usize];
    loop {
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
        received(context);
    }
}

/// Throw bytes away in the kernel (`MSG_TRUNC`, tcp(7)): copying them out
/// would load this end's memory and not the network.
fn discard(stream: &TcpStream, context: &Context<'_>) -> io::Result<()> {
    let mut nothing = [0_u8; 1];
    wake_for(stream, 512 << 10);
    loop {
        // SAFETY: with MSG_TRUNC the kernel drops the bytes of a TCP socket
        // and writes nothing to the buffer, whose length it does not use.
        let got = unsafe {
            libc::recv(stream.as_raw_fd(), nothing.as_mut_ptr().cast(), PIECE, libc::MSG_TRUNC)
        };
        match got {
            0 => return Ok(()),
            1.. => received(context),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Be woken only when so many bytes wait. A sink that is woken for every packet
/// takes the core from the sender (loopback, two cores: 5.5 against 3.6 GiB/s).
fn wake_for(stream: &TcpStream, bytes: libc::c_int) {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: reads one live local integer of the length given. Where it is
    // refused, the sink is woken more often.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            length,
        );
    }
}

/// Take datagrams; ends only when the socket breaks.
pub(super) fn receive(socket: &UdpSocket, context: &Context<'_>) -> io::Result<()> {
    let mut datagram = vec![0; 65_536];
    loop {
        match socket.recv_from(&mut datagram) {
            Ok((length, from)) => {
                received(context);
                if let Some(message) = datagram.get_mut(..length).and_then(answer) {
                    // A lost answer is the other end's to notice.
                    let _ = socket.send_to(message, from);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            // An answer to someone who has gone comes back as an error.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => (),
            Err(error) => return Err(error),
        }
    }
}

/// The answer to a datagram: as long as the request, and no request itself.
fn answer(message: &mut [u8]) -> Option<&[u8]> {
    let first = message.first_mut().filter(|first| **first == ECHO)?;
    *first = ANSWER;
    Some(message)
}

fn received(context: &Context<'_>) {
    if let Some(tally) = context.slot.tallies.first() {
        tally.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_answered() {
        let mut request = *b"Rest";
        let mut answered = answer(&mut request).unwrap().to_vec();
        assert_eq!(answered, b"Aest");
        assert_eq!(answer(&mut answered), None);
        assert_eq!(answer(&mut []), None);
        assert_eq!(answer(&mut [DISCARD, 1]), None);
    }
}
