//! The content of blocks: random, aligned, and with a checksum where asked.

use std::num::NonZeroUsize;

use super::super::{area::Area, next};

/// What every logical block size of a disk divides.
pub(super) const ALIGN: usize = 4096;

/// Bytes of a huge page, where the machine has them.
const HUGE: usize = 2 << 20;

/// Memory for the blocks of operations in flight, in one piece and in huge
/// pages where it is large: a disk takes only so many separate pages at once
/// (virtio 254), and splits a block that lies in more.
pub(super) struct Memory(Area);

impl Memory {
    /// Room for `count` blocks of `len` bytes.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(super) fn take(count: usize, len: usize) -> nix::Result<Self> {
        let bytes = count.max(1) * each(len);
        let area = Area::take(NonZeroUsize::MIN.saturating_add(bytes + HUGE))?;
        if bytes >= HUGE {
            // Without them it works all the same.
            let _ = area.in_huge_pages();
        }
        Ok(Self(area))
    }

    /// The blocks: random bytes, aligned as direct I/O wants them.
    pub(super) fn blocks(&mut self, count: usize, len: usize, seed: &mut u64) -> Vec<&mut [u8]> {
        let bytes = self.0.bytes();
        let skip = bytes.as_ptr().align_offset(HUGE).min(HUGE);
        let aligned = bytes.get_mut(skip..).unwrap_or(&mut []);
        let blocks = aligned.chunks_exact_mut(each(len)).take(count);
        let mut blocks: Vec<_> = blocks.filter_map(|block| block.get_mut(..len)).collect();
        for block in &mut blocks {
            refill(block, seed);
        }
        blocks
    }
}

/// Bytes from one block's start to the next.
fn each(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// New content: a disk may store equal blocks once.
pub(super) fn refill(block: &mut [u8], seed: &mut u64) {
    for chunk in block.chunks_mut(8) {
        let word = next(seed).to_le_bytes();
        for (byte, random) in chunk.iter_mut().zip(word) {
            *byte = random;
        }
    }
}

/// Bytes of the stamp at a block's start: its offset, and a checksum over the
/// offset and all that follows.
const STAMP: usize = 16;

/// Stamp a block that goes to `offset`, and change the rest of it.
pub(super) fn stamp(block: &mut [u8], offset: u64, seed: &mut u64) {
    let salt = next(seed);
    let Some((stamp, body)) = block.split_at_mut_checked(STAMP) else { return };
    // A single changed word changes the whole checksum and costs nothing.
    if let Some((first, _)) = body.split_at_mut_checked(8) {
        first.copy_from_slice(&salt.to_le_bytes());
    }
    let sum = checksum(body, offset);
    for (to, from) in
        stamp.iter_mut().zip(offset.to_le_bytes().into_iter().chain(sum.to_le_bytes()))
    {
        *to = from;
    }
}

/// Whether a block read from `offset` is what was stamped for it.
pub(super) fn is_intact(block: &[u8], offset: u64) -> bool {
    let Some((stamp, body)) = block.split_at_checked(STAMP) else { return false };
    let (words, _) = stamp.as_chunks::<8>();
    let [at, sum] = words else { return false };
    u64::from_le_bytes(*at) == offset && u64::from_le_bytes(*sum) == checksum(body, offset)
}

/// A multiply-and-fold hash over words, in four chains. It detects accidents,
/// not attacks.
fn checksum(body: &[u8], offset: u64) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(PRIME);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let folded = (product as u64) ^ ((product >> 64) as u64);
        folded
    };
    let mut lanes = [offset ^ 1, offset ^ 2, offset ^ 3, offset ^ 4];
    let (words, _) = body.as_chunks::<8>();
    for four in words.chunks(4) {
        for (lane, word) in lanes.iter_mut().zip(four) {
            *lane = fold(*lane, u64::from_le_bytes(*word));
        }
    }
    lanes.into_iter().fold(PRIME, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_random_and_apart() {
        for (count, len) in [(1, 1), (3, 8192), (5, 1 << 20), (2, (1 << 20) - 1)] {
            let mut memory = Memory::take(count, len).unwrap();
            let blocks = memory.blocks(count, len, &mut 1);
            assert_eq!(blocks.len(), count);
            for block in &blocks {
                assert_eq!(block.len(), len);
                assert_eq!(block.as_ptr() as usize % ALIGN, 0);
            }
            assert!(count == 1 || blocks[0] != blocks[1]);
        }
    }

    #[test]
    fn a_block_is_intact_only_where_it_belongs_and_as_it_was() {
        let mut block = [7; 4096];
        stamp(&mut block, 8192, &mut 7);
        assert!(is_intact(&block, 8192));
        assert!(!is_intact(&block, 4096), "another block's content");
        for at in [0, 15, 16, 2000, 4095] {
            block[at] ^= 1;
            assert!(!is_intact(&block, 8192), "byte {at}");
            block[at] ^= 1;
        }
        assert!(!is_intact(&[], 0));
    }
}
