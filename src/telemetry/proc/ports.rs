//! Ports that connections leave from: how many are in use towards each destination.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Values, labelled,
    network::{ports_of, sockets},
    plain,
};
use crate::{host::Roots, model::series::Key};

/// Share of the ports that all sockets together must be able to fill before they are
/// counted one by one: the kernel prints a line for each, ten milliseconds for every
/// ten thousand (measured).
const WORTH_COUNTING: f64 = 0.5;
/// Destinations that are reported, those with the most ports.
const MOST_REPORTED: usize = 3;
/// A destination below this share of the ports is not reported.
const LEAST_SHARE: f64 = 0.2;
/// The state of a socket that listens.
const LISTENS: &str = "0A";

/// Ports in use, as of the last scan.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Ports that connections can leave from.
    all: Option<f64>,
    /// Destinations with the ports in use; `None` when the sockets were too few to count.
    used: Option<Vec<(String, f64)>>,
}

impl Ports {
    /// Count anew, where there are enough sockets.
    pub(super) fn scan(&mut self, roots: &Roots) {
        self.used = None;
        self.all =
            roots.proc_text("sys/net/ipv4/ip_local_port_range").as_deref().and_then(ports_of);
        let Some(all) = self.all else { return };
        let in_use: f64 = ["sockstat", "sockstat6"]
            .iter()
            .filter_map(|file| roots.proc_text(format!("net/{file}")))
            .flat_map(|text| sockets("sockstat", &text.replace("TCP6:", "TCP:")))
            .filter(|(name, _)| name.ends_with("_inuse") || name.ends_with("_tw"))
            .map(|(_, count)| count)
            .sum();
        if in_use < WORTH_COUNTING * all {
            return;
        }
        let mut held: HashMap<(&str, &str), f64> = HashMap::new();
        let texts: Vec<String> = ["tcp", "tcp6"]
            .iter()
            .filter_map(|file| roots.proc_text(format!("net/{file}")))
            .collect();
        for line in texts.iter().flat_map(|text| text.lines().skip(1)) {
            let mut words = line.split_ascii_whitespace().skip(1);
            let (Some(from), Some(to), Some(state)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            // Of one address to one destination, each connection has a port of its own.
            let address = from.split_once(':').map_or(from, |(address, _)| address);
            if state != LISTENS {
                *held.entry((address, to)).or_default() += 1.0;
            }
        }
        let mut used: Vec<(String, f64)> = held
            .into_iter()
            .filter(|(_, ports)| *ports >= LEAST_SHARE * all)
            .filter_map(|((_, to), ports)| Some((destination(to)?, ports)))
            .collect();
        used.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        used.dedup_by(|a, b| a.0 == b.0);
        used.truncate(MOST_REPORTED);
        self.used = Some(used);
    }

    /// What the last scan found. Where nothing was counted, closed connections are held
    /// against all ports: too many when they went to many destinations.
    pub(super) fn sample(&self, values: &mut Values) {
        let Some(all) = self.all else { return };
        let Some(used) = &self.used else { return plain(values, "stressor_ports", all) };
        for (destination, ports) in used {
            let label = ("destination", destination.as_str());
            labelled(values, "stressor_destination_ports_used", label, *ports);
            values.push((Key::new("stressor_destination_ports", &[label]), all));
        }
    }
}

/// `0100007F:1F90` is `127.0.0.1:8080`: words of four bytes in the machine's order.
fn destination(text: &str) -> Option<String> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..address.len())
        .step_by(8)
        .map(|at| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    let address = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
    };
    Some(std::net::SocketAddr::new(address, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// A machine with ten thousand ports, and this many connections to each of these
    /// port numbers of 127.0.0.1.
    fn machine(connections: &[(u16, u32)]) -> Ports {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("sys/net/ipv4")).unwrap();
        std::fs::create_dir_all(at("net")).unwrap();
        std::fs::write(at("sys/net/ipv4/ip_local_port_range"), "10000\t19999\n").unwrap();
        let all: u32 = connections.iter().map(|(_, count)| count).sum();
        let sockstat = format!("TCP: inuse {all} orphan 0 tw 0 alloc {all} mem 1\n");
        std::fs::write(at("net/sockstat"), sockstat).unwrap();
        let mut text = String::from("  sl  local_address rem_address   st\n");
        text.push_str("   0: 00000000:1F90 00000000:0000 0A 0 0 0 0 0 0 0\n");
        for (port, count) in connections {
            for local in 0..*count {
                let local = 10_000 + local;
                writeln!(text, "   1: 0100007F:{local:04X} 0100007F:{port:04X} 01 0 0").unwrap();
            }
        }
        std::fs::write(at("net/tcp"), text).unwrap();
        let mut ports = Ports::default();
        ports.scan(&Roots { proc: folder.path().into(), sys: folder.path().into() });
        ports
    }

    fn values(ports: &Ports) -> Vec<(String, f64)> {
        let mut values = Values::new();
        ports.sample(&mut values);
        values.into_iter().map(|(key, v)| (key.to_string(), v)).collect()
    }

    #[test]
    fn open_connections_to_one_destination_hold_its_ports() {
        let used = values(&machine(&[(5432, 9600), (80, 100)]));
        let name = "stressor_destination_ports_used{destination=\"127.0.0.1:5432\"}";
        assert_eq!(used[0], (name.to_owned(), 9600.0));
        assert_eq!(used[1].1, 10_000.0);
        assert_eq!(used.len(), 2);
    }

    #[test]
    fn as_many_to_many_destinations_use_up_nothing() {
        let spread: Vec<(u16, u32)> = (1000..1020).map(|port| (port, 500)).collect();
        assert!(values(&machine(&spread)).is_empty());
    }

    #[test]
    fn few_sockets_are_not_counted() {
        let few = values(&machine(&[(5432, 4000)]));
        assert_eq!(few, [("stressor_ports".to_owned(), 10_000.0)]);
    }

    #[test]
    fn addresses_are_read_in_the_order_of_the_machine() {
        let mapped = "0000000000000000FFFF00000100007F:0050";
        if cfg!(target_endian = "little") {
            assert_eq!(destination("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
            assert_eq!(destination(mapped).as_deref(), Some("127.0.0.1:80"));
        }
        assert_eq!(destination("nonsense"), None);
    }
}
