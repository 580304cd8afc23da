//! Which mailboxes of a core have something, and whether the core must be woken for it.

use std::fmt;

use crossbeam_utils::CachePadded;

use crate::fault::{Fault, full_fence, ordering};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// One bit for each mailbox that may ring, and whether the core that answers is asleep.
///
/// How a sleeping core is woken is not known here: with an eventfd, say, by whoever [must](Self::must_wake).
///
/// # Ordering
///
/// - **A**: what was put into a mailbox before it rang (A1, release) is seen by who takes the ring (A2, acquire).
/// - **B**: the core announces sleep, fences (B1), and looks at the bells once more; who rings, or publishes anything else
///   that the core looks at then, fences (B2), and looks whether the core is asleep. Both fences are sequentially
///   consistent, so one of the two sees what the other did.
///
/// ```
/// use darner_ring::Doorbell;
///
/// let bell = Doorbell::new();
/// assert!(bell.sleep(|| true), "nothing was rung");
/// bell.ring(3);
/// assert!(bell.must_wake(), "the first to see it asleep");
/// assert!(!bell.must_wake());
///
/// let mut rung = vec![];
/// bell.take(Doorbell::SLOTS, |slot| rung.push(slot));
/// assert_eq!(rung, [3]);
/// ```
pub struct Doorbell {
    /// Written by everybody.
    words: CachePadded<[AtomicU64; WORDS]>,
    /// Written when the core goes to sleep and wakes, read by everybody.
    asleep: CachePadded<AtomicU32>,
}

impl Doorbell {
    /// How many mailboxes can ring.
    pub const SLOTS: usize = WORDS * WORD;

    /// Nobody rings, and the core is awake.
    pub fn new() -> Self {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        Self { words: CachePadded::new(words), asleep: CachePadded::new(AtomicU32::new(AWAKE)) }
    }
}

/// For any thread.
impl Doorbell {
    /// Says that the mailbox `slot` has something. If the core [sleeps](Self::must_wake), it must be woken.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn ring(&self, slot: usize) {
        let release = ordering(Ordering::Release, Fault::DoorbellA1);
        self.words[slot / WORD].fetch_or(1 << (slot % WORD), release); // A1
    }

    /// Whether the core sleeps, or is about to, and the caller is the one to wake it. To be asked after ringing, or after
    /// publishing something else that the core looks at before it sleeps.
    #[must_use = "nobody else wakes the core"]
    pub fn must_wake(&self) -> bool {
        full_fence(Fault::DoorbellB2); // B2
        self.asleep.load(Ordering::Relaxed) == ASLEEP
            && self.asleep.swap(AWAKE, Ordering::AcqRel) == ASLEEP
    }
}

/// For the core.
impl Doorbell {
    /// Silences those of the first `slots` that ring, and gives each to `visit`.
    pub fn take(&self, slots: usize, mut visit: impl FnMut(usize)) {
        let words = self.words.iter().take(slots.div_ceil(WORD));
        for (index, word) in words.enumerate() {
            // What is missed here is there in the next turn.
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut rung = word.swap(0, ordering(Ordering::AcqRel, Fault::DoorbellA2)); // A2
            while rung != 0 {
                visit(index * WORD + rung.trailing_zeros() as usize);
                rung &= rung - 1;
            }
        }
    }

    /// Whether nobody rings.
    pub fn is_silent(&self) -> bool {
        self.is_silent_up_to(Self::SLOTS)
    }

    /// Whether none of the first `slots` rings. Like [`take`](Self::take), it may look at some more.
    pub fn is_silent_up_to(&self, slots: usize) -> bool {
        let mut words = self.words.iter().take(slots.div_ceil(WORD));
        words.all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Announces sleep. False if somebody rings, or if `idle`, which looks at whatever else the core is woken for, says that there
    /// is something: then the core is awake still.
    ///
    /// After the sleep, however it ended, the core calls [`awake`](Self::awake).
    #[must_use = "the core may sleep only if it may"]
    pub fn sleep(&self, idle: impl FnOnce() -> bool) -> bool {
        // Not a store: so a waker's exchange comes before it or after it, and not in between for anybody.
        self.asleep.swap(ASLEEP, Ordering::Relaxed);
        full_fence(Fault::DoorbellB1); // B1
        let may_sleep = self.is_silent() && idle();
        if !may_sleep {
            self.awake();
        }
        may_sleep
    }

    /// The core is awake, so nobody need wake it. Somebody may have seen it asleep and be about to.
    pub fn awake(&self) {
        self.asleep.store(AWAKE, Ordering::Relaxed);
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell")
            .field("silent", &self.is_silent())
            .field("asleep", &(self.asleep.load(Ordering::Relaxed) == ASLEEP))
            .finish_non_exhaustive()
    }
}

const WORD: usize = 64;
const WORDS: usize = if cfg!(loom) { 1 } else { 16 };

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

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
            steps in prop::collection::vec(prop::option::of(0..Doorbell::SLOTS), 0..100),
        ) {
            let (bell, mut model) = (Doorbell::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Some(slot) => {
                        bell.ring(slot);
                        model.insert(slot);
                    }
                    None => {
                        let mut rung = BTreeSet::new();
                        bell.take(Doorbell::SLOTS, |slot| assert!(rung.insert(slot)));
                        prop_assert_eq!(rung, std::mem::take(&mut model));
                    }
                }
                prop_assert_eq!(bell.is_silent(), model.is_empty());
            }
        }
    }

    #[test]
    fn one_of_those_who_ring_wakes_the_sleeper() {
        let bell = Doorbell::new();
        assert!(!bell.must_wake(), "nobody sleeps");
        assert!(bell.sleep(|| true));
        let woken = std::thread::scope(|scope| {
            let bell = &bell;
            let ringing = [1, 2, 700].map(|slot| {
                scope.spawn(move || {
                    bell.ring(slot);
                    bell.must_wake()
                })
            });
            ringing.map(|thread| u32::from(thread.join().unwrap())).iter().sum::<u32>()
        });
        assert_eq!(woken, 1);
        assert!(!bell.sleep(|| true), "it rings");
        assert!(!bell.must_wake());
    }

    #[test]
    fn other_work_keeps_the_core_awake() {
        let bell = Doorbell::new();
        assert!(!bell.sleep(|| false));
        assert!(!bell.must_wake());
        assert!(bell.sleep(|| true));
        bell.awake();
        assert!(!bell.must_wake());
    }
}
