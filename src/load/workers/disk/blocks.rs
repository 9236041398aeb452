//! The content of blocks: random, aligned, and with a checksum where asked.

use super::super::next;

/// What every logical block size of a disk divides.
pub(super) const ALIGN: usize = 4096;

/// Random bytes, aligned as direct I/O wants them.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    skip: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn new(len: usize, seed: &mut u64) -> Self {
        let bytes = vec![0; len + ALIGN];
        let skip = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        let mut buffer = Self { bytes, skip, len };
        buffer.refill(seed);
        buffer
    }

    /// New content: a disk may store equal blocks once.
    pub(super) fn refill(&mut self, seed: &mut u64) {
        for chunk in self.slice_mut().chunks_mut(8) {
            let word = next(seed).to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
    }

    pub(super) fn slice(&self) -> &[u8] {
        self.bytes.get(self.skip..self.skip + self.len).unwrap_or(&[])
    }

    pub(super) fn slice_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.skip..self.skip + self.len).unwrap_or(&mut [])
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
    fn a_buffer_is_aligned_and_random() {
        let buffer = Buffer::new(8192, &mut 1);
        assert_eq!(buffer.slice().len(), 8192);
        assert_eq!(buffer.slice().as_ptr() as usize % ALIGN, 0);
        assert!(buffer.slice().iter().any(|byte| *byte != 0));
    }

    #[test]
    fn a_block_is_intact_only_where_it_belongs_and_as_it_was() {
        let mut buffer = Buffer::new(4096, &mut 1);
        stamp(buffer.slice_mut(), 8192, &mut 7);
        assert!(is_intact(buffer.slice(), 8192));
        assert!(!is_intact(buffer.slice(), 4096), "another block's content");
        for at in [0, 15, 16, 2000, 4095] {
            buffer.slice_mut()[at] ^= 1;
            assert!(!is_intact(buffer.slice(), 8192), "byte {at}");
            buffer.slice_mut()[at] ^= 1;
        }
        assert!(!is_intact(&[], 0));
    }
}
