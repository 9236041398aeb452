//! Files to disk. What a person has changed since we wrote it is not written
//! over: a list of what we wrote, with the digest of each file, stands beside
//! them.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::artefacts::Artefact;
use crate::host::digest::hex;

/// The list of what we wrote.
const LIST: &str = ".stressor-stack.json";

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    New,
    /// It is now as the set-up says.
    Changed,
    /// It was so already.
    Unchanged,
    /// Somebody changed it, so it was left alone. From theirs to ours.
    Kept {
        /// A unified diff.
        diff: String,
    },
    /// Somebody had changed it, and it was written over. From theirs to ours.
    Overwritten {
        /// A unified diff.
        diff: String,
    },
    /// The set-up has it no more.
    Removed,
    /// The set-up has it no more, but somebody changed it.
    Forgotten,
}

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The list is not one of ours.
    #[error("{} cannot be read ({source}): remove it, and what was changed by hand will be shown as such", path.display())]
    List {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    schema: u32,
    /// Digests by path.
    files: BTreeMap<String, String>,
}

/// Write a set-up's files below `folder`.
///
/// # Errors
/// When a file cannot be read or written. Files written before it stay, and are
/// known as ours.
pub fn write(
    folder: &Path,
    artefacts: &[Artefact],
    force: bool,
) -> Result<Vec<(String, Change)>, Error> {
    fs::create_dir_all(folder).map_err(io("cannot create", folder))?;
    let mut list = read_list(folder)?;
    let mut changes = Vec::new();
    for artefact in artefacts {
        let change = one(folder, artefact, &list, force)?;
        if !matches!(change, Change::Kept { .. }) {
            list.files.insert(artefact.path.clone(), hex(artefact.text.as_bytes()));
            // After each file, so that a stop in between makes none a stranger.
            write_list(folder, &list)?;
        }
        changes.push((artefact.path.clone(), change));
    }
    let gone: Vec<(String, String)> = list
        .files
        .iter()
        .filter(|(path, _)| !artefacts.iter().any(|artefact| artefact.path == **path))
        .map(|(path, digest)| (path.clone(), digest.clone()))
        .collect();
    for (path, digest) in gone {
        let full = folder.join(&path);
        let change = match fs::read(&full) {
            Ok(bytes) if hex(&bytes) == digest => {
                fs::remove_file(&full).map_err(io("cannot remove", &full))?;
                Change::Removed
            }
            Ok(_) => Change::Forgotten,
            Err(_) => Change::Removed,
        };
        list.files.remove(&path);
        changes.push((path, change));
    }
    write_list(folder, &list)?;
    Ok(changes)
}

fn one(folder: &Path, artefact: &Artefact, list: &List, force: bool) -> Result<Change, Error> {
    let path = folder.join(&artefact.path);
    let there = match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io("cannot read", &path)(error)),
    };
    let Some(there) = there else {
        replace(&path, artefact)?;
        return Ok(Change::New);
    };
    if there == artefact.text.as_bytes() {
        return Ok(Change::Unchanged);
    }
    let ours = list.files.get(&artefact.path).is_some_and(|digest| *digest == hex(&there));
    if ours {
        replace(&path, artefact)?;
        return Ok(Change::Changed);
    }
    let theirs = String::from_utf8_lossy(&there);
    let diff = TextDiff::from_lines(theirs.as_ref(), artefact.text.as_str())
        .unified_diff()
        .header(&format!("{} (there)", artefact.path), &format!("{} (new)", artefact.path))
        .to_string();
    if force {
        replace(&path, artefact)?;
        return Ok(Change::Overwritten { diff });
    }
    Ok(Change::Kept { diff })
}

/// Whole or not at all.
fn replace(path: &Path, artefact: &Artefact) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io("cannot create", folder))?;
    let mode = if artefact.executable { 0o755 } else { 0o644 };
    put(path, artefact.text.as_bytes(), mode)
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new);
        io("cannot write", path)(error)
    })
}

fn read_list(folder: &Path) -> Result<List, Error> {
    let path = folder.join(LIST);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::List { path, source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(List { schema: 1, files: BTreeMap::new() })
        }
        Err(error) => Err(io("cannot read", &path)(error)),
    }
}

fn write_list(folder: &Path, list: &List) -> Result<(), Error> {
    let path = folder.join(LIST);
    let bytes = serde_json::to_vec_pretty(list)
        .map_err(|source| Error::List { path: path.clone(), source })?;
    put(&path, &bytes, 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefact(path: &str, text: &str) -> Artefact {
        Artefact { path: path.to_owned(), text: text.to_owned(), executable: false }
    }

    fn changes(folder: &Path, artefacts: &[Artefact], force: bool) -> Vec<Change> {
        write(folder, artefacts, force).unwrap().into_iter().map(|(_, change)| change).collect()
    }

    #[test]
    fn what_a_person_changed_is_kept_until_forced_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (artefact("x/a", "1\n"), artefact("x/b", "1\n"));
        let path = folder.path();
        assert_eq!(changes(path, &[a.clone(), b.clone()], false), [Change::New, Change::New]);
        let same = [Change::Unchanged, Change::Unchanged];
        assert_eq!(changes(path, &[a.clone(), b.clone()], false), same);
        // Ours: it follows. Theirs: it stays, with the difference.
        fs::write(path.join("x/b"), "mine\n").unwrap();
        let new = [artefact("x/a", "2\n"), artefact("x/b", "2\n")];
        let found = changes(path, &new, false);
        assert_eq!(found[0], Change::Changed);
        assert!(matches!(&found[1], Change::Kept { diff } if diff.contains("-mine\n+2\n")));
        assert_eq!(fs::read_to_string(path.join("x/b")).unwrap(), "mine\n");
        // It is still theirs at the next try.
        assert!(matches!(changes(path, &new, false)[1], Change::Kept { .. }));
        assert!(matches!(changes(path, &new, true)[1], Change::Overwritten { .. }));
        assert_eq!(fs::read_to_string(path.join("x/b")).unwrap(), "2\n");
        // What the set-up has no more goes, unless somebody changed it.
        fs::write(path.join("x/b"), "mine\n").unwrap();
        assert_eq!(changes(path, &[], false), [Change::Removed, Change::Forgotten]);
        assert!(path.join("x/b").exists() && !path.join("x/a").exists());
    }
}
