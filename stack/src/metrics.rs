//! Counters and drops of one core: written by its protocol thread, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::counters::Counter;
use crate::drops::Drop;

/// One core's counts. The protocol thread is the only writer, so it adds with a plain load and store.
pub struct Metrics {
    counters: [AtomicU64; Counter::ALL.len()],
    drops: [AtomicU64; Drop::ALL.len()],
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            counters: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            drops: [const { AtomicU64::new(0) }; Drop::ALL.len()],
        }
    }

    /// How often `counter` was counted.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn counters(&self) -> Vec<(Counter, u64)> {
        Counter::ALL.iter().map(|&counter| (counter, self.counter(counter))).collect()
    }

    /// How many packets were dropped for this reason.
    pub fn dropped(&self, drop: Drop) -> u64 {
        self.drops[drop as usize].load(Ordering::Relaxed)
    }

    /// Counts one. For the protocol thread only: a second writer would lose counts.
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts several. For the protocol thread only.
    #[inline]
    pub(crate) fn add(&self, counter: Counter, count: u64) {
        add(&self.counters[counter as usize], count);
    }

    /// Counts a dropped packet. For the protocol thread only.
    #[inline]
    pub(crate) fn count_drop(&self, drop: Drop) {
        add(&self.drops[drop as usize], 1);
    }
}

#[inline]
fn add(word: &AtomicU64, count: u64) {
    word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}
