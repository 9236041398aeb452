//! Folders of runs: taking the next number, finding one, replacing a file
//! whole.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Error, digests, names};
use crate::{
    model::run::{Manifest, RUN_SCHEMA},
    scenario::diagnostic::nearest,
};

/// What every version of the manifest has.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Make a new folder below `reports`: `name`, or `run-N` with the next
    /// free number. Making a folder is atomic, so two runs never share one.
    ///
    /// # Errors
    /// When the name is taken or bad, or the folder cannot be made.
    pub fn create(reports: &Path, name: Option<&str>) -> Result<Self, Error> {
        fs::create_dir_all(reports).map_err(Error::io("cannot create", reports))?;
        if let Some(name) = name {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty()
                || name.starts_with('.')
                || !name.chars().all(good)
                || name == "latest"
            {
                return Err(Error::BadName { name: name.to_owned() });
            }
            let path = reports.join(name);
            return match fs::create_dir(&path) {
                Ok(()) => Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    Err(Error::Exists { path })
                }
                Err(error) => Err(Error::io("cannot create", path)(error)),
            };
        }
        let mut number = highest(reports)?.saturating_add(1);
        loop {
            let path = reports.join(format!("run-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Another run took it since we looked.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::io("cannot create", path)(error)),
            }
        }
    }

    /// Find a run: `latest`, `run-42` below `reports`, or a path.
    ///
    /// # Errors
    /// When there is none; the error names the nearest.
    pub fn find(reports: &Path, name: &str) -> Result<Self, Error> {
        if name == "latest" {
            return list(reports)?
                .into_iter()
                .next()
                .map(|(folder, _)| folder)
                .ok_or_else(|| Error::Empty { folder: reports.to_owned() });
        }
        let places = [reports.join(name), PathBuf::from(name)];
        for path in &places {
            if path.join(names::MANIFEST).is_file() {
                return Ok(Self { path: path.clone() });
            }
        }
        if let Some(path) = places.into_iter().find(|path| is_unbegun(path)) {
            return Err(Error::Unbegun { path });
        }
        let known: Vec<String> =
            list(reports)?.into_iter().map(|(folder, _)| folder.id()).collect();
        let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        Err(Error::NotFound { name: name.to_owned(), folder: reports.to_owned(), near })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    pub fn id(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Replace a file whole: a reader sees the old or the new, never a part,
    /// also after a power cut.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        let new = self.path.join(format!(".{name}.new"));
        let write = || {
            // A link of that name, or what a kill left, is not written through.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => (),
            }
            let mut file = File::create_new(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            // The folder holds the name; without this the rename may be lost.
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&new);
            Error::io("cannot write", path.clone())(error)
        })
    }

    /// Read the manifest.
    ///
    /// # Errors
    /// When it is missing, damaged, or of a later version.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        Ok(self.manifest_and_whole()?.0)
    }

    /// The manifest, and whether it is as it was written.
    pub(super) fn manifest_and_whole(&self) -> Result<(Manifest, bool), Error> {
        let path = self.path.join(names::MANIFEST);
        let text = read_file(&path)?;
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: path.clone(),
            why: error.to_string(),
        };
        let Schema { schema } = serde_json::from_slice(&text).map_err(damaged)?;
        if schema > RUN_SCHEMA {
            return Err(Error::Later { path, found: schema, known: RUN_SCHEMA });
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(damaged)?;
        if let Some(why) = impossible(&manifest) {
            return Err(Error::Damaged { path, why });
        }
        Ok((manifest, !digests::is_changed(&text)))
    }

    /// Replace the manifest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(manifest)
            .and_then(|text| digests::with_digest(&text))
            .map_err(|error| Error::Damaged {
                path: self.path.join(names::MANIFEST),
                why: error.to_string(),
            })?;
        self.replace(names::MANIFEST, text.as_bytes())
    }
}

/// The largest manifest or scenario that is read, in bytes: ten thousand nodes have 10 MB.
const LARGEST: u64 = 256 << 20;

/// A file, when it is one: a pipe or device of that name would never end.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let refused = |why: &str| {
        Error::io("cannot read", path)(std::io::Error::new(ErrorKind::InvalidInput, why.to_owned()))
    };
    let about = fs::metadata(path).map_err(Error::io("cannot read", path))?;
    if !about.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if about.len() > LARGEST {
        return Err(refused("it is larger than 256 MiB"));
    }
    fs::read(path).map_err(Error::io("cannot read", path))
}

/// What a manifest says that cannot be, in words.
fn impossible(manifest: &Manifest) -> Option<String> {
    let is_span = |seconds: f64| (0.0..=1e9).contains(&seconds);
    let nodes = manifest.nodes.iter().find_map(|node| {
        let good = is_span(node.interval_s) && node.interval_s > 0.0 && is_span(node.window_s);
        (!good).then(|| format!("node {:?} has an impossible interval", node.name))
    });
    nodes.or_else(|| {
        let bad = manifest.phases.iter().find(|phase| {
            let ends_early = phase.end.is_some_and(|end| end < phase.start);
            let level = phase.level.as_ref().map_or(0.0, |level| level.value);
            ends_early || !is_span(phase.planned_s) || !is_span(level)
        })?;
        Some(format!("phase {:?} has an impossible length, end or level", bad.name))
    })
}

/// Whether a run was killed here before it could say what it is.
fn is_unbegun(path: &Path) -> bool {
    let is_ours = |entry: fs::DirEntry| {
        let name = entry.file_name();
        [
            names::SCENARIO,
            &format!(".{}.new", names::SCENARIO),
            &format!(".{}.new", names::MANIFEST),
        ]
        .iter()
        .any(|ours| name.to_str() == Some(*ours))
    };
    !path.join(names::MANIFEST).exists()
        && fs::read_dir(path)
            .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(&is_ours)))
}

/// A folder below that of the runs that cannot be listed as one.
#[derive(Debug)]
pub struct Unread {
    /// Its name.
    pub id: String,
    /// Why not.
    pub why: Error,
}

/// Runs below a folder, newest first; what is no run is passed over.
///
/// # Errors
/// When the folder exists and cannot be read.
pub fn list(reports: &Path) -> Result<Vec<(RunFolder, Manifest)>, Error> {
    Ok(list_all(reports)?.0)
}

/// The same, and what looks like a run and cannot be read: of a later version, damaged,
/// or killed before it began.
///
/// # Errors
/// When the folder exists and cannot be read.
#[expect(clippy::type_complexity, reason = "two lists, each of a plain type")]
pub fn list_all(reports: &Path) -> Result<(Vec<(RunFolder, Manifest)>, Vec<Unread>), Error> {
    let (mut runs, mut unread) = (Vec::new(), Vec::new());
    for path in entries(reports)? {
        let folder = RunFolder { path };
        let is_named = folder
            .id()
            .strip_prefix("run-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
        match folder.manifest() {
            Ok(manifest) => runs.push((folder, manifest)),
            Err(_) if is_unbegun(&folder.path) && folder.path.is_dir() && is_named => {
                let why = Error::Unbegun { path: folder.path.clone() };
                unread.push(Unread { id: folder.id(), why });
            }
            Err(why) if folder.path.join(names::MANIFEST).exists() => {
                unread.push(Unread { id: folder.id(), why });
            }
            Err(_) => (),
        }
    }
    runs.sort_by(|a, b| b.1.start.cmp(&a.1.start).then_with(|| b.0.id().cmp(&a.0.id())));
    unread.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((runs, unread))
}

fn entries(reports: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(reports) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("cannot read", reports)(error)),
    }
}

fn highest(reports: &Path) -> Result<u64, Error> {
    let numbers = entries(reports)?;
    let number =
        |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("run-")?.parse::<u64>().ok();
    // A name that somebody made up must not leave the next run without a number.
    let is_counted = |number: &u64| *number < u64::from(u32::MAX);
    Ok(numbers.iter().filter_map(number).filter(is_counted).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_shared() {
        let reports = tempfile::tempdir().unwrap();
        let path = reports.path();
        let mut ids: Vec<String> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| RunFolder::create(path, None).unwrap().id()))
                .collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 8);
    }

    #[test]
    fn a_name_is_taken_once() {
        let reports = tempfile::tempdir().unwrap();
        RunFolder::create(reports.path(), Some("base")).unwrap();
        assert!(matches!(
            RunFolder::create(reports.path(), Some("base")),
            Err(Error::Exists { .. })
        ));
        for bad in ["", "../x", ".x", "a/b", "latest"] {
            assert!(matches!(
                RunFolder::create(reports.path(), Some(bad)),
                Err(Error::BadName { .. })
            ));
        }
    }

    #[test]
    fn a_made_up_number_does_not_end_the_counting() {
        let reports = tempfile::tempdir().unwrap();
        RunFolder::create(reports.path(), Some("run-18446744073709551615")).unwrap();
        RunFolder::create(reports.path(), Some("run-3")).unwrap();
        assert_eq!(RunFolder::create(reports.path(), None).unwrap().id(), "run-4");
    }

    #[test]
    fn a_link_in_the_way_is_not_written_through() {
        let reports = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(reports.path(), None).unwrap();
        let victim = reports.path().join("victim");
        fs::write(&victim, "theirs").unwrap();
        for name in [".report.html.new", "report.html"] {
            std::os::unix::fs::symlink(&victim, folder.path().join(name)).unwrap();
        }
        folder.replace("report.html", b"ours").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(folder.path().join("report.html")).unwrap(), "ours");
    }

    #[test]
    fn what_cannot_be_listed_is_named() {
        let reports = tempfile::tempdir().unwrap();
        let make = |name: &str| RunFolder::create(reports.path(), Some(name)).unwrap();
        make("run-1");
        fs::write(make("run-2").path().join(names::SCENARIO), "x").unwrap();
        fs::write(make("run-3").path().join(names::MANIFEST), "{\"schema\": 99}").unwrap();
        fs::write(make("base").path().join(names::MANIFEST), "{").unwrap();
        make("notes");
        let (runs, unread) = list_all(reports.path()).unwrap();
        assert!(runs.is_empty());
        let ids: Vec<&str> = unread.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["base", "run-1", "run-2", "run-3"]);
        assert!(unread[1].why.to_string().contains("before it began"), "{}", unread[1].why);
        assert!(matches!(RunFolder::find(reports.path(), "run-2"), Err(Error::Unbegun { .. })));
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let reports = tempfile::tempdir().unwrap();
        let error = RunFolder::find(reports.path(), "latest").unwrap_err();
        assert!(error.to_string().contains("stressor run"), "{error}");
        assert!(matches!(RunFolder::find(reports.path(), "run-1"), Err(Error::NotFound { .. })));
    }
}
