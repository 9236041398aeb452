//! HTTP/1.1 over many connections by one thread: a loop around epoll(7).

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, connect, socket},
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

use super::{
    super::Context,
    End,
    answer::{Broken, Reader},
    arrivals, count,
    request::Wire,
};
use crate::{
    load::{arrivals::Arrivals, pacer::Due},
    scenario::plan::HttpWork,
};

/// What the timer's events are called; connections have their index.
const TIMER: u64 = u64::MAX;
/// How often overdue requests are looked for, at least.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Rest before a connection is tried again that could not be made.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// There is none; not to be tried before this.
    None(Instant),
    /// On its way.
    Connecting,
    /// Ready for a request.
    Idle,
    /// A request is on its way, or its answer.
    Busy,
}

struct Connection {
    stream: Option<TcpStream>,
    stand: Stand,
    /// Whether it has a request that has not ended.
    has_request: bool,
    /// The request was due then.
    since: Instant,
    /// The request was begun then.
    begun: Instant,
    /// Bytes of the request that are sent.
    sent: usize,
    /// Bytes of the answer so far.
    got: u64,
    reader: Reader,
    /// The start of what the reader could not use yet.
    unread: Vec<u8>,
    /// Whether epoll tells when it can be written to.
    wants_out: bool,
}

/// Send until killed.
///
/// # Errors
/// When the kernel gives no epoll or timer.
pub(super) fn run(
    work: &HttpWork,
    wire: &Wire,
    to: SocketAddr,
    context: &Context<'_>,
) -> io::Result<()> {
    // The first one shows whether anybody is there.
    drop(TcpStream::connect_timeout(&to, work.timeout)?);
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
    let now = Instant::now();
    let connections = (0..work.connections)
        .map(|_| Connection {
            stream: None,
            stand: Stand::None(now),
            has_request: false,
            since: now,
            begun: now,
            sent: 0,
            got: 0,
            reader: Reader::new(wire.is_head),
            unread: Vec::new(),
            wants_out: false,
        })
        .collect();
    let mut client = Client {
        work,
        wire,
        to,
        context,
        epoll,
        timer,
        connections,
        free: (0..work.connections as usize).collect(),
        due: VecDeque::new(),
        arrivals: arrivals(work, context),
        start: now,
        scratch: vec![0; 256 << 10],
    };
    // Connections are there before the phase begins, where they are kept.
    if work.keep_alive {
        client.connect_all(now + work.timeout)?;
    }
    client.start = context.begin();
    client.send_and_receive()
}

struct Client<'a> {
    work: &'a HttpWork,
    wire: &'a Wire,
    to: SocketAddr,
    context: &'a Context<'a>,
    epoll: Epoll,
    timer: TimerFd,
    connections: Vec<Connection>,
    /// Connections that have no request.
    free: Vec<usize>,
    /// Requests that are due and have no connection yet.
    due: VecDeque<Instant>,
    arrivals: Option<Arrivals>,
    start: Instant,
    scratch: Vec<u8>,
}

impl Client<'_> {
    fn connect_all(&mut self, until: Instant) -> io::Result<()> {
        for index in 0..self.connections.len() {
            self.connect(index);
        }
        while self.connections.iter().any(|one| one.stand == Stand::Connecting)
            && Instant::now() < until
        {
            self.wait(LOOK_EVERY)?;
        }
        Ok(())
    }

    fn send_and_receive(&mut self) -> io::Result<()> {
        let mut look = Instant::now() + LOOK_EVERY;
        loop {
            let until_due = self.assign();
            let now = Instant::now();
            if now >= look {
                look = now + LOOK_EVERY;
                self.drop_overdue(now);
            }
            let wait = until_due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            self.wait(wait)?;
        }
    }

    /// Give requests that are due to free connections; how long until the next
    /// one is due.
    fn assign(&mut self) -> Option<Duration> {
        let mut until_due = None;
        if let Some(arrivals) = &mut self.arrivals {
            loop {
                match arrivals.next(self.start.elapsed()) {
                    Due::Now(due) => {
                        self.context.slot.scheduled.fetch_add(1, Relaxed);
                        self.due.push_back(self.start + due);
                    }
                    Due::In(wait) => {
                        until_due = Some(wait);
                        break;
                    }
                }
            }
        }
        let open = self.arrivals.is_some();
        let now = Instant::now();
        let mut waiting = Vec::new();
        while !(open && self.due.is_empty()) {
            let Some(index) = self.free.pop() else { break };
            let resting = match self.connections.get(index).map(|one| one.stand) {
                Some(Stand::None(not_before)) => not_before > now,
                _ => false,
            };
            if resting {
                waiting.push(index);
                continue;
            }
            let since = if open { self.due.pop_front() } else { Some(now) };
            self.begin(index, since.unwrap_or(now), now);
        }
        // Those that rest are looked at again soon.
        if !waiting.is_empty() {
            self.free.extend(waiting);
            until_due = Some(until_due.unwrap_or(RETRY_AFTER).min(RETRY_AFTER));
        }
        until_due
    }

    fn begin(&mut self, index: usize, since: Instant, now: Instant) {
        let Some(one) = self.connections.get_mut(index) else { return };
        one.has_request = true;
        (one.since, one.begun) = (since, now);
        (one.sent, one.got) = (0, 0);
        one.reader = Reader::new(self.wire.is_head);
        one.unread.clear();
        if one.stand == Stand::Idle {
            one.stand = Stand::Busy;
            self.write(index);
        } else {
            self.connect(index);
        }
    }

    /// Begin to connect. A request that waits for it is sent when it is there.
    fn connect(&mut self, index: usize) {
        let stream = start_connect(self.to);
        let Some(one) = self.connections.get_mut(index) else { return };
        one.stand = Stand::Connecting;
        let added = stream.and_then(|stream| {
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
            self.epoll.add(stream.as_fd(), EpollEvent::new(flags, index as u64))?;
            Ok(stream)
        });
        match added {
            Ok(stream) => {
                one.wants_out = true;
                one.stream = Some(stream);
            }
            Err(_) => self.end(index, End::NotConnected),
        }
    }

    fn wait(&mut self, wait: Duration) -> io::Result<()> {
        // epoll_wait(2) counts milliseconds; a schedule needs better.
        if wait.is_zero() {
            return self.events(EpollTimeout::ZERO);
        }
        self.timer.set(Expiration::OneShot(wait.into()), TimerSetTimeFlags::empty())?;
        self.events(EpollTimeout::NONE)
    }

    fn events(&mut self, timeout: EpollTimeout) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        for event in events.iter().take(count) {
            if event.data() == TIMER {
                let _ = self.timer.wait();
                continue;
            }
            let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
            self.ready(index, event.events());
        }
        Ok(())
    }

    fn ready(&mut self, index: usize, flags: EpollFlags) {
        let Some(one) = self.connections.get_mut(index) else { return };
        if one.stand == Stand::Connecting {
            let connected = one.stream.as_ref().is_some_and(|stream| {
                matches!(stream.take_error(), Ok(None)) && stream.peer_addr().is_ok()
            });
            if !connected {
                self.end(index, End::NotConnected);
                return;
            }
            // Before the phase there is no request yet.
            if !one.has_request {
                one.stand = Stand::Idle;
                self.watch(index, false);
                return;
            }
            one.stand = Stand::Busy;
            self.write(index);
            return;
        }
        if flags.contains(EpollFlags::EPOLLOUT) && one.stand == Stand::Busy {
            self.write(index);
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            self.read(index);
        }
    }

    /// Send what is left of the request.
    fn write(&mut self, index: usize) {
        let Some(one) = self.connections.get_mut(index) else { return };
        let Some(stream) = &mut one.stream else { return };
        while let Some(rest) = self.wire.bytes.get(one.sent..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(sent) => one.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.watch(index, true);
                    return;
                }
                Err(_) => {
                    self.end(index, End::BrokenOff);
                    return;
                }
            }
        }
        self.watch(index, false);
    }

    fn read(&mut self, index: usize) {
        let Some(one) = self.connections.get_mut(index) else { return };
        let Some(stream) = &mut one.stream else { return };
        let got = match stream.read(&mut self.scratch) {
            Ok(0) | Err(_) if one.stand == Stand::Idle => {
                // The server closed what nobody used.
                self.close(index);
                return;
            }
            Ok(0) => {
                let complete = one.reader.ends_with_connection();
                let end = if complete { End::Answer(one.reader.status) } else { End::BrokenOff };
                one.reader.last = true;
                self.end(index, end);
                return;
            }
            Ok(got) => got,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return;
            }
            Err(_) => {
                self.end(index, End::BrokenOff);
                return;
            }
        };
        one.got += got as u64;
        let fresh = self.scratch.get(..got).unwrap_or(&[]);
        let fed = if one.unread.is_empty() {
            let fed = one.reader.feed(fresh);
            if let Ok(fed) = fed {
                one.unread.extend(fresh.get(fed.used..).unwrap_or(&[]));
            }
            fed
        } else {
            one.unread.extend(fresh);
            let fed = one.reader.feed(&one.unread);
            if let Ok(fed) = fed {
                one.unread.drain(..fed.used.min(one.unread.len()));
            }
            fed
        };
        match fed {
            Ok(fed) if fed.complete => {
                let status = one.reader.status;
                self.end(index, End::Answer(status));
            }
            Ok(_) => (),
            Err(Broken) => self.end(index, End::BrokenOff),
        }
    }

    /// The request has ended; its connection is free again.
    fn end(&mut self, index: usize, end: End) {
        let Some(one) = self.connections.get_mut(index) else { return };
        let had_request = std::mem::take(&mut one.has_request);
        let (since, got) = (one.since, one.got);
        let stays = matches!(end, End::Answer(_))
            && !one.reader.last
            && one.unread.is_empty()
            && self.work.keep_alive;
        if stays {
            one.stand = Stand::Idle;
        } else {
            self.close(index);
            if end == End::NotConnected
                && let Some(one) = self.connections.get_mut(index)
            {
                one.stand = Stand::None(Instant::now() + RETRY_AFTER);
            }
        }
        if had_request {
            count(self.context, end, since, got);
            self.free.push(index);
        }
    }

    fn close(&mut self, index: usize) {
        let Some(one) = self.connections.get_mut(index) else { return };
        // Closing takes it out of epoll too.
        one.stream = None;
        one.stand = Stand::None(Instant::now());
        one.unread.clear();
    }

    /// Have epoll tell when the connection can be written to, or not any more.
    fn watch(&mut self, index: usize, out: bool) {
        let Some(one) = self.connections.get_mut(index) else { return };
        let Some(stream) = one.stream.as_ref().filter(|_| one.wants_out != out) else { return };
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, out);
        let mut event = EpollEvent::new(flags, index as u64);
        if self.epoll.modify(stream.as_fd(), &mut event).is_ok() {
            one.wants_out = out;
        }
    }

    fn drop_overdue(&mut self, now: Instant) {
        for index in 0..self.connections.len() {
            let overdue = self.connections.get(index).is_some_and(|one| {
                one.has_request && now.duration_since(one.begun) > self.work.timeout
            });
            if overdue {
                self.end(index, End::Timeout);
            }
        }
    }
}

/// A connection on its way.
fn start_connect(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    let connected = match to {
        SocketAddr::V4(to) => connect(socket.as_raw_fd(), &SockaddrIn::from(to)),
        SocketAddr::V6(to) => connect(socket.as_raw_fd(), &SockaddrIn6::from(to)),
    };
    match connected {
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => (),
        Err(errno) => return Err(errno.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}
