//! Whether a port can be reached from here, and if not, whose fault that is.

use std::{
    io::ErrorKind,
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use super::{Finding, Watched};

/// Long enough for a far region, short enough for a person.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nodes that are tried at once.
const AT_ONCE: usize = 64;

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::stack) enum Way {
    /// It stood after so long.
    Open(Duration),
    /// The host is there and nothing listens.
    Refused,
    /// Nothing came back.
    Silent,
    /// The name means nothing.
    NoName(String),
    /// Something else, such as no route.
    Other(String),
}

/// Try all nodes.
pub(super) fn probe(nodes: &[Watched]) -> Vec<Way> {
    let mut ways = Vec::new();
    for some in nodes.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let tries: Vec<_> = some
                .iter()
                .map(|node| {
                    let look = || way_to(&node.instance);
                    std::thread::Builder::new().spawn_scoped(scope, look).map_err(|_| node)
                })
                .collect();
            let lost = || Way::Other("the attempt ended by itself".to_owned());
            ways.extend(tries.into_iter().map(|one| match one {
                Ok(look) => look.join().unwrap_or_else(|_| lost()),
                // There is no thread to be had: one after the other.
                Err(node) => way_to(&node.instance),
            }));
        });
    }
    ways
}

pub(in crate::stack) fn way_to(address: &str) -> Way {
    let begun = Instant::now();
    let found = match address.to_socket_addrs() {
        Ok(mut all) => all.next(),
        Err(error) => return Way::NoName(error.to_string()),
    };
    let Some(found) = found else { return Way::NoName("it has no address".to_owned()) };
    match TcpStream::connect_timeout(&found, PATIENCE) {
        Ok(_) => Way::Open(begun.elapsed()),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Way::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Way::Silent,
            _ => Way::Other(error.to_string()),
        },
    }
}

pub(super) fn finding(node: &Watched, way: &Way) -> Finding {
    let (name, address) = (node.name.as_str(), node.instance.as_str());
    // Prometheus may well reach what we do not: it stands elsewhere.
    let here = format!("{address} is not reached from here");
    match way {
        Way::Open(took) => {
            Finding::ok(name, "port", format!("{address} answers in {} ms", took.as_millis()))
        }
        Way::Refused => Finding::warning(
            name,
            "port",
            format!("{here}: the connection is refused"),
            "the machine is there and node_exporter does not listen: systemctl status prometheus-node-exporter",
        ),
        Way::Silent => Finding::warning(
            name,
            "port",
            format!("{here}: no answer within {} s", PATIENCE.as_secs()),
            "a security group or firewall drops it, or the machine is down; that is as it should be where only the monitoring server may reach it",
        ),
        Way::NoName(why) => Finding::warning(
            name,
            "port",
            format!("{here}: the name cannot be resolved ({why})"),
            "correct its address, or its name in DNS",
        ),
        Way::Other(why) => Finding::warning(
            name,
            "port",
            format!("{here}: {why}"),
            "check the route to its network",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_open_or_refused_and_a_name_known_or_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(matches!(way_to(&address), Way::Open(_)));
        drop(listener);
        assert_eq!(way_to(&address), Way::Refused);
        assert!(matches!(way_to("no-such-host.invalid:9100"), Way::NoName(_)));
    }
}
