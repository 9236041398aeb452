//! Scratch files that no crash can leave behind.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// How a scratch file is called in the moment before it loses its name, where
/// it had to have one; the number of its process follows.
const PREFIX: &str = ".stressor-scratch-";

/// Remove what a kill in that very moment left behind in `folder`.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let alive = Path::new("/proc").join(process).exists();
        if process.parse::<u32>().is_ok() && !alive {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that loses its name at once.
fn named(folder: &Path, options: &OpenOptions) -> io::Result<File> {
    /// A process of another container may have the same number.
    const TRIES: u32 = 64;
    /// Above the largest number of a process.
    const STEP: u32 = 1 << 22;
    for again in 0..TRIES {
        let number = std::process::id().wrapping_add(again.wrapping_mul(STEP));
        let path = folder.join(format!("{PREFIX}{number}"));
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        return match fs::remove_file(&path) {
            // Another run took it for one that was left behind: the name is gone.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(file),
        };
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A file without a name in `folder`; the kernel frees it when the last
/// process that has it open is gone, however it went.
///
/// # Errors
/// When the folder does not exist, is read-only or full.
pub(super) fn file(folder: &Path, direct: bool) -> io::Result<File> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE | flags).open(folder) {
        // Not every file system has O_TMPFILE (NFS, FUSE, old overlayfs).
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            sweep(folder);
            options.create_new(true).custom_flags(flags | libc::O_NOFOLLOW);
            named(folder, &options)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_scratch_file_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file(folder.path(), false).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_a_dead_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join(format!("{PREFIX}4194305"));
        let alive = folder.path().join(format!("{PREFIX}{}", std::process::id()));
        let other = folder.path().join(".stressor-scratch-notes");
        for path in [&dead, &alive, &other] {
            fs::write(path, "").unwrap();
        }
        sweep(folder.path());
        assert!(!dead.exists() && alive.exists() && other.exists());
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("{PREFIX}{}", std::process::id())), "theirs").unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        assert!(named(folder.path(), &options).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(file(Path::new("/nonexistent"), false).is_err());
    }
}
