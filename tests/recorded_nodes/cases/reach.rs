//! B9 to B12: reaching the server, and times as people paste them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    case::{Check, Fact, WINDOW},
    front::Mode,
    openmetrics::{Host, T0},
};

/// Seconds of the live nodes that lie before now, and after.
const LIVE: (f64, f64) = (1500.0, 900.0);

/// One call of the program, through a front end.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) name: &'static str,
    pub(crate) item: &'static str,
    pub(crate) mode: Mode,
    pub(crate) args: Vec<String>,
    pub(crate) checks: Vec<Check>,
    /// Whether an error is right.
    pub(crate) refuses: bool,
    pub(crate) exits: &'static [i32],
    /// What standard error or the verdict says.
    pub(crate) says: Vec<Fact>,
    /// Whether it is in the fast part.
    pub(crate) fast: bool,
}

const REFUSED: &[i32] = &[1, 2, 6];

impl Reach {
    /// A call for the node `crowded` in the usual window.
    fn new(item: &'static str, name: &'static str, mode: Mode) -> Self {
        Self {
            name,
            item,
            mode,
            args: window(&(T0 + WINDOW.0).to_string(), &(T0 + WINDOW.1).to_string(), "crowded"),
            checks: vec![saturated("10.9.0.2:9100", "crowded")],
            refuses: false,
            exits: &[0],
            says: Vec::new(),
            fast: false,
        }
    }

    fn refused(self) -> Self {
        Self { refuses: true, exits: REFUSED, ..self }
    }

    fn says(mut self, fact: Fact) -> Self {
        self.says.push(fact);
        self
    }

    fn fast(self) -> Self {
        Self { fast: true, ..self }
    }

    fn args(self, args: Vec<String>) -> Self {
        Self { args, ..self }
    }

    fn more(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    fn check(self, check: Check) -> Self {
        Self { checks: vec![check], ..self }
    }
}

fn window(start: &str, end: &str, node: &str) -> Vec<String> {
    ["--start", start, "--end", end, "--node", node].map(str::to_owned).to_vec()
}

fn saturated(instance: &str, name: &str) -> Check {
    let host = Host::new(instance, name);
    Check { never: &["none"], ..Check::of(&host, &["cpu saturated"]) }
}

fn idle(instance: &str, name: &str) -> Check {
    Check { never: &["cpu"], ..Check::of(&Host::new(instance, name), &["none"]) }
}

/// Nodes that are scraped now: their samples go on past this moment, of which a
/// server shows what is not after the time that is asked for.
pub(crate) fn live() -> Vec<Host> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(T0, |since| since.as_secs_f64());
    let live = |host: Host| host.scraped_from((now - LIVE.0).floor(), LIVE.0 + LIVE.1);
    vec![
        live(Host::new("10.9.1.1:9100", "live-busy").busy(0.99).psi(0.9).gauge(
            "node_procs_running",
            &[],
            12.0,
        )),
        live(Host::new("10.9.1.2:9100", "live-calm").busy(0.2)),
    ]
}

pub(crate) fn cases() -> Vec<Reach> {
    let mut all = redirects();
    all.extend(refusals());
    all.extend(limits());
    all.extend(remarks());
    all.extend(times());
    all
}

fn redirects() -> Vec<Reach> {
    vec![
        Reach::new("B9", "redirect-301", Mode::ToPrefix(301)).says(Fact::any(&["redirect"])).fast(),
        Reach::new("B9", "redirect-302", Mode::ToPrefix(302)).says(Fact::any(&["redirect"])),
        Reach::new("B9", "redirect-308", Mode::ToPrefix(308)).says(Fact::any(&["redirect"])),
        Reach::new("B9", "to-https", Mode::ToHttps).refused().says(Fact::any(&["https"])),
        Reach::new("B9", "elsewhere", Mode::Elsewhere)
            .refused()
            .says(Fact::any(&["redirect"]))
            .fast(),
        Reach::new("B9", "post-403", Mode::NoPost(403)).fast(),
        Reach::new("B9", "post-405", Mode::NoPost(405)),
        Reach::new("B9", "post-dropped", Mode::DropsBody),
    ]
}

fn refusals() -> Vec<Reach> {
    vec![
        Reach::new("B9", "sign-in", Mode::SignIn)
            .refused()
            .says(Fact::any(&["sign in", "login", "log in", "html"]))
            .fast(),
        Reach::new("B9", "no-tenant", Mode::NeedsTenant)
            .refused()
            .says(Fact::any(&["x-scope-orgid"]).and(&["telemetry.headers", "--header"]))
            .fast(),
        Reach::new("B9", "tenant", Mode::NeedsTenant).more(&["--header", "X-Scope-OrgID: team-a"]),
        Reach::new("B9", "parameter", Mode::Plain).more(&["--parameter", "timeout=30s"]),
        Reach::new("B9", "slow", Mode::Slow(150)),
        Reach::new("B9", "gateway", Mode::NoQuery(403)).refused().says(Fact::any(&["403"])),
        Reach::new("B9", "rate-limited", Mode::TooMany),
    ]
}

fn limits() -> Vec<Reach> {
    let three = Reach {
        checks: vec![
            idle("10.9.0.1:9100", "calm"),
            saturated("10.9.0.2:9100", "crowded"),
            idle("10.9.0.3:9100", "half"),
        ],
        ..Reach::new("B11", "max-nodes", Mode::MaxNodes(1))
    };
    vec![
        Reach::new("B11", "max-samples", Mode::MaxSamples(600.0)).fast(),
        Reach::new("B11", "max-samples-low", Mode::MaxSamples(130.0)),
        Reach::new("B11", "max-range", Mode::MaxRange(500.0)),
        three.more(&["--node", "calm", "--node", "half"]),
    ]
}

fn remarks() -> Vec<Reach> {
    let partial = Check { only_possible: true, ..saturated("10.9.0.2:9100", "crowded") };
    let last = |node: &str| ["--last", "12m", "--node", node].map(str::to_owned).to_vec();
    vec![
        Reach::new("A8", "partial-response", Mode::Partial)
            .check(partial)
            .says(Fact::any(&["partial"]))
            .fast(),
        Reach::new("A8", "infos", Mode::Infos).more(&["--strict"]),
        Reach::new("B12", "hides-newest", Mode::Hides(30.0))
            .args(last("live-busy"))
            .check(saturated("10.9.1.1:9100", "live-busy"))
            .says(Fact::any(&["newest", "hides", "hidden", "delay", "behind"])),
        Reach::new("B12", "hides-nothing", Mode::Plain)
            .args(last("live-calm"))
            .check(idle("10.9.1.2:9100", "live-calm")),
    ]
}

fn times() -> Vec<Reach> {
    let at = |item, name, start: &str, end: &str| {
        Reach::new(item, name, Mode::Plain).args(window(start, end, "crowded"))
    };
    let live = |name, start: &str, end: &str| {
        Reach::new("B10", name, Mode::Plain)
            .args(window(start, end, "live-busy"))
            .check(saturated("10.9.1.1:9100", "live-busy"))
    };
    let grafana = format!(
        "https://grafana.example.com/d/rYdddlPWk/node-exporter-full?orgId=1&from={}&to={}&var-job=node&var-node=10.9.0.2:9100",
        (T0 + WINDOW.0) * 1000.0,
        (T0 + WINDOW.1) * 1000.0
    );
    let week = Check { only_possible: true, ..idle("10.9.1.2:9100", "live-calm") };
    vec![
        at("B10", "milliseconds", "1764234120000", "1764235200000").fast(),
        at("B10", "local-form", "2025-11-27 09:02:00", "2025-11-27 09:20:00"),
        at("B10", "rfc-3339", "2025-11-27T10:02:00+01:00", "2025-11-27T09:20:00Z"),
        at("B10", "seconds", "1764234120.5", "1764235200"),
        live("now-20m", "now-20m", "now"),
        live("end-in-future", "now-15m", "now+5m").says(Fact::any(&[
            "future",
            "has not",
            "not yet",
            "cut",
            "no samples",
            "now",
        ])),
        Reach::new("B10", "last-week", Mode::Plain)
            .args(["--last", "1w", "--node", "live-calm"].map(str::to_owned).to_vec())
            .check(week),
        Reach::new("B10", "grafana-url", Mode::Plain)
            .args(vec!["--grafana-url".to_owned(), grafana.clone()]),
        Reach::new("B10", "no-time", Mode::Plain)
            .args(window("yesterday-ish", "now", "crowded"))
            .refused()
            .says(Fact::any(&["yesterday-ish"])),
    ]
}
