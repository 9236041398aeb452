//! A generator of recorded machines: node_exporter's series of a plain idle Linux
//! host, of which each method changes one thing.
//!
//! Times are seconds from [`T0`]. A counter is the integral of a rate from a base;
//! a gauge is the value itself. The text is OpenMetrics, for promtool and for
//! VictoriaMetrics.

mod machine;

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    io::{self, Write},
};

/// The first scrape: 2025-11-27 09:00:00 UTC.
pub(crate) const T0: f64 = 1_764_234_000.0;
/// The last scrape, in seconds from [`T0`].
const LAST: f64 = 1200.0;
pub(crate) const GIB: f64 = 1_073_741_824.0;
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// A quantity over time.
#[derive(Debug, Clone)]
pub(crate) enum Course {
    /// The same all the time.
    Fixed(f64),
    /// Values from given seconds on; the first one also before.
    Steps(Vec<(f64, f64)>),
    /// A straight line between two times, level outside.
    Ramp((f64, f64), (f64, f64)),
    /// Any function of the seconds.
    Of(fn(f64) -> f64),
    /// Another one, times a factor.
    Scaled(Box<Course>, f64),
}

impl From<f64> for Course {
    fn from(value: f64) -> Self {
        Self::Fixed(value)
    }
}

impl Course {
    /// `before` until second `at`, then `after`.
    pub(crate) fn step(before: f64, at: f64, after: f64) -> Self {
        Self::Steps(vec![(f64::MIN, before), (at, after)])
    }

    /// `inside` from second `from` to second `to`, else `outside`.
    pub(crate) fn during(from: f64, to: f64, inside: f64, outside: f64) -> Self {
        Self::Steps(vec![(f64::MIN, outside), (from, inside), (to, outside)])
    }

    pub(crate) fn at(&self, t: f64) -> f64 {
        match self {
            Self::Fixed(value) => *value,
            Self::Steps(steps) => {
                steps.iter().rev().find(|(since, _)| t >= *since).map_or(0.0, |(_, value)| *value)
            }
            Self::Ramp((t0, v0), (t1, v1)) => {
                v0 + (v1 - v0) * ((t - t0) / (t1 - t0)).clamp(0.0, 1.0)
            }
            Self::Of(function) => function(t),
            Self::Scaled(course, factor) => course.at(t) * factor,
        }
    }
}

#[derive(Debug, Clone)]
enum Series {
    Gauge(Course),
    /// The rate of a counter.
    Counter(Course),
    /// There is no such series.
    Gone,
}

/// What answers to the question whether a scrape succeeded.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Up {
    /// 1 while the node is there, and 0 otherwise.
    Follows,
    /// 1 while the node is there, and no series otherwise.
    Ends,
    Absent,
}

/// A span of seconds in which there are samples, and everything else is a gap.
type Spans = Vec<(f64, f64)>;

/// Writes the samples of a series, by its name and labels.
type WriteLine<'a> = dyn FnMut(&str, &str, &[Option<f64>]) -> io::Result<()> + 'a;

/// A machine that node_exporter described.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) instance: String,
    pub(crate) nodename: String,
    labels: Vec<(String, String)>,
    t0: f64,
    last_s: f64,
    step_s: f64,
    offset_s: f64,
    alive: Spans,
    lost: Option<fn(usize) -> bool>,
    up: Up,
    watched: (f64, f64),
    base: f64,
    noise: f64,
    cores: usize,
    modes: BTreeMap<&'static str, Course>,
    core_modes: BTreeMap<(usize, &'static str), Course>,
    raw_modes: BTreeMap<(usize, &'static str), Course>,
    /// Cores and the second from which they are away, and whether their counters stay.
    offline: Vec<(usize, f64, bool)>,
    first_core: usize,
    cpu_label: bool,
    cpu_series: bool,
    series: BTreeMap<(String, String), Series>,
}

fn label_text(labels: &[(&str, &str)]) -> String {
    labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect::<Vec<_>>().join(",")
}

impl Host {
    /// A plain idle host with four cores, 16 GiB, one disk, one link of 1 Gbit/s,
    /// scraped by job `node` every 15 s.
    pub(crate) fn new(instance: &str, nodename: &str) -> Self {
        let host = Self {
            instance: instance.to_owned(),
            nodename: nodename.to_owned(),
            labels: vec![
                ("instance".to_owned(), instance.to_owned()),
                ("job".to_owned(), "node".to_owned()),
            ],
            t0: T0,
            last_s: LAST,
            step_s: 15.0,
            offset_s: 0.0,
            alive: vec![(f64::MIN, f64::MAX)],
            lost: None,
            up: Up::Follows,
            watched: (f64::MIN, f64::MAX),
            base: 1e5,
            noise: 0.0,
            cores: 4,
            modes: BTreeMap::new(),
            core_modes: BTreeMap::new(),
            raw_modes: BTreeMap::new(),
            offline: Vec::new(),
            first_core: 0,
            cpu_label: true,
            cpu_series: true,
            series: BTreeMap::new(),
        };
        host.busy(0.03).uname("Linux").plain()
    }

    /// Another exporter, with nothing but its `up`.
    pub(crate) fn exporter(instance: &str, job: &str) -> Self {
        let mut host = Self::new(instance, "").job(job);
        host.series.clear();
        host.cpu_series = false;
        host
    }

    // What a scrape is.

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.retain(|(known, _)| known != name);
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn job(self, job: &str) -> Self {
        self.label("job", job)
    }

    /// Its first scrape was at this time, and its last one so many seconds later.
    pub(crate) fn scraped_from(mut self, t0: f64, last_s: f64) -> Self {
        (self.t0, self.last_s) = (t0, last_s);
        self
    }

    /// A scrape every so many seconds.
    pub(crate) fn every(mut self, seconds: f64) -> Self {
        self.step_s = seconds;
        self
    }

    /// Scrapes lie so many seconds after the whole steps.
    pub(crate) fn offset(mut self, seconds: f64) -> Self {
        self.offset_s = seconds;
        self
    }

    /// What counters have at the first scrape.
    pub(crate) fn base(mut self, base: f64) -> Self {
        self.base = base;
        self
    }

    /// Rates vary by this share from scrape to scrape, by a seeded hash.
    pub(crate) fn noise(mut self, share: f64) -> Self {
        self.noise = share;
        self
    }

    /// There are samples in these spans of seconds only; `up` is 0 elsewhere.
    pub(crate) fn alive(mut self, spans: &[(f64, f64)]) -> Self {
        self.alive = spans.to_vec();
        self
    }

    /// The target itself, and so `up`, is away where the node is.
    pub(crate) fn target_goes_too(mut self) -> Self {
        self.up = Up::Ends;
        self
    }

    /// Scrapes are tried between these seconds only: before and after, another host
    /// of the same name is there.
    pub(crate) fn watched(mut self, from: f64, to: f64) -> Self {
        self.watched = (from, to);
        self
    }

    pub(crate) fn no_up(mut self) -> Self {
        self.up = Up::Absent;
        self
    }

    /// Scrapes of these numbers failed.
    pub(crate) fn lost(mut self, is_lost: fn(usize) -> bool) -> Self {
        self.lost = Some(is_lost);
        self
    }

    // Text.

    fn is_alive(&self, number: usize, t: f64) -> bool {
        self.alive.iter().any(|(from, to)| *from <= t && t < *to)
            && !self.lost.is_some_and(|lost| lost(number))
    }

    fn scrapes(&self) -> Vec<f64> {
        let at = |i: u16| f64::from(i) * self.step_s;
        let all = (0..u16::MAX).map(at).take_while(|t| *t <= self.last_s);
        all.map(|t| t + self.offset_s).collect()
    }

    /// A factor of one or a little less that depends on what it is for, and nothing
    /// else.
    fn jitter(&self, key: &str, number: usize) -> f64 {
        if self.noise == 0.0 {
            return 1.0;
        }
        let mut hasher = DefaultHasher::new();
        (&self.instance, key, number).hash(&mut hasher);
        1.0 - self.noise * (hasher.finish() % 10_000) as f64 / 10_000.0
    }

    /// Everything of this host, a line a sample; `millis` for VictoriaMetrics.
    pub(crate) fn write(&self, out: &mut dyn Write, millis: bool) -> io::Result<()> {
        let times = self.scrapes();
        let mine: Vec<(&str, &str)> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mine = label_text(&mine);
        let stamp = |t: f64| {
            let t = self.t0 + t;
            if millis { format!("{:.0}", t * 1000.0) } else { format!("{t:.3}") }
        };
        let stamps: Vec<String> = times.iter().map(|t| stamp(*t)).collect();
        let alive: Vec<bool> =
            times.iter().enumerate().map(|(i, t)| self.is_alive(i, *t)).collect();
        let mut line = |name: &str, labels: &str, values: &[Option<f64>]| -> io::Result<()> {
            let comma = if labels.is_empty() || mine.is_empty() { "" } else { "," };
            for (stamp, value) in stamps.iter().zip(values) {
                if let Some(value) = value {
                    writeln!(out, "{name}{{{labels}{comma}{mine}}} {value} {stamp}")?;
                }
            }
            Ok(())
        };
        let shown = |values: Vec<f64>| -> Vec<Option<f64>> {
            values.into_iter().zip(&alive).map(|(value, alive)| alive.then_some(value)).collect()
        };
        if self.up != Up::Absent {
            let up = alive.iter().zip(&times).map(|(alive, t)| {
                let tried = self.watched.0 <= *t && *t < self.watched.1;
                match (self.up, alive) {
                    (_, true) => Some(1.0),
                    (Up::Follows, false) if tried => Some(0.0),
                    _ => None,
                }
            });
            line("up", "", &up.collect::<Vec<_>>())?;
        }
        for ((name, labels), series) in &self.series {
            let values: Vec<f64> = match series {
                Series::Gone => continue,
                Series::Gauge(course) => times.iter().map(|t| course.at(*t)).collect(),
                Series::Counter(rate) => {
                    let key = format!("{name}{labels}");
                    integral(&times, self.base, |i, t| rate.at(t) * self.jitter(&key, i))
                }
            };
            line(name, labels, &shown(values))?;
        }
        if self.cpu_series {
            self.write_cpu(&times, &shown, &mut line)?;
        }
        Ok(())
    }

    fn write_cpu(
        &self,
        times: &[f64],
        shown: &dyn Fn(Vec<f64>) -> Vec<Option<f64>>,
        line: &mut WriteLine<'_>,
    ) -> io::Result<()> {
        let name = "node_cpu_seconds_total";
        if !self.cpu_label {
            for mode in MODES {
                let rate = |i: usize, t: f64| {
                    (0..self.cores).map(|core| self.share(core, mode, i, t)).sum()
                };
                line(
                    name,
                    &label_text(&[("mode", mode)]),
                    &shown(integral(times, self.base, rate)),
                )?;
            }
            return Ok(());
        }
        for core in 0..self.cores {
            let away = self.offline.iter().find(|(offline, ..)| *offline == core);
            let number = (core + self.first_core).to_string();
            for mode in MODES {
                let mut values = match self.raw_modes.get(&(core, mode)) {
                    Some(raw) => shown(times.iter().map(|t| raw.at(*t)).collect()),
                    None => shown(integral(times, self.base, |i, t| {
                        let is_off = away.is_some_and(|(_, since, _)| t >= *since);
                        if is_off { 0.0 } else { self.share(core, mode, i, t) }
                    })),
                };
                if let Some((_, since, false)) = away {
                    for (value, _) in values.iter_mut().zip(times).filter(|(_, t)| **t >= *since) {
                        *value = None;
                    }
                }
                line(name, &label_text(&[("cpu", &number), ("mode", mode)]), &values)?;
            }
        }
        Ok(())
    }

    /// What a core spends in a mode; idle is what the others leave.
    fn share(&self, core: usize, mode: &'static str, number: usize, t: f64) -> f64 {
        let of = |mode: &'static str| {
            let course = self.core_modes.get(&(core, mode)).or_else(|| self.modes.get(mode));
            course.map_or(0.0, |course| course.at(t))
        };
        let noise = self.jitter(&core.to_string(), number);
        if mode == "idle" {
            let others: f64 =
                MODES.iter().filter(|mode| **mode != "idle").map(|mode| of(mode)).sum();
            (1.0 - others * noise).max(0.0)
        } else {
            of(mode) * noise
        }
    }
}

/// What a counter has at each time; the rate is asked for in the middle of each step.
fn integral(times: &[f64], base: f64, rate: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut sum = base;
    let mut before: Option<f64> = None;
    let one = |(i, t): (usize, &f64)| {
        if let Some(before) = before.replace(*t) {
            sum += rate(i, f64::midpoint(before, *t)) * (t - before);
        }
        sum
    };
    times.iter().enumerate().map(one).collect()
}
