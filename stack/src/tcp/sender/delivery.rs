//! What one ACK says about what was sent, before anything is made of it.

use super::scoreboard::{Fate, Run, Stamp, Transmissions};
use crate::tcp::seq::Seq;
use crate::time::{Instant, Span};

/// The news of one ACK.
#[derive(Debug)]
pub(in crate::tcp) struct Delivery {
    now: Instant,
    /// When what the peer echoes was sent, in whole milliseconds, if it echoes anything.
    echo_ms: Option<u64>,
    /// No round trip takes less.
    least_round_trip: Span,
    /// Newly acknowledged cumulatively, in bytes and with the FIN.
    pub(super) acked: u32,
    /// When the first of that was last sent.
    pub(super) front_sent_at: Option<Instant>,
    /// Newly known to have arrived, either way.
    pub(super) delivered: u32,
    /// The transmission that was the last to be made, of those that have arrived and cannot be mistaken for an earlier one of the same
    /// numbers (RFC 8985, section 6.2, step 2), and the end of its numbers.
    pub(super) newest_certain: Option<(Stamp, Seq)>,
    /// The same, of the others.
    newest_doubtful: Option<(Stamp, Seq)>,
    /// When the first of what was sent once, and is now acknowledged cumulatively, was sent.
    pub(super) sent_once: Option<Instant>,
    /// The same of what is now acknowledged selectively.
    pub(super) sacked_once: Option<Instant>,
    /// Something that is now acknowledged cumulatively was sent more than once.
    pub(super) acked_again: bool,
    /// Where the lowest of what has arrived by its only transmission begins.
    pub(super) lowest_once: Option<Seq>,
    /// When the highest of what is certain was sent (RACK.rtt is counted from there), and the end of its numbers.
    pub(super) highest_certain: Option<(Instant, Seq)>,
    /// The highest end of what has arrived.
    pub(super) highest: Option<Seq>,
}

impl Delivery {
    pub(super) fn new(now: Instant, echo_ms: Option<u64>, least_round_trip: Span) -> Self {
        Self {
            now,
            echo_ms,
            least_round_trip,
            acked: 0,
            front_sent_at: None,
            delivered: 0,
            newest_certain: None,
            newest_doubtful: None,
            sent_once: None,
            sacked_once: None,
            acked_again: false,
            lowest_once: None,
            highest_certain: None,
            highest: None,
        }
    }

    /// The numbers from `start` to `end` were sent once, the first of them at `first_sent_at` and the last as `newest` says, and are
    /// acknowledged.
    #[inline]
    pub(super) fn in_order(
        now: Instant,
        (start, end): (Seq, Seq),
        first_sent_at: Instant,
        newest: Stamp,
    ) -> Self {
        let len = end.offset_from(start);
        Self {
            acked: len,
            front_sent_at: Some(first_sent_at),
            delivered: len,
            newest_certain: Some((newest, end)),
            sent_once: Some(first_sent_at),
            lowest_once: Some(start),
            highest_certain: Some((newest.sent_at, end)),
            highest: Some(end),
            ..Self::new(now, None, Span::ZERO)
        }
    }

    /// A piece is acknowledged for good.
    pub(super) fn acknowledged(&mut self, piece: &Run) {
        self.acked += piece.len;
        self.front_sent_at.get_or_insert(piece.stamp.sent_at);
        if piece.fate == Fate::Arrived {
            return;
        }
        self.note(piece);
        match piece.sent {
            Transmissions::One => _ = self.sent_once.get_or_insert(piece.stamp.sent_at),
            Transmissions::More => self.acked_again = true,
        }
    }

    /// A piece has arrived behind a gap, which was not known.
    pub(super) fn arrived(&mut self, piece: &Run) {
        self.note(piece);
        if piece.sent == Transmissions::One {
            let sent_at = piece.stamp.sent_at;
            self.sacked_once = Some(self.sacked_once.map_or(sent_at, |first| first.min(sent_at)));
        }
    }

    fn note(&mut self, piece: &Run) {
        self.delivered += piece.len;
        let end = piece.end();
        if piece.sent == Transmissions::One {
            let start = piece.start;
            self.lowest_once = Some(self.lowest_once.map_or(start, |lowest| lowest.earlier(start)));
        }
        if piece.sent == Transmissions::One || self.is_certain(&piece.stamp) {
            note_later(&mut self.newest_certain, &piece.stamp, end);
            if self.highest_certain.is_none_or(|(_, highest)| end.follows(highest)) {
                self.highest_certain = Some((piece.stamp.sent_at, end));
            }
        } else {
            note_later(&mut self.newest_doubtful, &piece.stamp, end);
        }
        self.highest = Some(self.highest.map_or(end, |highest| highest.later(end)));
    }

    /// When the transmission that was the last to be made, of those that have arrived, was sent.
    pub(super) fn newest(&self) -> Option<&Stamp> {
        match (&self.newest_certain, &self.newest_doubtful) {
            (Some(certain), Some(doubtful)) if is_sent_after(&doubtful.0, doubtful.1, certain) => {
                Some(&doubtful.0)
            }
            (Some((stamp, _)), _) | (None, Some((stamp, _))) => Some(stamp),
            (None, None) => None,
        }
    }

    /// Of something sent again it may be the earlier transmission that has arrived: if what is echoed is older than the last, or if the last has
    /// hardly had the time.
    fn is_certain(&self, stamp: &Stamp) -> bool {
        let echoed = self.echo_ms.is_none_or(|echo_ms| echo_ms >= stamp.sent_at.as_millis());
        echoed && self.now.span_since(stamp.sent_at) >= self.least_round_trip
    }
}

/// Keeps whichever was sent later.
fn note_later(best: &mut Option<(Stamp, Seq)>, stamp: &Stamp, end: Seq) {
    if best.as_ref().is_none_or(|best| is_sent_after(stamp, end, best)) {
        *best = Some((*stamp, end));
    }
}

/// RACK_sent_after (RFC 8985, section 6.1).
fn is_sent_after(stamp: &Stamp, end: Seq, (other, other_end): &(Stamp, Seq)) -> bool {
    stamp.sent_at > other.sent_at || (stamp.sent_at == other.sent_at && end.follows(*other_end))
}
