//! Loops that move bytes through memory as fast as it allows. Stores go past
//! the caches where the CPU can do that: an ordinary store first reads the
//! line that it is about to overwrite, which costs a third to a half.

/// Words that one step of an unrolled loop covers: a cache line.
const LINE: usize = 8;

/// Load every word; their sum, so that no load is unused.
pub(super) fn read(words: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { wide::read(words) };
    }
    sum(words)
}

/// Store `value` into every word.
pub(super) fn write(words: &mut [u64], value: u64) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { wide::write(words, value) };
    }
    words.fill(value);
}

/// Copy `from` over `to`; the shorter one's length counts.
pub(super) fn copy(from: &[u64], to: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { wide::copy(from, to) };
    }
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// `a = b + 3·c`, over the shortest one's length.
pub(super) fn triad(a: &mut [f64], b: &[f64], c: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { wide::triad(a, b, c) };
    }
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = *b + 3.0 * *c;
    }
}

#[expect(clippy::inline_always, reason = "it must be compiled for its caller's registers")]
#[inline(always)]
fn sum(words: &[u64]) -> u64 {
    // Enough chains that no addition waits for the one before.
    let mut sums = [0_u64; 8 * LINE];
    let (chunks, rest) = words.as_chunks::<{ 8 * LINE }>();
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
}

/// The same with the registers of a newer CPU.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        _mm_sfence, _mm512_add_pd, _mm512_loadu_pd, _mm512_loadu_si512, _mm512_mul_pd,
        _mm512_set1_epi64, _mm512_set1_pd, _mm512_stream_pd, _mm512_stream_si512,
    };

    use super::LINE;

    #[target_feature(enable = "avx2")]
    pub(super) fn read(words: &[u64]) -> u64 {
        super::sum(words)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn write(words: &mut [u64], value: u64) {
        let line = _mm512_set1_epi64(value.cast_signed());
        let (head, lines, tail) = lines(words);
        head.fill(value);
        tail.fill(value);
        for to in lines {
            // SAFETY: a line of eight words, aligned to 64 bytes.
            unsafe { _mm512_stream_si512(to.as_mut_ptr().cast(), line) };
        }
        // What follows shall see the stores.
        _mm_sfence();
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn copy(from: &[u64], to: &mut [u64]) {
        let (head, lines, tail) = lines(to);
        let (first, rest) = from.split_at(head.len().min(from.len()));
        head.iter_mut().zip(first).for_each(|(to, from)| *to = *from);
        let (whole, _) = rest.as_chunks::<LINE>();
        for (to, from) in lines.iter_mut().zip(whole) {
            // SAFETY: both are eight words; `to` is aligned to 64 bytes, and
            // the load needs no alignment.
            unsafe {
                _mm512_stream_si512(
                    to.as_mut_ptr().cast(),
                    _mm512_loadu_si512(from.as_ptr().cast()),
                );
            }
        }
        let last = rest.get(lines.len() * LINE..).unwrap_or(&[]);
        tail.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
        _mm_sfence();
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn triad(a: &mut [f64], b: &[f64], c: &[f64]) {
        let scale = _mm512_set1_pd(3.0);
        let (head, lines, _) = lines(a);
        let skip = head.len();
        let (b, c) = (b.get(skip..).unwrap_or(&[]), c.get(skip..).unwrap_or(&[]));
        let (b, c) = (b.as_chunks::<LINE>().0, c.as_chunks::<LINE>().0);
        for ((a, b), c) in lines.iter_mut().zip(b).zip(c) {
            // SAFETY: all are eight doubles; `a` is aligned to 64 bytes, and
            // the loads need no alignment.
            unsafe {
                let product = _mm512_mul_pd(_mm512_loadu_pd(c.as_ptr()), scale);
                let sum = _mm512_add_pd(_mm512_loadu_pd(b.as_ptr()), product);
                _mm512_stream_pd(a.as_mut_ptr(), sum);
            }
        }
        _mm_sfence();
    }

    /// What lies before the first whole cache line, the lines, and the rest.
    fn lines<T>(words: &mut [T]) -> (&mut [T], &mut [[T; LINE]], &mut [T]) {
        let skip = words.as_ptr().align_offset(64).min(words.len());
        let (head, rest) = words.split_at_mut(skip);
        let (lines, tail) = rest.as_chunks_mut::<LINE>();
        (head, lines, tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_sees_every_word() {
        let words: Vec<u64> = (0..1000).collect();
        assert_eq!(read(&words), 499_500);
        assert_eq!(read(&words[3..]), 499_497);
    }

    #[test]
    fn writing_reaches_every_word_and_no_other() {
        let mut words = vec![1_u64; 1003];
        write(&mut words[1..1002], 7);
        assert_eq!((words[0], words[1002]), (1, 1));
        assert!(words[1..1002].iter().all(|word| *word == 7));
    }

    #[test]
    fn copying_copies_and_no_further() {
        let from: Vec<u64> = (0..1001).collect();
        let mut to = vec![u64::MAX; 1002];
        copy(&from, &mut to[1..]);
        assert_eq!(to[0], u64::MAX);
        assert_eq!(to[1..], from);
    }

    #[test]
    fn a_triad_adds_three_times_c() {
        let mut a = vec![0.0; 64];
        triad(&mut a, &[1.0; 64], &[2.0; 64]);
        // Whole lines only: up to seven doubles at either end may be left out.
        assert!(a[7..57].iter().all(|a| *a == 7.0), "{a:?}");
    }
}
