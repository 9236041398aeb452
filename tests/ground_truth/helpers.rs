//! Loads that no tool makes: each is this program again, with `helper NAME`.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    thread::{self, sleep, spawn},
    time::{Duration, Instant},
};

/// Run a helper for ever.
pub(crate) fn run(name: &str, arguments: &[String]) {
    let number =
        |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
    match name {
        "idle-threads" => idle_threads(number(0)),
        "uninterruptible" => uninterruptible(number(0)),
        "bursts" => bursts(number(0), number(1), number(2)),
        "listen" => listen(number(0) == 0),
        "udp" => udp(number(0) == 0),
        "connect" => connect(arguments.first().map_or("", String::as_str)),
        "serve" => serve(),
        "lock" => lock(),
        "turns" => turns(number(0), number(1)),
        "files" => files(number(0)),
        _ => panic!("no helper {name}"),
    }
}

fn idle_threads(count: u64) {
    for _ in 0..count {
        let _ =
            thread::Builder::new().stack_size(64 << 10).spawn(|| sleep(Duration::from_secs(3600)));
    }
    sleep(Duration::from_secs(3600));
}

/// Tasks in uninterruptible sleep, which count as load and wait for nothing: a
/// parent whose child borrowed its memory (vfork) sleeps so until it is given
/// back.
#[expect(unsafe_code, reason = "vfork has no safe form; that is its point here")]
fn uninterruptible(count: u64) {
    for _ in 0..count {
        spawn(|| {
            // SAFETY: the child calls nothing but sleep and _exit, and touches
            // no memory that it shares with this thread, which sleeps until then.
            #[expect(deprecated, reason = "what it is deprecated for is wanted")]
            unsafe {
                if libc::vfork() == 0 {
                    libc::sleep(3600);
                    libc::_exit(0);
                }
            }
        });
    }
    sleep(Duration::from_secs(3600));
}

/// `count` threads spin together for `on` of every `every` milliseconds.
fn bursts(count: u64, on: u64, every: u64) {
    let begin = Instant::now();
    for _ in 0..count {
        spawn(move || {
            for turn in 0_u32.. {
                let due = begin + Duration::from_millis(every) * turn;
                sleep(due.saturating_duration_since(Instant::now()));
                while Instant::now() < due + Duration::from_millis(on) {
                    std::hint::spin_loop();
                }
            }
        });
    }
    sleep(Duration::from_secs(3600));
}

/// A server with a short accept queue, and clients that fill it unless the
/// server accepts.
fn listen(accepts: bool) {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::empty(),
        None,
    )
    .expect("a socket");
    let any = nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 0);
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &any).expect("a port");
    nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(8).expect("a backlog"))
        .expect("listening");
    let server = TcpListener::from(socket);
    let address = server.local_addr().expect("an address");
    if accepts {
        let server = server.try_clone().expect("a second handle");
        spawn(move || {
            while let Ok((one, _)) = server.accept() {
                drop(one);
            }
        });
    }
    loop {
        spawn(move || {
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(500));
        });
        sleep(Duration::from_millis(20));
    }
}

/// 2,000 datagrams a second to a socket that is read or not.
fn udp(reads: bool) {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    if reads {
        let server = server.try_clone().expect("a second handle");
        spawn(move || {
            let mut buffer = [0; 2048];
            while server.recv(&mut buffer).is_ok() {}
        });
    }
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    loop {
        for _ in 0..20 {
            let _ = client.send_to(&[0; 1000], address);
        }
        sleep(Duration::from_millis(10));
    }
}

/// Connections one after the other, closed by this side.
fn connect(address: &str) {
    loop {
        match TcpStream::connect(address) {
            Ok(mut stream) => {
                let _ = stream.write_all(b"x");
                let _ = stream.shutdown(std::net::Shutdown::Both);
                let _ = stream.read(&mut [0; 8]);
            }
            Err(_) => sleep(Duration::from_millis(2)),
        }
    }
}

/// Accepts on 10.99.0.1:7000 and reads until the other side closes.
fn serve() {
    let server = TcpListener::bind("10.99.0.1:7000").expect("a port");
    while let Ok((mut stream, _)) = server.accept() {
        let _ = stream.read(&mut [0; 8]);
        let _ = stream.read(&mut [0; 8]);
    }
}

/// Threads that queue for one lock, each holding it for ten milliseconds
/// without working: the limit is the program.
fn lock() {
    let permit = std::sync::Arc::new(std::sync::Mutex::new(()));
    for _ in 0..32 {
        let permit = permit.clone();
        spawn(move || {
            loop {
                let held = permit.lock();
                sleep(Duration::from_millis(10));
                drop(held);
            }
        });
    }
    sleep(Duration::from_secs(3600));
}

/// Threads of which one works at a time, five milliseconds each in turn, with a pause
/// of so many milliseconds between: like those of an interpreter with one lock.
fn turns(threads: u64, pause_ms: u64) {
    let turn = std::sync::Arc::new((std::sync::Mutex::new(0), std::sync::Condvar::new()));
    for mine in 0..threads {
        let turn = turn.clone();
        spawn(move || {
            let (now, changed) = &*turn;
            loop {
                let guard = now.lock().expect("a lock");
                let mut guard = changed.wait_while(guard, |now| *now != mine).expect("a lock");
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(5) {}
                sleep(Duration::from_millis(pause_ms));
                *guard = (mine + 1) % threads;
                changed.notify_all();
            }
        });
    }
    sleep(Duration::from_secs(3600));
}

/// Opens so many files, or as many as it may, and goes on trying.
fn files(count: u64) {
    let mut open = Vec::new();
    loop {
        while (open.len() as u64) < count {
            match std::fs::File::open("/dev/null") {
                Ok(file) => open.push(file),
                Err(_) => break,
            }
        }
        sleep(Duration::from_millis(10));
    }
}
