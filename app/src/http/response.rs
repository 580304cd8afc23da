//! The head of a response (RFC 9112, section 4), written straight into the bytes to send.

use std::fmt::Display;
use std::io::Write;

use super::request::{Persistence, Refusal, Version};

/// The statuses this server answers with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    Ok,
    PartialContent,
    MovedPermanently,
    NotModified,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PreconditionFailed,
    ContentTooLarge,
    UriTooLong,
    RangeNotSatisfiable,
    ExpectationFailed,
    HeaderFieldsTooLarge,
    InternalServerError,
    NotImplemented,
    VersionNotSupported,
}

impl Status {
    /// Code and reason phrase, as they stand in the status line.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UriTooLong => "414 URI Too Long",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
            Self::InternalServerError => "500 Internal Server Error",
            Self::NotImplemented => "501 Not Implemented",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadRequest(_) => Self::BadRequest,
            Refusal::TargetTooLong => Self::UriTooLong,
            Refusal::HeadTooLarge => Self::HeaderFieldsTooLarge,
            Refusal::UnknownCoding => Self::NotImplemented,
            Refusal::UnknownExpectation => Self::ExpectationFailed,
            Refusal::UnknownVersion => Self::VersionNotSupported,
        }
    }
}

/// What every head says besides its status: who asked how, and the date.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The version the client speaks. We answer as HTTP/1.1, and say `keep-alive` aloud where 1.0 needs it.
    pub(crate) version: Version,
    pub(crate) persistence: Persistence,
    /// An IMF-fixdate.
    pub(crate) date: &'a str,
}

/// A response head being written. Nothing is complete before [`Head::end`].
#[must_use = "a head without its empty line is not a head"]
pub(crate) struct Head<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Head<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>, status: Status, context: Context<'_>) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"\r\n");
        let head = Self { out }.text("Server", "darner").text("Date", context.date);
        match (context.persistence, context.version) {
            (Persistence::Close, _) => head.text("Connection", "close"),
            (Persistence::KeepAlive, Version::Http10) => head.text("Connection", "keep-alive"),
            (Persistence::KeepAlive, Version::Http11) => head,
        }
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn field(self, name: &str, value: impl Display) -> Self {
        write!(self.out, "{name}: {value}\r\n").expect("memory takes every write");
        self
    }

    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The interim response that asks for a body (RFC 9110, section 15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
