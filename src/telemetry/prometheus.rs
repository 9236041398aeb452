//! The Prometheus source: node_exporter's series through the range API of
//! anything that speaks it.

pub mod client;
pub mod decode;
pub mod secrets;
pub mod source;
