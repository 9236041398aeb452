//! A region of Grafana for each phase: made when the phase begins and closed
//! when it ends, so that a run that dies is seen, too
//! (<https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>).

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};

use super::nodes;
use crate::{model::time::Timestamp, telemetry::prometheus::client};

/// A Grafana that hangs holds up nothing but its own thread.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Grafana that is told of phases.
#[derive(Clone)]
pub struct Grafana {
    /// Its base address.
    pub url: String,
    /// A token of a service account that may write annotations.
    pub token: String,
}

impl std::fmt::Debug for Grafana {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grafana").field("url", &self.url).finish_non_exhaustive()
    }
}

enum Told {
    Begins { phase: String, t: Timestamp },
    Ends { t: Timestamp },
}

/// Tells a Grafana from a thread of its own.
pub(super) struct Annotations {
    sender: Option<Sender<Told>>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Annotations {
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(grafana: Grafana, run: &str) -> std::io::Result<Self> {
        let (sender, receiver) = unbounded();
        let run = run.to_owned();
        let thread = thread::Builder::new().spawn(move || tell(&grafana, &run, &receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub(super) fn phase_begins(&self, phase: &str, t: Timestamp) {
        self.send(Told::Begins { phase: phase.to_owned(), t });
    }

    pub(super) fn phase_ends(&self, t: Timestamp) {
        self.send(Told::Ends { t });
    }

    fn send(&self, told: Told) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(told);
        }
    }

    /// Wait until all is told; what went wrong.
    pub(super) fn finish(mut self) -> Vec<String> {
        drop(self.sender.take());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

fn tell(grafana: &Grafana, run: &str, all: &Receiver<Told>) -> Vec<String> {
    client::prepare_tls();
    let mut errors = Vec::new();
    let http = reqwest::Client::builder().timeout(PATIENCE).build();
    let (Ok(http), Ok(runtime)) = (http, nodes::runtime()) else {
        return vec!["no annotation can be written: there is no HTTP client".to_owned()];
    };
    let base = format!("{}/api/annotations", grafana.url.trim_end_matches('/'));
    let mut open: Option<u64> = None;
    for told in all {
        let answer = match told {
            Told::Begins { phase, t } => {
                let body = json!({
                    "time": t.0,
                    "tags": ["stressor", format!("run:{run}")],
                    "text": format!("{run}: {phase}")
                });
                runtime.block_on(sent(http.post(&base), grafana, &body)).map(|answer| {
                    open = answer.get("id").and_then(Value::as_u64);
                })
            }
            Told::Ends { t } => {
                let Some(id) = open.take() else { continue };
                let body = json!({ "timeEnd": t.0 });
                let request = http.patch(format!("{base}/{id}"));
                runtime.block_on(sent(request, grafana, &body)).map(drop)
            }
        };
        if let Err(why) = answer {
            errors.push(format!(
                "Grafana at {base} takes no annotation: {why}; it is told of no further phase"
            ));
            // One that hangs would hold up the run's end by as much for each.
            break;
        }
    }
    errors
}

async fn sent(
    request: reqwest::RequestBuilder,
    grafana: &Grafana,
    body: &Value,
) -> Result<Value, String> {
    let response = request
        .bearer_auth(&grafana.token)
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answers {status}; does the token's account have the role Editor?"));
    }
    let bytes = response.bytes().await.map_err(|error| error.without_url().to_string())?;
    serde_json::from_slice(&bytes).map_err(|_| "what answers is not Grafana (no JSON)".to_owned())
}
