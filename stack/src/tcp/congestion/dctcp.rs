//! DCTCP (RFC 8257): shrinks the window by the share of its bytes that were marked, instead of by half.
//!
//! For networks whose switches mark early and all the time. Growth and losses are NewReno's.

use super::Timeout;
use super::controller::{Ack, Congested, Controller, Start};
use super::new_reno::NewReno;
use super::rounds::RoundTrip;
use crate::time::{Instant, Span};

/// The window of a connection under DCTCP.
#[derive(Clone, Debug)]
pub(crate) struct Dctcp {
    reno: NewReno,
    /// DCTCP.Alpha: the share of marked bytes, averaged over rounds.
    alpha: f32,
    /// DCTCP.BytesAcked and DCTCP.BytesMarked, of this round.
    delivered: u32,
    marked: u32,
    /// Until it is over, further marks are of the congestion that was reacted to.
    reacted: RoundTrip,
}

impl Dctcp {
    /// Alpha is 1 at first: the first mark halves (section 4.2).
    pub(crate) fn new(start: Start) -> Self {
        Self {
            reno: NewReno::new(start),
            alpha: 1.0,
            delivered: 0,
            marked: 0,
            reacted: RoundTrip::default(),
        }
    }

    /// Section 3.3, steps 1 to 8. The bytes are those delivered and not those acknowledged, so a loss does not hold them up.
    fn estimate(&mut self, ack: &Ack) {
        self.delivered = self.delivered.saturating_add(ack.delivered);
        self.marked = self.marked.saturating_add(ack.marked.min(ack.delivered));
        if !ack.round_start || self.delivered == 0 {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less precision is enough")]
        let share = (f64::from(self.marked) / f64::from(self.delivered)) as f32;
        self.alpha += G * (share - self.alpha);
        (self.delivered, self.marked) = (0, 0);
    }

    /// Section 3.3, step 9: cwnd * (1 - alpha / 2), once for each window of data. But not below two segments: one alone would wait
    /// for the peer's delayed ACK, which takes hundreds of such round trips.
    fn react(&mut self, flight: u32) {
        if !self.reacted.is_over() {
            return;
        }
        self.reacted = RoundTrip::begin(flight);
        let window = f64::from(self.reno.window());
        #[expect(clippy::cast_possible_truncation, reason = "at most the window")]
        let reduced = (window * (1.0 - f64::from(self.alpha) / 2.0)) as u32;
        self.reno.reduce(reduced.max(2 * self.reno.mss()), Congested::Marked);
    }
}

impl Controller for Dctcp {
    fn name(&self) -> &'static str {
        "dctcp"
    }

    fn window(&self) -> u32 {
        self.reno.window()
    }

    fn ssthresh(&self) -> u32 {
        self.reno.ssthresh()
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.estimate(ack);
        if ack.marked > 0 && self.reacted.is_over() {
            self.react(ack.flight.saturating_sub(ack.delivered));
        } else {
            self.reacted.pass(ack.delivered);
        }
        self.reno.on_ack(ack);
    }

    /// A loss is one as for any TCP (section 3.5), and the marks of the same round trip are part of it. It is no part of a mark, which may have
    /// reduced the window by next to nothing.
    fn on_congestion(&mut self, now: Instant, flight: u32, why: Congested) {
        match why {
            Congested::Marked => self.react(flight),
            Congested::Loss | Congested::LossAfterMark => {
                self.reacted = RoundTrip::begin(flight);
                self.reno.on_congestion(now, flight, Congested::Loss);
            }
        }
    }

    fn on_timeout(&mut self, now: Instant, flight: u32, which: Timeout) {
        self.reacted = RoundTrip::begin(flight);
        self.reno.on_timeout(now, flight, which);
    }

    fn undo(&mut self, now: Instant) {
        self.reno.undo(now);
    }

    fn on_idle(&mut self, now: Instant, idle: Span, rto: Span) {
        self.reacted = RoundTrip::default();
        self.reno.on_idle(now, idle, rto);
    }

    fn on_mss(&mut self, mss: u32) {
        self.reno.on_mss(mss);
    }
}

/// g, the weight of the newest round (section 4.2).
const G: f32 = 1.0 / 16.0;

const _: () = assert!(size_of::<Dctcp>() <= 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::fixture::{MSS, NOW, RTO, START, ack, avoid_from};

    /// In congestion avoidance with a window of so many segments.
    fn avoiding(segments: u32) -> Dctcp {
        let mut dctcp = Dctcp::new(START);
        avoid_from(&mut dctcp, segments * MSS, (1, 2));
        dctcp.reacted = RoundTrip::default();
        dctcp
    }

    /// A round of a hundred ACKs, of which the last so many say that they were for marked data.
    fn round(dctcp: &mut Dctcp, marks: u32) {
        for n in 0..100 {
            let marked = if n >= 100 - marks { MSS } else { 0 };
            let round_start = n == 99;
            dctcp.on_ack(&Ack { marked, round_start, recovery: true, ..ack(MSS, 100 * MSS) });
        }
    }

    /// Section 3.3, step 6: alpha = alpha * 15 / 16 + M / 16.
    #[test]
    fn alpha_approaches_the_share_of_marked_bytes() {
        let mut dctcp = avoiding(100);
        assert_eq!(dctcp.alpha, 1.0);
        round(&mut dctcp, 0);
        assert_eq!(dctcp.alpha, 15.0 / 16.0);
        round(&mut dctcp, 0);
        assert_eq!(dctcp.alpha, 225.0 / 256.0);
        round(&mut dctcp, 50);
        assert!((dctcp.alpha - (225.0 / 256.0 * 15.0 + 0.5) / 16.0).abs() < 1e-6);
        (0..200).for_each(|_| round(&mut dctcp, 20));
        assert!((dctcp.alpha - 0.2).abs() < 1e-3, "{}", dctcp.alpha);
        (0..200).for_each(|_| round(&mut dctcp, 0));
        assert!((0.0..1e-3).contains(&dctcp.alpha), "{}", dctcp.alpha);
    }

    #[test]
    fn a_mark_shrinks_the_window_by_half_of_alpha() {
        for (alpha, want) in [(1.0, 50), (0.5, 75), (0.25, 87), (0.0, 100)] {
            let mut dctcp = Dctcp { alpha, ..avoiding(100) };
            dctcp.on_congestion(NOW, 100 * MSS, Congested::Marked);
            assert_eq!(dctcp.window() / MSS, want, "alpha {alpha}");
            assert_eq!(dctcp.ssthresh(), dctcp.window(), "alpha {alpha}");
        }
        let mut dctcp = avoiding(2);
        dctcp.on_congestion(NOW, 2 * MSS, Congested::Marked);
        assert_eq!(dctcp.window(), 2 * MSS, "never below two segments");
    }

    /// Whichever way the marks are told: with the ACKs, as an ECN echo, or both.
    #[test]
    fn it_reacts_once_for_each_window_of_data() {
        for (name, told, counted) in [("echo", true, 0), ("count", false, MSS), ("both", true, MSS)]
        {
            let mut dctcp = avoiding(100);
            let marked = |flight| Ack { marked: counted, recovery: true, ..ack(MSS, flight) };
            for n in 0..100 {
                if told {
                    dctcp.on_congestion(NOW, 100 * MSS, Congested::Marked);
                }
                dctcp.on_ack(&marked(100 * MSS));
                assert_eq!(dctcp.window(), 50 * MSS, "{name}, ACK {n}");
            }
            dctcp.on_ack(&Ack { marked: 0, ..marked(50 * MSS) });
            dctcp.on_congestion(NOW, 50 * MSS, Congested::Marked);
            assert_eq!(dctcp.window(), 25 * MSS, "{name}, a window later");
        }
    }

    #[test]
    fn a_loss_halves_whatever_alpha_is_and_takes_the_marks_with_it() {
        let mut dctcp = Dctcp { alpha: 0.0, ..avoiding(100) };
        dctcp.on_congestion(NOW, 100 * MSS, Congested::Loss);
        dctcp.alpha = 1.0;
        dctcp.on_congestion(NOW, 100 * MSS, Congested::Marked);
        dctcp.on_ack(&Ack { marked: MSS, recovery: true, ..ack(MSS, 100 * MSS) });
        dctcp.on_recovered(NOW, 0);
        assert_eq!(dctcp.window(), 50 * MSS);
        dctcp.undo(NOW);
        assert_eq!(dctcp.window(), 100 * MSS);
        dctcp.on_congestion(NOW, 100 * MSS, Congested::LossAfterMark);
        assert_eq!(dctcp.window(), 50 * MSS);
    }

    /// Those of data that a timeout has already reacted to.
    #[test]
    fn marks_after_a_timeout_leave_the_threshold_for_a_window_of_data() {
        let mut dctcp = avoiding(100);
        dctcp.on_timeout(NOW, 100 * MSS, Timeout::First);
        for _ in 0..100 {
            dctcp.on_ack(&Ack { marked: MSS, ..ack(MSS, MSS) });
            assert_eq!((dctcp.window(), dctcp.ssthresh()), (MSS, 50 * MSS));
        }
        dctcp.on_ack(&Ack { marked: MSS, ..ack(MSS, MSS) });
        assert_eq!(dctcp.ssthresh(), 2 * MSS);
    }

    /// Whatever was in flight before the pause has arrived: a mark after it is news.
    #[test]
    fn a_mark_after_a_pause_is_reacted_to() {
        let mut dctcp = avoiding(100);
        dctcp.on_congestion(NOW, 100 * MSS, Congested::Marked);
        dctcp.on_idle(NOW, RTO, RTO * 2);
        dctcp.on_congestion(NOW, 50 * MSS, Congested::Marked);
        assert_eq!(dctcp.window(), 25 * MSS);
    }

    #[test]
    fn without_marks_it_grows_as_reno() {
        let (mut dctcp, mut reno) = (Dctcp::new(START), NewReno::new(START));
        for n in 0..500 {
            let ack = ack(2 * MSS, reno.window());
            for controller in [&mut dctcp as &mut dyn Controller, &mut reno] {
                controller.on_ack(&ack);
                if n == 100 {
                    controller.on_timeout(NOW, 80 * MSS, Timeout::First);
                }
            }
            assert_eq!(dctcp.window(), reno.window(), "ACK {n}");
        }
        assert!(reno.window() > reno.ssthresh());
    }
}
