//! Folders of runs: taking the next number, finding one, replacing a file
//! whole.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Error, names};
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
        let mut number = highest(reports)? + 1;
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
        for path in [reports.join(name), PathBuf::from(name)] {
            if path.join(names::MANIFEST).is_file() {
                return Ok(Self { path });
            }
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
            let mut file = File::create(&new)?;
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
        let path = self.path.join(names::MANIFEST);
        let text = fs::read(&path).map_err(Error::io("cannot read", path.clone()))?;
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: path.clone(),
            why: error.to_string(),
        };
        let Schema { schema } = serde_json::from_slice(&text).map_err(damaged)?;
        if schema > RUN_SCHEMA {
            return Err(Error::Later { path, found: schema, known: RUN_SCHEMA });
        }
        serde_json::from_slice(&text).map_err(damaged)
    }

    /// Replace the manifest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(manifest).map_err(|error| Error::Damaged {
            path: self.path.join(names::MANIFEST),
            why: error.to_string(),
        })?;
        text.push('\n');
        self.replace(names::MANIFEST, text.as_bytes())
    }
}

/// Runs below a folder, newest first; what is no run is passed over.
///
/// # Errors
/// When the folder exists and cannot be read.
pub fn list(reports: &Path) -> Result<Vec<(RunFolder, Manifest)>, Error> {
    let mut runs = Vec::new();
    for path in entries(reports)? {
        let folder = RunFolder { path };
        if let Ok(manifest) = folder.manifest() {
            runs.push((folder, manifest));
        }
    }
    runs.sort_by(|a, b| b.1.start.cmp(&a.1.start).then_with(|| b.0.id().cmp(&a.0.id())));
    Ok(runs)
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
    Ok(numbers.iter().filter_map(number).max().unwrap_or(0))
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
    fn an_empty_folder_says_what_to_do() {
        let reports = tempfile::tempdir().unwrap();
        let error = RunFolder::find(reports.path(), "latest").unwrap_err();
        assert!(error.to_string().contains("stressor run"), "{error}");
        assert!(matches!(RunFolder::find(reports.path(), "run-1"), Err(Error::NotFound { .. })));
    }
}
