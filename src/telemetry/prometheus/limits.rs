//! What an answer of a server may hold, and what of it is kept.

use std::collections::BTreeMap;

use super::decode::Target;
use crate::model::{
    text::{LONGEST_MESSAGE, LONGEST_NAME, short},
    units::parse_duration,
};

/// Series of one answer that are read at most. A thousand nodes have five
/// thousand in the largest of our queries.
pub const MOST_SERIES: usize = 200_000;

/// Labels of one series at most; Prometheus itself takes 30 from a target by default.
pub const MOST_LABELS: usize = 128;
/// Bytes of a label's name or value at most. The longest of a node_exporter's are mount
/// points, of up to 4,096.
pub const LONGEST_LABEL: usize = 8 << 10;
/// Bytes of an answer without the end of a text at most: no text in one is longer.
pub(super) const LONGEST_TEXT: usize = 128 << 10;
/// Warnings and remarks of a server that are kept.
const MOST_WARNINGS: usize = 10;

/// A target with what it says of itself, as far as that can be: an interval of zero or
/// a day would have us ask without end, or never.
pub(super) fn target(target: Target) -> Target {
    let is_interval = |text: &String| {
        parse_duration(text).is_ok_and(|one| (0.001..=86_400.0).contains(&one.as_secs_f64()))
    };
    let took = target.last_scrape_duration;
    Target {
        health: short(&target.health, LONGEST_NAME),
        last_error: short(&target.last_error, LONGEST_MESSAGE),
        scrape_interval: Some(target.scrape_interval).filter(is_interval).unwrap_or_default(),
        last_scrape_duration: if (0.0..=1e6).contains(&took) { took } else { 0.0 },
        labels: target.labels,
    }
}

/// The first few of what a server says besides, each as one line.
pub(super) fn some(texts: &[String]) -> Vec<String> {
    let more = texts.len().saturating_sub(MOST_WARNINGS);
    let mut some: Vec<String> =
        texts.iter().take(MOST_WARNINGS).map(|text| short(text, LONGEST_NAME)).collect();
    if more > 0 {
        some.push(format!("and {more} more"));
    }
    some
}

/// What is wrong with a set of labels that no exporter has, in words.
pub(super) fn too_long(labels: &BTreeMap<String, String>) -> Option<String> {
    if labels.len() > MOST_LABELS {
        return Some(format!("a series has {} labels, {MOST_LABELS} at most", labels.len()));
    }
    let long = labels.iter().find(|(name, value)| name.len().max(value.len()) > LONGEST_LABEL)?;
    Some(format!(
        "the label {} has {} bytes, {LONGEST_LABEL} at most",
        short(long.0, 40),
        long.0.len().max(long.1.len())
    ))
}
