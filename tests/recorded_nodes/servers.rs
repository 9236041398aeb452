//! Real servers on loopback with all recorded machines in them.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    openmetrics::Host,
    support::{Sandbox, Service, component, free_port, wait_for, wait_for_port},
};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prometheus2,
    Prometheus3,
    VictoriaMetrics,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Prometheus2, Self::Prometheus3, Self::VictoriaMetrics];

    /// Its name on the command line and in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prometheus2 => "prometheus-2",
            Self::Prometheus3 => "prometheus-3",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }
}

/// The blocks of all machines, made once for both versions of Prometheus.
pub(crate) struct Blocks {
    folder: PathBuf,
}

impl Blocks {
    /// Write OpenMetrics and make blocks of it, in as many parts as there are cores:
    /// promtool uses one.
    pub(crate) fn of(sandbox: &Sandbox, hosts: &[&Host]) -> Self {
        let folder = sandbox.path().join("blocks");
        let parts = thread::available_parallelism().map_or(1, usize::from).min(4);
        let promtool = component(&["promtool"]);
        thread::scope(|scope| {
            for (number, part) in hosts.chunks(hosts.len().div_ceil(parts)).enumerate() {
                let (folder, promtool) = (&folder, &promtool);
                let input = sandbox.path().join(format!("in-{number}.om"));
                scope.spawn(move || {
                    write_all(&input, part, false).expect("the sandbox can be written");
                    let made = Command::new(promtool)
                        .args(["tsdb", "create-blocks-from", "openmetrics"])
                        .args([&input, folder])
                        .stdout(Stdio::null())
                        .stderr(Stdio::piped())
                        .output()
                        .expect("promtool starts");
                    let why = String::from_utf8_lossy(&made.stderr).into_owned();
                    assert!(made.status.success(), "promtool: {why}");
                    let _ = fs::remove_file(input);
                });
            }
        });
        Self { folder }
    }
}

fn write_all(path: &Path, hosts: &[&Host], millis: bool) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for host in hosts {
        host.write(&mut out, millis)?;
    }
    if !millis {
        out.write_all(b"# EOF\n")?;
    }
    out.flush()
}

/// A server that is up and has all machines.
pub(crate) struct Server {
    _service: Service,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn start(kind: Kind, sandbox: &Sandbox, hosts: &[&Host], blocks: &Blocks) -> Self {
        match kind {
            Kind::Prometheus2 => {
                Self::prometheus(kind, &component(&["prometheus"]), sandbox, blocks)
            }
            Kind::Prometheus3 => {
                let path =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers/prometheus-3");
                assert!(path.is_file(), "{} is missing: ci/servers fetches it", path.display());
                Self::prometheus(kind, &path, sandbox, blocks)
            }
            Kind::VictoriaMetrics => Self::victoria(sandbox, hosts),
        }
    }

    fn prometheus(kind: Kind, program: &Path, sandbox: &Sandbox, blocks: &Blocks) -> Self {
        let config = sandbox.write("empty.yml", "");
        let port = free_port();
        // Each version works on blocks of its own: a later one may rewrite them.
        let data = sandbox.path().join(kind.name());
        let copied = Command::new("cp").arg("-r").args([&blocks.folder, &data]).status();
        assert!(copied.is_ok_and(|status| status.success()), "blocks can be copied");
        let service = Service::start(
            Command::new(program)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg("--storage.tsdb.retention.time=100y")
                .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        );
        wait_for_port(port);
        wait_for("the server to be ready", 30, || {
            get(port, "/-/ready").is_some_and(|text| text.starts_with("HTTP/1.1 200"))
        });
        Self { _service: service, kind, port }
    }

    fn victoria(sandbox: &Sandbox, hosts: &[&Host]) -> Self {
        let port = free_port();
        let service = Service::start(
            Command::new(component(&["victoria-metrics"]))
                .arg(format!("-storageDataPath={}", sandbox.path().join("victoria").display()))
                .arg("-retentionPeriod=100y")
                .arg(format!("-httpListenAddr=127.0.0.1:{port}")),
        );
        wait_for_port(port);
        let input = sandbox.path().join("in.prom");
        write_all(&input, hosts, true).expect("the sandbox can be written");
        post(port, "/api/v1/import/prometheus", &input);
        let _ = fs::remove_file(input);
        // What was imported can be found once it was flushed.
        let _ = get(port, "/internal/force_flush");
        Self { _service: service, kind: Kind::VictoriaMetrics, port }
    }
}

fn ask(port: u16, head: &str, body: Option<&Path>) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(head.as_bytes())?;
    if let Some(path) = body {
        io::copy(&mut File::open(path)?, &mut stream)?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(port: u16, path: &str) -> Option<String> {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"), None)
        .ok()
}

fn post(port: u16, path: &str, body: &Path) {
    let length = fs::metadata(body).expect("the file is there").len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(port, &head, Some(body)).expect("the server takes the samples");
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}
