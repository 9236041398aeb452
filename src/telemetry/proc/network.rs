//! Interfaces, and the errors of TCP, UDP and the packet queues.

use super::{Values, labelled, numbers, plain};
use crate::host::Roots;

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("net/dev") {
        for device in interfaces(&text, str::to_owned, values) {
            let about = roots.sys.join("class/net").join(&device);
            // A made-up link (veth, bridge, tun) tells a made-up speed.
            let is_real = about.join("device").exists();
            for (file, name) in [("ifindex", "iface_id"), ("iflink", "iface_link")] {
                let number = roots.sys_text(format!("class/net/{device}/{file}"));
                if let Some(number) = number.and_then(|text| text.parse::<f64>().ok()) {
                    let key = ("device", device.as_str());
                    labelled(values, &format!("node_network_{name}"), key, number);
                }
            }
            let speed = roots.sys_text(format!("class/net/{device}/speed"));
            if let Some(speed) = speed.and_then(|text| text.parse::<f64>().ok())
                && is_real
            {
                // Megabits to bytes. -1 means unknown and stays negative.
                let key = ("device", device.as_str());
                labelled(values, "node_network_speed_bytes", key, speed * 125_000.0);
            }
        }
    }
    for file in ["snmp", "netstat", "sockstat"] {
        if let Some(text) = roots.proc_text(format!("net/{file}")) {
            for (name, count) in sockets(file, &text) {
                plain(values, &format!("node_{name}"), count);
            }
        }
    }
    // Pages: low, pressure, high. Above the second the kernel trims buffers.
    if let Some(text) = roots.proc_text("sys/net/ipv4/tcp_mem")
        && let [_, pressure, _] = numbers(&text)[..]
    {
        plain(values, "stressor_tcp_memory_limit_pages", pressure);
    }
    for (file, name) in [("count", "entries"), ("max", "entries_limit")] {
        if let Some(text) = roots.proc_text(format!("sys/net/netfilter/nf_conntrack_{file}")) {
            let value = text.trim().parse().unwrap_or(f64::NAN);
            plain(values, &format!("node_nf_conntrack_{name}"), value);
        }
    }
    if let Some(text) = roots.proc_text("net/stat/nf_conntrack") {
        conntrack_drops(&text, values);
    }
    if let Some(text) = roots.proc_text("net/softnet_stat") {
        softnet(&text, values);
    }
}

/// How many ports `first last` spans.
pub(super) fn ports_of(text: &str) -> Option<f64> {
    let [first, last] = numbers(text)[..] else { return None };
    (last >= first).then_some(last - first + 1.0)
}

/// The counters of a file of /proc/net/dev's form, each interface called what
/// `label` makes of its name; the names as they stand there.
pub(super) fn interfaces(
    text: &str,
    label: impl Fn(&str) -> String,
    values: &mut Values,
) -> Vec<String> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(':') else { continue };
        let device = device.trim();
        let called = label(device);
        let fields = numbers(rest);
        let field = |at: usize| fields.get(at).copied().unwrap_or(f64::NAN);
        for (name, at) in [
            ("receive_bytes", 0),
            ("receive_packets", 1),
            ("receive_errs", 2),
            ("receive_drop", 3),
            ("transmit_bytes", 8),
            ("transmit_packets", 9),
            ("transmit_errs", 10),
            ("transmit_drop", 11),
        ] {
            let metric = format!("node_network_{name}_total");
            labelled(values, &metric, ("device", &called), field(at));
        }
        devices.push(device.to_owned());
    }
    devices
}

/// What is wanted of snmp, netstat and sockstat: `netstat_Tcp_OutSegs`,
/// `sockstat_TCP_tw`.
pub(super) fn sockets(file: &str, text: &str) -> Vec<(String, f64)> {
    if file == "sockstat" { sockstat(text) } else { counters(text) }
}

/// Lines of `TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1`.
fn sockstat(text: &str) -> Vec<(String, f64)> {
    const WANTED: [&str; 4] = ["inuse", "orphan", "tw", "mem"];
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("TCP:")) else {
        return Vec::new();
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    words
        .chunks_exact(2)
        .filter_map(|pair| {
            let [name, count] = pair else { return None };
            WANTED.contains(name).then_some(())?;
            Some((format!("sockstat_TCP_{name}"), count.parse().ok()?))
        })
        .collect()
}

/// Pairs of lines: names, then numbers, both after `Tcp:` or the like.
fn counters(text: &str) -> Vec<(String, f64)> {
    const WANTED: [(&str, &str); 7] = [
        ("Tcp", "RetransSegs"),
        ("Tcp", "OutSegs"),
        ("Udp", "RcvbufErrors"),
        ("Udp", "InDatagrams"),
        ("TcpExt", "ListenOverflows"),
        ("TcpExt", "ListenDrops"),
        ("TcpExt", "TCPMemoryPressures"),
    ];
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks(2) {
        let [names, counts] = pair else { continue };
        let (Some((group, names)), Some((_, counts))) =
            (names.split_once(':'), counts.split_once(':'))
        else {
            continue;
        };
        for (name, count) in names.split_whitespace().zip(numbers(counts)) {
            if WANTED.contains(&(group, name)) {
                found.push((format!("netstat_{group}_{name}"), count));
            }
        }
    }
    found
}

/// A line of names, then one a core in hexadecimal: packets dropped because
/// the table was full.
fn conntrack_drops(text: &str, values: &mut Values) {
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default();
    let Some(at) = names.split_whitespace().position(|name| name == "drop") else { return };
    let drops: u64 = lines
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok())
        .sum();
    plain(values, "node_nf_conntrack_stat_drop", drops as f64);
}

/// A line a core, in hexadecimal: packets processed, dropped, squeezed.
fn softnet(text: &str, values: &mut Values) {
    for (cpu, line) in text.lines().enumerate() {
        let mut fields =
            line.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap_or(0));
        let (dropped, squeezed) = (fields.nth(1), fields.next());
        let cpu = cpu.to_string();
        for (name, count) in [("dropped", dropped), ("times_squeezed", squeezed)] {
            if let Some(count) = count {
                labelled(
                    values,
                    &format!("node_softnet_{name}_total"),
                    ("cpu", &cpu),
                    count as f64,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_both_directions() {
        let mut values = Values::new();
        let text =
            "Inter-| Receive\n face |bytes packets\n  eth0: 100 2 0 1 0 0 0 0 300 4 0 0 0 0 0 0\n";
        assert_eq!(interfaces(text, str::to_owned, &mut values), ["eth0"]);
        let get = |name: &str| values.iter().find(|(k, _)| k.name == name).unwrap().1;
        assert_eq!(get("node_network_receive_bytes_total"), 100.0);
        assert_eq!(get("node_network_receive_drop_total"), 1.0);
        assert_eq!(get("node_network_transmit_bytes_total"), 300.0);
    }

    #[test]
    fn counters_stand_under_their_names() {
        let found = counters(
            "Tcp: A OutSegs RetransSegs\nTcp: 1 200 3\nTcpExt: ListenOverflows\nTcpExt: 7\n",
        );
        assert_eq!(found.len(), 3);
        assert_eq!(found[1], ("netstat_Tcp_RetransSegs".to_owned(), 3.0));
        let found =
            sockets("sockstat", "sockets: used 8\nTCP: inuse 1 orphan 0 tw 5 alloc 1 mem 2\n");
        assert_eq!(found[2], ("sockstat_TCP_tw".to_owned(), 5.0));
        assert_eq!(ports_of("32768\t60999\n"), Some(28232.0));
    }

    #[test]
    fn drops_of_the_connection_table_are_summed_over_cores() {
        let mut values = Values::new();
        conntrack_drops("entries found drop\n00000001 00000000 0000000a\n1 0 6\n", &mut values);
        assert_eq!(values[0].1, 16.0);
    }

    #[test]
    fn softnet_is_hexadecimal() {
        let mut values = Values::new();
        softnet("000000ff 00000010 0000000a 0\n", &mut values);
        assert_eq!(values[0].1, 16.0);
        assert_eq!(values[1].1, 10.0);
    }
}
