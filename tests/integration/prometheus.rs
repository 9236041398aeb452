//! The same main job from a real Prometheus with node_exporter on loopback.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use stressor::{
    model::{
        catalogue,
        run::Run,
        series::{Signal, SignalSet},
        stats::{self, Stat},
        time::{Timestamp, Window},
        units::Unit,
    },
    store::{folder::RunFolder, read},
};

use crate::support::{
    Sandbox, Service, component, free_port, machine, phase, scenario, wait_for, wait_for_port,
};

/// node_exporter and a Prometheus that scrapes it every second.
pub(crate) struct Stack {
    pub(crate) exporter: Service,
    prometheus: Option<Service>,
    command: Command,
    pub(crate) exporter_port: u16,
    port: u16,
    pub(crate) sandbox: Sandbox,
}

impl Stack {
    pub(crate) fn start(prefix: &str) -> Self {
        Self::scraped_by(&component(&["prometheus"]), prefix)
    }

    /// By this server, below this path.
    fn scraped_by(server: &Path, prefix: &str) -> Self {
        let sandbox = Sandbox::new();
        let (exporter_port, port) = (free_port(), free_port());
        let exporter = Service::start(
            Command::new(component(&["prometheus-node-exporter", "node_exporter"]))
                .arg(format!("--web.listen-address=127.0.0.1:{exporter_port}"))
                // Debian turns it on, and without D-Bus it only complains.
                .arg("--no-collector.systemd")
                .args(["--collector.qdisc", "--collector.processes"])
                .arg("--collector.vmstat.fields=^(oom_kill|pgpg|pswp|pg.*fault|workingset_refault.*).*"),
        );
        let config = sandbox.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\n\
                 scrape_configs:\n  - job_name: node\n    static_configs: [{{targets: ['127.0.0.1:{exporter_port}']}}]\n"
            ),
        );
        let mut command = Self::server(server, &sandbox, &config, port);
        if !prefix.is_empty() {
            command.arg(format!("--web.route-prefix={prefix}"));
        }
        let prometheus = Some(Service::start(&mut command));
        wait_for_port(exporter_port);
        wait_for_port(port);
        let stack = Self { exporter, prometheus, command, exporter_port, port, sandbox };
        Self::has_scraped(port, prefix);
        stack
    }

    /// Another server that scrapes the same, and its port.
    fn also(&self, server: &Path) -> (Service, u16) {
        let port = free_port();
        let config = self.sandbox.path().join("prometheus.yml");
        let service = Service::start(&mut Self::server(server, &self.sandbox, &config, port));
        wait_for_port(port);
        Self::has_scraped(port, "");
        (service, port)
    }

    fn has_scraped(port: u16, prefix: &str) {
        let url = format!("{prefix}/api/v1/query?query=count_over_time(up%5B1m%5D)%20%3E%204");
        // VictoriaMetrics shows them when they are half a minute old.
        wait_for("five scrapes", 80, || {
            get(port, &url).is_some_and(|body| body.contains("127.0.0.1"))
        });
    }

    fn server(server: &Path, sandbox: &Sandbox, config: &Path, port: u16) -> Command {
        let mut command = Command::new(server);
        let data = sandbox.path().join(format!("data-{port}"));
        if server.ends_with("victoria-metrics") {
            command
                .arg(format!("-promscrape.config={}", config.display()))
                .arg(format!("-storageDataPath={}", data.display()))
                .arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        } else {
            command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--web.enable-remote-write-receiver");
        }
        command
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Take the server away, and start it again on what it had stored.
    pub(crate) fn restart(&mut self, away: Duration) {
        drop(self.prometheus.take());
        std::thread::sleep(away);
        self.prometheus = Some(Service::start(&mut self.command));
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn read_run(folder: &Path) -> (Run, SignalSet) {
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let folder = RunFolder::find(folder.parent().unwrap(), &name).unwrap();
    let embedded = read::embedded_signals(&folder, 0.5);
    (read::run(&folder).unwrap(), embedded)
}

/// Counts of an instant: two readers at two moments see two numbers. (The load
/// average is renewed every five seconds, while it climbs.)
const OF_AN_INSTANT: [&str; 7] = [
    "cpu_load1",
    "cpu_runnable",
    "cpu_runnable_per_core",
    "cpu_runnable_per_busy_core",
    "io_blocked",
    "network_queue_bytes",
    "tasks_uninterruptible",
];

/// Quotients, and what they divide by. A mean of quotients is another number for
/// every stretch that they are taken over; weighed by their divisor they are not.
const QUOTIENTS: [(&str, &str); 2] =
    [("disk_await", "disk_operations"), ("disk_queue_while_busy", "disk_busy")];
/// A disk that is hardly ever busy: what divides by that says nothing, and no rule
/// asks for it.
const BUSY_ENOUGH: f64 = 0.2;

/// The mean of a quotient over a window.
fn weighed(signals: &SignalSet, name: &str, device: Option<&str>, window: Window) -> Option<f64> {
    let (_, divisor) = QUOTIENTS.iter().find(|(quotient, _)| *quotient == name)?;
    let busy = signals.get("disk_busy", device)?.stat(Stat::Mean, window)?;
    let weights = signals.get(divisor, device)?;
    let (mut sum, mut all) = (0.0, 0.0);
    for point in signals.get(name, device)?.points_in(window) {
        let weight = weights.points.iter().find(|weight| weight.t == point.t)?.v;
        (sum, all) = (sum + point.v * weight, all + weight);
    }
    (busy > BUSY_ENOUGH && all > 0.0).then(|| sum / all)
}

/// Our values, averaged over the same stretches of time as each of theirs.
fn as_they_see(theirs: &Signal, ours: &Signal, window: Window) -> Vec<f64> {
    let stretch = theirs.window_s.max(ours.window_s).max(1.0);
    let mean_until = |end: Timestamp| {
        let within =
            ours.points.iter().filter(|point| point.t <= end && end.since(point.t) < stretch);
        stats::mean(&within.map(|point| point.v).collect::<Vec<_>>())
    };
    theirs.points_in(window).filter_map(|point| mean_until(point.t)).collect()
}

/// Means over the same window agree within 3 % of full scale, for every signal
/// that both sources have.
fn sources_agree(folder: &Path) {
    let (run, embedded) = read_run(folder);
    let node = &run.nodes[0];
    // Not while files are laid down: what a rate over seconds sees of that
    // begins and ends elsewhere than what a rate over half a second sees.
    let window = run.steady(run.manifest.phases.last().unwrap());
    // The part of the phase that both saw whole.
    let inner = Window { start: window.start.plus(1.0), end: window.end };
    let (mut compared, mut apart) = (Vec::new(), Vec::new());
    for row in catalogue::SIGNALS.iter().filter(|row| row.in_prometheus) {
        if OF_AN_INSTANT.contains(&row.name) {
            continue;
        }
        for theirs in node.signals.all(row.name) {
            let Some(ours) = embedded.get(row.name, theirs.device.as_deref()) else { continue };
            let device = theirs.device.as_deref();
            let means = if QUOTIENTS.iter().any(|(name, _)| *name == row.name) {
                [&node.signals, &embedded].map(|all| weighed(all, row.name, device, inner))
            } else {
                let ours = as_they_see(theirs, ours, inner);
                [theirs.stat(Stat::Mean, inner), stats::mean(&ours)]
            };
            let [Some(a), Some(b)] = means else { continue };
            // Full scale: the ceiling of a share, of cores, of memory; else the
            // largest value that the run had.
            let scale = match row.unit {
                Unit::Ratio => 1.0,
                Unit::Cores => f64::from(node.record.host.cores),
                Unit::Bytes => node.record.host.memory_bytes as f64,
                _ => {
                    let all = theirs.points.iter().chain(&ours.points).map(|point| point.v);
                    all.fold(0.0, f64::max)
                }
            };
            if scale <= 0.0 {
                assert!(a.abs() < 1e-9 && b.abs() < 1e-9, "{}", row.name);
            } else if (a - b).abs() / scale >= 0.03 {
                apart.push(format!("{} {device:?}: Prometheus {a}, embedded {b}", row.name));
            }
            compared.push(row.name);
        }
    }
    assert!(apart.is_empty(), "{apart:#?}");
    compared.dedup();
    for name in ["cpu_busy", "memory_used_ratio", "disk_busy", "cpu_psi_some", "io_psi_some"] {
        assert!(compared.contains(&name), "{name} was not compared: {compared:?}");
    }
    // Where the disk was busy, its quotients were.
    let busy = embedded.all("disk_busy").iter().filter_map(|one| one.stat(Stat::Mean, inner));
    if busy.fold(0.0, f64::max) > 2.0 * BUSY_ENOUGH {
        assert!(QUOTIENTS.iter().all(|(name, _)| compared.contains(name)), "{compared:?}");
    }
    assert!(compared.len() >= 45, "{} compared: {compared:?}", compared.len());
}

#[test]
fn cpu_is_named_from_prometheus_and_both_sources_agree() {
    let _machine = machine();
    let stack = Stack::start("");
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/cpu-100.toml")).unwrap();
    let url = stack.url();
    let verdict = stack.sandbox.verdict(
        &text,
        &[
            "--prometheus",
            &url,
            "--set",
            "phase.load.duration=15s",
            "--set",
            "telemetry.interval=500ms",
        ],
    );
    assert_eq!(verdict["nodes"][0]["source"], "prometheus");
    assert_eq!(verdict["overall"]["resource"], "cpu", "{:#}", verdict["overall"]);
    let load = phase(&verdict, "load");
    assert!(load["data"]["samples"].as_u64().unwrap() >= 13, "{:#}", load["data"]);
    sources_agree(&stack.sandbox.reports("run-1"));
    looking_back_finds_the_same(&stack, &verdict);
}

/// `analyze` over the loaded and the idle window, from the same server.
fn looking_back_finds_the_same(stack: &Stack, verdict: &Value) {
    let url = stack.url();
    let analyze = |arguments: &[&str]| {
        let arguments =
            [&["analyze", "--prometheus", &url, "--format", "json"], arguments].concat();
        stack.sandbox.run(&arguments)
    };
    for (name, resource) in [("load", "cpu"), ("baseline", "none")] {
        let window = phase(verdict, name);
        let (start, end) = (window["start"].as_str().unwrap(), window["end"].as_str().unwrap());
        let outcome = analyze(&["--start", start, "--end", end, "--job", "node"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let back: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(back["overall"]["resource"], resource, "{name}: {:#}", back["overall"]);
        assert_eq!(back["nodes"][0]["source"], "prometheus");
        assert_eq!(back["validity"]["ok"], true, "{:#}", back["validity"]);
        // Nothing is odd about an answer's last point.
        assert_eq!(back["validity"]["notes"], serde_json::json!([]), "{name}");
    }
    // It is kept as a run, and reported on again without the server.
    let outcome = stack.sandbox.run(&["report", "run-2", "--format", "json"]);
    let again: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(again["overall"]["resource"], "cpu");
    assert!(stack.sandbox.reports("run-2").join("report.html").exists());

    let refused = |arguments: &[&str], code: i32, because: &str| {
        let outcome = analyze(arguments);
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(because), "{}", outcome.stderr);
    };
    refused(&["--node", "db-7"], 6, "db-7");
    refused(&["--start", "yesterday"], 2, "is not a time");
    refused(&["--start", "100", "--end", "50"], 2, "between 2001 and 2100");
    refused(&["--start", "1767225600", "--end", "1767225550"], 2, "the window from");
    let long_ago = ["--start", "2020-01-01T00:00:00Z", "--end", "2020-01-01T01:00:00Z"];
    refused(&long_ago, 6, "node_exporter");
    assert!(!stack.sandbox.reports("run-4").exists());
}

/// `ci/servers` fetches it.
fn newest_prometheus() -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers/prometheus-3");
    assert!(path.is_file(), "{} is missing: run ci/servers", path.display());
    path
}

const CPU_ON_ALL: &str = "name = \"cpu\"\n[[phase]]\nname = \"baseline\"\nduration = \"8s\"\n[[phase]]\nname = \"load\"\nduration = \"10s\"\n[[phase.load]]\nkind = \"cpu\"\nworkers = \"4x-cores\"\n";

/// A run that loads all cores, as this server has seen it: the cores are named,
/// on whole data.
fn cpu_is_named_by(stack: &Stack) -> Value {
    let verdict = stack.sandbox.verdict(CPU_ON_ALL, &["--prometheus", &stack.url()]);
    let of_load = phase(&verdict, "load");
    assert_eq!(of_load["verdict"]["resource"], "cpu", "{of_load}");
    assert_eq!(of_load["verdict"]["kind"], "saturated", "{of_load}");
    assert_eq!(verdict["validity"]["ok"], true, "{}", verdict["validity"]);
    verdict
}

#[test]
fn prometheus_3_gives_the_same_verdict() {
    let _machine = machine();
    cpu_is_named_by(&Stack::scraped_by(&newest_prometheus(), ""));
}

#[test]
fn victoria_metrics_hides_its_newest_samples_and_they_are_waited_for() {
    let _machine = machine();
    let stack = Stack::scraped_by(&component(&["victoria-metrics"]), "");
    let (_prometheus, port) = stack.also(&component(&["prometheus"]));
    let verdict = cpu_is_named_by(&stack);
    let notes = verdict["validity"]["notes"].to_string();
    assert!(notes.contains("hides its newest"), "{notes}");
    assert!(notes.contains("as VictoriaMetrics does"), "{notes}");
    // What both have scraped of the same machine says the same.
    let of_load = phase(&verdict, "load");
    let (start, end) = (of_load["start"].as_str().unwrap(), of_load["end"].as_str().unwrap());
    let said = [stack.url(), format!("http://127.0.0.1:{port}")].map(|url| {
        let window = ["--start", start, "--end", end, "--format", "json"];
        let outcome =
            stack.sandbox.run(&[&["analyze", "--prometheus", &url], &window[..]].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let back: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let overall = &back["overall"];
        assert_eq!(overall["resource"], "cpu", "{back:#}");
        (overall["kind"].clone(), overall["grade"].clone(), back["nodes"][0]["node"].clone())
    });
    assert_eq!(said[0], said[1]);
}

#[test]
fn the_disk_is_named_from_prometheus_and_both_sources_agree() {
    let _machine = machine();
    let stack = Stack::start("");
    let load = "kind = \"disk\"\nworkers = 8\naccess = \"random\"\nblock_size = \"512K\"\nfile_size = \"64M\"\ndirect = true";
    let url = stack.url();
    let verdict = stack.sandbox.verdict(&scenario(load, 15.0), &["--prometheus", &url]);
    assert_eq!(verdict["overall"]["resource"], "disk", "{:#}", verdict["overall"]);
    sources_agree(&stack.sandbox.reports("run-1"));
}

/// A way to the server that can go dark.
struct Way {
    port: u16,
    dark: Arc<AtomicBool>,
}

impl Way {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let dark = Arc::new(AtomicBool::new(false));
        let is_dark = Arc::clone(&dark);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if is_dark.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let is_dark = Arc::clone(&is_dark);
                    std::thread::spawn(move || carry(from, to, &is_dark));
                }
            }
        });
        Self { port, dark }
    }

    fn set_dark(&self, dark: bool) {
        self.dark.store(dark, Ordering::SeqCst);
    }
}

/// Carry bytes one way until either end closes or the way goes dark.
fn carry(mut from: TcpStream, mut to: TcpStream, is_dark: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = [0; 16 << 10];
    while !is_dark.load(Ordering::SeqCst) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn an_outage_during_the_run_costs_nothing_that_prometheus_later_has() {
    let _machine = machine();
    let stack = Stack::start("");
    let way = Way::to(stack.port);
    let url = format!("http://127.0.0.1:{}", way.port);
    let path =
        stack.sandbox.write("s.toml", &scenario("kind = \"cpu\"\nworkers = \"per-core\"", 16.0));
    let mut command =
        stack.sandbox.stressor(&["run", path.to_str().unwrap(), "--prometheus", &url]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Dark from the middle of the load until after its end; the server goes
    // on scraping.
    std::thread::sleep(Duration::from_secs(8));
    way.set_dark(true);
    std::thread::sleep(Duration::from_secs(14));
    way.set_dark(false);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Prometheus: "), "the outage is said: {said}");
    let verdict = fs::read(stack.sandbox.reports("run-1").join("verdict.json")).unwrap();
    let verdict: Value = serde_json::from_slice(&verdict).unwrap();
    assert_eq!(verdict["overall"]["resource"], "cpu", "{:#}", verdict["overall"]);
    let data = &phase(&verdict, "load")["data"];
    assert!(data["samples"].as_u64().unwrap() >= 15, "{data:#}");
    assert_eq!(data["gaps"], 0, "{data:#}");
}

#[test]
fn a_path_prefix_is_kept() {
    let _machine = machine();
    let stack = Stack::start("/metrics/prom");
    let url = format!("{}/metrics/prom", stack.url());
    let text = "name = \"idle\"\n[[phase]]\nname = \"watch\"\nduration = \"8s\"\n";
    let verdict = stack.sandbox.verdict(text, &["--prometheus", &url]);
    assert_eq!(verdict["nodes"][0]["source"], "prometheus");
    assert_eq!(verdict["overall"]["resource"], "none", "{:#}", verdict["overall"]);
}

#[test]
fn a_node_that_is_not_there_lists_those_that_are() {
    let stack = Stack::start("");
    let text =
        "name = \"x\"\n[[node]]\nname = \"db-7\"\n[[phase]]\nname = \"watch\"\nduration = \"1s\"\n";
    let path = stack.sandbox.write("s.toml", text);
    let outcome = stack.sandbox.run(&["run", path.to_str().unwrap(), "--prometheus", &stack.url()]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    let instance = format!("127.0.0.1:{}", stack.exporter_port);
    assert!(outcome.stderr.contains(&instance), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("db-7"), "{}", outcome.stderr);
}

#[test]
fn a_server_that_is_not_there_is_refused_and_leaves_no_run() {
    let sandbox = Sandbox::new();
    let text = "name = \"x\"\n[[phase]]\nname = \"watch\"\nduration = \"1s\"\n";
    let path = sandbox.write("s.toml", text);
    let url = format!("http://127.0.0.1:{}", free_port());
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "--prometheus", &url]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("cannot be reached"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("refused"), "{}", outcome.stderr);
    assert!(!sandbox.path().join("reports").exists());
}

/// Answers every request with one canned answer and keeps what it was asked.
fn canned(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            // All of it: head and body may come apart.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
            let mut request = Vec::new();
            let _ = stream.read_to_end(&mut request);
            let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, requests)
}

#[test]
fn credentials_reach_the_server_and_nothing_else() {
    let (port, requests) =
        canned("HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno way");
    let sandbox = Sandbox::new();
    let token = "s3cr3t-token-value";
    sandbox.write("token", &format!("{token}\n"));
    let text = format!(
        "name = \"x\"\n[telemetry]\nprometheus = \"http://127.0.0.1:{port}\"\ntoken_file = \"token\"\n[[phase]]\nname = \"watch\"\nduration = \"1s\"\n"
    );
    let path = sandbox.write("s.toml", &text);
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "-v"]);
    assert_eq!(outcome.code, Some(6));
    assert!(
        outcome.stderr.contains("401") && outcome.stderr.contains("token_file"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains(token) && !outcome.stdout.contains(token));
    let request = requests.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(request.contains(&format!("Bearer {token}")), "{request}");
    while requests.try_recv().is_ok() {}
    // What a tenant or a store behind the API wants beside them.
    let output = sandbox
        .stressor(&["run", path.to_str().unwrap()])
        .args(["--set", "telemetry.headers=[\"X-Scope-OrgID: team-a\"]"])
        .args(["--set", "telemetry.parameters=[\"partial_response=false\"]"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6));
    let asked: Vec<String> = std::iter::from_fn(|| requests.try_recv().ok()).collect();
    let request = asked.iter().find(|one| one.starts_with("POST")).expect("a query");
    assert!(request.contains("x-scope-orgid: team-a"), "{request}");
    assert!(request.contains("&partial_response=false"), "{request}");
    // A file that is named and not there.
    let output = sandbox
        .stressor(&["run", path.to_str().unwrap(), "--set", "telemetry.token_file=other"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("token file other cannot be read"));
}

#[test]
fn a_login_page_is_not_taken_for_data() {
    let (port, _requests) = canned(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\nConnection: close\r\n\r\n<html>log in</html>\n",
    );
    let sandbox = Sandbox::new();
    let path =
        sandbox.write("s.toml", "name = \"x\"\n[[phase]]\nname = \"watch\"\nduration = \"1s\"\n");
    let url = format!("http://127.0.0.1:{port}");
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "--prometheus", &url]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("<html>log in"), "{}", outcome.stderr);
}

/// Prometheus's own TLS in both directions and basic authentication, with a
/// certificate of our own; the password is "test", hashed with bcrypt.
#[test]
fn tls_and_basic_authentication_are_those_of_the_server() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let (exporter_port, port) = (free_port(), free_port());
    let openssl = Command::new(component(&["openssl"]))
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(' '))
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(sandbox.path())
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    let _exporter = Service::start(
        Command::new(component(&["prometheus-node-exporter", "node_exporter"]))
            .arg(format!("--web.listen-address=127.0.0.1:{exporter_port}"))
            .arg("--no-collector.systemd"),
    );
    let web = sandbox.write(
        "web.yml",
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem}\n\
         basic_auth_users:\n  ops: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay\n",
    );
    let config = sandbox.write(
        "prometheus.yml",
        &format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\n\
             scrape_configs:\n  - job_name: node\n    static_configs: [{{targets: ['127.0.0.1:{exporter_port}']}}]\n"
        ),
    );
    let _prometheus = Service::start(
        Command::new(component(&["prometheus"]))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.config.file={}", web.display()))
            .arg(format!("--storage.tsdb.path={}", sandbox.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    wait_for_port(port);
    // Discovery and five scrapes.
    std::thread::sleep(Duration::from_secs(12));
    sandbox.write("password", "test\n");
    let text = |ca: &str, password: &str| {
        format!(
            "name = \"tls\"\n[telemetry]\nprometheus = \"https://localhost:{port}\"\nusername = \"ops\"\n\
             password_file = \"{password}\"\n{ca}[[phase]]\nname = \"watch\"\nduration = \"10s\"\n"
        )
    };
    let shown = "cert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    let trusted = format!("ca_file = \"cert.pem\"\n{shown}");
    let verdict = sandbox.verdict(&text(&trusted, "password"), &[]);
    assert_eq!(verdict["overall"]["resource"], "none", "{:#}", verdict["overall"]);
    for file in fs::read_dir(sandbox.reports("run-1")).unwrap().flatten() {
        let bytes = fs::read(file.path()).unwrap();
        let secret = b"Basic b3BzOnRlc3Q=";
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{:?}", file.path());
    }
    // Without the authority, with a wrong password, with a file that is none.
    sandbox.write("wrong", "guess\n");
    sandbox.write("junk.pem", "no certificate\n");
    for (ca, password, expected) in [
        (shown, "password", "invalid peer certificate"),
        (trusted.as_str(), "wrong", "401"),
        ("ca_file = \"cert.pem\"\n", "password", "Then set `cert_file` and `key_file`"),
        ("ca_file = \"junk.pem\"\n", "password", "no PEM certificate"),
        ("cert_file = \"junk.pem\"\nkey_file = \"key.pem\"\n", "password", "junk.pem and key.pem"),
    ] {
        let path = sandbox.write("bad.toml", &text(ca, password));
        let outcome = sandbox.run(&["run", path.to_str().unwrap()]);
        assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{expected} in {}", outcome.stderr);
    }
}
