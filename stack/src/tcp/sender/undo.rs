//! Whether a recovery was needed: by timestamps (Eifel, RFC 3522), by D-SACK (RFC 3708), and after a timeout by what arrives next (F-RTO,
//! RFC 5682).

use super::delivery::Delivery;
use crate::tcp::seq::Seq;
use crate::time::Instant;
use crate::wire::tcp_options::SackBlock;

/// What is known of the repairs of one recovery.
#[derive(Debug)]
pub(super) struct Repairs {
    /// When the first was sent, in whole milliseconds, as our timestamps count them.
    first_ms: Option<u64>,
    /// Bytes sent again that no duplicate was reported of.
    unexplained: u32,
    /// The numbers that were outstanding when the recovery began: only they can have been sent again by it.
    from: Seq,
    to: Seq,
}

impl Repairs {
    pub(super) fn begin(from: Seq, to: Seq) -> Self {
        Self { first_ms: None, unexplained: 0, from, to }
    }

    pub(super) fn sent(&mut self, now: Instant, len: u32) {
        self.first_ms.get_or_insert(now.as_millis());
        self.unexplained = self.unexplained.saturating_add(len);
    }

    /// Whether an ACK of something new echoes what was sent before the first repair: then the original has arrived (RFC 3522,
    /// section 3.2, step 4). What is echoed was sent with the first of the new numbers (RFC 7323, section 4.3), which must have been repaired
    /// too, at `front_sent_at`: else it is late, or was repaired before this recovery, and says nothing of the repairs.
    pub(super) fn are_refuted_by(
        &self,
        echo_ms: Option<u64>,
        front_sent_at: Option<Instant>,
    ) -> bool {
        let (Some(first), Some(echo), Some(sent_at)) = (self.first_ms, echo_ms, front_sent_at)
        else {
            return false;
        };
        echo < first && sent_at.as_millis() >= first
    }

    /// A duplicate was reported. Whether with it every repair was one too many (RFC 3708, section 3).
    pub(super) fn explained_by(&mut self, twice: SackBlock) -> bool {
        let SackBlock { left, right } = twice;
        if left.precedes(self.from) || right.follows(self.to) || self.unexplained == 0 {
            return false;
        }
        self.unexplained = self.unexplained.saturating_sub(right.offset_from(left));
        self.unexplained == 0
    }
}

/// Whether the timeout was too early: what arrives after the first retransmission tells (RFC 5682, section 2.1, and 3.1 with SACK).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frto {
    Off,
    /// The first segment was sent again, and nothing was heard yet (step 1).
    Waiting,
    /// An ACK has moved SND.UNA: new data goes instead of repairs, and the next ACK decides (step 2b).
    Probing,
}

impl Frto {
    /// What an ACK before `point` says: whether the timeout was spurious.
    pub(super) fn judge(&mut self, delivery: &Delivery, point: Seq, sack: bool) -> bool {
        let original = delivery.lowest_once.is_some_and(|end| end.at_or_before(point));
        let advanced = delivery.acked > 0;
        match self {
            Self::Off => false,
            // With SACK nothing that has arrived before can be news, as long as no SACK was lost.
            Self::Waiting if sack && original => true,
            Self::Probing if original => true,
            Self::Waiting if advanced => {
                *self = Self::Probing;
                false
            }
            Self::Waiting | Self::Probing => {
                *self = Self::Off;
                false
            }
        }
    }
}
