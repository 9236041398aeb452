//! The monitoring set-up: its configuration, written from one small file; its
//! state, checked; and a local one, started and stopped.
//!
//! ```text
//! stack.toml ─▶ scenario::setup ─▶ artefacts (pure) ─▶ write (knows hand edits)
//! ```

pub mod artefacts;
pub mod check;
pub mod kubernetes;
pub mod local;
pub mod write;

mod aws;
mod dashboards;
mod grafana;
mod machines;
mod prometheus;
mod rules;
