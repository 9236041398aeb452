//! What the machine felt: signals, from /proc or from a Prometheus.

pub mod proc;
pub mod prometheus;
