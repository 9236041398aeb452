//! Every key a scenario may have, as one table: the parser checks against it,
//! the JSON Schema and the manual are printed from it.

mod loads;
mod stack;

pub use loads::{LOAD_COMMON, LOADS, LoadKind, load_kind};
pub use stack::STACK;

/// What a key's value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// Letters, digits, `-`, `_`, `.`; it becomes part of names and paths.
    Name,
    /// `10s`, `1m30s`, `250ms`, within these seconds.
    Duration(f64, f64),
    /// `128M`, `4GiB`, or an integer of bytes; with `true` also `60%`.
    Size(bool),
    /// An integer in a range.
    Integer(i64, i64),
    /// A number in a range.
    Number(f64, f64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A number of workers, `per-core`, or `2x-cores`.
    Workers,
    /// A list of core numbers.
    Cores,
    /// A list of numbers.
    Numbers,
    /// A signal of the catalogue.
    Signal,
    /// A regular expression that matches a whole name.
    Pattern,
    /// A statistic: mean, min, max, last, p0 … p100.
    Stat,
    /// An http or https address without a password in it.
    Url,
    /// An http or https address to load, query included.
    LoadUrl,
    /// `host:port`, an IPv6 host in brackets.
    Address,
    /// A list of strings.
    Texts,
    /// A path to a file or folder.
    Path,
    /// `never`, `end`, or every N operations.
    Fsync,
    /// One table.
    Table(&'static [Key]),
    /// An array of tables.
    Tables(&'static [Key]),
    /// `[[phase.load]]`: tables whose keys depend on `kind`.
    Loads,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// One sentence: what it means, its unit, its default.
    pub doc: &'static str,
}

const fn must(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: true, doc }
}

const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

/// A year: what no phase exceeds.
const LONGEST_S: f64 = 366.0 * 86_400.0;

/// The whole file.
pub static SCENARIO: &[Key] = &[
    must("name", Kind::Name, "The scenario's name."),
    may("description", Kind::Text, "The capacity question that the scenario answers."),
    may(
        "max_duration",
        Kind::Duration(0.1, LONGEST_S),
        "What all phases together may take; a longer scenario is refused before it starts. Default 24h.",
    ),
    may(
        "allow_targets",
        Kind::Texts,
        "Hosts outside this machine that may be loaded over the network: names, addresses, or networks such as 10.0.0.0/8. Default: none.",
    ),
    may(
        "confirm",
        Kind::Flag,
        "Put each verdict to the test: after a loaded phase each of its loads is halved and taken away, alone, and all is given back. Default false; `--confirm` sets it.",
    ),
    may(
        "confirm_hold",
        Kind::Duration(1.0, 3600.0),
        "How long each of those steps takes. Default 8s; with a Prometheus, seven scrapes or more.",
    ),
    may("telemetry", Kind::Table(TELEMETRY), "Where the samples come from."),
    may("node", Kind::Tables(NODE), "The machines; without any, this one, called `local`."),
    may("fleet", Kind::Table(FLEET), "How the nodes that are loaded from here are worked on."),
    must("phase", Kind::Tables(PHASE), "What happens, in order."),
    may(
        "threshold",
        Kind::Tables(THRESHOLD),
        "Gates, judged after the run; a failed one gives exit code 3.",
    ),
    may(
        "abort",
        Kind::Tables(ABORT),
        "Guards, watched during the run; one that holds stops the load and gives exit code 4.",
    ),
];

static TELEMETRY: &[Key] = &[
    may(
        "prometheus",
        Kind::Url,
        "Base address of a Prometheus, path prefix included; without it the embedded sampler is used.",
    ),
    may(
        "interval",
        Kind::Duration(0.1, 60.0),
        "Sampling interval of the embedded sampler, 100ms to 60s. Default 1s.",
    ),
    may(
        "job",
        Kind::Text,
        "The `job` label of node_exporter's targets; needed when one machine is scraped by several jobs.",
    ),
    may(
        "match",
        Kind::Texts,
        "Label matchers that every query carries, such as ['cluster=\"eu\"']: of several clusters, tenants or replicas behind one address, the one that is meant. `--match` adds to them.",
    ),
    may("username", Kind::Text, "User for basic authentication."),
    may("password_file", Kind::Path, "File with the password for basic authentication."),
    may("token_file", Kind::Path, "File with a bearer token."),
    may("ca_file", Kind::Path, "PEM file with the authorities to trust for this Prometheus."),
    may("cert_file", Kind::Path, "PEM file with the client certificate that the server asks for."),
    may("key_file", Kind::Path, "PEM file with the key of `cert_file`."),
    may(
        "headers",
        Kind::Texts,
        "Headers of each request, such as [\"X-Scope-OrgID: team-a\"] (Mimir). Put secrets in `token_file`. `--header` adds to them; a kept run has their names only.",
    ),
    may(
        "parameters",
        Kind::Texts,
        "Parameters of each query, such as [\"partial_response=false\"] (Thanos) or [\"nocache=1\"] (VictoriaMetrics). `--parameter` adds to them.",
    ),
    may("timeout", Kind::Duration(0.1, 300.0), "Time for one request. Default 10s."),
];

static NODE: &[Key] = &[
    must("name", Kind::Name, "The node's name in the report."),
    may("instance", Kind::Text, "Its `instance` label in Prometheus."),
    may(
        "ssh",
        Kind::Text,
        "How ssh reaches it, such as ubuntu@10.0.0.12 or a name of its configuration: the load runs there. Without it the node is only watched, unless it is this machine.",
    ),
    may(
        "kubectl",
        Kind::Text,
        "In place of `ssh`: the pod that `kubectl exec` enters, as POD, NAMESPACE/POD or NAMESPACE/POD/CONTAINER.",
    ),
    may("docker", Kind::Text, "In place of `ssh`: the container that `docker exec` enters."),
    may(
        "srun",
        Kind::Text,
        "In place of `ssh`: the node of a Slurm cluster; `srun` is given it whole, without other jobs.",
    ),
    may(
        "command",
        Kind::Texts,
        "In place of `ssh`: any command that runs what follows it on the node, such as [\"podman\", \"exec\", \"-i\", \"box\"].",
    ),
    may(
        "set",
        Kind::Texts,
        "What its loads do otherwise here, as `--set` has it: [\"phase.load.load.load=50\"]. The phases and their times are those of all nodes.",
    ),
];

static FLEET: &[Key] = &[
    may(
        "max_concurrency",
        Kind::Integer(1, 1000),
        "Nodes that are brought in at once. Default 32.",
    ),
    may(
        "max_errors",
        Kind::Integer(0, 10_000),
        "Nodes that may be missing or get lost; with one more, the run stops. Default 0 before the start, and all but one after it.",
    ),
];

static PHASE: &[Key] = &[
    must("name", Kind::Name, "The phase's name."),
    may(
        "duration",
        Kind::Duration(0.1, LONGEST_S),
        "How long it takes; a ramp has its own `hold` instead.",
    ),
    may("ramp", Kind::Table(RAMP), "The same load at rising levels."),
    may("load", Kind::Loads, "The load; a phase without any is a baseline."),
];

static RAMP: &[Key] = &[
    may(
        "of",
        Kind::Choice(&["workers", "load", "rate", "depth"]),
        "What rises. Default `workers`. It replaces that key in each load of the phase.",
    ),
    may("from", Kind::Number(0.0, 1e12), "The first level."),
    may("to", Kind::Number(0.0, 1e12), "The last level."),
    may("steps", Kind::Integer(1, 1000), "How many levels, evenly spread."),
    may("list", Kind::Numbers, "The levels themselves, instead of from, to and steps."),
    must("hold", Kind::Duration(0.1, LONGEST_S), "How long each level is held."),
];

static THRESHOLD: &[Key] = &[
    must("signal", Kind::Signal, "A name of the signal catalogue."),
    may(
        "device",
        Kind::Text,
        "Only this disk, mount, interface or core; otherwise the worst counts.",
    ),
    may("node", Kind::Pattern, "Regular expression over node names. Default `.*`."),
    may("phase", Kind::Pattern, "Regular expression over phase names. Default `.*`."),
    may(
        "stat",
        Kind::Stat,
        "Statistic of the phase's samples: mean, min, max, last, p0 … p100. Default p95.",
    ),
    may("max", Kind::Number(-1e18, 1e18), "Fails above, in the signal's unit."),
    may("min", Kind::Number(-1e18, 1e18), "Fails below, in the signal's unit."),
];

static ABORT: &[Key] = &[
    must("signal", Kind::Signal, "A name of the signal catalogue."),
    may("device", Kind::Text, "Only this disk, mount, interface or core; otherwise any."),
    may("max", Kind::Number(-1e18, 1e18), "Stops the run above, in the signal's unit."),
    may("min", Kind::Number(-1e18, 1e18), "Stops the run below, in the signal's unit."),
    may(
        "for",
        Kind::Duration(0.0, 3600.0),
        "How long it must hold without a break. Default 0s: one sample.",
    ),
];
