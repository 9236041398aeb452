//! Agents on the engines that fleets have: a real Slurm, and stand-ins for
//! kubectl and docker that do what the real ones would with the same words.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Outcome, Sandbox, Service, component, free_port, machine, phase, wait_for};

/// Run a scenario in which one node is reached in this way.
fn run_over(sandbox: &Sandbox, way: &str, path: &str, extra: &[(&str, &Path)]) -> Outcome {
    let text = format!(
        "name = \"over\"\n[telemetry]\ninterval = \"500ms\"\n[[node]]\nname = \"far\"\n{way}\n\
         [[phase]]\nname = \"load\"\nduration = \"4s\"\n\
         [[phase.load]]\nkind = \"cpu\"\nworkers = \"2x-cores\"\n"
    );
    let file = sandbox.write("over.toml", &text).display().to_string();
    let mut command = sandbox.stressor(&["run", &file, "--format", "json", "-q"]);
    command.env("PATH", path).env("XDG_CACHE_HOME", sandbox.path().join("cache"));
    for (name, value) in extra {
        command.env(name, value);
    }
    Outcome::of(&command.output().unwrap())
}

/// The node was loaded and judged as any other is.
fn is_judged(outcome: &Outcome) {
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let verdict: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(verdict["nodes"][0]["node"], "far");
    let load = phase(&verdict, "load");
    assert!(load["data"]["samples"].as_u64().unwrap() >= 6, "{load:#}");
    assert_eq!(load["verdict"]["resource"], "cpu", "{load:#}");
    assert_eq!(load["verdict"]["cause"], "scenario", "{load:#}");
}

#[test]
fn kubectl_and_docker_get_the_words_they_know() {
    let _machine = machine();
    // Each refuses any other words, and otherwise runs what follows them, in a
    // "container" without anything of our environment but the cache folder.
    let kubectl = "echo \"$*\" >>\"$0.log\"\n\
        [ \"$1 $2 $3 $4 $5 $6 $7 $8\" = \"exec -i --namespace=load --container=box pod-1 -- sh -c\" ] || exit 64\n\
        [ $# = 9 ] || exit 65\n\
        exec env -i PATH=/usr/bin:/bin XDG_CACHE_HOME=\"$XDG_CACHE_HOME\" sh -c \"$9\"\n";
    let docker = "echo \"$*\" >>\"$0.log\"\n\
        [ \"$1 $2 $3 $4 $5\" = \"exec -i box-1 sh -c\" ] && [ $# = 6 ] || exit 64\n\
        exec env -i PATH=/usr/bin:/bin XDG_CACHE_HOME=\"$XDG_CACHE_HOME\" sh -c \"$6\"\n";
    for (name, script, way) in [
        ("kubectl", kubectl, "kubectl = \"load/pod-1/box\""),
        ("docker", docker, "docker = \"box-1\""),
    ] {
        let sandbox = Sandbox::new();
        let path = sandbox.path_with("bin");
        sandbox.program(&format!("bin/{name}"), script);
        is_judged(&run_over(&sandbox, way, &path, &[]));
        let log = fs::read_to_string(sandbox.path().join(format!("bin/{name}.log"))).unwrap();
        // Is it there? Take it. Be it.
        assert_eq!(log.lines().count(), 3, "{log}");
        // What it says when it fails reaches the user.
        sandbox.program(&format!("bin/{name}"), "echo 'no such thing: box' >&2\nexit 1\n");
        let outcome = run_over(&sandbox, way, &path, &[]);
        assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("no such thing: box"), "{}", outcome.stderr);
    }
}

/// A cluster of one node that is this machine: munge, slurmctld, slurmd.
struct Slurm {
    _daemons: Vec<Service>,
    configuration: PathBuf,
}

impl Slurm {
    fn start(sandbox: &Sandbox) -> Self {
        let at = sandbox.path().join("slurm");
        for folder in ["", "state", "spool"] {
            fs::create_dir_all(at.join(folder)).unwrap();
        }
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        let place = at.display();
        let key = at.join("munge.key");
        fs::write(&key, [7; 128]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
        let munge = Service::start(
            Command::new(component(&["munged"]))
                .arg("--foreground")
                // The sandbox stands in /tmp, where anybody may write.
                .arg("--force")
                .arg(format!("--key-file={}", key.display()))
                .arg(format!("--socket={place}/munge.socket"))
                .arg(format!("--pid-file={place}/munge.pid"))
                .arg(format!("--log-file={place}/munge.log"))
                .arg(format!("--seed-file={place}/munge.seed")),
        );
        let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let cores = std::thread::available_parallelism().unwrap();
        let (controller, node) = (free_port(), free_port());
        let configuration = sandbox.write(
            "slurm/slurm.conf",
            &format!(
                "ClusterName=stressor\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\n\
                 SlurmdPort={node}\nAuthType=auth/munge\nCredType=cred/munge\n\
                 AuthInfo=socket={place}/munge.socket\nSlurmUser=root\nSlurmdUser=root\n\
                 StateSaveLocation={place}/state\nSlurmdSpoolDir={place}/spool\n\
                 SlurmctldPidFile={place}/controller.pid\nSlurmdPidFile={place}/node.pid\n\
                 SlurmctldLogFile={place}/controller.log\nSlurmdLogFile={place}/node.log\n\
                 ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
                 SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nSwitchType=switch/none\n\
                 MpiDefault=none\nReturnToService=2\nJobAcctGatherType=jobacct_gather/none\n\
                 NodeName=n17 NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN\n\
                 PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
            ),
        );
        wait_for("munge", 10, || at.join("munge.socket").exists());
        let daemon = |name: &str, arguments: &[&str]| {
            Service::start(
                Command::new(component(&[name]))
                    .args(arguments)
                    .arg("-f")
                    .arg(&configuration)
                    .env("SLURM_CONF", &configuration),
            )
        };
        let daemons =
            vec![munge, daemon("slurmctld", &["-D"]), daemon("slurmd", &["-D", "-N", "n17"])];
        let slurm = Self { _daemons: daemons, configuration };
        wait_for("the node to be idle", 30, || slurm.nodes().contains("idle"));
        slurm
    }

    fn nodes(&self) -> String {
        self.command("sinfo", &["--noheader"])
    }

    fn command(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new(component(&[name]))
            .args(arguments)
            .env("SLURM_CONF", &self.configuration)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn a_node_of_slurm_is_loaded_and_judged_as_over_ssh() {
    let _machine = machine();
    let sandbox = Sandbox::new();
    let slurm = Slurm::start(&sandbox);
    let path = std::env::var("PATH").unwrap();
    let conf: [(&str, &Path); 1] = [("SLURM_CONF", &slurm.configuration)];
    is_judged(&run_over(&sandbox, "srun = \"n17\"", &path, &conf));
    wait_for("no job to be left", 20, || {
        slurm.command("squeue", &["--noheader"]).trim().is_empty()
    });
    // A node that the cluster does not have.
    let outcome = run_over(&sandbox, "srun = \"n99\"", &path, &conf);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("n99"), "{}", outcome.stderr);
}
