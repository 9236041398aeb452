//! Every kind of load against the real kernel: what the scenario asks for is
//! what the machine sees.

use std::fs;

use serde_json::Value;

use crate::support::{Sandbox, machine, scenario, wait_for};

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
        let done =
            load(&format!("kind = \"memory\"\nsize = \"64M\"\nbandwidth = \"{way}\""), 1.0);
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
        let done = load(
            &format!("kind = \"memory\"\nsize = \"32M\"\nrate_bytes = \"100M\"\n{way}"),
            2.0,
        );
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
        let done =
            load(&format!("kind = \"memory\"\nsize = \"64M\"\nkeep = false\n{extra}"), 2.0);
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
