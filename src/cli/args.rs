//! The command line's types, nothing else.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Load a Linux machine, watch every resource, and name the one that gave out
/// first.
#[derive(Debug, Parser)]
#[command(
    name = "stressor",
    version,
    about,
    after_help = "EXAMPLES:\n  \
        stressor run scenarios/cpu-100.toml\n  \
        stressor run scenarios/cpu-100.toml --prometheus http://127.0.0.1:9090\n  \
        stressor report latest --format html\n  \
        stressor stress --cpu 2 --timeout 10s\n\n\
        EXIT STATUS:\n  \
        0 done · 1 failure · 2 usage or invalid scenario · 3 a threshold failed · 4 stopped by a guard\n  \
        5 not valid enough (--strict) · 6 preflight refused · 130/143 interrupted, with a report"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Carry out a scenario and report what gave out first
    Run(RunArgs),
    /// Judge a past window of a Prometheus; no load, nothing but reading
    Analyze(AnalyzeArgs),
    /// Make the report of a run anew
    Report(ReportArgs),
    /// List runs, newest first
    List(ListArgs),
    /// The classic `stress`: same options
    #[command(disable_help_flag = true)]
    Stress(StressArgs),
    /// Print the signal catalogue: what a verdict may rest on
    Signals(SignalsArgs),
    /// Check that a run can be trusted: this machine, its nodes, their Prometheus
    Check(CheckArgs),
    /// Write, check, start and stop the monitoring set-up of many machines
    #[command(subcommand)]
    Stack(StackCommand),
    /// The program on the nodes of a scenario
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Carry out what another stressor says on stdin
    #[command(hide = true)]
    Agent,
    /// Check, explain and list scenarios
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// Where runs are kept.
#[derive(Debug, Args)]
pub struct Reports {
    /// Folder in which runs are kept
    #[arg(
        long = "reports-dir",
        value_name = "DIR",
        env = "STRESSOR_REPORTS_DIR",
        default_value = "reports"
    )]
    pub reports: PathBuf,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Printed {
    /// For people
    Text,
    /// One JSON document on stdout and nothing else there
    Json,
}

/// What becomes of a verdict.
#[derive(Debug, Clone, Copy, Args)]
pub struct Judging {
    /// How the verdict is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Printed,
    /// End with 5 when the data cannot carry a verdict
    #[arg(long)]
    pub strict: bool,
    /// End with 3 when a resource was at its limit
    #[arg(long)]
    pub fail_on_saturation: bool,
}

/// `stressor run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct RunArgs {
    /// The scenario, a TOML file
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    /// Name of the run [default: run-N with the next number]
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub reports: Reports,
    /// Read samples from this Prometheus instead of /proc
    #[arg(long, value_name = "URL", env = "STRESSOR_PROMETHEUS")]
    pub prometheus: Option<String>,
    /// Replace a value of the scenario, such as phase.load.duration=5s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub access: Access,
    #[command(flatten)]
    pub nodes: NodesFrom,
    /// Attach a label to the run
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
    /// Test each verdict: halve each load, take it away, give it back
    #[arg(long)]
    pub confirm: bool,
    /// Let a Prometheus scrape the run's own series here, such as 127.0.0.1:9105
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// Push the run's own series there (Prometheus's remote write)
    #[arg(long, value_name = "URL", env = "STRESSOR_REMOTE_WRITE")]
    pub remote_write: Option<String>,
    /// File with a bearer token for it
    #[arg(long, value_name = "FILE", requires = "remote_write")]
    pub remote_write_token_file: Option<PathBuf>,
    /// A header for it, such as "X-Scope-OrgID: team-a"; no secrets
    #[arg(long, value_name = "NAME: VALUE", requires = "remote_write")]
    pub remote_write_header: Vec<String>,
    /// Mark the phases in this Grafana as annotations
    #[arg(long, value_name = "URL", env = "STRESSOR_GRAFANA", requires = "grafana_token_file")]
    pub grafana: Option<String>,
    /// File with a token of a Grafana service account (role Editor)
    #[arg(long, value_name = "FILE", env = "STRESSOR_GRAFANA_TOKEN_FILE")]
    pub grafana_token_file: Option<PathBuf>,
    /// Say what would happen, and the worst case, without doing it
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub judging: Judging,
    /// Start although a safety limit would be crossed
    #[arg(long = "unsafe")]
    pub unsafe_limits: bool,
    /// Where /proc of the machine is, such as /host/proc in a container
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,
    /// Where /sys of the machine is
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    pub sysfs: PathBuf,
    /// Print nothing but the verdict and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print every event
    #[arg(short, long)]
    pub verbose: bool,
}

/// What each query to the Prometheus carries, beside what the scenario says.
#[derive(Debug, Default, Args)]
pub struct Access {
    /// Only series with this label, such as 'cluster="eu"' (=, !=, =~, !~); more
    /// than once for several labels
    #[arg(long = "match", value_name = "MATCHER")]
    pub matchers: Vec<String>,
    /// A header of each request to Prometheus, such as 'X-Scope-OrgID: team-a'; a
    /// secret goes into telemetry.token_file
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// A parameter of each query, such as partial_response=false
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
}

/// Nodes beside those of the scenario.
#[derive(Debug, Args)]
pub struct NodesFrom {
    /// Add the nodes of an inventory: prometheus (its targets, watched only), ssh
    /// or ssh:FILE (hosts of ssh's configuration), ansible:INVENTORY
    #[arg(long, value_name = "SOURCE")]
    pub nodes_from: Option<String>,
    /// Only those whose name, or a group of theirs, matches this expression whole
    #[arg(long, value_name = "REGEX", requires = "nodes_from")]
    pub nodes_match: Option<String>,
    /// Load the nodes of Prometheus, too, over ssh to the host of their instance
    #[arg(long, requires = "nodes_from")]
    pub nodes_ssh: bool,
}

/// `stressor analyze`.
#[derive(Debug, Args)]
pub struct AnalyzeArgs {
    /// The Prometheus, or what speaks its API
    #[arg(long, value_name = "URL", env = "STRESSOR_PROMETHEUS")]
    pub prometheus: String,
    /// Length of the window that ends now, or at --end, such as 90s, 1h30m, 1d or 2w
    #[arg(long, value_name = "DURATION", default_value = "15m", conflicts_with = "start")]
    pub last: String,
    /// Start of the window: RFC 3339, "2026-11-29 09:02:00" (UTC, or see --time-zone),
    /// a date (its first moment), seconds or milliseconds since 1970, now-1h,
    /// now-1d/d, or the address of a Grafana page
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub start: Option<String>,
    /// End of the window, in the same forms [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub end: Option<String>,
    /// Offset from UTC of times that have none of their own, and of the days of
    /// now/d, such as +01:00 [default: UTC, whatever TZ says]
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub time_zone: Option<String>,
    /// Take window, nodes and job from the address of a Grafana dashboard or of
    /// Explore; --node and --job take precedence
    #[arg(long, value_name = "URL", conflicts_with_all = ["start", "end", "last"])]
    pub grafana_url: Option<String>,
    /// Nodes by name, instance or host, a regular expression over the whole of it
    /// [default: every node_exporter target]
    #[arg(long = "node", value_name = "REGEX")]
    pub nodes: Vec<String>,
    /// The job that scrapes the node_exporters
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// A key of a scenario's telemetry, such as telemetry.token_file=/etc/token
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub access: Access,
    /// Name of the kept run [default: run-N with the next number]
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub reports: Reports,
    #[command(flatten)]
    pub judging: Judging,
}

/// `stressor signals`.
#[derive(Debug, Args)]
pub struct SignalsArgs {
    /// Print the resources instead: evidence, thresholds, what to do (Markdown)
    #[arg(long)]
    pub resources: bool,
    /// How the catalogue is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Catalogue,
}

/// How the signal catalogue is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Catalogue {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// The table of docs/signals.md
    Markdown,
}

/// `stressor report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// run-42, a path, or `latest`
    #[arg(value_name = "RUN")]
    pub run: String,
    #[command(flatten)]
    pub reports: Reports,
    /// Formats to write: html, png, json, csv, junit, md; `json` alone is
    /// printed [default: html,png,json]
    #[arg(long, value_name = "FORMAT", value_delimiter = ',')]
    pub format: Vec<String>,
    /// Folder to write to [default: the run's]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// End with 5 when the data cannot carry a verdict
    #[arg(long)]
    pub strict: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `stressor list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub reports: Reports,
    /// How the list is printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Printed,
}

/// `stressor stress`.
#[derive(Debug, Args)]
pub struct StressArgs {
    /// Options of the classic stress
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<OsString>,
}

/// `stressor scenario`.
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Check scenarios; every error is shown with its place
    Validate {
        /// TOML files
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<PathBuf>,
    },
    /// Say what a scenario would do here, and its worst case
    Explain {
        /// A TOML file
        #[arg(value_name = "SCENARIO")]
        scenario: PathBuf,
        /// Replace a value of the scenario
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Print the JSON Schema of a scenario, for editors
    Schema,
    /// List the scenarios of a folder with their questions
    List {
        /// The folder
        #[arg(default_value = "scenarios", value_name = "DIR")]
        folder: PathBuf,
    },
}

/// `stressor stack`.
#[derive(Debug, Subcommand)]
pub enum StackCommand {
    /// Write the configuration of the whole set-up from one small file
    Init(StackInitArgs),
    /// Check ports, targets, clocks, rules and dashboards of a set-up
    Check(StackCheckArgs),
    /// Start a Prometheus, a node_exporter and, where installed, a Grafana here
    Up(StackLocalArgs),
    /// Stop what `stack up` started
    Down(StackLocalArgs),
    /// Print manifests of Kubernetes that run a scenario on every client
    Render(StackRenderArgs),
}

/// `stressor stack render`.
#[derive(Debug, Args)]
pub struct StackRenderArgs {
    /// For which engine
    #[arg(value_enum)]
    pub engine: Engine,
    /// The scenario that each client runs
    #[arg(long, value_name = "FILE")]
    pub scenario: PathBuf,
    /// The image, whose entry point is stressor
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// Cores that a Job may use
    #[arg(long, value_name = "CORES", default_value = "2")]
    pub cores: String,
    /// Memory that a Job may use
    #[arg(long, value_name = "BYTES", default_value = "1Gi")]
    pub memory: String,
    #[command(flatten)]
    pub place: StackFile,
}

/// Engines that run something on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A Job a node
    Kubernetes,
}

/// Where a set-up is described.
#[derive(Debug, Args)]
pub struct StackFile {
    /// Folder of the set-up
    #[arg(short, long, value_name = "DIR", default_value = "stack")]
    pub output: PathBuf,
    /// The description [default: stack.toml in the folder]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Replace a value of the description, such as scrape_interval=15s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `stressor stack init`.
#[derive(Debug, Args)]
pub struct StackInitArgs {
    #[command(flatten)]
    pub place: StackFile,
    /// A machine, the monitoring server first; makes the description
    #[arg(long = "node", value_name = "NAME=ADDRESS")]
    pub nodes: Vec<String>,
    /// A network from which SSH, Prometheus and Grafana may be reached
    #[arg(long, value_name = "CIDR", requires = "nodes")]
    pub admin: Vec<String>,
    /// Write over what was changed by hand, and show the difference
    #[arg(long)]
    pub force: bool,
}

/// `stressor stack check`.
#[derive(Debug, Args)]
pub struct StackCheckArgs {
    #[command(flatten)]
    pub place: StackFile,
    #[command(flatten)]
    pub probing: Probing,
}

/// What a check looks at.
#[derive(Debug, Args)]
pub struct Probing {
    /// The Prometheus [default: port 9090 of the server]
    #[arg(long, value_name = "URL", env = "STRESSOR_PROMETHEUS")]
    pub prometheus: Option<String>,
    /// A Grafana to look at
    #[arg(long, value_name = "URL", env = "STRESSOR_GRAFANA")]
    pub grafana: Option<String>,
    /// File with a token of a Grafana service account
    #[arg(long, value_name = "FILE", requires = "grafana")]
    pub grafana_token_file: Option<PathBuf>,
    /// How the findings are printed
    #[arg(long, value_enum, default_value = "text")]
    pub format: Printed,
}

/// `stressor check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A scenario whose nodes and Prometheus are checked; otherwise this machine
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// Replace a value of the scenario
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub access: Access,
    #[command(flatten)]
    pub nodes: NodesFrom,
    #[command(flatten)]
    pub probing: Probing,
}

/// `stressor stack up` and `down`.
#[derive(Debug, Args)]
pub struct StackLocalArgs {
    /// Folder for data, configuration and logs
    #[arg(long, value_name = "DIR", default_value = "stack/local")]
    pub data: PathBuf,
    /// Port of Prometheus on loopback
    #[arg(long, default_value_t = 9090)]
    pub port: u16,
    /// Port of node_exporter on loopback
    #[arg(long, default_value_t = 9100)]
    pub exporter_port: u16,
    /// Port of Grafana on loopback, where it is installed
    #[arg(long, default_value_t = 3000)]
    pub grafana_port: u16,
    /// Distance of scrapes
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub scrape_interval: String,
}

/// `stressor fleet`.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Take the program away from the nodes that a scenario loads over ssh
    Clean {
        /// A TOML file
        #[arg(value_name = "SCENARIO")]
        scenario: PathBuf,
        /// Replace a value of the scenario
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        nodes: NodesFrom,
    },
}
