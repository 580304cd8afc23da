//! The words of a byte ring: a stream position with flags in its top bits.

use crate::fault::{Fault, is_on, ordering};
use crate::sync::{AtomicU64, Ordering};

/// One value of a [`SharedWord`]: where, and what is true exactly there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Word(u64);

impl Word {
    pub(crate) const fn new(position: u64, flags: u64) -> Self {
        Self(position | flags)
    }

    pub(crate) const fn position(self) -> u64 {
        self.0 & POSITION
    }

    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn flags(self) -> u64 {
        self.0 & !POSITION
    }
}

/// A word that one side moves forward; flags are only ever added.
pub(crate) struct SharedWord(AtomicU64);

impl SharedWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn load(&self) -> Word {
        Word(self.0.load(ordering(Ordering::Acquire, Fault::TailA2)))
    }

    /// For a word that has one writer and no flags of others.
    pub(crate) fn store(&self, word: Word) {
        self.0.store(word.0, ordering(Ordering::Release, Fault::TailA1));
    }

    /// Moves the position on and keeps flags that others may be setting. Gives the word as it was.
    pub(crate) fn advance(&self, len: u64) -> Word {
        if is_on(Fault::HeadByStore) {
            let word = self.load();
            self.store(Word(word.0 + len));
            return word;
        }
        Word(self.0.fetch_add(len, Ordering::Release))
    }

    /// Moves the position on, or gives the word as it is because somebody set a flag.
    pub(crate) fn advance_unless_flagged(&self, from: u64, to: u64) -> Result<(), Word> {
        if is_on(Fault::TailByStore) && self.load().0 == from {
            self.store(Word(to));
            return Ok(());
        }
        let release = ordering(Ordering::Release, Fault::TailA1);
        self.0.compare_exchange(from, to, release, Ordering::Relaxed).map(drop).map_err(Word)
    }

    /// Adds a flag. Gives the word as it was.
    pub(crate) fn mark(&self, flag: u64) -> Word {
        Word(self.0.fetch_or(flag, Ordering::AcqRel))
    }
}

/// 2^61 bytes: at 100 Gb/s, five years of one connection.
const POSITION: u64 = (1 << 61) - 1;
