//! `cpu`: computes in registers and the first-level cache. An operation is
//! one square root, one integer step, one multiply-add, or one product of
//! two 16 × 16 matrices; a latency is the wall time of one batch, so that it
//! shows when the scheduler took the core away.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{Context, Failure, cpu_time};
use crate::{load::pacer::Duty, scenario::plan::CpuMethod};

/// Independent chains, so that the units are busy rather than waiting for one
/// result after the other. Eight doubles fill two AVX or four SSE registers.
const LANES: usize = 8;
const SIDE: usize = 16;

/// How long a batch takes: shorter when there are rests between, so that the
/// load is even over tenths of a second; longer when there are none.
const SHORT: Duration = Duration::from_micros(400);
const LONG: Duration = Duration::from_millis(1);

pub(in crate::load) fn run(method: CpuMethod, share: f64, context: &Context<'_>) -> Failure {
    let duty = Duty::new(share);
    let mut state = State::new(context.number);
    let goal = if share >= 1.0 { LONG } else { SHORT };
    let step = if method == CpuMethod::Matrix { 1 } else { LANES as u64 };
    let batch = calibrate(method, &mut state, goal, step);
    let mut random = u64::from(context.number) * 2 + 1;
    let mut start = context.begin();
    let cpu_before = cpu_time();
    if share <= 0.0 {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    loop {
        let operations = if share >= 1.0 { batch } else { jittered(batch, step, &mut random) };
        let began = Instant::now();
        state.work(method, operations);
        context.done(operations, 0, began.elapsed());
        let cpu = cpu_time().saturating_sub(cpu_before);
        let wall = start.elapsed();
        // One rest and then work again, whatever the clock says: a rest costs
        // CPU time itself, and resting until nothing is owed can mean to do
        // nothing but rest (measured at 20 %, where sleeping used it all up).
        match duty.rest(cpu, wall) {
            Some(rest) => std::thread::sleep(rest),
            None => start += duty.forgive(cpu, wall),
        }
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

/// How many operations take `goal`: of three tries the fastest counts, as a
/// page fault or an interrupt in a short one would pass for work.
fn calibrate(method: CpuMethod, state: &mut State, goal: Duration, step: u64) -> u64 {
    let mut batch = step;
    loop {
        let mut took = Duration::MAX;
        for _ in 0..3 {
            let before = cpu_time();
            state.work(method, batch);
            took = took.min(cpu_time().saturating_sub(before));
        }
        if took >= goal / 2 {
            let scale = goal.as_secs_f64() / took.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small, positive"
            )]
            let scaled = (batch as f64 * scale) as u64;
            return (scaled / step).max(1) * step;
        }
        batch *= 2;
    }
}

/// What is computed on; kept from batch to batch, so that no result is unused.
#[derive(Debug)]
struct State {
    sums: [f64; LANES],
    values: [f64; LANES],
    words: [u64; LANES],
    left: Box<[[f64; SIDE]; SIDE]>,
    right: Box<[[f64; SIDE]; SIDE]>,
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
        Self { sums: [0.0; LANES], values, words, left: matrix.clone(), right: matrix }
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
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_computes_and_stays_finite() {
        for method in [CpuMethod::Sqrt, CpuMethod::Integer, CpuMethod::Float, CpuMethod::Matrix] {
            let mut state = State::new(0);
            state.work(method, 80_000);
            let all = state.sums.iter().chain(&state.values).chain(state.left.iter().flatten());
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
