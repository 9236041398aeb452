//! Load of kind http against its own server, against servers that misbehave,
//! and against nginx for TLS and HTTP/2.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Sandbox, Service, component, free_port, machine, scenario, wait_for_port};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Run one http load and return what it did.
fn http(sandbox: &Sandbox, load: &str, seconds: f64) -> Value {
    let text = scenario(&format!("kind = \"http\"\n{load}"), seconds).replace("3s", "500ms");
    let verdict = sandbox.verdict(&text, &[]);
    verdict["loads"][0].clone()
}

#[test]
fn a_closed_loop_is_as_fast_as_the_answers() {
    let _machine = machine();
    for load in [
        "connections = 20",
        "connections = 20\nkeep_alive = false",
        "connections = 4\nmethod = \"POST\"\nbody = \"hello\"\nheaders = [\"X-Test: 1\"]",
        "connections = 4\nmethod = \"HEAD\"",
    ] {
        let done = http(&Sandbox::new(), load, 1.0);
        assert!(number(&done["operations_per_s"]) > 500.0, "{load}: {done:#}");
        assert_eq!(done["errors"], 0, "{load}: {done:#}");
        assert_eq!(done["counts"].as_object().unwrap().len(), 1, "{load}: {done:#}");
        assert!(number(&done["counts"]["2xx"]) > 300.0, "{load}: {done:#}");
    }
}

#[test]
fn an_open_loop_keeps_to_its_schedule() {
    let _machine = machine();
    // A ramp from 0 to 1,000 over 4 s is 500 a second on average; spikes of
    // 2,000 for a quarter of the time above 200 are 650.
    for (load, expected) in [
        ("rate = 500", 500.0),
        ("rate = 500\narrival = \"poisson\"", 500.0),
        ("rate = 1\nrate_to = 1000", 500.0),
        ("rate = 200\nspike_rate = 2000\nspike_every = \"2s\"\nspike_for = \"500ms\"", 650.0),
    ] {
        let done = http(&Sandbox::new(), load, 4.0);
        let (asked, got) = (number(&done["requested"]), number(&done["achieved"]));
        assert!((asked / expected - 1.0).abs() < 0.08, "{load}: {done:#}");
        assert!((got / asked - 1.0).abs() < 0.02, "{load}: {done:#}");
        assert!(done["shortfall"].is_null(), "{load}: {done:#}");
    }
}

/// Answers one request at a time, at once, but stands still for `stall` at the
/// end of every `period`.
fn stalling(listener: &TcpListener, period: Duration, stall: Duration) {
    let start = Mutex::new(None::<Instant>);
    let turn = Mutex::new(());
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            let (start, turn) = (&start, &turn);
            scope.spawn(move || {
                let mut stream: TcpStream = stream;
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|got| got > 0) {
                    let _turn = turn.lock().unwrap();
                    let since = start.lock().unwrap().get_or_insert_with(Instant::now).elapsed();
                    let within = since.as_secs_f64() % period.as_secs_f64();
                    let left = period.as_secs_f64() - within;
                    if left < stall.as_secs_f64() {
                        std::thread::sleep(Duration::from_secs_f64(left));
                    }
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// A server that stands still makes everyone wait who was due meanwhile. With
/// two stalls of 1 s in 11 s, 2 of 11 requests wait, evenly between 0 and 1 s:
/// the 99th percentile of all is 1 − 0.01 · 11/2 = 0.945 s, the 90th 0.45 s. A
/// client that counts from the moment of sending would see 20 requests wait.
#[test]
fn latency_counts_from_when_a_request_was_due() {
    let _machine = machine();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        stalling(&listener, Duration::from_secs(5), Duration::from_secs(1));
    });
    let done = http(
        &Sandbox::new(),
        &format!("url = \"http://127.0.0.1:{port}/\"\nrate = 500\nconnections = 10"),
        11.0,
    );
    let p99 = number(&done["latency"]["p99_s"]);
    assert!((p99 / 0.945 - 1.0).abs() < 0.02, "p99 {p99}: {done:#}");
    let p90 = number(&done["latency"]["p90_s"]);
    assert!((p90 / 0.45 - 1.0).abs() < 0.05, "p90 {p90}: {done:#}");
}

#[test]
fn requests_without_an_answer_at_the_end_are_told() {
    let _machine = machine();
    // Connections are made by the kernel, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = http(
        &Sandbox::new(),
        &format!("url = \"http://127.0.0.1:{port}/\"\nrate = 50\nconnections = 4"),
        2.0,
    );
    let unanswered = number(&done["counts"]["unanswered"]);
    assert!((95.0..=101.0).contains(&unanswered), "{done:#}");
    let why = done["shortfall"].as_str().unwrap();
    assert!(why.contains("unanswered when the phase ended"), "{why}");
}

#[test]
fn errors_are_counted_by_what_they_are() {
    let _machine = machine();
    // Every fourth request: an answer, a failure, silence, an end in the middle.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let number = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for stream in listener.incoming().flatten() {
                let number = &number;
                scope.spawn(move || {
                    let mut stream: TcpStream = stream;
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).is_ok_and(|got| got > 0) {
                        let turn = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 4;
                        let answer: &[u8] = match turn {
                            0 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                            1 => b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
                            2 => b"",
                            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha",
                        };
                        if stream.write_all(answer).is_err() || turn == 3 {
                            return;
                        }
                    }
                });
            }
        });
    });
    let done = http(
        &Sandbox::new(),
        &format!(
            "url = \"http://127.0.0.1:{port}/\"\nrate = 100\ntimeout = \"200ms\"\nconnections = 60"
        ),
        4.0,
    );
    for name in ["2xx", "5xx", "timeouts", "broken off"] {
        let count = number(&done["counts"][name]);
        assert!((80.0..=110.0).contains(&count), "{name} {count}: {done:#}");
    }
    assert!(number(&done["errors"]) > 240.0, "{done:#}");
    // What timed out is in the latencies.
    assert!(number(&done["latency"]["p99_s"]) >= 0.195, "{done:#}");
}

#[test]
fn nobody_there_is_an_error_of_the_worker_and_not_of_the_run() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let port = free_port();
    let text = scenario(&format!("kind = \"http\"\nurl = \"http://127.0.0.1:{port}/\""), 1.0);
    sandbox.verdict(&text, &[]);
    let events = fs::read_to_string(sandbox.reports("run-1").join("events.jsonl")).unwrap();
    assert!(events.contains("opening a connection: Connection refused"), "{events}");
}

#[test]
fn tls_and_http_2_are_spoken_with_nginx() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.path().join(name).display().to_string();
    let made = Command::new(component(&["openssl"]))
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &at("key.pem"), "-out", &at("cert.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (tls, plain) = (free_port(), free_port());
    let configuration = format!(
        "daemon off; master_process off; pid {pid}; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {tmp}; proxy_temp_path {tmp};\n\
         fastcgi_temp_path {tmp}; uwsgi_temp_path {tmp}; scgi_temp_path {tmp};\n\
         keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{tls} ssl http2; listen 127.0.0.1:{plain} http2;\n\
         ssl_certificate {cert}; ssl_certificate_key {key};\n\
         location / {{ return 200 \"hello $http_x_secret\\n\"; }}\n\
         location /gone {{ return 404; }} }} }}\n",
        pid = at("nginx.pid"),
        tmp = at("tmp"),
        cert = at("cert.pem"),
        key = at("key.pem"),
    );
    let path = sandbox.write("nginx.conf", &configuration);
    let mut nginx = Command::new(component(&["nginx"]));
    let _nginx = Service::start(nginx.arg("-c").arg(&path).arg("-p").arg(sandbox.path()));
    wait_for_port(tls);
    sandbox.write("secret.txt", "X-Secret: hunter2\n");
    for load in [
        format!(
            "url = \"https://127.0.0.1:{tls}/\"\nca_file = \"cert.pem\"\nversion = \"2\"\nstreams = 4"
        ),
        format!(
            "url = \"https://127.0.0.1:{tls}/\"\ninsecure = true\nheader_file = \"secret.txt\""
        ),
        format!("url = \"http://127.0.0.1:{plain}/\"\nversion = \"2\"\nrate = 200"),
    ] {
        let done = http(&sandbox, &format!("{load}\nconnections = 4"), 1.5);
        assert!(number(&done["counts"]["2xx"]) > 100.0, "{load}: {done:#}");
        assert_eq!(done["errors"], 0, "{load}: {done:#}");
    }
    let done = http(
        &sandbox,
        &format!("url = \"https://127.0.0.1:{tls}/gone\"\ninsecure = true\nrate = 100"),
        1.0,
    );
    assert!(number(&done["counts"]["4xx"]) > 80.0, "{done:#}");
    assert_eq!(done["errors"], done["counts"]["4xx"], "{done:#}");
    // A certificate that nobody vouches for is not taken.
    let text = scenario(&format!("kind = \"http\"\nurl = \"https://127.0.0.1:{tls}/\""), 1.0);
    let verdict = sandbox.verdict(&text, &[]);
    let events = sandbox.reports(verdict["run"].as_str().unwrap()).join("events.jsonl");
    let events = fs::read_to_string(events).unwrap();
    assert!(events.contains("agreeing on TLS"), "{events}");
    // The secret header was sent and is nowhere in the stored runs.
    let found = Command::new("grep")
        .args(["-r", "hunter2", "reports"])
        .current_dir(sandbox.path())
        .output()
        .unwrap();
    assert!(found.stdout.is_empty());
}

#[test]
fn secrets_in_a_scenario_are_refused() {
    for (load, expected) in [
        ("headers = [\"Authorization: Bearer x\"]", "header_file"),
        ("url = \"http://u:p@127.0.0.1/\"", "header_file"),
        ("rate_to = 5", "needs a `rate`"),
        ("streams = 2", "HTTP/1.1 has no streams"),
    ] {
        let text = scenario(&format!("kind = \"http\"\n{load}"), 1.0);
        let error = stressor::scenario::parse("x.toml", &text, &[]).unwrap_err().text;
        assert!(error.contains(expected), "{load}: {error}");
    }
}
