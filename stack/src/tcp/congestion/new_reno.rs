//! NewReno's window (RFC 5681), counting bytes (RFC 3465), from an initial window of ten segments (RFC 6928).
//!
//! Of RFC 6582 nothing is left here: how a recovery goes is not the window's matter.

use super::Timeout;
use super::controller::{Ack, Congested, Controller, Start};
use super::window::{Window, part};
use crate::time::{Instant, Span};

/// The window of a connection under NewReno.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    window: Window,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    acked: u32,
}

impl NewReno {
    pub(crate) fn new(start: Start) -> Self {
        Self { window: Window::new(start), acked: 0 }
    }

    pub(super) fn mss(&self) -> u32 {
        self.window.mss()
    }

    /// Half of what was in flight (RFC 5681, equation 4).
    fn half_of(&self, flight: u32) -> u32 {
        self.window.used(flight) / 2
    }

    /// At most `ssthresh` may be in flight from here on.
    pub(super) fn reduce(&mut self, ssthresh: u32, why: Congested) {
        self.window.reduce(ssthresh, why);
        self.acked = 0;
    }

    /// RFC 3465, section 2.1: a segment for each window of acknowledged bytes.
    fn avoid(&mut self, acked: u32) {
        self.acked = self.acked.saturating_add(acked);
        if self.acked >= self.window.bytes() {
            self.acked -= self.window.bytes();
            self.window.widen(self.window.mss());
        }
    }
}

impl Controller for NewReno {
    fn name(&self) -> &'static str {
        "reno"
    }

    fn window(&self) -> u32 {
        self.window.bytes()
    }

    fn ssthresh(&self) -> u32 {
        self.window.ssthresh()
    }

    fn on_ack(&mut self, ack: &Ack) {
        self.window.validate(ack);
        if !ack.may_widen() {
            return;
        }
        if self.window.is_slow_starting() {
            let most = SEGMENTS_PER_ACK * ack.acks * self.window.mss();
            self.window.start_slowly(ack.acked.min(most), ack.acks);
        } else {
            self.avoid(ack.acked);
        }
    }

    /// A mark takes a fifth (RFC 8511, section 3.1), and a loss of the same window the rest of the half.
    fn on_congestion(&mut self, _now: Instant, flight: u32, why: Congested) {
        let left = match why {
            Congested::Loss => self.half_of(flight),
            Congested::Marked => part(self.window.used(flight), 4, 5),
            Congested::LossAfterMark => part(self.window.bytes(), 5, 8),
        };
        self.reduce(left, why);
    }

    fn on_timeout(&mut self, _now: Instant, flight: u32, which: Timeout) {
        self.window.collapse(self.half_of(flight), which);
        self.acked = 0;
    }

    fn undo(&mut self, _now: Instant) {
        self.window.undo();
    }

    fn on_idle(&mut self, _now: Instant, idle: Span, rto: Span) {
        self.window.rest(idle, rto);
        self.acked = 0;
    }

    fn on_mss(&mut self, mss: u32) {
        self.window.set_mss(mss);
        self.acked = 0;
    }
}

/// L in RFC 3465, section 2.2.
const SEGMENTS_PER_ACK: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::fixture::{MSS, NOW, START, ack, avoid_from, round};
    use crate::tcp::congestion::{Handshake, fixture};

    fn reno() -> NewReno {
        NewReno::new(START)
    }

    /// In congestion avoidance with a window of so many segments.
    fn avoiding(segments: u32) -> NewReno {
        let mut reno = reno();
        avoid_from(&mut reno, segments * MSS, (1, 2));
        reno
    }

    #[test]
    fn the_initial_window_is_ten_segments_of_ordinary_size() {
        for (name, mss, initial_segments, handshake, want) in [
            ("Ethernet", 1460, 10, Handshake::Smooth, 14_600),
            ("small segments", 536, 10, Handshake::Smooth, 5_360),
            ("jumbo frames", 8960, 10, Handshake::Smooth, 17_920),
            ("in between", 2000, 10, Handshake::Smooth, 14_600),
            ("three configured", 1460, 3, Handshake::Smooth, 4_380),
            ("after a lossy handshake", 1460, 10, Handshake::Lossy, 1_460),
            ("no room for data", 0, 0, Handshake::Smooth, 1),
        ] {
            let start = Start { mss, initial_segments, handshake, ..START };
            assert_eq!(NewReno::new(start).window(), want, "{name}");
        }
    }

    #[test]
    fn slow_start_doubles_per_round_trip_and_two_segments_per_ack_at_most() {
        let mut reno = reno();
        round(&mut reno, 2 * MSS);
        assert_eq!(reno.window(), 20 * MSS);
        round(&mut reno, MSS);
        assert_eq!(reno.window(), 40 * MSS);
        reno.on_ack(&ack(10 * MSS, 40 * MSS));
        assert_eq!(reno.window(), 42 * MSS);
        reno.on_ack(&ack(1, 42 * MSS));
        assert_eq!(reno.window(), 42 * MSS + 1, "bytes, not ACKs");
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_per_round_trip() {
        for step in [MSS / 10, MSS, 2 * MSS, 7 * MSS] {
            let mut reno = avoiding(20);
            round(&mut reno, step);
            assert_eq!(reno.window(), 21 * MSS, "in steps of {step}");
            round(&mut reno, step);
            assert_eq!(reno.window(), 22 * MSS, "in steps of {step}");
        }
    }

    #[test]
    fn bytes_beyond_a_round_count_for_the_next_but_not_those_from_before_a_loss() {
        let mut reno = avoiding(20);
        reno.on_ack(&ack(15 * MSS, 20 * MSS));
        reno.on_ack(&ack(15 * MSS, 20 * MSS));
        assert_eq!(reno.window(), 21 * MSS);
        reno.on_ack(&ack(11 * MSS, 21 * MSS));
        assert_eq!(reno.window(), 22 * MSS);
        reno.on_ack(&ack(21 * MSS, 22 * MSS));
        reno.on_congestion(NOW, 20 * MSS, Congested::Loss);
        reno.on_recovered(NOW, 10 * MSS);
        reno.on_ack(&ack(MSS, 10 * MSS));
        assert_eq!(reno.window(), 10 * MSS);
    }

    #[test]
    fn a_loss_halves_what_was_in_flight_and_recovery_ends_there() {
        for (name, flight, want) in [
            ("a full window", 20, 10),
            ("half a window", 10, 5),
            ("limited transmit", 22, 10),
            ("next to nothing", 1, 2),
        ] {
            let mut reno = avoiding(20);
            reno.on_congestion(NOW, flight * MSS, Congested::Loss);
            assert_eq!(reno.ssthresh(), want * MSS, "{name}");
            reno.on_ack(&Ack { recovery: true, ..ack(15 * MSS, flight * MSS) });
            reno.on_recovered(NOW, MSS);
            assert_eq!((reno.window(), reno.ssthresh()), (want * MSS, want * MSS), "{name}");
        }
    }

    /// RFC 8511, section 3.1.
    #[test]
    fn a_mark_takes_a_fifth_at_once_and_is_no_mistake() {
        let mut reno = avoiding(20);
        reno.on_congestion(NOW, 20 * MSS, Congested::Marked);
        assert_eq!((reno.window(), reno.ssthresh()), (16 * MSS, 16 * MSS));
        reno.undo(NOW);
        assert_eq!(reno.window(), 16 * MSS);
    }

    /// RFC 3168, section 6.1.2. The loss may be a mistake, but the mark was none.
    #[test]
    fn a_loss_after_a_mark_is_of_the_same_congestion() {
        let mut reno = avoiding(20);
        reno.on_congestion(NOW, 20 * MSS, Congested::Marked);
        reno.on_congestion(NOW, 20 * MSS, Congested::LossAfterMark);
        assert_eq!((reno.window(), reno.ssthresh()), (10 * MSS, 10 * MSS), "a half in all");
        reno.undo(NOW);
        assert_eq!(reno.window(), 16 * MSS);
    }

    /// RFC 3168, section 6.1.2: bounded below by one segment. The threshold is not (RFC 5681, equation 4).
    #[test]
    fn marks_may_leave_one_segment_and_losses_two() {
        for (why, want) in [(Congested::Marked, 1), (Congested::Loss, 2)] {
            let mut reno = avoiding(2);
            for _ in 0..5 {
                reno.on_congestion(NOW, reno.window(), why);
            }
            assert_eq!((reno.window(), reno.ssthresh()), (want * MSS, 2 * MSS), "{why:?}");
        }
    }

    #[test]
    fn a_timeout_restarts_from_one_segment() {
        let mut reno = avoiding(20);
        reno.on_timeout(NOW, 16 * MSS, Timeout::First);
        assert_eq!((reno.window(), reno.ssthresh()), (MSS, 8 * MSS));
        reno.on_timeout(NOW, MSS, Timeout::Again);
        assert_eq!((reno.window(), reno.ssthresh()), (MSS, 8 * MSS), "one loss, counted once");
        reno.on_timeout(NOW, MSS, Timeout::First);
        assert_eq!(reno.ssthresh(), 2 * MSS, "never below two segments");
    }

    #[test]
    fn slow_start_after_a_timeout_takes_one_segment_per_ack() {
        let mut reno = avoiding(20);
        reno.on_timeout(NOW, 20 * MSS, Timeout::First);
        reno.on_ack(&ack(2 * MSS, 2 * MSS));
        assert_eq!(reno.window(), 2 * MSS);
        while reno.window() < reno.ssthresh() {
            reno.on_ack(&ack(2 * MSS, reno.window()));
        }
        assert_eq!(reno.window(), 10 * MSS);
        round(&mut reno, 2 * MSS);
        assert_eq!(reno.window(), 11 * MSS);
        while reno.window() < 40 * MSS {
            round(&mut reno, 2 * MSS);
        }
        reno.on_idle(NOW, fixture::RTO * 2, fixture::RTO);
        reno.on_ack(&ack(2 * MSS, 10 * MSS));
        assert_eq!(reno.window(), 12 * MSS, "the next slow start is an ordinary one");
    }

    #[test]
    fn a_loss_that_was_none_gives_the_window_back_once() {
        let mut reno = avoiding(20);
        reno.on_congestion(NOW, 20 * MSS, Congested::Loss);
        reno.undo(NOW);
        assert_eq!((reno.window(), reno.ssthresh()), (20 * MSS, 20 * MSS));
        reno.on_timeout(NOW, 20 * MSS, Timeout::First);
        reno.on_timeout(NOW, MSS, Timeout::Again);
        reno.undo(NOW);
        assert_eq!((reno.window(), reno.ssthresh()), (20 * MSS, 20 * MSS), "both timeouts");
        reno.on_congestion(NOW, 20 * MSS, Congested::Loss);
        while reno.window() < 30 * MSS {
            round(&mut reno, MSS);
        }
        reno.undo(NOW);
        assert_eq!(reno.window(), 30 * MSS, "never smaller than now");
        reno.on_congestion(NOW, 20 * MSS, Congested::Marked);
        reno.undo(NOW);
        assert_eq!(reno.window(), 16 * MSS, "nothing left to undo");
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        for mut reno in [reno(), avoiding(10)] {
            for _ in 0..20 {
                reno.on_ack(&Ack { window_limited: false, ..ack(MSS, 9 * MSS) });
            }
            assert_eq!(reno.window(), 10 * MSS);
        }
    }

    #[test]
    fn an_ack_that_echoes_a_mark_widens_nothing() {
        for mut reno in [reno(), avoiding(10)] {
            for _ in 0..20 {
                reno.on_ack(&Ack { marked: MSS, ..ack(MSS, 10 * MSS) });
            }
            assert_eq!(reno.window(), 10 * MSS);
        }
    }

    #[test]
    fn silence_halves_the_window_down_to_the_restart_window() {
        for (name, window, idle_ms, want, ssthresh) in [
            ("a short pause", 80, 199, 80, 80),
            ("one timeout", 80, 200, 40, 80),
            ("two and a half", 80, 500, 20, 80),
            ("many", 80, 2_000, 10, 80),
            ("a week", 80, 604_800_000, 10, 80),
            ("a window below the restart window stays", 6, 2_000, 6, 6),
        ] {
            let mut reno = avoiding(window);
            reno.on_idle(NOW, Span::from_millis(idle_ms), fixture::RTO);
            assert_eq!((reno.window(), reno.ssthresh()), (want * MSS, ssthresh * MSS), "{name}");
        }
        let mut reno = avoiding(40);
        while reno.window() < 80 * MSS {
            round(&mut reno, MSS);
        }
        reno.on_idle(NOW, fixture::RTO, fixture::RTO);
        assert_eq!((reno.window(), reno.ssthresh()), (40 * MSS, 60 * MSS), "three quarters");
    }

    /// RFC 7661, section 4.4.3.
    #[test]
    fn five_minutes_without_use_of_half_the_window_halve_it() {
        let mut reno = avoiding(80);
        let used = |now, flight| Ack { now, window_limited: false, ..ack(MSS, flight) };
        let mut now = NOW;
        for (name, secs, flight, want) in [
            ("half of it", 299, 40, 80),
            ("less", 299, 39, 80),
            ("for five minutes", 1, 39, 40),
            ("once", 1, 19, 40),
            ("half of that", 600, 20, 40),
            ("less again, and a little later", 300, 19, 20),
            ("not below the restart window", 300, 1, 10),
            ("nor there", 300, 1, 10),
        ] {
            now = now + Span::from_secs(secs);
            reno.on_ack(&used(now, flight * MSS));
            assert_eq!(reno.window(), want * MSS, "{name}");
        }
        assert_eq!(reno.ssthresh(), 80 * MSS);
    }

    #[test]
    fn the_restart_window_is_one_of_segments_as_they_are_now() {
        for (mss, want) in [(MSS, 10_000), (536, 5_360), (2_000, 14_600), (8_960, 17_920)] {
            let mut reno = avoiding(80);
            reno.on_mss(mss);
            reno.on_idle(NOW, fixture::RTO * 100, fixture::RTO);
            assert_eq!(reno.window(), want, "segments of {mss}");
        }
    }

    /// What was acknowledged before counts for a window that is no longer.
    #[test]
    fn growth_begins_anew_after_a_pause() {
        let mut reno = avoiding(8);
        reno.on_ack(&ack(7 * MSS, 8 * MSS));
        reno.on_idle(NOW, fixture::RTO * 100, fixture::RTO);
        reno.on_ack(&ack(MSS, 8 * MSS));
        assert_eq!(reno.window(), 8 * MSS);
    }

    #[test]
    fn a_new_segment_size_leaves_the_window_in_bytes() {
        let mut reno = avoiding(20);
        reno.on_mss(MSS / 2);
        assert_eq!(reno.window(), 20 * MSS);
        round(&mut reno, MSS);
        assert_eq!(reno.window(), 20 * MSS + MSS / 2);
        reno.on_timeout(NOW, MSS, Timeout::First);
        assert_eq!((reno.window(), reno.ssthresh()), (MSS / 2, MSS));
        reno.on_mss(4 * MSS);
        assert_eq!(
            (reno.window(), reno.ssthresh()),
            (4 * MSS, 8 * MSS),
            "but never below the least"
        );
    }
}
