//! Asking after a closed window (persist, RFC 9293, section 3.8.6.1).

use super::connection::{Connection, Context};
use super::emit::NotSent;
use super::transmit::Sent;
use crate::counters::Counter;
use crate::time::{Instant, Span};

impl Connection {
    /// The window is closed, or too small to be worth a segment, and it is time to ask after it (persist,
    /// section 3.8.6.1).
    pub(super) fn probe_window(&mut self, cx: &mut Context<'_>) {
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
                self.deadlines.retransmit =
                    cx.now() + self.probe_interval(cx.config.max_rto.into());
                self.watch_user_timeout(cx);
            }
            Ok(Sent::Data) => {}
            Err(NotSent) => self.deadlines.retransmit = cx.now() + self.rtt.rto(),
        }
    }

    /// Each probe doubles the time to the next, answered or not.
    fn probe_interval(&self, longest: Span) -> Span {
        let factor = 2_u32.saturating_pow(self.probe_backoff.into());
        (self.rtt.rto() * factor).min(longest)
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

#[cfg(test)]
mod tests {
    use crate::counters::Counter;
    use crate::tcp::harness::Harness;

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
}
