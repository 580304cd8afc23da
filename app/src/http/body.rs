//! The framing of message bodies (RFC 9112, section 6): where the content is, and where it ends.

/// How a head says its body is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// So many bytes; a request without a body has zero.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the peer closes; responses only.
    UntilClose,
}

/// Takes a body apart as its bytes arrive, however they are split.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// Bytes of a body with a known length that are still to come.
    Length(u64),
    /// The chunked coding's state.
    Chunked(Chunked),
    /// Ends when the peer closes.
    UntilClose,
}

/// One step of decoding: how many bytes of the input were used, and which of them are content.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Step<'a> {
    /// Bytes of the input that this step consumed.
    pub(crate) used: usize,
    /// The content among them.
    pub(crate) content: &'a [u8],
}

/// The bytes are not the chunked coding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the chunked coding of the body is broken")]
pub(crate) struct Malformed;

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether the whole body has been seen.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == State::Done,
            Self::UntilClose => false,
        }
    }

    /// Decodes a first part of `input`. Uses at least one byte unless the body is done or `input` is empty.
    pub(crate) fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Malformed> {
        match self {
            Self::Length(left) => {
                let content = up_to(input, *left);
                *left -= content.len() as u64;
                Ok(Step { used: content.len(), content })
            }
            Self::Chunked(chunked) => chunked.step(input),
            Self::UntilClose => Ok(Step { used: input.len(), content: input }),
        }
    }
}

/// The chunked coding (RFC 9112, section 7.1). Extensions and trailers are skipped, and limited.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// Bytes of sizes, extensions and trailers that may still come before content does: overhead has a bound.
    overhead: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::SizeStart, overhead: MAX_OVERHEAD }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before the first digit of a chunk's size.
    SizeStart,
    /// Within the digits.
    Size(u64),
    /// Behind the digits: white space and extensions, until the line ends.
    Extension(u64),
    /// Within the content.
    Content(u64),
    /// The CR, then the LF behind a chunk's content.
    ContentCr,
    ContentLf,
    /// At the start of a trailer line; a bare line end here ends the body.
    TrailerStart,
    /// A CR at the start of a trailer line.
    TrailerEnd,
    /// Within a trailer line.
    Trailer,
    Done,
}

impl Chunked {
    fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Malformed> {
        let mut used = 0;
        while self.state != State::Done {
            if let State::Content(left) = self.state {
                let content = up_to(&input[used..], left);
                if content.is_empty() {
                    break;
                }
                let left = left - content.len() as u64;
                self.state = if left == 0 { State::ContentCr } else { State::Content(left) };
                self.overhead = MAX_OVERHEAD;
                return Ok(Step { used: used + content.len(), content });
            }
            let Some(&byte) = input.get(used) else { break };
            self.overhead = self.overhead.checked_sub(1).ok_or(Malformed)?;
            self.state = self.state.after(byte)?;
            used += 1;
        }
        Ok(Step { used, content: &[] })
    }
}

impl State {
    /// The state after a byte that is not content.
    fn after(self, byte: u8) -> Result<Self, Malformed> {
        Ok(match (self, byte) {
            (Self::SizeStart, _) => Self::Size(digit(byte).ok_or(Malformed)?),
            (Self::Size(size), b'\n') => Self::behind_size_line(size),
            (Self::Size(size), b'\r' | b' ' | b'\t' | b';') => Self::Extension(size),
            (Self::Size(size), _) => {
                // 2^60 bytes are enough for anyone, and leave room for the next digit.
                let size = (size < 1 << 56).then_some(size).ok_or(Malformed)?;
                Self::Size(size * 16 + digit(byte).ok_or(Malformed)?)
            }
            (Self::Extension(size), b'\n') => Self::behind_size_line(size),
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::ContentCr, b'\r') => Self::ContentLf,
            (Self::ContentCr | Self::ContentLf, b'\n') => Self::SizeStart,
            (Self::TrailerStart, b'\r') => Self::TrailerEnd,
            (Self::TrailerStart | Self::TrailerEnd, b'\n') => Self::Done,
            (Self::TrailerStart | Self::Trailer, _) => {
                if byte == b'\n' {
                    Self::TrailerStart
                } else {
                    Self::Trailer
                }
            }
            _ => return Err(Malformed),
        })
    }

    fn behind_size_line(size: u64) -> Self {
        if size == 0 { Self::TrailerStart } else { Self::Content(size) }
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// The first `limit` bytes of `input`, or all of it.
fn up_to(input: &[u8], limit: u64) -> &[u8] {
    let len = usize::try_from(limit).unwrap_or(usize::MAX).min(input.len());
    &input[..len]
}

/// Most bytes of framing that may follow one another: a size line, extensions, trailers.
const MAX_OVERHEAD: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_are_content_and_the_rest_is_framing() {
        for (name, input, want) in [
            ("one chunk", "5\r\nhello\r\n0\r\n\r\n", Ok(("hello", "", true))),
            ("two chunks", "1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", Ok(("a0123456789", "", true))),
            ("an extension", "1;name=\"v\"\r\na\r\n0\r\n\r\n", Ok(("a", "", true))),
            ("trailers", "0\r\nX: y\r\nZ: w\r\n\r\n", Ok(("", "", true))),
            ("bare line feeds", "1\na\n0\n\n", Ok(("a", "", true))),
            ("the next request is not touched", "0\r\n\r\nGET", Ok(("", "GET", true))),
            ("not finished", "5\r\nhel", Ok(("hel", "", false))),
            ("no size", "\r\n", Err(Malformed)),
            ("a size that is none", "xyz\r\n", Err(Malformed)),
            ("a size with a sign", "+5\r\nhello", Err(Malformed)),
            ("a size beyond reason", "fffffffffffffffff\r\n", Err(Malformed)),
            ("content longer than its size", "1\r\nab\r\n", Err(Malformed)),
        ] {
            let got = decode(input.as_bytes(), &[]);
            let want = want.map(|(content, rest, done)| (content.into(), rest.into(), done));
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn overhead_has_a_bound() {
        let endless = "1;".to_owned() + &"x".repeat(MAX_OVERHEAD);
        assert_eq!(decode(endless.as_bytes(), &[]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_split_changes_the_content(cuts in proptest::collection::vec(0_usize..60, 0..8)) {
            let input = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\nGET / HTTP/1.1\r\n";
            prop_assert_eq!(decode(input, &cuts), decode(input, &[]));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&input, &[]);
        }
    }

    /// Content, what is behind the body, and whether it ended; `input` is cut at each of `cuts`.
    fn decode(input: &[u8], cuts: &[usize]) -> Result<(String, String, bool), Malformed> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.min(&input.len())).collect();
        cuts.push(input.len());
        cuts.sort_unstable();
        let mut decoder = Decoder::new(Framing::Chunked);
        let mut content = vec![];
        let mut at = 0;
        for cut in cuts {
            while at < cut && !decoder.is_done() {
                let step = decoder.step(&input[at..cut])?;
                content.extend_from_slice(step.content);
                at += step.used;
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&content), text(&input[at..]), decoder.is_done()))
    }
}
