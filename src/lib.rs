//! Load a Linux machine, watch every resource at once, and name the one that
//! gave out first, from when, and on what evidence.
//!
//! The modules stand in the order in which data flows; each may name only
//! those above it, which `tests/architecture.rs` keeps.

#![cfg_attr(
    test,
    expect(clippy::float_cmp, reason = "tests compare with values that floats hold exactly")
)]

pub mod model;

pub mod scenario;

pub mod host;

pub mod load;

pub mod telemetry;

pub mod store;

pub mod analyze;

pub mod report;

pub mod fleet;

pub mod run;

pub mod stack;

pub mod cli;
