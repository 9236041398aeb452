//! One run on this host: joins load, telemetry and store along the plan's
//! phases.

pub mod conductor;
pub mod guards;
pub mod nodes;

mod live;
mod progress;
mod sampling;
mod scraping;
mod signals;

pub use conductor::{Options, Outcome, conduct};
pub use live::{Live, Update};
