//! `verdict.json`, as the design fixes it.

use super::Error;
use crate::analyze::outcome::Analysis;

pub(super) fn render(analysis: &Analysis) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(analysis)?;
    bytes.push(b'\n');
    Ok(bytes)
}
