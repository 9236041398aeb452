//! How workers ended, in words, and whether it was for memory.

use nix::sys::signal::Signal;

use crate::{
    host::{
        Roots,
        cgroup::{Group, Groups, flat_value, memory_max},
    },
    load::Exit,
    model::units::show_bytes,
};

/// Knows how many processes the kernel has killed for memory so far.
#[derive(Debug)]
pub(super) struct Exits {
    roots: Roots,
    /// The group whose memory limit binds us.
    group: Option<Group>,
    kills: f64,
}

impl Exits {
    pub(super) fn new(roots: Roots) -> Self {
        let group = Groups::of_self(&roots).memory;
        let mut exits = Self { roots, group, kills: 0.0 };
        exits.kills = exits.kills_now();
        exits
    }

    /// `worker 3 was OOM-killed at 61 MiB of a 64 MiB limit`.
    pub(super) fn in_words(&mut self, exit: &Exit) -> String {
        let worker = format!("worker {}", exit.worker);
        match Signal::try_from(exit.signal) {
            Ok(Signal::SIGKILL) if self.one_more_kill() => {
                let own = exit.limit.map(|bytes| bytes as f64);
                let limit = match own.or_else(|| self.group.as_ref().and_then(memory_max)) {
                    Some(limit) => format!("a {} limit of its cgroup", show_bytes(limit)),
                    None => "what the host has".to_owned(),
                };
                format!(
                    "{worker} was OOM-killed at {} of {limit}",
                    show_bytes(exit.resident as f64)
                )
            }
            Ok(signal) if exit.resident > 0 => format!(
                "{worker} was killed by {} while it held {}",
                signal.as_str(),
                show_bytes(exit.resident as f64)
            ),
            Ok(signal) => format!("{worker} was killed by {}", signal.as_str()),
            Err(_) => {
                let why = if exit.errno == 0 {
                    format!("code {}", exit.code)
                } else {
                    std::io::Error::from_raw_os_error(exit.errno).to_string()
                };
                format!("{worker} failed {}: {why}", exit.stage.words())
            }
        }
    }

    /// Whether the kernel has killed for memory once more than was told.
    fn one_more_kill(&mut self) -> bool {
        if self.kills_now() <= self.kills {
            return false;
        }
        self.kills += 1.0;
        true
    }

    /// Counts kills for a cgroup's limit too.
    fn kills_now(&self) -> f64 {
        self.roots.proc_text("vmstat").and_then(|text| flat_value(&text, "oom_kill")).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::shared::Stage;

    fn exit(signal: Signal) -> Exit {
        Exit {
            worker: 3,
            limit: None,
            code: 0,
            signal: signal as i32,
            stage: Stage::None,
            errno: 0,
            resident: 61 << 20,
        }
    }

    #[test]
    fn a_kill_is_for_memory_when_the_kernel_counted_one() {
        let folder = tempfile::tempdir().unwrap();
        let vmstat = |kills: u32| {
            std::fs::write(folder.path().join("vmstat"), format!("oom_kill {kills}\n")).unwrap();
        };
        vmstat(5);
        let mut exits = Exits::new(Roots { proc: folder.path().into(), sys: folder.path().into() });
        assert_eq!(
            exits.in_words(&exit(Signal::SIGKILL)),
            "worker 3 was killed by SIGKILL while it held 61 MiB"
        );
        vmstat(6);
        assert_eq!(
            exits.in_words(&exit(Signal::SIGKILL)),
            "worker 3 was OOM-killed at 61 MiB of what the host has"
        );
        // The one that was counted is told.
        assert!(!exits.in_words(&exit(Signal::SIGKILL)).contains("OOM"));
    }

    #[test]
    fn a_failure_says_what_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut exits = Exits::new(Roots { proc: folder.path().into(), sys: folder.path().into() });
        let failed = Exit {
            signal: 0,
            code: 1,
            stage: Stage::Scratch,
            errno: libc::ENOSPC,
            ..exit(Signal::SIGKILL)
        };
        let text = exits.in_words(&failed);
        assert!(
            text.starts_with("worker 3 failed making its scratch file: No space left"),
            "{text}"
        );
    }
}
