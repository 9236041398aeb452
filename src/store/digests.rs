//! What the files of a run held when it ended, so that what is lost or changed later is
//! noticed: `journals.json`, and the digest that `run.json` has of itself.

use std::{collections::BTreeMap, fs, io, path::Path};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, folder::RunFolder, names};

/// The key of `run.json` that has the digest of all others.
const KEY: &str = "digest";

/// What one file held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    pub(super) lines: u64,
    pub(super) sha256: String,
}

/// `journals.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    schema: u32,
    files: BTreeMap<String, Seal>,
}

/// What a file holds so far.
#[derive(Clone)]
pub(super) struct Tally {
    context: Context,
    lines: u64,
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), lines: 0 }
    }
}

impl Tally {
    /// Of a file that is there.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let mut tally = Self::default();
        let mut file = fs::File::open(path)?;
        let mut part = vec![0; 64 << 10];
        loop {
            match io::Read::read(&mut file, &mut part)? {
                0 => return Ok(tally),
                length => tally.add(part.get(..length).unwrap_or_default()),
            }
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.lines += bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
    }

    pub(super) fn seal(self) -> Seal {
        Seal { lines: self.lines, sha256: hex(self.context.finish().as_ref()) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Keep what the journals and the scenario hold.
pub(super) fn write(folder: &RunFolder, journals: BTreeMap<String, Tally>) -> Result<(), Error> {
    let path = folder.path().join(names::SCENARIO);
    let scenario = Tally::of_file(&path).ok().map(|tally| (names::SCENARIO.to_owned(), tally));
    let files = journals.into_iter().chain(scenario).map(|(name, tally)| (name, tally.seal()));
    let document = Document { schema: 1, files: files.collect() };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| Error::Damaged {
        path: folder.path().join(names::DIGESTS),
        why: error.to_string(),
    })?;
    bytes.push(b'\n');
    folder.replace(names::DIGESTS, &bytes)
}

/// Forget what was kept: the journals are about to grow.
pub(super) fn forget(folder: &RunFolder) {
    // Where it cannot be removed, the journals cannot be written either.
    let _ = fs::remove_file(folder.path().join(names::DIGESTS));
}

/// What differs between what was kept and what was read, a sentence each. Nothing for a
/// run without `journals.json`: one that was killed, or that an older version made.
pub(super) fn differences(folder: &RunFolder, read: &BTreeMap<String, Seal>) -> Vec<String> {
    let Ok(bytes) = fs::read(folder.path().join(names::DIGESTS)) else { return Vec::new() };
    let kept: Document = match serde_json::from_slice(&bytes) {
        Ok(kept) => kept,
        Err(error) => {
            return vec![format!(
                "{} is damaged ({error}), so the journals cannot be verified",
                names::DIGESTS
            )];
        }
    };
    let mut differences: Vec<String> = kept
        .files
        .iter()
        .filter_map(|(name, kept)| match read.get(name) {
            None => Some(format!("{name} is missing or cannot be read")),
            Some(read) if read == kept => None,
            Some(read) if read.lines != kept.lines => {
                Some(format!("{name} has {} lines, and had {}", read.lines, kept.lines))
            }
            Some(_) => Some(format!("the content of {name} has changed")),
        })
        .collect();
    let strange = read.keys().filter(|name| !kept.files.contains_key(*name));
    differences.extend(strange.map(|name| format!("{name} was not written by the run")));
    differences
}

/// A manifest's text with its digest in it.
pub(super) fn with_digest(text: &str) -> Result<String, serde_json::Error> {
    let digest = of_json(&serde_json::from_str(text)?)?;
    let (body, _) = text.rsplit_once('}').unwrap_or((text, ""));
    Ok(format!("{},\n  \"{KEY}\": \"{digest}\"\n}}\n", body.trim_end()))
}

/// Whether a manifest says of itself what it holds, and holds something else.
pub(super) fn is_changed(text: &[u8]) -> bool {
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return false };
    let Some(said) = value.as_object_mut().and_then(|keys| keys.remove(KEY)) else { return false };
    of_json(&value).map_or(true, |digest| said.as_str() != Some(digest.as_str()))
}

/// The digest of a document, whatever the blanks between its parts.
fn of_json(value: &Value) -> Result<String, serde_json::Error> {
    let mut context = Context::new(&SHA256);
    context.update(&serde_json::to_vec(value)?);
    Ok(hex(context.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_manifest_says_so() {
        let text = "{\n  \"a\": 0.30000000000000004,\n  \"b\": [\"x\"]\n}";
        let whole = with_digest(text).unwrap();
        assert!(!is_changed(whole.as_bytes()), "{whole}");
        assert!(is_changed(whole.replace("\"x\"", "\"y\"").as_bytes()));
        assert!(!is_changed(text.as_bytes()), "an older version's has none");
    }
}
