//! HTTP/2, and TLS, by a library: reqwest on one thread of tokio.

use std::{io, net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Instant};

use futures_util::future::join_all;

use reqwest::{
    Client, Method, Version,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{
    runtime,
    sync::{Mutex, mpsc},
};

use super::{
    super::{Context, failure},
    End, arrivals, count,
    request::Request,
};
use crate::{
    load::{arrivals::Arrivals, pacer::Due, shared::Stage},
    scenario::plan::{HttpWork, Url},
};

/// Rest before a connection is tried again that could not be made.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(50);

/// Send until killed.
///
/// # Errors
/// When a file cannot be read, or nobody answers.
pub(super) fn run(
    work: &HttpWork,
    url: &Url,
    request: &Request,
    context: &Context<'_>,
) -> io::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clients = (0..work.connections)
        .map(|_| client(work, url, request))
        .collect::<io::Result<Vec<_>>>()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let sending = Sending {
        url: url.to_string(),
        method: Method::from_bytes(request.method.as_bytes()).map_err(io::Error::other)?,
        version: if work.http2 { Version::HTTP_2 } else { Version::HTTP_11 },
        body: request.body.clone(),
    };
    // The first one shows whether anybody is there; its connection stays.
    runtime.block_on(async {
        for client in &clients {
            if let Err(error) = client.get(&sending.url).send().await
                && error.is_connect()
            {
                return Err(why(&error));
            }
        }
        Ok(())
    })?;
    let start = context.begin();
    let (due, queue) = mpsc::unbounded_channel();
    let open = arrivals(work, context);
    let queue = open.map(|_| Mutex::new(queue));
    std::thread::scope(|scope| {
        if let Some(arrivals) = open {
            // A thread of its own: the runtime's clock counts milliseconds.
            let announce = move || announce(arrivals, start, &due, context);
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, announce) {
                context.end(failure(Stage::Fork, &error));
            }
        }
        let streams = clients.iter().flat_map(|client| (0..work.streams).map(move |_| client));
        let all = streams.map(|client| repeat(&sending, client, queue.as_ref(), context));
        runtime.block_on(join_all(all));
    });
    Ok(())
}

/// One request after the other.
async fn repeat(
    sending: &Sending,
    client: &Client,
    queue: Option<&Mutex<mpsc::UnboundedReceiver<Instant>>>,
    context: &Context<'_>,
) {
    loop {
        let since = match queue {
            None => Instant::now(),
            Some(queue) => match queue.lock().await.recv().await {
                Some(since) => since,
                None => return,
            },
        };
        let (end, bytes) = sending.one(client).await;
        count(context, end, since, bytes);
        if end == End::NotConnected {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Tell when requests are due.
fn announce(
    mut arrivals: Arrivals,
    start: Instant,
    due: &mpsc::UnboundedSender<Instant>,
    context: &Context<'_>,
) {
    loop {
        match arrivals.next(start.elapsed()) {
            Due::In(wait) => std::thread::sleep(wait),
            Due::Now(at) => {
                context.slot.scheduled.fetch_add(1, Relaxed);
                if due.send(start + at).is_err() {
                    return;
                }
            }
        }
    }
}

/// What every request of the load is made of.
struct Sending {
    url: String,
    method: Method,
    version: Version,
    body: Vec<u8>,
}

impl Sending {
    /// One request with its whole answer; the bytes of that.
    async fn one(&self, client: &Client) -> (End, u64) {
        let request = client
            .request(self.method.clone(), &self.url)
            .version(self.version)
            .body(self.body.clone())
            .send()
            .await;
        let mut answer = match request {
            Ok(answer) => answer,
            Err(error) => return (end(&error), 0),
        };
        let mut bytes = 0;
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes += chunk.len() as u64,
                Ok(None) => return (End::Answer(answer.status().as_u16()), bytes),
                Err(error) => return (end(&error), bytes),
            }
        }
    }
}

/// Why there is no connection: the kernel's answer, or TLS.
fn why(error: &reqwest::Error) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(errno) = error.downcast_ref().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = error.source();
    }
    io::Error::other(super::NoTls)
}

fn end(error: &reqwest::Error) -> End {
    if error.is_timeout() {
        End::Timeout
    } else if error.is_connect() {
        End::NotConnected
    } else {
        End::BrokenOff
    }
}

/// A client with one connection.
fn client(work: &HttpWork, url: &Url, request: &Request) -> io::Result<Client> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?,
            HeaderValue::from_str(value).map_err(io::Error::other)?,
        );
    }
    let addresses: Vec<SocketAddr> = url.target.addresses.clone();
    let mut builder = Client::builder()
        .timeout(work.timeout)
        .default_headers(headers)
        .user_agent(concat!("stressor/", env!("CARGO_PKG_VERSION")))
        // Just this target: no detour, no other address, no other page.
        .no_proxy()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .resolve_to_addrs(&url.target.host, &addresses)
        .pool_max_idle_per_host(usize::from(work.keep_alive))
        .tcp_nodelay(true);
    builder = match (work.http2, url.tls) {
        (true, false) => builder.http2_prior_knowledge(),
        (false, _) => builder.http1_only(),
        (true, true) => builder,
    };
    if let Some(path) = &work.ca_file {
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(io::Error::other)?
            .map(|one| {
                let one = one.map_err(io::Error::other)?;
                reqwest::Certificate::from_der(&one).map_err(io::Error::other)
            })
            .collect::<io::Result<Vec<_>>>()?;
        builder = builder.tls_certs_only(certificates);
    }
    if work.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().map_err(io::Error::other)
}
