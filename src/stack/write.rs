//! Files to disk. What a person has changed since we wrote it is not written
//! over: a list of what we wrote, with the digest of each file, stands beside
//! them.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
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

/// The largest file of ours that is read; what is longer is not ours.
const LARGEST: u64 = 64 << 20;

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
    /// Something stands where a file or folder of ours would be.
    #[error("{} is {what}: it is not followed, as it may lead anywhere; remove it, or write to another folder", path.display())]
    Strange {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The list names a file outside.
    #[error("{} names {name:?}, which does not lie in this folder: remove the list, and what was changed by hand will be shown as such", path.display())]
    Outside {
        /// The list.
        path: PathBuf,
        /// What it names.
        name: String,
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
        let full = within(folder, &path)?;
        let change = match read_file(&full) {
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
    let path = within(folder, &artefact.path)?;
    let there = match read_file(&path) {
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

/// Where a file of ours is, without a link on the way there: below `folder`, which the user
/// named, nothing is followed.
fn within(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let outside = || Error::Outside { path: folder.join(LIST), name: name.to_owned() };
    let relative = Path::new(name);
    let mut path = folder.to_owned();
    let mut parts = relative.components().peekable();
    if parts.peek().is_none() {
        return Err(outside());
    }
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else { return Err(outside()) };
        path.push(part);
        let strange = |what| Err(Error::Strange { path: path.clone(), what });
        match fs::symlink_metadata(&path).map(|about| about.file_type()) {
            Ok(kind) if kind.is_symlink() => return strange("a link"),
            Ok(kind) if parts.peek().is_some() && !kind.is_dir() => return strange("no folder"),
            Ok(kind) if parts.peek().is_none() && !kind.is_file() => return strange("no file"),
            Ok(_) => (),
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => return Err(io("cannot read", &path)(error)),
        }
    }
    Ok(path)
}

/// A file's bytes; a link or pipe that came there in the meantime is not opened.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
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
        // What stands there is not written through, but replaced.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut file = fs::File::create_new(&new)?;
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
    let path = within(folder, LIST)?;
    match read_file(&path) {
        Ok(bytes) => {
            let list: List = serde_json::from_slice(&bytes)
                .map_err(|source| Error::List { path: path.clone(), source })?;
            let is_inside = |name: &&String| {
                let mut parts = Path::new(name.as_str()).components().peekable();
                parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
            };
            match list.files.keys().find(|name| !is_inside(name)) {
                Some(name) => Err(Error::Outside { path, name: name.clone() }),
                None => Ok(list),
            }
        }
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

    #[test]
    fn no_link_is_followed_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let (folder, victim) = (root.path().join("out"), root.path().join("victim"));
        fs::create_dir_all(folder.join("x")).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("a"), "theirs").unwrap();
        let link = |to: &Path, at: &str| {
            std::os::unix::fs::symlink(to, folder.join(at)).unwrap();
            folder.join(at)
        };
        let theirs = || fs::read_to_string(victim.join("a")).unwrap();
        // In the way of the new file: replaced, not followed.
        link(&victim.join("a"), "x/a.new");
        assert_eq!(changes(&folder, &[artefact("x/a", "1\n")], false), [Change::New]);
        assert_eq!(theirs(), "theirs");
        // For a folder, for the file itself, for the list.
        for (at, path) in [("y", "y/a"), ("z", "z"), (LIST, "x/a")] {
            let _ = fs::remove_file(folder.join(LIST));
            let there = link(&if at == "z" { victim.join("a") } else { victim.clone() }, at);
            let error = write(&folder, &[artefact(path, "1\n")], true).unwrap_err();
            assert!(matches!(error, Error::Strange { .. }), "{at}: {error}");
            fs::remove_file(there).unwrap();
            assert_eq!(theirs(), "theirs");
        }
    }

    #[test]
    fn a_list_reaches_nothing_outside() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        fs::create_dir(&folder).unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "theirs").unwrap();
        let absolute = victim.display().to_string();
        for name in ["../victim", "x/../../victim", absolute.as_str(), "", "."] {
            let files = [(name.to_owned(), hex(b"theirs"))].into();
            let list = serde_json::to_vec(&List { schema: 1, files }).unwrap();
            fs::write(folder.join(LIST), list).unwrap();
            let error = write(&folder, &[], true).unwrap_err();
            assert!(matches!(error, Error::Outside { .. }), "{name}: {error}");
            assert!(victim.exists(), "{name}");
        }
    }
}
