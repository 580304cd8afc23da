//! Whether the congestion window was what held the sender back: only a window that is used may grow (RFC 7661, section 4.3; as in Linux, by what was
//! in flight at most).

use crate::tcp::seq::Seq;

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
