//! What goes wrong between us and a Prometheus: a proxy before a real one does
//! it, each in turn. The run always ends, says what it could not see, and loses
//! nothing that was there.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    prometheus::Stack,
    support::{Outcome, Sandbox, machine, phase, works_for_a_test},
};

/// What is done to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Closed without a word.
    Refused,
    /// Never answered.
    Hang,
    /// An error of the server, for ever.
    Status(u16),
    /// An error for the first few requests, then well again.
    Passing(u16),
    /// A few bytes now and then.
    Slow,
    /// The first half of the body.
    Cut,
    /// JSON, but not of the API's form.
    WrongTypes,
    /// What a login proxy says.
    Html,
    /// Labels without end.
    Flood,
    /// Every time in the answer ten minutes early, as if the server's clock
    /// were wrong.
    Clock,
    /// The server refuses unions of signals: it answers each alone.
    NoUnions(u16),
}

/// Passes requests on until it is told to do something to the answers.
struct Proxy {
    port: u16,
    on: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(server: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let (on, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_on, count) = (on.clone(), requests.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (is_on, count) = (is_on.clone(), count.clone());
                thread::spawn(move || {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    let fault = is_on.load(Ordering::SeqCst).then_some(fault);
                    let _ = carry(client, server, fault, number);
                });
            }
        });
        Self { port, on, requests }
    }
}

/// One request and its answer.
fn carry(
    mut client: TcpStream,
    server: u16,
    fault: Option<Fault>,
    number: usize,
) -> std::io::Result<()> {
    let Some((head, body)) = request(&mut client)? else { return Ok(()) };
    if instead(&mut client, fault, number, &body)? {
        return Ok(());
    }
    // Without compression, and a connection for one request.
    let kept: Vec<&str> = head
        .split("\r\n")
        .filter(|line| {
            let line = line.to_lowercase();
            !line.starts_with("accept-encoding:") && !line.starts_with("connection:")
        })
        .collect();
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let head = kept.join("\r\n").trim_end().to_owned() + "\r\nConnection: close\r\n\r\n";
    upstream.write_all(head.as_bytes())?;
    let asked = match fault {
        Some(Fault::Clock) => shifted(&body, &["start=", "end=", "time="], 600),
        _ => body,
    };
    upstream.write_all(asked.as_bytes())?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    match fault {
        Some(Fault::Slow) => {
            for chunk in answer.chunks(64) {
                client.write_all(chunk)?;
                thread::sleep(Duration::from_millis(200));
            }
        }
        Some(Fault::Cut) => client.write_all(&answer[..answer.len() / 2])?,
        Some(Fault::Clock) => {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            client.write_all(shifted(&answer, &["["], -600).as_bytes())?;
        }
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Both)
}

/// Head and body of a request; nothing when the client went away.
pub(crate) fn request(client: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    let mut whole = None;
    while whole.is_none_or(|(head, length)| bytes.len() < head + length) {
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            whole = Some((end + 4, length.unwrap_or(0)));
        }
    }
    let head = whole.map_or(0, |(head, _)| head);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Some((text(&bytes[..head]), text(&bytes[head..]))))
}

/// Answer in the server's place, if the fault is of that kind.
fn instead(
    client: &mut TcpStream,
    fault: Option<Fault>,
    number: usize,
    body: &str,
) -> std::io::Result<bool> {
    let whole = |status: u16, kind: &str, body: &[u8]| {
        let mut answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        answer
    };
    let error = br#"{"status":"error","errorType":"unavailable","error":"made up"}"#;
    match fault {
        Some(Fault::Refused) => (),
        Some(Fault::Hang) => thread::sleep(Duration::from_secs(60)),
        Some(Fault::Status(status)) => {
            client.write_all(&whole(status, "application/json", error))?;
        }
        Some(Fault::Passing(status)) if number % 3 != 2 => {
            client.write_all(&whole(status, "application/json", error))?;
        }
        Some(Fault::NoUnions(status)) if body.contains("+or+label_replace") => {
            client.write_all(&whole(status, "application/json", error))?;
        }
        Some(Fault::WrongTypes) => {
            let body = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":7,"values":"x"}]}}"#;
            client.write_all(&whole(200, "application/json", body))?;
        }
        Some(Fault::Html) => {
            let body = b"<!doctype html><title>Log in</title><form>";
            client.write_all(&whole(200, "text/html", body))?;
        }
        Some(Fault::Flood) => {
            client.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"a\":\"")?;
            let chunk = vec![b'x'; 1 << 20];
            for _ in 0..400 {
                client.write_all(&chunk)?;
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The text with the ten digits after each of these marks so many seconds
/// later. No length changes.
fn shifted(text: &str, marks: &[&str], seconds: i64) -> String {
    let mut out = text.to_owned();
    for mark in marks {
        let mut from = 0;
        while let Some(at) = out[from..].find(mark).map(|at| from + at + mark.len()) {
            from = at;
            let digits = out[at..].chars().take_while(char::is_ascii_digit).count();
            if digits == 10
                && let Ok(time) = out[at..at + 10].parse::<i64>()
            {
                out.replace_range(at..at + 10, &(time + seconds).to_string());
            }
        }
    }
    out
}

const WATCH: &str = "name = \"watch\"\n[telemetry]\ntimeout = \"2s\"\n[[phase]]\nname = \"quiet\"\nduration = \"14s\"\n";

/// Watch for fourteen seconds, with the fault from the eighth on; everything it
/// prints, and how long it took.
fn watched(fault: Fault, server: u16) -> (Fault, Outcome, Duration) {
    works_for_a_test();
    let proxy = Proxy::before(server, fault);
    let sandbox = Sandbox::new();
    let path = sandbox.write("scenario.toml", WATCH).display().to_string();
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let begun = Instant::now();
    let child = sandbox
        .stressor(&["run", &path, "--prometheus", &url, "--format", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A clock is wrong from the start.
    proxy.on.store(fault == Fault::Clock, Ordering::SeqCst);
    thread::sleep(Duration::from_secs(8));
    proxy.on.store(true, Ordering::SeqCst);
    let output = child.wait_with_output().expect("it ends");
    assert!(proxy.requests.load(Ordering::SeqCst) > 3, "{fault:?}: it was asked");
    (fault, Outcome::of(&output), begun.elapsed())
}

#[test]
fn every_fault_is_survived_and_told() {
    let _machine = machine();
    let stack = Stack::start("");
    let server = stack.port();
    let faults = [
        (Fault::Refused, "cannot be reached", false),
        (Fault::Hang, "cannot be reached", false),
        (Fault::Status(500), "answers 500", false),
        (Fault::Status(503), "answers 503", false),
        (Fault::Status(429), "answers 429", false),
        (Fault::Passing(503), "", true),
        (Fault::Passing(429), "", true),
        (Fault::Slow, "cannot be reached", false),
        (Fault::Cut, "127.0.0.1", false),
        (Fault::WrongTypes, "not that of a Prometheus API", false),
        (Fault::Html, "<title>Log in", false),
        (Fault::Flood, "127.0.0.1", false),
        (Fault::Clock, "clock of Prometheus is 600.0 s behind", true),
        (Fault::NoUnions(422), "", true),
        (Fault::NoUnions(400), "", true),
    ];
    // Nothing is loaded, so they can all go on at once.
    let results: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> =
            faults.iter().map(|(fault, ..)| scope.spawn(|| watched(*fault, server))).collect();
        all.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    for ((_, words, sees), (fault, outcome, took)) in faults.iter().zip(results) {
        assert_eq!(outcome.code, Some(0), "{fault:?}: {}", outcome.stderr);
        assert!(took < Duration::from_secs(90), "{fault:?} took {took:?}");
        let verdict: Value = serde_json::from_str(&outcome.stdout).expect("one JSON document");
        let notes = verdict["validity"]["notes"].to_string();
        assert!(notes.contains(words), "{fault:?} says {words:?}: {notes}");
        let data = &phase(&verdict, "quiet")["data"];
        let samples = data["samples"].as_u64().expect("a count");
        let verdict = &phase(&verdict, "quiet")["verdict"];
        assert_ne!(verdict["kind"], "saturated", "{fault:?}: {verdict}");
        if *sees {
            assert!(samples >= 13, "{fault:?}: {samples} samples, {notes}");
            // Not only which samples there are, but what they say.
            assert_ne!(verdict["kind"], "unknown", "{fault:?}: {verdict}");
        } else {
            // What was there before the fault is kept. Which samples there are
            // is a small answer, which comes through however slowly.
            assert!(
                (2..13).contains(&samples) || fault == Fault::Slow,
                "{fault:?}: {samples} samples"
            );
            assert_ne!(verdict["grade"], "likely", "{fault:?}: {verdict}");
        }
    }
}

/// What happens to what is watched, while a run watches it.
type Mishap = fn(&mut Stack);

/// Watch for sixteen seconds; from the fifth on, something happens.
fn mishap(happens: Mishap) -> Value {
    works_for_a_test();
    let mut stack = Stack::start("");
    let sandbox = Sandbox::new();
    let scenario = WATCH.replace("14s", "16s");
    let path = sandbox.write("scenario.toml", &scenario).display().to_string();
    let url = format!("http://127.0.0.1:{}", stack.port());
    let child = sandbox
        .stressor(&["run", &path, "--prometheus", &url, "--format", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    thread::sleep(Duration::from_secs(5));
    happens(&mut stack);
    let outcome = Outcome::of(&child.wait_with_output().expect("it ends"));
    assert_eq!(outcome.code, Some(0));
    serde_json::from_str(&outcome.stdout).expect("one JSON document")
}

#[test]
fn what_happens_to_servers_and_targets_is_told_and_costs_only_itself() {
    let _machine = machine();
    let restart: Mishap = |stack| stack.restart(Duration::from_secs(3));
    // For ever, and for four seconds: scrapes time out meanwhile.
    let down: Mishap = |stack| stack.exporter.signal(Signal::SIGKILL);
    let pause: Mishap = |stack| {
        stack.exporter.signal(Signal::SIGSTOP);
        thread::sleep(Duration::from_secs(4));
        stack.exporter.signal(Signal::SIGCONT);
    };
    let cases = [("restart", restart, 5..14), ("down", down, 3..9), ("pause", pause, 8..15)];
    let results: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> =
            cases.iter().map(|(_, happens, _)| scope.spawn(|| mishap(*happens))).collect();
        all.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    for ((name, _, expected), document) in cases.iter().zip(results) {
        let quiet = phase(&document, "quiet");
        let samples = quiet["data"]["samples"].as_u64().expect("a count");
        assert!(expected.contains(&samples), "{name}: {samples} samples");
        let (verdict, validity) = (&quiet["verdict"], &document["validity"]);
        assert_ne!(verdict["kind"], "saturated", "{name}: {verdict}");
        assert_ne!(verdict["grade"], "likely", "{name}: {verdict}");
        assert_eq!(validity["ok"], false, "{name}: {validity}");
        assert!(
            validity["notes"].to_string().contains(&format!("{samples} of 16 samples")),
            "{name}: {validity}"
        );
        // A hole within the phase, or its end missing.
        let gaps = quiet["data"]["gaps"].as_u64().expect("a count");
        assert_eq!(gaps, u64::from(*name != "down"), "{name}: {quiet}");
    }
}
