//! Bodies of good answers, up to a ceiling.

use reqwest::Response;

use super::{
    super::decode::{self, Reply},
    LARGEST_ANSWER,
    error::Error,
    problem::{self, page_error},
    transport::unreachable,
};

/// A small answer as a whole.
///
/// # Errors
/// When it breaks off or is too large.
pub(super) async fn whole(mut response: Response, url: String) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&url, &error))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Error::TooLarge { url });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Series, decoded on a thread of their own while they arrive.
///
/// # Errors
/// When the answer breaks off, is too large, or is not data.
pub(super) async fn series(mut response: Response, url: String) -> Result<Reply, Error> {
    let (chunks, arrived) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
    let reader = Chunks { arrived, current: Vec::new(), at: 0 };
    let decoding = tokio::task::spawn_blocking(move || decode::reply(reader));
    let mut length = 0;
    let received = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                length += chunk.len();
                if length > LARGEST_ANSWER {
                    break Err(Error::TooLarge { url: url.clone() });
                }
                // Nobody reads any more: what was read is no data, and why is said
                // below.
                if chunks.send(chunk.to_vec()).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(unreachable(&url, &error)),
        }
    };
    drop(chunks);
    let decoded = decoding.await;
    received?;
    match decoded {
        Ok(reply) => reply.map_err(|source| not_data(url, source)),
        Err(error) => Err(Error::Client(format!("the decoding ended: {error}"))),
    }
}

/// Why a body with a good status holds no series.
fn not_data(url: String, source: decode::Error) -> Error {
    match &source {
        // Without a content type that says so.
        decode::Error::Foreign { body, .. } if problem::page(body).is_some() => {
            page_error(url, body)
        }
        // A proxy that answers 200 to everything.
        decode::Error::Refused { message, .. } => match problem::limit_of(message) {
            Some(limit) => Error::Limit { url, limit, why: source.to_string() },
            None => Error::Decode { url, source },
        },
        decode::Error::Foreign { .. } => Error::Decode { url, source },
    }
}

/// Chunks of a body as they arrive, for a reader that waits.
struct Chunks {
    arrived: tokio::sync::mpsc::Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl std::io::Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at >= self.current.len() {
            match self.arrived.blocking_recv() {
                Some(next) => (self.current, self.at) = (next, 0),
                None => return Ok(0),
            }
        }
        let rest = self.current.get(self.at..).unwrap_or(&[]);
        let taken = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), rest.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.at += taken;
        Ok(taken)
    }
}
