//! HTTP to a Prometheus: authentication, redirects, the method that is let
//! through, time limits, retries, and ceilings on what is asked and read.

mod access;
mod body;
mod error;
mod problem;
mod ranges;
mod transport;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    RequestBuilder, Response, Url,
    header::{HeaderMap, LOCATION},
};

pub use error::Error;
pub use problem::Limit;
pub use transport::prepare_tls;

use self::{
    access::{Access, MOST_HOPS, Method, redirected_base, without_query},
    problem::{Problem, is_page, page_error},
    ranges::{LEAST_POINTS, MOST_POINTS, Ranges},
    transport::{http_client, unreachable},
};
use super::{
    decode::{self, Reply, Target},
    secrets::{self, Auth},
};
use crate::{model::time::Timestamp, scenario::plan::Telemetry};

/// More than this is not read of one answer.
const LARGEST_ANSWER: usize = 256 << 20;
/// Waits between tries, where the server does not say how long.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// What a server may have one request wait by Retry-After, all tries together.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A Prometheus. Clones share what they learn about the way to it.
#[derive(Clone)]
pub struct Client {
    /// As it was given, without a slash at its end.
    base: String,
    auth: Auth,
    /// Sent with every query.
    parameters: Vec<(String, String)>,
    telemetry: Telemetry,
    learned: Arc<Mutex<Access>>,
}

impl fmt::Debug for Client {
    /// Without the values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A request: a page of the server, and the parameters of a query.
struct Ask<'a> {
    /// Below the base address, without a slash at either end.
    path: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// Whether the parameters may be posted.
    is_query: bool,
}

/// A request that failed, and how long the server asks to wait.
struct Failed {
    error: Error,
    wait: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, wait: None }
    }
}

impl Client {
    /// A client for the scenario's Prometheus at `base`.
    ///
    /// # Errors
    /// When credentials or the CA file cannot be read, or `base` is https and this
    /// machine has no authorities.
    pub fn new(base: &str, telemetry: &Telemetry) -> Result<Self, Error> {
        let auth = secrets::read(telemetry)?;
        let base = base.trim_end_matches('/').to_owned();
        let access = Access {
            http: http_client(&base, telemetry)?,
            base: base.clone(),
            method: Method::Post,
            most_points: MOST_POINTS,
        };
        Ok(Self {
            base,
            auth,
            parameters: telemetry.parameters.clone(),
            telemetry: telemetry.clone(),
            learned: Arc::new(Mutex::new(access)),
        })
    }

    /// Where it is, as it was given, without secrets.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What the reader of a report must know of the way to the server, as far as it
    /// is known after the requests so far: that it redirects.
    pub fn notes(&self) -> Vec<String> {
        let now = self.access().base;
        let is_other = now != self.base;
        let note = format!(
            "{} redirected to {now}, which was read; set prometheus = {now:?} to go there at once",
            self.base
        );
        is_other.then_some(note).into_iter().collect()
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
        self.series("api/v1/query", &form).await
    }

    /// The values of a query at `start`, `start + step` … up to `end`. A range
    /// beyond the server's limits is asked for in parts: each refusal for its size
    /// halves them, and later ranges begin with the size that was answered.
    ///
    /// # Errors
    /// As [`Client::query`]; [`Error::Limit`] when the shortest parts are refused, or
    /// a shorter range does not help: fewer nodes may.
    pub async fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_s: f64,
    ) -> Result<Reply, Error> {
        let mut whole = Reply::default();
        let mut ranges = Ranges::new(start, end, step_s, self.access().most_points);
        let mut is_smaller = false;
        while let Some(part) = ranges.next() {
            let form = [
                ("query", query.to_owned()),
                ("start", format!("{:.3}", part.start.seconds())),
                ("end", format!("{:.3}", part.end.seconds())),
                ("step", format!("{step_s}")),
            ];
            let reply = match self.series("api/v1/query_range", &form).await {
                Err(Error::Limit { limit, .. })
                    if limit.yields_to_a_shorter_range() && part.points > LEAST_POINTS =>
                {
                    ranges.halve(part);
                    is_smaller = true;
                    continue;
                }
                other => other?,
            };
            if is_smaller {
                let mut learned = self.lock();
                learned.most_points = learned.most_points.min(ranges.most_points());
                is_smaller = false;
            }
            whole.warnings.extend(reply.warnings);
            if whole.series.is_empty() {
                whole.series = reply.series;
            } else {
                ranges::join(&mut whole.series, reply.series);
            }
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
        match self.page("-/ready", Vec::new()).await {
            Ok(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            // What stands before the server may let nothing but queries through.
            Err(Error::Status { .. } | Error::Page { .. } | Error::Redirect { .. }) => {
                Ok(String::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The active targets; an empty list where the server has no such page.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn targets(&self) -> Result<Vec<Target>, Error> {
        match self.page("api/v1/targets", vec![("state", "active")]).await {
            Ok(body) => Ok(decode::targets(&body).unwrap_or_default()),
            // A store behind the API has no targets, and says so in many ways.
            Err(
                Error::Status { status: 400..=499 | 501, .. }
                | Error::Page { .. }
                | Error::Redirect { .. },
            ) => Ok(Vec::new()),
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
        let path = format!("api/v1/{path}");
        let body = self.page(&path, Vec::new()).await?;
        let mut envelope: serde_json::Value = serde_json::from_slice(&body).map_err(|_| {
            let url = format!("{}/{path}", self.access().base);
            let text = String::from_utf8_lossy(&body);
            if problem::page(&text).is_some() {
                return page_error(url, &text);
            }
            Error::Status { url, status: 200, why: problem::shortened(&text, 200) }
        })?;
        Ok(envelope.get_mut("data").map(serde_json::Value::take).unwrap_or_default())
    }

    async fn page(&self, path: &str, parameters: Vec<(&str, &str)>) -> Result<Vec<u8>, Error> {
        self.retried(&Ask { path, parameters, is_query: false }, body::whole).await
    }

    async fn series(&self, path: &str, form: &[(&str, String)]) -> Result<Reply, Error> {
        let own = form.iter().map(|(name, value)| (*name, value.as_str()));
        let added = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let ask = Ask { path, parameters: own.chain(added).collect(), is_query: true };
        self.retried(&ask, body::series).await
    }

    /// Ask until there is an answer, or an error that will not pass.
    async fn retried<T, F: Future<Output = Result<T, Error>>>(
        &self,
        ask: &Ask<'_>,
        take: impl Fn(Response, String) -> F,
    ) -> Result<T, Error> {
        let mut waits = BACKOFF.iter();
        let mut patience = LONGEST_WAIT;
        let mut hung = false;
        loop {
            let answer = match self.answered(ask).await {
                Ok((response, url)) => take(response, url).await.map_err(Failed::from),
                Err(failed) => Err(failed),
            };
            let Failed { error, wait } = match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // Each try that hangs costs the whole time limit: one more shows whether
            // it was an accident.
            let hangs = matches!(error, Error::Unreachable { hung: true, .. });
            let next = waits.next().filter(|_| error.is_passing() && !(hangs && hung));
            let Some(usual) = next else { return Err(error) };
            let wait = match wait {
                // It is known to be in vain before then.
                Some(_) if patience.is_zero() => return Err(error),
                Some(asked) => {
                    let wait = asked.max(*usual).min(patience);
                    patience -= wait;
                    wait
                }
                None => *usual,
            };
            hung = hangs;
            tokio::time::sleep(wait).await;
        }
    }

    /// The start of a good answer and the address that gave it. What is learned on
    /// the way is kept: where redirects lead, and that only GET is let through.
    async fn answered(&self, ask: &Ask<'_>) -> Result<(Response, String), Failed> {
        let mut access = self.access();
        let first = url_of(&access, ask);
        let mut hops = 0;
        // What POST was answered, once it was refused.
        let mut refusal: Option<Problem> = None;
        loop {
            let method =
                if ask.is_query && refusal.is_none() { access.method } else { Method::Get };
            let url = url_of(&access, ask);
            let (request, length) = self.request(&access, &url, ask, method)?;
            let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
            if let Some(location) = redirect(response.status().as_u16(), response.headers()) {
                hops += 1;
                access = self.redirected(access, &url, &location, ask.path)?;
                if hops > MOST_HOPS {
                    return Err(Error::Redirect {
                        from: first,
                        to: without_query(&url_of(&access, ask)),
                        todo: format!(
                            "and on from there, {hops} times; set `prometheus` to the address at which the API answers"
                        ),
                    }
                    .into());
                }
                continue;
            }
            if response.status().is_success() {
                if is_page(response.headers()) {
                    let text = body::whole(response, url.clone()).await?;
                    return Err(page_error(url, &String::from_utf8_lossy(&text)).into());
                }
                self.learn(&access, hops > 0, refusal.is_some());
                return Ok((response, url));
            }
            let problem = Problem::read(response).await;
            if ask.is_query && method == Method::Post && problem.refuses_post() {
                refusal = Some(problem);
                continue;
            }
            // The API has read the query: it is reached, though it refuses.
            if problem.is_of_api {
                self.learn(&access, hops > 0, refusal.is_some());
            }
            let wait = problem.wait;
            return Err(Failed { error: problem.into_error(url, length, refusal.as_ref()), wait });
        }
    }

    /// A request, and the length of its address.
    fn request(
        &self,
        access: &Access,
        url: &str,
        ask: &Ask<'_>,
        method: Method,
    ) -> Result<(RequestBuilder, usize), Error> {
        let (request, length) = if method == Method::Post {
            (access.http.post(url).form(&ask.parameters), url.len())
        } else {
            let mut address = Url::parse(url)
                .map_err(|error| Error::Client(format!("{url} is not an address: {error}")))?;
            if !ask.parameters.is_empty() {
                address.query_pairs_mut().extend_pairs(&ask.parameters);
            }
            let length = address.as_str().len();
            (access.http.get(address), length)
        };
        let request = match &self.auth {
            Auth::None => request,
            Auth::Basic { username, password } => {
                request.basic_auth(username, Some(password.reveal()))
            }
            Auth::Bearer(token) => request.bearer_auth(token.reveal()),
        };
        Ok((request, length))
    }

    /// The way after a redirect.
    fn redirected(
        &self,
        access: Access,
        url: &str,
        location: &str,
        path: &str,
    ) -> Result<Access, Error> {
        let has_credentials = self.auth != Auth::None
            || !self.telemetry.headers.is_empty()
            || self.telemetry.cert_file.is_some();
        let base = redirected_base(url, location, path, has_credentials)?;
        let scheme = |base: &str| base.split_once(':').map(|(scheme, _)| scheme.to_owned());
        let http = if scheme(&base) == scheme(&access.base) {
            access.http
        } else {
            http_client(&base, &self.telemetry)?
        };
        Ok(Access { http, base, ..access })
    }

    /// Keep what a request has shown. Requests under way at once learn the same.
    fn learn(&self, access: &Access, is_redirected: bool, only_get: bool) {
        let mut learned = self.lock();
        if is_redirected {
            learned.http = access.http.clone();
            learned.base.clone_from(&access.base);
        }
        if only_get {
            learned.method = Method::Get;
        }
    }

    fn access(&self) -> Access {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Access> {
        // Every change is one assignment: nothing is ever half done.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url_of(access: &Access, ask: &Ask<'_>) -> String {
    format!("{}/{}", access.base, ask.path)
}

/// Where an answer redirects to.
fn redirect(status: u16, headers: &HeaderMap) -> Option<String> {
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    let location = headers.get(LOCATION).filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}
