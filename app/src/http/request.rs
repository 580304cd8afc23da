//! The head of a request (RFC 9112, sections 2 to 6): parsed once, in place, and refused where it is ambiguous.

use std::mem::MaybeUninit;

use super::body::Framing;

/// A request's head. Borrows from the bytes it was parsed from: a head that arrives whole is never copied.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Path and query, as sent.
    pub(crate) target: &'a str,
    pub(crate) version: Version,
    /// Whether the connection stays open afterwards.
    pub(crate) persistence: Persistence,
    pub(crate) framing: Framing,
    /// `Expect: 100-continue`: the body comes only after an interim response.
    pub(crate) awaits_continue: bool,
    /// `Accept`, where the client sent one.
    pub(crate) accept: Option<&'a str>,
    pub(crate) conditions: Conditions<'a>,
}

/// The fields that make a request conditional or partial (RFC 9110, sections 13 and 14).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions<'a> {
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
    pub(crate) if_unmodified_since: Option<&'a str>,
    pub(crate) if_range: Option<&'a str>,
    pub(crate) range: Option<&'a str>,
}

/// The methods this server knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    Get,
    Head,
    Put,
    Post,
    /// Any other: answered with 405.
    Other,
}

/// The protocol's minor version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// What happens to the connection after the response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Persistence {
    KeepAlive,
    Close,
}

/// Why a head was refused. The connection closes afterwards: where the next request starts is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// Not HTTP/1, or ambiguous; what exactly.
    BadRequest(&'static str),
    /// The request line is longer than [`MAX_TARGET`] allows.
    TargetTooLong,
    /// The head is longer than [`MAX_HEAD`], or has more than [`MAX_FIELDS`] fields.
    HeadTooLarge,
    /// A transfer coding other than chunked.
    UnknownCoding,
    /// An expectation other than 100-continue.
    UnknownExpectation,
    /// HTTP, but not HTTP/1.
    UnknownVersion,
}

/// The longest head, in bytes.
pub(crate) const MAX_HEAD: usize = 16 << 10;
/// The longest target, in bytes.
pub(crate) const MAX_TARGET: usize = 8 << 10;
/// Most header fields.
pub(crate) const MAX_FIELDS: usize = 64;

impl<'a> Request<'a> {
    /// The head at the start of `bytes` and its length, or `None` if it has not arrived whole.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => {
                Self::from_parsed(&parsed).map(|request| Some((request, len)))
            }
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => Ok(None),
            Ok(_) => Err(too_large(bytes)),
            Err(error) => Err(refusal_of(error)),
        }
    }

    fn from_parsed(parsed: &httparse::Request<'_, 'a>) -> Result<Self, Refusal> {
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Refusal::BadRequest("the request line is not complete"));
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let fields = Fields::gather(parsed.headers)?;
        if version == Version::Http11 && fields.host.is_none() {
            return Err(Refusal::BadRequest("HTTP/1.1 needs one Host field"));
        }
        Ok(Self {
            method: Method::named(method),
            target: origin_form(target)?,
            version,
            persistence: fields.persistence(version),
            framing: fields.framing(version)?,
            awaits_continue: fields.awaits_continue(version)?,
            accept: fields.accept,
            conditions: fields.conditions,
        })
    }
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, section 9.1).
    fn named(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

/// The fields of a head that matter here.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    connection_close: bool,
    connection_keep_alive: bool,
    content_length: Option<u64>,
    transfer_encoding: Option<&'a str>,
    expect: Option<&'a str>,
    accept: Option<&'a str>,
    conditions: Conditions<'a>,
}

impl<'a> Fields<'a> {
    fn gather(headers: &[httparse::Header<'a>]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for header in headers {
            fields.take(header.name, header.value)?;
        }
        Ok(fields)
    }

    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // The first byte sorts out most fields that do not matter, such as User-Agent.
        match name.as_bytes().first().map_or(0, u8::to_ascii_lowercase) {
            b'h' if is("host") => once(&mut self.host, value)?,
            b'c' if is("connection") => self.take_connection(text(value)?),
            b'c' if is("content-length") => self.take_length(text(value)?)?,
            b't' if is("transfer-encoding") => once(&mut self.transfer_encoding, value)?,
            b'e' if is("expect") => once(&mut self.expect, value)?,
            b'a' if is("accept") => self.accept = Some(text(value)?),
            b'r' if is("range") => once(&mut self.conditions.range, value)?,
            b'i' => self.take_condition(name, value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_condition(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        let conditions = &mut self.conditions;
        for (known, slot) in [
            ("if-match", &mut conditions.if_match),
            ("if-none-match", &mut conditions.if_none_match),
            ("if-modified-since", &mut conditions.if_modified_since),
            ("if-unmodified-since", &mut conditions.if_unmodified_since),
            ("if-range", &mut conditions.if_range),
        ] {
            if name.eq_ignore_ascii_case(known) {
                once(slot, value)?;
            }
        }
        Ok(())
    }

    fn take_connection(&mut self, value: &str) {
        for option in value.split(',').map(str::trim) {
            self.connection_close |= option.eq_ignore_ascii_case("close");
            self.connection_keep_alive |= option.eq_ignore_ascii_case("keep-alive");
        }
    }

    /// Several equal lengths are one length; different ones are an attack (RFC 9112, section 6.3).
    fn take_length(&mut self, value: &str) -> Result<(), Refusal> {
        for part in value.split(',').map(str::trim) {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let length: u64 = digits
                .then(|| part.parse().ok())
                .flatten()
                .ok_or(Refusal::BadRequest("Content-Length is not a number"))?;
            if self.content_length.is_some_and(|known| known != length) {
                return Err(Refusal::BadRequest("two different Content-Length values"));
            }
            self.content_length = Some(length);
        }
        Ok(())
    }

    fn persistence(&self, version: Version) -> Persistence {
        let keep = match version {
            Version::Http10 => self.connection_keep_alive,
            Version::Http11 => true,
        };
        if keep && !self.connection_close { Persistence::KeepAlive } else { Persistence::Close }
    }

    fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        let Some(coding) = self.transfer_encoding else {
            return Ok(Framing::Length(self.content_length.unwrap_or(0)));
        };
        if self.content_length.is_some() || version == Version::Http10 {
            return Err(Refusal::BadRequest(
                "Transfer-Encoding beside Content-Length or in HTTP/1.0",
            ));
        }
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(Refusal::UnknownCoding);
        }
        Ok(Framing::Chunked)
    }

    /// HTTP/1.0 clients' expectations are ignored (RFC 9110, section 10.1.1).
    fn awaits_continue(&self, version: Version) -> Result<bool, Refusal> {
        match self.expect {
            Some(_) if version == Version::Http10 => Ok(false),
            Some(expectation) if expectation.eq_ignore_ascii_case("100-continue") => Ok(true),
            Some(_) => Err(Refusal::UnknownExpectation),
            None => Ok(false),
        }
    }
}

fn once<'a>(slot: &mut Option<&'a str>, value: &'a [u8]) -> Result<(), Refusal> {
    match slot.replace(text(value)?) {
        None => Ok(()),
        Some(_) => Err(Refusal::BadRequest("a field that may stand once stands twice")),
    }
}

fn text(value: &[u8]) -> Result<&str, Refusal> {
    str::from_utf8(value).map_err(|_| Refusal::BadRequest("a header field is not text"))
}

/// Path and query of a target in origin or absolute form (RFC 9112, section 3.2). `*` and `host:port` belong to
/// methods that are refused anyway, and pass.
fn origin_form(target: &str) -> Result<&str, Refusal> {
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    let Some((_, rest)) = target.split_once("://").filter(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    }) else {
        return Ok(target);
    };
    Ok(rest.find(['/', '?']).map_or("/", |path| &rest[path..]))
}

fn too_large(bytes: &[u8]) -> Refusal {
    let first_line = &bytes[..bytes.len().min(MAX_TARGET)];
    if first_line.contains(&b'\n') { Refusal::HeadTooLarge } else { Refusal::TargetTooLong }
}

fn refusal_of(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::HeadTooLarge,
        httparse::Error::Version => Refusal::UnknownVersion,
        httparse::Error::HeaderName => Refusal::BadRequest("a header name is malformed"),
        httparse::Error::HeaderValue => Refusal::BadRequest("a header value is malformed"),
        _ => Refusal::BadRequest("the request line is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_never_ambiguous() {
        let bad = Refusal::BadRequest;
        for (fields, want) in [
            ("", Ok(Framing::Length(0))),
            ("Content-Length: 7\r\n", Ok(Framing::Length(7))),
            ("Content-Length: 7, 7\r\n", Ok(Framing::Length(7))),
            ("Content-Length: 7\r\ncontent-length: 7\r\n", Ok(Framing::Length(7))),
            ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Refusal::UnknownCoding)),
            (
                "Content-Length: 7\r\nContent-Length: 8\r\n",
                Err(bad("two different Content-Length values")),
            ),
            ("Content-Length: +7\r\n", Err(bad("Content-Length is not a number"))),
            (
                "Content-Length: 99999999999999999999\r\n",
                Err(bad("Content-Length is not a number")),
            ),
            (
                "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
                Err(bad("Transfer-Encoding beside Content-Length or in HTTP/1.0")),
            ),
        ] {
            let head = format!("PUT /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let got = Request::parse(head.as_bytes()).map(|parsed| parsed.unwrap().0.framing);
            assert_eq!(got, want, "{fields:?}");
        }
    }

    #[test]
    fn the_connection_stays_open_as_the_version_says() {
        use Persistence::*;
        for (line, fields, want) in [
            ("HTTP/1.1", "", KeepAlive),
            ("HTTP/1.1", "Connection: close\r\n", Close),
            ("HTTP/1.1", "Connection: TE, Close\r\n", Close),
            ("HTTP/1.0", "", Close),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", KeepAlive),
        ] {
            let head = format!("GET / {line}\r\nHost: h\r\n{fields}\r\n");
            let (request, _) = Request::parse(head.as_bytes()).unwrap().unwrap();
            assert_eq!(request.persistence, want, "{line} {fields:?}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(MAX_TARGET));
        let long_head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(MAX_FIELDS));
        let endless = "G".repeat(MAX_HEAD);
        for (name, head, want) in [
            (
                "no host",
                "GET / HTTP/1.1\r\n\r\n",
                Refusal::BadRequest("HTTP/1.1 needs one Host field"),
            ),
            (
                "two hosts",
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                Refusal::BadRequest("a field that may stand once stands twice"),
            ),
            ("HTTP/2", "PRI * HTTP/2.0\r\n\r\n", Refusal::UnknownVersion),
            ("TLS", "\x16\x03\x01\x02", Refusal::BadRequest("the request line is malformed")),
            (
                "expectation",
                "GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n",
                Refusal::UnknownExpectation,
            ),
            ("target", &long_target, Refusal::TargetTooLong),
            ("head", &long_head, Refusal::HeadTooLarge),
            ("fields", &many, Refusal::HeadTooLarge),
            ("no line end", &endless, Refusal::TargetTooLong),
        ] {
            assert_eq!(Request::parse(head.as_bytes()).map(|_| ()), Err(want), "{name}");
        }
    }

    #[test]
    fn absolute_targets_lose_their_authority() {
        for (target, want) in [
            ("/a?b", "/a?b"),
            ("http://host:80/a?b", "/a?b"),
            ("HTTP://host", "/"),
            ("http://host?q", "?q"),
            ("/a://b", "/a://b"),
        ] {
            assert_eq!(origin_form(target), Ok(want), "{target}");
        }
    }
}
