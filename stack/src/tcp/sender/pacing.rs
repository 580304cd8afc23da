//! When the next segment may leave: spread over the round trip, in bursts of at most a millisecond's worth.

use crate::time::{Instant, Span};

/// What has left, as time: up to when the path is taken at the current rate.
#[derive(Debug)]
pub(super) struct Pacer {
    taken_until: Instant,
}

impl Pacer {
    pub(super) const NEW: Self = Self { taken_until: Instant::ZERO };

    /// When to go on, if not now. A burst fills the horizon, and then the path has time to take all of it: so the timer fires once for each burst, and not for each
    /// segment.
    pub(super) fn wait(&self, now: Instant, rate: u64) -> Option<Instant> {
        let horizon = time_for(BURST_MAX, rate).min(HORIZON);
        (self.taken_until >= now + horizon.max(NEXT)).then_some(self.taken_until)
    }

    /// `len` bytes have left.
    pub(super) fn sent(&mut self, now: Instant, len: u32, rate: u64) {
        self.taken_until = self.taken_until.max(now) + time_for(len.into(), rate);
    }
}

/// The rate for a controller that only knows a window: twice what would spread it over the round trip while it doubles, so that it can, and a
/// fifth more else (as Linux does).
pub(super) fn by_window(window: u32, ssthresh: u32, smoothed: Option<Span>) -> Option<u64> {
    let round_trip = u128::from(smoothed?.as_nanos().max(1));
    let percent = if window < ssthresh / 2 { 200 } else { 120 };
    let per_second = u128::from(window) * 1_000_000_000 * percent / 100 / round_trip;
    Some(u64::try_from(per_second).unwrap_or(u64::MAX).max(1))
}

fn time_for(bytes: u64, rate: u64) -> Span {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// As long as in Linux's TSO autosizing and BBR's send_quantum.
const HORIZON: Span = Span::from_millis(1);
const BURST_MAX: u64 = 64 * 1024;
/// The timer wheel counts in microseconds: nothing is gained by waiting for less.
const NEXT: Span = Span::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends whenever it may, and says how much had left at each pause.
    fn run(rate: u64, len: u32, until_ms: u64) -> Vec<u32> {
        let (mut pacer, mut now, mut sent) = (Pacer::NEW, Instant::from_millis(1000), 0);
        let end = now + Span::from_millis(until_ms);
        let mut steps = Vec::new();
        while now < end {
            match pacer.wait(now, rate) {
                Some(at) => {
                    steps.push(sent);
                    now = at;
                }
                None => {
                    pacer.sent(now, len, rate);
                    sent += len;
                }
            }
        }
        steps
    }

    #[test]
    fn what_leaves_is_the_rate_and_bursts_are_a_millisecond_long() {
        for (rate, len) in [(12_500_000, 1500), (150_000, 1448), (1_250_000_000, 9000)] {
            let steps = run(rate, len, 100);
            let sent = steps[steps.len() - 1];
            let want = rate / 10;
            let burst = steps[0];
            assert!(
                u64::from(sent) >= want && u64::from(sent) <= want + u64::from(burst),
                "{sent}"
            );
            assert!(u64::from(burst) <= u64::from(len) + (rate / 1000).min(BURST_MAX), "{burst}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pacer = Pacer::NEW;
        let now = Instant::from_millis(5000);
        pacer.sent(now, 1_000_000, 1_000_000);
        assert_eq!(pacer.wait(now, 1_000_000), Some(now + Span::from_secs(1)));
        let later = now + Span::from_secs(100);
        pacer.sent(later, 1_000_000, 1_000_000);
        assert_eq!(pacer.wait(later, 1_000_000), Some(later + Span::from_secs(1)));
    }

    #[test]
    fn a_window_leaves_twice_as_fast_as_it_must_while_it_doubles() {
        let smoothed = Some(Span::from_millis(100));
        for (window, ssthresh, want) in [(10_000, 1 << 30, 200_000), (10_000, 10_000, 120_000)] {
            assert_eq!(by_window(window, ssthresh, smoothed), Some(want));
        }
        assert_eq!(by_window(10_000, 1 << 30, None), None);
    }
}
