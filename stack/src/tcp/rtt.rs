//! The retransmission timeout (RFC 6298), with RFC 7323's weights where a round trip gives many samples.

use crate::time::Span;
use std::num::NonZeroU64;

/// What a connection knows about its round trips, and the timeout that follows from it.
///
/// Deviation: RFC 6298 wants no timeout below a second (SHOULD, rule 2.4). Here the margin above the SRTT has the minimum, 200 ms by
/// default as in Linux: the peer may delay an ACK for that long, however long the path is.
#[derive(Clone, Debug)]
pub(crate) struct Rtt {
    smoothed: Option<Smoothed>,
    /// In nanoseconds.
    rto: u64,
}

/// The bounds of the timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtoLimits {
    /// Before the first sample (rule 2.1).
    pub(crate) initial: Span,
    /// Of what is added to the SRTT. It takes the place of the clock's resolution, G in the RFC.
    pub(crate) min: Span,
    /// At least a minute (rule 2.5).
    pub(crate) max: Span,
}

impl Rtt {
    pub(crate) fn new(limits: &RtoLimits) -> Self {
        Self { smoothed: None, rto: nanos(limits.initial) }
    }

    /// How long to wait for an ACK before sending again, back-off included.
    pub(crate) fn rto(&self) -> Span {
        Span::from_nanos(self.rto)
    }

    /// The smoothed round-trip time, once there was a sample.
    pub(crate) fn srtt(&self) -> Option<Span> {
        self.smoothed.map(|smoothed| Span::from_nanos(smoothed.srtt.get()))
    }

    /// Learns from a round trip (rules 2.2 and 2.3), and forgets any back-off.
    ///
    /// By Karn's algorithm no sample may come from data that was sent twice, unless a timestamp
    /// says which of the two was acknowledged. `per_round` is how many samples a round trip is expected
    /// to give: 1 for a handshake, else see [`samples_per_round`]. A sample beyond `limits.max`
    /// counts as that: peers can echo any timestamp.
    pub(crate) fn sample(&mut self, limits: &RtoLimits, round_trip: Span, per_round: u32) {
        let round_trip = nanos(round_trip.min(limits.max));
        let smoothed = match self.smoothed {
            None => Smoothed { srtt: at_least_one(round_trip), variation: round_trip / 2 },
            Some(before) => before.after(round_trip, u64::from(per_round.max(1))),
        };
        self.smoothed = Some(smoothed);
        let margin = smoothed.variation.saturating_mul(4).max(nanos(limits.min));
        self.rto = smoothed.srtt.get().saturating_add(margin).min(nanos(limits.max));
    }

    /// The timeout has passed without an ACK: doubles it (rule 5.5). It stays so until the next sample.
    pub(crate) fn back_off(&mut self, limits: &RtoLimits) {
        self.rto = self.rto.saturating_mul(2).min(nanos(limits.max));
    }

    /// Data may flow after a handshake whose SYN or SYN-ACK was sent again: an initial timeout below
    /// three seconds was perhaps too short for this path, so three seconds it is (rule 5.7). The first sample
    /// from data decides again.
    pub(crate) fn distrust_handshake(&mut self, limits: &RtoLimits) {
        if limits.initial < AFTER_LOST_SYN {
            self.rto = nanos(AFTER_LOST_SYN.min(limits.max));
        }
    }
}

/// How many samples a round trip gives when every ACK gives one, and acknowledges two segments
/// (RFC 7323, appendix G).
pub(crate) fn samples_per_round(flight: u32, mss: u32) -> u32 {
    flight.div_ceil(mss.saturating_mul(2).max(1)).max(1)
}

/// SRTT and RTTVAR, in nanoseconds. A round trip that takes no time takes one.
#[derive(Clone, Copy, Debug)]
struct Smoothed {
    srtt: NonZeroU64,
    variation: u64,
}

impl Smoothed {
    /// Weighs a sample with 1/8 and its deviation with 1/4, less if a round trip gives several
    /// (RFC 7323, appendix G). The variation comes first: it needs the SRTT before the sample.
    fn after(self, round_trip: u64, per_round: u64) -> Self {
        let deviation = self.srtt.get().abs_diff(round_trip);
        Self {
            variation: toward(self.variation, deviation, 4 * per_round),
            srtt: at_least_one(toward(self.srtt.get(), round_trip, 8 * per_round)),
        }
    }
}

/// One `parts`-th of the way from one number to the other.
fn toward(from: u64, to: u64, parts: u64) -> u64 {
    if to >= from { from + (to - from) / parts } else { from - (from - to) / parts }
}

fn at_least_one(nanos: u64) -> NonZeroU64 {
    NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN)
}

fn nanos(span: Span) -> u64 {
    span.as_nanos()
}

const AFTER_LOST_SYN: Span = Span::from_secs(3);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: RtoLimits = RtoLimits {
        initial: Span::from_secs(1),
        min: Span::from_millis(200),
        max: Span::from_secs(120),
    };

    fn micros(micros: u64) -> Span {
        Span::from_micros(micros)
    }

    fn millis(millis: u64) -> Span {
        Span::from_millis(millis)
    }

    /// SRTT and RTO after each sample in turn, in microseconds, computed by hand from rules 2.2 and 2.3.
    #[test]
    fn the_timeout_follows_the_samples() {
        type Step = (u64, u32, u64, u64);
        let cases: [(&str, &[Step]); 4] = [
            (
                "a round trip that doubles and falls back",
                &[
                    (100_000, 1, 100_000, 300_000), // variation 50
                    (200_000, 1, 112_500, 362_500), // 62.5
                    (100_000, 1, 110_937, 310_937), // 50
                ],
            ),
            (
                "four samples per round trip weigh a quarter each",
                &[
                    (100_000, 4, 100_000, 300_000),
                    (200_000, 4, 103_125, 315_625), // variation 53.125
                ],
            ),
            ("below the minimum", &[(1_000, 1, 1_000, 201_000), (0, 1, 875, 200_875)]),
            (
                "an echo from another age counts as the maximum",
                &[(u64::MAX / 2000, 1, 120_000_000, 120_000_000)],
            ),
        ];
        for (name, steps) in cases {
            let mut rtt = Rtt::new(&LIMITS);
            for &(sample, per_round, srtt, rto) in steps {
                rtt.sample(&LIMITS, micros(sample), per_round);
                let got = (rtt.srtt().unwrap().as_micros(), rtt.rto().as_micros());
                assert_eq!(got, (srtt, rto), "{name}: {sample}");
            }
        }
    }

    #[test]
    fn a_steady_path_still_allows_for_a_delayed_ack() {
        let mut rtt = Rtt::new(&LIMITS);
        for _ in 0..100 {
            rtt.sample(&LIMITS, millis(300), 1);
        }
        assert_eq!(rtt.rto(), millis(500));
    }

    #[test]
    fn backing_off_doubles_until_a_sample() {
        let mut rtt = Rtt::new(&LIMITS);
        let seconds: Vec<u64> = (0..9)
            .map(|_| {
                let rto = rtt.rto().as_millis() / 1000;
                rtt.back_off(&LIMITS);
                rto
            })
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(rtt.srtt(), None);
        rtt.sample(&LIMITS, millis(100), 1);
        assert_eq!(rtt.rto(), millis(300));
    }

    #[test]
    fn a_lost_syn_makes_it_three_seconds() {
        for (name, initial_s, back_offs, want_s) in [
            ("after one retransmission", 1, 1, 3),
            ("after three", 1, 3, 3),
            ("a longer initial timeout was no reason for doubt", 5, 1, 10),
        ] {
            let limits = RtoLimits { initial: Span::from_secs(initial_s), ..LIMITS };
            let mut rtt = Rtt::new(&limits);
            (0..back_offs).for_each(|_| rtt.back_off(&limits));
            rtt.distrust_handshake(&limits);
            assert_eq!(rtt.rto().as_millis() / 1000, want_s, "{name}");
            rtt.sample(&limits, millis(100), 1);
            assert_eq!(rtt.rto(), millis(300), "{name}");
        }
    }

    #[test]
    fn samples_are_counted_in_pairs_of_segments() {
        for (flight, mss, want) in [
            (0, 1460, 1),
            (1460, 1460, 1),
            (2920, 1460, 1),
            (2921, 1460, 2),
            (29_200, 1460, 10),
            (1, 0, 1),
        ] {
            assert_eq!(samples_per_round(flight, mss), want, "{flight} of {mss}");
        }
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_limits(
            steps in prop::collection::vec((any::<u64>(), any::<u32>(), any::<bool>()), 1..100),
        ) {
            let mut rtt = Rtt::new(&LIMITS);
            for (sample, per_round, back_off) in steps {
                rtt.sample(&LIMITS, Span::from_nanos(sample >> (sample % 64)), per_round);
                if back_off {
                    rtt.back_off(&LIMITS);
                }
                prop_assert!((LIMITS.min..=LIMITS.max).contains(&rtt.rto()));
                prop_assert!(rtt.srtt().unwrap() <= LIMITS.max);
            }
        }
    }
}
