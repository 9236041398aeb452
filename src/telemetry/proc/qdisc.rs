//! The queues before network links, asked of the kernel by netlink: bytes that
//! wait, packets dropped, and the rate that a shaper lets through.
//!
//! Layout of the messages: linux/netlink.h, linux/rtnetlink.h,
//! linux/pkt_sched.h, linux/gen_stats.h; parts of the kernel's interface to
//! user space.

use std::{collections::BTreeMap, os::fd::OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};

use super::Values;
use crate::model::series::Key;

const GETLINK: u16 = 18;
const GETQDISC: u16 = 38;
const NEWLINK: u16 = 16;
const NEWQDISC: u16 = 36;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x0301;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// The queue that a device itself hands packets to; others are its parts.
const ROOT: u32 = 0xFFFF_FFFF;
const LINK_HEADER: usize = 16;
const QDISC_HEADER: usize = 20;
const IFLA_IFNAME: u16 = 3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;

/// One device's root queue.
#[derive(Debug, Clone, PartialEq)]
struct Queue {
    device: u32,
    kind: String,
    /// Bytes waiting.
    backlog: u32,
    /// Packets dropped so far.
    drops: u32,
    /// Bytes a second that a token bucket lets through.
    rate: Option<f64>,
}

/// A socket in the network namespace in which it was made.
#[derive(Debug)]
pub(super) struct Queues {
    socket: OwnedFd,
    names: BTreeMap<u32, String>,
}

impl Queues {
    /// Of the calling thread's namespace; `None` where netlink is refused.
    pub(super) fn open() -> Option<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .ok()?;
        // The kernel answers at once; a sampler must not hang if it does not.
        setsockopt(&socket, ReceiveTimeout, &nix::sys::time::TimeVal::new(0, 200_000)).ok()?;
        Some(Self { socket, names: BTreeMap::new() })
    }

    /// Read every device's queue. `label` makes of a device's name what the
    /// series are called.
    pub(super) fn sample(&mut self, label: impl Fn(&str) -> String, values: &mut Values) {
        use std::os::fd::AsRawFd as _;
        let fd = self.socket.as_raw_fd();
        let queues: Vec<Queue> = dump(fd, GETQDISC, QDISC_HEADER, NEWQDISC, queue);
        if queues.iter().any(|queue| !self.names.contains_key(&queue.device)) {
            self.names = dump(fd, GETLINK, LINK_HEADER, NEWLINK, link).into_iter().collect();
        }
        for queue in queues {
            let Some(name) = self.names.get(&queue.device) else { continue };
            let device = label(name);
            let labels = [("device", device.as_str()), ("kind", queue.kind.as_str())];
            values.push((Key::new("node_qdisc_backlog", &labels), f64::from(queue.backlog)));
            values.push((Key::new("node_qdisc_drops_total", &labels), f64::from(queue.drops)));
            if let Some(rate) = queue.rate {
                values.push((Key::new("stressor_qdisc_rate_bytes", &labels), rate));
            }
        }
    }
}

/// All answers to one request that `read` understands.
fn dump<T>(
    fd: std::os::fd::RawFd,
    request: u16,
    header: usize,
    answer: u16,
    read: fn(&[u8]) -> Option<T>,
) -> Vec<T> {
    let mut message = Vec::with_capacity(16 + header);
    let length = u32::try_from(16 + header).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&request.to_ne_bytes());
    message.extend_from_slice(&DUMP.to_ne_bytes());
    message.resize(16 + header, 0);
    let mut all = Vec::new();
    if send(fd, &message, MsgFlags::empty()).is_err() {
        return all;
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(length) = recv(fd, &mut buffer, MsgFlags::empty()) else { return all };
        let mut rest = buffer.get(..length).unwrap_or(&[]);
        if rest.is_empty() {
            return all;
        }
        while let Some((size, kind)) = u32_at(rest, 0).zip(u16_at(rest, 4)) {
            let size = size as usize;
            if kind == DONE || kind == ERROR || size < 16 {
                return all;
            }
            let body = rest.get(16..size).unwrap_or(&[]);
            if kind == answer {
                all.extend(read(body));
            }
            rest = rest.get(aligned(size)..).unwrap_or(&[]);
        }
    }
}

fn link(body: &[u8]) -> Option<(u32, String)> {
    let name = attribute(body.get(LINK_HEADER..)?, IFLA_IFNAME)?;
    Some((u32_at(body, 4)?, text(name)))
}

fn queue(body: &[u8]) -> Option<Queue> {
    let (device, parent) = (u32_at(body, 4)?, u32_at(body, 12)?);
    if parent != ROOT {
        return None;
    }
    let attributes = body.get(QDISC_HEADER..)?;
    let kind = text(attribute(attributes, TCA_KIND)?);
    // qlen, backlog, drops, requeues, overlimits.
    let counts = attribute(attribute(attributes, TCA_STATS2)?, TCA_STATS_QUEUE)?;
    let rate = (kind == "tbf").then(|| token_rate(attribute(attributes, TCA_OPTIONS)?)).flatten();
    Some(Queue { device, kind, backlog: u32_at(counts, 4)?, drops: u32_at(counts, 8)?, rate })
}

/// The rate of a token bucket in bytes a second: the fifth field (32 bits, at
/// byte 8) of its parameters, or the wide one of its own.
fn token_rate(options: &[u8]) -> Option<f64> {
    let wide = attribute(options, TCA_TBF_RATE64)
        .and_then(|bytes| Some(u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?)));
    if let Some(rate) = wide {
        return Some(rate as f64);
    }
    u32_at(attribute(options, TCA_TBF_PARMS)?, 8).map(f64::from)
}

/// The content of the first attribute of a kind.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (size, kind) = (usize::from(u16_at(rest, 0)?), u16_at(rest, 2)?);
        if size < 4 {
            return None;
        }
        // The two highest bits are flags.
        if kind & 0x3FFF == wanted {
            return rest.get(4..size);
        }
        rest = rest.get(aligned(size)..)?;
    }
}

const fn aligned(size: usize) -> usize {
    (size + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_of(kind: u16, content: &[u8]) -> Vec<u8> {
        let size = u16::try_from(4 + content.len()).unwrap();
        let mut bytes = [size.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(content);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(parent: u32) -> Vec<u8> {
        let numbers = |all: &[u32]| all.iter().flat_map(|n| n.to_ne_bytes()).collect::<Vec<u8>>();
        let mut body = numbers(&[0, 7, 0, parent, 0]);
        body.extend(attribute_of(TCA_KIND, b"tbf\0"));
        let options = attribute_of(TCA_TBF_PARMS, &numbers(&[0, 0, 6_250_000, 0, 0, 0]));
        body.extend(attribute_of(TCA_OPTIONS, &options));
        let stats = attribute_of(TCA_STATS_QUEUE, &numbers(&[3, 4500, 12, 0, 99]));
        body.extend(attribute_of(TCA_STATS2, &stats));
        body
    }

    #[test]
    fn a_shapers_queue_is_read() {
        let wanted = Queue {
            device: 7,
            kind: "tbf".into(),
            backlog: 4500,
            drops: 12,
            rate: Some(6_250_000.0),
        };
        assert_eq!(queue(&message(ROOT)), Some(wanted));
        assert_eq!(queue(&message(0x0001_0001)), None);
    }

    #[test]
    fn a_message_cut_anywhere_is_passed_over() {
        let whole = message(ROOT);
        for length in 0..whole.len() - 1 {
            let _ = queue(&whole[..length]);
        }
        assert_eq!(queue(&whole[..20]), None);
    }

    #[test]
    fn this_machine_answers() {
        let mut values = Values::new();
        Queues::open().unwrap().sample(str::to_owned, &mut values);
        assert!(values.iter().all(|(key, v)| !key.labels["device"].is_empty() && *v >= 0.0));
    }
}
