//! Congestion control: how much may be on its way at once.
//!
//! The algorithms see events and keep a window. When a segment counts as lost, and which one is sent next, is
//! decided elsewhere.

pub(crate) mod algorithm;
pub(crate) mod any_controller;
pub(crate) mod controller;

mod bbr;
mod cubic;
mod dctcp;
mod filter;
mod hystart;
mod new_reno;
mod rounds;
mod window;

#[cfg(test)]
mod any_events;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod path;
#[cfg(test)]
mod paths;

pub(crate) use window::LARGEST;

/// Which timeout it is for the oldest segment in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timeout {
    First,
    /// Its retransmission by timeout was lost too.
    Again,
}

/// How the handshake went, as far as the initial window is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Handshake {
    /// The SYN or SYN-ACK was sent at most twice. One retransmission proves nothing: the initial timeout
    /// may have been too short for the path (RFC 6928, section 2).
    Smooth,
    Lossy,
}
