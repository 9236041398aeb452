//! `descriptors`, `processes`, `sockets`: takes things that the kernel has a
//! limit of, and keeps them. An operation is one thing taken, a latency its
//! time. What the kernel refuses is counted and asked for again; a limit of the
//! host itself is not come near, as everyone else needs it too.

mod descriptors;
mod processes;
mod sockets;

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Context, Failure, due};
use crate::{
    host::Roots,
    load::{pacer::Schedule, shared::Stage},
    scenario::plan::{Held, HoldWork},
};

/// Things taken between two looks at the host's limit.
const LOOK_EVERY: u64 = 64;
/// How much of a limit of the host all its processes together may use up.
const SHARE: f64 = 0.9;

/// Takes one thing at a time and keeps it.
trait Take {
    fn one(&mut self) -> Result<(), Failure>;
}

pub(in crate::load) fn run(work: HoldWork, context: &Context<'_>) -> Failure {
    // Every process may raise its own limit as far as the administrator lets it.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let taker: Result<Box<dyn Take>, Failure> = match work.what {
        Held::Descriptors => Ok(Box::new(descriptors::Descriptors::default())),
        Held::Processes => Ok(Box::new(processes::Processes)),
        Held::Sockets => {
            sockets::Sockets::new().map(|sockets| -> Box<dyn Take> { Box::new(sockets) })
        }
    };
    let mut taker = match taker {
        Ok(taker) => taker,
        Err(failure) => return failure,
    };
    let mut schedule = work.rate.map(Schedule::new);
    let start = context.begin();
    let mut held = 0;
    while held < work.count {
        let since = due(&mut schedule, start);
        if held.is_multiple_of(LOOK_EVERY) {
            wait_for_host(work.what, context);
        }
        match taker.one() {
            Ok(()) => {
                held += 1;
                context.slot.held.store(held, Relaxed);
                context.done(1, 0, since.elapsed());
            }
            Err(failure) => {
                context.failed(failure);
                std::thread::sleep(Duration::from_millis(90));
            }
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Hold still while the host has little left of what is taken, or of memory.
fn wait_for_host(what: Held, context: &Context<'_>) {
    // The reserve is none with `--unsafe`.
    if context.reserve == 0 {
        return;
    }
    super::memory::wait_for_reserve(context);
    let roots = Roots::default();
    let short = || usage(what, &roots).is_some_and(|(used, limit)| used >= limit * SHARE);
    if !short() {
        return;
    }
    context.slot.note(Stage::HostLimit, 0);
    while short() {
        std::thread::sleep(Duration::from_millis(100));
    }
    context.slot.note(Stage::None, 0);
}

/// What the host uses of its limit.
fn usage(what: Held, roots: &Roots) -> Option<(f64, f64)> {
    let number = |path: &str| roots.proc_text(path)?.trim().parse::<f64>().ok();
    match what {
        Held::Descriptors => {
            let text = roots.proc_text("sys/fs/file-nr")?;
            let mut fields = text.split_whitespace().filter_map(|field| field.parse().ok());
            let used = fields.next()?;
            Some((used, fields.nth(1)?))
        }
        Held::Processes => {
            // `0.5 0.4 0.3 2/345 6789`: 345 tasks exist.
            let text = roots.proc_text("loadavg")?;
            let tasks = text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
            let limit = number("sys/kernel/pid_max")?.min(number("sys/kernel/threads-max")?);
            Some((tasks, limit))
        }
        Held::Sockets => {
            // Pages that TCP uses, of those at which the kernel begins to save.
            let text = roots.proc_text("net/sockstat")?;
            let tcp = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
            let used = tcp.split_once(" mem ")?.1.split_whitespace().next()?.parse().ok()?;
            let limits = roots.proc_text("sys/net/ipv4/tcp_mem")?;
            Some((used, limits.split_whitespace().nth(1)?.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_uses_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/fs/file-nr", "1984\t0\t10000\n");
        write("loadavg", "0.1 0.2 0.3 2/345 6789\n");
        write("sys/kernel/pid_max", "32768\n");
        write("sys/kernel/threads-max", "1000\n");
        write("net/sockstat", "sockets: used 9\nTCP: inuse 1 orphan 0 tw 0 alloc 2 mem 7\n");
        write("sys/net/ipv4/tcp_mem", "10 20 30\n");
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        assert_eq!(usage(Held::Descriptors, &roots), Some((1984.0, 10000.0)));
        assert_eq!(usage(Held::Processes, &roots), Some((345.0, 1000.0)));
        assert_eq!(usage(Held::Sockets, &roots), Some((7.0, 20.0)));
        let nowhere = Roots { proc: "/nonexistent".into(), sys: "/nonexistent".into() };
        assert_eq!(usage(Held::Processes, &nowhere), None);
    }
}
