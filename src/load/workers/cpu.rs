//! `cpu`: computes in registers and the first-level cache. An operation is
//! one square root, one integer step, one multiply-add, one product of two
//! 16 × 16 matrices, eight bytes hashed, one branch, or one load; a latency is the wall time of one batch, so that it
//! shows when the scheduler took the core away.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{Context, Failure, cpu_time};
use crate::{
    load::pacer::{Duty, Pace},
    scenario::plan::CpuMethod,
};

/// Independent chains, so that the units are busy rather than waiting for one
/// result after the other. Eight doubles fill two AVX or four SSE registers.
const LANES: usize = 8;
const SIDE: usize = 16;
/// Doubles in flight for `vector`: eight registers of the widest kind.
const VECTOR: usize = 64;
/// Bytes that `hash` goes over.
const HASHED: usize = 4096;

/// How long a batch takes: shorter when there are rests between, so that the
/// load is even over tenths of a second; longer when there are none.
const SHORT: Duration = Duration::from_micros(400);
const LONG: Duration = Duration::from_millis(1);

/// A worker that is held to a rate looks whether it is ahead this often.
const LOOKS_PER_S: f64 = 100.0;

pub(in crate::load) fn run(
    method: CpuMethod,
    share: f64,
    rate: Option<f64>,
    context: &Context<'_>,
) -> Failure {
    let duty = Duty::new(share);
    let mut state = State::new(context.number);
    let goal = if share >= 1.0 && rate.is_none() { LONG } else { SHORT };
    let mut pace = rate.map(Pace::new);
    let methods = if method == CpuMethod::Mixed { &CpuMethod::SINGLE[..] } else { &[method] };
    for method in methods {
        state.prepare(*method);
    }
    // A short batch at first; it grows to its length within the first of them,
    // so that a worker needs no time of its own before the start.
    let mut batches: Vec<(CpuMethod, u64)> =
        methods.iter().map(|method| (*method, step(*method))).collect();
    let mut random = u64::from(context.number) * 2 + 1;
    let mut start = context.begin();
    let cpu_before = cpu_time();
    if share <= 0.0 {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let mut cpu_at = Duration::ZERO;
    loop {
        for (method, batch) in &mut batches {
            let step = step(*method);
            let operations = match rate {
                Some(rate) => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "positive"
                    )]
                    let most = (rate / LOOKS_PER_S) as u64;
                    (most / step).max(1).saturating_mul(step).min(*batch)
                }
                None if share >= 1.0 => *batch,
                None => jittered(*batch, step, &mut random),
            };
            let began = Instant::now();
            state.work(*method, operations);
            context.done(operations, 0, began.elapsed());
            let cpu = cpu_time().saturating_sub(cpu_before);
            *batch = adapted(*batch, step, goal, cpu.saturating_sub(cpu_at), operations);
            cpu_at = cpu;
            let wall = start.elapsed();
            if let Some(pace) = &mut pace {
                if let Some(rest) = pace.after(operations as f64, wall) {
                    std::thread::sleep(rest);
                }
                continue;
            }
            // One rest and then work again, whatever the clock says: a rest
            // costs CPU time itself, and resting until nothing is owed can mean
            // to do nothing but rest (measured at 20 %, where sleeping used it
            // all up).
            match duty.rest(cpu, wall) {
                Some(rest) => std::thread::sleep(rest),
                None => start += duty.forgive(cpu, wall),
            }
        }
    }
}

/// The length of the next batch, when `operations` used `cpu`: four times as
/// long while far too short, and otherwise a little towards `goal`, as the CPU's
/// clock changes.
fn adapted(batch: u64, step: u64, goal: Duration, cpu: Duration, operations: u64) -> u64 {
    let per_operation = cpu.as_secs_f64() / operations.max(1) as f64;
    let wanted = goal.as_secs_f64() / per_operation.max(1e-12);
    let most = if wanted > 4.0 * batch as f64 { 4.0 } else { 1.05 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, positive")]
    let next = wanted.clamp(batch as f64 / 1.05, batch as f64 * most) as u64;
    (next / step).max(1) * step
}

/// Operations come in multiples of this.
const fn step(method: CpuMethod) -> u64 {
    match method {
        CpuMethod::Matrix | CpuMethod::Branch | CpuMethod::MemoryLatency | CpuMethod::Mixed => 1,
        CpuMethod::Vector => VECTOR as u64,
        CpuMethod::Hash => (HASHED / 8) as u64,
        CpuMethod::Sqrt | CpuMethod::Integer | CpuMethod::Float => LANES as u64,
    }
}

/// Half to one and a half of a batch. With batches of equal length a worker at
/// partial load can fall into step with the kernel's tick, and a kernel that
/// charges whole ticks to whoever runs then sees it too often or too seldom.
fn jittered(batch: u64, step: u64, random: &mut u64) -> u64 {
    let steps = (batch / step).max(1);
    let spread = (steps / 2).max(1);
    (steps - spread + 1 + super::next(random) % (2 * spread)) * step
}

/// What is computed on; kept from batch to batch, so that no result is unused.
#[derive(Debug)]
struct State {
    sums: [f64; LANES],
    values: [f64; LANES],
    words: [u64; LANES],
    left: Box<[[f64; SIDE]; SIDE]>,
    right: Box<[[f64; SIDE]; SIDE]>,
    vector: [f64; VECTOR],
    hashed: Box<[u64; HASHED / 8]>,
    /// Made when it is first walked.
    chain: Vec<u32>,
    /// Where the walk along the chain stands.
    link: u32,
}

impl State {
    fn new(seed: u32) -> Self {
        let mut values = [0.0; LANES];
        let mut words = [0; LANES];
        for (lane, (value, word)) in (1_u32..).zip(values.iter_mut().zip(words.iter_mut())) {
            *value = f64::from(seed + lane);
            *word = u64::from(seed + lane) | 1;
        }
        let matrix = Box::new([[1.0 / SIDE as f64; SIDE]; SIDE]);
        Self {
            sums: [0.0; LANES],
            values,
            words,
            left: matrix.clone(),
            right: matrix,
            vector: [1.0; VECTOR],
            hashed: Box::new([u64::from(seed) | 1; HASHED / 8]),
            chain: Vec::new(),
            link: 0,
        }
    }

    fn work(&mut self, method: CpuMethod, operations: u64) {
        match method {
            CpuMethod::Sqrt => self.sqrt(operations / LANES as u64),
            CpuMethod::Integer => self.integer(operations / LANES as u64),
            CpuMethod::Float => self.float(operations / LANES as u64),
            CpuMethod::Matrix => {
                for _ in 0..operations {
                    self.matrix();
                }
            }
            CpuMethod::Vector => self.vector(operations / VECTOR as u64),
            CpuMethod::Hash => self.hash(operations / (HASHED / 8) as u64),
            CpuMethod::Branch => self.branch(operations),
            CpuMethod::MemoryLatency => self.walk(operations),
            // Its parts are worked one by one.
            CpuMethod::Mixed => (),
        }
    }

    fn vector(&mut self, rounds: u64) {
        multiply_add(&mut self.vector, rounds);
        self.vector = black_box(self.vector);
    }

    fn hash(&mut self, rounds: u64) {
        let [mut hash, ..] = self.words;
        for _ in 0..rounds {
            for word in self.hashed.iter() {
                // A multiply and a fold for each word, as fast hashes do it.
                let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
                #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
                let folded = (product as u64) ^ ((product >> 64) as u64);
                hash = folded;
            }
        }
        let [first, ..] = &mut self.words;
        *first = black_box(hash) | 1;
    }

    fn branch(&mut self, operations: u64) {
        let [mut seed, mut taken, ..] = self.words;
        for _ in 0..operations {
            // A call on one side, so that no conditional move takes the
            // branch's place.
            if super::next(&mut seed) & 1 == 0 {
                taken = black_box(taken.wrapping_add(seed));
            }
        }
        let [first, second, ..] = &mut self.words;
        (*first, *second) = (black_box(seed) | 1, taken | 1);
    }

    /// What a method needs before it can begin.
    fn prepare(&mut self, method: CpuMethod) {
        if method == CpuMethod::MemoryLatency {
            self.chain = chain(usize::try_from(CpuMethod::CHAIN_BYTES / 4).unwrap_or(1 << 24));
        }
    }

    fn walk(&mut self, operations: u64) {
        let mut link = self.link;
        for _ in 0..operations {
            link = self.chain.get(link as usize).copied().unwrap_or(0);
        }
        self.link = black_box(link);
    }

    fn sqrt(&mut self, rounds: u64) {
        let (mut sums, mut values) = (self.sums, self.values);
        for _ in 0..rounds {
            for (sum, value) in sums.iter_mut().zip(&mut values) {
                *sum += value.sqrt();
                *value += 1.0;
            }
        }
        (self.sums, self.values) = black_box((sums, values));
        // Far above the range in which adding one still changes a double.
        if self.values.iter().any(|value| *value > 1e15) {
            self.values = [1.0; LANES];
        }
    }

    fn integer(&mut self, rounds: u64) {
        let mut words = self.words;
        for _ in 0..rounds {
            for word in &mut words {
                // A 64-bit multiplicative step with a rotation (Knuth's MMIX
                // constant): no lane ever becomes zero and stays there.
                *word = word.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) ^ 1;
            }
        }
        self.words = black_box(words);
    }

    fn float(&mut self, rounds: u64) {
        let mut sums = self.sums;
        for _ in 0..rounds {
            for sum in &mut sums {
                // Converges to 2: no overflow, no denormal numbers.
                *sum = *sum * 0.5 + 1.0;
            }
        }
        self.sums = black_box(sums);
    }

    fn matrix(&mut self) {
        let mut product = [[0.0; SIDE]; SIDE];
        for (row, out) in self.left.iter().zip(&mut product) {
            for (factor, line) in row.iter().zip(self.right.iter()) {
                for (sum, value) in out.iter_mut().zip(line) {
                    *sum += factor * value;
                }
            }
        }
        // Rows of 1/16 stay rows of 1/16: the product is its own next input.
        *self.left = black_box(product);
    }
}

/// A single ring through all places in random order (Sattolo 1986), so that
/// neither a cache nor a prefetcher knows the next.
fn chain(places: usize) -> Vec<u32> {
    let mut chain: Vec<u32> = (0..u32::try_from(places).unwrap_or(u32::MAX)).collect();
    let mut random = 0x2545_f491_4f6c_dd1d;
    for last in (1..chain.len()).rev() {
        let other = usize::try_from(super::next(&mut random) % last as u64).unwrap_or(0);
        chain.swap(last, other);
    }
    chain
}

/// Converges to 2: no overflow, no denormal numbers.
#[expect(clippy::inline_always, reason = "it must be compiled for its caller's registers")]
#[inline(always)]
fn multiply_add_by(values: &mut [f64; VECTOR], rounds: u64, step: impl Fn(f64) -> f64) {
    for _ in 0..rounds {
        for value in values.iter_mut() {
            *value = step(*value);
        }
    }
}

/// The widest registers the CPU has, found at run time.
#[cfg(target_arch = "x86_64")]
fn multiply_add(values: &mut [f64; VECTOR], rounds: u64) {
    #[target_feature(enable = "avx512f")]
    fn avx512(values: &mut [f64; VECTOR], rounds: u64) {
        multiply_add_by(values, rounds, |value| value.mul_add(0.5, 1.0));
    }
    #[target_feature(enable = "avx2,fma")]
    fn avx2(values: &mut [f64; VECTOR], rounds: u64) {
        multiply_add_by(values, rounds, |value| value.mul_add(0.5, 1.0));
    }
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU has what the function is compiled for.
        #[expect(unsafe_code, reason = "only the check above makes the call sound")]
        unsafe {
            avx512(values, rounds);
        }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the CPU has what the function is compiled for.
        #[expect(unsafe_code, reason = "only the check above makes the call sound")]
        unsafe {
            avx2(values, rounds);
        }
    } else {
        multiply_add_by(values, rounds, |value| value * 0.5 + 1.0);
    }
}

/// What the compiler makes of the target's baseline.
#[cfg(not(target_arch = "x86_64"))]
fn multiply_add(values: &mut [f64; VECTOR], rounds: u64) {
    multiply_add_by(values, rounds, |value| value * 0.5 + 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_computes_and_stays_finite() {
        for method in CpuMethod::SINGLE {
            let mut state = State::new(0);
            state.prepare(method);
            state.work(method, 80_000);
            let all = state
                .sums
                .iter()
                .chain(&state.values)
                .chain(state.left.iter().flatten())
                .chain(&state.vector);
            assert!(all.copied().all(f64::is_finite), "{method:?}");
            assert!(state.words.iter().all(|word| *word != 0), "{method:?}");
        }
    }

    /// For any batch: jittered lengths lie between a half and one and a half
    /// of it, and their mean is the batch.
    #[test]
    fn jitter_keeps_the_mean() {
        let (mut random, mut sum) = (1, 0);
        for _ in 0..10_000 {
            let length = jittered(8000, 8, &mut random);
            assert!((4000..=12_000).contains(&length) && length.is_multiple_of(8), "{length}");
            sum += length;
        }
        assert!((sum / 10_000).abs_diff(8000) < 100, "{sum}");
        assert_eq!(jittered(1, 1, &mut random).max(2), 2);
    }

    #[test]
    fn a_batch_grows_to_its_goal_and_stays() {
        let goal = Duration::from_millis(1);
        // 10 ns an operation: 100,000 take the goal.
        let mut batch = 8;
        for _ in 0..30 {
            batch = adapted(batch, 8, goal, Duration::from_nanos(10 * batch), batch);
        }
        assert!(batch.abs_diff(100_000) < 1000, "{batch}");
        // One that was interrupted for a while changes little.
        let next = adapted(batch, 8, goal, Duration::from_millis(50), batch);
        assert!(next as f64 > batch as f64 * 0.95 - 16.0, "{next}");
        assert_eq!(adapted(1, 1, goal, Duration::from_secs(1), 1), 1);
    }

    #[test]
    fn the_chain_is_one_ring_through_all_places() {
        let chain = chain(1000);
        let (mut at, mut steps) = (0, 0);
        loop {
            at = chain[at as usize];
            steps += 1;
            if at == 0 {
                break;
            }
        }
        assert_eq!(steps, 1000);
    }

    #[test]
    fn a_vector_is_multiplied_and_added() {
        let mut values = [0.0; VECTOR];
        multiply_add(&mut values, 2);
        assert!(values.iter().all(|value| *value == 1.5));
    }

    #[test]
    fn a_square_root_is_a_square_root() {
        let mut state = State::new(0);
        state.work(CpuMethod::Sqrt, 2 * LANES as u64);
        // Lane 0 starts at 1: sqrt(1) + sqrt(2).
        assert!((state.sums[0] - (1.0 + 2.0_f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn a_product_of_matrices_is_one() {
        let mut state = State::new(0);
        state.left[0][0] = 1.0;
        state.matrix();
        assert!((state.left[0][0] - (1.0 + 15.0 / 16.0) / 16.0).abs() < 1e-12);
    }
}
