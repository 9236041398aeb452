//! The HTTP client itself: time limits, headers, and TLS where it is needed.

use std::{error::Error as _, sync::OnceLock, time::Duration};

use reqwest::{
    Certificate, Identity,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{super::secrets, error::Error};
use crate::scenario::plan::Telemetry;

/// reqwest panics when no TLS is installed; installing it twice is refused,
/// which does no harm.
pub fn prepare_tls() {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client for this base address. Redirects are the caller's to follow. Without
/// https the authorities of the machine are not read: it may have none.
///
/// # Errors
/// When a certificate cannot be read, or there are no authorities for https.
pub(super) fn http_client(base: &str, telemetry: &Telemetry) -> Result<reqwest::Client, Error> {
    prepare_tls();
    let is_https = base.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let mut builder = reqwest::Client::builder()
        .timeout(telemetry.timeout)
        .connect_timeout(telemetry.timeout.min(Duration::from_secs(5)))
        .redirect(Policy::none())
        .user_agent(concat!("stressor/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers(&telemetry.headers)?);
    match &telemetry.ca_file {
        Some(path) => builder = builder.tls_certs_only(certificates(path)?),
        None if !is_https => builder = builder.tls_certs_only([]),
        None => (),
    }
    if let (Some(certificate), Some(key)) = (&telemetry.cert_file, &telemetry.key_file) {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(|error| {
        let why = causes(&error);
        if why.contains("No CA certificates") {
            return Error::NoAuthorities { url: base.to_owned() };
        }
        Error::Client(why)
    })
}
/// The error of a request that got no answer.
pub(super) fn unreachable(url: &str, error: &reqwest::Error) -> Error {
    Error::Unreachable { url: url.to_owned(), why: causes(error), hung: error.is_timeout() }
}

/// An error with its causes: reqwest's own text says only that sending failed.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    // What openssl makes by default, and rustls does not take for a server's.
    if text.contains("CaUsedAsEndEntity") {
        text.push_str(
            "; the server's certificate is marked as an authority: make it with basicConstraints=CA:FALSE, or have an authority sign it",
        );
    }
    // Which alert a server sends is its library's choice, and the connection can
    // be gone before it is read.
    let closed = [
        "alert: CertificateRequired",
        "alert: BadCertificate",
        "connection closed",
        "broken pipe",
        "Broken pipe",
        "reset by peer",
    ];
    let is_tls = error.url().is_some_and(|url| url.scheme() == "https");
    if is_tls && closed.iter().any(|sign| text.contains(sign)) {
        text.push_str(
            "; does the server want to see a client certificate that it trusts? Then set `cert_file` and `key_file`",
        );
    }
    text
}

/// What the client shows to a server that asks who it is.
fn identity(certificate: &std::path::Path, key: &std::path::Path) -> Result<Identity, Error> {
    let mut pem = secrets::file("certificate", certificate)?;
    pem.push('\n');
    pem.push_str(&secrets::file("key", key)?);
    Identity::from_pem(pem.as_bytes()).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        Error::Client(format!("{certificate} and {key}: {}", causes(&error)))
    })
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let bad = || Error::Client(format!("header {name:?} cannot be sent"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

/// The certificates of a PEM file. reqwest takes a file without any for a
/// valid one and fails at the first request, so it is read here.
fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, Error> {
    let text = secrets::file("CA", path)?;
    let none = || Error::NoCertificate { path: path.display().to_string() };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = certificates.map_err(|_| none())?;
    if certificates.is_empty() {
        return Err(none());
    }
    certificates
        .iter()
        .map(|der| Certificate::from_der(der).map_err(|error| Error::Client(causes(&error))))
        .collect()
}
