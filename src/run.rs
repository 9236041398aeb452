//! One run on this host: joins load, telemetry and store along the plan's
//! phases; or one look back at what a Prometheus kept.

pub mod agent;
pub mod annotations;
pub mod conduct;
pub mod guards;
pub mod nodes;
pub mod past;
pub mod push;

mod conductor;
mod crew;
mod doubts;
mod exits;
mod listen;
mod live;
mod progress;
mod sampling;
mod scraping;
mod series;
mod signals;

pub use conduct::{Options, Outcome, conduct};
pub use live::{Live, Update};
