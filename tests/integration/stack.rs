//! The monitoring set-up: what is written is accepted by the programs it is
//! for, what is checked is told, what is started is stopped.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    Outcome, Sandbox, component, free_port, processes_with, scenario, wait_for, wait_for_port,
};

const THREE: [&str; 8] = [
    "stack",
    "init",
    "--node=main=10.0.1.10",
    "--node=client-1=10.0.1.11",
    "--node=client-2=10.0.1.12",
    "--admin=203.0.113.7/32",
    "--output",
    "stack",
];

/// A checker must say yes, and nothing that it calls wrong.
fn accepted(program: &str, arguments: &[&str], folder: &Path) -> Outcome {
    let output = Command::new(component(&[program]))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let outcome = Outcome::of(&output);
    assert_eq!(
        outcome.code,
        Some(0),
        "{program} {arguments:?}: {}{}",
        outcome.stdout,
        outcome.stderr
    );
    outcome
}

fn files(folder: &Path, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|one| one == extension) {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn what_init_writes_is_accepted_by_those_it_is_for() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&THREE);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let stack = sandbox.path().join("stack");
    for discovery in ["file", "static", "ec2"] {
        let set = format!("discovery={discovery}");
        let region = "aws.region=eu-central-1";
        let again = sandbox.run(&["stack", "init", "--set", &set, "--set", region]);
        assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
        accepted("promtool", &["check", "config", "prometheus.yml"], &stack.join("prometheus"));
    }
    let prometheus = stack.join("prometheus");
    accepted("promtool", &["check", "rules", "rules/stressor.yml"], &prometheus);
    let tested = accepted("promtool", &["test", "rules", "rules.test.yml"], &prometheus);
    assert!(tested.stdout.contains("SUCCESS"), "{}", tested.stdout);
    // Every scrape interval has other windows and other tests.
    sandbox.run(&["stack", "init", "--set", "scrape_interval=15s", "--set", "discovery=file"]);
    accepted("promtool", &["test", "rules", "rules.test.yml"], &prometheus);
    // It prints what it does not know, and ends well in spite of it.
    for unit in files(&stack.join("systemd"), "service") {
        let outcome = accepted("systemd-analyze", &["verify", &unit], &stack);
        assert_eq!(outcome.stderr, "", "{unit}");
    }
    let read = "import sys, yaml\nfor path in sys.argv[1:]: list(yaml.safe_load_all(open(path)))";
    let mut yaml = files(&stack, "yaml");
    yaml.extend(files(&stack, "yml"));
    assert!(yaml.len() >= 8, "{yaml:?}");
    let mut arguments = vec!["-c", read];
    arguments.extend(yaml.iter().map(String::as_str));
    accepted("python3", &arguments, &stack);
    let jobs = sandbox.run(&[
        "stack",
        "render",
        "kubernetes",
        "--image=registry.example/stressor:1",
        "--scenario",
        concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/cpu-100.toml"),
    ]);
    assert_eq!(jobs.code, Some(0), "{}", jobs.stderr);
    sandbox.write("jobs.yml", &jobs.stdout);
    accepted("python3", &["-c", read, "../jobs.yml"], &stack);
    assert_eq!(jobs.stdout.matches("kind: Job").count(), 2, "the clients");
    assert_eq!(jobs.stdout.matches("backoffLimit: 0").count(), 2);
    let script = stack.join("aws/security-groups.sh").display().to_string();
    accepted("sh", &["-n", &script], &stack);
    // Only the monitoring server reaches 9100, and nobody is everybody.
    let text = fs::read_to_string(&script).unwrap();
    for line in text.lines().filter(|line| line.contains("9100,")) {
        assert!(line.contains("UserIdGroupPairs=[{GroupId=$monitor"), "{line}");
    }
    assert!(!text.contains("0.0.0.0/0"));
    let terraform = fs::read_to_string(stack.join("aws/main.tf")).unwrap();
    let open: Vec<&str> = terraform.lines().filter(|line| line.contains("0.0.0.0/0")).collect();
    assert_eq!(open, ["  cidr_ipv4         = \"0.0.0.0/0\""], "egress alone");
}

#[test]
fn a_hand_edit_is_kept_and_shown_until_forced() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&THREE).code, Some(0));
    let again = sandbox.run(&["stack", "init"]);
    assert_eq!(again.code, Some(0));
    assert!(again.stdout.lines().all(|line| line.starts_with("unchanged")), "{}", again.stdout);
    let rules = sandbox.path().join("stack/prometheus/rules/stressor.yml");
    let edited = fs::read_to_string(&rules).unwrap().replace("severity: warning", "severity: page");
    fs::write(&rules, &edited).unwrap();
    let kept = sandbox.run(&["stack", "init"]);
    assert_eq!(kept.code, Some(6), "{}", kept.stdout);
    assert!(kept.stdout.contains("-          severity: page"), "{}", kept.stdout);
    assert!(kept.stderr.contains("--force"), "{}", kept.stderr);
    assert_eq!(fs::read_to_string(&rules).unwrap(), edited);
    let forced = sandbox.run(&["stack", "init", "--force"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert!(forced.stdout.contains("overwritten"), "{}", forced.stdout);
    assert!(!fs::read_to_string(&rules).unwrap().contains("severity: page"));
    // A new machine changes what names it, and nothing else.
    let description = sandbox.path().join("stack/stack.toml");
    let more = fs::read_to_string(&description).unwrap()
        + "\n[[node]]\nname = \"client-3\"\naddress = \"10.0.1.13\"\n";
    fs::write(&description, more).unwrap();
    let grown = sandbox.run(&["stack", "init"]);
    let changed: Vec<&str> =
        grown.stdout.lines().filter(|line| !line.starts_with("unchanged")).collect();
    assert_eq!(changed, ["changed    prometheus/targets/nodes.json"]);
}

#[test]
fn what_a_description_gets_wrong_is_told_with_its_place() {
    let sandbox = Sandbox::new();
    let wrong = |text: &str| {
        sandbox.write("stack.toml", text);
        let outcome = sandbox.run(&["stack", "init", "--file", "stack.toml"]);
        assert_eq!(outcome.code, Some(2), "{text}: {}", outcome.stdout);
        assert!(!sandbox.path().join("stack").exists());
        outcome.stderr
    };
    let node = "[[node]]\nname = \"a\"\naddress = \"10.0.0.1\"\n";
    let everybody = wrong(&format!("[access]\nadmin = [\"0.0.0.0/0\"]\n{node}"));
    assert!(everybody.contains("0.0.0.0/0 is everybody") && everybody.contains("stack.toml:2:"));
    assert!(wrong(&format!("scrape_intervall = \"5s\"\n{node}")).contains("`scrape_interval`"));
    assert!(wrong(&format!("{node}{node}")).contains("stands twice"));
    let two =
        "role = \"server\"\n[[node]]\nname = \"b\"\naddress = \"10.0.0.2\"\nrole = \"server\"\n";
    assert!(wrong(&format!("{node}{two}")).contains("2 nodes have the role `server`"));
    assert!(wrong("").contains("`node` is missing"));
    assert!(wrong(&format!("discovery = \"ec2\"\n{node}")).contains("[aws] region"));
    assert!(wrong(&node.replace("10.0.0.1", "10.0.0.1:9100")).contains("without a port"));
    // Open to all, if that is meant, with a warning.
    let open = format!("[access]\nadmin = [\"0.0.0.0/0\"]\nopen_to_all = true\n{node}");
    sandbox.write("stack.toml", &open);
    let outcome = sandbox.run(&["stack", "init", "--file", "stack.toml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("is everybody"), "{}", outcome.stderr);
    let none = Sandbox::new().run(&["stack", "init"]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("--node main="), "{}", none.stderr);
}

/// A GET over a plain connection.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a query now, as JSON.
pub(crate) fn query(port: u16, expr: &str) -> Value {
    let encoded: String =
        expr.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
    let answer = get(port, &format!("/api/v1/query?query={encoded}"));
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{expr}: {error}: {answer}"))
}

/// All expressions of the dashboards, with their variables filled in.
fn expressions(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for path in files(folder, "json") {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let mut ids: Vec<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{path}: ids stand twice");
        for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
            let expr = target["expr"].as_str().unwrap();
            all.push(expr.replace("$node", ".*").replace("$__rate_interval", "4s"));
        }
    }
    all
}

#[test]
fn a_local_stack_is_started_checked_seen_and_stopped() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&THREE).code, Some(0));
    let (port, exporter) = (free_port(), free_port());
    let (port_text, exporter_text) = (port.to_string(), exporter.to_string());
    let place = ["--data", "local", "--port", &port_text, "--exporter-port", &exporter_text];
    let stack = |what: &'static str| {
        let mut arguments = vec!["stack", what];
        arguments.extend(place);
        sandbox.run(&arguments)
    };
    let up = stack("up");
    assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
    let data = sandbox.path().join("local").canonicalize().unwrap();
    let mark = format!("STRESSOR_STACK={}", data.display());
    assert_eq!(processes_with(&mark).len(), 2);
    // Twice is refused, and harms nothing.
    let twice = stack("up");
    assert_eq!(twice.code, Some(1));
    assert!(twice.stderr.contains("is taken"), "{}", twice.stderr);
    assert_eq!(processes_with(&mark).len(), 2);
    let path = sandbox.write(
        "watched.toml",
        &format!(
            "name = \"watched\"\n[telemetry]\nprometheus = \"http://127.0.0.1:{port}\"\n\
             [[node]]\nname = \"here\"\ninstance = \"127.0.0.1:{exporter}\"\n\
             [[phase]]\nname = \"watch\"\nduration = \"10s\"\n"
        ),
    );
    let path = path.display().to_string();
    let check = || sandbox.run(&["check", &path, "--format", "json"]);
    let checked = check();
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let document: Value = serde_json::from_str(&checked.stdout).unwrap();
    let of = |name: &str, what: &str| {
        let findings = document["findings"].as_array().unwrap();
        let found = findings.iter().find(|one| one["of"] == name && one["check"] == what);
        found.unwrap_or_else(|| panic!("{name} {what} in {document:#}")).clone()
    };
    assert!(of("here", "target")["text"].as_str().unwrap().starts_with("UP"));
    assert!(of("here", "exporter")["text"].as_str().unwrap().starts_with("node_exporter 1."));
    assert_eq!(of("here", "clock")["state"], "ok");
    assert_eq!(of("prometheus", "retention")["text"], "samples are kept for 15d");
    assert!(of("prometheus", "rules")["text"].as_str().unwrap().contains("rules are healthy"));
    seen_by_dashboards(&sandbox, port);
    // Without node_exporter a run could not be trusted.
    let exporters = processes_with(&mark).into_iter().filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().contains("exporter")
    });
    for pid in exporters {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    wait_for("the target to be down", 10, || {
        query(port, "up{job=\"node\"} == 0")["data"]["result"][0].is_object()
    });
    let broken = check();
    assert_eq!(broken.code, Some(6), "{}", broken.stdout);
    assert!(broken.stdout.contains("node_exporter does not run there"), "{}", broken.stdout);
    let down = stack("down");
    assert_eq!(down.code, Some(0), "{}", down.stderr);
    assert_eq!(processes_with(&mark), Vec::<i32>::new());
    assert!(stack("down").stdout.contains("nothing of"));
}

/// No Grafana can be had here: a stand-in keeps what it was started with.
#[test]
fn where_grafana_is_installed_it_is_started_with_the_dashboards() {
    let sandbox = Sandbox::new();
    sandbox.program(
        "bin/grafana-server",
        "env >\"$GF_PATHS_PROVISIONING/environment\"\n\
         exec python3 -m http.server --bind \"$GF_SERVER_HTTP_ADDR\" \"$GF_SERVER_HTTP_PORT\"\n",
    );
    let path = sandbox.path_with("bin");
    let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
    let place = ["--data", "local", "--port", &ports[0], "--exporter-port", &ports[1]];
    let stack = |what: &'static str| {
        let mut arguments = vec!["stack", what];
        arguments.extend(place);
        arguments.extend(["--grafana-port", &ports[2]]);
        Outcome::of(&sandbox.stressor(&arguments).env("PATH", &path).output().unwrap())
    };
    let up = stack("up");
    assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
    let url = format!("http://127.0.0.1:{}", ports[2]);
    assert!(up.stdout.contains("grafana") && up.stdout.contains(&url), "{}", up.stdout);
    let data = sandbox.path().join("local").canonicalize().unwrap();
    let read = |path: &str| fs::read_to_string(data.join("grafana").join(path)).unwrap();
    assert!(read("provisioning/environment").contains("GF_SERVER_HTTP_ADDR=127.0.0.1"));
    // Its data source is the Prometheus beside it, its dashboards those written.
    let source = read("provisioning/datasources/stressor.yaml");
    assert!(source.contains(&format!("url: http://127.0.0.1:{}", ports[0])), "{source}");
    let dashboards = data.join("grafana/dashboards").display().to_string();
    let provider = read("provisioning/dashboards/stressor.yaml");
    assert!(provider.contains(&format!("path: {dashboards}")), "{provider}");
    assert_eq!(files(Path::new(&dashboards), "json").len(), 3);
    assert_eq!(stack("down").code, Some(0));
    assert!(TcpStream::connect(("127.0.0.1", ports[2].parse().unwrap())).is_err());
}

/// A run shows its own series, and every panel has something to show.
fn seen_by_dashboards(sandbox: &Sandbox, port: u16) {
    let text = scenario("kind = \"cpu\"\nload = 5", 9.0);
    let path = sandbox.write("load.toml", &text).display().to_string();
    let run = sandbox
        .stressor(&["run", &path, "-q", "--listen", "127.0.0.1:9105"])
        .stdout(Stdio::null())
        .spawn();
    let mut run = run.unwrap();
    wait_for("the load to be scraped", 12, || {
        let answer = query(port, "rate(stressor_operations_total[4s]) > 0");
        answer["data"]["result"][0].is_object()
    });
    let page = get(9105, "/metrics");
    assert!(page.contains("application/openmetrics-text") && page.ends_with("# EOF\n"), "{page}");
    let expressions = expressions(&sandbox.path().join("stack/grafana/dashboards"));
    assert!(expressions.len() > 60, "{}", expressions.len());
    // What this machine does not have cannot be shown: connection tracking, the
    // speed of a link.
    let absent = ["conntrack", "network_send_ratio", "network_receive_ratio", "ALERTS"];
    let mut empty = Vec::new();
    for expr in &expressions {
        let answer = query(port, expr);
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        if answer["data"]["result"].as_array().is_none_or(Vec::is_empty)
            && !absent.iter().any(|word| expr.contains(word))
        {
            empty.push(expr);
        }
    }
    assert!(run.wait().unwrap().success());
    assert!(empty.is_empty(), "{empty:#?}");
    // Its end gives the port back.
    assert!(TcpStream::connect(("127.0.0.1", 9105)).is_err());
}

/// Stands in for Grafana: its answers are those of its documentation.
fn grafana_stub(port: u16) -> Arc<Mutex<Vec<String>>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || {
                let _ = client.set_read_timeout(Some(Duration::from_millis(300)));
                let mut text = String::new();
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut part) {
                    text.push_str(&String::from_utf8_lossy(&part[..length]));
                }
                let body = if text.starts_with("GET /api/health") {
                    r#"{"database":"ok","version":"12.2.0","commit":"x"}"#
                } else if text.starts_with("GET /api/datasources/uid/stressor-prometheus/health") {
                    r#"{"message":"Successfully queried the Prometheus API.","status":"OK"}"#
                } else if text.starts_with("POST /api/annotations ") {
                    r#"{"message":"Annotation added","id":7}"#
                } else {
                    r#"{"message":"Annotation patched"}"#
                };
                let _ = write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                seen.lock().unwrap().push(text);
            });
        }
    });
    wait_for_port(port);
    requests
}

#[test]
fn grafana_is_told_of_each_phase_and_looked_at() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let requests = grafana_stub(port);
    sandbox.write("token", "glsa_secret\n");
    let url = format!("http://127.0.0.1:{port}");
    let path = sandbox.write("s.toml", &scenario("kind = \"cpu\"\nload = 5", 2.0));
    let path = path.display().to_string();
    let told = ["--grafana", &url, "--grafana-token-file", "token"];
    let mut arguments = vec!["run", path.as_str(), "-q"];
    arguments.extend(told);
    let outcome = sandbox.run(&arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let all = requests.lock().unwrap().clone();
    let begins: Vec<&String> = all.iter().filter(|one| one.starts_with("POST ")).collect();
    let ends: Vec<&String> =
        all.iter().filter(|one| one.starts_with("PATCH /api/annotations/7 ")).collect();
    assert_eq!((begins.len(), ends.len()), (2, 2), "{all:#?}");
    assert!(
        begins.iter().all(|one| one.to_lowercase().contains("authorization: bearer glsa_secret"))
    );
    assert!(begins[1].contains("\"text\":\"run-1: load\"") && begins[1].contains("run:run-1"));
    assert!(ends[0].contains("\"timeEnd\":1"), "{}", ends[0]);
    for file in fs::read_dir(sandbox.reports("run-1")).unwrap().flatten() {
        let bytes = fs::read(file.path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("glsa_secret"), "{:?}", file.path());
    }
    let mut arguments = vec!["check", "--format", "json"];
    arguments.extend(told);
    let checked = sandbox.run(&arguments);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(checked.stdout.contains("Grafana 12.2.0, database ok"), "{}", checked.stdout);
    assert!(checked.stdout.contains("Successfully queried"), "{}", checked.stdout);
    assert!(!checked.stdout.contains("glsa_secret"));
    // A password in an address would be printed and kept.
    for arguments in [
        ["run", &path, "--grafana=http://u:hidden@h:1", "--grafana-token-file=token"],
        ["check", &path, "--grafana=http://u:hidden@h:1", "--grafana-token-file=token"],
        ["check", &path, "--prometheus=http://u:hidden@h:1", "--format=json"],
    ] {
        let refused = sandbox.run(&arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.stdout);
        assert!(!refused.stderr.contains("hidden"), "{}", refused.stderr);
    }
    // A Grafana that is away costs a note and nothing else.
    let gone = format!("http://127.0.0.1:{}", free_port());
    let arguments = ["run", &path, "-q", "--grafana", &gone, "--grafana-token-file", "token"];
    let outcome = sandbox.run(&arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let manifest = fs::read_to_string(sandbox.reports("run-2").join("run.json")).unwrap();
    assert!(manifest.contains("takes no annotation"), "{manifest}");
}
