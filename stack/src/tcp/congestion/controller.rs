//! What every congestion controller is asked and told.
//!
//! A controller has no clock and sends nothing: it hears of ACKs, losses, timeouts and pauses, and answers how much may
//! be in flight and how fast it may leave. Which segments are lost, and which is sent next, is decided elsewhere; so is
//! how a reduction is spread over its round trip (PRR, RFC 9937).

use super::window::{MSS_MAX, initial};
use super::{Handshake, Timeout};
use crate::time::{Instant, Span};

/// One connection's congestion control. All sizes are bytes of data.
///
/// `flight` is what has been sent, and is neither acknowledged, cumulatively or selectively, nor taken for lost.
pub(crate) trait Controller: Send {
    /// As [`Algorithm`](super::algorithm::Algorithm) spells it.
    fn name(&self) -> &'static str;

    /// How much may be in flight: cwnd, from one segment to 1 GiB. During a fast recovery, and while more than that is in flight after a mark, the connection goes by
    /// PRR instead, unless the controller [owns the recovery](Self::owns_recovery).
    fn window(&self) -> u32;

    /// Below it the window grows exponentially. This is also where PRR takes the window to in a recovery.
    fn ssthresh(&self) -> u32;

    /// Bytes per second at which data should leave. `None`: as the connection paces by default, if it paces at all.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// Whether the window is right in a fast recovery as well: the connection does not run PRR then.
    fn owns_recovery(&self) -> bool {
        false
    }

    /// An ACK has delivered something, in a recovery too.
    fn on_ack(&mut self, ack: &Ack);

    /// What is in flight is too much. `flight` is RFC 5681's FlightSize: what is not acknowledged cumulatively; a controller that [owns the
    /// recovery](Self::owns_recovery) is told what is really in flight. A loss is told once for each recovery, before the ACK that showed it; an ECN echo once
    /// for each round trip.
    fn on_congestion(&mut self, now: Instant, flight: u32, why: Congested);

    /// A recovery ends, a fast one or that after a timeout: everything sent before it began is acknowledged.
    fn on_recovered(&mut self, _now: Instant, _flight: u32) {}

    /// The retransmission timer has fired. This also ends a fast recovery. `flight` is RFC 5681's FlightSize.
    fn on_timeout(&mut self, now: Instant, flight: u32, which: Timeout);

    /// The last loss or timeout that was told was none: nothing was lost. The window goes back to what it was before,
    /// if it is less now. A second call changes nothing, and neither does one for an ECN echo, which is never a mistake.
    fn undo(&mut self, now: Instant);

    /// Data is about to be sent after nothing was for `idle`.
    fn on_idle(&mut self, now: Instant, idle: Span, rto: Span);

    /// From now on segments carry at most `mss` bytes: the path has changed.
    fn on_mss(&mut self, mss: u32);
}

/// An ACK, as far as congestion control is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// Bytes by which a window may grow: those of the delivered ones that an ACK acknowledges cumulatively, unless the path changes the order of segments.
    pub(crate) acked: u32,
    /// Newly known to have arrived, cumulatively or selectively.
    pub(crate) delivered: u32,
    /// In flight before this ACK, with what it has shown to be lost.
    pub(crate) flight: u32,
    /// The window was the limit then: neither the application nor the receiver's window.
    pub(crate) window_limited: bool,
    /// How many bytes were marked CE on their way, as far as is newly known. Classic ECN cannot tell, and says all that were delivered or none.
    pub(crate) marked: u32,
    /// The round trip of what this ACK is for. HyStart++ and BBR want one with every ACK, not one for each round.
    pub(crate) round_trip: Option<Span>,
    /// SRTT (RFC 6298).
    pub(crate) smoothed: Option<Span>,
    /// This ACK is the first of a new round: what was outstanding when the last round began is delivered.
    pub(crate) round_start: bool,
    /// As how many it came: ACKs that arrive together are one.
    pub(crate) acks: u32,
    /// It came during a fast recovery. The slow start after a timeout is none.
    pub(crate) recovery: bool,
    pub(crate) rate: Option<RateSample>,
}

impl Ack {
    /// Whether it may widen a window that goes by losses: a window that was not used is not proved right by it (RFC 7661, section 4.3), and an
    /// ECN-Echo SHOULD NOT widen one (RFC 3168, section 6.1.2).
    pub(super) fn may_widen(&self) -> bool {
        self.window_limited && self.marked == 0 && !self.recovery
    }
}

/// How fast the path delivered the data that an ACK is for (draft-cheng-iccrg-delivery-rate-estimation).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSample {
    /// Delivered over `interval`.
    pub(crate) delivered: u64,
    /// The longer of the times over which this was sent and acknowledged; zero if nothing is to be learnt from it.
    pub(crate) interval: Span,
    /// The application did not offer enough to fill the path for all of it.
    pub(crate) app_limited: bool,
    /// Newly taken for lost since the ACK before this one.
    pub(crate) lost: u64,
    /// Delivered since the connection began.
    pub(crate) total_delivered: u64,
}

/// What a connection knows when its data transfer begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) mss: u32,
    /// Full segments in the initial window (RFC 6928: ten).
    pub(crate) initial_segments: u8,
    pub(crate) handshake: Handshake,
    /// SRTT, from the handshake or from before a rest.
    pub(crate) round_trip: Option<Span>,
}

impl Start {
    /// The window that every controller begins with (RFC 6928, section 2): one segment after a lossy handshake (RFC 5681, section 3.1).
    pub(crate) fn window(self) -> u32 {
        let mss = self.mss.clamp(1, MSS_MAX);
        match self.handshake {
            Handshake::Smooth => initial(mss, self.initial_segments),
            Handshake::Lossy => mss,
        }
    }
}

/// What says that the path is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Congested {
    /// Something sent has not arrived.
    Loss,
    /// Nor has this, but a mark of the same window of data was told before, and both together SHOULD reduce the window once (RFC 3168,
    /// section 6.1.2): as the loss would have done alone.
    LossAfterMark,
    /// A router marked a packet instead of dropping it (ECN, RFC 3168 and 8311).
    Marked,
}
