//! What a client counts.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Counts {
    /// Handshakes done.
    pub(crate) opened: u64,
    /// Connections that were opened, used and closed.
    pub(crate) closed: u64,
    /// Responses, datagrams or frames that have come back whole.
    pub(crate) responses: u64,
    /// Payload.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Frames.
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    /// Frames that the device did not take, and that were lost so.
    pub(crate) frames_lost: u64,
    /// Segments sent again, by the clock or after three duplicate ACKs.
    pub(crate) resent: u64,
    /// Connections that the server has reset: refused, or broken off.
    pub(crate) resets: u64,
    /// Connections that the server has closed before it had answered.
    pub(crate) closed_early: u64,
    /// Exchanges that were given up because they took too long.
    pub(crate) abandoned: u64,
    /// Segments that were not the next.
    pub(crate) out_of_order: u64,
    /// Segments of no connection.
    pub(crate) strays: u64,
    /// Responses of HTTP that are not what was asked for.
    pub(crate) bad_responses: u64,
    /// Requests that were due, and were never made.
    pub(crate) not_made: u64,
}

impl Counts {
    /// What has happened since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            opened: self.opened - earlier.opened,
            closed: self.closed - earlier.closed,
            responses: self.responses - earlier.responses,
            bytes_in: self.bytes_in - earlier.bytes_in,
            bytes_out: self.bytes_out - earlier.bytes_out,
            frames_in: self.frames_in - earlier.frames_in,
            frames_out: self.frames_out - earlier.frames_out,
            frames_lost: self.frames_lost - earlier.frames_lost,
            resent: self.resent - earlier.resent,
            resets: self.resets - earlier.resets,
            closed_early: self.closed_early - earlier.closed_early,
            abandoned: self.abandoned - earlier.abandoned,
            out_of_order: self.out_of_order - earlier.out_of_order,
            strays: self.strays - earlier.strays,
            bad_responses: self.bad_responses - earlier.bad_responses,
            not_made: self.not_made - earlier.not_made,
        }
    }
}

/// Latencies in nanoseconds, three digits of each.
pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds are constants that it takes.
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("good bounds")
}
