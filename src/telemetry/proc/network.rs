//! Interfaces, and the errors of TCP, UDP and the packet queues.

use super::{Values, labelled, numbers, plain};
use crate::host::Roots;

pub(super) fn sample(roots: &Roots, values: &mut Values) {
    if let Some(text) = roots.proc_text("net/dev") {
        for device in interfaces(&text, values) {
            if let Some(speed) = roots
                .sys_text(format!("class/net/{device}/speed"))
                .and_then(|text| text.parse::<f64>().ok())
            {
                // Megabits to bytes. -1 means unknown and stays negative.
                labelled(
                    values,
                    "node_network_speed_bytes",
                    ("device", &device),
                    speed * 125_000.0,
                );
            }
        }
    }
    for file in ["net/snmp", "net/netstat"] {
        if let Some(text) = roots.proc_text(file) {
            counters(&text, values);
        }
    }
    if let Some(text) = roots.proc_text("net/softnet_stat") {
        softnet(&text, values);
    }
}

fn interfaces(text: &str, values: &mut Values) -> Vec<String> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(':') else { continue };
        let device = device.trim();
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
            labelled(values, &format!("node_network_{name}_total"), ("device", device), field(at));
        }
        devices.push(device.to_owned());
    }
    devices
}

/// Pairs of lines: names, then numbers, both after `Tcp:` or the like.
fn counters(text: &str, values: &mut Values) {
    const WANTED: [(&str, &str); 6] = [
        ("Tcp", "RetransSegs"),
        ("Tcp", "OutSegs"),
        ("Udp", "RcvbufErrors"),
        ("Udp", "InDatagrams"),
        ("TcpExt", "ListenOverflows"),
        ("TcpExt", "ListenDrops"),
    ];
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
                plain(values, &format!("node_netstat_{group}_{name}"), count);
            }
        }
    }
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
        assert_eq!(interfaces(text, &mut values), ["eth0"]);
        let get = |name: &str| values.iter().find(|(k, _)| k.name == name).unwrap().1;
        assert_eq!(get("node_network_receive_bytes_total"), 100.0);
        assert_eq!(get("node_network_receive_drop_total"), 1.0);
        assert_eq!(get("node_network_transmit_bytes_total"), 300.0);
    }

    #[test]
    fn counters_stand_under_their_names() {
        let mut values = Values::new();
        counters(
            "Tcp: A OutSegs RetransSegs\nTcp: 1 200 3\nTcpExt: ListenOverflows\nTcpExt: 7\n",
            &mut values,
        );
        assert_eq!(values.len(), 3);
        assert_eq!(values[1].1, 3.0);
    }

    #[test]
    fn softnet_is_hexadecimal() {
        let mut values = Values::new();
        softnet("000000ff 00000010 0000000a 0\n", &mut values);
        assert_eq!(values[0].1, 16.0);
        assert_eq!(values[1].1, 10.0);
    }
}
