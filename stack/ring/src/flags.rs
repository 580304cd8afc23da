//! Bits that one side adds and the other takes.

use std::fmt;

use crate::fault::{Fault, is_on, ordering};
use crate::sync::{AtomicU32, Ordering};

/// A set of bits, each of which says: look at what I stand for. The state itself is elsewhere.
///
/// Adding is always a read-modify-write (R-17): a plain look that finds the bit there already may be older than the take
/// that removed it.
///
/// # Ordering
///
/// - **A**: what was written before a bit was raised (A1, release) is seen by whoever takes the bit (A2, acquire),
///   provided that he reads it after the take. If the bit was there already, the take that gets it is still to come.
///
/// ```
/// use darner_ring::Flags;
///
/// let flags = Flags::new();
/// assert_eq!(flags.raise(0b01), 0, "the first: somebody must be told");
/// assert_eq!(flags.raise(0b10), 0b01, "somebody was told");
/// assert_eq!(flags.take(), 0b11);
/// assert_eq!(flags.peek(), 0);
/// ```
pub struct Flags(AtomicU32);

impl Flags {
    /// No bits.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Adds `bits`. Gives those that were there before.
    pub fn raise(&self, bits: u32) -> u32 {
        if is_on(Fault::FlagsSkipped) && self.0.load(Ordering::Relaxed) & bits == bits {
            return bits;
        }
        let release = ordering(Ordering::AcqRel, Fault::FlagsA1);
        self.0.fetch_or(bits, release) // A1
    }

    /// Takes all bits. What they stand for is read afterwards.
    pub fn take(&self) -> u32 {
        if is_on(Fault::FlagsTakenApart) {
            let bits = self.0.load(Ordering::Acquire);
            self.0.store(0, Ordering::Release);
            return bits;
        }
        let acquire = ordering(Ordering::AcqRel, Fault::FlagsA2);
        self.0.swap(0, acquire) // A2
    }

    /// The bits that are there now, and stay there.
    pub fn peek(&self) -> u32 {
        self.0.load(Ordering::Acquire) // A2
    }
}

impl Default for Flags {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#b})", self.0.load(Ordering::Relaxed))
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Flags>() == 4);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::cases;

    #[test]
    fn no_bit_is_taken_twice_or_lost_between_threads() {
        let flags = Flags::new();
        let mut taken = [0_u32; 32];
        let mut count = |bits: u32| {
            (0..32).filter(|bit| bits & (1 << bit) != 0).for_each(|bit| taken[bit] += 1);
        };
        std::thread::scope(|scope| {
            let raising = [0..16, 16..32].map(|bits| {
                let flags = &flags;
                scope.spawn(move || {
                    bits.for_each(|bit| assert_eq!(flags.raise(1 << bit) & 1 << bit, 0))
                })
            });
            while !raising.iter().all(|thread| thread.is_finished()) {
                count(flags.take());
            }
        });
        count(flags.take());
        assert_eq!(taken, [1; 32]);
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn behaves_like_a_word(steps in prop::collection::vec((0..3, any::<u32>()), 0..30)) {
            let flags = Flags::new();
            let mut model = 0;
            for (step, bits) in steps {
                match step {
                    0 => {
                        prop_assert_eq!(flags.raise(bits), model);
                        model |= bits;
                    }
                    1 => prop_assert_eq!(flags.take(), std::mem::take(&mut model)),
                    _ => prop_assert_eq!(flags.peek(), model),
                }
            }
        }
    }
}
