//! How a server is reached: learned with the first answers, and kept for the
//! requests after them.

use reqwest::Url;

use super::error::Error;

/// Redirects that are followed for one request.
pub(super) const MOST_HOPS: usize = 5;

/// How queries are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Parameters in the body: no limit of length.
    Post,
    /// Parameters in the address, where POST is refused.
    Get,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) http: reqwest::Client,
    /// Without a slash at its end.
    pub(super) base: String,
    pub(super) method: Method,
    /// Points of one series that are asked for at once.
    pub(super) most_points: u32,
}

/// The base address after a redirect of `asked`, which is `path` below the present
/// base, to `location`.
///
/// A redirect is followed within one origin (scheme, host, port), and from http to
/// https on the same host. Such an upgrade may lead to the port of https or keep
/// its own; to another port only where no credentials go along, since another
/// service may listen there.
///
/// # Errors
/// [`Error::Redirect`] for any other, with what to do.
pub(super) fn redirected_base(
    asked: &str,
    location: &str,
    path: &str,
    has_credentials: bool,
) -> Result<String, Error> {
    let refused = |to: &str, todo: String| Error::Redirect {
        from: without_query(asked),
        to: super::problem::shortened(to, 200),
        todo,
    };
    let unclear = || {
        refused(
            "something that is not an address",
            "what stands before the server is not set up for programs".to_owned(),
        )
    };
    let from = Url::parse(asked).map_err(|_| unclear())?;
    let to = from.join(location).map_err(|_| unclear())?;
    let shown = without_query(to.as_str());
    let set = "check it, and set `prometheus` (--prometheus) to it";
    let is_upgrade = from.scheme() == "http" && to.scheme() == "https";
    if from.host() != to.host() {
        let todo = format!(
            "that is another server, to which neither requests nor credentials are sent unasked; if it is the one to read, {set}"
        );
        return Err(refused(&shown, todo));
    }
    if from.scheme() != to.scheme() && !is_upgrade {
        let todo = format!("that is without encryption; if it is meant, {set}");
        return Err(refused(&shown, todo));
    }
    let (old_port, new_port) = (from.port_or_known_default(), to.port_or_known_default());
    let is_known_port =
        old_port == new_port || (is_upgrade && (new_port == Some(443) || !has_credentials));
    if !is_known_port {
        let todo = format!(
            "that is another port, where another service may listen; if it is the one to read, {set}"
        );
        return Err(refused(&shown, todo));
    }
    let prefix = to.path().trim_end_matches('/').strip_suffix(&format!("/{path}"));
    let Some(prefix) = prefix else {
        let todo = "that is not a page of the API: it is a login page (a program is let in by `token_file`, or `username` and `password_file`), or the path prefix of `prometheus` is wrong";
        return Err(refused(&shown, todo.to_owned()));
    };
    let origin = to.origin().ascii_serialization();
    Ok(format!("{origin}{}", prefix.trim_end_matches('/')))
}

/// An address without user, password, query and fragment.
pub(super) fn without_query(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return String::new() };
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for addresses that have no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "api/v1/query";

    fn base(asked: &str, location: &str, has_credentials: bool) -> Result<String, String> {
        redirected_base(&format!("{asked}/{PATH}"), location, PATH, has_credentials)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn redirects_within_an_origin_and_to_https_are_followed() {
        for (asked, location, expected) in [
            ("http://h:9090", "/prometheus/api/v1/query", "http://h:9090/prometheus"),
            ("http://h:9090", "http://h:9090/s/api/v1/query?query=up", "http://h:9090/s"),
            ("http://h:9090/s", "/api/v1/query", "http://h:9090"),
            ("http://h:9090", "/api/v1/query/", "http://h:9090"),
            ("http://h", "https://h/api/v1/query", "https://h"),
            ("http://h", "https://H:443/p/api/v1/query", "https://h/p"),
            ("http://h:9090", "https://h/api/v1/query", "https://h"),
            ("http://h:9090", "https://h:9090/api/v1/query", "https://h:9090"),
            ("http://[::1]:9090", "https://[::1]/api/v1/query", "https://[::1]"),
            ("http://h:80", "http://h/x/api/v1/query", "http://h/x"),
        ] {
            assert_eq!(base(asked, location, true).as_deref(), Ok(expected), "{asked} {location}");
        }
        let other = base("http://h:8080", "https://h:8443/api/v1/query", false);
        assert_eq!(other.as_deref(), Ok("https://h:8443"));
    }

    #[test]
    fn any_other_redirect_names_both_addresses_and_what_to_do() {
        for (asked, location, why) in [
            ("http://h", "http://evil/api/v1/query", "another server"),
            ("http://h", "//evil/api/v1/query", "another server"),
            ("http://h", "https://h.evil/api/v1/query", "another server"),
            ("http://h:9090", "http://h:9091/api/v1/query", "another port"),
            ("http://h:8080", "https://h:8443/api/v1/query", "another port"),
            ("https://h", "https://h:8443/api/v1/query", "another port"),
            ("https://h", "http://h/api/v1/query", "without encryption"),
            ("http://h", "/login?to=%2Fapi%2Fv1%2Fquery", "login page"),
            ("http://h", "/api/v1/query_range", "login page"),
            ("http://h", "ftp://h/api/v1/query", "without encryption"),
        ] {
            let said = base(asked, location, true).unwrap_err();
            assert!(said.contains(why), "{asked} {location}: {said}");
            assert!(said.starts_with(&format!("{asked}/{PATH} redirects to ")), "{said}");
        }
        let said = base("http://h", "http://user:s3cr3t@h2/api/v1/query?token=s3cr3t#s3cr3t", true);
        assert!(!said.unwrap_err().contains("s3cr3t"));
        assert!(base("http://h", "http://[", true).is_err());
    }
}
