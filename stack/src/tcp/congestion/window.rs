//! The window that the controllers by loss have in common: how it begins, starts slowly, shrinks and comes back.

use super::Timeout;
use super::controller::{Ack, Congested, Start};
use crate::time::{Instant, Span};

/// cwnd and ssthresh (RFC 5681, section 3.1), in bytes. How it grows beyond ssthresh is the algorithm's.
#[derive(Clone, Debug)]
pub(super) struct Window {
    mss: u32,
    bytes: u32,
    ssthresh: u32,
    /// Full segments in RFC 6928's IW, which is also the restart window.
    initial_segments: u8,
    /// As it was before the last loss or timeout, until that is undone.
    prior: Option<Prior>,
    slow_start: SlowStart,
    /// When half of it at least was last used.
    used_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Prior {
    bytes: u32,
    ssthresh: u32,
}

/// How much one ACK may add in slow start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SlowStart {
    Ordinary,
    /// One segment: the cumulative ACKs of what a timeout sent again stand for data that left long ago, and must not
    /// release a burst (RFC 3465, section 2.3).
    AfterTimeout,
}

impl Window {
    /// The window at the beginning of the data transfer.
    pub(super) fn new(start: Start) -> Self {
        Self {
            mss: start.mss.clamp(1, MSS_MAX),
            bytes: start.window(),
            ssthresh: LARGEST,
            initial_segments: start.initial_segments,
            prior: None,
            slow_start: SlowStart::Ordinary,
            used_at: Instant::ZERO,
        }
    }

    pub(super) fn mss(&self) -> u32 {
        self.mss
    }

    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    pub(super) fn is_slow_starting(&self) -> bool {
        self.bytes < self.ssthresh
    }

    /// Slow start by the bytes that so many ACKs acknowledge, however many: receivers that gather segments acknowledge dozens at once.
    pub(super) fn start_slowly(&mut self, acked: u32, acks: u32) {
        let after_timeout = self.slow_start == SlowStart::AfterTimeout;
        let most = if after_timeout { self.mss.saturating_mul(acks) } else { acked };
        self.set(self.bytes.saturating_add(acked.min(most)));
    }

    /// Congestion avoidance has earned `bytes`.
    pub(super) fn widen(&mut self, bytes: u32) {
        self.slow_start = SlowStart::Ordinary;
        self.set(self.bytes.saturating_add(bytes));
    }

    /// Slow start ends here, without a loss.
    pub(super) fn settle(&mut self) {
        self.set_threshold(self.bytes);
    }

    /// What a reduction starts from: FlightSize without what limited transmit has added, which MUST NOT count (RFC 5681,
    /// section 3.2, step 2); and after a timeout nothing of what is sent again only as the window allows.
    pub(super) fn used(&self, flight: u32) -> u32 {
        flight.min(self.bytes)
    }

    /// Congestion: at most `ssthresh` may be in flight from here on. PRR leads the flight there, so the window need
    /// not wait for its end. A mark may leave one segment, and a loss two (RFC 9438, section 4.6; RFC 3168, section 6.1.2).
    pub(super) fn reduce(&mut self, ssthresh: u32, why: Congested) {
        self.prior = (why != Congested::Marked).then_some(self.now());
        self.set_threshold(ssthresh);
        let most = if why == Congested::Marked { ssthresh } else { self.ssthresh };
        self.set(self.bytes.min(most));
    }

    /// RFC 5681, section 3.1: one segment, and slow start up to `ssthresh`. The retransmissions are one loss however
    /// often they are repeated, so a second timeout leaves the threshold alone.
    pub(super) fn collapse(&mut self, ssthresh: u32, which: Timeout) {
        if which == Timeout::First {
            self.prior = Some(self.now());
            self.set_threshold(ssthresh);
        }
        self.set(self.mss);
        self.slow_start = SlowStart::AfterTimeout;
    }

    /// The last loss or timeout was none.
    pub(super) fn undo(&mut self) {
        if let Some(prior) = self.prior.take() {
            self.set(self.bytes.max(prior.bytes));
            self.set_threshold(self.ssthresh.max(prior.ssthresh));
            self.slow_start = SlowStart::Ordinary;
        }
    }

    /// Halves the window for every timeout's worth of silence (RFC 2861, section 3.2). RFC 5681 (section 4.1) would restart at once.
    pub(super) fn rest(&mut self, idle: Span, rto: Span) {
        let halvings = idle.as_nanos() / rto.as_nanos().max(1);
        self.decay(u32::try_from(halvings).unwrap_or(u32::MAX));
    }

    /// Halves a window of which less than half was used for five minutes: nobody knows any more what it would do to the path
    /// (RFC 7661, section 4.4.3).
    pub(super) fn validate(&mut self, ack: &Ack) {
        if ack.window_limited || ack.flight >= self.bytes / 2 {
            self.used_at = ack.now;
        } else if ack.now.span_since(self.used_at) >= NON_VALIDATED_PERIOD {
            self.used_at = ack.now;
            self.decay(1);
        }
    }

    /// Halves the window so often, down to the restart window, and remembers three quarters of it as the threshold.
    fn decay(&mut self, halvings: u32) {
        if halvings == 0 {
            return;
        }
        self.set_threshold(self.ssthresh.max(self.bytes - self.bytes / 4));
        let restart = initial(self.mss, self.initial_segments).min(self.bytes);
        self.set(self.bytes.checked_shr(halvings).unwrap_or(0).max(restart));
    }

    /// The window stays what it is in bytes: fewer or smaller segments do not make the path wider.
    pub(super) fn set_mss(&mut self, mss: u32) {
        self.mss = mss.clamp(1, MSS_MAX);
        self.set(self.bytes);
        self.set_threshold(self.ssthresh);
    }

    fn now(&self) -> Prior {
        Prior { bytes: self.bytes, ssthresh: self.ssthresh }
    }

    fn set(&mut self, bytes: u32) {
        self.bytes = bytes.clamp(self.mss, LARGEST);
    }

    /// RFC 5681, equation 4: never below two segments.
    fn set_threshold(&mut self, bytes: u32) {
        self.ssthresh = bytes.clamp(2 * self.mss, LARGEST);
    }
}

/// RFC 6928, section 2: so many full segments, at most as many bytes as segments of 1460 bytes make, but two in any case.
pub(super) fn initial(mss: u32, segments: u8) -> u32 {
    let segments = u32::from(segments.max(1));
    (segments * mss).min((2 * mss).max(segments * 1460))
}

/// `bytes` times `over / under`, for small numbers.
pub(super) fn part(bytes: u32, over: u32, under: u32) -> u32 {
    bytes / under * over + bytes % under * over / under
}

/// The largest window that RFC 7323 can express.
pub(crate) const LARGEST: u32 = 1 << 30;

/// RFC 7661, section 4.4 (NVP).
const NON_VALIDATED_PERIOD: Span = Span::from_secs(300);

/// No IP packet carries more.
pub(super) const MSS_MAX: u32 = 65_535;
