//! CLOSE and SHUTDOWN (RFC 9293, section 3.10.4): what the application has decided, and what follows from it.
//!
//! The application's decisions stand in the socket's own words, and each is final. So they are read here whenever a hint
//! says that something may have changed; how often, and in what order hints come, does not matter.

use std::time::Duration;

use darner_ring::{Deferred, SendEnd, UrgentDelivery};

use super::connection::{Connection, Context, Keepalive};
use super::state::{Event, State};
use crate::counters::Counter;
use crate::socket::{Hints, OptionBits, Phase};
use crate::time::Instant;

/// What an application's decisions ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Closing {
    Not,
    /// In good order, after what was written.
    Fin,
    Reset,
}

impl Connection {
    /// Looks at everything that the application may have changed.
    pub(super) fn look_at_application(&mut self, cx: &mut Context<'_>) {
        let hints = self.socket.words.take_hints();
        self.note_writes(hints);
        if hints.contains(Hints::CONTROL) {
            self.take_options(cx);
            self.tell_urgent(cx);
        }
        if hints.contains(Hints::LOW_WATER) {
            self.receive_low_water_changed(cx);
        }
        let end = self.socket.send.tail().end;
        let closed = self.socket.is_closed();
        match self.how_to_close(cx, hints, end, closed) {
            Closing::Not => {}
            Closing::Fin => self.close(cx, closed),
            Closing::Reset => return self.abort(cx),
        }
        if self.state == State::Closed {
            return;
        }
        self.watch_fin_wait_2(cx);
    }

    /// What the application's words come to.
    fn how_to_close(
        &mut self,
        cx: &Context<'_>,
        hints: Hints,
        end: SendEnd,
        closed: bool,
    ) -> Closing {
        if end == SendEnd::Aborted {
            return Closing::Reset;
        }
        if closed {
            // Closing with bytes unread tells the peer that they are lost (RFC 1122, section 4.2.2.13; RFC 2525,
            // section 2.17).
            if self.socket.receive.unread() > 0 {
                return Closing::Reset;
            }
            if hints.intersects(Hints::CLOSE | Hints::CONTROL) {
                match self.socket.words.try_control(|state| state.options().linger) {
                    Ok(Some(Duration::ZERO)) => return Closing::Reset,
                    Ok(_) => {}
                    Err(Deferred) => {
                        // Somebody sets an option just now: he hints when he is done.
                        cx.net.metrics.count(Counter::ControlDeferrals);
                        return Closing::Not;
                    }
                }
            }
        }
        let ended = closed || end == SendEnd::Shut || self.socket.send.is_abandoned();
        if ended { Closing::Fin } else { Closing::Not }
    }

    /// The application sends no more. In SYN-SENT and SYN-RECEIVED that waits for the handshake, unless nobody is left
    /// who could use the connection.
    fn close(&mut self, cx: &mut Context<'_>, closed: bool) {
        match self.state {
            State::SynSent if closed => {
                self.advance(Event::AppClose);
                self.socket.end(&mut cx.net.readies);
            }
            State::Established | State::CloseWait => {
                self.advance(Event::AppClose);
                self.socket.words.set_phase(Phase::Closing);
            }
            _ => {}
        }
    }

    /// The options, unless somebody is setting one just now: then he hints when he is done.
    pub(super) fn take_options(&mut self, cx: &mut Context<'_>) {
        let Ok(options) = self.socket.words.options() else {
            cx.net.metrics.count(Counter::ControlDeferrals);
            return;
        };
        let on = |bit| options.bits.contains(bit);
        self.take_holding(options.bits);
        self.keepalive = if on(OptionBits::KEEPALIVE) { Keepalive::On } else { Keepalive::Off };
        let inline = on(OptionBits::OOB_INLINE);
        self.deliver_urgent(if inline { UrgentDelivery::Inline } else { UrgentDelivery::Apart });
        let timeout = options.user_timeout.map_or(0, |span| span.as_millis());
        let timeout = u32::try_from(timeout).unwrap_or(u32::MAX);
        self.watch_keepalive(cx);
        if timeout != self.rare.user_timeout_ms() {
            self.rare.set_user_timeout_ms(timeout);
            self.user_timeout_changed(cx);
        }
        self.take_unsent_low_water(cx, options.unsent_low_water);
    }

    /// A peer that never closes must not hold a connection that nobody reads (socket contract, C-12). While somebody
    /// may still read, FIN-WAIT-2 lasts as long as the peer likes.
    pub(super) fn watch_fin_wait_2(&mut self, cx: &mut Context<'_>) {
        let unread = self.socket.receive.is_shut() || self.socket.is_closed();
        let unarmed = self.deadlines.fin_wait_2 == Instant::FAR_FUTURE;
        if self.state == State::FinWait2 && unread && unarmed {
            // Nobody is left who could set an option just now.
            let own = self.socket.words.options().ok().and_then(|options| options.fin_wait_2);
            self.deadlines.fin_wait_2 = cx.now() + own.unwrap_or(cx.config.fin_wait_2);
            self.socket.end(&mut cx.net.readies);
        }
    }

    pub(super) fn fin_wait_2_due(&mut self) {
        if self.state == State::FinWait2 {
            self.advance(Event::Abort);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::Shutdown;

    use super::*;
    use crate::drops::Drop;
    use crate::tcp::harness::Harness;

    #[test]
    fn we_close_first() {
        let mut t = Harness::connected();
        t.stream().shutdown(Shutdown::Write);
        t.application();
        assert_eq!(t.sent(), ["FA 1 ack 1"]);
        t.input("A 1 ack 2").unwrap();
        assert_eq!(t.state(), Some(State::FinWait2));
        // The peer may go on for as long as it likes while somebody reads.
        t.at(1_000_000);
        t.input("PA 1+10 ack 2").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
        t.sent();
        t.input("FA 11 ack 2").unwrap();
        assert_eq!(t.sent(), ["A 2 ack 12"]);
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 1));
        assert_eq!(t.read(100).unwrap(), 0);
    }

    #[test]
    fn the_peer_closes_first() {
        let mut t = Harness::connected();
        t.input("FA 1 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 2"]);
        assert_eq!(t.state(), Some(State::CloseWait));
        t.write(10);
        t.close();
        assert_eq!(t.sent(), ["PA 1+10 ack 2", "FA 11 ack 2"]);
        t.input("A 2 ack 12").unwrap();
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 0));
        assert_eq!(t.frames_held(), 0);
    }

    #[test]
    fn both_close_at_once() {
        let mut t = Harness::connected();
        t.close();
        assert_eq!(t.sent(), ["FA 1 ack 1"]);
        t.input("FA 1 ack 1").unwrap();
        assert_eq!(t.state(), Some(State::Closing));
        assert_eq!(t.sent(), ["A 2 ack 2"]);
        t.input("A 2 ack 2").unwrap();
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 1));
    }

    #[test]
    fn a_fin_that_acknowledges_ours_leads_to_time_wait() {
        let mut t = Harness::connected();
        t.close();
        t.sent();
        t.input("FA 1 ack 2").unwrap();
        assert_eq!(t.sent(), ["A 2 ack 2"]);
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 1));
    }

    #[test]
    fn closing_with_bytes_unread_resets() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        t.close();
        assert_eq!(t.sent(), ["RA 1 ack 11"]);
        assert_eq!(t.state(), None);
    }

    #[test]
    fn data_after_close_is_reset() {
        let mut t = Harness::connected();
        t.close();
        t.sent();
        // Our FIN was lost.
        assert_eq!(t.input("PA 1+10 ack 1"), Err(Drop::TcpAfterClose));
        assert_eq!(t.sent(), ["R 1"]);
        assert_eq!(t.state(), None);
    }

    #[test]
    fn an_abort_resets_at_once() {
        let mut t = Harness::connected();
        t.write(10_000_000);
        t.sent();
        t.stream().abort();
        t.application();
        assert_eq!(t.sent(), ["RA 10001 ack 1"]);
        assert_eq!(t.state(), None);
        assert_eq!(t.frames_held(), 0);
    }

    #[test]
    fn who_outlives_the_stack_is_told() {
        let mut t = Harness::connected();
        t.write(10);
        t.sent();
        t.tcp.abort_all(&mut t.net);
        assert_eq!(t.sent(), ["RA 11 ack 1"]);
        assert_eq!(t.read(1).unwrap_err().kind(), ErrorKind::NetworkDown);
    }

    #[test]
    fn data_for_a_reader_that_has_shut_down_is_acknowledged_and_thrown_away() {
        let mut t = Harness::connected();
        t.stream().shutdown(Shutdown::Read);
        t.application();
        for segment in 0..200 {
            t.input(&format!("PA {}+1000 ack 1", 1 + segment * 1000)).unwrap();
        }
        t.at(100);
        let last = t.emitted().pop().unwrap();
        assert_eq!((last.text.as_str(), last.window), ("A 1 ack 200001", u16::MAX));
    }

    /// The order of C-4: a reset is told before the end that the application has made itself.
    #[test]
    fn who_has_shut_down_reading_still_hears_of_a_reset() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        t.stream().shutdown(Shutdown::Read);
        t.input("R 11").unwrap();
        assert_eq!(t.read(100).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(t.read(100).unwrap(), 0);
    }

    /// In both orders of {our FIN acknowledged, reading shut down} (socket contract, C-12).
    #[test]
    fn a_peer_that_never_closes_is_left_once_nobody_reads() {
        for shut_first in [true, false] {
            let mut t = Harness::connected();
            if shut_first {
                t.stream().shutdown(Shutdown::Both);
                t.application();
                t.input("A 1 ack 2").unwrap();
            } else {
                t.stream().shutdown(Shutdown::Write);
                t.application();
                t.input("A 1 ack 2").unwrap();
                t.at(100_000);
                assert_eq!(t.state(), Some(State::FinWait2));
                t.stream().shutdown(Shutdown::Read);
                t.application();
            }
            let now = t.net.now.as_millis();
            t.at(now + 59_000);
            assert_eq!(t.state(), Some(State::FinWait2));
            t.at(now + 60_001);
            assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 0));
            t.sent();
            t.input("FA 1 ack 2").unwrap_err();
            assert_eq!(t.sent(), ["R 2"]);
        }
    }

    #[test]
    fn closing_before_the_peer_answers_forgets_the_connection() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.close();
        assert_eq!((t.state(), t.sent()), (None, vec![]));
        t.input("SA 0 ack 1").unwrap_err();
        assert_eq!(t.sent(), ["R 1"]);
    }

    #[test]
    fn shutting_down_before_the_peer_answers_waits_for_it() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.stream().shutdown(Shutdown::Write);
        t.application();
        t.input("SA 0 ack 1").unwrap();
        assert_eq!(t.sent(), ["FA 1 ack 1"]);
    }
}
