//! What leading many nodes costs: agents as processes of this machine, and over
//! real ssh sessions to an sshd on loopback.
//!
//! `cargo bench --bench nodes`; needs OpenSSH's client and server, and root.
#![allow(clippy::print_stdout, reason = "its output is its result")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot measure stops"
)]

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How the nodes are reached.
#[derive(Clone, Copy)]
enum Way {
    Process,
    Ssh,
}

fn main() {
    let sandbox = tempfile::tempdir().expect("a temporary folder");
    let folder = sandbox.path();
    let mut sshd = sshd(folder);
    println!(
        "| nodes | way | whole run s | begun within ms | CPU s of the leader | its MiB | left behind |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (way, nodes) in [
        (Way::Process, 10),
        (Way::Process, 50),
        (Way::Process, 100),
        (Way::Process, 200),
        (Way::Ssh, 10),
        (Way::Ssh, 50),
    ] {
        measure(folder, way, nodes);
    }
    let _ = sshd.kill();
    let _ = sshd.wait();
}

fn measure(folder: &Path, way: Way, nodes: usize) {
    let scenario = scenario(folder, way, nodes);
    let begun = Instant::now();
    let mut leader = Command::new(env!("CARGO_BIN_EXE_stressor"))
        .args(["run", "-q", "--name", "bench"])
        .arg(&scenario)
        .current_dir(folder)
        .env("STRESSOR_SSH", folder.join("ssh"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let (mut cpu_s, mut memory_mib) = (0.0, 0.0);
    while leader.try_wait().expect("it can be waited for").is_none() {
        if let Some((cpu, memory)) = used(leader.id()) {
            (cpu_s, memory_mib) = (cpu, memory);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed().as_secs_f64();
    let run = folder.join("reports/bench");
    let manifest = fs::read_to_string(run.join("run.json")).expect("the run is kept");
    let within = manifest
        .split(&format!("began on {nodes} nodes within "))
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or("not all began")
        .to_owned();
    if within == "not all began" {
        // Why, for whoever runs this.
        println!("{}", manifest.split("\"notes\"").nth(1).unwrap_or_default());
    }
    let left = agents(folder);
    let name = match way {
        Way::Process => "process",
        Way::Ssh => "ssh",
    };
    println!("| {nodes} | {name} | {took:.1} | {within} | {cpu_s:.2} | {memory_mib:.0} | {left} |");
    let _ = fs::remove_dir_all(run);
}

/// A baseline and a load that is next to nothing, so that the leading is measured.
fn scenario(folder: &Path, way: Way, nodes: usize) -> PathBuf {
    let mut text = String::from("name = \"nodes\"\n");
    for number in 0..nodes {
        let how = match way {
            Way::Process => {
                format!("command = [\"env\", \"XDG_CACHE_HOME={}/cache\"]", folder.display())
            }
            Way::Ssh => "ssh = \"root@loopback\"".to_owned(),
        };
        let _ = write!(text, "[[node]]\nname = \"n{number}\"\n{how}\n");
    }
    text.push_str(
        "[[phase]]\nname = \"load\"\nduration = \"10s\"\n[[phase.load]]\nkind = \"sync\"\nrate = 1\nworkers = 1\n",
    );
    let path = folder.join("nodes.toml");
    fs::write(&path, text).expect("the folder can be written");
    path
}

/// CPU seconds and peak MiB of a process itself.
fn used(pid: u32) -> Option<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().ok()?;
    Some((ticks / 100.0, kib / 1024.0))
}

/// Agents that are still there.
fn agents(folder: &Path) -> usize {
    std::thread::sleep(Duration::from_millis(500));
    let mark = folder.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_agent = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("cmdline"))
            .is_ok_and(|line| line.contains(&mark) && line.contains("agent"))
    };
    processes.filter(is_agent).count()
}

/// An sshd of our own on loopback, and a client that knows it.
fn sshd(folder: &Path) -> Child {
    for name in ["host", "user"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", name])
            .current_dir(folder)
            .status()
            .expect("ssh-keygen starts");
        assert!(made.success());
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    fs::create_dir_all("/run/sshd").expect("root");
    let at = folder.display();
    let server = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\n\
         StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 300\nMaxSessions 300\n\
         PermitRootLogin yes\nSetEnv XDG_CACHE_HOME={at}/cache\n"
    );
    fs::write(folder.join("sshd.conf"), server).expect("the folder can be written");
    let client = format!(
        "#!/bin/sh\nexec ssh -F /dev/null -p {port} -i {at}/user -o HostName=127.0.0.1 \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile={at}/known \"$@\"\n"
    );
    let path = folder.join("ssh");
    fs::write(&path, client).expect("the folder can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-f"])
        .arg(folder.join("sshd.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd starts");
    std::thread::sleep(Duration::from_millis(500));
    child
}
