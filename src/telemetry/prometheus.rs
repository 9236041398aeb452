//! The Prometheus source: node_exporter's series through the range API of
//! anything that speaks it.

pub mod client;
pub mod companions;
pub mod containers;
pub mod decode;
pub mod secrets;
mod selector;
pub mod server;
pub mod source;
pub mod targets;
