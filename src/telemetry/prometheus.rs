//! The Prometheus source: node_exporter's series through the range API of
//! anything that speaks it.

pub mod choice;
pub mod client;
pub mod companions;
pub mod containers;
pub mod decode;
pub mod discovery;
pub mod limits;
pub mod machines;
pub mod places;
pub mod recorded;
pub mod secrets;
pub mod selector;
pub mod server;
pub mod source;
