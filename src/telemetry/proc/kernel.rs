//! Tables of the kernel: file descriptors, threads.

use super::{Values, numbers, plain};
use crate::host::Roots;

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("sys/fs/file-nr")
        && let [allocated, _, maximum] = numbers(&text)[..]
    {
        plain(values, "node_filefd_allocated", allocated);
        plain(values, "node_filefd_maximum", maximum);
    }
    // `running/all` threads is the fourth word of loadavg: cheaper than
    // counting /proc/*/task.
    let threads = roots
        .proc_text("loadavg")
        .and_then(|text| text.split_whitespace().nth(3)?.split_once('/')?.1.parse::<f64>().ok());
    if let Some(threads) = threads {
        plain(values, "node_processes_threads", threads);
    }
    // A thread takes a slot of both tables; the smaller one fills first.
    let limit = ["sys/kernel/threads-max", "sys/kernel/pid_max"]
        .iter()
        .filter_map(|file| roots.proc_text(file)?.trim().parse::<f64>().ok())
        .reduce(f64::min);
    if let Some(limit) = limit {
        plain(values, "node_processes_max_threads", limit);
    }
}
