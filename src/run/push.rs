//! Pushes the run's own series to whatever takes Prometheus's remote write
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec/>, version 1.0).

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{
    nodes,
    series::{Sample, Shared},
};
use crate::{host::clock::Clock, model::time::Timestamp, telemetry::prometheus::client};

/// One that hangs holds up nothing but its own thread.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long what a receiver refuses for the time being is offered again.
const PERSISTENCE: Duration = Duration::from_secs(30);
/// What says that a series has ended: one NaN of the many
/// (`value.StaleNaN` of Prometheus).
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Who takes the series.
#[derive(Clone)]
pub struct Receiving {
    /// Where to.
    pub url: String,
    /// A bearer token.
    pub token: Option<String>,
    /// Further headers, such as a tenant's.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiving").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Pushes from a thread of its own.
#[derive(Debug)]
pub(super) struct Push {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Push {
    /// Push these series this often.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(
        to: Receiving,
        series: Shared,
        clock: Clock,
        every: Duration,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let push = move || push(&to, &series, clock, every, &stopped);
        let thread = thread::Builder::new().spawn(push)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Push what is left, and say that the series end; what went wrong.
    pub(super) fn finish(mut self) -> Option<String> {
        drop(self.stop.take());
        self.thread.take().and_then(|thread| thread.join().ok()).flatten()
    }
}

fn push(
    to: &Receiving,
    series: &Shared,
    clock: Clock,
    every: Duration,
    stopped: &Receiver<()>,
) -> Option<String> {
    client::prepare_tls();
    let http = reqwest::Client::builder().timeout(PATIENCE).build();
    let (Ok(http), Ok(runtime)) = (http, nodes::runtime()) else {
        return Some("no series can be pushed: there is no HTTP client".to_owned());
    };
    let mut known: Vec<Sample> = Vec::new();
    loop {
        let is_over = stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout);
        let now = series.with(|series| series.samples());
        // A phase that is over has no sample any more, and must say so.
        let mut all: Vec<(Sample, bool)> = known
            .into_iter()
            .filter(|old| !now.iter().any(|new| new.labels == old.labels))
            .map(|old| (old, true))
            .collect();
        all.extend(now.iter().cloned().map(|one| (one, false)));
        let t = clock.now();
        if let Err(why) = runtime.block_on(offered(&http, to, &request(&all, t))) {
            return Some(told(to, &why));
        }
        if is_over {
            let ends: Vec<(Sample, bool)> = now.into_iter().map(|one| (one, true)).collect();
            // A millisecond later: there is one value of a series at a time.
            let ends = request(&ends, Timestamp(t.0 + 1));
            let last = runtime.block_on(offered(&http, to, &ends));
            return last.err().map(|why| told(to, &why));
        }
        known = now;
    }
}

fn told(to: &Receiving, why: &str) -> String {
    format!("{} takes no remote write: {why}; the run's own series end there", to.url)
}

/// Offer a request until it is taken, refused for good, or too old.
async fn offered(http: &reqwest::Client, to: &Receiving, body: &[u8]) -> Result<(), String> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(500);
    loop {
        let mut request = http
            .post(&to.url)
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .header("User-Agent", concat!("stressor/", env!("CARGO_PKG_VERSION")))
            .body(body.to_vec());
        for (name, value) in &to.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &to.token {
            request = request.bearer_auth(token);
        }
        let why = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let said = answer.text().await.unwrap_or_default();
                let said = said.lines().next().unwrap_or_default().chars().take(200);
                let why = format!("it answers {status}: {}", said.collect::<String>());
                // 4xx but for 429 is for ever, says the specification.
                if status.is_client_error() && status.as_u16() != 429 {
                    return Err(why);
                }
                why
            }
            Err(error) => error.without_url().to_string(),
        };
        if begun.elapsed() + pause > PERSISTENCE {
            return Err(why);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// `prometheus.WriteRequest`, in a snappy block. True ends a series.
fn request(samples: &[(Sample, bool)], t: Timestamp) -> Vec<u8> {
    let mut message = Vec::new();
    for (one, ends) in samples {
        let mut series = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            bytes(&mut label, 1, name.as_bytes());
            bytes(&mut label, 2, value.as_bytes());
            bytes(&mut series, 1, &label);
        }
        let mut sample = Vec::new();
        // Field 1, eight bytes.
        sample.push(1 << 3 | 1);
        let value = if *ends { STALE } else { one.value.to_bits() };
        sample.extend_from_slice(&value.to_le_bytes());
        // Field 2, a number.
        sample.push(2 << 3);
        number(&mut sample, t.0.cast_unsigned());
        bytes(&mut series, 2, &sample);
        bytes(&mut message, 1, &series);
    }
    // It fails for more than 4 GiB.
    snap::raw::Encoder::new().compress_vec(&message).unwrap_or_default()
}

/// A field of bytes (Protocol Buffers, wire type 2).
fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    number(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A number in groups of seven bits, the lowest first.
fn number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let group = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(group);
            return;
        }
        out.push(group | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What protoc makes of the same message, by the published .proto.
    #[test]
    fn a_request_has_the_published_form() {
        let sample = Sample { labels: BTreeMap::from([("__name__", "up".to_owned())]), value: 1.5 };
        let packed = request(&[(sample, false)], Timestamp(300));
        let plain = snap::raw::Decoder::new().decompress_vec(&packed).unwrap();
        let label = b"\x0a\x08__name__\x12\x02up";
        let value = [&[0x09][..], &1.5_f64.to_le_bytes(), &[0x10, 0xac, 0x02]].concat();
        let series = [&[0x0a, 14][..], label, &[0x12, 12], &value].concat();
        assert_eq!(plain, [&[0x0a, 30][..], &series].concat());
    }
}
