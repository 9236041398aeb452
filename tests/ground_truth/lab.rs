//! What a case is built in: cgroups with limits, a disk of exactly known
//! capacity, small file systems, shaped links. All of it is taken away again
//! when the case ends.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Part of a laboratory, each a limit by construction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// CPU quota in cores.
    Quota(f64),
    /// Memory limit in MiB.
    Memory(u64),
    /// Most tasks.
    Tasks(u64),
    /// A limit on the real disk for the loads: `read_iops`, `write_bps` …
    Io(&'static str, u64),
    /// A loop disk ($DISK) whose backing disk is limited as by `Io`.
    Disk(&'static str, u64),
    /// An ext4 of so many MiB at $FS, with so many inodes (0: as it comes).
    Fs(u64, u64),
    /// A veth pair a0 (10.99.0.1) and, in namespace `c`, b0 (10.99.0.2).
    Pair,
    /// A token bucket on a0: the words after `tbf`.
    Shaper(&'static str),
    /// 600 MiB of swap.
    Swap,
    /// The loop disk as swap.
    SwapDisk,
    /// A file system in memory of so many MiB, at $FS.
    Shm(u64),
}

const GROUP: &str = "stressor-lab";

/// A laboratory that stands.
pub(crate) struct Lab {
    folder: PathBuf,
    /// Folders of the cgroups that the load is put into.
    groups: Vec<PathBuf>,
    /// What undoes it, the last first.
    undo: Vec<String>,
    variables: Vec<(String, String)>,
    load: Option<Child>,
}

impl Lab {
    /// Build it; an error says what this machine cannot give.
    pub(crate) fn build(folder: &Path, parts: &[Part]) -> Result<Self, String> {
        let mut lab = Self {
            folder: folder.to_owned(),
            groups: Vec::new(),
            undo: Vec::new(),
            variables: vec![("DIR".into(), folder.display().to_string())],
            load: None,
        };
        // A tool that is not in the page cache would be read through the limits
        // that it is to be held to: fio alone takes 500 reads to start.
        for tool in ["fio", "iperf3", "stress-ng", "stress", "sysbench"] {
            let _ = Command::new(tool)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        // Every load is counted and killed by a group, limited or not.
        lab.group("cpuacct", "cpu")?;
        for part in parts {
            lab.part(*part)?;
        }
        Ok(lab)
    }

    fn part(&mut self, part: Part) -> Result<(), String> {
        match part {
            Part::Quota(cores) => {
                #[expect(clippy::cast_possible_truncation, reason = "microseconds")]
                let quota = (cores * 100_000.0) as i64;
                self.limit(
                    "cpu",
                    ("cpu.cfs_quota_us", quota.to_string()),
                    ("cpu.max", format!("{quota} 100000")),
                )
            }
            Part::Memory(mib) => {
                let bytes = (mib << 20).to_string();
                self.limit(
                    "memory",
                    ("memory.limit_in_bytes", bytes.clone()),
                    ("memory.max", bytes),
                )
            }
            Part::Tasks(most) => {
                self.limit("pids", ("pids.max", most.to_string()), ("pids.max", most.to_string()))
            }
            Part::Io(of, most) => self.io(of, most),
            Part::Disk(of, most) => {
                let image = self.folder.join("disk.img");
                // Written for real: a hole never reaches the disk below.
                Self::sh(&format!(
                    "dd if=/dev/urandom of={0} bs=1M count=256 oflag=direct status=none && sync {0}",
                    image.display()
                ))?;
                let disk =
                    Self::sh(&format!("losetup -f --show --direct-io=on {}", image.display()))?;
                self.undo.push(format!("losetup -d {disk}"));
                self.variables.push(("DISK".into(), disk));
                self.io(of, most)
            }
            Part::Fs(mib, inodes) => {
                let (image, mount) = (self.folder.join("fs.img"), self.folder.join("fs"));
                fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
                let count = if inodes == 0 { String::new() } else { format!("-N {inodes}") };
                Self::sh(&format!(
                    "truncate -s {mib}M {0} && mkfs.ext4 -q -m 0 {count} {0} && mount -o loop {0} {1}",
                    image.display(),
                    mount.display()
                ))?;
                self.undo.push(format!("umount -l {}", mount.display()));
                self.variables.push(("FS".into(), mount.display().to_string()));
                Ok(())
            }
            Part::Pair => {
                self.undo.push("ip netns del c".into());
                self.undo.push("ip link del a0 2>/dev/null; true".into());
                Self::sh(
                    "ip netns add c && ip link add a0 type veth peer name b0 && ip link set b0 netns c && \
                     ip addr add 10.99.0.1/24 dev a0 && ip link set a0 up && \
                     ip -n c addr add 10.99.0.2/24 dev b0 && ip -n c link set b0 up && ip -n c link set lo up",
                )
                .map(drop)
            }
            Part::Shaper(words) => {
                Self::sh(&format!("tc qdisc add dev a0 root tbf {words}")).map(drop)
            }
            Part::Swap => {
                let swap = self.folder.join("swap").display().to_string();
                Self::sh(&format!(
                    "dd if=/dev/zero of={swap} bs=1M count=600 status=none && chmod 600 {swap} && mkswap -q {swap} && swapon {swap}"
                ))?;
                self.undo.push(format!("swapoff {swap}"));
                Ok(())
            }
            Part::SwapDisk => {
                let disk = self.variable("DISK").ok_or("no disk")?.to_owned();
                Self::sh(&format!("mkswap -q {disk} && swapon {disk}"))?;
                self.undo.push(format!("swapoff {disk}"));
                Ok(())
            }
            Part::Shm(mib) => {
                let mount = self.folder.join("shm");
                fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
                Self::sh(&format!("mount -t tmpfs -o size={mib}M lab {}", mount.display()))?;
                self.undo.push(format!("umount -l {}", mount.display()));
                self.variables.push(("FS".into(), mount.display().to_string()));
                Ok(())
            }
        }
    }

    fn io(&mut self, of: &str, most: u64) -> Result<(), String> {
        let disk = disk_below(&self.folder)?;
        let key = match of {
            "read_iops" => "riops",
            "write_iops" => "wiops",
            "read_bps" => "rbps",
            _ => "wbps",
        };
        let v1 = format!("blkio.throttle.{of}_device");
        self.limit(
            "blkio",
            (&v1, format!("{disk} {most}")),
            ("io.max", format!("{disk} {key}={most}")),
        )
    }

    fn limit(
        &mut self,
        controller: &str,
        v1: (&str, String),
        v2: (&str, String),
    ) -> Result<(), String> {
        let name = if controller == "blkio" { "io" } else { controller };
        let (group, is_v2) = self.group(controller, name)?;
        let (file, value) = if is_v2 { v2 } else { v1 };
        // So that a case can lift it again.
        self.variables.push(("LIMIT".into(), group.join(file).display().to_string()));
        fs::write(group.join(file), value).map_err(|error| format!("{file}: {error}"))
    }

    /// The lab's group for a controller, made when it is not there yet, and
    /// whether it is one of version 2.
    fn group(&mut self, v1: &str, v2: &str) -> Result<(PathBuf, bool), String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
        let mount = |kind: &str, option: Option<&str>| {
            mounts.lines().find_map(|line| {
                let (left, right) = line.split_once(" - ")?;
                let mut right = right.split(' ');
                let found = right.next() == Some(kind)
                    && option.is_none_or(|option| {
                        right.nth(1).is_some_and(|all| all.split(',').any(|one| one == option))
                    });
                found.then(|| PathBuf::from(left.split(' ').nth(4).unwrap_or_default()))
            })
        };
        let (group, is_v2) = if let Some(mount) = mount("cgroup", Some(v1)) {
            (mount.join(GROUP), false)
        } else {
            let mount = mount("cgroup2", None).ok_or(format!("no cgroup controller {v1}"))?;
            fs::write(mount.join("cgroup.subtree_control"), format!("+{v2}"))
                .map_err(|error| format!("cgroup controller {v2}: {error}"))?;
            (mount.join(GROUP), true)
        };
        fs::create_dir_all(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        if !self.groups.contains(&group) {
            self.groups.push(group.clone());
        }
        Ok((group, is_v2))
    }

    fn sh(text: &str) -> Result<String, String> {
        let output = Command::new("sh")
            .args(["-c", text])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(format!("{text}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn command(&self, text: &str) -> Command {
        let mut joins = String::new();
        for group in &self.groups {
            joins.push_str(&format!("echo $$ > {}/cgroup.procs && ", group.display()));
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{joins}{{ {text}\n}}")])
            .current_dir(&self.folder)
            .envs(self.variables.iter().map(|(k, v)| (k.as_str(), v.as_str())))
            .env("SELF", std::env::current_exe().unwrap_or_default())
            .env("STRESS", env!("CARGO_BIN_EXE_stress"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// What must have happened before the run, inside the limits.
    pub(crate) fn before(&self, text: &str) -> Result<(), String> {
        let done = self.command(text).status().map_err(|error| error.to_string())?;
        if done.success() { Ok(()) } else { Err(format!("{text}: {done}")) }
    }

    /// Start the load, inside the limits.
    pub(crate) fn start(&mut self, text: &str) {
        self.load = self.command(text).spawn().ok();
    }

    /// Tell when a condition comes to hold, by looking twenty times a second from
    /// outside of the limits.
    pub(crate) fn watch(&self, condition: &str) -> Option<Child> {
        let text = format!("until ( {condition} ); do sleep 0.05; done");
        let mut command = Command::new("sh");
        command.args(["-c", &text]).envs(self.variables.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    }

    /// User CPU seconds of everything the lab started.
    pub(crate) fn user_seconds(&self) -> f64 {
        let Some(group) = self.groups.first() else { return 0.0 };
        let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
        let value = |text: &str, key: &str| -> Option<f64> {
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        };
        value(&read("cpuacct.stat"), "user ")
            .map(|ticks| ticks / 100.0)
            .or_else(|| value(&read("cpu.stat"), "user_usec ").map(|us| us / 1e6))
            .unwrap_or(0.0)
    }

    /// Kill everything that runs in the lab.
    pub(crate) fn stop(&mut self) {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let inside = self.groups.iter().flat_map(|group| {
                fs::read_to_string(group.join("cgroup.procs"))
                    .unwrap_or_default()
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            });
            let mut any = false;
            for process in inside {
                any = true;
                if let Ok(number) = process.parse() {
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(number),
                        nix::sys::signal::Signal::SIGKILL,
                    );
                }
            }
            if let Some(load) = &mut self.load {
                let _ = load.try_wait();
            }
            if !any {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(mut load) = self.load.take() {
            let _ = load.wait();
        }
    }

    /// What `$NAME` stands for.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop();
        for text in self.undo.drain(..).rev().collect::<Vec<_>>() {
            if let Err(error) = Self::sh(&text) {
                eprintln!("left behind: {error}");
            }
        }
        for group in &self.groups {
            let _ = fs::remove_dir(group);
        }
    }
}

/// `major:minor` of the whole disk that a folder lies on.
fn disk_below(folder: &Path) -> Result<String, String> {
    let device = fs::metadata(folder).map_err(|error| error.to_string())?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let about = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if about.join("partition").exists() {
        let whole = fs::canonicalize(&about).map_err(|error| error.to_string())?;
        let whole = whole.parent().ok_or("no disk")?.join("dev");
        return fs::read_to_string(whole)
            .map(|text| text.trim().to_owned())
            .map_err(|e| e.to_string());
    }
    if about.exists() {
        Ok(format!("{major}:{minor}"))
    } else {
        Err("the folder lies on no disk".into())
    }
}
