//! Latency buckets in shared memory: where a worker counts, and how the
//! counts become a `HdrHistogram`.
//!
//! Each octave has 128 buckets, so that a value is known to 0.8 %; that is
//! what two significant digits need. A real `HdrHistogram` cannot live in
//! memory that two processes share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::latency::HIGHEST_NS;

const SUB_BITS: u32 = 8;
const SUB: u64 = 1 << SUB_BITS;
const HALF: u64 = SUB / 2;
/// 2^40 ns is the highest value; values below 256 ns have a bucket each.
const OCTAVES: u64 = 40 - SUB_BITS as u64;
/// How many buckets there are.
#[expect(clippy::cast_possible_truncation, reason = "4,352")]
pub(super) const COUNT: usize = (SUB + OCTAVES * HALF) as usize;

/// The bucket of a latency in nanoseconds.
#[expect(clippy::cast_possible_truncation, reason = "below COUNT")]
pub(super) fn index(ns: u64) -> usize {
    let ns = ns.min(HIGHEST_NS - 1);
    if ns < SUB {
        return ns as usize;
    }
    let octave = u64::from(ns.ilog2() - (SUB_BITS - 1));
    (SUB + (octave - 1) * HALF + ((ns >> octave) - HALF)) as usize
}

/// The middle of a bucket in nanoseconds.
pub(super) fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let octave = (index - SUB) / HALF + 1;
    let within = (index - SUB) % HALF + HALF;
    (within << octave) + (1 << octave) / 2
}

/// The buckets of one worker. Only that worker writes.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Buckets {
    counts: [AtomicU64; COUNT],
}

impl Buckets {
    /// Count one latency.
    pub(super) fn record(&self, ns: u64) {
        if let Some(count) = self.counts.get(index(ns)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A copy of all counts.
    pub(super) fn read(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.load(Relaxed)).collect()
    }

    /// Forget everything.
    pub(super) fn clear(&self) {
        for count in &self.counts {
            // Reading first keeps untouched pages of the shared memory untouched.
            if count.load(Relaxed) != 0 {
                count.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For every latency: the middle of its bucket is within 0.4 % of it.
    #[test]
    fn a_bucket_is_as_narrow_as_said() {
        let mut ns = 1_u64;
        while ns < HIGHEST_NS {
            let error = middle(index(ns)).abs_diff(ns) as f64 / ns as f64;
            assert!(error <= 0.004, "{ns} ns is off by {error}");
            ns += 1 + ns / 50;
        }
        assert!(index(u64::MAX) < COUNT);
    }

    #[test]
    fn buckets_rise_without_a_hole() {
        let mut last = 0;
        for bucket in 1..COUNT {
            let middle = middle(bucket);
            assert!(middle > last, "bucket {bucket}");
            assert_eq!(index(middle), bucket);
            last = middle;
        }
    }
}
