//! Small segments that the application holds back itself, because more is to follow: for as long as it says so (cork), or for one write.
//!
//! Unlike Nagle's algorithm this does not look at what is outstanding. It does not last for ever: what would wait with nothing on its way is
//! sent when the retransmission timeout has passed, like what a small window holds back.

use bitflags::bitflags;

use super::connection::{Connection, Nodelay};
use crate::socket::{Hints, OptionBits};

bitflags! {
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(super) struct Holding: u8 {
        /// The application has corked the connection.
        const CORKED = 1;
        /// More is to follow what was written last, and no ACK has come since.
        const MORE = 1 << 1;
        /// What was written last does not end anything: its last segment has no PSH.
        const UNPUSHED = 1 << 2;
        /// In this turn nothing is held back.
        const FLUSHED = 1 << 3;
    }
}

impl Connection {
    /// Takes over what the hints say of the last writes.
    pub(super) fn note_writes(&mut self, hints: Hints) {
        if hints.contains(Hints::FLUSH) {
            self.holding.insert(Holding::FLUSHED);
        }
        if hints.intersects(Hints::SEND | Hints::SEND_MORE) {
            let more = !hints.contains(Hints::SEND);
            self.holding.set(Holding::UNPUSHED, more);
            self.holding.set(Holding::MORE, more);
        }
    }

    /// Takes over the options.
    pub(super) fn take_holding(&mut self, bits: OptionBits) {
        let on = bits.contains(OptionBits::NODELAY);
        self.nodelay = if on { Nodelay::On } else { Nodelay::Off };
        self.holding.set(Holding::CORKED, bits.contains(OptionBits::CORK));
    }

    /// Whether a segment that is not full waits for more from the application.
    pub(super) fn holds_back(&self) -> bool {
        let holding = self.holding;
        holding.intersects(Holding::CORKED | Holding::MORE) && !holding.contains(Holding::FLUSHED)
    }

    /// Whether what was written last is to be passed on at the other end.
    pub(super) fn is_pushed(&self) -> bool {
        !self.holding.contains(Holding::UNPUSHED)
    }

    /// What an ACK lets go does not wait for a write.
    pub(super) fn ack_releases(&mut self) {
        self.holding.remove(Holding::MORE);
    }

    /// What was to be sent at once is sent.
    pub(super) fn flushed(&mut self) {
        self.holding.remove(Holding::FLUSHED);
    }
}

#[cfg(test)]
mod tests {
    use crate::tcp::harness::Harness;

    fn connected() -> Harness {
        let mut t = Harness::connected();
        t.stream().set_nodelay(true);
        t.application();
        t
    }

    #[test]
    fn a_write_that_more_follows_fills_segments_and_leaves_the_rest() {
        let mut t = connected();
        t.write_more(40);
        assert_eq!(t.sent(), [""; 0]);
        t.write_more(2100);
        assert_eq!(t.sent(), ["A 1+1000 ack 1", "PA 1001+1000 ack 1"]);
        t.write(5);
        assert_eq!(t.sent(), ["PA 2001+145 ack 1"]);
    }

    #[test]
    fn an_ack_lets_it_go_and_it_is_not_pushed() {
        let mut t = connected();
        t.write_more(1050);
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        t.input("A 1 ack 1001").unwrap();
        assert_eq!(t.sent(), ["A 1001+50 ack 1"]);
    }

    #[test]
    fn what_nothing_follows_is_sent_after_a_timeout() {
        let mut t = connected();
        t.write_more(40);
        let timeout = t.connection(|c| c.rtt.rto()).as_millis();
        t.at(timeout - 1);
        assert_eq!(t.sent(), [""; 0]);
        t.at(timeout + 1);
        assert_eq!(t.sent(), ["PA 1+40 ack 1"]);
    }

    #[test]
    fn a_cork_holds_until_it_is_pulled() {
        let mut t = connected();
        t.stream().set_cork(true);
        t.write(40);
        t.write(2000);
        assert_eq!(t.sent(), ["A 1+1000 ack 1", "PA 1001+1000 ack 1"]);
        t.input("A 1 ack 2001").unwrap();
        assert_eq!(t.sent(), [""; 0], "an ACK does not pull it");
        t.stream().set_cork(false);
        t.application();
        assert_eq!(t.sent(), ["PA 2001+40 ack 1"]);
    }

    #[test]
    fn switching_nagle_off_sends_once_through_the_cork() {
        let mut t = Harness::connected();
        t.stream().set_cork(true);
        t.write(40);
        t.stream().set_nodelay(true);
        t.application();
        assert_eq!(t.sent(), ["PA 1+40 ack 1"]);
        t.write(40);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn the_end_of_the_stream_and_urgent_data_do_not_wait() {
        let mut t = connected();
        t.stream().set_cork(true);
        t.write(40);
        t.close();
        assert_eq!(t.sent(), ["FPA 1+40 ack 1"]);
        let mut t = connected();
        t.stream().set_cork(true);
        t.write_urgent(1);
        assert_eq!(t.sent(), ["PUA 1+1 ack 1 urg 1"]);
    }
}
