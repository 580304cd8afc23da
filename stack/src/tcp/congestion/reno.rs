//! NewReno's window (RFC 5681, RFC 6582), counting bytes (RFC 3465), from an initial window of ten segments (RFC 6928).

use std::time::Duration;

pub(crate) use crate::tcp::congestion::Handshake;
use crate::tcp::congestion::{Congestion, Timeout};

/// The window of a connection under NewReno.
#[derive(Clone, Debug)]
pub(crate) struct Reno {
    mss: u32,
    window: u32,
    ssthresh: u32,
    /// RFC 6928's IW, which is also the restart window.
    initial: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    acked: u32,
    /// Most segments by which one ACK opens the window in slow start: L in RFC 3465, section 2.2.
    per_ack: u32,
    usage: Usage,
}

impl Reno {
    /// The window at the beginning of the data transfer: `segments` full ones, at most as many bytes as segments of
    /// 1460 bytes make, and just one after a lossy handshake (RFC 5681, section 3.1).
    pub(crate) fn new(mss: u32, segments: u8, handshake: Handshake) -> Self {
        let mss = mss.max(1);
        let segments = u32::from(segments.max(1));
        let initial = (segments * mss).min((2 * mss).max(segments * 1460));
        Self {
            mss,
            window: if handshake == Handshake::Smooth { initial } else { mss },
            ssthresh: LARGEST,
            initial,
            acked: 0,
            per_ack: 2,
            usage: Usage::default(),
        }
    }

    /// RFC 5681, equation 4.
    fn half_of(&self, flight: u32) -> u32 {
        (flight / 2).max(2 * self.mss)
    }

    fn set_window(&mut self, window: u32) {
        self.window = window.clamp(self.mss, LARGEST);
        self.acked = 0;
    }
}

impl Congestion for Reno {
    fn window(&self) -> u32 {
        self.window
    }

    /// A window that was not used is not proved right by the ACK, and does not grow (RFC 7661, section 4.3).
    fn on_ack(&mut self, acked: u32, flight: u32) {
        if self.usage.after(acked, flight) < self.window.div_ceil(2) {
            return;
        }
        if self.window < self.ssthresh {
            let step = acked.min(self.per_ack * self.mss);
            self.window = self.window.saturating_add(step).min(LARGEST);
            return;
        }
        self.per_ack = 2;
        self.acked = self.acked.saturating_add(acked);
        if self.acked >= self.window {
            self.acked -= self.window;
            self.window = self.window.saturating_add(self.mss).min(LARGEST);
        }
    }

    /// RFC 5681, section 3.2, steps 2 and 3: half of what was in flight, and the three segments whose duplicate ACKs
    /// said that they have left the network.
    fn on_loss(&mut self, flight: u32) {
        self.ssthresh = self.half_of(flight);
        self.set_window(self.ssthresh.saturating_add(3 * self.mss));
    }

    fn on_duplicate_ack(&mut self) {
        self.window = self.window.saturating_add(self.mss).min(LARGEST);
    }

    /// RFC 6582, section 3.2, step 3: deflates by what was acknowledged, and lets one segment out for it.
    fn on_partial_ack(&mut self, acked: u32) {
        let refund = if acked >= self.mss { self.mss } else { 0 };
        self.set_window(self.window.saturating_sub(acked).saturating_add(refund));
    }

    /// RFC 6582, section 3.2, step 3, option 1: no burst if little is in flight.
    fn on_recovered(&mut self, flight: u32) {
        let from_flight = flight.max(self.mss).saturating_add(self.mss);
        self.set_window(self.ssthresh.min(from_flight));
    }

    /// RFC 5681, section 3.1: one segment, and slow start up to half of what was in flight. The retransmissions are one
    /// loss however often they are repeated, so a second timeout leaves the threshold alone.
    fn on_timeout(&mut self, flight: u32, which: Timeout) {
        if which == Timeout::First {
            self.ssthresh = self.half_of(flight);
        }
        self.set_window(self.mss);
        self.per_ack = 1;
    }

    /// Halves the window for every timeout's worth of silence, down to the restart window, and remembers three quarters
    /// of it as the threshold (RFC 2861, section 3.2). RFC 5681 (section 4.1) would restart at once.
    fn on_idle(&mut self, idle: Duration, rto: Duration) {
        let halvings = idle.as_nanos() / rto.as_nanos().max(1);
        if halvings == 0 {
            return;
        }
        self.ssthresh = self.ssthresh.max(self.window - self.window / 4);
        let restart = self.initial.min(self.window);
        let halved = u32::try_from(halvings).ok().and_then(|n| self.window.checked_shr(n));
        self.set_window(halved.unwrap_or(0).max(restart));
        self.usage = Usage::default();
    }

    /// The window stays what it is in bytes: fewer or smaller segments do not make the path wider.
    fn on_mss(&mut self, mss: u32) {
        self.mss = mss.max(1);
        self.set_window(self.window);
        self.ssthresh = self.ssthresh.max(2 * self.mss);
    }
}

/// The most that was in flight lately: what RFC 7661 (section 4.2) calls pipeACK.
///
/// A round is over when as much has been acknowledged as was in flight at its beginning.
#[derive(Clone, Debug, Default)]
struct Usage {
    round_before: u32,
    this_round: u32,
    left: u32,
}

impl Usage {
    fn after(&mut self, acked: u32, flight: u32) -> u32 {
        self.this_round = self.this_round.max(flight);
        let most = self.this_round.max(self.round_before);
        if acked >= self.left {
            self.round_before = self.this_round;
            (self.this_round, self.left) = (0, flight.saturating_sub(acked));
        } else {
            self.left -= acked;
        }
        most
    }
}

/// The largest window that RFC 7323 can express.
const LARGEST: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MSS: u32 = 1000;

    fn reno() -> Reno {
        Reno::new(MSS, 10, Handshake::Smooth)
    }

    /// In congestion avoidance with this window.
    fn avoiding(window: u32) -> Reno {
        Reno { window, ssthresh: window, ..reno() }
    }

    /// Acknowledges a full window in steps of `step` bytes while new data keeps it full.
    fn round(reno: &mut Reno, step: u32) {
        let mut left = reno.window;
        while left > 0 {
            let acked = step.min(left);
            reno.on_ack(acked, reno.window);
            left -= acked;
        }
    }

    #[test]
    fn the_initial_window_is_ten_segments_of_ordinary_size() {
        for (name, mss, segments, handshake, want) in [
            ("Ethernet", 1460, 10, Handshake::Smooth, 14_600),
            ("small segments", 536, 10, Handshake::Smooth, 5_360),
            ("jumbo frames", 8960, 10, Handshake::Smooth, 17_920),
            ("in between", 2000, 10, Handshake::Smooth, 14_600),
            ("three configured", 1460, 3, Handshake::Smooth, 4_380),
            ("after a lossy handshake", 1460, 10, Handshake::Lossy, 1_460),
            ("no room for data", 0, 0, Handshake::Smooth, 1),
        ] {
            assert_eq!(Reno::new(mss, segments, handshake).window(), want, "{name}");
        }
    }

    #[test]
    fn slow_start_doubles_per_round_trip_and_two_segments_per_ack_at_most() {
        let mut reno = reno();
        round(&mut reno, 2 * MSS);
        assert_eq!(reno.window(), 20 * MSS);
        round(&mut reno, MSS);
        assert_eq!(reno.window(), 40 * MSS);
        reno.on_ack(10 * MSS, 40 * MSS);
        assert_eq!(reno.window(), 42 * MSS);
        reno.on_ack(1, 42 * MSS);
        assert_eq!(reno.window(), 42 * MSS + 1, "bytes, not ACKs");
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_per_round_trip() {
        for step in [MSS / 10, MSS, 2 * MSS, 7 * MSS] {
            let mut reno = avoiding(20 * MSS);
            round(&mut reno, step);
            assert_eq!(reno.window(), 21 * MSS, "in steps of {step}");
            round(&mut reno, step);
            assert_eq!(reno.window(), 22 * MSS, "in steps of {step}");
        }
    }

    #[test]
    fn bytes_beyond_a_round_count_for_the_next() {
        let mut reno = avoiding(20 * MSS);
        reno.on_ack(15 * MSS, 20 * MSS);
        reno.on_ack(15 * MSS, 20 * MSS);
        assert_eq!(reno.window(), 21 * MSS);
        reno.on_ack(10 * MSS, 20 * MSS);
        assert_eq!(reno.window(), 21 * MSS);
        reno.on_ack(MSS, 20 * MSS);
        assert_eq!(reno.window(), 22 * MSS);
    }

    #[test]
    fn bytes_from_before_a_loss_do_not_count() {
        let mut reno = avoiding(20 * MSS);
        reno.on_ack(19 * MSS, 20 * MSS);
        reno.on_loss(20 * MSS);
        reno.on_recovered(20 * MSS);
        reno.on_ack(MSS, 20 * MSS);
        assert_eq!(reno.window(), 10 * MSS);
    }

    /// RFC 5681, section 3.2 and RFC 6582, section 3.2 with numbers: 20 segments in flight, two of them lost.
    #[test]
    fn recovery_halves_inflates_and_deflates() {
        let mut reno = avoiding(20 * MSS);
        reno.on_loss(20 * MSS);
        assert_eq!((reno.window(), reno.ssthresh), (13 * MSS, 10 * MSS));
        (0..15).for_each(|_| reno.on_duplicate_ack());
        assert_eq!(reno.window(), 28 * MSS);
        reno.on_partial_ack(8 * MSS);
        assert_eq!(reno.window(), 21 * MSS);
        reno.on_partial_ack(MSS / 2);
        assert_eq!(reno.window(), 20 * MSS + MSS / 2, "no refund for less than a segment");
        reno.on_recovered(30 * MSS);
        assert_eq!((reno.window(), reno.ssthresh), (10 * MSS, 10 * MSS));
    }

    #[test]
    fn recovery_that_ends_with_little_in_flight_ends_without_a_burst() {
        for (flight, want) in
            [(0, 2 * MSS), (MSS / 2, 2 * MSS), (4 * MSS, 5 * MSS), (9 * MSS, 10 * MSS)]
        {
            let mut reno = avoiding(20 * MSS);
            reno.on_loss(20 * MSS);
            reno.on_recovered(flight);
            assert_eq!(reno.window(), want, "{flight} in flight");
        }
    }

    #[test]
    fn a_partial_ack_leaves_at_least_a_segment() {
        let mut reno = avoiding(4 * MSS);
        reno.on_loss(4 * MSS);
        reno.on_partial_ack(100 * MSS);
        assert_eq!(reno.window(), MSS);
    }

    #[test]
    fn a_timeout_restarts_from_one_segment() {
        let mut reno = avoiding(20 * MSS);
        reno.on_timeout(16 * MSS, Timeout::First);
        assert_eq!((reno.window(), reno.ssthresh), (MSS, 8 * MSS));
        reno.on_timeout(MSS, Timeout::Again);
        assert_eq!((reno.window(), reno.ssthresh), (MSS, 8 * MSS), "one loss, counted once");
        reno.on_timeout(MSS, Timeout::First);
        assert_eq!(reno.ssthresh, 2 * MSS, "never below two segments");
    }

    #[test]
    fn slow_start_after_a_timeout_takes_one_segment_per_ack() {
        let mut reno = avoiding(20 * MSS);
        reno.on_timeout(20 * MSS, Timeout::First);
        reno.on_ack(2 * MSS, 2 * MSS);
        assert_eq!(reno.window(), 2 * MSS);
        while reno.window() < reno.ssthresh {
            reno.on_ack(2 * MSS, reno.window());
        }
        assert_eq!(reno.window(), 10 * MSS);
        round(&mut reno, 2 * MSS);
        assert_eq!(reno.window(), 11 * MSS);
        reno.ssthresh = LARGEST;
        reno.on_ack(2 * MSS, reno.window());
        assert_eq!(reno.window(), 13 * MSS, "the next slow start is an ordinary one");
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut reno = reno();
        for _ in 0..20 {
            reno.on_ack(MSS, MSS);
        }
        assert_eq!(reno.window(), 10 * MSS, "one small request at a time");
        // A burst of the whole window: its last ACKs find little in flight, and count all the same.
        for left in (1..=10).rev() {
            reno.on_ack(MSS, left * MSS);
        }
        assert_eq!(reno.window(), 20 * MSS);
        for _ in 0..20 {
            reno.on_ack(5 * MSS, 5 * MSS);
        }
        assert!(reno.window() <= 25 * MSS, "the burst is forgotten two rounds later");
    }

    #[test]
    fn silence_halves_the_window_down_to_the_restart_window() {
        let rto = Duration::from_millis(200);
        for (name, window, idle_ms, want, ssthresh) in [
            ("a short pause", 80, 199, 80, 40),
            ("one timeout", 80, 200, 40, 60),
            ("two and a half", 80, 500, 20, 60),
            ("many", 80, 2_000, 10, 60),
            ("a week", 80, 604_800_000, 10, 60),
            ("a window below the restart window stays", 6, 2_000, 6, 40),
        ] {
            let mut reno = Reno { window: window * MSS, ssthresh: 40 * MSS, ..reno() };
            reno.on_idle(Duration::from_millis(idle_ms), rto);
            assert_eq!((reno.window(), reno.ssthresh), (want * MSS, ssthresh * MSS), "{name}");
        }
        let mut reno = reno();
        reno.on_ack(1, 10 * MSS);
        reno.on_idle(rto, rto);
        reno.on_ack(MSS, MSS);
        assert_eq!(reno.window(), 10 * MSS, "use before the silence does not count");
    }

    #[test]
    fn a_new_segment_size_leaves_the_window_in_bytes() {
        let mut reno = avoiding(20 * MSS);
        reno.on_mss(MSS / 2);
        assert_eq!(reno.window(), 20 * MSS);
        round(&mut reno, MSS);
        assert_eq!(reno.window(), 20 * MSS + MSS / 2);
        reno.on_timeout(MSS, Timeout::First);
        assert_eq!((reno.window(), reno.ssthresh), (MSS / 2, MSS));
        reno.on_mss(4 * MSS);
        assert_eq!((reno.window(), reno.ssthresh), (4 * MSS, 8 * MSS), "but never below the least");
    }

    proptest! {
        /// Whatever happens, at least one segment may be sent, and no more than any window allows.
        #[test]
        fn the_window_stays_in_bounds(
            events in prop::collection::vec((0_u8..8, any::<u32>(), any::<u32>()), 1..200), mss in 1_u32..65_536,
        ) {
            let mut reno = Reno::new(mss, 10, Handshake::Smooth);
            for (event, a, b) in events {
                match event {
                    0 => reno.on_ack(a, b),
                    1 => reno.on_loss(a),
                    2 => reno.on_duplicate_ack(),
                    3 => reno.on_partial_ack(a),
                    4 => reno.on_recovered(a),
                    5 => reno.on_timeout(a, if b % 2 == 0 { Timeout::First } else { Timeout::Again }),
                    6 => reno.on_idle(Duration::from_nanos(a.into()), Duration::from_nanos(b.into())),
                    _ => reno.on_ack(reno.window(), reno.window()),
                }
                prop_assert!((mss..=LARGEST).contains(&reno.window()));
                prop_assert!(reno.ssthresh >= 2 * mss);
            }
        }
    }
}
