//! A small stack on this machine, from the programs that are installed, for
//! trying out and for tests. What was started is known by a word in its
//! environment, so that it is found again whatever became of the starter, and
//! nothing else is ever stopped.

use std::{
    fs, io,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, setsid},
};

use super::{
    artefacts::{self, promql_duration, quoted},
    check::{ports, ports::Way},
    dashboards,
    grafana::{self, Places},
    rules,
};
use crate::scenario::setup::{Aws, Discovery, Role, Setup, StackNode};

/// The word in the environment of what we start: the data folder.
const MARK: &str = "STRESSOR_STACK";
/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a program may take to end when asked; then it is killed.
const ENDING: Duration = Duration::from_secs(10);
/// Where distributions put what is not in PATH.
const PLACES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/share/grafana/bin"];

/// What is started, and where.
#[derive(Debug, Clone)]
pub struct Local {
    /// Folder for data, configuration and logs.
    pub data: PathBuf,
    /// Port of Prometheus.
    pub port: u16,
    /// Port of node_exporter.
    pub exporter_port: u16,
    /// Port of Grafana, where it is installed.
    pub grafana_port: u16,
    /// Distance of scrapes.
    pub scrape_interval: Duration,
    /// The value of the label `node`.
    pub node: String,
}

/// Why it could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program is not installed.
    #[error("{program} is not installed: on Debian and Ubuntu, apt-get install {package}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Its package.
        package: &'static str,
    },
    /// A port is taken.
    #[error(
        "port {port} of 127.0.0.1 is taken: stop what listens there, or name another ({option})"
    )]
    Taken {
        /// Which.
        port: u16,
        /// The option that names another.
        option: &'static str,
    },
    /// A program ended at once, or does not listen.
    #[error("{program} does not listen on port {port}; the end of its log {}:\n{tail}", log.display())]
    Deaf {
        /// Which.
        program: &'static str,
        /// Where it should.
        port: u16,
        /// Its log.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// The configuration could not be made.
    #[error(transparent)]
    Artefacts(#[from] artefacts::Error),
}

/// One program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The program.
    pub program: &'static str,
    /// Its process.
    pub pid: i32,
    /// Where it listens.
    pub url: String,
}

fn io_at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

/// Start node_exporter, Prometheus and, where it is installed, Grafana.
///
/// # Errors
/// When a program is missing, a port taken, or one does not come up: then what
/// was started is stopped again.
pub fn up(local: &Local) -> Result<Vec<Running>, Error> {
    let exporter = found(&["prometheus-node-exporter", "node_exporter"])
        .ok_or(Error::Missing { program: "node_exporter", package: "prometheus-node-exporter" })?;
    let prometheus = found(&["prometheus"])
        .ok_or(Error::Missing { program: "prometheus", package: "prometheus" })?;
    free(local.exporter_port, "--exporter-port")?;
    free(local.port, "--port")?;
    let grafana = found(&["grafana-server", "grafana"]);
    if grafana.is_some() {
        free(local.grafana_port, "--grafana-port")?;
    }
    let data = prepared(local)?;
    let started = start_all(local, &data, &exporter, &prometheus).and_then(|mut running| {
        if let Some(grafana) = &grafana {
            running.push(start_grafana(local, &data, grafana)?);
        }
        Ok(running)
    });
    if started.is_err() {
        let _ = down(&local.data);
    }
    started
}

fn start_all(
    local: &Local,
    data: &Path,
    exporter: &Path,
    prometheus: &Path,
) -> Result<Vec<Running>, Error> {
    let mut command = Command::new(exporter);
    command.arg(format!("--web.listen-address=127.0.0.1:{}", local.exporter_port)).args([
        "--no-collector.systemd",
        "--collector.qdisc",
        "--collector.processes",
    ]);
    let mut running = vec![start("node_exporter", command, data, local.exporter_port)?];
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", data.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", data.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", local.port))
        // For `run --remote-write`.
        .arg("--web.enable-remote-write-receiver");
    running.push(start("prometheus", command, data, local.port)?);
    Ok(running)
}

/// Grafana with the dashboards and alert rules of a set-up, for whoever is on this
/// machine: it listens on loopback only, and lets anybody look.
fn start_grafana(local: &Local, data: &Path, program: &Path) -> Result<Running, Error> {
    let mut command = Command::new(program);
    // Newer packages have one program with commands.
    if program.file_name().is_some_and(|name| name == "grafana") {
        command.arg("server");
    }
    let home = Path::new("/usr/share/grafana");
    if home.is_dir() {
        command.arg("--homepath").arg(home);
    }
    let place = data.join("grafana");
    for (name, folder) in [
        ("DATA", "data"),
        ("LOGS", "log"),
        ("PLUGINS", "plugins"),
        ("PROVISIONING", "provisioning"),
    ] {
        command.env(format!("GF_PATHS_{name}"), place.join(folder));
    }
    command
        .env("GF_SERVER_HTTP_ADDR", "127.0.0.1")
        .env("GF_SERVER_HTTP_PORT", local.grafana_port.to_string())
        .env("GF_AUTH_ANONYMOUS_ENABLED", "true")
        .env("GF_AUTH_ANONYMOUS_ORG_ROLE", "Viewer")
        .env("GF_ANALYTICS_REPORTING_ENABLED", "false")
        .env("GF_ANALYTICS_CHECK_FOR_UPDATES", "false");
    start("grafana", command, data, local.grafana_port)
}

/// The folder with the configuration in it, as an absolute path.
fn prepared(local: &Local) -> Result<PathBuf, Error> {
    fs::create_dir_all(&local.data).map_err(io_at("cannot create", &local.data))?;
    let data = local.data.canonicalize().map_err(io_at("cannot find", &local.data))?;
    let setup = Setup {
        name: "stressor".to_owned(),
        scrape_interval: local.scrape_interval,
        retention: Duration::from_secs(15 * 86_400),
        discovery: Discovery::Static,
        admin: Vec::new(),
        alertmanager: None,
        aws: Aws::default(),
        nodes: vec![StackNode {
            name: local.node.clone(),
            address: "127.0.0.1".to_owned(),
            role: Role::Server,
            ssh: None,
            labels: Vec::new(),
        }],
    };
    let places = Places {
        prometheus: &format!("http://127.0.0.1:{}", local.port),
        dashboards: &data.join("grafana/dashboards").display().to_string(),
    };
    let mut all = rules::artefacts(&setup);
    all.extend(grafana::artefacts(&setup, places)?);
    all.extend(dashboards::artefacts(&setup)?);
    for artefact in all {
        let path = artefact.path.strip_prefix("prometheus/").unwrap_or(&artefact.path);
        let path = data.join(path);
        let folder = path.parent().unwrap_or(&data);
        fs::create_dir_all(folder).map_err(io_at("cannot create", folder))?;
        fs::write(&path, artefact.text).map_err(io_at("cannot write", &path))?;
    }
    let interval = promql_duration(local.scrape_interval);
    let configuration = format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}\n\
         rule_files: [rules/stressor.yml]\n\
         scrape_configs:\n  - job_name: node\n    static_configs:\n\
         \x20     - targets: [\"127.0.0.1:{}\"]\n        labels: {{node: {}, role: server}}\n\
         \x20 - job_name: stressor\n    honor_labels: true\n    static_configs: [{{targets: [\"127.0.0.1:9105\"]}}]\n",
        local.exporter_port,
        quoted(&local.node)
    );
    let path = data.join("prometheus.yml");
    fs::write(&path, configuration).map_err(io_at("cannot write", &path))?;
    Ok(data)
}

fn found(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    let folders: Vec<PathBuf> = folders.collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

fn free(port: u16, option: &'static str) -> Result<(), Error> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::Taken { port, option }),
    }
}

fn start(
    program: &'static str,
    mut command: Command,
    data: &Path,
    port: u16,
) -> Result<Running, Error> {
    let log = data.join(format!("{program}.log"));
    let file = fs::File::create(&log).map_err(io_at("cannot create", &log))?;
    let second = file.try_clone().map_err(io_at("cannot open", &log))?;
    command
        .env(MARK, data)
        .current_dir(data)
        .stdin(Stdio::null())
        .stdout(Stdio::from(file))
        .stderr(Stdio::from(second));
    // SAFETY: between fork and exec, only a system call.
    #[expect(unsafe_code, reason = "what stays must not get the terminal's signals")]
    unsafe {
        command.pre_exec(|| setsid().map(drop).map_err(Into::into));
    }
    let path = PathBuf::from(command.get_program());
    let mut child = command.spawn().map_err(io_at("cannot start", &path))?;
    let address = format!("127.0.0.1:{port}");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && !has_ended(&mut child) {
        if matches!(ports::way_to(&address), Way::Open(_)) {
            let pid = i32::try_from(child.id()).unwrap_or(0);
            return Ok(Running { program, pid, url: format!("http://{address}") });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.iter().rev().take(5).rev().copied().collect::<Vec<_>>().join("\n");
    Err(Error::Deaf { program, port, log, tail })
}

fn has_ended(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(Some(_)) | Err(_))
}

/// Processes that `up` started with this data folder.
fn started(data: &Path) -> Vec<Pid> {
    let Ok(data) = data.canonicalize() else { return Vec::new() };
    let mark = format!("{MARK}={}", data.display());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let is_ours = environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes());
            is_ours.then(|| Pid::from_raw(pid))
        })
        .collect()
}

/// Stop what `up` started with this data folder; how many that were. The data
/// stay.
///
/// # Errors
/// When a process can be neither stopped nor killed.
pub fn down(data: &Path) -> Result<usize, Error> {
    let all = started(data);
    for pid in &all {
        let _ = kill(*pid, Signal::SIGTERM);
    }
    let begun = Instant::now();
    loop {
        // One that is ending has no command line any more, and may still hold its port.
        let ending = all.iter().copied().filter(|pid| is_running(*pid));
        let left: Vec<Pid> = started(data).into_iter().chain(ending).collect();
        if left.is_empty() {
            return Ok(all.len());
        }
        if begun.elapsed() > ENDING {
            for pid in started(data) {
                kill(pid, Signal::SIGKILL)
                    .map_err(|errno| io_at("cannot stop what uses", data)(errno.into()))?;
            }
        }
        if begun.elapsed() > ENDING * 2 {
            let source = io::Error::other(format!("{} processes do not end", left.len()));
            return Err(io_at("cannot stop what uses", data)(source));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process has not ended: a zombie has closed all that it held.
fn is_running(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| !['Z', 'X'].contains(&state))
}
