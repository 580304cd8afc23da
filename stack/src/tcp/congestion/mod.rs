//! Congestion control: how much may be on its way at once.
//!
//! The algorithms see events and keep a window. When a segment counts as lost, and which one is sent next, is
//! decided elsewhere.

#[expect(dead_code, reason = "no connection uses a controller yet")]
pub(crate) mod controller;
pub(crate) mod reno;

#[cfg_attr(not(test), expect(dead_code, reason = "no connection uses a controller yet"))]
mod cubic;
#[cfg_attr(not(test), expect(dead_code, reason = "no connection uses a controller yet"))]
mod dctcp;
mod hystart;
mod new_reno;
mod rounds;
mod window;

#[cfg(test)]
mod fixture;

use std::time::Duration;

/// One connection's congestion window. All sizes are bytes of data.
///
/// `flight` is what has been sent and not yet acknowledged (RFC 5681's FlightSize).
pub(crate) trait Congestion: Send {
    /// How much may be in flight.
    fn window(&self) -> u32;

    /// `acked` bytes of new data were acknowledged, outside of recovery; `flight` is from before that.
    fn on_ack(&mut self, acked: u32, flight: u32);

    /// Fast retransmit has found a loss, and recovery begins. `flight` leaves out what limited transmit sent.
    fn on_loss(&mut self, flight: u32);

    /// In recovery, another duplicate ACK: a segment has left the network.
    fn on_duplicate_ack(&mut self);

    /// In recovery, an ACK for `acked` bytes of new data that does not yet end it.
    fn on_partial_ack(&mut self, acked: u32);

    /// Recovery ends: everything sent before it began is acknowledged. `flight` is what is left.
    fn on_recovered(&mut self, flight: u32);

    /// The retransmission timer has fired. This also ends recovery.
    fn on_timeout(&mut self, flight: u32, which: Timeout);

    /// Data is about to be sent after nothing was for `idle`.
    fn on_idle(&mut self, idle: Duration, rto: Duration);

    /// From now on segments carry at most `mss` bytes: the path has changed.
    fn on_mss(&mut self, mss: u32);
}

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
