//! HyStart++ (RFC 9406): ends slow start where the round trip grows, before it ends in losses.
//!
//! A round whose shortest round trip is clearly longer than that of the round before has met a queue. What follows is
//! Conservative Slow Start (CSS), a quarter as fast; if the round trip shrinks again it was jitter, and slow start goes on.

use crate::time::Span;

use super::controller::Ack;

/// The slow start of one connection, its first one only (section 4.3). Times are microseconds, [`UNKNOWN`] for none.
#[derive(Clone, Debug)]
pub(super) struct HyStart {
    /// lastRoundMinRTT.
    last_round: u32,
    /// currentRoundMinRTT.
    this_round: u32,
    /// How many round trips the current round has shown: rttSampleCount.
    samples: u8,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    SlowStart,
    /// CSS, since `baseline` (cssBaselineMinRtt) was seen; `rounds` have ended in it.
    Conservative {
        baseline: u32,
        rounds: u8,
    },
    /// Every later slow start is an ordinary one.
    Over,
}

/// How the window grows with an ACK below ssthresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    Full,
    /// Divided by [`CSS_GROWTH_DIVISOR`].
    Conservative,
    /// The path is full: congestion avoidance begins.
    Avoid,
}

impl HyStart {
    pub(super) const NEW: Self =
        Self { last_round: UNKNOWN, this_round: UNKNOWN, samples: 0, phase: Phase::SlowStart };

    /// Section 4.2, for each ACK below ssthresh.
    pub(super) fn on_ack(&mut self, ack: &Ack) -> Pace {
        if ack.round_start {
            self.begin_round();
        }
        if let Some(round_trip) = ack.round_trip {
            self.this_round = self.this_round.min(micros(round_trip));
            let acks = u8::try_from(ack.acks).unwrap_or(u8::MAX);
            self.samples = self.samples.saturating_add(acks);
        }
        if self.samples >= N_RTT_SAMPLE {
            self.compare();
        }
        match self.phase {
            Phase::Conservative { rounds, .. } if rounds >= CSS_ROUNDS => {
                self.end();
                Pace::Avoid
            }
            Phase::Conservative { .. } => Pace::Conservative,
            Phase::SlowStart | Phase::Over => Pace::Full,
        }
    }

    /// A loss or a mark has ended slow start.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Over;
    }

    /// A round in the middle of which CSS began counts as one of its own.
    fn begin_round(&mut self) {
        self.last_round = self.this_round;
        self.this_round = UNKNOWN;
        self.samples = 0;
        if let Phase::Conservative { rounds, .. } = &mut self.phase {
            *rounds += 1;
        }
    }

    /// Into CSS if this round is slower than the last, and back if it is faster than that one was.
    fn compare(&mut self) {
        match self.phase {
            Phase::SlowStart if self.has_slowed() => {
                self.phase = Phase::Conservative { baseline: self.this_round, rounds: 0 };
            }
            Phase::Conservative { baseline, .. } if self.this_round < baseline => {
                self.phase = Phase::SlowStart;
            }
            _ => {}
        }
    }

    fn has_slowed(&self) -> bool {
        let threshold = (self.last_round / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
        self.last_round != UNKNOWN && self.this_round >= self.last_round.saturating_add(threshold)
    }
}

fn micros(span: Span) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(UNKNOWN - 1).min(UNKNOWN - 1)
}

const UNKNOWN: u32 = u32::MAX;

// Section 4.3. Times in microseconds.
const MIN_RTT_THRESH: u32 = 4_000;
const MAX_RTT_THRESH: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
pub(super) const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::fixture::{MSS, ack};

    /// A round of ACKs that show these round trips, in microseconds; what the last of them says.
    fn round(hystart: &mut HyStart, round_trips: &[u64]) -> Pace {
        let mut pace = Pace::Full;
        for (n, micros) in round_trips.iter().enumerate() {
            let round_trip = Some(Span::from_micros(*micros));
            pace = hystart.on_ack(&Ack { round_trip, round_start: n == 0, ..ack(MSS, 10 * MSS) });
        }
        pace
    }

    /// In CSS, with rounds of 50 ms before it and a baseline of 60 ms.
    fn conservative() -> HyStart {
        let mut hystart = HyStart::NEW;
        round(&mut hystart, &[50_000; 8]);
        assert_eq!(round(&mut hystart, &[60_000; 8]), Pace::Conservative);
        hystart
    }

    #[test]
    fn a_round_that_is_an_eighth_slower_ends_slow_start() {
        for (name, last, this, want) in [
            ("an eighth of 80 ms", 80_000, 90_000, Pace::Conservative),
            ("a little less", 80_000, 89_999, Pace::Full),
            ("of a short path 4 ms", 1_000, 5_000, Pace::Conservative),
            ("and not less", 1_000, 4_999, Pace::Full),
            ("of a long path 16 ms", 400_000, 416_000, Pace::Conservative),
            ("and not less", 400_000, 415_999, Pace::Full),
        ] {
            let mut hystart = HyStart::NEW;
            assert_eq!(round(&mut hystart, &[last; 8]), Pace::Full, "{name}: nothing to compare");
            assert_eq!(round(&mut hystart, &[this; 8]), want, "{name}");
        }
    }

    #[test]
    fn it_takes_eight_round_trips_and_the_shortest_counts() {
        let mut hystart = HyStart::NEW;
        round(&mut hystart, &[50_000; 8]);
        assert_eq!(round(&mut hystart, &[80_000; 7]), Pace::Full, "seven prove nothing");
        let mut hystart = HyStart::NEW;
        round(&mut hystart, &[50_000; 8]);
        let mut one_is_short = [80_000; 20];
        one_is_short[3] = 50_000;
        assert_eq!(round(&mut hystart, &one_is_short), Pace::Full);
        let mut hystart = HyStart::NEW;
        round(&mut hystart, &[50_000; 8]);
        round(&mut hystart, &[]);
        let mut one_was_short = [80_000; 8];
        one_was_short[0] = 50_000;
        round(&mut hystart, &one_was_short);
        assert_eq!(round(&mut hystart, &[80_000; 8]), Pace::Conservative);
    }

    #[test]
    fn slow_start_goes_on_after_jitter() {
        let mut hystart = conservative();
        assert_eq!(round(&mut hystart, &[60_000; 8]), Pace::Conservative, "no shorter");
        assert_eq!(round(&mut hystart, &[59_000; 7]), Pace::Conservative, "seven prove nothing");
        assert_eq!(round(&mut hystart, &[59_999; 8]), Pace::Full);
        assert_eq!(round(&mut hystart, &[59_999; 8]), Pace::Full);
        assert_eq!(round(&mut hystart, &[70_000; 8]), Pace::Conservative, "until the next time");
    }

    /// CSS begins in the middle of a round, which is the first of its five.
    #[test]
    fn conservative_slow_start_lasts_five_rounds() {
        let mut hystart = conservative();
        for _ in 0..4 {
            assert_eq!(round(&mut hystart, &[60_000; 8]), Pace::Conservative);
        }
        assert_eq!(round(&mut hystart, &[60_000]), Pace::Avoid);
        for _ in 0..3 {
            assert_eq!(round(&mut hystart, &[90_000; 8]), Pace::Full, "later ones are ordinary");
        }
    }

    #[test]
    fn a_loss_ends_it_for_good() {
        let mut hystart = conservative();
        hystart.end();
        for round_trip in [60_000, 90_000, 120_000] {
            assert_eq!(round(&mut hystart, &[round_trip; 8]), Pace::Full);
        }
    }
}
