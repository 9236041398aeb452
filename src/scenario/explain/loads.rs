//! One load in words.

use super::{
    super::plan::{
        Amount, Arrival, DiskWork, Engine, Fsync, GroupPlan, Holding, HttpWork, LoadPlan,
        MemoryWork, NetWork, Pattern, Rate, Scheduler, Work, Workers,
    },
    Machine,
};
use crate::model::units::{show_bytes, show_duration, three_digits};

/// One load in words: `4 cpu workers (sqrt) at 100 % of a core`.
pub fn load(load: &LoadPlan, machine: Option<Machine>) -> String {
    let workers = match (load.workers, machine) {
        (workers, Some(machine)) => workers.resolve(machine.cores).to_string(),
        (Workers::Count(count), None) => count.to_string(),
        (Workers::PerCore(factor), None) => format!("{} per core", three_digits(factor)),
    };
    let s = if workers == "1" { "" } else { "s" };
    let what = match &load.work {
        Work::Cpu { method, rate: Some(rate), .. } => {
            format!("cpu worker{s} ({}), {}", method.name(), at_rate(Some(*rate), None))
        }
        Work::Cpu { method, load, .. } => {
            format!(
                "cpu worker{s} ({}) at {} % of a core each",
                method.name(),
                three_digits(load * 100.0)
            )
        }
        Work::Memory(work) => memory(work, s),
        Work::Switch { rate, futex } => {
            let via = if *futex { "a futex" } else { "pipes" };
            format!("switch worker{s} via {via}, {}", at_rate(*rate, None))
        }
        Work::Sync { rate: limit } | Work::Fork { rate: limit } => {
            format!("{} worker{s}, {}", load.work.kind(), at_rate(*limit, None))
        }
        Work::Disk(work) => disk(work, s),
        Work::Http(work) => http(work, s),
        Work::Net(work) => net(work, s),
        Work::Files(work) => {
            let size = match work.file_size {
                0 => String::new(),
                bytes => format!(" of {}", show_bytes(bytes as f64)),
            };
            format!(
                "files worker{s}: up to {} files{size} each, {}",
                work.count,
                at_rate(work.rate, None)
            )
        }
        Work::Hold(work) => {
            format!(
                "{} worker{s}: {} each, {}",
                work.what.name(),
                work.count,
                at_rate(work.rate, None)
            )
        }
    };
    let cores = if load.cores.is_empty() {
        String::new()
    } else {
        let list: Vec<String> = load.cores.iter().map(ToString::to_string).collect();
        format!(", pinned to core {}", list.join(", "))
    };
    let nice = load.nice.filter(|nice| *nice != 0);
    let nice = nice.map_or_else(String::new, |nice| format!(", nice {nice}"));
    let scheduler = match load.scheduler {
        Scheduler::Other => String::new(),
        class => format!(", scheduled as {}", class.name()),
    };
    let io =
        load.io_class.map_or_else(String::new, |class| format!(", I/O class {}", class.name()));
    let cgroup = load.cgroup.map_or_else(String::new, cgroup);
    format!("{workers} {what}{cores}{nice}{scheduler}{io}{cgroup}")
}

fn cgroup(limits: GroupPlan) -> String {
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| show_bytes(bytes as f64));
    let limits: Vec<String> = [
        limits.cpu.map(|cores| format!("{} cores", three_digits(cores))),
        bytes(limits.memory).map(|bytes| format!("{bytes} of memory")),
        limits.processes.map(|tasks| format!("{tasks} tasks")),
        bytes(limits.read_bytes).map(|bytes| format!("{bytes}/s read")),
        bytes(limits.write_bytes).map(|bytes| format!("{bytes}/s written")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if limits.is_empty() {
        return ", in a cgroup of their own".to_owned();
    }
    format!(", in a cgroup limited to {}", limits.join(", "))
}

/// `as fast as possible`, `50/s each`, `10 MiB/s each`.
fn at_rate(operations: Option<f64>, bytes: Option<u64>) -> String {
    match (operations, bytes) {
        (Some(rate), _) => format!("{}/s each", three_digits(rate)),
        (None, Some(rate)) => format!("{}/s each", show_bytes(rate as f64)),
        (None, None) => "as fast as possible".to_owned(),
    }
}

fn disk(work: &DiskWork, s: &str) -> String {
    let direct = if work.direct { "direct" } else { "buffered" };
    let access = if work.random { "random" } else { "sequential" };
    let operation = match work.reads {
        reads if reads <= 0.0 => "writes".to_owned(),
        reads if reads >= 1.0 => "reads".to_owned(),
        reads => format!("reads ({} %) and writes", three_digits(reads * 100.0)),
    };
    let fsync = match work.fsync {
        Fsync::Never => String::new(),
        Fsync::End => ", fsync after each pass".to_owned(),
        Fsync::Every(n) => format!(", fsync every {n} writes"),
    };
    let depth = match work.depth {
        1 => String::new(),
        depth => format!(", {depth} in flight each"),
    };
    let engine = match work.engine {
        Engine::Auto => String::new(),
        engine => format!(", by {}", engine.name()),
    };
    let verify = if work.verify { ", verified" } else { "" };
    let size = show_bytes(work.file_size as f64);
    let file = match &work.file {
        Some(file) if work.reads < 1.0 => {
            format!("the first {size} of {}, which are lost", file.display())
        }
        Some(file) => format!("the first {size} of {}", file.display()),
        None => format!("a {size} file each"),
    };
    format!(
        "disk worker{s}: {direct} {access} {operation} of {} blocks in {}, {}{depth}{engine}{fsync}{verify}",
        show_bytes(work.block_size as f64),
        file,
        at_rate(work.rate, work.rate_bytes),
    )
}

fn http(work: &HttpWork, s: &str) -> String {
    if let Some(listen) = &work.listen {
        return format!("http worker{s}: a small server at {listen}");
    }
    let url = match &work.url {
        Some(url) => url.to_string(),
        None => "a small server of their own".to_owned(),
    };
    let version = if work.http2 { "HTTP/2" } else { "HTTP/1.1" };
    let per_second = |rate: f64| format!("{}/s", three_digits(rate));
    let when = match work.arrival {
        None => "closed loop".to_owned(),
        Some(Arrival { rate, poisson }) => {
            let rate = match rate {
                Rate::Constant(rate) => per_second(rate),
                Rate::Ramp { from, to } => format!("{} to {}", per_second(from), per_second(to)),
                Rate::Spike { base, peak, every, length } => format!(
                    "{}, spikes of {} for {} every {}",
                    per_second(base),
                    per_second(peak),
                    show_duration(length),
                    show_duration(every)
                ),
            };
            format!("open loop at {rate} each{}", if poisson { " at random (Poisson)" } else { "" })
        }
    };
    let keep = if work.keep_alive { "" } else { ", a connection for each request" };
    let streams = match work.streams {
        1 => String::new(),
        streams => format!(" with {streams} streams"),
    };
    format!(
        "http worker{s}: {} {url} over {version}, {} connections{streams} each, {when}{keep}",
        work.method, work.connections
    )
}

fn net(work: &NetWork, s: &str) -> String {
    let protocol = if work.udp { "UDP" } else { "TCP" };
    if let Some(listen) = &work.listen {
        return format!("net worker{s}: a {protocol} sink at {listen}");
    }
    let target = match &work.target {
        Some(target) => format!("to {target}"),
        None => "to a sink of their own".to_owned(),
    };
    let message = show_bytes(work.message as f64);
    let what = match work.pattern {
        Pattern::Stream => format!("a {protocol} stream in pieces of {message}"),
        Pattern::Request => format!("{protocol} requests of {message}"),
        Pattern::Connect => "TCP connections made and closed".to_owned(),
    };
    format!("net worker{s}: {what}, {target}, {}", at_rate(work.rate, work.rate_bytes))
}

fn memory(work: &MemoryWork, s: &str) -> String {
    let size = match work.size {
        Amount::Bytes(bytes) => show_bytes(bytes as f64),
        Amount::Available(share) => {
            format!("{} % of available memory", three_digits(share * 100.0))
        }
    };
    let mut what = format!("memory worker{s}, together {size}, ");
    match (work.bandwidth, work.holding) {
        (Some(bandwidth), _) => what.push_str(&format!("{} bandwidth", bandwidth.name())),
        (None, Holding::Again) => what.push_str("kept"),
        (None, Holding::Hang) => what.push_str("touched once and kept"),
        (None, Holding::Free) => what.push_str("freed and taken again"),
    }
    if let Some(growth) = work.growth {
        what.push_str(&format!(", growing by {}/s", show_bytes(growth as f64)));
    }
    for (on, words) in [(work.huge_pages, ", in huge pages"), (work.lock, ", locked")] {
        what.push_str(if on { words } else { "" });
    }
    if let Some(rate) = work.rate_bytes {
        what.push_str(&format!(", {}/s each", show_bytes(rate as f64)));
    }
    what
}
