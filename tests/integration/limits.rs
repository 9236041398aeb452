//! Limits of a cgroup, made for the test: the machine itself is never short.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
};

use serde_json::Value;
use stressor::model::time::Timestamp;

use crate::support::{Outcome, Sandbox, machine, scenario};

/// A cgroup that is removed with the test.
struct Group {
    path: PathBuf,
}

impl Group {
    /// A group below ours for one controller, version 1 or 2, whichever the
    /// machine has. Needs root, which CI has.
    fn new(controller: &str, name: &str) -> Self {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        let parent = if v1.is_dir() { v1 } else { PathBuf::from("/sys/fs/cgroup") };
        let path = parent.join(format!("stressor-test-{name}-{}", std::process::id()));
        let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        fs::create_dir(&path).unwrap_or_else(|error| {
            panic!("a cgroup cannot be made at {}: {error}; run the tests as root", path.display())
        });
        Self { path }
    }

    /// A group below it.
    fn below(&self, name: &str) -> Self {
        let _ = fs::write(self.path.join("cgroup.subtree_control"), "+cpu");
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Let it use the cores for so many microseconds of each 100 ms.
    fn set_quota(&self, us: u32) {
        if self.path.join("cpu.max").exists() {
            return self.set(&[("cpu.max", &format!("{us} 100000"))]);
        }
        self.set(&[("cpu.cfs_period_us", "100000")]);
        self.set(&[("cpu.cfs_quota_us", &us.to_string())]);
    }

    /// Remove it. The kernel may need a moment to see that it is empty.
    fn remove(&self) {
        for _ in 0..50 {
            if !self.path.exists() || fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Set the file that exists.
    fn set(&self, files: &[(&str, &str)]) {
        let (file, value) = files
            .iter()
            .find(|(file, _)| self.path.join(file).exists())
            .unwrap_or_else(|| panic!("none of {files:?} in {}", self.path.display()));
        fs::write(self.path.join(file), value).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Run a scenario inside a group.
fn verdict_inside(group: &Group, sandbox: &Sandbox, text: &str) -> (Value, String) {
    let path = sandbox.write("s.toml", text);
    let mut command = sandbox.stressor(&["run", path.to_str().unwrap(), "--format", "json"]);
    let procs = group.path.join("cgroup.procs");
    // SAFETY: between fork and exec, only a file is written.
    #[expect(unsafe_code, reason = "the child enters the group before it becomes the program")]
    unsafe {
        command.pre_exec(move || fs::write(&procs, "0"));
    }
    let outcome = Outcome::of(&command.output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    (serde_json::from_str(&outcome.stdout).unwrap(), outcome.stderr)
}

#[test]
fn a_worker_killed_for_a_memory_limit_names_the_limit() {
    let _machine = machine();
    let group = Group::new("memory", "memory");
    group.set(&[("memory.max", "134217728"), ("memory.limit_in_bytes", "134217728")]);
    let sandbox = Sandbox::new();
    let (verdict, said) = verdict_inside(
        &group,
        &sandbox,
        &scenario("kind = \"memory\"\nsize = \"400M\"\npause = \"100ms\"", 5.0),
    );
    let overall = &verdict["overall"];
    assert_eq!(overall["resource"], "memory-limit", "{overall:#}");
    assert_eq!(overall["kind"], "saturated");
    assert!(said.contains("OOM-killed"), "the preflight warns: {said}");
    let events = fs::read_to_string(sandbox.reports("run-1").join("events.jsonl")).unwrap();
    assert!(events.contains("was OOM-killed at"), "{events}");
    assert!(events.contains("of a 128 MiB limit of its cgroup"), "{events}");
    assert!(verdict["loads"][0]["shortfall"].is_string(), "{:#}", verdict["loads"]);
}

#[test]
fn memory_held_just_below_a_limit_names_the_limit() {
    let _machine = machine();
    let group = Group::new("memory", "full");
    group.set(&[("memory.max", "268435456"), ("memory.limit_in_bytes", "268435456")]);
    let sandbox = Sandbox::new();
    // The program itself needs some of the limit; 90 % of what is left.
    let (verdict, _) = verdict_inside(
        &group,
        &sandbox,
        &scenario("kind = \"memory\"\nsize = \"90%\"\npause = \"100ms\"", 5.0),
    );
    let overall = &verdict["overall"];
    assert_eq!(overall["resource"], "memory-limit", "{overall:#}");
    assert!(["near", "full"].contains(&overall["kind"].as_str().unwrap()), "{overall:#}");
    assert_eq!(overall["cause"], "scenario");
}

#[test]
fn a_cpu_quota_is_named_and_not_the_cpu() {
    let _machine = machine();
    let group = Group::new("cpu", "quota");
    if group.path.join("cpu.max").exists() {
        group.set(&[("cpu.max", "50000 100000")]);
    } else {
        group.set(&[("cpu.cfs_period_us", "100000")]);
        group.set(&[("cpu.cfs_quota_us", "50000")]);
    }
    let sandbox = Sandbox::new();
    let (verdict, _) =
        verdict_inside(&group, &sandbox, &scenario("kind = \"cpu\"\nworkers = 2", 6.0));
    let overall = &verdict["overall"];
    assert_eq!(overall["resource"], "cpu-quota", "{overall:#}");
    assert_eq!(overall["kind"], "saturated");
    // Half a core is one worker a core, and the run says why.
    let sandbox = Sandbox::new();
    let by_cores = scenario("kind = \"cpu\"\nworkers = \"per-core\"", 1.0);
    let (verdict, said) = verdict_inside(&group, &sandbox, &by_cores);
    assert_eq!(verdict["loads"][0]["workers"], 1, "{:#}", verdict["loads"]);
    assert!(said.contains("`per-core` counts 1, by the CPU quota"), "{said}");
}

/// A small file system, unmounted with the test.
struct Tiny(PathBuf);

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run_and_the_verdict_is_still_told() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let folder = sandbox.path().join("tiny");
    fs::create_dir(&folder).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=96k", "tmpfs"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(mounted.success(), "a tmpfs cannot be mounted; run the tests as root");
    let _tiny = Tiny(folder);
    let path = sandbox
        .write("s.toml", &scenario("kind = \"cpu\"\nworkers = 1", 60.0).replace("500ms", "100ms"));
    let begun = std::time::Instant::now();
    let outcome = sandbox.run(&["run", path.to_str().unwrap(), "--reports-dir", "tiny/reports"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(begun.elapsed().as_secs() < 40, "the load went on for {:?}", begun.elapsed());
    assert!(outcome.stderr.contains("No space left on device"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("local load"), "{}", outcome.stdout);
}

/// Groups with a wide CPU quota, and below the first of them one that a spinner uses up.
struct Many {
    root: Group,
    others: Vec<Group>,
    hog: Group,
    spinner: std::process::Child,
}

impl Many {
    fn new(count: usize) -> Self {
        let root = Group::new("cpu", "many");
        let others: Vec<Group> =
            (0..count).map(|number| root.below(&format!("p{number:03}"))).collect();
        for group in &others {
            group.set_quota(190_000);
        }
        let hog = others[0].below("hog");
        hog.set_quota(30_000);
        let mut spinner = std::process::Command::new("sh");
        spinner.args(["-c", "while :; do :; done"]);
        let procs = hog.path.join("cgroup.procs");
        // SAFETY: between fork and exec, only a file is written.
        #[expect(unsafe_code, reason = "the child enters the group before it becomes the program")]
        unsafe {
            spinner.pre_exec(move || fs::write(&procs, "0"));
        }
        let spinner = spinner.spawn().unwrap();
        Self { root, others, hog, spinner }
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        let _ = self.spinner.kill();
        let _ = self.spinner.wait();
        // The lowest first.
        self.hog.remove();
        self.others.iter().for_each(Group::remove);
        self.root.remove();
    }
}

#[test]
fn of_more_groups_than_are_read_each_time_the_one_at_its_quota_is_named() {
    let _machine = machine();
    let many = Many::new(100);
    let sandbox = Sandbox::new();
    let text = "name = \"watch\"\n[telemetry]\ninterval = \"500ms\"\n[[phase]]\nname = \"watch\"\nduration = \"8s\"\n";
    let verdict = sandbox.verdict(text, &[]);
    let overall = &verdict["overall"];
    assert_eq!(overall["resource"], "cpu-quota", "{overall:#}");
    assert!(overall["device"].as_str().unwrap().ends_with("/p000/hog"), "{overall:#}");
    assert_eq!(overall["kind"], "saturated");
    let notes = verdict["validity"]["notes"].to_string();
    assert!(notes.contains("groups with a CPU quota were not read in each sample"), "{notes}");
    drop(many);
}

#[test]
fn a_whole_io_limit_of_an_own_group_is_the_scenarios() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    // A scratch file on a block device: the temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let load = format!(
        "kind = \"disk\"\nworkers = 1\nfile_size = \"16M\"\nblock_size = \"4K\"\ndirect = true\naccess = \"random\"\noperation = \"read\"\ndirectory = \"{}\"\ncgroup = {{ read_bytes = \"200K\" }}",
        folder.path().display()
    );
    let verdict = sandbox.verdict(&scenario(&load, 6.0), &[]);
    let overall = &verdict["overall"];
    assert_eq!(overall["resource"], "io-limit", "{overall:#}");
    assert_eq!(overall["device"], "load:disk");
    assert_eq!(overall["kind"], "saturated");
    assert_eq!(overall["cause"], "scenario");
}

#[test]
fn samples_and_guards_stay_on_time_beside_sixteen_workers_a_core() {
    let _machine = machine();
    for privileged in [true, false] {
        let sandbox = Sandbox::new();
        fs::set_permissions(sandbox.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let text = "name = \"crowd\"\n[telemetry]\ninterval = \"100ms\"\n[[abort]]\nsignal = \"cpu_busy\"\nmax = 0.9\nfor = \"2s\"\n[[phase]]\nname = \"load\"\nduration = \"8s\"\n[[phase.load]]\nkind = \"cpu\"\nworkers = \"16x-cores\"\n";
        let path = sandbox.write("s.toml", text);
        let mut command = sandbox.stressor(&["run", path.to_str().unwrap(), "-q"]);
        if !privileged {
            command.uid(65_534).gid(65_534);
        }
        let outcome = Outcome::of(&command.output().unwrap());
        assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
        let run = sandbox.reports("run-1");
        let manifest: Value =
            serde_json::from_str(&fs::read_to_string(run.join("run.json")).unwrap()).unwrap();
        let moment = |value: &Value| serde_json::from_value::<Timestamp>(value.clone()).unwrap();
        let phase = &manifest["phases"][0];
        let (begun, ended) = (moment(&phase["steady"]), moment(&phase["end"]));
        let took = ended.since(begun);
        // The condition holds from the first rate on, a tenth of a second in, and must do so
        // for two. Without privilege, one of seventeen on a core leads the run, in a build
        // that is not optimized.
        let most = if privileged { 3.1 } else { 4.1 };
        assert!((2.0..most).contains(&took), "the guard acted after {took} s ({privileged})");
        let samples = fs::read_to_string(run.join("samples.jsonl")).unwrap();
        let samples = samples.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let times: Vec<Timestamp> = samples
            .filter_map(|line| line["t"].as_i64().map(Timestamp))
            .filter(|t| *t >= begun && *t <= ended)
            .collect();
        let longest = times.windows(2).map(|pair| pair[1].since(pair[0])).fold(0.0, f64::max);
        assert!(longest < 0.5, "no sample for {longest} s ({privileged})");
        assert!(times.len() >= 15, "{} samples ({privileged})", times.len());
    }
}
