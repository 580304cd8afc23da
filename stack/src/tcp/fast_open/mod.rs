//! TCP Fast Open (RFC 7413): data on the SYN, for peers who have shown before that they are where they say. It saves them a round trip.
//!
//! A server's cookie proves that: the client asks for it on one connection and brings it with the next. What a SYN brings may come twice, if the network
//! doubles it or a server forgets; so applications ask for it, on either side, and neither listens nor connects so by default.

mod client;
mod cookie;
mod server;

pub(super) use client::{Asking, Cookies};
pub(super) use cookie::CookieKey;
pub(super) use server::{Early, Welcome};

/// What a connection keeps of it until its handshake is complete.
pub(super) enum FastOpen {
    /// Our SYN asks for more than a connection.
    Asking(Asking),
    /// The connection was made before its handshake is complete.
    Early(#[expect(dead_code, reason = "held for what follows when it is dropped")] Early),
}

#[cfg(test)]
mod tests;
