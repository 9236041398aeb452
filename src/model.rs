//! The nouns every other module speaks. Imports nothing of ours and touches
//! nothing outside: no files, no clocks.

pub mod catalogue;
pub mod expr;
pub mod latency;
pub mod matcher;
pub mod mounts;
pub mod plausible;
pub mod run;
pub mod series;
pub mod stats;
pub mod text;
pub mod time;
pub mod time_expression;
pub mod units;
