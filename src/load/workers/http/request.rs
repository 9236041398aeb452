//! What is sent.

use std::{fs, io};

use crate::scenario::plan::{HttpWork, Url};

/// A request with what the scenario keeps in files.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    keep_alive: bool,
}

impl Request {
    /// # Errors
    /// When a file cannot be read, or holds a line that is no header.
    pub(super) fn read(work: &HttpWork) -> io::Result<Self> {
        let mut headers = work.headers.clone();
        if let Some(path) = &work.header_file {
            for line in fs::read_to_string(path)?.lines().filter(|line| !line.trim().is_empty()) {
                let (name, value) = line
                    .split_once(':')
                    .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        let body = match &work.body_file {
            Some(path) => fs::read(path)?,
            None => work.body.clone().into_bytes(),
        };
        Ok(Self { method: work.method, headers, body, keep_alive: work.keep_alive })
    }

    /// All bytes of an HTTP/1.1 request.
    pub(super) fn head(&self, url: &Url) -> Wire {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, url.path);
        let has =
            |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut add = |name: &str, value: &str| {
            head.push_str(&format!("{name}: {value}\r\n"));
        };
        if !has("host") {
            add("Host", &url.authority());
        }
        if !has("user-agent") {
            add("User-Agent", concat!("stressor/", env!("CARGO_PKG_VERSION")));
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        let needs_length = !self.body.is_empty() || matches!(self.method, "POST" | "PUT" | "PATCH");
        if needs_length && !has("content-length") {
            add("Content-Length", &self.body.len().to_string());
        }
        if !self.keep_alive && !has("connection") {
            add("Connection", "close");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        Wire { bytes, is_head: self.method == "HEAD" }
    }
}

/// A request as it goes over the wire.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
    /// Whether the answer has no body.
    pub(super) is_head: bool,
}
