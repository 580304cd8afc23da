//! PSH (RFC 9293, section 3.9.1.2): what has come so far is worth telling the application.

use super::connection::Connection;
use super::seq::Seq;
use super::transmit::Segment;
use crate::wire::tcp::Flags;

impl Connection {
    /// `segment`, the next of those that leave together since SND.NXT was `first`, with PSH if it is the last of several, wherever
    /// the bytes of a write end: a receiver that gathers segments passes them on then and does not wait for more. Linux does so
    /// with each packet that a NIC is to cut.
    pub(super) fn pushed_last_of_burst(&self, first: Seq, segment: Segment) -> Segment {
        if segment.len == 0 || self.snd.nxt == first || self.has_room_for_more(segment.len) {
            return segment;
        }
        Segment { flags: segment.flags | Flags::PSH, ..segment }
    }

    /// Whether the windows have room for another full segment after one of `len` bytes.
    fn has_room_for_more(&self, len: u32) -> bool {
        let room = self
            .sender
            .as_ref()
            .map_or(u32::MAX, |sender| sender.window().saturating_sub(sender.pipe()));
        let left = self.usable_window().min(room).saturating_sub(len);
        left >= u32::from(self.snd.mss)
    }
}

#[cfg(test)]
mod tests {
    use crate::tcp::harness::Harness;

    #[test]
    fn the_last_of_a_burst_is_pushed_and_one_that_leaves_alone_is_not() {
        let mut t = Harness::connected();
        t.write(20_000);
        let pushed = |segments: Vec<String>| {
            segments.iter().map(|segment| segment.starts_with('P')).collect::<Vec<_>>()
        };
        let mut burst = vec![false; 10];
        burst[9] = true;
        assert_eq!(pushed(t.sent()), burst, "the initial window");
        t.input("A 1 ack 1001").unwrap();
        assert_eq!(pushed(t.sent()), [false, true], "slow start");
    }
}
