//! HTTP to a Prometheus: authentication, time limits, retries, a ceiling on
//! what is read.

use std::{collections::BTreeMap, error::Error as _, sync::OnceLock, time::Duration};

use reqwest::{
    Certificate, Identity, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    decode::{self, Answer, Reply, Target},
    secrets::{self, Auth},
};
use crate::{model::time::Timestamp, scenario::plan::Telemetry};

/// More than this is not read of one answer.
const LARGEST_ANSWER: usize = 256 << 20;
/// Points that Prometheus gives for one series at most, less a margin.
const MOST_POINTS: f64 = 10_000.0;
/// Waits between tries.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Why a Prometheus did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials could not be read.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The CA file holds no certificate.
    #[error("the CA file {path} holds no PEM certificate")]
    NoCertificate {
        /// Where it is.
        path: String,
    },
    /// The client could not be made.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
    /// The server could not be reached or broke off.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// Without secrets.
        url: String,
        /// The chain of causes.
        why: String,
        /// Whether it took longer than we wait.
        hung: bool,
    },
    /// The server answered with an error.
    #[error("{url} answers {status}: {why}")]
    Status {
        /// Without secrets.
        url: String,
        /// HTTP status.
        status: u16,
        /// The API's message, or the start of the body.
        why: String,
    },
    /// The answer is not data.
    #[error("{url}: {source}")]
    Decode {
        /// Without secrets.
        url: String,
        /// What is wrong.
        source: decode::Error,
    },
    /// The answer is larger than we read.
    #[error("{url}: the answer exceeds {} MiB; ask for fewer nodes (`job`, `[[node]]`)", LARGEST_ANSWER >> 20)]
    TooLarge {
        /// Without secrets.
        url: String,
    },
}

impl Error {
    /// Whether another try may help.
    fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Secret(_)
            | Self::NoCertificate { .. }
            | Self::Client(_)
            | Self::Decode { .. }
            | Self::TooLarge { .. } => false,
        }
    }
}

/// reqwest panics when no TLS is installed; installing it twice is refused,
/// which does no harm.
pub fn prepare_tls() {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A Prometheus.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    auth: Auth,
    /// Sent with every query.
    parameters: Vec<(String, String)>,
}

impl Client {
    /// A client for the scenario's Prometheus at `base`.
    ///
    /// # Errors
    /// When credentials or the CA file cannot be read.
    pub fn new(base: &str, telemetry: &Telemetry) -> Result<Self, Error> {
        prepare_tls();
        let auth = secrets::read(telemetry)?;
        let mut builder = reqwest::Client::builder()
            .timeout(telemetry.timeout)
            .connect_timeout(telemetry.timeout.min(Duration::from_secs(5)))
            .user_agent(concat!("stressor/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &telemetry.ca_file {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        if let (Some(certificate), Some(key)) = (&telemetry.cert_file, &telemetry.key_file) {
            builder = builder.identity(identity(certificate, key)?);
        }
        builder = builder.default_headers(headers(&telemetry.headers)?);
        let http = builder.build().map_err(|error| Error::Client(causes(&error)))?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            auth,
            parameters: telemetry.parameters.clone(),
        })
    }

    /// Where it is, without secrets.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The value of a query now, or at `at`.
    ///
    /// # Errors
    /// When the server does not answer with data, after retries.
    pub async fn query(&self, query: &str, at: Option<Timestamp>) -> Result<Reply, Error> {
        let mut form = vec![("query", query.to_owned())];
        if let Some(at) = at {
            form.push(("time", format!("{:.3}", at.seconds())));
        }
        self.post("query", &form).await
    }

    /// The values of a query at `start`, `start + step` … up to `end`. A range
    /// beyond the server's limit of points is asked for in parts.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_s: f64,
    ) -> Result<Reply, Error> {
        let mut whole = Reply::default();
        let mut from = start;
        while from <= end {
            let to = from.plus(step_s * MOST_POINTS).min(end);
            let form = [
                ("query", query.to_owned()),
                ("start", format!("{:.3}", from.seconds())),
                ("end", format!("{:.3}", to.seconds())),
                ("step", format!("{step_s}")),
            ];
            let part = self.post("query_range", &form).await?;
            whole.warnings.extend(part.warnings);
            if whole.series.is_empty() {
                whole.series = part.series;
            } else {
                join(&mut whole.series, part.series);
            }
            from = to.plus(step_s);
        }
        Ok(whole)
    }

    /// Send a parameter with every query from now on.
    pub fn add_parameter(&mut self, name: &str, value: &str) {
        self.parameters.push((name.to_owned(), value.to_owned()));
    }

    /// What the server says of being ready: it gives away what it is. Empty
    /// where there is no such page.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn ready_text(&self) -> Result<String, Error> {
        let url = format!("{}/-/ready", self.base);
        match self.retried(|| self.http.get(&url), &url, Self::body).await {
            Ok(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            Err(Error::Status { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// The active targets; an empty list where the server has no such page.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn targets(&self) -> Result<Vec<Target>, Error> {
        let url = format!("{}/api/v1/targets?state=active", self.base);
        match self.retried(|| self.http.get(&url), &url, Self::body).await {
            Ok(body) => Ok(decode::targets(&body).unwrap_or_default()),
            Err(Error::Status { status: 400..=499, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What a page of the API says of the server itself, such as
    /// `status/buildinfo`: the `data` of its envelope.
    ///
    /// # Errors
    /// When the server cannot be reached, has no such page, or answers with
    /// something else.
    pub async fn about(&self, path: &str) -> Result<serde_json::Value, Error> {
        let url = format!("{}/api/v1/{path}", self.base);
        let body = self.retried(|| self.http.get(&url), &url, Self::body).await?;
        let mut envelope: serde_json::Value = serde_json::from_slice(&body).map_err(|_| {
            let start = String::from_utf8_lossy(&body).chars().take(200).collect();
            Error::Status { url, status: 200, why: start }
        })?;
        Ok(envelope.get_mut("data").map(serde_json::Value::take).unwrap_or_default())
    }

    async fn post(&self, path: &str, form: &[(&str, String)]) -> Result<Reply, Error> {
        let url = format!("{}/api/v1/{path}", self.base);
        let form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .collect();
        self.retried(|| self.http.post(&url).form(&form), &url, Self::reply).await
    }

    /// Ask until there is an answer, or an error that will not pass.
    async fn retried<T, F: Future<Output = Result<T, Error>>>(
        &self,
        request: impl Fn() -> RequestBuilder,
        url: &str,
        take: impl Fn(Response, String) -> F,
    ) -> Result<T, Error> {
        let mut waits = BACKOFF.iter();
        let mut hung = false;
        loop {
            let answer = match self.sent(request(), url).await {
                Ok(response) => take(response, url.to_owned()).await,
                Err(error) => Err(error),
            };
            match answer {
                // Each try that hangs costs the whole time limit: one more shows
                // whether it was an accident.
                Err(error @ Error::Unreachable { hung: true, .. }) if hung => return Err(error),
                Err(error) if error.passes() => match waits.next() {
                    Some(wait) => {
                        hung = matches!(error, Error::Unreachable { hung: true, .. });
                        tokio::time::sleep(*wait).await;
                    }
                    None => return Err(error),
                },
                other => return other,
            }
        }
    }

    /// The start of a good answer.
    async fn sent(&self, request: RequestBuilder, url: &str) -> Result<Response, Error> {
        let request = match &self.auth {
            Auth::None => request,
            Auth::Basic { username, password } => {
                request.basic_auth(username, Some(password.reveal()))
            }
            Auth::Bearer(token) => request.bearer_auth(token.reveal()),
        };
        let response = request.send().await.map_err(|error| unreachable(url, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = Self::body(response, url.to_owned()).await?;
        Err(Error::Status {
            url: url.to_owned(),
            status: status.as_u16(),
            why: explain(status, &body),
        })
    }

    /// A small answer as a whole.
    async fn body(mut response: Response, url: String) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&url, &error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Error::TooLarge { url });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Series, decoded on a thread of their own while they arrive.
    async fn reply(mut response: Response, url: String) -> Result<Reply, Error> {
        let (chunks, arrived) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
        let reader = Chunks { arrived, current: Vec::new(), at: 0 };
        let decoding = tokio::task::spawn_blocking(move || decode::reply(reader));
        let mut length = 0;
        let received = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    length += chunk.len();
                    if length > LARGEST_ANSWER {
                        break Err(Error::TooLarge { url: url.clone() });
                    }
                    // Nobody reads any more: what was read is no data, and why
                    // is said below.
                    if chunks.send(chunk.to_vec()).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(unreachable(&url, &error)),
            }
        };
        drop(chunks);
        let decoded = decoding.await;
        received?;
        match decoded {
            Ok(reply) => reply.map_err(|source| Error::Decode { url, source }),
            Err(error) => Err(Error::Client(format!("the decoding ended: {error}"))),
        }
    }
}

/// Chunks of a body as they arrive, for a reader that waits.
struct Chunks {
    arrived: tokio::sync::mpsc::Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl std::io::Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at >= self.current.len() {
            match self.arrived.blocking_recv() {
                Some(next) => (self.current, self.at) = (next, 0),
                None => return Ok(0),
            }
        }
        let rest = self.current.get(self.at..).unwrap_or(&[]);
        let taken = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), rest.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.at += taken;
        Ok(taken)
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> Error {
    Error::Unreachable { url: url.to_owned(), why: causes(error), hung: error.is_timeout() }
}

/// Put a later part of a range behind what is there.
fn join(whole: &mut Vec<Answer>, part: Vec<Answer>) {
    let places: BTreeMap<_, usize> =
        whole.iter().enumerate().map(|(at, one)| (one.labels.clone(), at)).collect();
    for series in part {
        match places.get(&series.labels).and_then(|at| whole.get_mut(*at)) {
            Some(known) => known.points.extend(series.points),
            None => whole.push(series),
        }
    }
}

/// The API's message, or the start of what a proxy said.
fn explain(status: StatusCode, body: &[u8]) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; set `username` and `password_file`, or `token_file`"
        }
        StatusCode::NOT_FOUND => "; is the path prefix right?",
        _ => "",
    };
    let said = if let Err(decode::Error::Refused { kind, message }) = decode::reply(body) {
        format!("{kind}: {message}")
    } else {
        let start: Vec<u8> = body.iter().copied().take(200).collect();
        String::from_utf8_lossy(&start).trim().to_owned()
    };
    format!("{said}{hint}")
}

/// An error with its causes: reqwest's own text says only that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    // What openssl makes by default, and rustls does not take for a server's.
    if text.contains("CaUsedAsEndEntity") {
        text.push_str(
            "; the server's certificate is marked as an authority: make it with basicConstraints=CA:FALSE, or have an authority sign it",
        );
    }
    // Which alert a server sends is its library's choice, and the connection can
    // be gone before it is read.
    let closed = [
        "alert: CertificateRequired",
        "alert: BadCertificate",
        "connection closed",
        "broken pipe",
        "Broken pipe",
        "reset by peer",
    ];
    let is_tls = error.url().is_some_and(|url| url.scheme() == "https");
    if is_tls && closed.iter().any(|sign| text.contains(sign)) {
        text.push_str(
            "; does the server want to see a client certificate that it trusts? Then set `cert_file` and `key_file`",
        );
    }
    text
}

/// What the client shows to a server that asks who it is.
fn identity(certificate: &std::path::Path, key: &std::path::Path) -> Result<Identity, Error> {
    let mut pem = secrets::file("certificate", certificate)?;
    pem.push('\n');
    pem.push_str(&secrets::file("key", key)?);
    Identity::from_pem(pem.as_bytes()).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        Error::Client(format!("{certificate} and {key}: {}", causes(&error)))
    })
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let bad = || Error::Client(format!("header {name:?} cannot be sent"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        headers.append(key, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(headers)
}

/// The certificates of a PEM file. reqwest takes a file without any for a
/// valid one and fails at the first request, so it is read here.
fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, Error> {
    let text = secrets::file("CA", path)?;
    let none = || Error::NoCertificate { path: path.display().to_string() };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = certificates.map_err(|_| none())?;
    if certificates.is_empty() {
        return Err(none());
    }
    certificates
        .iter()
        .map(|der| Certificate::from_der(der).map_err(|error| Error::Client(causes(&error))))
        .collect()
}
