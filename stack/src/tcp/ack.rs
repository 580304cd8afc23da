//! The fifth step of section 3.10.7.4: what a segment acknowledges, and the window it offers.

use std::ops::ControlFlow::Continue;
use std::time::Duration;

use super::arrive::{Step, done, dropped};
use super::connection::{Connection, Context};
use super::isn::timestamp;
use super::segment::Segment;
use super::seq::Seq;
use super::state::{Event, State};
use crate::api::Readiness;
use crate::drops::Drop;
use crate::time::Instant;
use crate::wire::tcp::Flags;

impl Connection {
    /// Fifth: check the ACK field.
    pub(super) fn process_ack(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        if !segment.has(Flags::ACK) {
            return dropped(Drop::TcpNoAck);
        }
        if self.state == State::SynReceived {
            self.complete_handshake(cx, segment)?;
        }
        self.check_ack_range(cx, segment)?;
        self.keepalive_answered(cx.now());
        if segment.ack.follows(self.snd.una) {
            self.new_ack(cx, segment);
        } else if self.is_duplicate_ack(segment) {
            self.duplicate_ack(cx);
        }
        self.update_window(segment);
        if !self.is_outstanding() && self.retries > 0 {
            self.window_answered();
        }
        self.after_fin_acked(cx)
    }

    /// In SYN-RECEIVED the segment must acknowledge our SYN, or it is reset.
    fn complete_handshake(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        let wanted = segment.ack.follows(self.snd.una) && segment.ack.at_or_before(self.snd.max);
        if !wanted {
            self.reset_for(cx, segment);
            return dropped(Drop::TcpAckUnacceptable);
        }
        self.advance(Event::SynAcked);
        self.take_window(segment);
        self.established(cx);
        Continue(())
    }

    /// An ACK of what was not sent, or of what is older than any segment still on its way can be, is not from our peer
    /// or of this connection (RFC 5961, section 5): it is answered and dropped.
    fn check_ack_range(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        let oldest = self.snd.una - self.snd.max_wnd;
        if segment.ack.at_or_before(self.snd.max) && segment.ack.at_or_after(oldest) {
            return Continue(());
        }
        self.challenge(cx);
        dropped(Drop::TcpAckUnacceptable)
    }

    /// Something new is acknowledged.
    fn new_ack(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        let ack = segment.ack;
        self.measure_round_trip(cx, segment);
        // The SYN is no data: it says nothing about the congestion window.
        let acked = ack.offset_from(self.snd.una.later(self.snd.iss + 1));
        let flight = self.flight();
        self.release_up_to(ack);
        self.snd.una = ack;
        self.snd.nxt = self.snd.nxt.later(ack);
        self.recover(cx, acked, flight);
        self.retries = 0;
        self.soft_error = None;
        self.rewind_timers(cx);
        if self.socket.send.released() > 0 {
            self.socket.raise(&mut cx.net.mailboxes, Readiness::WRITABLE);
        }
    }

    /// Gives what was acknowledged back to the application: the SYN and the FIN are not in the ring.
    fn release_up_to(&mut self, ack: Seq) {
        let first = self.seq_at(self.socket.send.released());
        if ack.follows(first) {
            let position = self.position_of(ack);
            self.socket.send.release(position);
        }
    }

    /// Rules 5.2 and 5.3 of RFC 6298: the timer starts anew while anything is outstanding, and stops else.
    fn rewind_timers(&mut self, cx: &Context<'_>) {
        self.deadlines.give_up = Instant::FAR_FUTURE;
        self.deadlines.retransmit = Instant::FAR_FUTURE;
        if self.is_outstanding() {
            self.watch_outstanding(cx);
        }
    }

    /// One sample for each round trip (RFC 6298, section 3): of a segment that was sent once, by our own clock, which is
    /// finer than a timestamp's. While something is being sent again, by the clock that the peer echoes, which cannot
    /// mistake one transmission for another (RFC 7323, section 4).
    fn measure_round_trip(&mut self, cx: &Context<'_>, segment: &Segment) {
        let limits = cx.config.rto_limits();
        if let Some(round_trip) = self.stopwatch.stop(segment.ack, cx.now()) {
            self.rtt.sample(&limits, round_trip, 1);
            return;
        }
        let repairing = self.retries > 0 || self.recovery.active;
        let enabled = self.timestamps.enabled && repairing;
        if let Some(timestamps) = segment.timestamps().filter(|_| enabled) {
            let elapsed = timestamp(cx.now(), self.timestamps.offset).wrapping_sub(timestamps.echo);
            if elapsed < ECHO_MAX_MS {
                self.rtt.sample(&limits, Duration::from_millis(elapsed.max(1).into()), 1);
            }
        }
    }

    /// RFC 5681, section 2: five conditions.
    fn is_duplicate_ack(&self, segment: &Segment) -> bool {
        self.is_outstanding()
            && segment.len() == 0
            && segment.ack == self.snd.una
            && self.scaled_window(segment) == self.snd.wnd
            && self.snd.wnd > 0
    }

    /// The window is taken from segments that are not older than the one that it was taken from last.
    fn update_window(&mut self, segment: &Segment) {
        let (wl1, wl2) = (self.snd.wl1, self.snd.wl2);
        let current = segment.ack.at_or_after(self.snd.una);
        let newer =
            wl1.precedes(segment.seq) || (wl1 == segment.seq && wl2.at_or_before(segment.ack));
        if current && newer {
            self.take_window(segment);
        }
    }

    pub(super) fn take_window(&mut self, segment: &Segment) {
        self.snd.wnd = self.scaled_window(segment);
        self.snd.max_wnd = self.snd.max_wnd.max(self.snd.wnd);
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = segment.ack;
    }

    fn scaled_window(&self, segment: &Segment) -> u32 {
        let shift = if segment.has(Flags::SYN) { 0 } else { self.snd.wnd_shift };
        u32::from(segment.window) << shift
    }

    /// What the states after our FIN make of its acknowledgement.
    fn after_fin_acked(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.is_fin_acked() {
            return Continue(());
        }
        match self.state {
            State::FinWait1 => self.advance(Event::FinAcked),
            State::Closing | State::LastAck => {
                self.advance(Event::FinAcked);
                self.socket.end(&mut cx.net.mailboxes);
                return done();
            }
            _ => {}
        }
        Continue(())
    }

    /// Whether the peer has acknowledged our FIN, which stands behind the last byte of the send ring.
    fn is_fin_acked(&mut self) -> bool {
        if !self.state.has_closed() {
            return false;
        }
        let tail = self.socket.send.tail().position;
        self.snd.una == self.seq_at(tail) + 1
    }
}

/// An echo older than this is no round trip.
const ECHO_MAX_MS: u32 = 300_000;
