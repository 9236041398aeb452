//! Scratch files that no crash can leave behind.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

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
            let path = folder.join(format!(".stressor-scratch-{}", std::process::id()));
            let file = options.create_new(true).custom_flags(flags).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
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
    fn a_missing_folder_is_an_error() {
        assert!(file(Path::new("/nonexistent"), false).is_err());
    }
}
