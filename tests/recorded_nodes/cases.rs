//! All cases, by class.

#[expect(clippy::too_many_lines, reason = "lists of cases")]
mod allowances;
mod coverage;
mod cpu;
mod filesystems;
mod gpu;
#[expect(clippy::too_many_lines, reason = "lists of cases")]
mod identity;
#[expect(clippy::too_many_lines, reason = "lists of cases")]
mod memory;
#[expect(clippy::too_many_lines, reason = "lists of cases")]
mod network;
#[expect(clippy::too_many_lines, reason = "lists of cases")]
mod positives;
pub(crate) mod reach;
#[expect(clippy::too_many_lines, reason = "lists of cases")]
mod storage;

use crate::{case::Case, openmetrics::Host};

/// Every case about nodes.
pub(crate) fn all() -> Vec<Case> {
    let all: Vec<Case> = [
        identity::cases(),
        coverage::cases(),
        filesystems::cases(),
        memory::cases(),
        cpu::cases(),
        network::cases(),
        storage::cases(),
        allowances::cases(),
        gpu::cases(),
        positives::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut names: Vec<&str> = all.iter().map(|case| case.name).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(before, names.len(), "two cases have one name");
    all
}

/// Nodes that are there whichever cases were chosen: what stands before a server is
/// asked about them.
pub(crate) fn background() -> Vec<Host> {
    let mut all = vec![
        Host::new("10.9.0.1:9100", "calm"),
        Host::new("10.9.0.2:9100", "crowded").busy(0.98).psi(0.9).gauge(
            "node_procs_running",
            &[],
            12.0,
        ),
        Host::new("10.9.0.3:9100", "half").busy(0.45).label("cluster", "eu"),
    ];
    all.extend(reach::live());
    all
}
