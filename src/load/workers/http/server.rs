//! A small server, so that a load needs no other: it answers every request
//! with the same few bytes. One thread, a loop around epoll(7).

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::super::listen;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nstressor\n";
/// What the listening socket's events are called.
const LISTENER: u64 = u64::MAX;
/// No request is longer; a longer one ends its connection.
const LONGEST: usize = 16 << 20;

pub(super) struct Server {
    listener: TcpListener,
}

impl Server {
    /// # Errors
    /// When the address cannot be had.
    pub(super) fn new(address: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answer until killed; `answered` is told the bytes of each answer.
    ///
    /// # Errors
    /// When the kernel gives no epoll.
    pub(super) fn serve(&self, answered: impl Fn(u64)) -> io::Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(self.listener.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let mut open: HashMap<u64, Client> = HashMap::new();
        let mut scratch = vec![0; 64 << 10];
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for event in events.iter().take(count) {
                if event.data() == LISTENER {
                    self.accept(&epoll, &mut open);
                } else if let Some(client) = open.get_mut(&event.data())
                    && !client.go_on(&mut scratch, &answered)
                {
                    open.remove(&event.data());
                }
            }
        }
    }

    fn accept(&self, epoll: &Epoll, open: &mut HashMap<u64, Client>) {
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(key) = u64::try_from(stream.as_raw_fd()) else { continue };
            let added = stream
                .set_nonblocking(true)
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| {
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, key);
                    epoll.add(stream.as_fd(), event).map_err(io::Error::from)
                });
            if added.is_ok() {
                open.insert(key, Client { stream, unread: Vec::new() });
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Read and answer; whether the connection goes on.
    fn go_on(&mut self, scratch: &mut [u8], answered: &impl Fn(u64)) -> bool {
        match self.stream.read(scratch) {
            Ok(0) => return false,
            Ok(got) => self.unread.extend(scratch.get(..got).unwrap_or(&[])),
            Err(error) => {
                return matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                );
            }
        }
        while let Some((length, close, is_head)) = request(&self.unread) {
            if length > self.unread.len() {
                return length <= LONGEST;
            }
            self.unread.drain(..length);
            let body = if is_head { ANSWER.len() - b"stressor\n".len() } else { ANSWER.len() };
            let answer = ANSWER.get(..body).unwrap_or(ANSWER);
            // So few bytes find room; a client that does not read is let go.
            if self.stream.write_all(answer).is_err() || close {
                return false;
            }
            answered(body as u64);
        }
        self.unread.len() <= LONGEST
    }
}

/// Length of the first request, whether the connection ends with it, and
/// whether it is a HEAD; `None` before its head is complete.
fn request(bytes: &[u8]) -> Option<(usize, bool, bool)> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => {
            let (mut body, mut close) = (0, false);
            for header in request.headers.iter() {
                let value = std::str::from_utf8(header.value).unwrap_or("").trim();
                if header.name.eq_ignore_ascii_case("content-length") {
                    body = value.parse().unwrap_or(usize::MAX / 2);
                } else if header.name.eq_ignore_ascii_case("connection") {
                    close = value.eq_ignore_ascii_case("close");
                }
            }
            Some((head.saturating_add(body), close, request.method == Some("HEAD")))
        }
        Ok(httparse::Status::Partial) => None,
        // What is no request ends its connection.
        Err(_) => Some((usize::MAX, true, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(request(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(request(b"GET / HTTP/1.1\r\n\r\nGET"), Some((18, false, false)));
        let post = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
        assert_eq!(request(post), Some((post.len() + 5, true, false)));
        assert_eq!(request(b"HEAD / HTTP/1.1\r\n\r\n"), Some((19, false, true)));
        assert_eq!(request(b"\x16\x03\x01\x02"), Some((usize::MAX, true, false)));
    }
}
