//! What this machine cannot show (steal, heat, 64 cores, a full connection
//! table), from a /proc that is made up second by second: through our sampler,
//! and through a real node_exporter and Prometheus.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Sandbox, Service, component, free_port, phase, wait_for_port};

/// A machine that exists in files only.
struct Fake {
    name: &'static str,
    cores: u32,
    /// Ticks a second of user, system, idle, softirq, steal for each core.
    ticks: fn(u32) -> [f64; 5],
    /// Times a second that the first core is slowed down.
    throttles: f64,
    /// Packets a second that the first core drops and leaves for later.
    softnet: (f64, f64),
    conntrack: u32,
    /// Share of time in which some task waits for a core.
    waits: f64,
    /// Resource, device and kind.
    truth: (&'static str, Option<&'static str>, &'static str),
}

const QUIET: [f64; 5] = [2.0, 1.0, 97.0, 0.0, 0.0];

fn fakes() -> Vec<Fake> {
    let quiet = || Fake {
        name: "",
        cores: 2,
        ticks: |_| QUIET,
        throttles: 0.0,
        softnet: (0.0, 0.0),
        conntrack: 100,
        waits: 0.0,
        truth: ("none", None, "none"),
    };
    vec![
        Fake { name: "quiet", ..quiet() },
        Fake {
            name: "steal",
            ticks: |_| [35.0, 2.0, 3.0, 0.0, 60.0],
            truth: ("cpu-steal", None, "saturated"),
            ..quiet()
        },
        Fake {
            name: "heat",
            ticks: |_| [98.0, 1.0, 1.0, 0.0, 0.0],
            throttles: 20.0,
            truth: ("cpu-thermal", None, "saturated"),
            ..quiet()
        },
        Fake {
            name: "softirq",
            cores: 64,
            ticks: |core| {
                if core == 0 { [1.0, 5.0, 2.0, 92.0, 0.0] } else { [20.0, 2.0, 78.0, 0.0, 0.0] }
            },
            softnet: (0.0, 100.0),
            truth: ("cpu-softirq", None, "saturated"),
            ..quiet()
        },
        Fake {
            name: "hot-core",
            cores: 64,
            ticks: |core| if core == 17 { [99.0, 1.0, 0.0, 0.0, 0.0] } else { QUIET },
            truth: ("cpu-core", Some("17"), "full"),
            ..quiet()
        },
        // Two sockets of 32 cores, and work that is bound to the memory of one of
        // them (numactl): half of the machine idles beside tasks that wait.
        Fake {
            name: "numa-bound",
            cores: 64,
            ticks: |core| if core < 32 { [99.0, 1.0, 0.0, 0.0, 0.0] } else { QUIET },
            waits: 0.9,
            // Which of the 32 is named does not matter.
            truth: ("cpu-affinity", Some("*"), "saturated"),
            ..quiet()
        },
        // The same without more work than that half can do: nothing waits, and
        // an average of all cores is all that is left to see.
        Fake {
            name: "numa-half",
            cores: 64,
            ticks: |core| if core < 32 { [60.0, 1.0, 39.0, 0.0, 0.0] } else { QUIET },
            truth: ("none", None, "none"),
            ..quiet()
        },
        Fake {
            name: "conntrack",
            conntrack: 262_100,
            truth: ("conntrack", None, "full"),
            ..quiet()
        },
    ]
}

impl Fake {
    /// Write the files as they are after so many seconds.
    fn write(&self, root: &Path, seconds: f64) {
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
            // At once: a reader must not see half a file.
            let new = path.with_extension("new");
            fs::write(&new, text).expect("the file can be written");
            fs::rename(&new, &path).expect("the file can be renamed");
        };
        let mut stat = String::from("cpu  0 0 0 0 0 0 0 0 0 0\n");
        for core in 0..self.cores {
            let [user, system, idle, softirq, steal] =
                (self.ticks)(core).map(|rate| (1000.0 + rate * seconds).round());
            let _ = writeln!(stat, "cpu{core} {user} 0 {system} {idle} 0 0 {softirq} {steal} 0 0");
        }
        stat.push_str("intr 1\nctxt 1000\nbtime 1790000000\nprocesses 100\nprocs_running 2\nprocs_blocked 0\n");
        put("proc/stat", &stat);
        put("proc/loadavg", "0.10 0.10 0.10 1/200 300\n");
        put(
            "proc/meminfo",
            "MemTotal: 16000000 kB\nMemFree: 12000000 kB\nMemAvailable: 14000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        );
        put("proc/vmstat", "pswpin 0\npswpout 0\npgmajfault 0\npgfault 0\noom_kill 0\n");
        put("proc/diskstats", " 254 0 vda 100 0 200 50 10 0 80 20 0 500 900 0 0 0 0 0 0\n");
        for (resource, share) in [("cpu", self.waits), ("memory", 0.0), ("io", 0.0)] {
            let total = 1000.0 + (share * seconds * 1e6).round();
            let pressure = format!(
                "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500\n"
            );
            put(&format!("proc/pressure/{resource}"), &pressure);
        }
        let mut softnet = String::new();
        for core in 0..self.cores {
            let (dropped, squeezed) = if core == 0 { self.softnet } else { (0.0, 0.0) };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
            let count = |rate: f64| (rate * seconds) as u64;
            let (dropped, squeezed) = (count(dropped), count(squeezed));
            let _ = writeln!(
                softnet,
                "00000100 {dropped:08x} {squeezed:08x} 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 {core:08x}"
            );
        }
        put("proc/net/softnet_stat", &softnet);
        put("proc/sys/fs/file-nr", "1000\t0\t100000\n");
        put("proc/sys/net/netfilter/nf_conntrack_count", &format!("{}\n", self.conntrack));
        put("proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
        for core in 0..self.cores {
            let count = if core == 0 { (self.throttles * seconds).round() } else { 0.0 };
            let about = format!("sys/devices/system/cpu/cpu{core}");
            put(&format!("{about}/thermal_throttle/core_throttle_count"), &format!("{count}\n"));
            put(&format!("{about}/thermal_throttle/package_throttle_count"), "0\n");
            put(&format!("{about}/topology/core_id"), &format!("{core}\n"));
            put(&format!("{about}/topology/physical_package_id"), "0\n");
        }
    }
}

/// Rewrites the files until it is dropped.
struct Living {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Living {
    fn start(root: PathBuf, fake: Fake) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let begun = Instant::now();
        fake.write(&root, 0.0);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                fake.write(&root, begun.elapsed().as_secs_f64());
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const COLLECTORS: [&str; 10] = [
    "cpu",
    "meminfo",
    "loadavg",
    "stat",
    "vmstat",
    "diskstats",
    "pressure",
    "softnet",
    "filefd",
    "conntrack",
];

#[test]
fn what_this_machine_cannot_show_is_named_through_the_whole_chain() {
    let sandbox = Sandbox::new();
    let mut targets = Vec::new();
    let mut kept: (Vec<Living>, Vec<Service>) = (Vec::new(), Vec::new());
    let truths: Vec<_> = fakes().iter().map(|fake| (fake.name, fake.truth)).collect();
    for fake in fakes() {
        let root = sandbox.path().join(fake.name);
        let port = free_port();
        kept.0.push(Living::start(root.clone(), fake));
        let mut exporter = Command::new(component(&["prometheus-node-exporter", "node_exporter"]));
        exporter
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--path.procfs={}", root.join("proc").display()))
            .arg(format!("--path.sysfs={}", root.join("sys").display()))
            .arg("--collector.disable-defaults")
            .args(COLLECTORS.map(|name| format!("--collector.{name}")));
        kept.1.push(Service::start(&mut exporter));
        wait_for_port(port);
        targets.push(format!("'127.0.0.1:{port}'"));
    }
    let port = free_port();
    let config = sandbox.write(
        "prometheus.yml",
        &format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\nscrape_configs:\n  - job_name: node\n    static_configs: [{{targets: [{}]}}]\n",
            targets.join(", ")
        ),
    );
    let _prometheus = Service::start(
        Command::new(component(&["prometheus"]))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", sandbox.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    wait_for_port(port);
    // The embedded sampler reads the same files meanwhile.
    let scenario = sandbox.write(
        "scenario.toml",
        "name = \"watch\"\n[[phase]]\nname = \"load\"\nduration = \"10s\"\n",
    );
    let embedded: Vec<_> = truths
        .iter()
        .map(|(name, _)| {
            let at = |folder: &str| sandbox.path().join(name).join(folder).display().to_string();
            let scenario = scenario.display().to_string();
            sandbox
                .stressor(&["run", &scenario, "--name", name, "--format", "json", "-q"])
                .args(["--procfs", &at("proc"), "--sysfs", &at("sys")])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program starts")
        })
        .collect();
    let judged = |document: &Value, at: usize, source: &str| {
        let (name, (resource, device, kind)) = truths[at];
        let verdict = &document["verdict"];
        let device = if device == Some("*") { verdict["device"].as_str() } else { device };
        assert_eq!(
            (verdict["resource"].as_str(), verdict["device"].as_str(), verdict["kind"].as_str()),
            (Some(resource), device, Some(kind)),
            "{name} from {source}: {}",
            verdict["statement"]
        );
    };
    for (at, child) in embedded.into_iter().enumerate() {
        let output = child.wait_with_output().expect("it ends");
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        judged(phase(&document, "load"), at, "the sampler");
    }
    thread::sleep(Duration::from_secs(8));
    let url = format!("http://127.0.0.1:{port}");
    let outcome =
        sandbox.run(&["analyze", "--prometheus", &url, "--last", "14s", "--format", "json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let document: Value = serde_json::from_str(&outcome.stdout).expect("one JSON document");
    for (at, target) in targets.iter().enumerate() {
        let instance = target.trim_matches('\'');
        let nodes = document["nodes"].as_array().expect("nodes");
        let node = nodes.iter().find(|node| node["node"] == instance).expect("the node");
        judged(&node["phases"][0], at, "Prometheus");
    }
    drop(kept);
}
