//! How a command is run on a node with its streams carried. The engines are the
//! ones that people have: OpenSSH's client with its own configuration, or any
//! command that runs `sh -c SCRIPT` somewhere.

use std::{ffi::OsString, process::Command};

use super::wire::FromAgent;
use crate::scenario::plan::Way;

/// A way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `ssh TARGET`: its configuration, agent, known hosts and jumps all hold.
    Ssh {
        /// As ssh takes it: `user@host`, or a name of its configuration.
        target: String,
    },
    /// Anything that runs what follows it on the node.
    Command {
        /// Program and arguments.
        prefix: Vec<String>,
    },
}

/// For ssh: no questions, since nobody would answer; a dead way is noticed; and
/// no time is lost on one.
const SSH: [&str; 11] = [
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=3",
    "-o",
    "ServerAliveCountMax=3",
    // No banners, but why a connection fails.
    "-o",
    "LogLevel=ERROR",
];

/// For Slurm: the whole node, all its cores and memory, and nobody else's job
/// beside the load. Nobody waits in a queue that does not move.
const SRUN: [&str; 8] = [
    "srun",
    "--quiet",
    "--nodes=1",
    "--ntasks=1",
    "--exclusive",
    "--mem=0",
    "--cpu-bind=none",
    "--immediate=30",
];

impl From<&Way> for Transport {
    fn from(way: &Way) -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let prefix = match way {
            Way::Ssh(target) => return Self::Ssh { target: target.clone() },
            Way::Command(prefix) => prefix.clone(),
            Way::Docker(container) => words(&["docker", "exec", "-i", container]),
            Way::Srun(node) => {
                let mut prefix: Vec<String> = words(&SRUN);
                prefix.push(format!("--nodelist={node}"));
                prefix
            }
            Way::Kubectl { namespace, pod, container } => {
                let mut prefix: Vec<String> = words(&["kubectl", "exec", "-i"]);
                prefix.extend(namespace.iter().map(|namespace| format!("--namespace={namespace}")));
                prefix.extend(container.iter().map(|container| format!("--container={container}")));
                prefix.extend([pod.clone(), "--".to_owned()]);
                prefix
            }
        };
        Self::Command { prefix }
    }
}

impl Transport {
    /// The command that runs a script of the shell on the node.
    pub fn command(&self, script: &str) -> Command {
        match self {
            Self::Ssh { target } => {
                let program = std::env::var_os("STRESSOR_SSH").unwrap_or(OsString::from("ssh"));
                let mut command = Command::new(program);
                // The login shell may be any; what is meant is sh.
                command.args(SSH).arg("--").arg(target).arg(format!("sh -c {}", quoted(script)));
                command
            }
            Self::Command { prefix } => {
                let (program, arguments) = prefix
                    .split_first()
                    .map_or(("false", &[] as &[String]), |(first, rest)| (first.as_str(), rest));
                let mut command = Command::new(program);
                command.args(arguments).args(["sh", "-c", script]);
                command
            }
        }
    }

    /// What people call it.
    pub fn in_words(&self) -> String {
        match self {
            Self::Ssh { target } => format!("ssh {target}"),
            Self::Command { prefix } => prefix.join(" "),
        }
    }
}

/// One word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The folder on a node where the program is kept, for the shell there.
pub const CACHE: &str = r#"d="${XDG_CACHE_HOME:-$HOME/.cache}/stressor""#;

/// Keeps what comes in as the program with this digest. Whole or not at all.
pub fn install(digest: &str) -> String {
    format!(
        r#"{CACHE}; umask 077; mkdir -p "$d" && cat > "$d/{digest}.$$" && chmod 700 "$d/{digest}.$$" && mv -f "$d/{digest}.$$" "$d/{digest}""#
    )
}

/// Becomes the agent, or says that the program with this digest is not there: one
/// connection for a node that has it, since each costs a handshake.
pub fn agent(digest: &str) -> String {
    let absent = serde_json::to_string(&FromAgent::Absent).unwrap_or_default();
    format!(
        r#"{CACHE}; if [ -x "$d/{digest}" ]; then exec "$d/{digest}" agent; fi; echo '{absent}'"#
    )
}

/// Takes the program away, of every version.
pub fn clean() -> String {
    format!(r#"{CACHE}; if [ -d "$d" ]; then rm -rf "$d" && echo removed; else echo nothing; fi"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_script_is_one_word_for_every_engine() {
        let script = "echo 'it''s' \"$d\"";
        let way = |namespace: Option<&str>, container: Option<&str>| Way::Kubectl {
            namespace: namespace.map(str::to_owned),
            pod: "pod".to_owned(),
            container: container.map(str::to_owned),
        };
        let pod = Transport::from(&way(None, None)).command(script);
        assert_eq!(words(&pod), ["kubectl", "exec", "-i", "pod", "--", "sh", "-c", script]);
        let container = Transport::from(&way(Some("load"), Some("box"))).command(script);
        assert_eq!(
            words(&container)[2..6],
            ["-i", "--namespace=load", "--container=box", "pod"].map(str::to_owned)
        );
        let docker = Transport::from(&Way::Docker("box".to_owned())).command(script);
        assert_eq!(words(&docker), ["docker", "exec", "-i", "box", "sh", "-c", script]);
        let command = Transport::Ssh { target: "u@h".into() }.command("a 'b'");
        let all = words(&command);
        assert_eq!(all[all.len() - 2..], ["u@h", r"sh -c 'a '\''b'\'''"]);
        // A name that looks like an option is none.
        assert_eq!(all[all.len() - 3], "--");
    }
}
