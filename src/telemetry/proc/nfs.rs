//! The NFS client: how long its requests take, and how often they are sent again.

use std::collections::BTreeSet;

use super::{Values, labelled, numbers, plain};
use crate::host::Roots;

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    // The file is there where the NFS client is loaded; without it nothing is mounted.
    let Some(text) = roots.proc_text("net/rpc/nfs") else { return };
    if let Some(line) = text.lines().find_map(|line| line.strip_prefix("rpc "))
        && let [requests, again, ..] = numbers(line)[..]
    {
        plain(values, "node_nfs_rpcs_total", requests);
        plain(values, "node_nfs_rpc_retransmissions_total", again);
    }
    if let Some(text) = roots.proc_text("self/mountstats") {
        mounts(&text, values);
    }
}

/// Requests of one export, summed over the kinds of operation.
#[derive(Debug, Default)]
struct Requests {
    count: f64,
    queue_ms: f64,
    response_ms: f64,
    whole_ms: f64,
}

/// The statistics of every NFS mount, each export once: mounts of one export share them.
fn mounts(text: &str, values: &mut Values) {
    let mut seen = BTreeSet::new();
    let mut sections = text.split("\ndevice ");
    let first = sections.next().map(|section| section.strip_prefix("device ").unwrap_or(section));
    for section in first.into_iter().chain(sections) {
        let mut lines = section.lines();
        let head = lines.next().unwrap_or_default();
        let Some((export, rest)) = head.split_once(" mounted on ") else { continue };
        let is_nfs = rest
            .rsplit_once(" with fstype ")
            .and_then(|(_, kind)| kind.split(' ').next())
            .is_some_and(|kind| ["nfs", "nfs4"].contains(&kind));
        if !is_nfs || !seen.insert(export) {
            continue;
        }
        let per_operation = lines
            .skip_while(|line| line.trim() != "per-op statistics")
            .skip(1)
            .filter_map(|line| Some(numbers(line.split_once(": ")?.1)));
        let mut all = Requests::default();
        for fields in per_operation {
            // Requests, transmissions, time-outs, bytes sent and received, then
            // milliseconds in the queue, until the answer, and from start to end.
            let [count, _, _, _, _, queue, response, whole, ..] = fields[..] else { continue };
            all.count += count;
            all.queue_ms += queue;
            all.response_ms += response;
            all.whole_ms += whole;
        }
        for (name, value) in [
            ("requests_total", all.count),
            ("queue_time_seconds_total", all.queue_ms / 1000.0),
            ("response_time_seconds_total", all.response_ms / 1000.0),
            ("request_time_seconds_total", all.whole_ms / 1000.0),
        ] {
            let metric = format!("node_mountstats_nfs_operations_{name}");
            labelled(values, &metric, ("export", export), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_of_an_export_are_summed() {
        let text = "device rootfs mounted on / with fstype rootfs\n\
            device srv:/data mounted on /mnt/my data with fstype nfs4 statvers=1.1\n\
            \topts:\trw,vers=4.2\n\
            \tper-op statistics\n\
            \t        NULL: 1 1 0 44 24 0 0 0 0\n\
            \t        READ: 10 11 0 100 200 500 1500 2500 0\n\
            \t       WRITE: 5 5 0 100 200 500 500 1500 0\n\
            \n\
            device srv:/data mounted on /mnt/b with fstype nfs4 statvers=1.1\n\
            \tper-op statistics\n\
            \t        READ: 10 11 0 100 200 500 1500 2500 0\n";
        let mut values = Values::new();
        mounts(text, &mut values);
        assert_eq!(values.len(), 4);
        let get = |name: &str| {
            let name = format!("node_mountstats_nfs_operations_{name}");
            values.iter().find(|(key, _)| key.name == name).unwrap().1
        };
        assert_eq!(values[0].0.labels["export"], "srv:/data");
        assert_eq!(get("requests_total"), 16.0);
        assert_eq!(get("queue_time_seconds_total"), 1.0);
        assert_eq!(get("response_time_seconds_total"), 2.0);
        assert_eq!(get("request_time_seconds_total"), 4.0);
    }

    #[test]
    fn a_client_says_how_often_it_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("net/rpc")).unwrap();
        let text = "net 0 0 0 0\nrpc 200 3 200\nproc4 2 0 1\n";
        std::fs::write(folder.path().join("net/rpc/nfs"), text).unwrap();
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        let mut values = Values::new();
        sample(&roots, &mut values);
        let got: Vec<(&str, f64)> = values.iter().map(|(key, v)| (key.name.as_str(), *v)).collect();
        assert_eq!(
            got,
            [("node_nfs_rpcs_total", 200.0), ("node_nfs_rpc_retransmissions_total", 3.0)]
        );
    }
}
