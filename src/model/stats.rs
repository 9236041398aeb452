//! Order statistics over small samples.

/// The `q` quantile (0 to 1) with linear interpolation between neighbours
/// (Hyndman and Fan 1996, type 7). `None` for no values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    quantile_of(values.iter().copied(), q)
}

/// The same of values that are not in one place yet.
pub fn quantile_of(values: impl Iterator<Item = f64> + Clone, q: f64) -> Option<f64> {
    let (mut least, mut most, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0_usize);
    // Without a branch, so that it takes several values at a time.
    for v in values.clone() {
        let is_finite = v.is_finite();
        least = least.min(if is_finite { v } else { f64::INFINITY });
        most = most.max(if is_finite { v } else { f64::NEG_INFINITY });
        count += usize::from(is_finite);
    }
    let last = count.checked_sub(1)?;
    // Most of what a fleet counts (drops, refusals) is zero all the time.
    if least >= most || q <= 0.0 {
        return Some(least);
    }
    if q >= 1.0 {
        return Some(most);
    }
    // Nearly all windows are short, and a fleet has a hundred thousand of them.
    let (mut few, mut many) = ([0.0; 256], Vec::new());
    let sorted: &mut [f64] = if let Some(few) = few.get_mut(..count) {
        few
    } else {
        many.resize(count, 0.0);
        &mut many
    };
    for (place, v) in sorted.iter_mut().zip(values.filter(|v| v.is_finite())) {
        *place = v;
    }
    let position = q * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in 0..=last")]
    let below = position.floor() as usize;
    // The two neighbours, without sorting all others.
    let (_, low, above) = sorted.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some(low + (high - low) * (position - below as f64))
}

/// The median. `None` for no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The arithmetic mean. `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    mean_of(values.iter().copied())
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// A statistic over the samples of a window, as thresholds name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// Arithmetic mean.
    Mean,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// A percentile, 0 to 100.
    Percentile(u8),
    /// The last value.
    Last,
}

impl Stat {
    /// What [`Stat::parse`] understands.
    pub const ALLOWED: &'static str = "mean, min, max, last, p0 … p100";

    /// Read `mean`, `max`, `p95`, `median`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "mean" | "avg" => Some(Self::Mean),
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            "last" => Some(Self::Last),
            "median" => Some(Self::Percentile(50)),
            _ => {
                let number: u8 = text.strip_prefix('p')?.parse().ok()?;
                (number <= 100).then_some(Self::Percentile(number))
            }
        }
    }

    /// The name that [`Stat::parse`] reads.
    pub fn name(self) -> String {
        match self {
            Self::Mean => "mean".to_owned(),
            Self::Min => "min".to_owned(),
            Self::Max => "max".to_owned(),
            Self::Last => "last".to_owned(),
            Self::Percentile(p) => format!("p{p}"),
        }
    }

    /// The statistic of `values`, which stand in the order of time.
    pub fn of(self, mut values: impl DoubleEndedIterator<Item = f64> + Clone) -> Option<f64> {
        match self {
            Self::Mean => mean_of(values),
            Self::Min => quantile_of(values, 0.0),
            Self::Max => quantile_of(values, 1.0),
            Self::Percentile(p) => quantile_of(values, f64::from(p) / 100.0),
            Self::Last => values.next_back(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(median(&values), Some(2.5));
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN]), None);
    }

    #[test]
    fn a_statistic_keeps_its_name() {
        for name in ["mean", "min", "max", "last", "p95", "p0", "p100"] {
            assert_eq!(Stat::parse(name).unwrap().name(), name);
        }
        for name in ["p101", "p", "95", "P95", ""] {
            assert_eq!(Stat::parse(name), None, "{name}");
        }
    }
}
