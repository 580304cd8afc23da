//! What one ACK says about what was sent, before anything is made of it.

use std::time::Duration;

use super::scoreboard::{Fate, Run, Stamp, Transmissions};
use crate::tcp::seq::Seq;
use crate::time::Instant;

/// The news of one ACK.
#[derive(Debug)]
pub(in crate::tcp) struct Delivery {
    now: Instant,
    /// When what the peer echoes was sent, in whole milliseconds, if it echoes anything.
    echo_ms: Option<u64>,
    /// No round trip takes less.
    least_round_trip: Duration,
    /// Newly acknowledged cumulatively, in bytes and with the FIN.
    pub(super) acked: u32,
    /// Newly known to have arrived, either way.
    pub(super) delivered: u32,
    /// The transmission that was the last to be made, of those that have arrived, and the end of its numbers.
    pub(super) newest: Option<(Stamp, Seq)>,
    /// The same, of those that cannot be mistaken for an earlier one of the same numbers (RFC 8985, section 6.2, step 2).
    pub(super) newest_certain: Option<(Stamp, Seq)>,
    /// When the first of what was sent once, and is now acknowledged cumulatively, was sent.
    pub(super) sent_once: Option<Instant>,
    /// Something that is now acknowledged cumulatively was sent more than once.
    pub(super) acked_again: bool,
    /// The lowest end of what has arrived by its only transmission.
    pub(super) lowest_once: Option<Seq>,
    /// The highest end of what has arrived.
    pub(super) highest: Option<Seq>,
}

impl Delivery {
    pub(super) fn new(now: Instant, echo_ms: Option<u64>, least_round_trip: Duration) -> Self {
        Self {
            now,
            echo_ms,
            least_round_trip,
            acked: 0,
            delivered: 0,
            newest: None,
            newest_certain: None,
            sent_once: None,
            acked_again: false,
            lowest_once: None,
            highest: None,
        }
    }

    /// A piece is acknowledged for good.
    pub(super) fn acknowledged(&mut self, piece: &Run) {
        self.acked += piece.len;
        if piece.fate == Fate::Arrived {
            return;
        }
        self.arrived(piece);
        match piece.sent {
            Transmissions::One => _ = self.sent_once.get_or_insert(piece.stamp.sent_at),
            Transmissions::More => self.acked_again = true,
        }
    }

    /// A piece has arrived, which was not known.
    pub(super) fn arrived(&mut self, piece: &Run) {
        self.delivered += piece.len;
        let sending = (piece.stamp, piece.end());
        self.newest = later(self.newest, sending);
        if piece.sent == Transmissions::One || self.is_certain(&piece.stamp) {
            self.newest_certain = later(self.newest_certain, sending);
        }
        if piece.sent == Transmissions::One {
            let end = piece.end();
            self.lowest_once = Some(self.lowest_once.map_or(end, |lowest| lowest.earlier(end)));
        }
        self.highest = Some(self.highest.map_or(piece.end(), |highest| highest.later(piece.end())));
    }

    /// Of something sent again it may be the earlier transmission that has arrived: if what is echoed is older than the last, or if the last has
    /// hardly had the time.
    fn is_certain(&self, stamp: &Stamp) -> bool {
        let echoed = self.echo_ms.is_none_or(|echo_ms| echo_ms >= stamp.sent_at.as_millis());
        echoed && self.now.since(stamp.sent_at) >= self.least_round_trip
    }
}

/// Whichever was sent later (RFC 8985, section 6.1: RACK_sent_after).
fn later(best: Option<(Stamp, Seq)>, candidate: (Stamp, Seq)) -> Option<(Stamp, Seq)> {
    let after = best.is_none_or(|best| is_sent_after(&candidate, &best));
    if after { Some(candidate) } else { best }
}

fn is_sent_after((a, a_end): &(Stamp, Seq), (b, b_end): &(Stamp, Seq)) -> bool {
    a.sent_at > b.sent_at || (a.sent_at == b.sent_at && a_end.follows(*b_end))
}
