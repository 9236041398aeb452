//! Every kind of load against the real kernel: what the scenario asks for is
//! what the machine sees.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Outcome, Sandbox, machine, processes_with, scenario, wait_for};

/// Run one load and return what it did.
fn load(load: &str, seconds: f64) -> Value {
    let sandbox = Sandbox::new();
    let verdict = sandbox.verdict(&scenario(load, seconds).replace("3s", "500ms"), &[]);
    verdict["loads"][0].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn memory_moves_bytes_in_every_way() {
    let _machine = machine();
    for way in ["read", "write", "copy", "triad", "random"] {
        let done = load(&format!("kind = \"memory\"\nsize = \"64M\"\nbandwidth = \"{way}\""), 1.0);
        assert_eq!(done["unit"], "bytes_per_second", "{done:#}");
        // A tenth of what the slowest machine of this decade does.
        assert!(number(&done["achieved"]) > 100e6, "{way}: {done:#}");
        assert!(number(&done["latency"]["p50_s"]) > 0.0, "{way}: {done:#}");
    }
}

#[test]
fn memory_keeps_to_its_rate_in_bytes() {
    let _machine = machine();
    for way in ["bandwidth = \"write\"", "stride = 64", "keep = false"] {
        let done =
            load(&format!("kind = \"memory\"\nsize = \"32M\"\nrate_bytes = \"100M\"\n{way}"), 2.0);
        let per_second = number(&done["bytes_per_s"]) / f64::from(100 << 20);
        assert!((0.9..=1.1).contains(&per_second), "{way}: {done:#}");
    }
}

#[test]
fn memory_grows_at_its_rate_and_is_then_held() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = scenario(
        "kind = \"memory\"\nworkers = 2\nsize = \"1G\"\ngrowth = \"64M\"\nhang = true\nlock = true",
        4.0,
    );
    let verdict = sandbox.verdict(&text, &[]);
    let done = &verdict["loads"][0];
    // 4 s of 64 MiB; asked is what should be there by then.
    let held = number(&done["achieved"]) / f64::from(1 << 20);
    assert!((220.0..=264.0).contains(&held), "{done:#}");
    assert!((220.0..=264.0).contains(&(number(&done["requested"]) / f64::from(1 << 20))));
    assert!(done["shortfall"].is_null(), "{done:#}");
    // Evenly: halfway through, half of it.
    let workers = fs::read_to_string(sandbox.reports("run-1").join("workers.jsonl")).unwrap();
    let resident: Vec<f64> = workers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| number(&line["resident"]))
        .collect();
    assert!(resident.windows(3).all(|three| three[2] >= three[0]), "{resident:?}");
    assert!(number(&done["cpu_s"]) < 2.0, "holding costs nothing: {done:#}");
}

#[test]
fn huge_pages_are_taken_where_the_kernel_has_them() {
    let _machine = machine();
    let mode = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let faults_each = |extra: &str| {
        let done = load(&format!("kind = \"memory\"\nsize = \"64M\"\nkeep = false\n{extra}"), 2.0);
        number(&done["bytes_per_s"]) / number(&done["cpu_s"])
    };
    let (small, huge) = (faults_each(""), faults_each("huge_pages = true"));
    // Where the kernel has none, asking for them must not hurt.
    let least = if mode.is_ok_and(|mode| !mode.contains("[never]")) { 1.1 } else { 0.7 };
    assert!(huge > small * least, "{huge} against {small} bytes per second");
}

#[test]
fn a_worker_runs_as_its_scheduling_and_io_class_say() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = scenario(
        "kind = \"cpu\"\nworkers = 1\nload = 5\nnice = 7\nscheduler = \"batch\"\nio_class = \"idle\"",
        3.0,
    );
    let path = sandbox.write("s.toml", &text);
    let mut child =
        sandbox.stressor(&["run", path.to_str().unwrap(), "-q"]).spawn().expect("it starts");
    let mut found = None;
    wait_for("a worker with nice 7", 10, || {
        found = fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let io = std::process::Command::new("ionice")
                .args(["-p", entry.file_name().to_str()?])
                .output()
                .ok()?;
            (stat.contains("(stressor-cpu)") && stat.contains(" 7 "))
                .then(|| (stat, String::from_utf8_lossy(&io.stdout).into_owned()))
        });
        found.is_some()
    });
    assert!(child.wait().unwrap().success());
    let (stat, io) = found.unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // After the name: field 19 is the nice value, 41 the policy (3 is batch).
    assert_eq!(fields[16], "7", "{stat}");
    assert_eq!(fields[38], "3", "{stat}");
    assert_eq!(io.trim(), "idle");
}

#[test]
fn disk_operations_are_done_by_every_engine_and_their_content_holds() {
    let _machine = machine();
    for engine in ["io_uring", "threads"] {
        for operation in ["write", "read", "mixed"] {
            for access in ["sequential", "random"] {
                let done = load(
                    &format!(
                        "kind = \"disk\"\nfile_size = \"16M\"\nblock_size = \"16K\"\ndepth = 8\n\
                         verify = true\nfsync = {}\noperation = \"{operation}\"\n\
                         access = \"{access}\"\nengine = \"{engine}\"",
                        if operation == "read" { "\"never\"" } else { "64" },
                    ),
                    0.5,
                );
                let case = format!("{engine} {operation} {access}: {done:#}");
                assert!(number(&done["operations_per_s"]) > 50.0, "{case}");
                assert_eq!(done["errors"], 0, "{case}");
                let moved = number(&done["bytes_per_s"]) / number(&done["operations_per_s"]);
                assert!((moved - 16384.0).abs() < 1.0, "{case}");
            }
        }
    }
}

/// What the kernel counts, all CPUs together.
fn context_switches() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    stat.lines().find_map(|line| line.strip_prefix("ctxt ")).unwrap().parse().unwrap()
}

#[test]
fn threads_that_take_turns_make_the_kernel_switch() {
    let _machine = machine();
    for via in ["pipe", "futex"] {
        let before = context_switches();
        // On one core none can go on before the other sleeps.
        let done =
            load(&format!("kind = \"switch\"\nworkers = 1\ncores = [0]\nvia = {via:?}"), 2.0);
        let switches = context_switches() - before;
        let round_trips = number(&done["operations_per_s"]) * 2.0;
        assert!(round_trips > 10_000.0, "{via}: {done:#}");
        assert!(switches > 1.9 * round_trips, "{via}: {switches} switches, {done:#}");
    }
}

#[test]
fn cpu_keeps_to_its_rate_with_every_method() {
    let _machine = machine();
    for (method, rate) in [("sqrt", 2_000_000), ("matrix", 50), ("memory-latency", 20_000)] {
        let done =
            load(&format!("kind = \"cpu\"\nworkers = 1\nmethod = {method:?}\nrate = {rate}"), 2.0);
        assert_eq!(done["unit"], "per_second", "{done:#}");
        let ratio = number(&done["achieved"]) / f64::from(rate);
        assert!((0.97..=1.03).contains(&ratio), "{method}: {done:#}");
        assert!(done["shortfall"].is_null(), "{done:#}");
        // It rests, rather than spins, meanwhile.
        assert!(number(&done["cpu_s"]) < 1.0, "{method}: {done:#}");
    }
}

#[test]
fn disk_keeps_to_its_rate_in_bytes_and_reads_and_writes_as_asked() {
    let _machine = machine();
    for engine in ["io_uring", "threads"] {
        let sandbox = Sandbox::new();
        let text = scenario(
            &format!(
                "kind = \"disk\"\nfile_size = \"16M\"\nblock_size = \"64K\"\ndepth = 4\n\
                 direct = true\noperation = \"mixed\"\nreads = 25\naccess = \"random\"\n\
                 rate_bytes = \"10M\"\nengine = \"{engine}\""
            ),
            3.0,
        );
        let verdict = sandbox.verdict(&text, &[]);
        let done = &verdict["loads"][0];
        let rate = number(&done["achieved"]) / f64::from(10 << 20);
        assert!((0.95..=1.05).contains(&rate), "{engine}: {done:#}");
        // Direct: what the workers moved is what the disk was charged with.
        let charged = number(&done["device_bytes_per_s"]) / number(&done["bytes_per_s"]);
        assert!((0.9..=1.1).contains(&charged), "{engine}: {done:#}");
        let workers = fs::read_to_string(sandbox.reports("run-1").join("workers.jsonl")).unwrap();
        let (mut read, mut written) = (0.0, 0.0);
        for line in workers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            if line["setup"] != true {
                read += line["device_read"].as_f64().unwrap_or(0.0);
                written += line["device_written"].as_f64().unwrap_or(0.0);
            }
        }
        let share = read / (read + written);
        assert!((0.15..=0.35).contains(&share), "{engine}: {share} of the bytes were read");
    }
}

/// Have the kernel refuse io_uring to the child, as container runtimes do.
fn without_io_uring(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    // Load the number of the call; unless it is io_uring_setup (425 on every
    // architecture), allow it; otherwise answer EPERM.
    let filter = [
        libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: 425 },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | libc::EPERM as u32 },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 },
    ];
    // SAFETY: between fork and exec only two prctl calls are made, with a
    // filter that the closure owns.
    #[expect(unsafe_code, reason = "seccomp is set between fork and exec")]
    unsafe {
        command.pre_exec(move || {
            let mut filter = filter;
            let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program) == 0
            {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
}

#[test]
fn where_io_uring_is_forbidden_threads_take_its_place_and_the_run_says_so() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = scenario(
        "kind = \"disk\"\nfile_size = \"16M\"\naccess = \"random\"\ndepth = 8\noperation = \"read\"",
        1.0,
    );
    let path = sandbox.write("s.toml", &text);
    let mut command = sandbox.stressor(&["run", path.to_str().unwrap(), "--format", "json"]);
    without_io_uring(&mut command);
    let outcome = crate::support::Outcome::of(&command.output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("io_uring cannot be used"), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(number(&verdict["loads"][0]["operations_per_s"]) > 100.0, "{verdict:#}");
    // Asked for by name, it is refused before anything starts.
    let path = sandbox.write("s.toml", &format!("{text}engine = \"io_uring\"\n"));
    let mut command = sandbox.stressor(&["run", path.to_str().unwrap()]);
    without_io_uring(&mut command);
    let outcome = crate::support::Outcome::of(&command.output().unwrap());
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("seccomp"), "{}", outcome.stderr);
}

#[test]
fn files_are_made_at_the_rate_asked_for_and_none_is_left() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = scenario(
        "kind = \"files\"\nworkers = 2\ncount = 50\nfile_size = \"8K\"\nrate = 200\ndirectory = \"made\"",
        3.0,
    );
    fs::create_dir(sandbox.path().join("made")).unwrap();
    let verdict = sandbox.verdict(&text, &[]);
    let done = &verdict["loads"][0];
    assert!((390.0..=410.0).contains(&number(&done["achieved"])), "{done:#}");
    assert_eq!(done["errors"], 0);
    assert_eq!(fs::read_dir(sandbox.path().join("made")).unwrap().count(), 0);
}

/// The children of a process, by name.
fn named(name: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.contains(&format!("({name})")))
        .count()
}

#[test]
fn whoever_is_killed_no_file_and_no_process_stays() {
    let _machine = machine();
    for victim in ["program", "spawner", "both"] {
        let sandbox = Sandbox::new();
        let made = sandbox.path().join("made");
        fs::create_dir(&made).unwrap();
        let text = format!(
            "{}[[phase.load]]\nkind = \"processes\"\ncount = 20\n",
            scenario("kind = \"files\"\ncount = 100\ndirectory = \"made\"", 60.0)
        );
        let path = sandbox.write("s.toml", &text);
        let arguments = ["run", path.to_str().unwrap(), "-q"];
        let mut child = sandbox.stressor(&arguments).spawn().unwrap();
        wait_for("the load", 20, || named("stressor-proces") >= 21);
        wait_for("a file", 20, || fs::read_dir(&made).unwrap().count() == 1);
        let spawner = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .find_map(|entry| {
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
                (stat.contains("(stressor-spawn)") && parent == child.id().to_string())
                    .then(|| entry.file_name().to_str()?.parse::<i32>().ok())?
            })
            .expect("the spawner");
        let kill = |pid: i32| {
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            )
            .unwrap();
        };
        if victim != "program" {
            kill(spawner);
        }
        if victim != "spawner" {
            kill(i32::try_from(child.id()).unwrap());
        }
        child.wait().unwrap();
        wait_for("the end of all processes", 10, || {
            named("stressor-proces") + named("stressor-files") + named("stressor-spawn") == 0
        });
        if victim == "both" {
            // Nobody was left to clear away; the next run does it.
            let text = scenario("kind = \"files\"\ndirectory = \"made\"", 0.5);
            sandbox.verdict(&text, &[]);
        }
        wait_for("the end of all files", 10, || fs::read_dir(&made).unwrap().count() == 0);
    }
}

#[test]
fn descriptors_processes_and_connections_are_taken_and_given_back() {
    let _machine = machine();
    for (kind, count) in [("descriptors", 500), ("processes", 40), ("sockets", 300)] {
        let done = load(&format!("kind = \"{kind}\"\ncount = {count}\nrate = 1000"), 2.0);
        assert!((number(&done["achieved"]) - f64::from(count)).abs() < 0.5, "{done:#}");
        assert_eq!(done["unit"], "count", "{done:#}");
        assert_eq!(done["errors"], 0, "{done:#}");
        assert!(done["shortfall"].is_null(), "{done:#}");
    }
    assert_eq!(named("stressor-proces"), 0);
}

#[test]
fn a_limit_of_the_process_is_met_counted_and_told() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let path = sandbox.write("s.toml", &scenario("kind = \"descriptors\"\ncount = 500", 2.0));
    let mut command = std::process::Command::new("bash");
    command
        .args(["-c", "ulimit -n 200; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_stressor"), "run"])
        .arg(&path)
        .args(["--format", "json", "-q"])
        .current_dir(sandbox.path());
    let outcome = crate::support::Outcome::of(&command.output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let done = &verdict["loads"][0];
    assert!((150.0..=200.0).contains(&number(&done["achieved"])), "{done:#}");
    assert!(number(&done["errors"]) > 5.0, "{done:#}");
    assert!(done["shortfall"].as_str().unwrap().contains("the kernel refused more"), "{done:#}");
}

#[test]
fn a_container_is_rehearsed_and_its_limits_are_named() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let text = format!(
        "{}[phase.load.cgroup]\ncpu = 0.5\nprocesses = 10\n\
         [[phase]]\nname = \"memory\"\nduration = \"5s\"\n[[phase.load]]\nkind = \"memory\"\n\
         size = \"128M\"\ngrowth = \"32M\"\n[phase.load.cgroup]\nmemory = \"64M\"\n",
        scenario("kind = \"cpu\"\nworkers = 2", 5.0)
    );
    let verdict = sandbox.verdict(&text, &[]);
    let half = crate::support::phase(&verdict, "load");
    assert_eq!(half["verdict"]["resource"], "cpu-quota", "{half:#}");
    assert_eq!(half["verdict"]["device"], "load:cpu", "{half:#}");
    // Two workers share half a core.
    let achieved = number(&verdict["loads"][0]["achieved"]);
    assert!((0.22..=0.28).contains(&achieved), "{:#}", verdict["loads"][0]);
    let little = crate::support::phase(&verdict, "memory");
    assert_eq!(little["verdict"]["resource"], "memory-limit", "{little:#}");
    let events = fs::read_to_string(sandbox.reports("run-1").join("events.jsonl")).unwrap();
    assert!(events.contains("of a 64 MiB limit of its cgroup"), "{events}");
    // No group is left.
    let left = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "4", "-name", "stressor-run-*"])
        .output()
        .unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
}

#[test]
fn reads_and_writes_are_limited_by_a_cgroup() {
    let _machine = machine();
    let folder = std::env::current_dir().unwrap();
    let done = load(
        &format!(
            "kind = \"disk\"\ndirect = true\nfile_size = \"16M\"\ndirectory = {:?}\n\
             [phase.load.cgroup]\nwrite_bytes = \"8M\"",
            folder.display().to_string()
        ),
        4.0,
    );
    let rate = number(&done["achieved"]) / f64::from(8 << 20);
    assert!((0.7..=1.4).contains(&rate), "{done:#}");
}

#[test]
fn what_is_too_long_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("s.toml", &scenario("kind = \"cpu\"", 200_000.0));
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "--dry-run"]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("max_duration"), "{}", outcome.stderr);
}

#[test]
fn the_network_is_loaded_in_every_pattern() {
    let _machine = machine();
    for (pattern, least) in [
        ("", 1000.0),
        ("pattern = \"request\"", 1000.0),
        ("pattern = \"connect\"", 300.0),
        ("protocol = \"udp\"", 1000.0),
        ("protocol = \"udp\"\npattern = \"request\"\nmessage = 1000", 1000.0),
    ] {
        let done = load(&format!("kind = \"net\"\n{pattern}"), 1.0);
        assert!(number(&done["operations_per_s"]) > least, "{pattern}: {done:#}");
        assert_eq!(done["errors"], 0, "{pattern}: {done:#}");
        if !pattern.contains("connect") {
            assert!(number(&done["counts"]["received"]) > 100.0, "{pattern}: {done:#}");
        }
    }
    let done = load("kind = \"net\"\nprotocol = \"udp\"\nrate_bytes = \"2M\"", 2.0);
    assert!((0.95..=1.05).contains(&(number(&done["achieved"]) / f64::from(2 << 20))), "{done:#}");
}

#[test]
fn a_sink_serves_another_run() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let port = crate::support::free_port();
    let sink = scenario(&format!("kind = \"net\"\nlisten = \"127.0.0.1:{port}\""), 6.0)
        .replace("3s", "500ms");
    let path = sandbox.write("sink.toml", &sink);
    let mut child =
        sandbox.stressor(&["run", path.to_str().unwrap(), "-q"]).spawn().expect("it starts");
    crate::support::wait_for_port(port);
    let done = load(&format!("kind = \"net\"\ntarget = \"127.0.0.1:{port}\""), 1.5);
    assert!(number(&done["bytes_per_s"]) > 50e6, "{done:#}");
    assert_eq!(done["counts"], Value::Null, "the other run's sink received it: {done:#}");
    assert!(child.wait().unwrap().success());
    let verdict = fs::read_to_string(sandbox.reports("run-1").join("verdict.json")).unwrap();
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert!(number(&verdict["loads"][0]["counts"]["received"]) > 100.0, "{verdict:#}");
}

#[test]
fn a_target_outside_this_machine_is_refused_unless_the_scenario_names_it() {
    let sandbox = Sandbox::new();
    // An address for documentation (RFC 5737), which nobody has; the dry run
    // sends nothing.
    let text = scenario("kind = \"net\"\ntarget = \"192.0.2.1:9\"", 1.0);
    let run = |text: &str, more: &[&str]| {
        let path = sandbox.write("s.toml", text);
        let mut arguments = vec!["run", path.to_str().unwrap(), "--dry-run"];
        arguments.extend(more);
        sandbox.run(&arguments)
    };
    for more in [&[][..], &["--unsafe"]] {
        let outcome = run(&text, more);
        assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("allow_targets = [\"192.0.2.1\"]"), "{}", outcome.stderr);
    }
    let outcome = run(&format!("allow_targets = [\"192.0.2.0/24\"]\n{text}"), &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("192.0.2.1:9"), "{}", outcome.stdout);
}

/// Stopping and continuing a process interrupts its system calls, even of one
/// that handles no signal.
#[test]
fn interrupted_system_calls_are_no_errors() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let mut text = "name = \"interrupted\"\n[telemetry]\ninterval = \"500ms\"\n[[phase]]\nname = \"load\"\nduration = \"4s\"\n".to_owned();
    let loads = [
        "kind = \"cpu\"\nworkers = 1\nload = 5",
        "kind = \"memory\"\nsize = \"16M\"\nkeep = false\nrate_bytes = \"64M\"",
        "kind = \"sync\"\nrate = 50",
        "kind = \"disk\"\nfile_size = \"8M\"\nblock_size = \"4K\"\ndepth = 8\nengine = \"io_uring\"\nrate = 200",
        "kind = \"disk\"\nfile_size = \"8M\"\nblock_size = \"4K\"\ndepth = 4\nengine = \"threads\"\nrate = 200",
        "kind = \"files\"\nfile_size = \"4K\"\nrate = 100",
        "kind = \"net\"\npattern = \"request\"\nrate = 100",
        "kind = \"net\"\npattern = \"connect\"\nrate = 100",
        "kind = \"net\"\nprotocol = \"udp\"\nrate_bytes = \"1M\"",
        "kind = \"http\"\nrate = 100",
        "kind = \"switch\"\nrate = 100",
        "kind = \"fork\"\nrate = 50",
    ];
    for load in loads {
        text += &format!("[[phase.load]]\n{load}\n");
    }
    let path = sandbox.write("interrupted.toml", &text);
    let marker = format!("STRESSOR_TEST_INTERRUPTED={}", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let child = sandbox
        .stressor(&["run", path.to_str().unwrap(), "--format", "json", "-q"])
        .env(name, value)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the workers", 20, || processes_with(&marker).len() > loads.len());
    let processes = processes_with(&marker);
    let begun = std::time::Instant::now();
    let mut storms = 0_u32;
    while begun.elapsed().as_secs_f64() < 3.0 {
        for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
            for pid in &processes {
                // One that has made a child that is gone again.
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        }
        storms += 1;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(storms > 100, "{storms}");
    let outcome = Outcome::of(&child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let done = verdict["loads"].as_array().unwrap();
    assert_eq!(done.len(), loads.len());
    for load in done {
        assert_eq!(load["errors"], 0, "{load:#}");
        let shortfall = load["shortfall"].as_str().unwrap_or_default();
        assert!(!shortfall.contains("failed") && !shortfall.contains("killed"), "{load:#}");
        assert!(number(&load["achieved"]) > 0.0, "{load:#}");
    }
}
