//! Tests of the whole program on the real machine and with real components.
//!
//! One binary, so that it links once. A test that loads the machine or
//! measures it holds [`support::machine`], so that two never disturb one
//! another.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking"
)]

mod command;
mod confirm;
mod conformance;
mod crash;
mod disks;
mod engines;
mod expressions;
mod fakes;
mod faults;
mod fleet;
mod hostile;
mod http;
mod inventory;
mod lab;
mod limits;
mod loads;
mod page;
mod prometheus;
mod push;
mod reach;
mod recorded;
mod report;
mod run;
mod scenarios;
mod stack;
mod stress;
mod support;
