//! The fifth step of section 3.10.7.4: what a segment acknowledges, and the window it offers.

use std::ops::ControlFlow::Continue;

use super::arrive::{Step, done, dropped};
use super::connection::{Connection, Context};
use super::segment::Segment;
use super::seq::Seq;
use super::state::{Event, State};
use crate::api::Readiness;
use crate::drops::Drop;
use crate::time::{Instant, Span};
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
        self.ack_releases();
        self.recover(cx, segment);
        if segment.ack.follows(self.snd.una) {
            self.new_ack(cx, segment.ack);
        }
        self.watch_tail(cx.now());
        self.update_window((segment.seq, segment.ack), self.scaled_window(segment));
        if self.retries > 0 && (!self.is_outstanding() || self.snd.wnd == 0) {
            self.window_answered();
        }
        self.after_fin_acked(cx)
    }

    /// In SYN-RECEIVED the segment must acknowledge our SYN, or it is reset.
    fn complete_handshake(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        let wanted = segment.ack.follows(self.snd.una) && segment.ack.at_or_before(self.snd.nxt);
        if !wanted {
            self.reset_for(cx, segment);
            return dropped(Drop::TcpAckUnacceptable);
        }
        self.advance(Event::SynAcked);
        self.take_window(segment);
        self.syn_ack_answered(cx, segment);
        self.measure_handshake(cx);
        self.established(cx);
        Continue(())
    }

    /// An ACK of what was not sent, or of what is older than any segment still on its way can be, is not from our peer
    /// or of this connection (RFC 5961, section 5): it is answered and dropped.
    fn check_ack_range(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        let oldest = self.snd.una - self.snd.max_wnd;
        if segment.ack.at_or_before(self.snd.nxt) && segment.ack.at_or_after(oldest) {
            return Continue(());
        }
        self.challenge(cx);
        dropped(Drop::TcpAckUnacceptable)
    }

    /// Something new is acknowledged.
    pub(super) fn new_ack(&mut self, cx: &mut Context<'_>, ack: Seq) {
        self.tune_send_buffer(cx);
        self.release_up_to(cx, ack);
        if self.snd.proven < self.snd.mss {
            self.prove_size(ack.offset_from(self.snd.una));
        }
        self.snd.una = ack;
        self.snd.small = self.snd.small.later(ack);
        self.retries = 0;
        self.soft_error = None;
        self.rewind_timers(cx);
    }

    /// Gives what was acknowledged back to the application: the SYN and the FIN are not in the ring. An application that
    /// found the ring full is told once half of it is free, not at every ACK.
    pub(super) fn release_up_to(&mut self, cx: &mut Context<'_>, ack: Seq) {
        let first = self.socket.send.released();
        if !ack.follows(self.seq_at(first)) {
            return;
        }
        let position = self.position_of(ack);
        let tail = self.socket.send.tail().position;
        let half = self.send_buffer() as u64 / 2;
        self.socket.send.release(position);
        self.limit_unsent();
        // At least half: what the application appends meanwhile is not in `tail`.
        if tail - first >= half && tail.saturating_sub(position) <= half {
            self.socket.raise(&mut cx.net.readies, Readiness::WRITABLE);
        }
    }

    /// Rules 5.2 and 5.3 of RFC 6298: the timer starts anew while anything is outstanding, and stops else.
    fn rewind_timers(&mut self, cx: &Context<'_>) {
        self.deadlines.give_up = Instant::FAR_FUTURE;
        self.deadlines.retransmit = Instant::FAR_FUTURE;
        if self.is_outstanding() {
            self.watch_outstanding(cx);
            self.notice_reneging(cx.now());
        } else if self.deadlines.rest == Instant::FAR_FUTURE {
            self.deadlines.rest = self.rests_at().max(cx.now() + self.rtt.rto());
        }
    }

    /// The peer acknowledges up to what it has told of already, and not that: it has thrown it away (RFC 2018, section 8). It is sent again soon, but
    /// not at once: ACKs may have overtaken each other.
    fn notice_reneging(&mut self, now: Instant) {
        if self.sender.as_ref().is_some_and(|sender| sender.board.is_first_arrived()) {
            let soon = (self.rtt.srtt().unwrap_or_default() / 2).max(RENEGING_SHOWS_WITHIN);
            self.deadlines.retransmit = self.deadlines.retransmit.min(now + soon);
        }
    }

    /// RFC 5681, section 2: five conditions.
    pub(super) fn is_duplicate_ack(&self, segment: &Segment) -> bool {
        self.is_outstanding()
            && segment.len() == 0
            && segment.ack == self.snd.una
            && self.scaled_window(segment) == self.snd.wnd
            && self.snd.wnd > 0
    }

    /// The window is taken from segments that are not older than the one that it was taken from last.
    #[inline]
    pub(super) fn update_window(&mut self, (seq, ack): (Seq, Seq), window: u32) {
        let (wl1, wl2) = (self.snd.wl1, self.snd.wl2);
        let newer = wl1.precedes(seq) || (wl1 == seq && wl2.at_or_before(ack));
        if ack.at_or_after(self.snd.una) && newer {
            self.set_window((seq, ack), window);
        }
    }

    pub(super) fn take_window(&mut self, segment: &Segment) {
        self.set_window((segment.seq, segment.ack), self.scaled_window(segment));
    }

    #[inline]
    fn set_window(&mut self, (seq, ack): (Seq, Seq), window: u32) {
        self.snd.wnd = window;
        self.snd.max_wnd = self.snd.max_wnd.max(window);
        self.snd.wl1 = seq;
        self.snd.wl2 = ack;
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
            State::FinWait1 => {
                self.advance(Event::FinAcked);
                self.socket.words.set_all_acknowledged(&mut cx.net.readies);
            }
            State::Closing | State::LastAck => {
                self.advance(Event::FinAcked);
                self.socket.end(&mut cx.net.readies);
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

/// As in Linux.
const RENEGING_SHOWS_WITHIN: Span = Span::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Part;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    #[test]
    fn an_application_is_told_when_half_of_the_ring_is_free() {
        let config = TcpConfig { send_buffer: 8000, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        let took = |t: &mut Harness| t.stream().words().take_events(Part::Write);
        assert!(took(&mut t).contains(Readiness::WRITABLE));
        assert_eq!(t.write(9000), 8000);
        t.sent();
        t.input("A 1 ack 3001").unwrap();
        assert_eq!(took(&mut t), Readiness::empty());
        t.input("A 1 ack 4001").unwrap();
        assert_eq!(took(&mut t), Readiness::WRITABLE);
        // What was buffered was half, exactly: told once more, for the ring may have been full.
        t.input("A 1 ack 5001").unwrap();
        assert_eq!(took(&mut t), Readiness::WRITABLE);
        t.input("A 1 ack 8001").unwrap();
        assert_eq!(took(&mut t), Readiness::empty());
    }

    /// An application that fills the ring while its half is released is told when that is acknowledged.
    #[test]
    fn exactly_half_of_the_ring_counts_as_much() {
        let config = TcpConfig { send_buffer: 8000, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        let took = |t: &mut Harness| t.stream().words().take_events(Part::Write);
        took(&mut t);
        assert_eq!(t.write(4000), 4000);
        t.sent();
        t.input("A 1 ack 4001").unwrap();
        assert_eq!(took(&mut t), Readiness::WRITABLE);
    }

    #[test]
    fn a_round_trip_is_measured_by_what_was_sent_once() {
        let mut t = Harness::connected();
        t.write(100);
        t.at(50);
        t.input("A 1 ack 101").unwrap();
        let measured = t.connection(|c| c.rtt.srtt()).unwrap();
        assert!((6..8).contains(&measured.as_millis()), "1/8 of 50 ms: {measured:?}");
        t.write(100);
        t.at(1000);
        assert_ne!(t.sent(), [""; 0]);
        t.input("A 1 ack 201").unwrap();
        assert_eq!(
            t.connection(|c| c.rtt.srtt()),
            Some(measured),
            "which of the two is acknowledged?"
        );
    }

    #[test]
    fn a_timestamp_tells_which_of_two_was_acknowledged() {
        let mut t = Harness::connecting(&TcpConfig::default());
        t.sent();
        t.input("SA 0 ack 1 mss 1000 ts 1:0").unwrap();
        t.sent();
        t.write(100);
        let first = t.last().options.timestamps.unwrap().value;
        t.at(1000);
        t.sent();
        t.input(&format!("A 1 ack 101 ts 2:{}", first.wrapping_add(920))).unwrap();
        let measured = t.connection(|c| c.rtt.srtt()).unwrap();
        assert!((9..12).contains(&measured.as_millis()), "1/8 of 80 ms: {measured:?}");
    }

    #[test]
    fn an_older_segment_does_not_change_the_window() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1 win 5000").unwrap();
        t.input("A 11 ack 1 win 4000").unwrap();
        t.connection(|c| assert_eq!(c.snd.wnd, 4000));
        t.write(100);
        t.input("A 11 ack 101 win 3000").unwrap();
        t.connection(|c| assert_eq!(c.snd.wnd, 3000));
        // From before: an older acknowledgement with another window.
        t.input("A 11 ack 1 win 9000").unwrap();
        t.connection(|c| assert_eq!(c.snd.wnd, 3000));
    }

    #[test]
    fn a_window_that_shrinks_is_survived() {
        let mut t = Harness::connected();
        t.write(5000);
        assert_eq!(t.sent().len(), 5);
        t.input("A 1 ack 1001 win 500").unwrap();
        t.at(300);
        assert_eq!(t.sent(), ["A 1001+1000 ack 1"]);
        t.input("A 1 ack 5001 win 500").unwrap();
        t.write(100);
        assert_eq!(t.sent(), ["PA 5001+100 ack 1"]);
    }
}
