//! What a run and the agent on a node tell one another: a JSON document a line,
//! over the agent's stdin and stdout. All times are those of the teller's clock.

use serde::{Deserialize, Serialize};

use crate::model::{
    run::{Event, HostFacts, WorkerInterval},
    time::Timestamp,
};

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
