//! Which of many things ask to be looked at, as bits: what a queue has no room for is never lost here.

use std::fmt;

use crate::fault::{Fault, is_on, ordering};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A set of indices that any thread adds to and one thread takes from, within a budget.
///
/// Three levels, so that taking costs what is there and not what could be: a bit for each index, a bit for each word of
/// those, and a flag that there is anything at all.
///
/// # Ordering
///
/// - **A**: what was written before an index was marked (A1, release) is seen by who takes it (A2, acquire).
/// - **B**: a bit is set before the bit above it (B1, release), and taken after it (B2, acquire): so a bit that is
///   set has one above it, or one that is about to be set, unless somebody is taking it now.
///
/// ```
/// let map = darner_ring::HintMap::new(100);
/// map.mark(99);
/// map.mark(7);
/// map.mark(99);
/// let mut taken = vec![];
/// assert_eq!(map.take(1, &mut |index| taken.push(index)), 1);
/// assert_eq!(map.take(10, &mut |index| taken.push(index)), 1);
/// assert_eq!(taken, [7, 99]);
/// assert!(map.is_empty());
/// ```
pub struct HintMap {
    any: AtomicU32,
    /// The word to take first next time; only the taker's.
    next: AtomicU32,
    /// A bit for each word of `bits`.
    words: Box<[AtomicU64]>,
    /// A bit for each index.
    bits: Box<[AtomicU64]>,
}

impl HintMap {
    /// No index, of those below `indices`.
    pub fn new(indices: u32) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect::<Box<[_]>>();
        let bits = zeros((indices as usize).div_ceil(WORD).max(1));
        let words = zeros(bits.len().div_ceil(WORD));
        Self { any: AtomicU32::new(0), next: AtomicU32::new(0), words, bits }
    }

    /// Adds `index`.
    ///
    /// # Panics
    /// If it is not below the number that the map was made for, rounded up to 64.
    pub fn mark(&self, index: u32) {
        let index = index as usize;
        let word = index / WORD;
        if is_on(Fault::UpperFirst) {
            self.announce(word);
        }
        let release = ordering(Ordering::Release, Fault::HintMapA1);
        self.bits[word].fetch_or(1 << (index % WORD), release); // A1, B1
        if !is_on(Fault::UpperFirst) {
            self.announce(word);
        }
    }

    /// Whether there is nothing to take. What is being marked now may or may not count.
    pub fn is_empty(&self) -> bool {
        self.any.load(Ordering::Relaxed) == 0
    }

    /// Takes up to `budget` indices and gives each to `visit`, once, however often it was marked. The next call goes on
    /// where this one stopped; with a budget of 64 or more, every index has its turn. Gives their number.
    pub fn take(&self, budget: usize, visit: &mut impl FnMut(u32)) -> usize {
        if self.is_empty() {
            return 0;
        }
        let acquire = ordering(Ordering::AcqRel, Fault::HintMapB2);
        self.any.swap(0, acquire); // B2
        let start = self.next.load(Ordering::Relaxed) as usize;
        let mut left = budget;
        for (upper, mask) in upper_words(start, self.words.len()) {
            let mut candidates = self.words[upper].load(Ordering::Relaxed) & mask;
            while candidates != 0 {
                let word = upper * WORD + candidates.trailing_zeros() as usize;
                if left == 0 {
                    self.go_on_at(word);
                    return budget;
                }
                let (taken, rest) = self.take_word(word, left, visit);
                left -= taken;
                if rest == Rest::Some && !is_on(Fault::RestForgotten) {
                    self.announce(word);
                    self.go_on_at(word);
                    return budget;
                }
                candidates &= candidates - 1;
            }
        }
        budget - left
    }

    /// Takes up to `budget` bits of one word. Gives their number, and whether there are more.
    fn take_word(&self, word: usize, budget: usize, visit: &mut impl FnMut(u32)) -> (usize, Rest) {
        let acquire = ordering(Ordering::AcqRel, Fault::HintMapB2);
        self.words[word / WORD].fetch_and(!(1 << (word % WORD)), acquire); // B2
        let wanted = lowest(self.bits[word].load(Ordering::Relaxed), budget);
        let acquire = ordering(Ordering::AcqRel, Fault::HintMapA2);
        let rest = self.bits[word].fetch_and(!wanted, acquire) & !wanted; // A2
        for bit in ones(wanted) {
            visit(index_of(word, bit));
        }
        (wanted.count_ones() as usize, if rest == 0 { Rest::None } else { Rest::Some })
    }

    /// There is more than the budget allowed: the next call begins at `word`.
    fn go_on_at(&self, word: usize) {
        self.next.store(u32::try_from(word).unwrap_or(0), Ordering::Relaxed);
        self.any.fetch_or(1, Ordering::Relaxed);
    }

    fn announce(&self, word: usize) {
        let release = ordering(Ordering::Release, Fault::HintMapB1);
        self.words[word / WORD].fetch_or(1 << (word % WORD), release); // B1
        self.any.fetch_or(1, release); // B1
    }
}

impl fmt::Debug for HintMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HintMap").field("empty", &self.is_empty()).finish_non_exhaustive()
    }
}

/// Whether a word has bits that were not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    None,
    Some,
}

/// The words above the bits' words, round from the one above the word `start`, with the bits of each that are due: the
/// first comes twice, with those from `start` on and with those before.
fn upper_words(start: usize, count: usize) -> impl Iterator<Item = (usize, u64)> {
    let from_start = u64::MAX << (start % WORD);
    (0..=count).map(move |step| {
        let mask = match step {
            0 => from_start,
            step if step == count => !from_start,
            _ => u64::MAX,
        };
        ((start / WORD + step) % count, mask)
    })
}

/// The `count` lowest bits of those that are set.
fn lowest(bits: u64, count: usize) -> u64 {
    if count >= WORD {
        return bits;
    }
    ones(bits).take(count).fold(0, |lowest, bit| lowest | 1 << bit)
}

/// The bits that are set, lowest first.
fn ones(bits: u64) -> impl Iterator<Item = u32> {
    let without_lowest = |&bits: &u64| Some(bits & bits.wrapping_sub(1));
    std::iter::successors(Some(bits), without_lowest)
        .take_while(|&bits| bits != 0)
        .map(u64::trailing_zeros)
}

fn index_of(word: usize, bit: u32) -> u32 {
    u32::try_from(word * WORD).expect("an index was marked") + bit
}

const WORD: usize = 64;

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::cases;

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn behaves_like_a_set(
            steps in prop::collection::vec((any::<bool>(), 0..9000_u32), 0..200),
            budget in 1..40_usize,
        ) {
            let map = HintMap::new(9000);
            let mut model = BTreeSet::new();
            for (mark, index) in steps {
                if mark {
                    map.mark(index);
                    model.insert(index);
                } else {
                    let want = budget.min(model.len());
                    let mut removed = vec![];
                    prop_assert_eq!(map.take(budget, &mut |index| removed.push(model.remove(&index))), want);
                    prop_assert_eq!(removed, vec![true; want]);
                }
                prop_assert_eq!(map.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn every_index_has_its_turn() {
        let words = if cfg!(miri) { 2 } else { 70 };
        let all = 64 * words;
        let map = HintMap::new(all);
        let mut turns = vec![0; all as usize];
        // All are marked again all the time.
        for _ in 0..4 * words {
            (0..all).for_each(|index| map.mark(index));
            assert_eq!(map.take(74, &mut |index| turns[index as usize] += 1), 74);
        }
        assert!(turns.iter().all(|&turns| turns >= 3), "{turns:?}");
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let (indices, rounds) = if cfg!(miri) { (70, 2) } else { (5000, 100) };
        let map = HintMap::new(indices);
        let marked: Vec<AtomicU32> = (0..indices).map(|_| AtomicU32::new(0)).collect();
        let mut seen = vec![0; marked.len()];
        let mut look =
            |index: u32| seen[index as usize] = marked[index as usize].load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            let marking = [(); 2].map(|()| {
                scope.spawn(|| {
                    for index in (0..rounds).flat_map(|_| 0..indices) {
                        marked[index as usize].fetch_add(1, Ordering::Relaxed);
                        map.mark(index);
                    }
                })
            });
            while !marking.iter().all(|thread| thread.is_finished()) {
                map.take(100, &mut look);
            }
        });
        while !map.is_empty() {
            map.take(100, &mut look);
        }
        assert_eq!(seen, vec![2 * rounds; marked.len()]);
    }
}
