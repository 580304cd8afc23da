//! The client's half: takes a response apart as its bytes arrive.

use super::body::{Decoder, Framing, Malformed};

/// A response's head, as far as a download needs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) location: Option<String>,
    /// The length of the content, where the server says it.
    pub(crate) length: Option<u64>,
}

/// Reads one response to a GET.
pub(crate) struct ResponseReader {
    state: State,
    /// The beginning of a head that has not arrived whole.
    partial: Vec<u8>,
}

enum State {
    Head,
    Body(Decoder),
    Done,
}

/// One step of reading.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Step<'a> {
    /// Bytes of the input that were used.
    pub(crate) used: usize,
    pub(crate) piece: Piece<'a>,
}

/// What a step brought to light.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Piece<'a> {
    /// Nothing yet.
    Nothing,
    Head(ResponseHead),
    Content(&'a [u8]),
}

/// The response cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadResponse {
    #[error("the server does not speak HTTP/1")]
    NotHttp,
    #[error("the head of the response is longer than 64 KiB or has more than 128 fields")]
    HeadTooLarge,
    #[error("the head of the response says in two ways how long the body is")]
    Ambiguous,
    #[error("the server uses a transfer coding other than chunked")]
    UnknownCoding,
    #[error(transparent)]
    Chunks(#[from] Malformed),
    #[error("the server closed the connection before the head was complete")]
    NoHead,
    #[error("the server closed the connection too early: {0} bytes are missing")]
    Missing(u64),
    #[error("the server closed the connection before the last chunk")]
    NoLastChunk,
}

const MAX_HEAD: usize = 64 << 10;
const MAX_FIELDS: usize = 128;

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self { state: State::Head, partial: Vec::new() }
    }

    /// Whether the response is complete.
    pub(crate) fn is_done(&self) -> bool {
        match &self.state {
            State::Head => false,
            State::Body(body) => body.is_done(),
            State::Done => true,
        }
    }

    /// Takes a first part of `input`. Uses at least one byte unless the response is complete or `input` is empty.
    pub(crate) fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, BadResponse> {
        match &mut self.state {
            State::Head => self.take_head(input),
            State::Body(body) => {
                let step = body.step(input)?;
                let piece = match step.content {
                    [] => Piece::Nothing,
                    content => Piece::Content(content),
                };
                Ok(Step { used: step.used, piece })
            }
            State::Done => Ok(Step { used: 0, piece: Piece::Nothing }),
        }
    }

    /// The server has closed its direction.
    pub(crate) fn input_ended(&mut self) -> Result<(), BadResponse> {
        match &self.state {
            State::Head => Err(BadResponse::NoHead),
            State::Body(Decoder::Length(left)) if *left > 0 => Err(BadResponse::Missing(*left)),
            State::Body(body @ Decoder::Chunked(_)) if !body.is_done() => {
                Err(BadResponse::NoLastChunk)
            }
            _ => {
                self.state = State::Done;
                Ok(())
            }
        }
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, BadResponse> {
        let had = self.partial.len();
        let more = &input[..input.len().min(MAX_HEAD - had)];
        self.partial.extend_from_slice(more);
        let Some((head, framing, len)) = parse(&self.partial)? else {
            if self.partial.len() == MAX_HEAD {
                return Err(BadResponse::HeadTooLarge);
            }
            return Ok(Step { used: more.len(), piece: Piece::Nothing });
        };
        self.partial = Vec::new();
        let used = len - had;
        // Interim responses announce nothing that a download needs (RFC 9110, section 15.2).
        if head.status < 200 {
            return Ok(Step { used, piece: Piece::Nothing });
        }
        self.state = State::Body(Decoder::new(framing));
        Ok(Step { used, piece: Piece::Head(head) })
    }
}

/// The head at the start of `bytes`, the framing of what follows, and the head's length.
fn parse(bytes: &[u8]) -> Result<Option<(ResponseHead, Framing, usize)>, BadResponse> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::HeadTooLarge),
        Err(_) => return Err(BadResponse::NotHttp),
    };
    let values = |name: &'static str| {
        let named =
            parsed.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| String::from_utf8_lossy(field.value).trim().to_owned())
    };
    let status = parsed.code.unwrap_or_default();
    let framing = framing(status, values("content-length"), values("transfer-encoding"))?;
    let head = ResponseHead {
        status,
        reason: parsed.reason.unwrap_or_default().to_owned(),
        location: values("location").next(),
        length: match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        },
    };
    Ok(Some((head, framing, len)))
}

/// How the body of a response to GET is framed (RFC 9112, section 6.3).
fn framing(
    status: u16,
    mut lengths: impl Iterator<Item = String>,
    mut codings: impl Iterator<Item = String>,
) -> Result<Framing, BadResponse> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = codings.next() {
        let chunked = coding.eq_ignore_ascii_case("chunked") && codings.next().is_none();
        return if chunked { Ok(Framing::Chunked) } else { Err(BadResponse::UnknownCoding) };
    }
    let Some(length) = lengths.next() else { return Ok(Framing::UntilClose) };
    if lengths.any(|other| other != length) {
        return Err(BadResponse::Ambiguous);
    }
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| length.parse().ok()).flatten();
    number.map(Framing::Length).ok_or(BadResponse::Ambiguous)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_body_ends_where_its_framing_says() {
        for (name, response, want) in [
            ("length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX", Ok((200, "ok"))),
            (
                "chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                Ok((200, "ok")),
            ),
            ("until close", "HTTP/1.0 200 OK\r\n\r\nok", Ok((200, "ok"))),
            ("none", "HTTP/1.1 204 No Content\r\n\r\n", Ok((204, ""))),
            (
                "behind an interim one",
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                Ok((200, "ok")),
            ),
            (
                "cut off",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
                Err(BadResponse::Missing(3)),
            ),
            (
                "cut off between chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
                Err(BadResponse::NoLastChunk),
            ),
            ("no head", "HTTP/1.1 200 OK\r\n", Err(BadResponse::NoHead)),
            ("another protocol", "220 mail ready\r\n\r\n", Err(BadResponse::NotHttp)),
            (
                "two lengths",
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Err(BadResponse::Ambiguous),
            ),
            (
                "gzip",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                Err(BadResponse::UnknownCoding),
            ),
        ] {
            let want = want.map(|(status, body): (u16, &str)| (status, body.as_bytes().to_vec()));
            assert_eq!(read(response.as_bytes(), 1000), want, "{name}");
        }
    }

    #[test]
    fn a_head_has_a_limit() {
        let endless = "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"x".repeat(MAX_HEAD);
        assert_eq!(read(endless.as_bytes(), 1000), Err(BadResponse::HeadTooLarge));
    }

    proptest! {
        #[test]
        fn no_split_changes_the_response(size in 1_usize..80) {
            let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                5;x\r\nhello\r\n6\r\n world\r\n0\r\nT: u\r\n\r\n";
            prop_assert_eq!(read(response, size), Ok((200, b"hello world".to_vec())));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(response in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&response, 7);
        }
    }

    /// Status and body of a response that arrives in pieces of `size`, followed by the end of the stream.
    fn read(response: &[u8], size: usize) -> Result<(u16, Vec<u8>), BadResponse> {
        let mut reader = ResponseReader::new();
        let (mut status, mut body) = (0, vec![]);
        for mut piece in response.chunks(size) {
            while !piece.is_empty() && !reader.is_done() {
                let step = reader.step(piece)?;
                match step.piece {
                    Piece::Head(head) => status = head.status,
                    Piece::Content(content) => body.extend_from_slice(content),
                    Piece::Nothing => {}
                }
                piece = &piece[step.used..];
            }
        }
        if !reader.is_done() {
            reader.input_ended()?;
        }
        Ok((status, body))
    }
}
