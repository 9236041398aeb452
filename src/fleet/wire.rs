//! What a run and the agent on a node tell one another: a JSON document a line,
//! over the agent's stdin and stdout. All times are those of the teller's clock.

use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};

use crate::model::{
    plausible,
    run::{Event, HostFacts, WorkerInterval},
    text::{LONGEST_MESSAGE, LONGEST_NAME, short},
    time::Timestamp,
};

/// Bytes of a line at most: a scenario of 4 MiB, escaped, or the readings of ten thousand
/// cores.
pub const LONGEST_LINE: u64 = 32 << 20;

/// The next line without its end; `false` when there is none.
///
/// # Errors
/// When it cannot be read, or is longer than [`LONGEST_LINE`].
pub fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    // A line of megabytes must not keep its memory after it was handled.
    line.shrink_to(64 << 10);
    from.take(LONGEST_LINE).read_until(b'\n', line)?;
    match line.last() {
        None => Ok(false),
        Some(b'\n') => {
            line.pop();
            Ok(true)
        }
        Some(_) if line.len() as u64 == LONGEST_LINE => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it sent a line of more than {} MiB", LONGEST_LINE >> 20),
        )),
        Some(_) => Ok(true),
    }
}

/// What a node said; `None` where it is no message or holds what cannot be. Its texts are
/// visible and short: they end up on terminals and in reports.
pub fn message(line: &[u8]) -> Option<FromAgent> {
    let message = serde_json::from_slice(line).ok()?;
    let texts = |texts: Vec<String>| -> Vec<String> {
        texts.iter().take(MOST_TEXTS).map(|text| short(text, LONGEST_MESSAGE)).collect()
    };
    let name = |text: String| short(&text, LONGEST_NAME);
    Some(match message {
        FromAgent::Hello { schema, version, host, notes } => FromAgent::Hello {
            schema,
            version: name(version),
            host: HostFacts {
                hostname: name(host.hostname),
                kernel: name(host.kernel),
                os: name(host.os),
                cpu_model: name(host.cpu_model),
                cgroup: name(host.cgroup),
                limits: texts(host.limits),
                absent: texts(host.absent),
                ..host
            },
            notes: texts(notes),
        },
        FromAgent::Refused { reasons } => FromAgent::Refused { reasons: texts(reasons) },
        FromAgent::Failed { why } => FromAgent::Failed { why: short(&why, LONGEST_MESSAGE) },
        FromAgent::Event(event) => FromAgent::Event(Event {
            kind: name(event.kind),
            text: short(&event.text, LONGEST_MESSAGE),
            node: name(event.node),
            ..event
        }),
        FromAgent::Worker(worker) => {
            let is_amount = |v: f64| (0.0..=plausible::LARGEST).contains(&v);
            let is_possible = (0.0..=1e9).contains(&worker.seconds)
                && (0.0..=1e12).contains(&worker.cpu_s)
                && is_amount(worker.achieved)
                && worker.requested.is_none_or(is_amount);
            let fault = worker.fault.clone().map(|fault| short(&fault, LONGEST_MESSAGE));
            is_possible.then_some(FromAgent::Worker(WorkerInterval { fault, ..worker }))?
        }
        FromAgent::Sample { t, columns, v } => {
            let has_all = columns.as_ref().is_none_or(|names| names.len() == v.len());
            let v = v.into_iter().map(|v| v.and_then(plausible::value)).collect();
            has_all.then_some(FromAgent::Sample { t, columns, v })?
        }
        other => other,
    })
}

/// Notes and reasons of one node that are kept.
const MOST_TEXTS: usize = 100;

/// Counted up when an older agent would misunderstand.
pub const SCHEMA: u32 = 1;
/// Without a word for so long, a node stops its load by itself, and a run gives
/// a node up.
pub const SILENCE_S: u64 = 10;
/// How often a run says something, and a node answers.
pub const BEAT_S: u64 = 2;

/// From the run to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "tell")]
pub enum ToAgent {
    /// What will be done; comes first and once.
    Plan {
        /// [`SCHEMA`].
        schema: u32,
        /// What the scenario calls this node.
        node: String,
        /// The scenario as given.
        scenario: String,
        /// `--set` values.
        overrides: Vec<String>,
        /// Start although a safety limit would be crossed.
        unsafe_limits: bool,
    },
    /// Have the workers of a phase set themselves up.
    Fork {
        /// Its index.
        phase: usize,
    },
    /// Let them begin.
    Release,
    /// Stop them.
    Stop,
    /// The run is there.
    Beat {
        /// When this was said.
        sent: Timestamp,
    },
    /// The run is over.
    End,
}

/// From a node to the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "tell")]
pub enum FromAgent {
    /// There is no agent: the program has not been brought there.
    Absent,
    /// The plan can be carried out here.
    Hello {
        /// [`SCHEMA`].
        schema: u32,
        /// The program's version.
        version: String,
        /// The machine.
        host: HostFacts,
        /// What the reader of the report must know.
        notes: Vec<String>,
    },
    /// The plan cannot be carried out here.
    Refused {
        /// Why.
        reasons: Vec<String>,
    },
    /// All workers of the phase have set themselves up.
    Ready,
    /// They have begun.
    Released {
        /// When.
        t: Timestamp,
    },
    /// A reading of the sampler. The names come with the first, and when they
    /// change.
    Sample {
        /// When.
        t: Timestamp,
        /// Names of the values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<String>>,
        /// Values; none where it could not be read.
        v: Vec<Option<f64>>,
    },
    /// What a worker did.
    Worker(WorkerInterval),
    /// Something happened.
    Event(Event),
    /// The workers are gone.
    Stopped {
        /// Those that the kernel does not let go of.
        stuck: usize,
    },
    /// The answer to a beat.
    Beat {
        /// What the beat said.
        sent: Timestamp,
        /// When it came.
        t: Timestamp,
    },
    /// It cannot go on.
    Failed {
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_end() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        let mut line = Vec::new();
        let error = read_line(&mut endless, &mut line).unwrap_err();
        assert!(error.to_string().contains("32 MiB"), "{error}");
        let mut two = &b"a\nb"[..];
        assert!(read_line(&mut two, &mut line).unwrap() && line == b"a");
        assert!(read_line(&mut two, &mut line).unwrap() && line == b"b");
        assert!(!read_line(&mut two, &mut line).unwrap());
    }

    #[test]
    fn what_a_node_says_is_checked() {
        let said = |text: &str| message(text.as_bytes());
        let failed = said(r#"{"tell":"failed","why":"a\u001b[2Jb\u202e"}"#).unwrap();
        assert_eq!(failed, FromAgent::Failed { why: "a\\u{1b}[2Jb\\u{202e}".into() });
        let sample =
            r#"{"tell":"sample","t":"2026-01-01T00:00:00Z","columns":["a","b"],"v":[1.0]}"#;
        assert_eq!(said(sample), None);
        let early = r#"{"tell":"released","t":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(said(early), None);
        let huge = r#"{"tell":"sample","t":"2026-01-01T00:00:00Z","v":[1e300,4.9e-324,1.0]}"#;
        assert!(matches!(said(huge), Some(FromAgent::Sample { v, .. })
            if v == [None, Some(0.0), Some(1.0)]));
    }

    #[test]
    fn what_is_told_survives_its_line() {
        let told = [
            FromAgent::Ready,
            FromAgent::Sample { t: Timestamp(5), columns: None, v: vec![Some(1.5), None] },
            FromAgent::Beat { sent: Timestamp(1), t: Timestamp(2) },
        ];
        for one in told {
            let line = serde_json::to_string(&one).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<FromAgent>(&line).unwrap(), one);
        }
    }
}
