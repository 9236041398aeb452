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
/// No head of a request is longer; a longer one ends its connection. A body may have any
/// length: it is thrown away as it comes.
const LONGEST_HEAD: usize = 64 << 10;

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
                open.insert(key, Client { stream, unread: Vec::new(), body: None });
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    /// The start of a head that is not complete.
    unread: Vec<u8>,
    /// The request whose body is to come.
    body: Option<Request>,
}

/// A request whose head is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    /// Bytes of it that are to come, or that its head has.
    length: u64,
    /// Whether the connection ends with it.
    close: bool,
    is_head: bool,
}

impl Client {
    /// Read and answer; whether the connection goes on.
    fn go_on(&mut self, scratch: &mut [u8], answered: &impl Fn(u64)) -> bool {
        let got = match self.stream.read(scratch) {
            Ok(0) => return false,
            Ok(got) => scratch.get(..got).unwrap_or(&[]),
            Err(error) => {
                return matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                );
            }
        };
        self.take(got, |stream, request| {
            let body =
                if request.is_head { ANSWER.len() - b"stressor\n".len() } else { ANSWER.len() };
            let answer = ANSWER.get(..body).unwrap_or(ANSWER);
            // So few bytes find room; a client that does not read is let go.
            if stream.write_all(answer).is_err() || request.close {
                return false;
            }
            answered(body as u64);
            true
        })
    }

    /// Take bytes of requests, of which only an unfinished head is kept; whether the
    /// connection goes on.
    fn take(
        &mut self,
        mut got: &[u8],
        mut answer: impl FnMut(&mut TcpStream, Request) -> bool,
    ) -> bool {
        loop {
            if let Some(request) = &mut self.body {
                let part = usize::try_from(request.length).unwrap_or(usize::MAX).min(got.len());
                request.length -= part as u64;
                got = got.get(part..).unwrap_or(&[]);
                if request.length > 0 {
                    return true;
                }
                let request = *request;
                self.body = None;
                if !answer(&mut self.stream, request) {
                    return false;
                }
            }
            if got.is_empty() {
                return true;
            }
            // Most heads come in one piece and are read where they lie.
            let before = self.unread.len();
            if before > 0 {
                let room = LONGEST_HEAD.saturating_sub(before).min(got.len());
                self.unread.extend_from_slice(got.get(..room).unwrap_or(&[]));
            }
            let head = if before > 0 { self.unread.as_slice() } else { got };
            match request(head) {
                Head::Complete(length, request) => {
                    got = got.get(length.saturating_sub(before)..).unwrap_or(&[]);
                    self.unread.clear();
                    self.body = Some(request);
                }
                Head::Partial if head.len() < LONGEST_HEAD => {
                    if before == 0 {
                        self.unread.extend_from_slice(got);
                    }
                    return true;
                }
                Head::Partial | Head::Broken => return false,
            }
        }
    }
}

/// What the start of a connection's bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// A head of this many bytes.
    Complete(usize, Request),
    /// The start of one.
    Partial,
    /// No request, which ends its connection.
    Broken,
}

fn request(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => {
            let (mut length, mut close) = (0, false);
            for header in request.headers.iter() {
                let value = std::str::from_utf8(header.value).unwrap_or("").trim();
                if header.name.eq_ignore_ascii_case("content-length") {
                    let Ok(announced) = value.parse() else { return Head::Broken };
                    length = announced;
                } else if header.name.eq_ignore_ascii_case("connection") {
                    close = value.eq_ignore_ascii_case("close");
                }
            }
            let is_head = request.method == Some("HEAD");
            Head::Complete(head, Request { length, close, is_head })
        }
        Ok(httparse::Status::Partial) => Head::Partial,
        Err(_) => Head::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(head: usize, length: u64, close: bool, is_head: bool) -> Head {
        Head::Complete(head, Request { length, close, is_head })
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(request(b"GET / HTTP/1.1\r\n"), Head::Partial);
        assert_eq!(request(b"GET / HTTP/1.1\r\n\r\nGET"), complete(18, 0, false, false));
        let post = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
        assert_eq!(request(post), complete(post.len(), 5, true, false));
        assert_eq!(request(b"HEAD / HTTP/1.1\r\n\r\n"), complete(19, 0, false, true));
        assert_eq!(request(b"\x16\x03\x01\x02"), Head::Broken);
        assert_eq!(request(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), Head::Broken);
    }

    fn client() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Client { stream, unread: Vec::new(), body: None }
    }

    #[test]
    fn bodies_are_thrown_away_as_they_come() {
        let mut client = client();
        let answered = std::cell::Cell::new(0);
        let take = |client: &mut Client, bytes: &[u8]| {
            client.take(bytes, |_, _| {
                answered.set(answered.get() + 1);
                true
            })
        };
        assert!(take(&mut client, b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n"));
        let body = vec![b'x'; 1_000_000];
        for _ in 0..1000 {
            assert!(take(&mut client, &body));
            assert!(client.unread.capacity() <= LONGEST_HEAD);
        }
        assert!(take(&mut client, b"GET / HTTP/1.1\r\n\r\n"));
        assert_eq!(answered.get(), 2);
        assert!(!take(&mut client, &vec![b'A'; 2 * LONGEST_HEAD]));
    }

    #[test]
    fn requests_in_whatever_pieces_are_answered_once_each() {
        let text = b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD / HTTP/1.1\r\n\r\n";
        for piece in 1..=text.len() {
            let (mut client, mut answered) = (client(), 0);
            for part in text.chunks(piece) {
                assert!(client.take(part, |_, _| {
                    answered += 1;
                    true
                }));
            }
            assert_eq!((answered, client.unread.len()), (3, 0), "{piece}");
        }
    }
}
