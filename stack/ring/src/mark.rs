//! The word in which the writer of a byte ring says which byte is urgent.

use crate::sync::{AtomicU64, Ordering};

/// Which byte of a stream is urgent, and how it is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    /// The stream position of the urgent byte.
    pub position: u64,
    /// Whether reading meets it.
    pub delivery: UrgentDelivery,
}

impl Mark {
    /// Whether a reader who has come to `position` has gone past it. One that is skipped is not passed before something behind it
    /// is read.
    pub(crate) fn is_passed(self, position: u64) -> bool {
        match self.delivery {
            UrgentDelivery::Apart => position > self.position + 1,
            UrgentDelivery::Inline => position > self.position,
        }
    }
}

/// How an urgent byte reaches the application.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UrgentDelivery {
    /// Apart from the stream, which skips it.
    #[default]
    Apart,
    /// As a byte of the stream like any other.
    Inline,
}

/// The newest [`Mark`], or none, in one word: position and delivery are always of the same moment.
///
/// Only the ring's writer stores, and it stores before it publishes the tail that makes the byte visible (A1). So the
/// word needs no ordering of its own: a reader that has seen the byte (A2) sees its mark, or a newer one.
pub(crate) struct MarkWord(AtomicU64);

impl MarkWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn load(&self) -> Option<Mark> {
        let word = self.0.load(Ordering::Relaxed);
        let delivery =
            if word & INLINE == 0 { UrgentDelivery::Apart } else { UrgentDelivery::Inline };
        (word & VALID != 0).then_some(Mark { position: word & POSITION, delivery })
    }

    pub(crate) fn store(&self, mark: Mark) {
        let delivery = match mark.delivery {
            UrgentDelivery::Apart => 0,
            UrgentDelivery::Inline => INLINE,
        };
        self.0.store(VALID | delivery | (mark.position & POSITION), Ordering::Relaxed);
    }
}

const VALID: u64 = 1 << 63;
const INLINE: u64 = 1 << 62;
const POSITION: u64 = INLINE - 1;
