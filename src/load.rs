//! The load: worker processes, their pacing, supervision and statistics.
//!
//! ```text
//! stressor ──fork──▶ spawner ──fork──▶ worker 0 … n
//!     ▲                 (one thread)       │
//!     └────────── shared memory ◀──────────┘  counters, latency buckets
//! ```
//!
//! The spawner is forked before the program has any thread, so that it can
//! fork safely and fast for as long as the run takes. Every process dies with
//! its parent (`PR_SET_PDEATHSIG`), whatever kills it, and a worker is stopped
//! with SIGKILL, which needs no good will. Nothing is lost by that: what a
//! worker has done stands in shared memory after each operation.

pub mod groups;
pub mod hogs;
pub mod loader;
pub mod pacer;
pub mod preflight;
pub mod shared;

mod arrivals;
mod buckets;
mod place;
mod random;
mod scratch;
mod spawner;
pub mod targets;
mod traces;
mod workers;

pub use loader::{Exit, Loader};
