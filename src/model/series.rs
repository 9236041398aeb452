//! What was sampled: named, labelled sequences of points.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    expr::{CPU_TIME, LEAST_PER_CORE, MOST_PER_CORE},
    plausible,
    stats::Stat,
    time::{Timestamp, Window},
};

/// One value at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When it was true.
    pub t: Timestamp,
    /// The value; sources keep NaN and infinity out.
    pub v: f64,
}

/// A metric's name and labels, in the text form Prometheus uses:
/// `node_cpu_seconds_total{cpu="0",mode="idle"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The metric's name.
    pub name: String,
    /// Its labels, sorted by name.
    pub labels: BTreeMap<String, String>,
}

impl Key {
    /// A key from a name and label pairs.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { name: name.to_owned(), labels }
    }

    /// The reverse of `Display`; `None` when the text is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((name, rest)) = text.split_once('{') else {
            return Some(Self { name: text.to_owned(), labels: BTreeMap::new() });
        };
        let mut labels = BTreeMap::new();
        let mut rest = rest.strip_suffix('}')?;
        while !rest.is_empty() {
            let (label, quoted) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next()?.1 {
                        'n' => value.push('\n'),
                        c => value.push(c),
                    },
                    (_, c) => value.push(c),
                }
            };
            labels.insert(label.to_owned(), value);
            rest = quoted.get(end + 1..)?;
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        Some(Self { name: name.to_owned(), labels })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (at, (label, value)) in self.labels.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{comma}{label}=\"{value}\"")?;
        }
        f.write_str("}")
    }
}

/// All values read at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// When the reading began.
    pub t: Timestamp,
    /// What was read. A series that could not be read is absent, never zero.
    pub values: Vec<(Key, f64)>,
}

/// Counters and gauges as they were sampled, by metric name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawSet {
    series: BTreeMap<String, BTreeMap<BTreeMap<String, String>, Vec<Point>>>,
    /// The moments at which a sample was taken, in order.
    pub times: Vec<Timestamp>,
    /// Cores whose modes did not add up to about one second per second until this
    /// moment, with what they added up to.
    off: BTreeMap<Timestamp, BTreeMap<String, f64>>,
}

/// What the modes of one core rose by since the last sample.
#[derive(Default)]
struct CoreTime {
    increase: f64,
    seconds: f64,
    /// Without idle time the modes are not all there, and cannot add up.
    has_idle: bool,
}

impl CoreTime {
    /// Adds the rise of one mode. A mode that fell did not rise.
    fn add(&mut self, mode: Option<&str>, before: Point, now: Point) {
        self.increase += (now.v - before.v).max(0.0);
        self.seconds = now.t.since(before.t);
        self.has_idle |= mode == Some("idle");
    }

    /// Seconds per second, if that is not about one. A core that is switched off counts
    /// nothing.
    fn off(&self) -> Option<f64> {
        if !self.has_idle || self.seconds <= 0.0 || self.increase <= 0.0 {
            return None;
        }
        let total = self.increase / self.seconds;
        // Each mode is rounded to a hundredth of a second: of a short interval that is
        // a large share.
        let rounding = 0.05 * (1.0 / self.seconds - 1.0).max(0.0);
        let is_about_one = (LEAST_PER_CORE - rounding..=MOST_PER_CORE + rounding).contains(&total);
        (!is_about_one).then_some(total)
    }
}

impl RawSet {
    /// Add one snapshot. Snapshots come in the order of time; a second one of
    /// the same moment says nothing new, and would be summed with the first.
    pub fn push(&mut self, snapshot: &Snapshot) {
        if self.times.last().is_some_and(|last| *last >= snapshot.t) {
            return;
        }
        self.times.push(snapshot.t);
        let mut cores: BTreeMap<&str, CoreTime> = BTreeMap::new();
        for (key, v) in &snapshot.values {
            let Some(v) = plausible::value(*v) else { continue };
            let by_labels = self.series.entry(key.name.clone()).or_default();
            let point = Point { t: snapshot.t, v };
            match by_labels.get_mut(&key.labels) {
                Some(points) => {
                    if key.name == CPU_TIME
                        && let (Some(before), Some(cpu)) = (points.last(), key.labels.get("cpu"))
                    {
                        let mode = key.labels.get("mode").map(String::as_str);
                        cores.entry(cpu.as_str()).or_default().add(mode, *before, point);
                    }
                    points.push(point);
                }
                None => drop(by_labels.insert(key.labels.clone(), vec![point])),
            }
        }
        for (cpu, core) in cores {
            if let Some(total) = core.off() {
                self.off.entry(snapshot.t).or_default().insert(cpu.to_owned(), total);
            }
        }
    }

    /// Whether the CPU time of a core cannot be used for the interval that ends here.
    pub fn is_core_time_off(&self, t: Timestamp, cpu: &str) -> bool {
        self.off.get(&t).is_some_and(|cores| cores.contains_key(cpu))
    }

    /// Where the modes of a core do not add up: when, which core, and the seconds per
    /// second that they add up to.
    pub fn core_times_off(&self) -> impl Iterator<Item = (Timestamp, &str, f64)> {
        self.off
            .iter()
            .flat_map(|(t, cores)| cores.iter().map(|(cpu, total)| (*t, cpu.as_str(), *total)))
    }

    /// The series of one metric, with their labels.
    pub fn of<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = (&'a BTreeMap<String, String>, &'a [Point])> + use<'a> {
        self.series
            .get(name)
            .into_iter()
            .flatten()
            .map(|(labels, points)| (labels, points.as_slice()))
    }
}

/// One signal of one node (and device): values ready to be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The disk, mount, interface or core; `None` for the whole node.
    pub device: Option<String>,
    /// Points in the order of time.
    pub points: Vec<Point>,
    /// Seconds before `t` that a point averages over; 0 for a gauge.
    pub window_s: f64,
}

impl Signal {
    /// A statistic of the values whose whole averaging window lies inside `window`;
    /// `None` when there are none.
    pub fn stat(&self, stat: Stat, window: Window) -> Option<f64> {
        stat.of(self.slice(window).iter().map(|point| point.v))
    }

    /// Their median; `None` when there are none.
    pub fn median(&self, window: Window) -> Option<f64> {
        self.stat(Stat::Percentile(50), window)
    }

    /// The points whose whole averaging window lies inside `window`, give or
    /// take the jitter of a sampler's clock (a twentieth of the window).
    pub fn points_in(&self, window: Window) -> impl Iterator<Item = Point> {
        self.slice(window).iter().copied()
    }

    /// The same, where they lie.
    pub fn slice(&self, window: Window) -> &[Point] {
        let earliest = window.start.plus(self.window_s * 0.95);
        // A fleet's analysis asks for millions of stretches: most are the whole,
        // the others are short.
        if let [first, .., last] = self.points.as_slice()
            && first.t >= earliest
            && last.t <= window.end
        {
            return &self.points;
        }
        let from = self.points.partition_point(|point| point.t < earliest);
        let rest = self.points.get(from..).unwrap_or_default();
        let length = rest.partition_point(|point| point.t <= window.end);
        rest.get(..length).unwrap_or_default()
    }
}

impl Serialize for Point {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.t.0, self.v).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (t, v): (i64, f64) = Deserialize::deserialize(deserializer)?;
        let t = Timestamp(t);
        match plausible::value(v) {
            Some(v) if plausible::is_time(t) => Ok(Self { t, v }),
            _ => Err(serde::de::Error::custom("a point has an impossible time or value")),
        }
    }
}

/// A moment from which on a node's series describe another boot or another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The last sample before it.
    pub before: Timestamp,
    /// The first sample after it.
    pub after: Timestamp,
    /// What changed.
    pub change: Change,
}

/// Two readings of one boot time differ by less than this, in seconds: the kernel
/// computes it from the wall clock, which NTP moves.
pub const SAME_BOOT_S: f64 = 30.0;

/// What changed at a [`Break`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The machine was booted at this time.
    Reboot(Timestamp),
    /// The boot time changed, but not to a time between the two samples: another
    /// machine answers at the address, or the clock was set.
    BootTime,
    /// The host name changed.
    Host {
        /// The name before.
        was: String,
        /// The name after.
        is: String,
    },
}

/// Signals of one node by catalogue name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SignalSet {
    /// For each catalogue name, one entry a device.
    pub signals: BTreeMap<String, Vec<Signal>>,
    /// The moments at which this node was sampled.
    pub times: Vec<Timestamp>,
    /// Nominal distance of samples in seconds.
    pub interval_s: f64,
    /// Where the series change from one boot or machine to another, in order.
    pub breaks: Vec<Break>,
}

impl SignalSet {
    /// The signal of the whole node, or of one device.
    pub fn get(&self, name: &str, device: Option<&str>) -> Option<&Signal> {
        self.signals.get(name)?.iter().find(|signal| signal.device.as_deref() == device)
    }

    /// All devices of one signal.
    pub fn all(&self, name: &str) -> &[Signal] {
        self.signals.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text() {
        for key in [
            Key::new("node_load1", &[]),
            Key::new("node_cpu_seconds_total", &[("cpu", "0"), ("mode", "idle")]),
            Key::new("x", &[("mountpoint", "/a \"b\",c\\d=\"")]),
        ] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        assert_eq!(Key::parse("x{a=\"b"), None);
    }

    #[test]
    fn not_a_number_is_not_kept() {
        let mut raw = RawSet::default();
        raw.push(&Snapshot { t: Timestamp(0), values: vec![(Key::new("a", &[]), f64::NAN)] });
        assert_eq!(raw.of("a").count(), 0);
    }
}
