//! For every input of a class: it ends, in bounded memory, without a panic; nothing
//! invisible comes out; and a verdict is unchanged, or doubtful with a note.
//!
//! The inputs are mutations of good ones, from a seed, so that a failure can be repeated:
//! `STRESSOR_FUZZ` is the number of inputs of each class (300 without it),
//! `STRESSOR_FUZZ_SEED` the seed. That of answers over HTTP is beside their reader.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use stressor::{
    analyze::{
        self,
        outcome::{Analysis, Grade, Kind, Level},
    },
    fleet::{inventory, wire},
    model::{
        plausible,
        run::{
            Event, HostFacts, Manifest, NodeRecord, PhaseRecord, RUN_SCHEMA, Run, SourceKind,
            State, WorkerInterval,
        },
        series::{Key, Point, Signal, Snapshot},
        text,
        time::Timestamp,
    },
    report::{self, Format},
    scenario::{self, explain},
    stack::artefacts,
    store::{folder::RunFolder, journal::Journal, read},
    telemetry::prometheus::{decode, limits},
};

/// What one input may take: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 8).unwrap_or(0) % most.max(1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What breaks parsers, terminals, tables and arithmetic.
const POISON: &[&str] = &[
    "\x1b[2J",
    "\x1b]52;c;eA==\x07",
    "\u{9b}31m",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "\u{fffe}",
    "\\u001b[2J",
    "\\u202e",
    "\0",
    "\r\n",
    "\n",
    "\t",
    "\"",
    "'",
    "\"\"\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "=",
    ",",
    ":",
    "#",
    "=cmd|' /C calc'!A0",
    "@everyone",
    "![x](http://h/x)",
    "<script>",
    "]]>",
    "&",
    "-1",
    "0",
    "4.9e-324",
    "1e308",
    "-1e308",
    "1e400",
    "NaN",
    "inf",
    "null",
    "true",
    "99999999999999999999",
    "-9223372036854775808",
    "9223372036854775807",
    "0.0000001",
    "\"0s\"",
    "\"99999d\"",
    "\"-1\"",
    "$(reboot)",
    "../../etc/passwd",
    "-oProxyCommand=x",
    "\u{1f468}\u{200d}",
    "é",
    "日本",
];

/// A few changes: bytes, pieces, lines, numbers.
fn mutated(base: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, random.one_of(POISON).bytes())),
            3 => drop(bytes.splice(at..end, random.one_of(POISON).bytes())),
            4 => bytes.truncate(at),
            // A line twice, away, or elsewhere.
            5 | 6 => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                if !lines.is_empty() {
                    let from = random.below(lines.len());
                    let line = lines[from];
                    match random.below(3) {
                        0 => lines.insert(random.below(lines.len()), line),
                        1 => drop(lines.remove(from)),
                        _ => {
                            let to = random.below(lines.len());
                            lines.swap(from, to);
                        }
                    }
                }
                bytes = lines.concat();
            }
            // One of the numbers.
            7 => {
                let starts: Vec<usize> = (0..bytes.len())
                    .filter(|at| {
                        bytes[*at].is_ascii_digit()
                            && (*at == 0 || !bytes[*at - 1].is_ascii_digit())
                    })
                    .collect();
                if !starts.is_empty() {
                    let start = *random.one_of(&starts);
                    let length =
                        bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let number = random.one_of(&POISON[30..46]);
                    bytes.splice(start..start + length, number.bytes());
                }
            }
            _ => {
                let long = random.one_of(b"x[9 \\\"");
                let length = random.below(3000);
                drop(bytes.splice(at..at, std::iter::repeat_n(*long, length)));
            }
        }
    }
    bytes
}

/// Try so many mutations of good inputs.
#[expect(clippy::print_stderr, reason = "how many inputs were tried is seen with --nocapture")]
fn fuzz(class: &str, bases: &[Vec<u8>], share: usize, mut check: impl FnMut(&[u8], &mut Random)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("STRESSOR_FUZZ").unwrap_or(300 / share as u64);
    let seed = number("STRESSOR_FUZZ_SEED").unwrap_or(14);
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for index in 0..count {
        let mut random = Random(seed.wrapping_mul(0x1_0000_0001).wrapping_add(index << 20));
        let base = random.one_of(bases);
        let input = mutated(base, &mut random);
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&input, &mut random)));
        let took = started.elapsed();
        longest = longest.max(took);
        if outcome.is_err() || took > PATIENCE {
            let shown = String::from_utf8_lossy(&input);
            panic!("{class}, seed {seed}, input {index}, {took:?}:\n{}", shown.escape_debug());
        }
    }
    eprintln!("{class}: {count} inputs in {:?}, the longest {longest:?}", begun.elapsed());
}

/// What a text may be: visible, and of a size that a person can read.
fn assert_clean(text: &str, what: &str) {
    assert!(text::is_visible(text), "{what}: {}", text.escape_debug());
    assert!(text.len() < 400_000, "{what}: {} bytes", text.len());
}

fn files(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|own| own == extension));
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn scenarios() {
    let mut bases = files("scenarios", "toml");
    bases.push(
        b"name = \"x\"\ndescription = \"d\"\nconfirm = true\n[telemetry]\nprometheus = \"http://127.0.0.1:9090\"\n[[node]]\nname = \"a\"\ninstance = \"a:9100\"\nssh = \"u@a\"\nset = [\"phase.p.load.workers=2\"]\n[[node]]\nname = \"b\"\nkubectl = \"ns/pod\"\n[[phase]]\nname = \"p\"\nramp = {from = 1, to = 8, steps = 4, hold = \"5s\"}\n[[phase.load]]\nkind = \"cpu\"\nworkers = 1\n[[threshold]]\nsignal = \"cpu_busy\"\nmax = 0.9\n[[abort]]\nsignal = \"memory_used_ratio\"\nmax = 0.95\nfor = \"2s\"\n".to_vec(),
    );
    let machine = explain::Machine { cores: 4, available: 8 << 30 };
    fuzz("scenario", &bases, 1, |input, random| {
        let set = [(*random.one_of(POISON)).to_owned(), "phase.0.duration=5s".to_owned()];
        let overrides = if random.below(10) == 0 { &set[..] } else { &[] };
        let text = String::from_utf8_lossy(input);
        match scenario::parse("input", &text, overrides) {
            // What is printed of a description goes through `visible_lines`.
            Ok(plan) => {
                assert_clean(&text::visible_lines(&explain::plan(&plan, machine)), "explained");
            }
            Err(error) => assert_clean(&error.text, "error"),
        }
    });
}

#[test]
fn stack_files() {
    let bases = [
        "scrape_interval = \"5s\"\n[access]\nadmin = [\"10.0.0.0/8\"]\n[[node]]\nname = \"main\"\naddress = \"10.0.1.10\"\nrole = \"server\"\n[[node]]\nname = \"client-1\"\naddress = \"10.0.1.11\"\nrole = \"client\"\n".as_bytes().to_vec(),
    ];
    assert!(scenario::parse_stack("x", std::str::from_utf8(&bases[0]).unwrap(), &[]).is_ok());
    fuzz("stack.toml", &bases, 1, |input, _| {
        let text = String::from_utf8_lossy(input);
        match scenario::parse_stack("input", &text, &[]) {
            Ok(setup) => match artefacts::all(&setup) {
                Ok(all) => {
                    for one in all {
                        let path = Path::new(&one.path);
                        let is_normal = |part| matches!(part, std::path::Component::Normal(_));
                        assert!(path.components().all(is_normal), "{}", one.path);
                        assert!(!one.text.contains('\x1b'), "{}", one.path);
                    }
                }
                Err(error) => assert_clean(&text::visible(&error.to_string()), "error"),
            },
            Err(error) => assert_clean(&error.text, "error"),
        }
    });
}

#[test]
fn ansible_lists() {
    let bases = [
        br#"{"_meta": {"hostvars": {"a": {"ansible_host": "10.0.0.1", "ansible_user": "ubuntu"},
 "b": {"ansible_port": 2222}, "here": {"ansible_connection": "local"}}},
 "all": {"children": ["ungrouped", "clients", "ring"]}, "clients": {"hosts": ["a", "b"], "children": ["ring"]},
 "ring": {"children": ["clients", "all"]}, "ungrouped": {"hosts": ["here"]}}"#
            .to_vec(),
    ];
    fuzz("ansible list", &bases, 1, |input, _| {
        match inventory::ansible_list("input", &String::from_utf8_lossy(input)) {
            Ok(members) => {
                for one in &members {
                    assert_clean(&one.name, "name");
                    let ssh = one.ssh.as_deref().unwrap_or("x");
                    assert_clean(ssh, "ssh");
                    assert!(!ssh.starts_with('-') && !ssh.contains(char::is_whitespace), "{ssh:?}");
                }
            }
            Err(error) => assert_clean(&error.to_string(), "error"),
        }
    });
}

#[test]
fn agent_lines() {
    let t = Timestamp(1_800_000_000_000);
    let said = [
        wire::FromAgent::Hello {
            schema: wire::SCHEMA,
            version: "0.1.0".into(),
            host: HostFacts { hostname: "n".into(), cores: 4, ..HostFacts::default() },
            notes: vec!["a note".into()],
        },
        wire::FromAgent::Refused { reasons: vec!["no".into()] },
        wire::FromAgent::Sample {
            t,
            columns: Some(vec!["node_load1".into(), "x{a=\"b\"}".into()]),
            v: vec![Some(1.5), None],
        },
        wire::FromAgent::Worker(worker(t, 0)),
        wire::FromAgent::Event(event(t, "worker 1 ended")),
        wire::FromAgent::Beat { sent: t, t },
        wire::FromAgent::Failed { why: "gone".into() },
    ];
    let bases: Vec<Vec<u8>> = said.iter().map(|one| serde_json::to_vec(one).unwrap()).collect();
    fuzz("agent line", &bases, 1, |input, _| {
        let (mut reader, mut line) = (input, Vec::new());
        while wire::read_line(&mut reader, &mut line).unwrap() {
            match wire::message(&line) {
                Some(wire::FromAgent::Failed { why }) => assert_clean(&why, "why"),
                Some(wire::FromAgent::Refused { reasons }) => {
                    assert_clean(&reasons.join(""), "reasons");
                }
                Some(wire::FromAgent::Event(event)) => assert_clean(&event.text, "event"),
                Some(wire::FromAgent::Hello { host, notes, version, .. }) => {
                    let texts = format!("{version}{}{}", host.hostname, notes.join(""));
                    assert_clean(&texts, "hello");
                }
                Some(wire::FromAgent::Sample { t, columns, v }) => {
                    assert!(plausible::is_time(t));
                    assert!(columns.is_none_or(|names| names.len() == v.len()));
                    assert!(v.iter().flatten().all(|v| plausible::value(*v) == Some(*v)));
                }
                Some(wire::FromAgent::Worker(one)) => {
                    assert!(one.achieved >= 0.0 && one.seconds >= 0.0 && plausible::is_time(one.t));
                }
                _ => (),
            }
        }
    });
}

#[test]
fn prometheus_answers() {
    let bases = files("tests/fixtures/prometheus", "json");
    fuzz("prometheus answer", &bases, 1, |input, _| {
        match decode::reply(input) {
            Ok(reply) => {
                for series in &reply.series {
                    assert!(series.labels.len() <= limits::MOST_LABELS);
                    for point in &series.points {
                        assert!(plausible::is_time(point.t), "{point:?}");
                        assert_eq!(plausible::value(point.v), Some(point.v));
                    }
                }
                for said in reply.warnings.iter().chain(&reply.infos) {
                    assert_clean(said, "warning");
                }
            }
            // It quotes the answer's first bytes, escaped.
            Err(error) => assert_clean(&text::visible(&error.to_string()), "error"),
        }
        if let Ok(targets) = decode::targets(input) {
            for target in targets {
                assert_clean(&target.last_error, "last error");
                assert_ne!(target.scrape_interval, "0s");
            }
        }
    });
}

fn event(t: Timestamp, text: &str) -> Event {
    Event {
        t,
        kind: "phase".into(),
        text: text.into(),
        phase: Some(0),
        node: String::new(),
        worker: None,
    }
}

fn worker(t: Timestamp, phase: usize) -> WorkerInterval {
    let line = format!(
        "{{\"t\":{},\"seconds\":1.0,\"phase\":{phase},\"worker\":0,\"load\":0,\"kind\":\"cpu\",\"requested\":1.0,\"achieved\":0.98,\"unit\":\"ratio\",\"operations\":900,\"bytes\":0,\"errors\":0,\"cpu_s\":0.98,\"resident\":4096}}",
        serde_json::to_string(&t).unwrap()
    );
    serde_json::from_str(&line).unwrap()
}

const START: i64 = 1_800_000_000_000;
const SCENARIO: &str = "name = \"whole\"\ndescription = \"d\"\n[[phase]]\nname = \"baseline\"\nduration = \"10s\"\n[[phase]]\nname = \"load\"\nduration = \"20s\"\n[[phase.load]]\nkind = \"cpu\"\nworkers = 2\n[[threshold]]\nsignal = \"cpu_busy\"\nmax = 2.0\n";

fn at(second: i64) -> Timestamp {
    Timestamp(START + second * 1000)
}

fn record(name: &str, source: SourceKind) -> NodeRecord {
    NodeRecord {
        name: name.to_owned(),
        instance: (source == SourceKind::Prometheus).then(|| format!("{name}:9100")),
        labels: [].into(),
        source,
        loaded: source == SourceKind::Embedded,
        agent: false,
        interval_s: 1.0,
        window_s: 1.0,
        host: HostFacts { hostname: name.to_owned(), cores: 2, ..HostFacts::default() },
    }
}

fn phase(name: &str, from: i64, to: i64, loads: &[&str]) -> PhaseRecord {
    PhaseRecord {
        name: name.to_owned(),
        level: None,
        probe: None,
        start: at(from),
        steady: Some(at(from)),
        end: Some(at(to)),
        planned_s: (to - from) as f64,
        loads: loads.iter().map(|load| (*load).to_owned()).collect(),
    }
}

/// A whole run of two nodes: one by the own sampler, whose two cores are full under load,
/// one by a Prometheus.
fn whole_run(reports: &Path) -> RunFolder {
    let folder = RunFolder::create(reports, Some("whole")).unwrap();
    folder.replace("scenario.toml", SCENARIO.as_bytes()).unwrap();
    let mut journal = Journal::create(&folder).unwrap();
    let (mut busy, mut idle, mut waited) = (0.0, 0.0, 0.0);
    for second in 0..=30 {
        let share = if second > 10 { 0.99 } else { 0.02 };
        busy += share;
        idle += 1.0 - share;
        waited += if second > 10 { 0.9 } else { 0.0 };
        let mut values = Vec::new();
        for cpu in ["0", "1"] {
            for (mode, v) in [("user", busy), ("idle", idle)] {
                let labels = [("cpu", cpu), ("mode", mode)];
                values.push((Key::new("node_cpu_seconds_total", &labels), v));
            }
        }
        values.push((Key::new("node_pressure_cpu_waiting_seconds_total", &[]), waited));
        values.push((Key::new("node_pressure_io_waiting_seconds_total", &[]), 0.0));
        values.push((Key::new("node_pressure_memory_waiting_seconds_total", &[]), 0.0));
        values.push((Key::new("node_procs_running", &[]), if second > 10 { 6.0 } else { 1.0 }));
        values.push((Key::new("node_memory_MemTotal_bytes", &[]), 16e9));
        values.push((Key::new("node_memory_MemAvailable_bytes", &[]), 14e9));
        let disk = [("device", "sda")];
        values.push((Key::new("node_disk_io_time_seconds_total", &disk), second as f64 * 0.01));
        values.push((Key::new("node_vmstat_oom_kill", &[]), 0.0));
        journal.sample(&Snapshot { t: at(second), values });
        if second > 10 {
            journal.worker(&worker(at(second), 1));
        }
    }
    let points = |v: f64| (0..=30).map(|second| Point { t: at(second), v }).collect();
    let far = [
        ("up", None, 1.0, 0.0),
        ("boot_time", None, 1_799_000_000.0, 0.0),
        ("cpu_busy", None, 0.1, 1.0),
        ("cpu_core_max", None, 0.12, 1.0),
        ("cpu_cores", None, 4.0, 1.0),
        ("cpu_psi_some", None, 0.01, 1.0),
        ("memory_used_ratio", None, 0.3, 0.0),
        ("disk_busy", Some("sda"), 0.02, 1.0),
    ];
    for (name, device, v, window_s) in far {
        let device = device.map(str::to_owned);
        journal.signal(name, "far:9100", &Signal { device, points: points(v), window_s });
    }
    journal.event(&event(at(10), "phase load begins"));
    journal.close().unwrap();
    let manifest = Manifest {
        schema: RUN_SCHEMA,
        id: folder.id(),
        tool: "0.1.0".into(),
        state: State::Complete,
        recovered: false,
        start: at(0),
        end: Some(at(30)),
        scenario: "whole".into(),
        description: "d".into(),
        overrides: Vec::new(),
        phases: vec![phase("baseline", 0, 10, &[]), phase("load", 10, 30, &["2 cpu workers"])],
        nodes: vec![record("local", SourceKind::Embedded), record("far", SourceKind::Prometheus)],
        telemetry: Vec::new(),
        tags: [].into(),
        notes: vec!["a note".into()],
        caveats: Vec::new(),
        stopped: None,
    };
    folder.write_manifest(&manifest).unwrap();
    folder
}

/// What the verdicts of a run are, without their wording.
fn verdicts(analysis: &Analysis) -> Vec<(String, String, String, Option<String>, Kind, Grade)> {
    let all = analysis.nodes.iter().flat_map(|node| node.phases.iter().map(move |one| (node, one)));
    all.map(|(node, one)| {
        let verdict = &one.verdict;
        (
            node.node.clone(),
            one.phase.clone(),
            verdict.resource.clone(),
            verdict.device.clone(),
            verdict.kind,
            verdict.grade,
        )
    })
    .collect()
}

fn judged(folder: &RunFolder) -> Option<(Run, Analysis)> {
    let mut run = match read::run(folder) {
        Ok(run) => run,
        Err(error) => {
            assert_clean(&text::visible_lines(&error.to_string()), "error");
            return None;
        }
    };
    analyze::sources::settle(&mut run);
    let analysis = analyze::analyze(&run);
    Some((run, analysis))
}

#[test]
fn run_folders() {
    let reports = tempfile::tempdir().unwrap();
    let folder = whole_run(reports.path());
    let (run, analysis) = judged(&folder).unwrap();
    assert_eq!(analysis.validity.level, Level::Valid, "{:?}", analysis.validity);
    assert!(run.manifest.caveats.is_empty());
    let before = verdicts(&analysis);
    assert!(before.iter().any(|one| one.2 == "cpu" && one.4 == Kind::Saturated), "{before:?}");
    let names = [
        "run.json",
        "scenario.toml",
        "samples.jsonl",
        "signals.jsonl",
        "workers.jsonl",
        "events.jsonl",
        "journals.json",
    ];
    let originals: Vec<Vec<u8>> =
        names.iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    fuzz("run folder", &[Vec::new()], 2, |_, random| {
        let which = random.below(names.len());
        let path = folder.path().join(names[which]);
        let changed = mutated(&originals[which], random);
        fs::write(&path, &changed).unwrap();
        if let Some((run, analysis)) = judged(&folder) {
            let is_doubtful = analysis.validity.level != Level::Valid;
            // A changed digest alone, or blanks, change nothing that is said.
            if verdicts(&analysis) != before {
                let said = analysis.validity.notes.join("; ");
                assert!(is_doubtful, "{}: another verdict, valid: {said}", names[which]);
                for one in verdicts(&analysis) {
                    assert!(one.5 <= Grade::Possible || before.contains(&one), "{one:?}: {said}");
                }
            }
            let terminal = report::terminal::render(&run, &analysis, 100);
            let plain = anstream::adapter::strip_str(&terminal).to_string();
            assert_clean(&plain, "terminal");
            assert_eq!(plain.len(), without_colours(&terminal).len(), "a foreign escape");
            let formats: &[Format] = match random.below(8) {
                0 => &[Format::Html, Format::Junit],
                1 => &[Format::Csv, Format::Markdown],
                _ => &[],
            };
            for format in formats {
                let bytes = report::render(&run, &analysis, *format).unwrap();
                let text = String::from_utf8(bytes).unwrap();
                assert!(text::is_visible(&text.replace(['\u{200b}'], "")), "{format:?}");
            }
        }
        // Also when it was marked as recovered.
        fs::write(&path, &originals[which]).unwrap();
        if which != 0 {
            return;
        }
        let _ = fs::write(folder.path().join("run.json"), &originals[0]);
    });
}

/// A text without the colours that `anstyle` writes.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find('m').map_or(0, |at| at + 1);
        out.push_str(&part[end..]);
    }
    out
}

/// Each of these was a valid run with another verdict, or none at all.
#[test]
fn loss_is_noticed_and_caps_the_grade() {
    let reports = tempfile::tempdir().unwrap();
    let folder = whole_run(reports.path());
    let path = |name: &str| folder.path().join(name);
    let read_all = |name: &str| fs::read_to_string(path(name)).unwrap();
    let samples = read_all("samples.jsonl");
    let lines: Vec<&str> = samples.lines().collect();
    let renamed = samples.replacen("node_memory_MemTotal_bytes", "node_memory_Memtotal_bytes", 1);
    let shorter = samples.replacen("\"node_vmstat_oom_kill\"", "", 1).replacen(",]", "]", 1);
    let no_tail = format!("{}\n", lines[..lines.len() - 3].join("\n"));
    let no_middle = format!("{}\n{}\n", lines[..8].join("\n"), lines[12..].join("\n"));
    for (what, text) in
        [("renamed", renamed), ("shorter", shorter), ("tail", no_tail), ("middle", no_middle)]
    {
        fs::write(path("samples.jsonl"), text).unwrap();
        let (_, analysis) = judged(&folder).unwrap();
        assert_ne!(analysis.validity.level, Level::Valid, "{what}");
        let notes = analysis.validity.notes.join("; ");
        assert!(notes.contains("samples.jsonl"), "{what}: {notes}");
        let worst = verdicts(&analysis).into_iter().map(|one| one.5).max().unwrap();
        assert!(worst <= Grade::Possible, "{what}: {worst:?}");
    }
    fs::write(path("samples.jsonl"), &samples).unwrap();
    let signals = read_all("signals.jsonl");
    fs::write(path("signals.jsonl"), signals.lines().take(4).collect::<Vec<_>>().join("\n"))
        .unwrap();
    let (_, analysis) = judged(&folder).unwrap();
    assert!(analysis.validity.notes.join("; ").contains("signals.jsonl has 3 lines, and had 8"));
    fs::write(path("signals.jsonl"), signals.replace("0.1]", "-1.0]")).unwrap();
    let (_, analysis) = judged(&folder).unwrap();
    let notes = analysis.validity.notes.join("; ");
    assert!(
        notes.contains("far has impossible values") && notes.contains("cpu_busy (-1)"),
        "{notes}"
    );
    fs::write(path("signals.jsonl"), &signals).unwrap();
    // A pipe in the place of a journal is not waited for.
    fs::remove_file(path("events.jsonl")).unwrap();
    let pipe = std::ffi::CString::new(path("events.jsonl").display().to_string()).unwrap();
    // SAFETY: makes a pipe with a name, from a live text.
    #[expect(unsafe_code, reason = "std has no named pipes")]
    let made = unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) };
    assert_eq!(made, 0);
    let (_, analysis) = judged(&folder).unwrap();
    assert!(analysis.validity.notes.join("; ").contains("events.jsonl is missing"));
}
