//! Loss by time (RACK, RFC 8985, section 6): what was sent before something that has arrived, and long enough ago, is lost.

use super::delivery::Delivery;
use super::scoreboard::Scoreboard;
use crate::tcp::seq::Seq;
use crate::time::{Instant, Span};

/// What RACK keeps of a connection.
#[derive(Debug)]
pub(super) struct Rack {
    /// When the latest transmission that has arrived was sent, and the end of its numbers.
    newest: Option<(Instant, Seq)>,
    /// The round trip of the highest number that the last ACK has told of (RACK.rtt): not that of the newest, for what is sent again may be overtaken too.
    round_trip: Span,
    /// The highest number that has arrived (RACK.fack).
    highest: Option<Seq>,
    reordering: Reordering,
    pub(super) shortest: Shortest,
}

/// How much the path is known to change the order of segments (section 6.2, step 4).
#[derive(Debug)]
struct Reordering {
    /// How often it was seen.
    seen: u32,
    /// Over how many bytes at most something was overtaken.
    degree: u32,
    /// The window in quarters of the shortest round trip.
    quarters: u32,
    /// Recoveries without a duplicate after which the window is small again.
    persists: u8,
    /// A duplicate was reported; the next counts once this number is acknowledged.
    widened_until: Option<Seq>,
}

/// The shortest round trip of the last minutes.
#[derive(Debug)]
pub(super) struct Shortest {
    round_trip: Option<Span>,
    measured_at: Instant,
}

/// Whether losses may be taken for such at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patience {
    /// Something may just have been overtaken.
    Waits,
    /// As long as no reordering was seen: in recovery, or when three segments have arrived behind the gap.
    None,
}

impl Rack {
    pub(super) const NEW: Self = Self {
        newest: None,
        round_trip: Span::ZERO,
        highest: None,
        reordering: Reordering {
            seen: 0,
            degree: 0,
            quarters: 1,
            persists: PERSISTENCE,
            widened_until: None,
        },
        shortest: Shortest { round_trip: None, measured_at: Instant::ZERO },
    };

    /// Steps 1 to 3: what an ACK has delivered.
    pub(super) fn learn(&mut self, now: Instant, delivery: &Delivery, una: Seq) {
        self.reordering.widened_until.take_if(|until| una.at_or_after(*until));
        if let Some((stamp, end)) = delivery.newest_certain {
            self.shortest.note(now, now.span_since(stamp.sent_at));
            let newer = self.newest.is_none_or(|(sent_at, highest)| {
                stamp.sent_at > sent_at || (stamp.sent_at == sent_at && end.follows(highest))
            });
            if newer {
                self.newest = Some((stamp.sent_at, end));
            }
        }
        if let Some((sent_at, _)) = delivery.highest_certain {
            self.round_trip = now.span_since(sent_at);
        }
        if let (Some(lowest), Some(highest)) = (delivery.lowest_once, self.highest)
            && lowest.precedes(highest)
        {
            self.reordering.over(highest.offset_from(lowest));
        }
        if let Some(highest) = delivery.highest {
            self.highest = Some(self.highest.map_or(highest, |before| before.later(highest)));
        }
    }

    /// What was sent again was not lost, but late.
    pub(super) fn overtaken(&mut self) {
        self.reordering.over(0);
    }

    /// How often the path has changed the order of segments, and over how many bytes at most.
    pub(super) fn reordering(&self) -> (u32, u32) {
        (self.reordering.seen, self.reordering.degree)
    }

    /// Step 4, with D-SACK: a duplicate means that something was sent again too early, and that the window is too small.
    pub(super) fn duplicate_reported(&mut self, nxt: Seq) {
        let reordering = &mut self.reordering;
        if reordering.widened_until.is_some() {
            return;
        }
        reordering.widened_until = Some(nxt);
        reordering.quarters = reordering.quarters.saturating_add(1);
        reordering.persists = PERSISTENCE;
    }

    /// A recovery has ended. The window is wide for sixteen of them after the last duplicate.
    pub(super) fn recovered(&mut self) {
        self.reordering.persists = self.reordering.persists.saturating_sub(1);
        if self.reordering.persists == 0 {
            self.reordering.quarters = 1;
        }
    }

    /// Step 5: gives up what is overdue, and says when to look again if something will be.
    pub(super) fn detect(
        &self,
        board: &mut Scoreboard,
        now: Instant,
        patience: Patience,
        smoothed: Option<Span>,
    ) -> Option<Instant> {
        let (newest_at, newest_end) = self.newest?;
        if board.is_all_sent_after(newest_at) {
            return None;
        }
        let allowed = self.round_trip + self.reordering_window(patience, smoothed);
        while let Some((sent_at, start, end)) = board.oldest() {
            // Of what was sent in the same turn only that counts as sent before which has the lower numbers.
            let before = if sent_at < newest_at { end } else { end.earlier(newest_end) };
            if sent_at > newest_at || before.at_or_before(start) {
                return None;
            }
            let due = sent_at + allowed;
            if due > now {
                return Some(due);
            }
            board.lose_oldest(before);
        }
        None
    }

    /// After a timeout: what is overdue is lost, and so is the first in any case (section 6.3).
    pub(super) fn detect_on_timeout(
        &self,
        board: &mut Scoreboard,
        now: Instant,
        smoothed: Option<Span>,
        mss: u32,
    ) {
        board.lose_first(mss);
        let allowed = self.round_trip + self.reordering_window(Patience::Waits, smoothed);
        while let Some((sent_at, _, end)) = board.oldest().filter(|&(at, ..)| at + allowed <= now) {
            debug_assert!(sent_at <= now);
            board.lose_oldest(end);
        }
    }

    fn reordering_window(&self, patience: Patience, smoothed: Option<Span>) -> Span {
        if self.reordering.seen == 0 && patience == Patience::None {
            return Span::ZERO;
        }
        let quarter = self.shortest.round_trip.unwrap_or(Span::ZERO) / 4;
        let window = quarter * self.reordering.quarters;
        smoothed.map_or(window, |smoothed| window.min(smoothed))
    }
}

impl Reordering {
    /// Something was overtaken by what was sent so many bytes later.
    fn over(&mut self, bytes: u32) {
        self.seen = self.seen.saturating_add(1);
        self.degree = self.degree.max(bytes);
    }
}

impl Shortest {
    pub(super) fn round_trip(&self) -> Option<Span> {
        self.round_trip
    }

    fn note(&mut self, now: Instant, round_trip: Span) {
        let forgotten = now.span_since(self.measured_at) > SHORTEST_LASTS;
        if forgotten || self.round_trip.is_none_or(|shortest| round_trip <= shortest) {
            *self = Self { round_trip: Some(round_trip), measured_at: now };
        }
    }
}

/// RFC 8985, section 6.2, step 4: RACK.reo_wnd_persist.
const PERSISTENCE: u8 = 16;
/// Paths change: as long as in Linux.
const SHORTEST_LASTS: Span = Span::from_secs(300);
