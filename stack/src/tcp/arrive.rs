//! SEGMENT ARRIVES (RFC 9293, section 3.10.7): the steps in the RFC's order, each of which may end the processing.

use std::ops::ControlFlow::{self, Break, Continue};

use super::config::ErrorMapping;
use super::connection::{Connection, Context, seconds};
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use crate::drops::Drop;
use crate::socket::Failure;
use crate::wire::tcp::Flags;

/// Whether the next step follows, or what ended the processing.
pub(super) type Step = ControlFlow<Disposition>;

/// How the processing of a segment ended before its last step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Disposition {
    /// It did what it was sent for.
    Done,
    /// It, or the rest of it, is thrown away.
    Dropped(Drop),
}

pub(super) fn done() -> Step {
    Break(Disposition::Done)
}

pub(super) fn dropped(reason: Drop) -> Step {
    Break(Disposition::Dropped(reason))
}

impl Connection {
    /// A segment of this connection has arrived.
    pub(super) fn arrive(
        &mut self,
        cx: &mut Context<'_>,
        mut segment: Segment,
    ) -> Result<(), Drop> {
        self.authenticate(&mut segment)?;
        let opening = !self.state.is_synchronized();
        let step = match self.state {
            State::SynSent => self.arrive_in_syn_sent(cx, segment),
            _ => self.arrive_otherwise(cx, segment),
        };
        if opening && self.state.is_synchronized() {
            // What had to wait for the handshake.
            self.look_at_application(cx);
        }
        self.tell_urgent(cx);
        match step {
            Continue(()) | Break(Disposition::Done) => Ok(()),
            Break(Disposition::Dropped(reason)) => Err(reason),
        }
    }

    /// Section 3.10.7.4. The third step, security, has been taken [before the first](super::auth).
    fn arrive_otherwise(&mut self, cx: &mut Context<'_>, mut segment: Segment) -> Step {
        let (begins, carried) = (segment.seq, segment.payload_len());
        if self.opens_again(&segment) {
            if self.contradicts_syn(cx, &segment) {
                self.reset_for(cx, &segment);
                self.fail(cx, Failure::Reset);
                return dropped(Drop::TcpSynUnexpected);
            }
            self.send_syn(cx);
            return dropped(Drop::TcpDuplicate);
        }
        self.check_timestamps(cx, &segment)?;
        self.check_sequence(cx, &mut segment)?;
        self.check_reset(cx, &segment)?;
        self.check_syn(cx, &segment)?;
        self.process_ack(cx, &segment)?;
        self.remember_timestamp(cx, &segment, begins);
        self.process_urgent(cx, &segment);
        self.notice_mark(cx, &segment, carried);
        self.process_text_and_fin(cx, segment)?;
        self.tell_marks(cx);
        Continue(())
    }

    /// First, with timestamps: an old one makes the segment an old one, whatever its number (PAWS, RFC 7323,
    /// section 5.3, R1). A reset carries none that means anything.
    fn check_timestamps(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        if !self.timestamps.enabled || segment.has(Flags::RST) {
            return Continue(());
        }
        let Some(timestamps) = segment.timestamps() else {
            if segment.has(Flags::SYN) {
                // A peer that has restarted may have given up timestamps. It is to learn of us (RFC 5961, section 4).
                return Continue(());
            }
            // Once agreed on it is in every segment (RFC 7323, section 3.2: SHOULD drop without a word).
            return dropped(Drop::TcpTimestampMissing);
        };
        let old = timestamps.value.wrapping_sub(self.timestamps.recent).cast_signed() < 0;
        let outdated =
            seconds(cx.now()).saturating_sub(self.timestamps.recent_at) > TIMESTAMP_LIFE_SECONDS;
        if old && !outdated {
            self.answer_unacceptable(cx, segment);
            return dropped(Drop::TcpPaws);
        }
        Continue(())
    }

    /// First: check the sequence number. What is outside of the window is cut off; if nothing is left, the segment is
    /// not acceptable, and is answered with an ACK (table 6).
    fn check_sequence(&mut self, cx: &mut Context<'_>, segment: &mut Segment) -> Step {
        let (nxt, edge) = (self.rcv.nxt, self.rcv.edge);
        self.accept_crossing_syn(segment);
        let occupied = segment.len();
        if self.is_acceptable(segment) {
            // Resets and SYNs are judged by the number that they came with (RFC 5961), and nothing of them is kept.
            if segment.flags.intersects(Flags::RST | Flags::SYN) {
                return Continue(());
            }
            self.note_duplicate(segment.seq, nxt.earlier(segment.seq + segment.payload_len()));
            segment.trim_before(nxt);
            if segment.end().follows(edge) {
                segment.trim_from(edge);
                self.ack_now();
            }
            return Continue(());
        }
        if segment.has(Flags::RST) {
            return dropped(Drop::TcpResetUnacceptable);
        }
        if segment.seq == nxt && occupied > 0 && !segment.has(Flags::SYN) {
            // The window is closed, and this tests whether it still is. What it acknowledges counts all the same.
            segment.trim_from(edge);
            self.ack_now();
            cx.net.metrics.count_drop(Drop::TcpWindow);
            return Continue(());
        }
        self.note_duplicate(segment.seq, nxt.earlier(segment.seq + segment.payload_len()));
        self.answer_unacceptable(cx, segment);
        let whole_is_old = occupied > 0 && segment.end().at_or_before(nxt);
        dropped(if whole_is_old { Drop::TcpDuplicate } else { Drop::TcpUnacceptable })
    }

    /// Where both sides have called at once, each gets the other's SYN a second time, with the acknowledgement of its own
    /// (figure 8): only what follows that SYN is looked at. A reset is none of that, whatever else it has.
    fn accept_crossing_syn(&mut self, segment: &mut Segment) {
        let crossing = segment.has(Flags::SYN | Flags::ACK)
            && !segment.has(Flags::RST)
            && segment.seq == self.rcv.irs;
        if self.state == State::SynReceived && crossing {
            segment.trim_before(self.rcv.nxt);
            self.notice_crossing_syn_ack(segment);
        }
    }

    /// Table 6 of the RFC.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let (nxt, window) = (self.rcv.nxt, self.receive_window());
        match (segment.len(), window) {
            (0, 0) => segment.seq == nxt,
            (0, _) => segment.seq.is_within(nxt, window),
            (_, 0) => false,
            (len, _) => {
                let last = segment.seq + (len - 1);
                segment.seq.is_within(nxt, window) || last.is_within(nxt, window)
            }
        }
    }

    /// An ACK tells a peer that is out of step where we are. Two ends that are both out of step would go on telling
    /// each other: those without data are answered within a limit.
    fn answer_unacceptable(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        self.notice_syn_ack_again(segment);
        if segment.payload_len() > 0 || segment.has(Flags::FIN) {
            self.ack_now();
        } else {
            self.answer_probe(cx);
            self.syn_ack_is_answered();
        }
    }

    /// TS.Recent follows the peer's clock where the segment, which began at `begins`, spans what was last acknowledged (RFC 7323,
    /// section 4.3). Only once it has passed every check: a forged one would make all that follow old.
    fn remember_timestamp(&mut self, cx: &Context<'_>, segment: &Segment, begins: Seq) {
        if let Some(timestamps) = segment.timestamps().filter(|_| self.timestamps.enabled)
            && begins.at_or_before(self.rcv.acked)
        {
            self.timestamps.recent = timestamps.value;
            self.timestamps.recent_at = seconds(cx.now());
        }
    }

    /// Second: check the RST bit (with RFC 5961, section 3). Only one that is exactly in sequence is believed; one that
    /// could be a guess makes us ask the peer.
    fn check_reset(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        if !segment.has(Flags::RST) {
            return Continue(());
        }
        if segment.seq != self.rcv.nxt {
            self.challenge(cx);
            return dropped(Drop::TcpResetUnacceptable);
        }
        let failure = match self.state {
            State::SynReceived if !self.is_early() => Failure::Refused,
            State::CloseWait if cx.config.errors == ErrorMapping::Linux => Failure::BrokenPipe,
            _ => Failure::Reset,
        };
        self.fail(cx, failure);
        done()
    }

    /// Fourth: check the SYN bit. A peer that has restarted learns from our ACK that we have not, and resets us
    /// (RFC 5961, section 4).
    fn check_syn(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Step {
        if !segment.has(Flags::SYN) {
            return Continue(());
        }
        self.challenge(cx);
        dropped(Drop::TcpSynInWindow)
    }
}

/// After this long a timestamp of the peer's may have wrapped (RFC 7323, section 5.5).
const TIMESTAMP_LIFE_SECONDS: u32 = 24 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counter;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    const NOTHING: [&str; 0] = [];

    fn with_timestamps() -> Harness {
        let mut t =
            Harness::connecting(&TcpConfig { window_scaling: false, ..TcpConfig::default() });
        t.sent();
        t.input("SA 0 ack 1 mss 1000 ts 1000:0").unwrap();
        t.sent();
        t.connection(|connection| connection.ack.quick = 0);
        t
    }

    #[test]
    fn a_timestamp_counts_only_in_a_segment_that_is_acceptable_as_a_whole() {
        let mut t = with_timestamps();
        let forged = [
            ("FA 1 ack 9999 ts 900000:0", Drop::TcpAckUnacceptable),
            ("S 1 ts 900000:0", Drop::TcpSynInWindow),
        ];
        for (segment, want) in forged {
            assert_eq!(t.input(segment), Err(want), "{segment}");
        }
        t.sent();
        t.input("A 1+1000 ack 1 ts 1001:0").unwrap();
        assert_eq!(t.connection(|connection| connection.timestamps.recent), 1001);
    }

    #[test]
    fn only_a_reset_exactly_in_sequence_is_believed() {
        for (segment, want, answer) in [
            ("R 1", Ok(()), vec![]),
            ("RA 1 ack 1", Ok(()), vec![]),
            ("R 2", Err(Drop::TcpResetUnacceptable), vec!["A 1 ack 1"]),
            ("R 65535", Err(Drop::TcpResetUnacceptable), vec!["A 1 ack 1"]),
            ("R 0", Err(Drop::TcpResetUnacceptable), vec![]),
            ("R 65536", Err(Drop::TcpResetUnacceptable), vec![]),
            ("R -100+200", Err(Drop::TcpResetUnacceptable), vec!["A 1 ack 1"]),
            ("RS 0+5", Err(Drop::TcpResetUnacceptable), vec!["A 1 ack 1"]),
        ] {
            let mut t = Harness::connected();
            assert_eq!(t.input(segment), want, "{segment}");
            assert_eq!(t.sent(), answer, "{segment}");
            assert_eq!(t.state().is_none(), want.is_ok(), "{segment}");
        }
    }

    /// The SYN, ACK that comes where both have called begins one before what is expected.
    #[test]
    fn a_reset_with_a_crossing_syn_is_not_in_sequence() {
        let mut t = Harness::connecting(&Harness::plain());
        assert_eq!(t.sent(), ["S 0"]);
        t.input("S 0").unwrap();
        assert_eq!(t.input("SRA 0 ack 1"), Err(Drop::TcpResetUnacceptable));
        assert_eq!(t.state(), Some(State::SynReceived));
        t.input("SA 0 ack 1").unwrap();
        assert_eq!(t.state(), Some(State::Established));
    }

    #[test]
    fn a_reset_is_told_once_and_after_what_came_before_it() {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        t.input("R 11").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
        assert_eq!(t.read(100).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(t.read(100).unwrap(), 0);
        assert_eq!(t.count(Counter::TcpEstabResets), 1);
    }

    #[test]
    fn a_syn_on_a_connection_is_challenged() {
        for segment in ["S 0", "S 1", "S 500", "S 70000", "SA 1 ack 1", "SPA 0+5 ack 1"] {
            let mut t = Harness::connected();
            t.input(segment).unwrap_err();
            assert_eq!(t.sent(), ["A 1 ack 1"], "{segment}");
            assert_eq!(t.state(), Some(State::Established), "{segment}");
        }
    }

    #[test]
    fn what_lies_outside_of_the_window_is_answered_and_dropped() {
        for (segment, want) in [
            ("A 0 ack 1", Drop::TcpUnacceptable),
            ("PA 65536+10 ack 1", Drop::TcpUnacceptable),
            ("PA -50+10 ack 1", Drop::TcpDuplicate),
            ("FA -50 ack 1", Drop::TcpDuplicate),
        ] {
            let mut t = Harness::connected();
            assert_eq!(t.input(segment), Err(want), "{segment}");
            assert_eq!(t.sent(), ["A 1 ack 1"], "{segment}");
        }
    }

    #[test]
    fn only_the_part_within_the_window_is_taken() {
        let mut t = Harness::connected();
        t.input("PA 1+100 ack 1").unwrap();
        t.input("PA 51+100 ack 1").unwrap();
        assert_eq!(t.read(1000).unwrap(), 150);
        let config = TcpConfig { receive_buffer: 4096, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.input("FPA 1+4200 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 4097"], "neither the rest nor the FIN behind it");
        assert_eq!(t.read(9000).unwrap(), 4096);
    }

    #[test]
    fn acks_outside_of_what_can_be_are_challenged() {
        let mut t = Harness::connected();
        t.write(100);
        t.sent();
        for (segment, want) in [
            ("PA 1+10 ack 102", Err(Drop::TcpAckUnacceptable)),
            ("PA 1+10 ack -70000", Err(Drop::TcpAckUnacceptable)),
            ("PA 1+10 ack -65000", Ok(())),
        ] {
            assert_eq!(t.input(segment), want, "{segment}");
            assert_eq!(
                t.sent(),
                if want.is_err() { vec!["A 101 ack 1"] } else { vec![] },
                "{segment}"
            );
        }
        assert_eq!(t.read(100).unwrap(), 10, "an old ACK does not spoil the data with it");
        assert_eq!(t.input("P 11+10"), Err(Drop::TcpNoAck));
        assert_eq!(t.sent(), NOTHING);
    }

    #[test]
    fn an_old_timestamp_makes_an_old_segment() {
        let mut t = with_timestamps();
        t.input("PA 1+10 ack 1 ts 1001:0").unwrap();
        t.at(40);
        assert_eq!(t.last().options.timestamps.unwrap().echo, 1001);
        assert_eq!(t.input("PA 11+10 ack 1 ts 1000:0"), Err(Drop::TcpPaws));
        assert_eq!(t.sent(), ["A 1 ack 11"]);
        assert_eq!(t.input("PA 11+10 ack 1"), Err(Drop::TcpTimestampMissing));
        assert_eq!(t.sent(), NOTHING);
        // A reset needs none, and an old one does no harm.
        t.input("R 11 ts 5:0").unwrap();
        assert_eq!(t.state(), None);
    }

    #[test]
    fn a_syn_is_challenged_whatever_its_timestamp() {
        for segment in ["S 1", "S 70000", "S 1 ts 1:0", "S 1 ts 2000:0", "SA 1 ack 1"] {
            let mut t = with_timestamps();
            t.input(segment).unwrap_err();
            assert_eq!(t.sent(), ["A 1 ack 1"], "{segment}");
        }
    }

    #[test]
    fn a_timestamp_is_forgotten_after_24_days() {
        let mut t = with_timestamps();
        let days = |days: u64| days * 24 * 3600 * 1000;
        t.at(days(23));
        assert_eq!(t.input("PA 1+10 ack 1 ts 999:0"), Err(Drop::TcpPaws));
        t.at(days(25));
        t.input("PA 1+10 ack 1 ts 999:0").unwrap();
    }

    #[test]
    fn only_what_spans_the_last_ack_moves_the_timestamp() {
        let mut t = with_timestamps();
        t.input("PA 11+10 ack 1 ts 2000:0").unwrap();
        assert_eq!(t.last().options.timestamps.unwrap().echo, 1000);
        t.input("PA 1+10 ack 1 ts 1500:0").unwrap();
        assert_eq!(t.last().options.timestamps.unwrap().echo, 1500);
    }

    #[test]
    fn a_closed_window_still_takes_acks_and_resets() {
        let config = TcpConfig { receive_buffer: 4096, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.write(10);
        t.sent();
        for part in 0..4 {
            t.input(&format!("A {}+1024 ack 1", 1 + part * 1024)).unwrap();
        }
        assert_eq!(t.emitted().last().unwrap().window, 0);
        t.input("A 4097+1 ack 11").unwrap();
        let answer = t.last();
        assert_eq!((answer.text.as_str(), answer.window), ("A 11 ack 4097", 0));
        t.connection(|c| assert!(!c.is_outstanding(), "the ACK on the probe counts"));
        t.input("R 4097").unwrap();
        assert_eq!(t.state(), None);
    }

    #[test]
    fn urgent_data_is_data() {
        let mut t = Harness::connected();
        t.input("UPA 1+10 ack 1").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
    }
}
