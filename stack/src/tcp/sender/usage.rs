//! Whether the congestion window was what held the sender back: only a window that is used may grow (RFC 7661, section 4.3; as in Linux, by what was
//! in flight at most).

use super::Sender;
use super::busy::{BusyTimes, Obstacle};
use crate::tcp::seq::Seq;
use crate::time::Instant;

/// Why a turn has sent no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) enum HeldBack {
    /// There was no more.
    ByNothing,
    /// The congestion window is full.
    ByWindow,
    /// It may leave only later.
    ByPace(Instant),
    /// The peer's window is full.
    ByPeer,
    /// Enough waits for the device already.
    ByDevice,
    /// Something else: Nagle's algorithm, or no frame was free.
    Otherwise,
}

/// What was made of the window in the current round.
#[derive(Debug)]
pub(super) struct Usage {
    limited: bool,
    most: u32,
    round_ends: Seq,
}

impl Usage {
    pub(super) fn new(una: Seq) -> Self {
        Self { limited: false, most: 0, round_ends: una }
    }

    /// A turn has sent what it could: `limited` if the congestion window did not allow more.
    pub(super) fn note(&mut self, una: Seq, nxt: Seq, in_flight: u32, limited: bool) {
        let over = una.at_or_after(self.round_ends);
        if over || limited || (!self.limited && in_flight > self.most) {
            *self = Self { limited, most: in_flight, round_ends: nxt };
        }
    }

    /// Half of the window is use enough in slow start, which doubles it.
    pub(super) fn is_window_limited(&self, window: u32, ssthresh: u32) -> bool {
        self.limited || (window < ssthresh && window / 2 < self.most)
    }
}

impl Sender {
    /// A turn has sent what it could.
    pub(in crate::tcp) fn turn_ends(&mut self, (una, nxt): (Seq, Seq), held_back: HeldBack) {
        let in_flight = self.pipe();
        self.usage.note(una, nxt, in_flight, held_back == HeldBack::ByWindow);
        if held_back == HeldBack::ByNothing && in_flight < self.window() {
            self.rate.application_limits(in_flight);
        }
    }

    /// What is in the way now of what the application has written; `None`: nothing of that is left.
    #[inline]
    pub(in crate::tcp) fn faces(&mut self, now: Instant, obstacle: Option<Obstacle>) {
        self.busy.note(now, obstacle);
    }

    pub(in crate::tcp) fn busy_times(&self, now: Instant) -> BusyTimes {
        self.busy.times(now)
    }
}
