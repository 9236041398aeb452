//! Numbers that only need to scatter.

/// Marsaglia's xorshift64 (2003): good enough to scatter
/// offsets and lengths.
pub(super) fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
