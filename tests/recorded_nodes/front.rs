//! What stands before a Prometheus in the wild, and is no help: a proxy over a real
//! server that misbehaves in one way.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    case::Fact,
    cases::reach::{self, Reach},
    in_parallel,
    score::{self, Judged, Outcome},
    servers::Server,
    support::Sandbox,
};

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// It does not.
    Plain,
    /// 301 to a path prefix, which makes a GET of a POST; 308 keeps it.
    ToPrefix(u16),
    /// 301 to https on a port that does not speak it.
    ToHttps,
    /// 302 to another server.
    Elsewhere,
    /// This status for each POST.
    NoPost(u16),
    /// This status for each query, whatever its method.
    NoQuery(u16),
    /// POST arrives without its body.
    DropsBody,
    /// A page to sign in at, with status 200.
    SignIn,
    /// 401 without `X-Scope-OrgID`.
    NeedsTenant,
    /// 429 for the first of two requests, with `Retry-After`.
    TooMany,
    /// 422 for more seconds of range than this.
    MaxSamples(f64),
    /// 422 for a range query over more nodes than this.
    MaxNodes(usize),
    /// 400 for more seconds of range than this.
    MaxRange(f64),
    /// Milliseconds before each answer.
    Slow(u64),
    /// The newest seconds are left out of each answer.
    Hides(f64),
    /// Answers say that a store is missing.
    Partial,
    /// Answers carry remarks on the query.
    Infos,
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    fn error(status: u16, kind: &str, error: &str) -> Self {
        let body = serde_json::json!({"status": "error", "errorType": kind, "error": error});
        Self::new(status, "application/json", &body.to_string())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Requests that a front end has seen, by method and path.
type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

/// A front end that serves until the program ends.
pub(crate) struct Front {
    pub(crate) port: u16,
    seen: Seen,
}

impl Front {
    /// Serve `mode` before the server on `upstream`; `other` is a server elsewhere.
    pub(crate) fn start(upstream: u16, mode: Mode, other: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let seen = Seen::default();
        let ours = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&ours);
                thread::spawn(move || {
                    let front = Behind { upstream, port, other, mode, seen };
                    // A client that goes away is no fault.
                    let _ = front.serve(stream);
                });
            }
        });
        Self { port, seen }
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

struct Behind {
    upstream: u16,
    port: u16,
    other: u16,
    mode: Mode,
    seen: Seen,
}

impl Behind {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(request) = read_request(&mut reader)? else { return Ok(()) };
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.entry(format!("{} {path}", request.method)).or_default();
            *count += 1;
            *count
        };
        let answer = match self.refuse(&request, count) {
            Some(answer) => answer,
            None => self.pass_on(request)?,
        };
        write_answer(stream, &answer)
    }

    /// The answer that is not the server's, if there is one.
    fn refuse(&self, request: &Request, count: usize) -> Option<Answer> {
        let is_post = request.method == "POST";
        let is_range = request.target.contains("query_range");
        let moved =
            |status, to: String| Some(Answer::new(status, "text/html", "").with("Location", &to));
        let parameters = parameters(request);
        let number = |name: &str| parameters.get(name).and_then(|text| seconds(text));
        let span = || Some(number("end")? - number("start")?);
        match self.mode {
            Mode::ToPrefix(status) if !request.target.starts_with("/s/") => {
                moved(status, format!("http://127.0.0.1:{}/s{}", self.port, request.target))
            }
            Mode::ToHttps => {
                moved(301, format!("https://127.0.0.1:{}{}", self.port, request.target))
            }
            Mode::Elsewhere => {
                moved(302, format!("http://127.0.0.1:{}{}", self.other, request.target))
            }
            Mode::NoPost(403) if is_post => {
                Some(Answer::new(403, "text/plain", "non allow-listed POSTs not allowed"))
            }
            Mode::NoPost(status) if is_post => Some(Answer::new(status, "text/plain", "")),
            Mode::NoQuery(status) if request.target.contains("/query") => {
                Some(Answer::new(status, "text/plain", "blocked by the security gateway"))
            }
            Mode::SignIn => Some(Answer::new(
                200,
                "text/html; charset=utf-8",
                "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form></form></body></html>",
            )),
            Mode::NeedsTenant if !request.headers.contains_key("x-scope-orgid") => {
                Some(Answer::new(401, "text/plain", "no org id"))
            }
            Mode::TooMany if is_range && count % 2 == 1 => {
                Some(Answer::new(429, "text/plain", "too many requests").with("Retry-After", "1"))
            }
            Mode::MaxSamples(most) if is_range && span()? > most => Some(Answer::error(
                422,
                "execution",
                "query processing would load too many samples into memory in query execution",
            )),
            Mode::MaxRange(most) if is_range && span()? > most => Some(Answer::error(
                400,
                "bad_data",
                &format!(
                    "the query time range exceeds the limit (query length: {:.0}s, limit: {most:.0}s)",
                    span()?
                ),
            )),
            Mode::MaxNodes(most) if is_range && selected(parameters.get("query")?) > most => {
                Some(Answer::error(
                    422,
                    "execution",
                    "the query hit the max number of chunks limit while fetching chunks",
                ))
            }
            _ => None,
        }
    }

    fn pass_on(&self, mut request: Request) -> io::Result<Answer> {
        let mut asked_at = None;
        match self.mode {
            Mode::DropsBody if request.method == "POST" => request.body.clear(),
            Mode::Slow(millis) => thread::sleep(Duration::from_millis(millis)),
            Mode::Hides(hidden) => asked_at = set_back(&mut request, hidden),
            _ => {}
        }
        let target = request
            .target
            .strip_prefix("/s/")
            .map_or(request.target.clone(), |rest| format!("/{rest}"));
        let mut answer = forward(self.upstream, &request, &target)?;
        if let Some(t) = asked_at {
            stamp_values(&mut answer, t);
        }
        let remark = match self.mode {
            Mode::Partial => {
                "\"warnings\":[\"partial response: store 10.0.0.7:10901 is unreachable: context deadline exceeded\"]"
            }
            Mode::Infos => {
                "\"infos\":[\"PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \\\"node_netstat_Tcp_OutSegs\\\"\"]"
            }
            _ => return Ok(answer),
        };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        if body.starts_with("{\"status\":\"success\"") && request.target.contains("/query") {
            answer.body = body
                .replacen(
                    "{\"status\":\"success\"",
                    &format!("{{\"status\":\"success\",{remark}"),
                    1,
                )
                .into_bytes();
        }
        Ok(answer)
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() }))
}

fn write_answer(mut stream: TcpStream, answer: &Answer) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&answer.body)
}

/// Ask the real server, by HTTP/1.0 so that its answer comes in one piece.
fn forward(port: u16, request: &Request, target: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut head = format!("{} {target} HTTP/1.0\r\nHost: 127.0.0.1\r\n", request.method);
    if let Some(kind) = request.headers.get("content-type") {
        head.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{}", request.body.len(), request.body));
    stream.write_all(head.as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(all.len());
    let body = all.split_off((end + 4).min(all.len()));
    let head = String::from_utf8_lossy(&all).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(502);
    let kind =
        head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap_or("text/plain");
    Ok(Answer { status, headers: vec![("Content-Type".to_owned(), kind.to_owned())], body })
}

/// The parameters of a query, of the address and of the body.
fn parameters(request: &Request) -> BTreeMap<String, String> {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let pairs =
        query.split('&').chain(request.body.split('&')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let two: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&two, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Seconds since 1970, from a number or from RFC 3339.
fn seconds(text: &str) -> Option<f64> {
    let parsed = || Some(stressor::model::time::Timestamp::parse(text)?.seconds());
    text.parse().ok().or_else(parsed)
}

/// How many nodes the first selector of a query names.
fn selected(query: &str) -> usize {
    let of = |start: &str| {
        let rest = query.split_once(start)?.1;
        Some(rest.split('"').next()?.split('|').count())
    };
    of("instance=~\"").or_else(|| of("instance=\"")).unwrap_or(usize::MAX)
}

/// Have the server answer as it would have some seconds ago. Returns the time that an
/// instant query asked for.
fn set_back(request: &mut Request, hidden: f64) -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let newest = now - hidden;
    let mut all = parameters(request);
    let is_range = request.target.contains("query_range");
    if !request.target.contains("/query") {
        return None;
    }
    let name = if is_range { "end" } else { "time" };
    let asked = all.get(name).and_then(|text| seconds(text)).unwrap_or(now);
    all.insert(name.to_owned(), format!("{:.3}", asked.min(newest)));
    let mut body = String::new();
    for (name, value) in &all {
        body.push_str(&format!("&{name}="));
        value.bytes().for_each(|byte| body.push_str(&format!("%{byte:02X}")));
    }
    body.trim_start_matches('&').clone_into(&mut request.body);
    request.target.truncate(request.target.find('?').unwrap_or(request.target.len()));
    "POST".clone_into(&mut request.method);
    let form = "application/x-www-form-urlencoded".to_owned();
    request.headers.insert("content-type".to_owned(), form);
    (!is_range && asked > newest).then_some(asked)
}

/// VictoriaMetrics gives its older values the time that was asked for.
fn stamp_values(answer: &mut Answer, t: f64) {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let mut parts = body.split("\"value\":[");
    let mut stamped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once(',').map_or(part, |(_, rest)| rest);
        stamped.push_str(&format!("\"value\":[{t:.3},{rest}"));
    }
    answer.body = stamped.into_bytes();
}

/// Ask through each front end, and directly at times as people write them.
pub(crate) fn judge(
    server: &Server,
    sandbox: &Sandbox,
    chooses: &dyn Fn(&str, &str) -> bool,
    all: bool,
) -> Vec<Judged> {
    let elsewhere = Front::start(server.port, Mode::Plain, 0);
    let chosen: Vec<(usize, Reach)> = reach::cases()
        .into_iter()
        .filter(|reach| chooses(reach.name, reach.item) && (all || reach.fast))
        .enumerate()
        .collect();
    in_parallel(&chosen, |(number, reach)| ask(server, sandbox, reach, *number, &elsewhere))
}

fn ask(
    server: &Server,
    sandbox: &Sandbox,
    reach: &Reach,
    number: usize,
    elsewhere: &Front,
) -> Vec<Judged> {
    let front = Front::start(server.port, reach.mode, elsewhere.port);
    let url = format!("http://127.0.0.1:{}", front.port);
    let name = format!("reach-{}-{number}", server.kind.name());
    let mut arguments = vec!["analyze", "--prometheus", &url, "--format", "json", "--name", &name];
    arguments.extend(reach.args.iter().map(String::as_str));
    let ended = sandbox.run(&arguments);
    let document = serde_json::from_str(&ended.stdout).ok();
    let stderr: Vec<String> = vec![ended.stderr.clone(), ended.stdout.clone()];
    let silent = reach.says.iter().find(|fact| !fact.is_said(&stderr)).map(Fact::shown);
    let right_exit = reach.exits.contains(&ended.code.unwrap_or(-1));
    let went_away = reach.mode == Mode::Elsewhere && elsewhere.requests() > 0;
    let judge = |check| {
        let (mut outcome, said, grade, mut why) = match (&document, reach.refuses) {
            (Some(document), false) => score::judge(check, document, reach.checks.len() == 1),
            (Some(_), true) => (
                Outcome::WrongLikely,
                "a verdict".to_owned(),
                "–".to_owned(),
                "should be an error".to_owned(),
            ),
            (None, true) => {
                (Outcome::Correct, "an error".to_owned(), "–".to_owned(), String::new())
            }
            (None, false) => (
                Outcome::NoAnswer,
                "–".to_owned(),
                "–".to_owned(),
                ended.stderr.lines().next().unwrap_or_default().chars().take(140).collect(),
            ),
        };
        if went_away {
            (outcome, why) =
                (Outcome::WrongLikely, "followed a redirect to another server".to_owned());
        } else if outcome == Outcome::Correct && !right_exit {
            (outcome, why) = (Outcome::NoAnswer, format!("exit {:?}", ended.code));
        } else if outcome == Outcome::Correct
            && let Some(fact) = &silent
        {
            (outcome, why) = (Outcome::Incomplete, format!("does not say {fact}"));
        }
        Judged {
            case: reach.name,
            item: reach.item,
            node: check.node.clone(),
            truth: if reach.refuses { "an error".to_owned() } else { check.right.join("|") },
            never: check.never.join(", "),
            said,
            grade,
            outcome,
            why,
        }
    };
    reach.checks.iter().map(judge).collect()
}
