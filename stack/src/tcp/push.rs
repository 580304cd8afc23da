//! PSH (RFC 9293, section 3.9.1.2): what has come so far is worth telling the application.
//!
//! Segments leave in trains: what a NIC that cuts segments (TSO) would be given as one packet. A receiver that gathers segments passes them
//! on at a PSH and does not wait for more, so the last segment of a train has it, wherever the bytes of a write end. A segment that travels
//! alone has none: there may be congestion, and then whatever its ACK would let go may as well come a little later. Linux does the same;
//! [`PushRule`] may say otherwise.

use super::config::{Pacing, PushRule, TcpConfig};
use super::connection::Connection;
use super::sender::Sender;
use super::transmit::Segment;
use crate::time::Span;
use crate::wire::tcp::Flags;

impl Connection {
    /// `segment`, which is to leave next, as part of its train.
    pub(super) fn in_train(&mut self, config: &TcpConfig, segment: Segment) -> Segment {
        if config.push == PushRule::Written {
            return segment;
        }
        let nxt = self.snd.nxt;
        let train_end = self.sender(config).train_end;
        if !nxt.precedes(train_end) {
            self.begin_train(config.train_min);
        } else if nxt + segment.len == train_end {
            return Segment { flags: segment.flags | Flags::PSH, ..segment };
        }
        segment
    }

    /// A train begins with the next segment, of as many full ones as the windows allow or of all that is written: if that are several.
    fn begin_train(&mut self, least: u8) {
        let unsent = u32::try_from(self.unsent()).unwrap_or(u32::MAX);
        let (usable, nxt) = (self.usable_window(), self.snd.nxt);
        let (mss, smoothed) = (u32::from(self.snd.mss), self.rtt.srtt());
        if unsent <= mss {
            // One segment, which travels alone.
            if let Some(sender) = &mut self.sender {
                sender.train_end = nxt;
            }
            return;
        }
        let small = unsent % mss;
        let waits = small > 0 && !self.may_send_small(small, small.into());
        if let Some(sender) = &mut self.sender {
            let most = sender.train_max(mss, smoothed, least);
            let most = most.min(usable);
            let len = if unsent <= most && !waits { unsent } else { most.min(unsent) / mss * mss };
            sender.train_end = if len > mss { nxt + len } else { nxt };
        }
    }
}

impl Sender {
    /// The longest train in bytes: what leaves in a millisecond, and more where the round trip is short, for there it makes no difference;
    /// but no more than half of the window, so that ACKs keep coming, and what is left of it.
    fn train_max(&self, mss: u32, smoothed: Option<Span>, least: u8) -> u32 {
        let window = self.window();
        let room = window.saturating_sub(self.pipe());
        let by_rate = self.pacing_rate(Pacing::Always, smoothed).map_or(MOST, |rate| rate / 1024);
        let round_trip = self.shortest_round_trip().or(smoothed).unwrap_or_default();
        let halved =
            u32::try_from(round_trip.as_micros() / HALVED_EVERY_MICROS).unwrap_or(u32::MAX);
        let by_distance = MOST.checked_shr(halved).unwrap_or(0);
        let bytes = by_rate.saturating_add(by_distance).min(MOST);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(u32::from(least) * mss);
        bytes.min(room).min((window / 2).max(mss))
    }
}

/// What a NIC takes as one packet at most.
const MOST: u64 = 65_535;
/// So much longer a round trip halves the second part of a train.
const HALVED_EVERY_MICROS: u64 = 512;

#[cfg(test)]
mod tests {
    use crate::tcp::harness::Harness;

    /// Where segments were pushed, after each of which all of them were acknowledged.
    fn pushed(t: &mut Harness) -> Vec<usize> {
        let sent = t.sent();
        let pushed = sent.iter().enumerate().filter(|(_, segment)| segment.starts_with('P'));
        pushed.map(|(n, _)| n + 1).collect()
    }

    #[test]
    fn half_a_window_is_a_train_and_its_last_segment_is_pushed() {
        let mut t = Harness::connected();
        t.write(60_000);
        assert_eq!(pushed(&mut t), [5, 10], "the initial window");
        t.input("A 1 ack 10001").unwrap();
        assert_eq!(pushed(&mut t), [6, 12], "two segments more: Reno");
    }

    #[test]
    fn a_segment_that_travels_alone_is_not_pushed_but_at_the_end_of_what_was_written() {
        let mut t = Harness::connected();
        t.write(12_000);
        t.sent();
        for want in ["A 10001+1000 ack 1", "PA 11001+1000 ack 1"] {
            t.input("A 1 ack 1").unwrap();
            assert_eq!(t.sent(), [want], "limited transmit");
        }
    }

    /// 100 ms and ten segments: what a millisecond brings is less than a segment.
    #[test]
    fn a_train_on_a_long_path_is_what_leaves_in_a_millisecond_but_two_segments_at_least() {
        let mut t = Harness::connected();
        t.write(1000);
        t.at(100).input("A 1 ack 1001").unwrap();
        t.sent();
        t.write(60_000);
        assert_eq!(pushed(&mut t), [2, 4, 6, 8, 10]);
    }

    #[test]
    fn a_train_that_no_frame_was_free_for_begins_anew() {
        let mut t = Harness::connected();
        let mut hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
        t.write(60_000);
        assert_eq!(t.sent(), [""; 0]);
        hoard.clear();
        t.at(1);
        assert_eq!(pushed(&mut t), [5, 10]);
    }

    #[test]
    fn one_that_had_to_wait_for_a_frame_travels_alone_still() {
        let mut t = Harness::connected();
        t.input("A 1 ack 1 win 1000").unwrap();
        let mut hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
        t.write(2000);
        hoard.clear();
        t.at(1);
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    }
}
