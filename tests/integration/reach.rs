//! What stands between us and a Prometheus, and is not a fault: redirects, proxies
//! that let only some requests through, login pages, limits. A past window is read
//! through each, and shows what it shows without.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    faults::request,
    prometheus::Stack,
    support::{Outcome, Sandbox, Service, component, free_port, wait_for_port, works_for_a_test},
};

/// A request as it arrived.
struct Asked {
    method: String,
    /// With its query.
    path: String,
    head: String,
    body: String,
    /// Requests of queries of ranges before it.
    ranges_before: usize,
    /// Where the front end listens.
    port: u16,
}

impl Asked {
    fn is_post(&self) -> bool {
        self.method == "POST"
    }

    fn is_range(&self) -> bool {
        self.path.contains("query_range")
    }

    /// A number among the posted parameters.
    fn number(&self, name: &str) -> f64 {
        let of = |text: &str| text.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        self.body.split('&').find_map(of).expect("a parameter of the query")
    }

    fn passed(self) -> Answered {
        Answered::Passed(self)
    }
}

enum Answered {
    /// Passed on to the server.
    Passed(Asked),
    /// Status, headers, body.
    Own(u16, String, String),
}

fn own(status: u16, body: &str) -> Answered {
    Answered::Own(status, "Content-Type: text/plain".to_owned(), body.to_owned())
}

fn to(status: u16, location: &str) -> Answered {
    Answered::Own(status, format!("Location: {location}"), String::new())
}

/// What a front end does with a request.
type Manner = fn(Asked) -> Answered;

/// A front end before a server; it counts what it answers itself.
struct Front {
    port: u16,
    own: Arc<AtomicUsize>,
}

impl Front {
    fn before(server: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let (own, ranges) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = own.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (count, ranges) = (count.clone(), ranges.clone());
                thread::spawn(move || carry(client, server, port, manner, &count, &ranges));
            }
        });
        Self { port, own }
    }
}

fn carry(
    mut client: TcpStream,
    server: u16,
    port: u16,
    manner: Manner,
    count: &AtomicUsize,
    ranges: &AtomicUsize,
) -> std::io::Result<()> {
    let Some((head, body)) = request(&mut client)? else { return Ok(()) };
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_range = path.contains("query_range");
    let ranges_before = ranges.fetch_add(usize::from(is_range), Ordering::SeqCst);
    let answer = match manner(Asked { method, path, head, body, ranges_before, port }) {
        Answered::Passed(asked) => passed(server, &asked)?,
        Answered::Own(status, headers, body) => {
            count.fetch_add(1, Ordering::SeqCst);
            let length = body.len();
            format!("HTTP/1.1 {status} X\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
        }
    };
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}

fn passed(server: u16, asked: &Asked) -> std::io::Result<Vec<u8>> {
    let Asked { method, path, body, .. } = asked;
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    if method == "POST" {
        let _ = write!(
            head,
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        );
    }
    upstream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Below /s only; everything else is sent there.
fn below(mut asked: Asked, status: u16) -> Answered {
    match asked.path.strip_prefix("/s/") {
        Some(rest) => {
            asked.path = format!("/{rest}");
            asked.passed()
        }
        None => to(status, &format!("http://127.0.0.1:{}/s{}", asked.port, asked.path)),
    }
}

const TOO_MANY: &str = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;

/// A window that is over, and what it shows without anything in between.
struct Past {
    stack: Stack,
    /// The same with https.
    _with_tls: Service,
    start: String,
    end: String,
    samples: u64,
}

impl Past {
    fn new() -> Self {
        let stack = Stack::start("");
        let with_tls = with_tls(&stack);
        // Some points more than a range that is not halved any further.
        thread::sleep(Duration::from_secs(30));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        // In milliseconds, as Grafana has them.
        let end = (now.as_secs() - 1) * 1000;
        let (start, end) = ((end - 34_000).to_string(), end.to_string());
        let mut past = Self { stack, _with_tls: with_tls, start, end, samples: 0 };
        let plain = past.read(past.stack.port(), &[]);
        past.samples = samples(&plain);
        assert!(past.samples >= 30, "{}", plain.stdout);
        assert_eq!(notes(&plain), "[]");
        past
    }

    fn read(&self, port: u16, more: &[&str]) -> Outcome {
        let window = ["--start", &self.start, "--end", &self.end];
        self.read_at(&format!("http://127.0.0.1:{port}"), &[&window[..], more].concat())
    }

    fn read_at(&self, url: &str, more: &[&str]) -> Outcome {
        let arguments = ["analyze", "--prometheus", url, "--format", "json"];
        let mut command = self.stack.sandbox.stressor(&[&arguments[..], more].concat());
        // A machine without authorities: nothing but https needs any.
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        Outcome::of(&command.output().expect("it starts"))
    }

    /// Read through a front end: everything is there.
    fn is_seen_whole(&self, name: &str, manner: Manner, more: &[&str]) -> (Outcome, Front) {
        let front = Front::before(self.stack.port(), manner);
        let outcome = self.read(front.port, more);
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
        assert_eq!(samples(&outcome), self.samples, "{name}: {}", outcome.stdout);
        assert!(front.own.load(Ordering::SeqCst) > 0, "{name} was in the way");
        (outcome, front)
    }

    /// Read through a front end that does not let it be: the error has these words.
    fn is_refused(&self, name: &str, manner: Manner, words: &[&str]) {
        let front = Front::before(self.stack.port(), manner);
        let outcome = self.read(front.port, &[]);
        assert_eq!(outcome.code, Some(6), "{name}: {}", outcome.stderr);
        for word in words {
            assert!(outcome.stderr.contains(word), "{name}: {word:?} in {}", outcome.stderr);
        }
    }
}

fn document(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|_| panic!("no document: {} {}", outcome.stdout, outcome.stderr))
}

fn samples(outcome: &Outcome) -> u64 {
    let count = &document(outcome)["nodes"][0]["phases"][0]["data"]["samples"];
    count.as_u64().expect("a count")
}

fn notes(outcome: &Outcome) -> String {
    document(outcome)["validity"]["notes"].to_string()
}

#[test]
fn what_is_in_the_way_to_a_server_is_got_around_or_named() {
    let past = Past::new();
    thread::scope(|scope| {
        let parts: [fn(&Past); 6] =
            [redirects, methods, refusals, limits_and_waits, addresses_of_grafana, https];
        for part in parts {
            let past = &past;
            scope.spawn(move || {
                works_for_a_test();
                part(past);
            });
        }
    });
}

#[test]
fn a_run_keeps_what_chose_its_series_and_no_value_of_a_header() {
    let sandbox = Sandbox::new();
    let text = "name = \"x\"\n[telemetry]\nheaders = [\"X-A: t3nant\"]\n[[phase]]\nname = \"watch\"\nduration = \"1s\"\n";
    let path = sandbox.write("s.toml", text).display().to_string();
    let outcome = sandbox.run(&[
        "run",
        &path,
        "-v",
        "--header",
        "X-B: t3nant",
        "--match",
        "cluster='eu'",
        "--set",
        "telemetry.headers=[\"X-C: t3nant\"]",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains("t3nant"));
    let mut kept = String::new();
    for file in fs::read_dir(sandbox.reports("run-1")).expect("the run is kept").flatten() {
        kept.push_str(&String::from_utf8_lossy(&fs::read(file.path()).expect("it can be read")));
    }
    assert!(!kept.contains("t3nant") && kept.contains("X-A"));
    // And can be read again.
    let again = sandbox.run(&["report", "run-1", "--format", "json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(kept.contains("cluster="), "the matcher is kept");
    let bad = sandbox.run(&["run", &path, "--set", "telemetry.headers=[\"t3nant\"]"]);
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.contains("no colon") && !bad.stderr.contains("t3nant"), "{}", bad.stderr);
}

fn redirects(past: &Past) {
    let manners: [(&str, Manner); 3] = [
        ("301", |asked| below(asked, 301)),
        ("302", |asked| below(asked, 302)),
        ("308", |asked| below(asked, 308)),
    ];
    for (name, manner) in manners {
        let (outcome, front) = past.is_seen_whole(name, manner, &[]);
        let told = format!("redirected to http://127.0.0.1:{}/s", front.port);
        assert_eq!(notes(&outcome).matches(&told).count(), 1, "{}", notes(&outcome));
        // The first request and those under way with it, not each.
        assert!(front.own.load(Ordering::SeqCst) <= 2, "{name}: learned once");
    }
    let elsewhere: Manner =
        |asked| to(302, &format!("http://localhost:{}{}", asked.port, asked.path));
    past.is_refused("elsewhere", elsewhere, &["redirects to http://localhost:", "another server"]);
    let login: Manner = |asked| to(302, &format!("/login?redirect={}", asked.path));
    past.is_refused("login", login, &["/api/v1/query redirects to ", "/login:", "token_file"]);
    let circle: Manner = |asked| to(301, &format!("/s{}", asked.path));
    past.is_refused("circle", circle, &["redirects to ", "6 times"]);
}

fn methods(past: &Past) {
    let manners: [(&str, Manner); 4] = [
        (
            "403",
            |asked| {
                if asked.is_post() { own(403, "non allow-listed POST") } else { asked.passed() }
            },
        ),
        ("405", |asked| if asked.is_post() { own(405, "") } else { asked.passed() }),
        ("501", |asked| if asked.is_post() { own(501, "") } else { asked.passed() }),
        ("400", |asked| if asked.is_post() { own(400, "<html>no</html>") } else { asked.passed() }),
    ];
    for (name, manner) in manners {
        let (_, front) = past.is_seen_whole(name, manner, &[]);
        assert_eq!(front.own.load(Ordering::SeqCst), 1, "{name}: learned once");
    }
    // The server itself misses the parameters.
    let no_bodies: Manner = |mut asked| {
        asked.body.clear();
        asked.passed()
    };
    let front = Front::before(past.stack.port(), no_bodies);
    let outcome = past.read(front.port, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(samples(&outcome), past.samples);
    let neither: Manner =
        |asked| if asked.is_post() { own(405, "read only") } else { own(403, "not for you") };
    past.is_refused("neither", neither, &["405: read only", "403: not for you", "token_file"]);
}

fn refusals(past: &Past) {
    let page: Manner = |_| {
        let body = "<!DOCTYPE html><html><head><title>Sign\x07 in</title>";
        Answered::Own(200, "Content-Type: text/html; charset=utf-8".to_owned(), body.to_owned())
    };
    past.is_refused("page", page, &["web page titled \"Sign in\"", "login page", "path prefix"]);
    let tenants: Manner = |asked| {
        let is_let_in = asked.head.to_lowercase().contains("x-scope-orgid: t3nant")
            && (asked.body.contains("&dedup=true") || !asked.path.contains("query"));
        if is_let_in { asked.passed() } else { own(401, "no org id") }
    };
    past.is_refused("tenants", tenants, &["no org id", "--header 'X-Scope-OrgID: …'"]);
    let front = Front::before(past.stack.port(), tenants);
    let outcome = past.read(
        front.port,
        &[
            "--header",
            "X-Scope-OrgID: t3nant",
            "--parameter",
            "dedup=true",
            "--name",
            "of-a-tenant",
        ],
    );
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(samples(&outcome), past.samples);
    let folder = past.stack.sandbox.reports("of-a-tenant");
    for file in fs::read_dir(folder).expect("the run is kept").flatten() {
        let bytes = fs::read(file.path()).expect("it can be read");
        assert!(!bytes.windows(6).any(|part| part == b"t3nant"), "{}", file.path().display());
    }
    for (option, value, todo) in [
        ("--header", "Authorization: Bearer s3cr3t", "token_file"),
        ("--match", "cluster=s3", "'cluster=\"s3\"'"),
        ("--parameter", "dedup", "name=value"),
    ] {
        let outcome = past.read(past.stack.port(), &[option, value]);
        assert_eq!(outcome.code, Some(2), "{option}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(todo), "{option}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("s3cr3t"), "{option}: {}", outcome.stderr);
    }
}

fn limits_and_waits(past: &Past) {
    let limited: Manner = |asked| {
        let is_too_long = asked.is_range()
            && asked.is_post()
            && asked.number("end") - asked.number("start") > 20.0;
        if is_too_long { own(422, TOO_MANY) } else { asked.passed() }
    };
    let (outcome, front) = past.is_seen_whole("samples", limited, &[]);
    assert_eq!(notes(&outcome), "[]", "nothing is missing");
    // The one that goes first, with a coarser step, and those that were under way when the
    // first of the others was refused; not each query.
    assert!(front.own.load(Ordering::SeqCst) <= 5, "{:?}", front.own);
    // Even the shortest range is refused: it is said in the server's words.
    let never: Manner = |asked| if asked.is_range() { own(422, TOO_MANY) } else { asked.passed() };
    past.is_refused("never", never, &["refuses so much at once (samples)", "too many samples"]);
    let busy: Manner = |asked| match asked.ranges_before {
        0 if asked.is_range() => {
            let headers = "Retry-After: 2\r\nContent-Type: text/plain".to_owned();
            Answered::Own(429, headers, "too many requests".to_owned())
        }
        _ => asked.passed(),
    };
    let begun = Instant::now();
    past.is_seen_whole("busy", busy, &[]);
    assert!(begun.elapsed() > Duration::from_secs(2), "it waits as long as it is asked to");
}

fn addresses_of_grafana(past: &Past) {
    let url = format!("http://127.0.0.1:{}", past.stack.port());
    let instance = format!("127.0.0.1:{}", past.stack.exporter_port);
    let (start, end) = (&past.start, &past.end);
    let page = format!(
        "https://grafana.example/d/x/nodes?orgId=1&from={start}&to={end}&var-job=node&var-node={instance}"
    );
    for option in ["--grafana-url", "--start"] {
        let outcome = past.read_at(&url, &[option, &page]);
        assert_eq!(outcome.code, Some(0), "{option}: {}", outcome.stderr);
        assert_eq!(samples(&outcome), past.samples, "{option}");
        assert_eq!(outcome.stderr.matches("warning").count(), 0, "{}", outcome.stderr);
    }
    let other = page.replace("var-job=node", "var-job=other");
    assert_eq!(past.read_at(&url, &["--grafana-url", &other]).code, Some(6));
    let other = page.replace(&instance, "db-7");
    let outcome = past.read_at(&url, &["--grafana-url", &other]);
    assert!(outcome.code == Some(6) && outcome.stderr.contains("db-7"), "{}", outcome.stderr);
    let short = past.read_at(&url, &["--grafana-url", "https://grafana.example/goto/x"]);
    assert!(short.code == Some(2) && short.stderr.contains("copy the address"), "{}", short.stderr);
}

/// Where the server with https listens.
static TLS_PORT: AtomicU16 = AtomicU16::new(0);

/// A server with https that scrapes the same, with a certificate that only
/// `ca_file` trusts.
fn with_tls(stack: &Stack) -> Service {
    let sandbox = &stack.sandbox;
    let openssl = Command::new(component(&["openssl"]))
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(sandbox.path())
        .output()
        .expect("it starts");
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    let port = free_port();
    let web =
        sandbox.write("web.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n");
    let server = Service::start(
        Command::new(component(&["prometheus"]))
            .arg(format!("--config.file={}", sandbox.path().join("prometheus.yml").display()))
            .arg(format!("--web.config.file={}", web.display()))
            .arg(format!("--storage.tsdb.path={}", sandbox.path().join("data-tls").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    wait_for_port(port);
    TLS_PORT.store(port, Ordering::SeqCst);
    server
}

/// To https on the same host, and there without a front end.
fn https(past: &Past) {
    let port = TLS_PORT.load(Ordering::SeqCst);
    let upgraded: Manner = |asked| {
        let port = TLS_PORT.load(Ordering::SeqCst);
        to(301, &format!("https://127.0.0.1:{port}{}", asked.path))
    };
    let front = Front::before(past.stack.port(), upgraded);
    let base = format!("http://127.0.0.1:{}", front.port);
    let trusted = ["--set", "telemetry.ca_file=cert.pem", "--last", "5s"];
    let outcome = past.read_at(&base, &trusted);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(samples(&outcome) > 0, "{}", outcome.stdout);
    let told = format!("redirected to https://127.0.0.1:{port}");
    assert!(notes(&outcome).contains(&told), "{}", notes(&outcome));
    // A header could be a credential, and another port another service.
    let outcome = past.read_at(&base, &[&trusted[..], &["--header", "X-A: b"]].concat());
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("another port"), "{}", outcome.stderr);
    let direct = format!("https://127.0.0.1:{port}");
    let outcome = past.read_at(&direct, &trusted);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let outcome = past.read_at(&direct, &[]);
    assert!(outcome.stderr.contains("install the package ca-certificates"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ca_file"), "{}", outcome.stderr);
}
