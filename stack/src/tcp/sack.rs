//! Selective acknowledgements, receiving side (RFC 2018): what has arrived beyond a gap, and what has come twice (D-SACK, RFC
//! 2883).

use super::connection::Connection;
use super::seq::Seq;
use crate::wire::tcp_options::{MAX_LEN, SackBlock, SackBlocks, sack_blocks_in};

impl Connection {
    /// Bytes have come that were here: the next ACK says so (RFC 2883, section 4). Nothing if there are none.
    pub(super) fn note_duplicate(&mut self, from: Seq, to: Seq) {
        if self.sack && from.precedes(to) {
            self.reassembly_queue().duplicate = Some(SackBlock { left: from, right: to });
        }
    }

    /// A segment has said so.
    pub(super) fn duplicate_told(&mut self) {
        if let Some(queue) = &mut self.reassembly {
            queue.duplicate = None;
            if queue.is_empty() {
                self.reassembly = None;
            }
        }
    }

    /// The blocks of the next segment, which has room for so many bytes of options beside what every segment carries: the
    /// duplicate first, then what arrived last.
    pub(super) fn sack_blocks(&self, room: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let Some(queue) = self.reassembly.as_ref().filter(|_| self.sack) else { return blocks };
        // Signatures leave room for few.
        let room = room.min(MAX_LEN.saturating_sub(self.options_len()));
        let blocks_to_tell = queue.duplicate.into_iter().chain(queue.recent_runs());
        for block in blocks_to_tell.take(sack_blocks_in(room)) {
            if blocks.push(block).is_err() {
                break;
            }
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::{Emitted, Harness, PEER_ISS};

    fn connected() -> Harness {
        let mut t = Harness::connecting(&TcpConfig { sack: true, ..Harness::plain() });
        assert!(t.last().options.sack_permitted);
        t.input("SA 0 ack 1 mss 1000 sackOK").unwrap();
        t.sent();
        t.connection(|c| c.ack.quick = 0);
        t
    }

    fn blocks(segment: &Emitted) -> Vec<(u32, u32)> {
        let relative = |seq: Seq| seq.offset_from(PEER_ISS);
        let blocks = segment.options.sack_blocks;
        blocks
            .as_slice()
            .iter()
            .map(|block| (relative(block.left), relative(block.right)))
            .collect()
    }

    /// Takes a segment in, and gives the blocks of the ACK for it.
    fn answer(t: &mut Harness, segment: &str) -> Vec<(u32, u32)> {
        let _ = t.input(segment);
        blocks(&t.last())
    }

    #[test]
    fn what_waits_behind_a_gap_is_told_and_the_newest_first() {
        let mut t = connected();
        assert_eq!(answer(&mut t, "A 1001+1000 ack 1"), [(1001, 2001)]);
        assert_eq!(answer(&mut t, "A 2001+1000 ack 1"), [(1001, 3001)]);
        assert_eq!(answer(&mut t, "A 5001+1000 ack 1"), [(5001, 6001), (1001, 3001)]);
        assert_eq!(answer(&mut t, "A 7001+1000 ack 1"), [(7001, 8001), (5001, 6001), (1001, 3001)]);
        assert_eq!(answer(&mut t, "A 3001+100 ack 1"), [(1001, 3101), (7001, 8001), (5001, 6001)]);
        // Four fit without timestamps, and the oldest falls off.
        let all = [(11001, 11101), (9001, 9101), (1001, 3101), (7001, 8001)];
        answer(&mut t, "A 9001+100 ack 1");
        assert_eq!(answer(&mut t, "A 11001+100 ack 1"), all);
        // The gap is filled: the rest goes on being told.
        let rest = answer(&mut t, "A 1+1000 ack 1");
        assert_eq!(rest, [(11001, 11101), (9001, 9101), (7001, 8001), (5001, 6001)]);
    }

    #[test]
    fn what_comes_twice_is_told_once_and_first() {
        let mut t = connected();
        t.burst(&["A 1+1000 ack 1", "A 1001+1000 ack 1"]);
        t.emitted();
        assert_eq!(answer(&mut t, "A 1+1000 ack 1"), [(1, 1001)], "before RCV.NXT");
        assert_eq!(answer(&mut t, "A 4001+1000 ack 1"), [(4001, 5001)], "and not again");
        let twice = [(4001, 5001), (4001, 5001)];
        assert_eq!(answer(&mut t, "A 4001+1000 ack 1"), twice, "behind a gap (section 4.2)");
        let part = [(4501, 5001), (4001, 5501)];
        assert_eq!(answer(&mut t, "A 4501+1000 ack 1"), part, "in part");
        assert_eq!(answer(&mut t, "A 1501+1000 ack 1"), [(1501, 2001), (4001, 5501)]);
        assert_eq!(answer(&mut t, "A 2501+1600 ack 1"), [(4001, 4101)], "at the end of a gap");
    }

    #[test]
    fn what_has_come_twice_is_told_by_the_next_segment_with_room() {
        let mut t = connected();
        t.input("A 1+1000 ack 1").unwrap();
        t.emitted();
        t.write(1000);
        t.burst(&["A 1+1000 ack 1"]);
        let full = t.emitted();
        assert_eq!(full.iter().map(blocks).collect::<Vec<_>>(), [vec![], vec![(1, 1001)]]);
        assert_eq!(answer(&mut t, "A 1+500 ack 1"), [(1, 501)]);
        t.stream().set_linger(Some(std::time::Duration::ZERO));
        let _ = t.burst(&["A 3001+1000 ack 1"]);
        t.emitted();
        t.close();
        let reset = t.last();
        assert!(reset.text.starts_with('R'), "{}", reset.text);
        assert_eq!(blocks(&reset), [], "a reset tells nothing");
    }

    #[test]
    fn with_timestamps_three_blocks_fit() {
        let mut t =
            Harness::connecting(&TcpConfig { window_scaling: false, ..TcpConfig::default() });
        t.sent();
        t.input("SA 0 ack 1 mss 1000 sackOK ts 1000:0").unwrap();
        t.sent();
        for at in [1001, 2001, 3001, 4001] {
            t.input(&format!("A {at}+10 ack 1 ts 1001:0")).unwrap();
        }
        let last = t.emitted().pop().unwrap();
        assert_eq!(blocks(&last), [(4001, 4011), (3001, 3011), (2001, 2011)]);
    }

    #[test]
    fn a_peer_that_does_not_permit_it_is_told_nothing() {
        let mut t = Harness::connecting(&TcpConfig { sack: true, ..Harness::plain() });
        t.sent();
        t.input("SA 0 ack 1 mss 1000").unwrap();
        t.sent();
        assert_eq!(answer(&mut t, "A 1001+1000 ack 1"), []);
        assert_eq!(answer(&mut t, "A 1001+1000 ack 1"), []);
    }

    #[test]
    fn a_syn_ack_permits_what_the_syn_has_offered() {
        for (syn, want) in [("S 0 mss 1000 sackOK", true), ("S 0 mss 1000", false)] {
            let mut t = Harness::listening(&TcpConfig { sack: true, ..Harness::plain() }, 1);
            t.input(syn).unwrap();
            assert_eq!(t.last().options.sack_permitted, want);
            t.input("A 1 ack 1").unwrap();
            t.accept();
            t.sent();
            let told = answer(&mut t, "A 1001+1000 ack 1");
            assert_eq!(told.is_empty(), !want);
        }
    }

    #[test]
    fn a_full_segment_leaves_no_room_and_a_short_one_does() {
        let mut t = connected();
        t.input("A 1001+1000 ack 1").unwrap();
        t.emitted();
        t.write(1500);
        let sent = t.emitted();
        assert_eq!(sent[0].text, "A 1+1000 ack 1");
        assert_eq!(blocks(&sent[0]), []);
        assert_eq!(blocks(&sent[1]), [(1001, 2001)]);
    }
}
