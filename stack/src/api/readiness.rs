//! How an application is told that a socket is ready.

use bitflags::bitflags;

/// The name under which an application is told of a socket. It chooses them itself.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

impl Token {
    /// No name: a socket whose readiness is not told.
    pub const NONE: Self = Self(u64::MAX);
}

bitflags! {
    /// What a socket is ready for.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Readiness: u32 {
        /// Bytes, a datagram, the end of the stream or an error can be read; a connection can be accepted.
        const READABLE = 1;
        /// There is room to write, or an error to be told by writing.
        const WRITABLE = 1 << 1;
        /// The handshake is done.
        const CONNECTED = 1 << 2;
        /// The peer will send no more.
        const READ_CLOSED = 1 << 3;
        /// The connection is over.
        const CLOSED = 1 << 4;
        /// The socket has failed: `take_error` tells why.
        const ERROR = 1 << 5;
        /// An urgent byte is announced or has come (RFC 6093).
        const URGENT = 1 << 6;
    }
}
