//! Where loads may be sent: to this machine, and to what the scenario names.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use crate::scenario::plan::{Plan, Target, Workers};

/// A plan whose targets carry the addresses that their hosts have now. The
/// workers use these and look nothing up, so that nothing else is loaded than
/// what was checked.
///
/// # Errors
/// One sentence for each target that is unknown or not allowed.
pub fn resolve(plan: &Plan) -> Result<Plan, Vec<String>> {
    let mut resolved = plan.clone();
    let mut refusals = Vec::new();
    for load in resolved.phases.iter_mut().flat_map(|phase| &mut phase.loads) {
        // It is for other nodes.
        if load.workers == Workers::Count(0) {
            continue;
        }
        let Some(target) = load.work.target_mut() else { continue };
        match (target.host.as_str(), target.port).to_socket_addrs() {
            Ok(addresses) => target.addresses = addresses.collect(),
            Err(error) => {
                refusals.push(format!("target {target} cannot be looked up: {error}"));
                continue;
            }
        }
        if let Some(address) =
            target.addresses.iter().find(|address| !allowed(target, address, &plan.allow_targets))
        {
            refusals.push(format!(
                "target {target} is {}, outside this machine: load only what is yours, and say so by `allow_targets = [{:?}]`",
                address.ip(),
                target.host
            ));
        }
    }
    refusals.sort();
    refusals.dedup();
    if refusals.is_empty() { Ok(resolved) } else { Err(refusals) }
}

fn allowed(target: &Target, address: &SocketAddr, list: &[String]) -> bool {
    let ip = address.ip().to_canonical();
    ip.is_loopback()
        || list.iter().any(|entry| {
            entry.eq_ignore_ascii_case(&target.host)
                || entry.parse() == Ok(ip)
                || entry.split_once('/').is_some_and(|(network, bits)| within(ip, network, bits))
        })
}

/// Whether an address lies in `network/bits`.
fn within(ip: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let differ = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            (u32::from(ip) ^ u32::from(network)).leading_zeros()
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            (u128::from(ip) ^ u128::from(network)).leading_zeros()
        }
        _ => return false,
    };
    differ >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(host: &str, address: &str, list: &[&str]) -> bool {
        let target = Target { host: host.into(), port: 80, addresses: Vec::new() };
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        allowed(&target, &SocketAddr::new(address.parse().unwrap(), 80), &list)
    }

    #[test]
    fn only_loopback_is_allowed_without_being_named() {
        assert!(is_allowed("localhost", "127.0.0.1", &[]));
        assert!(is_allowed("x", "::1", &[]));
        assert!(is_allowed("x", "::ffff:127.0.0.1", &[]));
        assert!(!is_allowed("x", "10.0.0.1", &[]));
        assert!(!is_allowed("x", "0.0.0.0", &[]));
    }

    #[test]
    fn names_addresses_and_networks_are_allowed_as_named() {
        assert!(is_allowed("web", "10.0.0.1", &["WEB"]));
        assert!(is_allowed("web", "10.0.0.1", &["10.0.0.1"]));
        assert!(is_allowed("web", "10.0.0.1", &["10.0.0.0/30"]));
        assert!(!is_allowed("web", "10.0.0.4", &["10.0.0.0/30"]));
        assert!(is_allowed("web", "fd00::5", &["fd00::/8"]));
        assert!(!is_allowed("web", "fd00::5", &["10.0.0.0/0", "fd00::/999", "nonsense/8"]));
    }
}
