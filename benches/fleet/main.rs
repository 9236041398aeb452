//! A thousand nodes in a real Prometheus: `stressor analyze` beside curl, which
//! fetches the same answers with the same concurrency and does nothing with
//! them.
//!
//! `cargo bench --bench fleet` makes 10, 100 and 1,000 nodes of an hour at 15 s
//! with promtool (about two minutes in all) and prints one row each; one more row is of
//! 1,000 nodes whose signals the server has recorded by the rules of `stack init`.
//! `cargo bench --bench fleet -- 1000` makes only the rows of 1,000 nodes.
//! `OLD=/path/to/stressor` measures another version's `analyze` in the same minutes.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints, and stops where it cannot go on"
)]

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use stressor::{
    analyze::resources::decisive,
    scenario::plan::Telemetry,
    telemetry::prometheus::{client::Client, source::Source},
};

const SECONDS: i64 = 3600;
const STEP: i64 = 15;
/// A fixed hour in the past, so that runs can be compared.
const END: i64 = 1_790_000_000 / STEP * STEP;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("| nodes | curl s | analyze s | ratio | analyze MiB | CPU s | old analyze s |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let chosen: Vec<usize> = std::env::args().filter_map(|one| one.parse().ok()).collect();
    for nodes in [10, 100, 1000] {
        if chosen.is_empty() || chosen.contains(&nodes) {
            row(nodes, false);
        }
    }
    if chosen.is_empty() || chosen.contains(&1000) {
        row(1000, true);
    }
}

fn row(nodes: usize, recorded: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    backfill(folder.path(), &data, nodes);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let config = folder.path().join("prometheus.yml");
    fs::write(&config, "global: {}\n").expect("the folder can be written");
    let url = format!("http://127.0.0.1:{port}");
    let mut server = serve(&config, &data, port);
    if recorded {
        record(folder.path(), &data, &url);
        drop(server);
        server = serve(&config, &data, port);
    }
    let _server = server;
    let queries = queries(&url, nodes);
    let mut ratios = Vec::new();
    let (mut theirs, mut ours, mut peak, mut cpu) = (0.0, 0.0, 0, 0.0);
    let other = std::env::var_os("OLD");
    let mut old = String::from("–");
    for _ in 0..3 {
        theirs = curl(folder.path(), &url, &queries);
        if let Some(other) = &other {
            old = format!("{:.2}", analyze(folder.path(), &url, Path::new(other)).0);
        }
        (ours, peak, cpu) = analyze(folder.path(), &url, Path::new(env!("CARGO_BIN_EXE_stressor")));
        ratios.push(ours / theirs);
    }
    ratios.sort_by(f64::total_cmp);
    let what = if recorded { ", recorded" } else { "" };
    println!(
        "| {nodes}{what} | {theirs:.2} | {ours:.2} | {:.2} ({:.2}–{:.2}) | {} | {cpu:.2} | {old} |",
        ratios[1],
        ratios[0],
        ratios[2],
        peak >> 20
    );
}

/// A Prometheus with these blocks.
fn serve(config: &Path, data: &Path, port: u16) -> Server {
    let server = Server(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed"),
    );
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(2));
    server
}

/// Adds what the rules of `stack init` would have recorded in that hour.
fn record(folder: &Path, data: &Path, url: &str) {
    let stack = folder.join("stack");
    let made = Command::new(env!("CARGO_BIN_EXE_stressor"))
        .args(["stack", "init", "--node", "main=10.0.0.1", "--set"])
        .arg(format!("scrape_interval={STEP}s"))
        .arg("--output")
        .arg(&stack)
        .stdout(Stdio::null())
        .status()
        .expect("the program starts");
    assert!(made.success(), "the rules are written");
    let status = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "rules", "--url", url])
        .args(["--start", &(END - SECONDS).to_string(), "--end", &END.to_string()])
        .arg(format!("--output-dir={}", data.display()))
        .arg(stack.join("prometheus/rules/stressor.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("promtool is installed");
    assert!(status.success(), "promtool evaluates the rules");
}

/// The queries that `analyze` sends for so many nodes.
fn queries(url: &str, nodes: usize) -> Vec<String> {
    let client = Client::new(url, &Telemetry::default()).expect("a client");
    let mut source = Source::new(client, "job=~\"node\"", Vec::new(), false, Some(STEP as f64));
    if nodes > 50 {
        source = source.only(decisive());
    }
    source.promql()
}

/// Seconds that curl takes to fetch them, four at a time, compressed.
fn curl(folder: &Path, url: &str, queries: &[String]) -> f64 {
    let mut config = String::new();
    for (number, query) in queries.iter().enumerate() {
        let file = folder.join(format!("query-{number}"));
        fs::write(&file, query).expect("the folder can be written");
        let start = END - SECONDS;
        let _ = writeln!(
            config,
            "next\nurl = \"{url}/api/v1/query_range\"\ndata-urlencode = \"query@{}\"\ndata-urlencode = \"start={start}\"\ndata-urlencode = \"end={END}\"\ndata-urlencode = \"step={STEP}\"\ncompressed\noutput = \"/dev/null\"",
            file.display()
        );
    }
    let path = folder.join("curl");
    fs::write(&path, config.trim_start_matches("next\n")).expect("the folder can be written");
    let begin = Instant::now();
    let status = Command::new("curl")
        .args(["--no-progress-meter", "--fail", "--parallel", "--parallel-max", "4", "--config"])
        .arg(&path)
        .status()
        .expect("curl is installed");
    assert!(status.success(), "curl fetches every answer");
    begin.elapsed().as_secs_f64()
}

/// Seconds that `analyze` takes with its reports, the most memory it held in
/// bytes, and its CPU seconds.
fn analyze(folder: &Path, url: &str, program: &Path) -> (f64, u64, f64) {
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(["analyze", "--prometheus", url, "--format", "json"])
        .args(["--start", &(END - SECONDS).to_string(), "--end", &END.to_string()])
        .arg("--reports-dir")
        .arg(folder.join("reports"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let (mut peak, mut cpu) = (0, 0.0);
    loop {
        let about = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default()
        };
        let held = about("status")
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
            .map_or(0, |kib: u64| kib << 10);
        peak = peak.max(held);
        let stat = about("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
        if let (Some(Ok(user)), Some(Ok(system))) = (
            fields.get(12).map(|text| text.parse::<f64>()),
            fields.get(13).map(|text| text.parse::<f64>()),
        ) {
            cpu = (user + system) / 100.0;
        }
        if let Some(status) = child.try_wait().expect("it is ours") {
            assert!(status.success(), "analyze ends well: {status}");
            return (begin.elapsed().as_secs_f64(), peak, cpu);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An hour of these nodes as blocks of a Prometheus.
fn backfill(folder: &Path, data: &Path, nodes: usize) {
    let text = folder.join("data.om");
    let mut out = BufWriter::new(File::create(&text).expect("the folder can be written"));
    let mut family = |name: &str, kind: &str, of: &dyn Fn(usize) -> Vec<(String, f64, f64)>| {
        let typed = if kind == "counter" { name.trim_end_matches("_total") } else { name };
        writeln!(out, "# TYPE {typed} {kind}").expect("written");
        for node in 0..nodes {
            let labels =
                format!("instance=\"10.{}.0.{}:9100\",job=\"node\"", node / 250, node % 250);
            for (more, start, rate) in of(node) {
                for t in (END - SECONDS..=END).step_by(15) {
                    let value = start + rate * (t - (END - SECONDS)) as f64;
                    writeln!(out, "{name}{{{more}{labels}}} {value:.3} {t}").expect("written");
                }
            }
        }
    };
    let whole = |start: f64, rate: f64| move |_: usize| vec![(String::new(), start, rate)];
    let on = |device: &'static str, rate: f64| {
        move |_: usize| vec![(format!("device=\"{device}\","), 1.0, rate)]
    };
    family("node_cpu_seconds_total", "counter", &|node| {
        // One node of a hundred is full.
        let busy = if node % 100 == 7 { 0.98 } else { 0.2 };
        let modes = [("idle", 0.98 - busy), ("iowait", 0.01), ("system", 0.01), ("user", busy)];
        let all =
            (0..2).flat_map(|cpu| modes.iter().map(move |(mode, share)| (cpu, *mode, *share)));
        all.map(|(cpu, mode, share)| (format!("cpu=\"{cpu}\",mode=\"{mode}\","), 1000.0, share))
            .collect()
    });
    family("node_boot_time_seconds", "gauge", &whole(1.78e9, 0.0));
    family("node_uname_info", "gauge", &|node| {
        vec![(format!("nodename=\"n{node:04}\",release=\"6.8.0\","), 1.0, 0.0)]
    });
    for (name, start, rate) in [
        ("node_load1", 1.0, 0.0),
        ("node_procs_running", 2.0, 0.0),
        ("node_memory_MemTotal_bytes", 8e9, 0.0),
        ("node_memory_MemAvailable_bytes", 4e9, 1e3),
        ("up", 1.0, 0.0),
    ] {
        family(name, "gauge", &whole(start, rate));
    }
    for (name, rate) in [
        ("node_pressure_cpu_waiting_seconds_total", 0.05),
        ("node_pressure_memory_waiting_seconds_total", 0.0),
        ("node_pressure_io_waiting_seconds_total", 0.02),
    ] {
        family(name, "counter", &whole(1.0, rate));
    }
    for (name, rate) in [
        ("node_disk_io_time_seconds_total", 0.1),
        ("node_disk_io_time_weighted_seconds_total", 0.3),
        ("node_disk_reads_completed_total", 50.0),
    ] {
        family(name, "counter", &on("nvme0n1", rate));
    }
    for name in ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"] {
        family(name, "counter", &on("eth0", 1e6));
    }
    writeln!(out, "# EOF").expect("written");
    out.flush().expect("written");
    let status = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(&text)
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("promtool is installed");
    assert!(status.success(), "promtool makes the blocks");
    fs::remove_file(&text).expect("it is ours");
}
