//! Statistics that a network driver keeps for itself, asked of it by ioctl: what a cloud
//! queued or dropped because an allowance of the instance was used up.
//!
//! Layout of the structures: linux/ethtool.h and linux/sockios.h, parts of the kernel's
//! interface to user space.

#![expect(unsafe_code, reason = "the kernel gives these counters by ioctl only")]

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{Values, labelled};
use crate::host::Roots;

/// `SIOCETHTOOL`.
const ETHTOOL: libc::Ioctl = 0x8946;
const GET_STRINGS: u32 = 0x1b;
const GET_STATS: u32 = 0x1d;
const GET_SET_INFO: u32 = 0x37;
/// `ETH_SS_STATS`: the names of the statistics.
const STATS: u32 = 1;
/// Bytes of a name.
const NAME: usize = 32;
/// More statistics than a driver has; a larger answer is none.
const MOST: usize = 16_384;
/// Counters that are read: those of the ENA driver that end like this.
const WANTED: &str = "_allowance_exceeded";

/// An interface and where its counters are among the driver's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    interface: String,
    /// How many statistics the driver has.
    all: usize,
    /// Place and name of those that are read.
    wanted: Vec<(usize, String)>,
}

/// Interfaces whose driver counts allowances.
#[derive(Debug)]
pub(super) struct Allowances {
    socket: OwnedFd,
    interfaces: Vec<Counted>,
}

impl Allowances {
    /// Of the machine we run on; `None` where no interface counts allowances.
    pub(super) fn open(roots: &Roots) -> Option<Self> {
        let socket =
            socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
        let names = fs::read_dir(roots.sys.join("class/net")).ok()?.flatten();
        let interfaces: Vec<Counted> = names
            // A made-up link has no device, and a driver without counters of its own.
            .filter(|entry| entry.path().join("device").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|interface| counted(&socket, interface))
            .collect();
        (!interfaces.is_empty()).then_some(Self { socket, interfaces })
    }

    /// Read the counters of every interface.
    pub(super) fn sample(&self, values: &mut Values) {
        for one in &self.interfaces {
            let Some(stats) = statistics(&self.socket, one) else { continue };
            for (at, name) in &one.wanted {
                if let Some(count) = stats.get(*at) {
                    let metric = format!("node_ethtool_{name}");
                    labelled(values, &metric, ("device", &one.interface), *count as f64);
                }
            }
        }
    }
}

/// An interface, when its driver has counters that are wanted.
fn counted(socket: &OwnedFd, interface: String) -> Option<Counted> {
    // struct ethtool_sset_info: command, reserved, mask of sets (64 bits), their lengths.
    let mut info = [0_u8; 20];
    put(&mut info, 0, GET_SET_INFO);
    put(&mut info, 8, 1 << STATS);
    ask(socket, &interface, &mut info)?;
    let all = usize::try_from(get(&info, 16)?).ok().filter(|all| (1..=MOST).contains(all))?;
    // struct ethtool_gstrings: command, set, length, names.
    // The driver writes as many as it has now: leave room for new ones.
    let mut names = vec![0_u8; 12 + MOST * NAME];
    put(&mut names, 0, GET_STRINGS);
    put(&mut names, 4, STATS);
    put(&mut names, 8, u32::try_from(all).ok()?);
    ask(socket, &interface, &mut names)?;
    let wanted = wanted(names.get(12..12 + all * NAME)?);
    (!wanted.is_empty()).then_some(Counted { interface, all, wanted })
}

/// Place and name of the counters that are wanted, of names of 32 bytes each.
fn wanted(names: &[u8]) -> Vec<(usize, String)> {
    names
        .chunks_exact(NAME)
        .map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .enumerate()
        .filter(|(_, name)| name.ends_with(WANTED))
        .collect()
}

/// All statistics of an interface, in the driver's order.
fn statistics(socket: &OwnedFd, one: &Counted) -> Option<Vec<u64>> {
    // struct ethtool_stats: command, length, counters. The driver writes as many counters
    // as it has now, which can be more than it had (new queues): leave room for them.
    let mut answer = vec![0_u8; 8 + MOST * 8];
    let mut info = [0_u8; 20];
    put(&mut info, 0, GET_SET_INFO);
    put(&mut info, 8, 1 << STATS);
    ask(socket, &one.interface, &mut info)?;
    if usize::try_from(get(&info, 16)?).ok()? != one.all {
        // The places are others now.
        return None;
    }
    put(&mut answer, 0, GET_STATS);
    put(&mut answer, 4, u32::try_from(one.all).ok()?);
    ask(socket, &one.interface, &mut answer)?;
    let counters = answer.get(8..)?.chunks_exact(8).take(one.all);
    Some(counters.filter_map(|bytes| Some(u64::from_ne_bytes(bytes.try_into().ok()?))).collect())
}

fn put(buffer: &mut [u8], at: usize, number: u32) {
    if let Some(place) = buffer.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
}

fn get(buffer: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(buffer.get(at..at + 4)?.try_into().ok()?))
}

/// Hand a command to the driver of an interface, which answers in the same buffer.
fn ask(socket: &OwnedFd, interface: &str, buffer: &mut [u8]) -> Option<()> {
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name) {
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
    // SAFETY: `request` lives through the call, and its data point to a buffer that has room
    // for the command's structure with more entries than a driver has.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), ETHTOOL, &raw mut request) };
    (done == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_allowances_are_found_by_name() {
        let mut names = Vec::new();
        for name in ["tx_timeout", "bw_in_allowance_exceeded", "conntrack_allowance_available"] {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(NAME, 0);
            names.extend(bytes);
        }
        assert_eq!(wanted(&names), [(1, "bw_in_allowance_exceeded".to_owned())]);
    }

    #[test]
    fn an_interface_that_does_not_exist_has_no_counters() {
        let socket =
            socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        assert_eq!(counted(&socket, "none-such".to_owned()), None);
        assert_eq!(counted(&socket, "a-name-that-is-too-long".to_owned()), None);
    }
}
