//! Latency histograms: one shape from the worker to the report.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};

/// Smallest latency told apart, in nanoseconds.
pub const LOWEST_NS: u64 = 1;
/// Largest latency kept, in nanoseconds (about 18 minutes); larger ones count
/// as this.
pub const HIGHEST_NS: u64 = 1 << 40;

/// An empty histogram of nanoseconds with two significant digits, which is
/// what the shared-memory buckets resolve.
pub fn empty() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 2).ok()
}

/// As text for a journal line.
pub fn encode(histogram: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

/// The reverse of [`encode`]; `None` when the text is damaged.
pub fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_the_journal() {
        let mut histogram = empty().unwrap();
        for ns in [100, 1_000, 1_000_000] {
            histogram.saturating_record(ns);
        }
        let back = decode(&encode(&histogram).unwrap()).unwrap();
        assert_eq!(back.len(), 3);
        assert_eq!(back.max(), histogram.max());
        assert!(decode("no").is_none());
    }
}
