//! Expressions over the counters of the embedded sampler.

use std::collections::{BTreeMap, BTreeSet};

use super::{CPU_TIME, Expr, Select, device_of};
use crate::model::{
    mounts,
    series::{Point, RawSet, Signal},
    time::Timestamp,
};

/// A counter that fell by less than this share of its value is the same counter, read a
/// little too late or corrected by the kernel; below, it has begun again.
const SAME_COUNTER: f64 = 0.99;

impl Expr {
    /// The signals it yields from sampled counters, one a device.
    ///
    /// A rate needs two samples. A counter that fell a little did not rise; one that
    /// began again (a reset, a wrapped or re-plugged device) yields no point for that
    /// interval. Of CPU time, a core whose modes do not add up to about one second per
    /// second is left out, and the other cores stay.
    pub fn evaluate(&self, raw: &RawSet, interval_s: f64) -> Vec<Signal> {
        let window_s = if self.has_rate() { interval_s } else { 0.0 };
        let signals = self
            .points(raw)
            .into_iter()
            .filter(|(_, points)| !points.is_empty())
            .map(|(device, points)| Signal {
                device,
                points: points.into_iter().map(|(t, v)| Point { t, v }).collect(),
                window_s,
            })
            .collect();
        if self.device_label() == Some("mountpoint") { mounts::settle(signals) } else { signals }
    }

    fn points(&self, raw: &RawSet) -> Devices {
        match self {
            Self::Rate(select, by) => grouped(select, *by, raw, true, |a, b| a + b),
            Self::MaxRate(select, by) => grouped(select, *by, raw, true, f64::max),
            Self::Gauge(select, by) => grouped(select, *by, raw, false, |a, b| a + b),
            Self::Distinct(select, labels) => distinct(select, labels, raw),
            Self::CoreTimeOff(_) => {
                let mut cores = Devices::new();
                for (t, cpu, total) in raw.core_times_off() {
                    cores.entry(Some(cpu.to_owned())).or_default().insert(t, total);
                }
                cores
            }
            Self::Max(a) => {
                let mut largest = BTreeMap::<Timestamp, f64>::new();
                for (t, v) in a.points(raw).into_values().flatten() {
                    largest.entry(t).and_modify(|old| *old = old.max(v)).or_insert(v);
                }
                BTreeMap::from([(None, largest)])
            }
            Self::Add(a, b) => joined(a.points(raw), &b.points(raw), |x, y| Some(x + y)),
            Self::Mul(a, b) => joined(a.points(raw), &b.points(raw), |x, y| Some(x * y)),
            Self::Div(a, b) => {
                joined(a.points(raw), &b.points(raw), |x, y| (y > 0.0).then(|| x / y))
            }
            Self::WhereEqual(a, b, c) => {
                let equal = joined(b.points(raw), &c.points(raw), |x, y| {
                    ((x - y).abs() < 0.5).then_some(1.0)
                });
                joined(a.points(raw), &equal, |v, _| Some(v))
            }
            Self::WhereAbove(a, b) => {
                joined(a.points(raw), &b.points(raw), |x, y| (x > y).then_some(x))
            }
            Self::Positive(a) => {
                let mut all = a.points(raw);
                for points in all.values_mut() {
                    points.retain(|_, v| *v > 0.0);
                }
                all
            }
            Self::Unless(a, b) => {
                let mut all = a.points(raw);
                for (device, points) in b.points(raw) {
                    let Some(kept) = all.get_mut(&device) else { continue };
                    for (t, _) in points.into_iter().filter(|(_, v)| *v > 0.0) {
                        kept.remove(&t);
                    }
                }
                all
            }
            Self::Or(a, b) => {
                let mut all = b.points(raw);
                for (device, points) in a.points(raw) {
                    all.entry(device).or_default().extend(points);
                }
                all
            }
            Self::Scale(factor, a) => mapped(a.points(raw), |v| factor * v),
            Self::OneMinus(a) => mapped(a.points(raw), |v| 1.0 - v),
        }
    }
}

type Devices = BTreeMap<Option<String>, BTreeMap<Timestamp, f64>>;

/// A member's value at each time; `None` where it existed but cannot be used.
type Member = Vec<(Timestamp, Option<f64>)>;

fn grouped(
    select: &Select,
    by: Option<&'static str>,
    raw: &RawSet,
    is_rate: bool,
    with: impl Fn(f64, f64) -> f64,
) -> Devices {
    let mut sums: BTreeMap<Option<String>, BTreeMap<Timestamp, Option<f64>>> = BTreeMap::new();
    for (labels, points) in series(select, raw) {
        let device = by.map(|label| device_of(label, labels).unwrap_or_default());
        let group = sums.entry(device).or_default();
        let members = match (is_rate, select.metric == CPU_TIME) {
            (false, _) => points.iter().map(|point| (point.t, Some(point.v))).collect(),
            (true, false) => rates(points),
            (true, true) => core_rates(points, labels.get("cpu"), raw),
        };
        for (t, v) in members {
            // One unusable member makes the sum of that moment unusable.
            let sum = group.entry(t).or_insert(Some(0.0));
            *sum = sum.zip(v).map(|(a, b)| with(a, b));
        }
    }
    sums.into_iter()
        .map(|(device, group)| {
            (device, group.into_iter().filter_map(|(t, v)| Some((t, v?))).collect())
        })
        .collect()
}

/// Pairs of samples: the later one's time, the seconds between, both values.
fn intervals(points: &[Point]) -> impl Iterator<Item = (Timestamp, f64, f64, f64)> {
    points.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        let seconds = after.t.since(before.t);
        (seconds > 0.0).then_some((after.t, seconds, before.v, after.v))
    })
}

fn rates(points: &[Point]) -> Member {
    intervals(points)
        .map(|(t, seconds, before, after)| {
            let is_same = after >= before * SAME_COUNTER;
            (t, is_same.then(|| (after - before).max(0.0) / seconds))
        })
        .collect()
}

/// Rates of one mode of a core. The sum of all its modes tells whether they can be
/// used, so one that fell simply did not rise.
fn core_rates(points: &[Point], cpu: Option<&String>, raw: &RawSet) -> Member {
    intervals(points)
        .filter(|(t, ..)| !cpu.is_some_and(|cpu| raw.is_core_time_off(*t, cpu)))
        .map(|(t, seconds, before, after)| (t, Some((after - before).max(0.0) / seconds)))
        .collect()
}

fn distinct(select: &Select, by: &[&str], raw: &RawSet) -> Devices {
    let mut seen: BTreeMap<Timestamp, BTreeSet<Vec<&str>>> = BTreeMap::new();
    for (labels, points) in series(select, raw) {
        let values: Vec<&str> =
            by.iter().map(|label| labels.get(*label).map_or("", String::as_str)).collect();
        for point in points {
            seen.entry(point.t).or_default().insert(values.clone());
        }
    }
    let counts = seen.into_iter().map(|(t, values)| (t, values.len() as f64)).collect();
    Devices::from([(None, counts)])
}

fn series<'a>(
    select: &'a Select,
    raw: &'a RawSet,
) -> impl Iterator<Item = (&'a BTreeMap<String, String>, &'a [Point])> {
    raw.of(select.metric)
        .filter(|(labels, _)| select.matches.iter().all(|condition| condition.holds(labels)))
}

fn joined(a: Devices, b: &Devices, of: impl Fn(f64, f64) -> Option<f64>) -> Devices {
    a.into_iter()
        .filter_map(|(device, points)| {
            let other = b.get(&device)?;
            let points = points
                .into_iter()
                .filter_map(|(t, x)| Some((t, of(x, *other.get(&t)?)?)))
                .collect();
            Some((device, points))
        })
        .collect()
}

fn mapped(devices: Devices, of: impl Fn(f64) -> f64) -> Devices {
    devices
        .into_iter()
        .map(|(device, points)| (device, points.into_iter().map(|(t, v)| (t, of(v))).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        expr::{Match, metric, select},
        series::{Key, Snapshot},
    };

    const BUSY: Select = select("cpu", &[Match::NotIn("mode", &["idle", "iowait"])]);
    const BUSY_RATIO: Expr = Expr::Div(&Expr::Rate(BUSY, None), &Expr::Rate(metric("cpu"), None));
    const AWAIT: Expr = Expr::Div(&Expr::Rate(metric("a"), None), &Expr::Rate(metric("b"), None));
    const RATE: Expr = Expr::Rate(metric("a"), Some("device"));

    fn raw(rows: &[(i64, &[(&str, f64)])]) -> RawSet {
        let mut raw = RawSet::default();
        for (t, values) in rows {
            let values = values.iter().map(|(key, v)| (Key::parse(key).unwrap(), *v)).collect();
            raw.push(&Snapshot { t: Timestamp(*t), values });
        }
        raw
    }

    #[test]
    fn busy_is_a_share_of_all_modes() {
        let raw = raw(&[
            (0, &[("cpu{mode=\"user\"}", 0.0), ("cpu{mode=\"idle\"}", 0.0)]),
            (1000, &[("cpu{mode=\"user\"}", 0.75), ("cpu{mode=\"idle\"}", 0.25)]),
        ]);
        let signals = BUSY_RATIO.evaluate(&raw, 1.0);
        assert_eq!(signals.len(), 1);
        assert_eq!(signals[0].points, [Point { t: Timestamp(1000), v: 0.75 }]);
    }

    #[test]
    fn a_counter_that_went_back_yields_no_point() {
        let raw = raw(&[(0, &[("a", 100.0)]), (1000, &[("a", 5.0)]), (2000, &[("a", 7.0)])]);
        let signals = Expr::Rate(metric("a"), None).evaluate(&raw, 1.0);
        assert_eq!(signals[0].points, [Point { t: Timestamp(2000), v: 2.0 }]);
    }

    #[test]
    fn nothing_over_nothing_is_no_point() {
        let raw = raw(&[(0, &[("a", 1.0), ("b", 1.0)]), (1000, &[("a", 1.0), ("b", 1.0)])]);
        assert!(AWAIT.evaluate(&raw, 1.0).is_empty());
    }

    #[test]
    fn devices_stay_apart() {
        let raw = raw(&[
            (0, &[("a{device=\"x\"}", 0.0), ("a{device=\"y\"}", 0.0)]),
            (1000, &[("a{device=\"x\"}", 1.0), ("a{device=\"y\"}", 2.0)]),
        ]);
        let devices: Vec<_> =
            RATE.evaluate(&raw, 1.0).into_iter().map(|s| (s.device, s.points[0].v)).collect();
        assert_eq!(devices, [(Some("x".to_owned()), 1.0), (Some("y".to_owned()), 2.0)]);
        let largest = Expr::Max(&RATE).evaluate(&raw, 1.0);
        assert_eq!(largest[0].points[0].v, 2.0);
    }

    #[test]
    fn a_counter_that_fell_a_little_did_not_rise() {
        let raw = raw(&[(0, &[("a", 100.0)]), (1000, &[("a", 99.99)]), (2000, &[("a", 101.0)])]);
        let points = &Expr::Rate(metric("a"), None).evaluate(&raw, 1.0)[0].points;
        assert_eq!(points[0], Point { t: Timestamp(1000), v: 0.0 });
        assert_eq!(points.len(), 2);
    }

    /// CPU seconds of `user`, `idle` and `steal` of two cores, at whole seconds.
    fn cores(rows: &[[[f64; 3]; 2]]) -> RawSet {
        let mut raw = RawSet::default();
        for (second, row) in (0..).zip(rows) {
            let mut values = Vec::new();
            for (cpu, modes) in ["0", "1"].iter().zip(row) {
                for (mode, v) in ["user", "idle", "steal"].iter().zip(modes) {
                    values.push((Key::new(CPU_TIME, &[("cpu", cpu), ("mode", mode)]), *v));
                }
            }
            raw.push(&Snapshot { t: Timestamp(second * 1000), values });
        }
        raw
    }

    const USER: Expr = Expr::Rate(select(CPU_TIME, &[Match::In("mode", &["user"])]), None);

    #[test]
    fn a_mode_that_runs_backwards_takes_nothing_from_the_others() {
        // Steal of core 0 falls all the time, by much and from a large value.
        let raw = cores(&[
            [[0.0, 0.0, 9e8], [0.0, 0.0, 0.0]],
            [[0.4, 0.6, 9e8 - 3e3], [1.0, 0.0, 0.0]],
            [[0.8, 1.2, 9e8 - 6e3], [2.0, 0.0, 0.0]],
        ]);
        let user = &USER.evaluate(&raw, 1.0)[0].points;
        assert!(user.iter().all(|point| (point.v - 1.4).abs() < 1e-9), "{user:?}");
        assert_eq!(user.len(), 2);
        assert!(Expr::CoreTimeOff(metric(CPU_TIME)).evaluate(&raw, 1.0).is_empty());
    }

    #[test]
    fn a_core_whose_modes_do_not_add_up_is_left_out_alone() {
        // Idle time of core 0 jumps by five seconds in one.
        let raw = cores(&[
            [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
            [[0.5, 5.0, 0.0], [0.25, 0.75, 0.0]],
            [[1.0, 5.5, 0.0], [0.5, 1.5, 0.0]],
        ]);
        let user: Vec<f64> = USER.evaluate(&raw, 1.0)[0].points.iter().map(|one| one.v).collect();
        assert_eq!(user, [0.25, 0.75]);
        let off = Expr::CoreTimeOff(metric(CPU_TIME)).evaluate(&raw, 1.0);
        assert_eq!(off.len(), 1);
        assert_eq!(off[0].device.as_deref(), Some("0"));
        assert_eq!(off[0].points, [Point { t: Timestamp(1000), v: 5.5 }]);
    }

    #[test]
    fn a_core_that_is_switched_off_is_no_core_and_nothing_is_wrong_with_it() {
        let still = [[7.0, 9.0, 0.0]; 3];
        let raw = cores(&[
            [still[0], [0.0, 0.0, 0.0]],
            [still[1], [1.0, 0.0, 0.0]],
            [still[2], [2.0, 0.0, 0.0]],
        ]);
        let all = Expr::Rate(metric(CPU_TIME), None).evaluate(&raw, 1.0);
        assert!(all[0].points.iter().all(|point| point.v == 1.0), "{all:?}");
        assert!(Expr::CoreTimeOff(metric(CPU_TIME)).evaluate(&raw, 1.0).is_empty());
    }

    #[test]
    fn alternatives_exceptions_and_comparisons_go_by_the_moment() {
        const A: Expr = Expr::Gauge(metric("a"), None);
        const B: Expr = Expr::Gauge(metric("b"), None);
        let raw = raw(&[(0, &[("a", 2.0), ("b", 1.0)]), (1000, &[("b", 3.0)])]);
        let values = |expr: Expr| -> Vec<f64> {
            let signals = expr.evaluate(&raw, 1.0);
            signals.iter().flat_map(|one| one.points.iter().map(|point| point.v)).collect()
        };
        assert_eq!(values(Expr::Or(&A, &B)), [2.0, 3.0]);
        assert_eq!(values(Expr::WhereAbove(&A, &B)), [2.0]);
        assert!(values(Expr::WhereAbove(&B, &A)).is_empty());
        assert_eq!(values(Expr::Unless(&B, &A)), [3.0]);
        assert_eq!(values(Expr::Mul(&A, &B)), [2.0]);
    }

    #[test]
    fn an_older_name_of_a_metric_serves_where_the_newer_is_missing() {
        const EITHER: Expr = Expr::Or(&RATE, &Expr::Rate(metric("b"), Some("device")));
        let raw = raw(&[
            (0, &[("a{device=\"x\"}", 0.0), ("b{device=\"x\"}", 0.0), ("b{device=\"y\"}", 0.0)]),
            (1000, &[("a{device=\"x\"}", 1.0), ("b{device=\"x\"}", 5.0), ("b{device=\"y\"}", 2.0)]),
        ]);
        let values: Vec<_> =
            EITHER.evaluate(&raw, 1.0).into_iter().map(|s| (s.device, s.points[0].v)).collect();
        assert_eq!(values, [(Some("x".to_owned()), 1.0), (Some("y".to_owned()), 2.0)]);
    }
}
