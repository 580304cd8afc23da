//! Who still holds a thing.

use std::fmt;

use crate::fault::{Fault, is_on, ordering};
use crate::sync::{AtomicU32, Ordering};

/// One bit for each owner. Who clears the last one tidies up.
///
/// Once nobody owns the thing, nobody will again.
///
/// # Ordering
///
/// - **A**: what each owner did before it left (A1, release) is seen by the last one (A2, acquire).
///
/// ```
/// use darner_ring::{Left, Owners};
///
/// const READER: u32 = 1;
/// const WRITER: u32 = 2;
/// let owners = Owners::new(READER | WRITER);
/// assert_eq!(owners.leave(READER), Left::Others(WRITER));
/// assert!(owners.holds(WRITER));
/// assert_eq!(owners.leave(WRITER), Left::Last);
/// ```
pub struct Owners(AtomicU32);

/// Who is there after an owner has left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Left {
    /// These.
    Others(u32),
    /// Nobody, and nobody else is told so.
    Last,
}

impl Owners {
    /// A thing owned by `bits`, of which there is at least one.
    pub fn new(bits: u32) -> Self {
        debug_assert_ne!(bits, 0);
        Self(AtomicU32::new(bits))
    }

    /// The owner `bit` has gone.
    pub fn leave(&self, bit: u32) -> Left {
        let before = if is_on(Fault::OwnersByStore) {
            let before = self.0.load(Ordering::Acquire);
            self.0.store(before & !bit, Ordering::Release);
            before
        } else {
            self.0.fetch_and(!bit, ordering(Ordering::AcqRel, Fault::OwnersA)) // A1, A2
        };
        debug_assert_eq!(before & bit, bit, "who leaves was there");
        match before & !bit {
            0 => Left::Last,
            others => Left::Others(others),
        }
    }

    /// The owner `bit` has come, let in by one that is there.
    pub fn join(&self, bit: u32) {
        let before = self.0.fetch_or(bit, Ordering::Relaxed);
        debug_assert_ne!(before, 0, "nobody joins what nobody owns");
    }

    /// Whether the owner `bit` is there.
    pub fn holds(&self, bit: u32) -> bool {
        self.0.load(Ordering::Acquire) & bit != 0 // A2
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owners({:#b})", self.0.load(Ordering::Relaxed))
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Owners>() == 4);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_the_last() {
        let rounds = if cfg!(miri) { 5 } else { 500 };
        for _ in 0..rounds {
            let owners = Owners::new(0b111);
            let last = std::thread::scope(|scope| {
                let owners = &owners;
                let leaving = [1, 2, 4].map(|bit| scope.spawn(move || owners.leave(bit)));
                let left = leaving.map(|thread| thread.join().unwrap());
                left.into_iter().filter(|&left| left == Left::Last).count()
            });
            assert_eq!(last, 1);
        }
    }

    #[test]
    fn who_joins_keeps_the_thing() {
        let owners = Owners::new(1);
        owners.join(2);
        assert_eq!(owners.leave(1), Left::Others(2));
        assert!(!owners.holds(1) && owners.holds(2));
    }

    #[test]
    #[should_panic(expected = "nobody joins")]
    #[cfg(debug_assertions)]
    fn nobody_joins_what_nobody_owns() {
        let owners = Owners::new(1);
        owners.leave(1);
        owners.join(2);
    }
}
