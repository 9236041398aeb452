//! Credentials, read when they are needed and never stored or shown.

use std::{env, fmt, fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::scenario::plan::Telemetry;

/// A secret that no `Debug` or error prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The text itself, for the request's header.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// How requests authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// They do not.
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
}

/// Why no credentials could be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("the {what} file {path} cannot be read")]
    Unreadable {
        /// `password`, `token`, `CA`.
        what: &'static str,
        /// Where it should be.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is empty.
    #[error("the {what} file {path} is empty")]
    Empty {
        /// `password`, `token`, `CA`.
        what: &'static str,
        /// Where it is.
        path: String,
    },
    /// There is a user but no password.
    #[error(
        "user {username:?} has no password: set `password_file`, or the environment variable STRESSOR_PROMETHEUS_PASSWORD"
    )]
    NoPassword {
        /// The user.
        username: String,
    },
}

/// The credentials that a scenario names, or that stand in the environment
/// (`STRESSOR_PROMETHEUS_USERNAME`, `…_PASSWORD`, `…_TOKEN`).
///
/// # Errors
/// When a named file cannot be read or is empty, or a password is missing.
pub fn read(telemetry: &Telemetry) -> Result<Auth, Error> {
    let from_env = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(path) = &telemetry.token_file {
        return Ok(Auth::Bearer(Secret(file("token", path)?)));
    }
    let username = telemetry.username.clone().or_else(|| from_env("STRESSOR_PROMETHEUS_USERNAME"));
    if let Some(username) = username {
        let password = match &telemetry.password_file {
            Some(path) => Some(file("password", path)?),
            None => from_env("STRESSOR_PROMETHEUS_PASSWORD"),
        };
        let Some(password) = password else { return Err(Error::NoPassword { username }) };
        return Ok(Auth::Basic { username, password: Secret(password) });
    }
    Ok(from_env("STRESSOR_PROMETHEUS_TOKEN")
        .map_or(Auth::None, |token| Auth::Bearer(Secret(token))))
}

/// What is wrong with the permissions of the files that hold secrets, a sentence each: one
/// that other users can read or change is none.
pub fn exposed(telemetry: &Telemetry) -> Vec<String> {
    let files = [
        ("password", &telemetry.password_file),
        ("token", &telemetry.token_file),
        ("key", &telemetry.key_file),
    ];
    let given = files.into_iter().filter_map(|(what, path)| Some((what, path.as_deref()?)));
    given.filter_map(|(what, path)| exposed_file(what, path)).collect()
}

/// The same of one file.
pub fn exposed_file(what: &str, path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o006 != 0).then(|| {
        let shown = path.display();
        format!(
            "every user of this machine can read or change the {what} file {shown} (mode {mode:o}): chmod 600 {shown}"
        )
    })
}

/// The text of a file without the line end that editors add.
pub(super) fn file(what: &'static str, path: &Path) -> Result<String, Error> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
        what,
        path: shown.clone(),
        source,
    })?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(Error::Empty { what, path: shown }) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let auth = Auth::Basic { username: "u".into(), password: Secret("hunter2".into()) };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "abc").unwrap();
        for (mode, told) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o666, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let telemetry = Telemetry { token_file: Some(path.clone()), ..Telemetry::default() };
            assert_eq!(exposed(&telemetry).len(), told, "{mode:o}");
        }
    }

    #[test]
    fn files_are_read_without_their_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "abc\n").unwrap();
        let telemetry = Telemetry { token_file: Some(path), ..Telemetry::default() };
        assert_eq!(read(&telemetry).unwrap(), Auth::Bearer(Secret("abc".into())));
        let telemetry =
            Telemetry { token_file: Some("/nonexistent".into()), ..Telemetry::default() };
        assert!(read(&telemetry).unwrap_err().to_string().contains("/nonexistent"));
    }
}
