//! Reads HTTP/1.1 answers as their bytes come (RFC 9112).

/// The answer is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// What one answer has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fed {
    /// Bytes that were used up; the rest must be given again, with more.
    pub(super) used: usize,
    /// Whether the answer is complete.
    pub(super) complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes are to come.
    Length(u64),
    ChunkSize,
    /// So many bytes of a chunk are to come, its line end included.
    Chunk(u64),
    Trailers,
    /// Until the connection ends.
    Rest,
}

/// Reads one answer after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    state: State,
    is_head: bool,
    /// Status of the present answer.
    pub(super) status: u16,
    /// Whether the connection ends with it.
    pub(super) last: bool,
}

/// No head is longer.
const LONGEST_HEAD: usize = 64 << 10;
/// No answer has more header fields.
const MOST_HEADERS: usize = 100;

impl Reader {
    /// `is_head`: answers to HEAD, which announce a body that does not come.
    pub(super) const fn new(is_head: bool) -> Self {
        Self { state: State::Head, is_head, status: 0, last: false }
    }

    /// Whether the end of the connection completes the present answer.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.state == State::Rest
    }

    /// Take bytes of the connection.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<Fed, Broken> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or(&[]);
            let step = match self.state {
                State::Head => self.head(rest)?,
                State::Length(left) => Self::take(rest, left, State::Length, None),
                State::ChunkSize => match httparse::parse_chunk_size(rest) {
                    Ok(httparse::Status::Complete((at, 0))) => (at, Some(State::Trailers), false),
                    Ok(httparse::Status::Complete((at, size))) => {
                        (at, Some(State::Chunk(size.saturating_add(2))), false)
                    }
                    Ok(httparse::Status::Partial) if rest.len() < 1024 => (0, None, false),
                    _ => return Err(Broken),
                },
                State::Chunk(left) => Self::take(rest, left, State::Chunk, Some(State::ChunkSize)),
                State::Trailers => match rest.windows(2).position(|two| two == b"\r\n") {
                    Some(0) => (2, Some(State::Head), true),
                    Some(at) => (at + 2, Some(State::Trailers), false),
                    None if rest.len() < LONGEST_HEAD => (0, None, false),
                    None => return Err(Broken),
                },
                State::Rest => (rest.len(), None, false),
            };
            let (more, next, complete) = step;
            used += more;
            if let Some(next) = next {
                self.state = next;
            }
            if complete {
                self.state = State::Head;
            }
            if complete || next.is_none() {
                return Ok(Fed { used, complete });
            }
        }
    }

    /// Take up to `left` bytes. What follows when all have come: another state,
    /// or the end of the answer.
    fn take(
        rest: &[u8],
        left: u64,
        still: fn(u64) -> State,
        then: Option<State>,
    ) -> (usize, Option<State>, bool) {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left - part as u64;
        match (left, then) {
            (0, None) => (part, Some(State::Head), true),
            (0, then) => (part, then, false),
            _ if part == 0 => (0, None, false),
            _ => (part, Some(still(left)), false),
        }
    }

    fn head(&mut self, rest: &[u8]) -> Result<(usize, Option<State>, bool), Broken> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if rest.len() < LONGEST_HEAD => {
                return Ok((0, None, false));
            }
            _ => return Err(Broken),
        };
        let status = response.code.unwrap_or(0);
        if !(100..600).contains(&status) {
            return Err(Broken);
        }
        // An interim answer; the real one follows.
        if status < 200 && status != 101 {
            return Ok((length, Some(State::Head), false));
        }
        self.status = status;
        self.last = response.version == Some(0);
        let (mut announced, mut chunked) = (None, false);
        for header in response.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or("").trim();
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                announced = Some(value.parse::<u64>().map_err(|_| Broken)?);
            } else if is("transfer-encoding") {
                chunked = value.to_ascii_lowercase().ends_with("chunked");
            } else if is("connection") {
                let value = value.to_ascii_lowercase();
                self.last = value.contains("close") || (self.last && !value.contains("keep-alive"));
            }
        }
        if self.is_head || status == 101 || status == 204 || status == 304 {
            return Ok((length, Some(State::Head), true));
        }
        let next = match (chunked, announced) {
            (true, _) => State::ChunkSize,
            (false, Some(0)) => return Ok((length, Some(State::Head), true)),
            (false, Some(bytes)) => State::Length(bytes),
            (false, None) => {
                self.last = true;
                State::Rest
            }
        };
        Ok((length, Some(next), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feed a text in pieces of every size; how many answers completed.
    fn answers(text: &str, is_head: bool) -> Vec<Vec<u16>> {
        (1..=text.len())
            .map(|piece| {
                let mut reader = Reader::new(is_head);
                let (mut buffer, mut statuses) = (Vec::new(), Vec::new());
                for part in text.as_bytes().chunks(piece) {
                    buffer.extend(part);
                    loop {
                        let fed = reader.feed(&buffer).expect("an answer");
                        buffer.drain(..fed.used);
                        if !fed.complete {
                            break;
                        }
                        statuses.push(reader.status);
                    }
                }
                assert!(buffer.is_empty(), "{piece}: {} bytes left", buffer.len());
                statuses
            })
            .collect()
    }

    #[test]
    fn answers_are_told_apart_in_whatever_pieces_they_come() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
                    HTTP/1.1 204 No Content\r\n\r\n\
                    HTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: t\r\n\r\n\
                    HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
        for statuses in answers(text, false) {
            assert_eq!(statuses, [200, 204, 404, 500]);
        }
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        for statuses in answers(text, true) {
            assert_eq!(statuses, [200]);
        }
    }

    #[test]
    fn an_answer_without_a_length_goes_on_to_the_end() {
        let mut reader = Reader::new(false);
        let fed = reader.feed(b"HTTP/1.0 200 OK\r\n\r\nsome").unwrap();
        assert_eq!(fed, Fed { used: 23, complete: false });
        assert!(reader.ends_with_connection() && reader.last);
    }

    #[test]
    fn what_is_no_answer_is_broken() {
        for text in [
            "SSH-2.0-x\r\n",
            "HTTP/1.1 9 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ] {
            assert_eq!(Reader::new(false).feed(text.as_bytes()), Err(Broken), "{text:?}");
        }
    }

    /// Mutated answers in pieces: no panic, an end, and never more kept than a head has.
    /// `STRESSOR_FUZZ` is the number of inputs.
    #[test]
    fn mutated_answers_do_no_harm() {
        let wanted = std::env::var("STRESSOR_FUZZ").ok().and_then(|text| text.parse().ok());
        let base: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: t\r\n\r\n";
        let parts: [&[u8]; 10] = [
            b"\r\n",
            b"\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"-1",
            b"18446744073709551615",
            b"0\r\n",
            b"\0\xff\xfe",
            b"HTTP/1.1 999 ",
            b"Content-Length: 9\r\n",
            b"Transfer-Encoding: chunked\r\n",
        ];
        let mut seed = 0x5eed_u64;
        let mut below = |most: usize| {
            let number = crate::load::random::next(&mut seed) >> 16;
            usize::try_from(number).unwrap_or(0) % most.max(1)
        };
        for _ in 0..wanted.unwrap_or(2000_u32) {
            let mut bytes = base.to_vec();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                let end = (at + below(20)).min(bytes.len());
                match below(5) {
                    0 => bytes[at] = u8::try_from(below(256)).unwrap(),
                    1 => drop(bytes.drain(at..end)),
                    2 => drop(bytes.splice(at..end, parts[below(parts.len())].iter().copied())),
                    3 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.splice(at..at, std::iter::repeat_n(b'A', below(100_000)))),
                }
                if bytes.is_empty() {
                    bytes.push(b'H');
                }
            }
            let mut reader = Reader::new(below(2) == 0);
            let (mut kept, piece) = (Vec::new(), 1 + below(bytes.len()));
            'connection: for part in bytes.chunks(piece) {
                kept.extend_from_slice(part);
                loop {
                    let Ok(fed) = reader.feed(&kept) else { break 'connection };
                    assert!(fed.used <= kept.len());
                    kept.drain(..fed.used);
                    if !fed.complete {
                        break;
                    }
                }
                assert!(kept.len() < LONGEST_HEAD + 16, "{} bytes kept", kept.len());
            }
        }
    }

    proptest::proptest! {
        /// Of any bytes: no panic, and never more used than given.
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut reader = Reader::new(false);
            let whole = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", bytes.as_slice()].concat();
            if let Ok(fed) = reader.feed(&whole) {
                proptest::prop_assert!(fed.used <= whole.len());
            }
        }
    }
}
