//! What sampling and journaling cost, from this process's own CPU time.
//!
//! `cargo bench --bench sampling_cost` samples for 30 s at 1 s and for 10 s at
//! 100 ms, as `stressor run` does it, and prints the share of one core.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use stressor::{
    host::{Roots, clock::Clock},
    store::{folder::RunFolder, journal::Journal},
    telemetry::proc::Sampler,
};

fn cpu_s() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(f64::NAN, |usage| {
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    })
}

fn measure(
    reports: &Path,
    interval: Duration,
    samples: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let folder = RunFolder::create(reports, None)?;
    let mut journal = Journal::create(&folder)?;
    let mut sampler = Sampler::new(Roots::default(), Clock::start());
    let (begun, before) = (Instant::now(), cpu_s());
    for sample in 1..=samples {
        journal.sample(&sampler.sample());
        std::thread::sleep((interval * sample).saturating_sub(begun.elapsed()));
    }
    journal.close()?;
    let (used, took) = (cpu_s() - before, begun.elapsed().as_secs_f64());
    println!(
        "every {interval:?}: {samples} samples, {:.0} µs of CPU each, {:.3} % of one core",
        used / f64::from(samples) * 1e6,
        used / took * 100.0
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reports = tempfile::tempdir_in(".")?;
    measure(reports.path(), Duration::from_secs(1), 30)?;
    measure(reports.path(), Duration::from_millis(100), 100)
}
