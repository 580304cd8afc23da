//! Keep-alive: whether a silent peer is still there (RFC 9293, section 3.8.4). Off unless the application wants it.

use super::connection::{Connection, Context, Keepalive};
use crate::counters::Counter;
use crate::time::Instant;
use crate::wire::tcp::Flags;

impl Connection {
    /// The application may have switched it on or off.
    pub(super) fn watch_keepalive(&mut self, cx: &Context<'_>) {
        let wanted = self.keepalive == Keepalive::On && self.state.is_synchronized();
        if !wanted {
            self.deadlines.keepalive = Instant::FAR_FUTURE;
        } else if self.deadlines.keepalive == Instant::FAR_FUTURE {
            self.keepalive_probes = 0;
            self.deadlines.keepalive = self.heard_at + cx.config.keepalive_idle;
        }
    }

    /// The peer was heard. The deadline stays where it is: when it comes, it is looked at again.
    pub(super) fn keepalive_answered(&mut self, now: Instant) {
        self.heard_at = now;
        self.keepalive_probes = 0;
    }

    /// Time to ask, unless the peer was heard meanwhile, or is being asked anyway: unacknowledged data does that.
    pub(super) fn keepalive_due(&mut self, cx: &mut Context<'_>) {
        let idle_until = self.heard_at + cx.config.keepalive_idle;
        if self.is_outstanding() || (self.keepalive_probes == 0 && idle_until > cx.now()) {
            self.deadlines.keepalive = idle_until.max(cx.now() + cx.config.keepalive_interval);
            return;
        }
        if self.keepalive_probes >= cx.config.keepalive_probes {
            self.reset_peer(cx);
            self.give_up(cx);
            return;
        }
        // One number too old, so that it must be answered (section 3.8.4: SEG.SEQ = SND.NXT - 1), and without data.
        if self.emit(cx, self.snd.nxt - 1, 0, Flags::ACK).is_ok() {
            self.keepalive_probes += 1;
            cx.net.metrics.count(Counter::TcpKeepAliveProbes);
        }
        self.deadlines.keepalive = cx.now() + cx.config.keepalive_interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::harness::Harness;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn nobody_is_asked_unless_the_application_wants_it() {
        let mut t = Harness::connected();
        t.at(100 * HOUR);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up() {
        let mut t = Harness::connected();
        t.stream().set_keepalive(true);
        t.application();
        t.at(2 * HOUR - 1);
        assert_eq!(t.sent(), [""; 0]);
        for probe in 0..9 {
            t.at(2 * HOUR + probe * 75_000 + 1);
            assert_eq!(t.sent(), ["A 0 ack 1"], "probe {probe}");
        }
        t.at(2 * HOUR + 9 * 75_000 + 2);
        assert_eq!(t.sent(), ["RA 1 ack 1"]);
        assert_eq!(t.read(1).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(t.count(Counter::TcpKeepAliveProbes), 9);
    }

    #[test]
    fn a_peer_that_answers_is_left_in_peace() {
        let mut t = Harness::connected();
        t.stream().set_keepalive(true);
        t.application();
        for round in 1..5 {
            t.at(round * 2 * HOUR + round * 10);
            assert_eq!(t.sent(), ["A 0 ack 1"], "round {round}");
            t.input("A 1 ack 1").unwrap();
        }
        t.stream().set_keepalive(false);
        t.application();
        t.at(100 * HOUR);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn a_peer_that_talks_is_not_asked() {
        let mut t = Harness::connected();
        t.stream().set_keepalive(true);
        t.application();
        t.at(HOUR);
        t.input("PA 1+10 ack 1").unwrap();
        t.at(3 * HOUR - 1);
        assert_eq!(t.sent(), ["A 1 ack 11"]);
        t.at(3 * HOUR + 1);
        assert_eq!(t.sent(), ["A 0 ack 11"]);
    }

    #[test]
    fn a_probe_of_the_peers_is_answered() {
        for probe in ["A 0 ack 1", "A 0+1 ack 1"] {
            let mut t = Harness::connected();
            t.input(probe).unwrap_err();
            assert_eq!(t.sent(), ["A 1 ack 1"], "{probe}");
        }
    }
}
