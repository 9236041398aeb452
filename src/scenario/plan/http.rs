//! What an http worker does.

use std::{path::PathBuf, time::Duration};

use super::Target;

/// The work of an http worker.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpWork {
    /// What is requested; `None` for a server of its own.
    pub url: Option<Url>,
    /// Be a server at this address.
    pub listen: Option<Target>,
    /// `GET` and its like.
    pub method: &'static str,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// File with more headers.
    pub header_file: Option<PathBuf>,
    /// Body of each request.
    pub body: String,
    /// File with the body of each request.
    pub body_file: Option<PathBuf>,
    /// Speak HTTP/2, or else 1.1.
    pub http2: bool,
    /// Connections of each worker.
    pub connections: u32,
    /// Requests in flight on each connection.
    pub streams: u32,
    /// Send many requests over one connection.
    pub keep_alive: bool,
    /// Time for one request.
    pub timeout: Duration,
    /// PEM file with authorities.
    pub ca_file: Option<PathBuf>,
    /// Trust any certificate.
    pub insecure: bool,
    /// When requests are due; `None` for a closed loop.
    pub arrival: Option<Arrival>,
}

/// An address to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// https, or else http.
    pub tls: bool,
    /// Host and port.
    pub target: Target,
    /// Path and query, from `/`.
    pub path: String,
    /// Whether the port is the scheme's own and need not be said.
    pub plain_port: bool,
}

impl Url {
    /// Read `http://host:port/path?query`, without a user.
    pub fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if authority.contains('@') || text.contains(odd) {
            return None;
        }
        let own_port = if tls { 443 } else { 80 };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let target = if has_port {
            Target::parse(authority)?
        } else {
            Target::parse(&format!("{authority}:{own_port}"))?
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let plain_port = target.port == own_port;
        Some(Self { tls, target, path, plain_port })
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let full = self.target.to_string();
        match full.rsplit_once(':') {
            Some((host, _)) if self.plain_port => host.to_owned(),
            _ => full,
        }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// When requests are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// How many per second, over time.
    pub rate: Rate,
    /// At random distances (a Poisson process), or else at even ones.
    pub poisson: bool,
}

/// Requests per second of each worker over the time of a phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// The same all the time.
    Constant(f64),
    /// From one to the other over the phase.
    Ramp {
        /// At its beginning.
        from: f64,
        /// At its end.
        to: f64,
    },
    /// Bursts.
    Spike {
        /// Between them.
        base: f64,
        /// During them.
        peak: f64,
        /// From the end of one to the end of the next.
        every: Duration,
        /// Length of one.
        length: Duration,
    },
}

impl Rate {
    /// The rate at the beginning, which a ramp of the rate replaces.
    pub const fn base_mut(&mut self) -> &mut f64 {
        match self {
            Self::Constant(base) | Self::Ramp { from: base, .. } | Self::Spike { base, .. } => base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_put_together() {
        let url = Url::parse("http://web.internal:8080/a/b?c=d#e").unwrap();
        assert_eq!((url.target.host.as_str(), url.target.port), ("web.internal", 8080));
        assert_eq!(url.path, "/a/b?c=d");
        assert_eq!(url.to_string(), "http://web.internal:8080/a/b?c=d");
        let url = Url::parse("https://[::1]?q").unwrap();
        assert_eq!((url.target.port, url.path.as_str(), url.tls), (443, "/?q", true));
        assert_eq!(url.authority(), "[::1]");
        assert_eq!(Url::parse("http://127.0.0.1").unwrap().authority(), "127.0.0.1");
        for wrong in ["", "ftp://x", "http://", "http://u:p@h/", "http://h/a b", "http://h:x/"] {
            assert_eq!(Url::parse(wrong), None, "{wrong:?}");
        }
    }
}
