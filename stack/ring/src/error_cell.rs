//! The cause of a failure, told once.

use std::fmt;

use crate::fault::{Fault, is_on, ordering};
use crate::sync::{AtomicI32, Ordering};

/// An error number on its way from the protocol thread to whichever caller asks first (R-12).
///
/// The first cause wins. It is set before the flag that announces it, so that who sees the flag finds it.
///
/// # Ordering
///
/// - **A**: what was written before the cause (A1, release) is seen by who takes it (A2, acquire).
///
/// ```
/// use darner_ring::ErrorCell;
///
/// let error = ErrorCell::new();
/// error.set(104);
/// error.set(110);
/// assert_eq!(error.take(), Some(104));
/// assert_eq!(error.take(), None);
/// ```
pub struct ErrorCell(AtomicI32);

impl ErrorCell {
    /// No error.
    pub fn new() -> Self {
        Self(AtomicI32::new(NONE))
    }

    /// Sets the cause, unless there is one that nobody has taken. `errno` is not zero.
    pub fn set(&self, errno: i32) {
        debug_assert_ne!(errno, NONE);
        if is_on(Fault::ErrorByStore) {
            self.0.store(errno, Ordering::Release);
            return;
        }
        let release = ordering(Ordering::Release, Fault::ErrorA1);
        // Refused: an earlier cause is there.
        let _ = self.0.compare_exchange(NONE, errno, release, Ordering::Relaxed); // A1
    }

    /// Takes the cause: of all callers, one gets it.
    pub fn take(&self) -> Option<i32> {
        let errno = if is_on(Fault::ErrorTakenApart) {
            let errno = self.0.load(Ordering::Acquire);
            self.0.store(NONE, Ordering::Release);
            errno
        } else {
            self.0.swap(NONE, ordering(Ordering::AcqRel, Fault::ErrorA2)) // A2
        };
        (errno != NONE).then_some(errno)
    }

    /// The cause, if nobody has taken it. It stays.
    pub fn peek(&self) -> Option<i32> {
        let errno = self.0.load(Ordering::Acquire); // A2
        (errno != NONE).then_some(errno)
    }
}

impl Default for ErrorCell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ErrorCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorCell").field(&self.0.load(Ordering::Relaxed)).finish()
    }
}

const NONE: i32 = 0;

#[cfg(not(loom))]
const _: () = assert!(size_of::<ErrorCell>() == 4);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_told() {
        let rounds = if cfg!(miri) { 5 } else { 500 };
        for _ in 0..rounds {
            let error = ErrorCell::new();
            error.set(104);
            let told: Vec<_> = std::thread::scope(|scope| {
                let asking: Vec<_> = (0..3).map(|_| scope.spawn(|| error.take())).collect();
                asking.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(told, [104]);
        }
    }

    #[test]
    fn a_look_leaves_the_cause() {
        let error = ErrorCell::new();
        assert_eq!(error.peek(), None);
        error.set(111);
        assert_eq!((error.peek(), error.take(), error.peek()), (Some(111), Some(111), None));
    }
}
