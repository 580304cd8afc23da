//! What is sent again: after a timeout (RFC 6298), and after duplicate ACKs (RFC 5681, section 3.2; NewReno, RFC 6582).

use std::time::Duration;

use super::congestion::{Congestion, Timeout};
use super::connection::{Connection, Context};
use super::emit::NotSent;
use super::seq::Seq;
use super::state::State;
use super::transmit::Sent;
use crate::counters::Counter;
use crate::socket::Failure;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// Where loss recovery stands.
pub(super) struct Recovery {
    /// The number after the highest one sent when a loss was last noticed: duplicate ACKs below it tell nothing new.
    pub(super) point: Seq,
    /// Duplicate ACKs in a row.
    pub(super) duplicates: u8,
    /// Between a fast retransmission and the ACK of `point`.
    pub(super) active: bool,
}

impl Connection {
    /// The retransmission timer has gone off. While nothing is outstanding it was to ask after a closed window.
    pub(super) fn retransmission_timeout(&mut self, cx: &mut Context<'_>) {
        if !self.is_outstanding() {
            self.probe_window(cx);
            return;
        }
        if self.retries >= self.retries_allowed(cx) {
            self.give_up(cx);
            return;
        }
        cx.net.metrics.count(Counter::TcpTimeouts);
        if self.state.is_synchronized() {
            let which = if self.retries == 0 { Timeout::First } else { Timeout::Again };
            self.congestion.on_timeout(self.flight(), which);
        }
        self.retries = self.retries.saturating_add(1);
        self.rtt.back_off(&cx.config.rto_limits());
        self.recovery = Recovery { point: self.snd.max, duplicates: 0, active: false };
        self.deadlines.retransmit = cx.now() + self.rtt.rto();
        self.watch_user_timeout(cx);
        self.go_back(cx);
    }

    /// Starts again from what is first in line. What follows it goes as the windows allow: a part of it may have
    /// arrived, and then the next ACK leads past it.
    pub(super) fn go_back(&mut self, cx: &mut Context<'_>) {
        if !self.state.is_synchronized() {
            self.send_syn(cx);
            return;
        }
        match self.send_again(cx) {
            Ok(end) => self.snd.nxt = end,
            Err(NotSent) => {
                self.snd.nxt = self.snd.una;
                self.retry_soon(cx.now());
            }
        }
    }

    /// Sends the first segment that is not acknowledged, whatever the windows say; returns its end.
    fn send_again(&mut self, cx: &mut Context<'_>) -> Result<Seq, NotSent> {
        let tail = self.socket.send.tail().position;
        let unacknowledged = tail - self.socket.send.released();
        let sent = self.snd.max.offset_from(self.snd.una);
        let data = sent.min(u32::try_from(unacknowledged).unwrap_or(u32::MAX));
        let len = data.min(u32::from(self.snd.mss));
        let mut flags = Flags::ACK;
        if len > 0 && len == data {
            flags = flags | Flags::PSH;
        }
        // What was sent beyond the ring's end is the FIN.
        let fin = sent > data && len == data;
        if fin {
            flags = flags | Flags::FIN;
        }
        self.stopwatch.discard();
        self.emit(cx, self.snd.una, len, flags)?;
        Ok(self.snd.una + len + u32::from(fin))
    }

    /// An ACK that repeats the last one: a segment has gone, or arrived in another order.
    pub(super) fn duplicate_ack(&mut self, cx: &mut Context<'_>) {
        self.recovery.duplicates = self.recovery.duplicates.saturating_add(1);
        if self.recovery.active {
            self.congestion.on_duplicate_ack();
            return;
        }
        // Below the point they may come from what was sent again (RFC 6582, section 3.2, step 1).
        if self.recovery.duplicates == DUPLICATES && self.snd.una.follows(self.recovery.point) {
            cx.net.metrics.count(Counter::TcpFastRetransmits);
            // Without what limited transmit has sent.
            self.congestion.on_loss(self.flight().min(self.congestion.window()));
            self.recovery.point = self.snd.max;
            self.recovery.active = true;
            self.fast_retransmit(cx);
        }
    }

    /// What an ACK of `acked` new bytes means for recovery and the congestion window, `flight` being what was in flight
    /// before it. SND.UNA is moved already.
    pub(super) fn recover(&mut self, cx: &mut Context<'_>, acked: u32, flight: u32) {
        self.recovery.duplicates = 0;
        if !self.recovery.active {
            // Once passed, the point follows closely: half the circle further on it would seem to lie ahead.
            self.recovery.point = self.recovery.point.later(self.snd.una - 1);
            self.congestion.on_ack(acked, flight);
        } else if self.snd.una.at_or_after(self.recovery.point) {
            self.recovery.active = false;
            self.congestion.on_recovered(self.flight());
        } else {
            // A partial ACK: the next hole is known without waiting for duplicates (step 3 of RFC 6582).
            self.congestion.on_partial_ack(acked);
            self.fast_retransmit(cx);
        }
    }

    fn fast_retransmit(&mut self, cx: &mut Context<'_>) {
        if self.send_again(cx).is_err() {
            // The timer will.
            self.retry_soon(cx.now());
        }
    }

    /// How much may be in flight: the congestion window, and two segments more while the first two duplicate ACKs keep
    /// the others coming (limited transmit, RFC 3042).
    pub(super) fn congestion_window(&self) -> u32 {
        let limited = if self.recovery.active { 0 } else { self.recovery.duplicates.min(2) };
        self.congestion.window() + u32::from(limited) * u32::from(self.snd.mss)
    }

    fn retries_allowed(&self, cx: &Context<'_>) -> u8 {
        match self.state {
            State::SynSent => cx.config.syn_retries,
            State::SynReceived => cx.config.syn_ack_retries,
            _ if self.user_timeout(cx.config).is_some() => u8::MAX,
            _ if self.socket.is_closed() => cx.config.orphan_retries,
            _ => cx.config.retries,
        }
    }

    /// The peer does not answer.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) {
        let failure = self.soft_error.unwrap_or(Failure::TimedOut);
        self.fail(cx, failure);
    }
}

impl Connection {
    /// The window is closed, or too small to be worth a segment, and it is time to ask after it (persist,
    /// section 3.8.6.1).
    fn probe_window(&mut self, cx: &mut Context<'_>) {
        if !self.has_unsent() {
            return;
        }
        if self.retries >= self.retries_allowed(cx) {
            self.give_up(cx);
            return;
        }
        match self.send_despite_small_window(cx) {
            Ok(Sent::Probe) => {
                cx.net.metrics.count(Counter::TcpZeroWindowProbes);
                self.retries = self.retries.saturating_add(1);
                self.probe_backoff = self.probe_backoff.saturating_add(1);
                self.deadlines.retransmit = cx.now() + self.probe_interval(cx.config.max_rto);
                self.watch_user_timeout(cx);
            }
            Ok(Sent::Data) => {}
            Err(NotSent) => self.deadlines.retransmit = cx.now() + self.rtt.rto(),
        }
    }

    /// Each probe doubles the time to the next, answered or not.
    fn probe_interval(&self, longest: Duration) -> Duration {
        let factor = 2_u32.saturating_pow(self.probe_backoff.into());
        self.rtt.rto().saturating_mul(factor).min(longest)
    }

    /// The peer has answered while nothing is outstanding or its window is closed: as long as it does so, that may stay so
    /// (section 3.8.6.1, MUST-37). Unless nobody is left here who cares: then it would hold our memory for ever.
    pub(super) fn window_answered(&mut self) {
        if self.socket.is_closed() {
            return;
        }
        self.retries = 0;
        self.deadlines.give_up = Instant::FAR_FUTURE;
    }
}

/// Enough to tell loss from reordering (RFC 5681, section 3.2).
const DUPLICATES: u8 = 3;

#[cfg(test)]
mod tests {
    use crate::counters::Counter;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    #[test]
    fn a_syn_is_sent_again_and_again_and_then_given_up() {
        let config = TcpConfig { syn_retries: 3, ..Harness::plain() };
        let mut t = Harness::connecting(&config);
        assert_eq!(t.sent(), ["S 0"]);
        for at in [1000, 3000, 7000] {
            t.at(at - 1);
            assert_eq!(t.sent(), [""; 0]);
            t.at(at);
            assert_eq!(t.sent(), ["S 0"], "at {at}");
        }
        t.at(14_999);
        assert!(t.state().is_some());
        t.at(15_000);
        assert_eq!((t.state(), t.sent()), (None, vec![]));
        assert_eq!(t.read(1).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_timeout_doubles_until_an_answer() {
        let mut t = Harness::connected();
        t.write(500);
        assert_eq!(t.sent(), ["PA 1+500 ack 1"]);
        for at in [200, 600, 1400] {
            t.at(at - 1);
            assert_eq!(t.sent(), [""; 0]);
            t.at(at);
            assert_eq!(t.sent(), ["PA 1+500 ack 1"], "at {at}");
        }
        t.input("A 1 ack 501").unwrap();
        t.at(100_000);
        assert_eq!(t.sent(), [""; 0]);
        assert_eq!(t.count(Counter::TcpTimeouts), 3);
    }

    #[test]
    fn an_ack_starts_the_timer_anew_for_what_is_still_out() {
        let mut t = Harness::connected();
        t.write(2000);
        t.sent();
        t.at(100);
        t.input("A 1 ack 1001").unwrap();
        t.at(300);
        assert_eq!(t.sent(), [""; 0]);
        t.at(350);
        assert_eq!(t.sent(), ["PA 1001+1000 ack 1"]);
    }

    #[test]
    fn after_a_timeout_the_rest_follows_as_acks_come() {
        let mut t = Harness::connected();
        t.write(4000);
        assert_eq!(t.sent().len(), 4);
        t.at(200);
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        t.input("A 1 ack 1001").unwrap();
        assert_eq!(t.sent(), ["A 1001+1000 ack 1", "A 2001+1000 ack 1"]);
        // The last one had arrived.
        t.input("A 1 ack 4001").unwrap();
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn three_duplicates_repair_a_loss_without_a_timeout() {
        let mut t = Harness::connected();
        t.write(10_000);
        assert_eq!(t.sent().len(), 10);
        t.input("A 1 ack 1").unwrap();
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        assert_eq!(t.count(Counter::TcpFastRetransmits), 1);
        // Further duplicates do not repeat it.
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 1 ack 10001").unwrap();
        t.at(1000);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn a_partial_ack_repairs_the_next_hole_at_once() {
        let mut t = Harness::connected();
        t.write(10_000);
        t.sent();
        t.burst(&["A 1 ack 1"; 3]);
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        t.input("A 1 ack 3001").unwrap();
        assert_eq!(t.sent(), ["A 3001+1000 ack 1"]);
    }

    #[test]
    fn the_first_two_duplicates_let_new_data_out() {
        let mut t = Harness::connected();
        t.write(12_000);
        assert_eq!(t.sent().len(), 10);
        t.input("A 1 ack 1").unwrap();
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 10001+1000 ack 1", "PA 11001+1000 ack 1"]);
    }

    /// RFC 6582's `recover` must not stay so far behind that it seems to lie ahead.
    #[test]
    fn a_loss_is_repaired_after_two_gigabytes_without_one() {
        let mut t = Harness::connected();
        t.connection(|c| c.recovery.point = c.snd.una - ((1 << 31) - 1500));
        t.write(2000);
        t.input("A 1 ack 1001").unwrap();
        t.input("A 1 ack 2001").unwrap();
        t.write(10_000);
        t.sent();
        t.burst(&["A 1 ack 2001"; 3]);
        assert_eq!(t.sent(), ["A 2001+1000 ack 1"]);
    }

    /// RFC 7323, appendix G: ten segments in flight give five samples per round trip, which weigh a fifth each.
    #[test]
    fn samples_by_timestamp_weigh_by_how_many_there_are() {
        let mut t =
            Harness::connecting(&TcpConfig { window_scaling: false, ..TcpConfig::default() });
        let clock = t.last().options.timestamps.unwrap().value;
        t.at(100).input(&format!("SA 0 ack 1 mss 1012 ts 1:{clock}")).unwrap();
        assert_eq!(t.connection(|c| c.rtt.srtt()).unwrap().as_millis(), 100);
        t.write(10_000);
        let dup = format!("A 1 ack 1 ts 2:{}", clock + 100);
        t.burst(&[dup.as_str(); 3]);
        t.at(300).input(&format!("A 1 ack 3001 ts 3:{}", clock + 100)).unwrap();
        let srtt = t.connection(|c| c.rtt.srtt()).unwrap();
        assert_eq!(srtt.as_micros() / 100, 1025, "100 ms, and a fortieth of the way to 200 ms");
    }

    #[test]
    fn duplicates_of_what_was_sent_again_repair_nothing() {
        let mut t = Harness::connected();
        t.write(4000);
        t.at(200);
        t.sent();
        t.burst(&["A 1 ack 1"; 5]);
        assert_eq!(t.count(Counter::TcpFastRetransmits), 0);
    }

    #[test]
    fn a_closed_window_is_asked_after_for_ever() {
        let mut t = Harness::connected();
        t.input("A 1 ack 1 win 0").unwrap();
        t.write(100);
        assert_eq!(t.sent(), [""; 0]);
        let mut asked = 0;
        for second in 1..3600 {
            t.at(second * 1000);
            for probe in t.sent() {
                assert_eq!(probe, "A 0 ack 1");
                asked += 1;
                t.input("A 1 ack 1 win 0").unwrap();
            }
        }
        assert!((30..60).contains(&asked), "{asked}");
        t.input("A 1 ack 1 win 1000").unwrap();
        assert_eq!(t.sent(), ["PA 1+100 ack 1"]);
    }

    /// The peer should not have taken its window back (section 3.8.6), but it answers.
    #[test]
    fn a_window_that_was_taken_back_may_stay_closed_too() {
        let mut t = Harness::connected();
        t.write(100);
        t.sent();
        t.input("A 1 ack 1 win 0").unwrap();
        for second in 1..7200 {
            t.at(second * 1000);
            if !t.sent().is_empty() {
                t.input("A 1 ack 1 win 0").unwrap();
            }
        }
        assert!(t.state().is_some());
        t.at(20_000_000);
        assert_eq!(t.state(), None, "nobody answers any more");
    }

    #[test]
    fn unanswered_probes_end_the_connection() {
        let mut t = Harness::connected();
        t.input("A 1 ack 1 win 0").unwrap();
        t.write(100);
        t.at(3_600_000);
        assert_eq!(t.state(), None);
        assert_eq!(t.count(Counter::TcpZeroWindowProbes), 15);
    }

    #[test]
    fn a_fin_is_sent_again() {
        let mut t = Harness::connected();
        t.write(10);
        t.close();
        assert_eq!(t.sent(), ["PA 1+10 ack 1", "FA 11 ack 1"]);
        t.input("A 1 ack 11").unwrap();
        t.at(200);
        assert_eq!(t.sent(), ["FA 11 ack 1"]);
        t.input("A 1 ack 12").unwrap();
        t.at(10_000);
        assert_eq!(t.sent(), [""; 0]);
    }
}
