//! The last two steps of section 3.10.7.4: text and the FIN.

use std::ops::ControlFlow::Continue;

use pmd::Frame;

use super::arrive::{Step, done, dropped};
use super::connection::{Connection, Context, Owed};
use super::emit::max_segment_size;
use super::reassembly::{Insertion, Limits, Reassembly};
use super::segment::Segment;
use super::seq::Seq;
use super::state::{Event, State};
use crate::api::Readiness;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::socket::Failure;
use crate::time::Instant;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::SackBlock;

impl Connection {
    /// Seventh and eighth.
    pub(super) fn process_text_and_fin(&mut self, cx: &mut Context<'_>, segment: Segment) -> Step {
        let echo = segment.timestamps().map(|timestamps| timestamps.echo);
        let Segment { seq, ack, flags, payload, .. } = segment;
        let fin = flags.contains(Flags::FIN);
        if payload.is_empty() && !fin {
            return Continue(());
        }
        if !self.state.can_receive() {
            // The peer has said that it was finished: what comes after is not from this connection's stream.
            return Continue(());
        }
        if !payload.is_empty() {
            self.refuse_after_close(cx, ack)?;
        }
        if seq == self.rcv.nxt {
            self.tune_receive_buffer(cx, echo);
            self.take_in_order(cx, payload, fin)
        } else {
            self.keep_for_later(cx, seq, payload, fin)
        }
    }

    /// Data for an application that has closed can never be read: the peer must learn that (RFC 9293, section 3.10.4;
    /// RFC 1122, section 4.2.2.13). The number that it acknowledges is the one that it expects, whatever of ours is on the way: it
    /// believes this reset at once.
    pub(super) fn refuse_after_close(&mut self, cx: &mut Context<'_>, ack: Seq) -> Step {
        if !self.socket.is_closed() {
            return Continue(());
        }
        self.reset_as_expected(cx, ack);
        self.fail(cx, Failure::Aborted);
        dropped(Drop::TcpAfterClose)
    }

    /// In order: it goes to the application, and with it whatever has waited for it.
    fn take_in_order(&mut self, cx: &mut Context<'_>, payload: Frame, fin: bool) -> Step {
        if let Err(limit) = self.admit_with_what_waits(cx, payload.len()) {
            return dropped(limit);
        }
        let (waiting, carries) = (self.reassembly.take(), !payload.is_empty());
        let before = self.rcv.nxt;
        let mut fin_at = fin.then_some(before + u32::try_from(payload.len()).unwrap_or(0));
        let filled_a_gap = waiting.as_ref().is_some_and(|queue| queue.has_gap());
        match waiting {
            None => self.deliver(&payload),
            Some(queue) => {
                fin_at = fin_at.or(queue.fin());
                self.deliver_with(queue, payload);
            }
        }
        if carries && self.socket.receive.is_shut() {
            cx.net.metrics.count_drop(Drop::TcpReceiveShut);
        }
        if self.rcv.nxt != before {
            self.text_came(cx, filled_a_gap);
        }
        if fin_at == Some(self.rcv.nxt) {
            return self.process_fin(cx);
        }
        Continue(())
    }

    /// Whether there is memory for so many bytes more. If not, it is as if they had been lost; the peer learns what there is.
    pub(super) fn admit(&mut self, cx: &mut Context<'_>, len: usize) -> Result<(), Drop> {
        let memory = self.socket.receive.memory_for(len);
        cx.memory.admit(memory).inspect_err(|_| self.ack_now())
    }

    /// The same for bytes that others may have waited for, which go to the ring with them. It takes memory by the chunk, so they may take more there than they do
    /// now; then they give way, for whoever reads must not wait for ever for what they keep out.
    fn admit_with_what_waits(&mut self, cx: &mut Context<'_>, len: usize) -> Result<(), Drop> {
        let waiting = self.reassembly.as_ref().map_or(0, |queue| queue.bytes());
        if waiting == 0 {
            return self.admit(cx, len);
        }
        if self.has_memory_with_what_waits(cx, len) {
            return Ok(());
        }
        // The application may have read since.
        self.count_memory(cx);
        if self.has_memory_with_what_waits(cx, len) {
            return Ok(());
        }
        if self.socket.receive.memory_for(len) <= cx.memory.left() + waiting {
            self.give_up_out_of_order(cx);
            self.count_memory(cx);
            cx.memory.count_others_again();
            // The peer was told that it is here.
            self.ack_now();
        }
        self.admit(cx, len)
    }

    fn has_memory_with_what_waits(&mut self, cx: &Context<'_>, len: usize) -> bool {
        let Some(queue) = &self.reassembly else { return true };
        let (end, moves) = queue.end_with(self.rcv.nxt + u32::try_from(len).unwrap_or(0));
        let all = end.offset_from(self.rcv.nxt) as usize;
        self.socket.receive.memory_for(all) <= cx.memory.left() + moves
    }

    /// What was delivered is there to be read, and to be acknowledged.
    pub(super) fn text_came(&mut self, cx: &mut Context<'_>, filled_a_gap: bool) {
        self.socket.receive.publish();
        self.data_at = cx.now();
        // The peer sends none that is larger than we have told it: a device has put such a one together.
        self.rcv.full = self.rcv.full.min(max_segment_size(cx.net));
        self.schedule_ack(cx, filled_a_gap);
        if self.socket.receive.is_wanted() {
            self.socket.raise(&mut cx.net.readies, Readiness::READABLE);
        }
    }

    /// Delivers a payload up to what is held already, and then as much of that as follows without a gap.
    fn deliver_with(&mut self, mut queue: Box<Reassembly>, mut payload: Frame) {
        if self.sack {
            let end = self.rcv.nxt + u32::try_from(payload.len()).unwrap_or(0);
            queue.duplicate = queue.overlap(self.rcv.nxt, end).or(queue.duplicate);
        }
        payload.truncate(queue.missing_at(self.rcv.nxt, payload.len()));
        self.deliver(&payload);
        while let Some(next) = queue.pop(self.rcv.nxt) {
            self.deliver(&next);
        }
        if !queue.is_empty() {
            self.reassembly = Some(queue);
        }
    }

    /// Appends to the receive ring. All of it was offered, if not with the limit of today: a window does not shrink.
    pub(super) fn deliver(&mut self, payload: &Frame) {
        let position = self.socket.receive.position();
        let taken = payload.segments().map(|bytes| self.socket.receive.write_all(bytes)).sum();
        self.take_urgent_byte(position, payload, taken);
        let steps = u32::try_from(taken).unwrap_or(u32::MAX);
        self.rcv.nxt += steps;
        self.rcv.full = self.rcv.full.max(u16::try_from(taken).unwrap_or(u16::MAX));
    }

    /// Eighth: check the FIN bit. While the application has not closed its ACK may wait for our own, or for an answer.
    fn process_fin(&mut self, cx: &mut Context<'_>) -> Step {
        self.rcv.nxt += 1;
        if cx.config.delay_fin_ack && self.state == State::Established {
            self.schedule_ack(cx, false);
            self.tell_marks(cx);
        } else {
            self.ack_now();
        }
        self.reassembly = None;
        self.socket.receive.finish();
        let told = Readiness::READABLE | Readiness::READ_CLOSED;
        self.socket.raise(&mut cx.net.readies, told);
        self.advance(Event::FinArrived);
        if self.state == State::TimeWait {
            self.socket.end(&mut cx.net.readies);
        }
        done()
    }

    /// The ACK of data may wait for company (section 3.8.6.3): not for long, not for more than one full segment, not at
    /// the start, and not while the peer may be repairing a loss (RFC 5681, section 4.2).
    fn schedule_ack(&mut self, cx: &Context<'_>, filled_a_gap: bool) {
        let unacknowledged = self.rcv.nxt.offset_from(self.rcv.acked);
        let quick = self.ack.quick > 0 && !self.ack.interactive;
        let at_once = unacknowledged > u32::from(self.rcv.full) || quick || filled_a_gap;
        if at_once {
            self.ack.owed = Owed::Now;
        } else if self.ack.owed == Owed::Nothing {
            self.ack.owed = Owed::Soon;
            self.deadlines.delayed_ack = cx.now() + cx.config.delayed_ack;
        }
    }

    /// The delayed ACK has waited long enough.
    pub(super) fn delayed_ack_due(&mut self, cx: &Context<'_>) {
        if self.ack.owed == Owed::Soon {
            cx.net.metrics.count(Counter::TcpDelayedAcks);
            self.ack_now();
            // Nothing has come for it to ride on.
            self.ack.interactive = false;
        }
        self.deadlines.delayed_ack = Instant::FAR_FUTURE;
    }

    /// What is kept beside the stream, begun if there is nothing yet.
    pub(super) fn reassembly_queue(&mut self) -> &mut Reassembly {
        self.reassembly.get_or_insert_with(|| Box::new(Reassembly::new(Limits::NOTHING)))
    }

    /// What was offered counts, if the application has asked for less since. And a connection may hold as many frames as it leaves to the
    /// others: a long path needs thousands, and the last belong to nobody.
    fn reassembly_limits(&self, spare_frames: usize) -> Limits {
        let bytes = self.socket.receive.limit().max(self.receive_window() as usize);
        Limits { bytes, frames: spare_frames }
    }

    /// Out of order: kept until the gap before it is filled. The peer is told at once and for each such segment, because
    /// it counts the duplicates (RFC 5681, section 4.2).
    fn keep_for_later(
        &mut self,
        cx: &mut Context<'_>,
        seq: Seq,
        payload: Frame,
        fin: bool,
    ) -> Step {
        let len = u32::try_from(payload.len()).unwrap_or(0);
        let next = self.rcv.nxt;
        let limits = self.reassembly_limits(cx.net.spare_frames());
        let queue = self.reassembly_queue();
        queue.limits = limits;
        let twice = queue.overlap(seq, seq + len);
        let ends_elsewhere = fin && queue.note_fin(seq + len).is_err();
        let memory = cx.memory.admit_out_of_order(payload.len());
        let kept = match len {
            0 => None,
            _ if memory.is_err() => None,
            // The last frames are the device's: what waits here may wait for ever.
            _ if cx.net.spare_frames() == 0 => Some(Insertion::Full),
            _ => Some(queue.insert(next, seq, payload)),
        };
        if let Some(SackBlock { left, right }) = twice {
            self.note_duplicate(left, right);
        }
        self.send_ack(cx);
        if ends_elsewhere {
            return dropped(Drop::TcpFlags);
        }
        if let Err(limit) = memory {
            return dropped(limit);
        }
        match kept {
            None | Some(Insertion::Held) => Continue(()),
            Some(Insertion::HeldInstead(frames)) => {
                (0..frames).for_each(|_| cx.net.metrics.count_drop(Drop::TcpReassemblyFull));
                Continue(())
            }
            Some(Insertion::Nothing) => dropped(Drop::TcpDuplicate),
            Some(Insertion::Full) => dropped(Drop::TcpReassemblyFull),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::Shutdown;

    use crate::counters::Counter;
    use crate::drops::Drop;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    #[test]
    fn data_reaches_the_application_and_is_acknowledged_soon() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
        assert_eq!(t.sent(), [""; 0], "the ACK waits for company");
        t.at(39);
        assert_eq!(t.sent(), [""; 0]);
        t.at(40);
        assert_eq!(t.sent(), ["A 1 ack 11"]);
        assert_eq!(t.count(Counter::TcpDelayedAcks), 1);
    }

    #[test]
    fn an_ack_rides_on_data() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        t.write(5);
        assert_eq!(t.sent(), ["PA 1+5 ack 11"]);
        t.at(100);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn every_second_full_segment_is_acknowledged() {
        let mut t = Harness::connected();
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 1001+1000 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 2001"]);
        t.input("A 2001+1000 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 3001+1000 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 4001"]);
    }

    /// What a device has put together stands for many segments, however large the one before was.
    #[test]
    fn what_is_larger_than_a_segment_is_acknowledged_at_once() {
        let mut t = Harness::connected();
        t.input("A 1+20000 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 20001"]);
        assert_eq!(t.read(50_000).unwrap(), 20_000);
        t.input("A 20001+10000 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 30001"]);
        t.input("A 30001+1460 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0], "a full segment waits for company");
    }

    #[test]
    fn a_burst_is_acknowledged_once() {
        let mut t = Harness::connected();
        t.burst(&["A 1+1000 ack 1", "A 1001+1000 ack 1", "A 2001+1000 ack 1"]);
        assert_eq!(t.sent(), ["A 1 ack 3001"]);
    }

    #[test]
    fn at_the_start_acks_are_not_delayed() {
        let mut t = Harness::connected();
        t.connection(|c| c.ack.quick = 2);
        t.input("A 1+10 ack 1").unwrap();
        t.input("A 11+10 ack 1").unwrap();
        t.input("A 21+10 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 11", "A 1 ack 21"]);
    }

    #[test]
    fn out_of_order_data_waits_and_is_complained_about() {
        let mut t = Harness::connected();
        t.burst(&["A 1001+1000 ack 1", "A 2001+1000 ack 1"]);
        assert_eq!(t.sent(), ["A 1 ack 1", "A 1 ack 1"], "one duplicate ACK for each");
        assert!(t.read(1).is_err());
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 3001"], "a filled gap is acknowledged at once");
        assert_eq!(t.read(9000).unwrap(), 3000);
        assert_eq!(t.frames_held(), 0);
    }

    /// What waits for a gap may wait for ever: the device must not run out of frames over it.
    #[test]
    fn the_last_frames_hold_nothing_out_of_order() {
        let mut t = Harness::connected();
        let mut others = vec![];
        while t.net.spare_frames() > 0 {
            others.push(t.net.alloc().unwrap());
        }
        assert_eq!(t.input("A 1001+1000 ack 1"), Err(Drop::TcpReassemblyFull));
        assert_eq!(t.sent(), ["A 1 ack 1"]);
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(t.read(9000).unwrap(), 1000);
    }

    /// Behind one lost segment of a path of a gigabit and 100 ms there are thousands.
    #[test]
    fn half_of_the_frames_that_are_spare_may_wait_for_one_gap() {
        let mut t = Harness::connected();
        let spare = t.net.spare_frames();
        assert!(spare > 400, "{spare}");
        for n in 1..spare {
            let _ = t.input(&format!("A {}+1 ack 1", 1 + n));
            t.sent();
        }
        let held = t.frames_held();
        assert!((spare / 2 - 32..=spare / 2 + 1).contains(&held), "{held} of {spare}");
        t.input("A 1+1 ack 1").unwrap();
        assert_eq!(t.sent(), [format!("A 1 ack {}", held + 2)]);
    }

    #[test]
    fn a_fin_out_of_order_waits_for_the_data_before_it() {
        let mut t = Harness::connected();
        t.input("FA 11+10 ack 1").unwrap();
        t.input("FA 21 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 1", "A 1 ack 1"]);
        t.input("A 1+10 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 22"]);
        assert_eq!(t.read(100).unwrap(), 20);
        assert_eq!(t.read(100).unwrap(), 0);
    }

    #[test]
    fn overlaps_are_delivered_once() {
        let mut t = Harness::connected();
        t.input("A 501+1000 ack 1").unwrap();
        t.input("A 2001+1000 ack 1").unwrap();
        t.input("A 1+2500 ack 1").unwrap();
        t.input("A 400+700 ack 1").unwrap_err();
        t.read(1500).unwrap();
        t.input("A 1401+900 ack 1").unwrap();
        assert_eq!(t.read(9000).unwrap(), 1500);
    }

    #[test]
    fn an_end_is_known_before_what_comes_first_is_read() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        assert!(!t.stream().is_read_finished());
        t.input("FA 11 ack 1").unwrap();
        assert_eq!((t.stream().is_read_finished(), t.stream().readable()), (true, 10));
    }

    /// What was shown may be consumed, whoever has shut down the reading meanwhile.
    #[test]
    fn asking_for_the_end_takes_nothing_away() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        let shown = t.stream().fill_buf().unwrap().len();
        t.stream().control().shutdown(Shutdown::Read);
        assert_eq!((shown, t.stream().is_read_finished()), (10, true));
        t.stream().consume(shown);
    }

    /// As in Linux: an application that closes soon saves a segment.
    #[test]
    fn the_ack_of_a_fin_may_wait_for_ours() {
        let waiting = TcpConfig { delay_fin_ack: true, ..Harness::plain() };
        let mut t = Harness::connected_with(&waiting);
        t.input("FPA 1+10 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        assert_eq!((t.read(100).unwrap(), t.read(100).unwrap()), (10, 0));
        t.at(20).close();
        assert_eq!(t.sent(), ["FA 1 ack 12"]);

        let mut t = Harness::connected_with(&waiting);
        t.input("FPA 1+10 ack 1").unwrap();
        t.at(39);
        assert_eq!(t.sent(), [""; 0]);
        t.at(40);
        assert_eq!(t.sent(), ["A 1 ack 12"]);

        let mut t = Harness::connected_with(&waiting);
        t.connection(|c| c.ack.quick = 1);
        t.input("FA 1 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 2"], "not at the start");

        let mut t = Harness::connected_with(&waiting);
        t.close();
        t.sent();
        t.input("FA 1 ack 2").unwrap();
        assert_eq!(t.sent(), ["A 2 ack 2"], "nothing of ours follows");
    }

    #[test]
    fn a_fin_is_acknowledged_at_once_and_ends_the_stream() {
        let mut t = Harness::connected();
        t.input("FPA 1+10 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 12"]);
        assert_eq!(t.read(100).unwrap(), 10);
        assert_eq!(t.read(100).unwrap(), 0);
        // The other direction goes on.
        t.write(3);
        assert_eq!(t.sent(), ["PA 1+3 ack 12"]);
    }
}
