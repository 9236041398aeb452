//! What the tests share: a folder of their own, the program, real components.

use std::{
    cell::Cell,
    fs,
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The machine belongs to one test that loads or measures it, or to a few others,
/// which go first: so none of them runs alone for long.
static MACHINE: Machine = Machine {
    uses: Mutex::new(Uses { parts: 0, parts_wanted: 0, whole: false }),
    changed: Condvar::new(),
};

/// Tests beside one another.
const MOST_PARTS: usize = 3;

struct Machine {
    uses: Mutex<Uses>,
    changed: Condvar,
}

struct Uses {
    parts: usize,
    /// How many wait for a part.
    parts_wanted: usize,
    whole: bool,
}

impl Machine {
    /// A test that failed with its share has not broken the machine.
    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        uses: MutexGuard<'a, Uses>,
        busy: fn(&mut Uses) -> bool,
    ) -> MutexGuard<'a, Uses> {
        self.changed.wait_while(uses, busy).unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: fn(&mut Uses)) {
        change(&mut self.uses());
        self.changed.notify_all();
    }
}

thread_local! {
    /// Whether the test on this thread has its share of the machine.
    static HAS_SHARE: Cell<bool> = const { Cell::new(false) };
}

/// Hold this while loading or measuring the machine: no other test runs.
pub(crate) fn machine() -> Share {
    HAS_SHARE.set(true);
    let is_busy = |uses: &mut Uses| uses.whole || uses.parts + uses.parts_wanted > 0;
    MACHINE.wait_while(MACHINE.uses(), is_busy).whole = true;
    Share::Whole
}

/// A test's share of the machine, until it is dropped.
pub(crate) enum Share {
    Whole,
    Part,
    /// That of the test that this thread works for.
    OfTheTest,
}

impl Share {
    /// Beside other tests, unless this test has the machine already.
    fn part() -> Self {
        if HAS_SHARE.get() {
            return Self::OfTheTest;
        }
        let mut uses = MACHINE.uses();
        uses.parts_wanted += 1;
        let mut uses = MACHINE.wait_while(uses, |uses| uses.whole || uses.parts >= MOST_PARTS);
        uses.parts_wanted -= 1;
        uses.parts += 1;
        HAS_SHARE.set(true);
        Self::Part
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        match self {
            Self::Whole => MACHINE.change(|uses| uses.whole = false),
            Self::Part => MACHINE.change(|uses| uses.parts -= 1),
            Self::OfTheTest => return,
        }
        HAS_SHARE.set(false);
    }
}

/// Say that this thread works for a test that has its share.
pub(crate) fn works_for_a_test() {
    HAS_SHARE.set(true);
}

/// A folder that vanishes, and the program run in it. A test that has one runs
/// beside others, but not beside one that has the machine.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    _share: Share,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let share = Share::part();
        Self { folder: tempfile::tempdir().expect("a temporary folder"), _share: share }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the sandbox can be written");
        fs::write(&path, text).expect("the sandbox can be written");
        path
    }

    /// A program of the shell; its first line is written for it.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.write(name, &format!("#!/bin/sh\n{script}"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).expect("the sandbox can be written");
        path
    }

    /// PATH with a folder of ours before it.
    pub(crate) fn path_with(&self, folder: &str) -> String {
        let path = std::env::var("PATH").expect("there is a PATH");
        format!("{}:{path}", self.path().join(folder).display())
    }

    /// The program, in this folder, without the user's environment.
    pub(crate) fn stressor(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stressor"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for name in
            ["STRESSOR_PROMETHEUS", "STRESSOR_REPORTS_DIR", "STRESSOR_PROMETHEUS_TOKEN", "NO_COLOR"]
        {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&self.stressor(arguments).output().expect("the program starts"))
    }

    /// Run a scenario and read its verdict.
    pub(crate) fn verdict(&self, scenario: &str, arguments: &[&str]) -> Value {
        let path = self.write("scenario.toml", scenario);
        let path = path.to_string_lossy().into_owned();
        let mut all = vec!["run", path.as_str(), "--format", "json", "-q"];
        all.extend(arguments);
        let outcome = self.run(&all);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).expect("stdout is one JSON document")
    }

    /// The folder of a run.
    pub(crate) fn reports(&self, run: &str) -> PathBuf {
        self.path().join("reports").join(run)
    }
}

/// How a command ended.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A scenario with a short baseline and one loaded phase.
pub(crate) fn scenario(load: &str, seconds: f64) -> String {
    format!(
        "name = \"test\"\n\
         [telemetry]\ninterval = \"500ms\"\n\
         [[phase]]\nname = \"baseline\"\nduration = \"3s\"\n\
         [[phase]]\nname = \"load\"\nduration = \"{seconds}s\"\n\
         [[phase.load]]\n{load}\n"
    )
}

/// The verdict on a phase of the first node.
pub(crate) fn phase<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    verdict["nodes"][0]["phases"]
        .as_array()
        .expect("phases")
        .iter()
        .find(|phase| phase["phase"] == name)
        .unwrap_or_else(|| panic!("no phase {name}"))
}

/// A component that the tests need. In CI its absence is a failure, and here
/// too: a test that is skipped in silence proves nothing.
pub(crate) fn component(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("none of {names:?} is installed; the README's second command installs it")
        })
}

/// A process that ends with the test.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().expect("the component starts") }
    }
}

impl Service {
    /// Send it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let number = i32::try_from(self.child.id()).expect("a process number");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), signal).expect("it is there");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small disk of its own in a file, with a file system on it. It needs root.
pub(crate) struct SmallDisk {
    image: PathBuf,
    folder: PathBuf,
}

impl SmallDisk {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let disk =
            Self { image: sandbox.path().join("image"), folder: sandbox.path().join("disk") };
        fs::create_dir_all(&disk.folder).expect("the sandbox can be written");
        let image = fs::File::create(&disk.image).expect("the sandbox can be written");
        image.set_len(64 << 20).expect("a sparse file");
        command(Command::new(component(&["mkfs.ext4"])).arg("-q").arg(&disk.image));
        disk.mount_again();
        disk
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The device that is mounted.
    pub(crate) fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/mounts").expect("/proc");
        let folder = self.folder.to_string_lossy();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(&folder));
        line.and_then(|line| line.split(' ').next()).expect("it is mounted").to_owned()
    }

    /// Processes that have a file open on it.
    pub(crate) fn users(&self) -> Vec<i32> {
        let on_it =
            |pid: &i32| {
                let files = fs::read_dir(format!("/proc/{pid}/fd"));
                files.into_iter().flatten().flatten().any(|file| {
                    fs::read_link(file.path()).is_ok_and(|to| to.starts_with(&self.folder))
                })
            };
        processes().filter(on_it).collect()
    }

    pub(crate) fn mount_again(&self) {
        self.unmount();
        command(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.folder));
    }

    fn unmount(&self) {
        let mut umount = Command::new("umount");
        let _ = umount.arg("-l").arg(&self.folder).stderr(Stdio::null()).status();
    }

    /// Let it be written (`rw`) or not (`ro`).
    pub(crate) fn remount(&self, way: &str) {
        command(Command::new("mount").args(["-o", &format!("remount,{way}")]).arg(&self.folder));
    }

    /// Have it answer everything with an error from now on.
    pub(crate) fn shut_down(&self) {
        /// The kernel's `EXT4_IOC_SHUTDOWN`, and its way that loses the log.
        const SHUT_DOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
        let no_log_flush: u32 = 2;
        let folder = fs::File::open(&self.folder).expect("the folder");
        #[expect(unsafe_code, reason = "no library has this request")]
        // SAFETY: the kernel reads a number of 32 bits, which is there.
        let answer = unsafe { libc::ioctl(folder.as_raw_fd(), SHUT_DOWN, &raw const no_log_flush) };
        assert_eq!(answer, 0, "it is shut down");
    }

    /// Have every write wait until what is returned is dropped.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        command(Command::new(component(&["fsfreeze"])).arg("-f").arg(&self.folder));
        Frozen(self)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// A disk on which every write waits.
pub(crate) struct Frozen<'a>(&'a SmallDisk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        command(Command::new(component(&["fsfreeze"])).arg("-u").arg(&self.0.folder));
    }
}

/// Run a command that must succeed.
fn command(command: &mut Command) {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{command:?}: {}", Outcome::of(&output).stderr);
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("an address").port()
}

/// Wait until a condition holds.
pub(crate) fn wait_for(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < deadline, "waited {seconds} s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Wait until something listens.
pub(crate) fn wait_for_port(port: u16) {
    wait_for("a port to open", 30, || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// Processes whose environment has this text; a forked worker has its
/// parent's.
pub(crate) fn processes_with(marker: &str) -> Vec<i32> {
    let has_it = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(marker.len()).any(|window| window == marker.as_bytes())
    };
    processes().filter(has_it).collect()
}

/// All processes that this one may see.
fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A number from the kernel's random source, below `limit`.
pub(crate) fn random(limit: u64) -> u64 {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .expect("random");
    u64::from_le_bytes(bytes) % limit
}
