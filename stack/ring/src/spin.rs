//! A spin lock for critical sections of a few instructions.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use crate::fault::{Fault, is_on, ordering};
use crate::sync::{AtomicBool, Ordering, UnsafeCell, spin_loop, yield_now};

/// A value that one thread at a time may touch.
///
/// Inside belongs no system call, no allocation and no callback. Application threads [`lock`](Self::lock); a
/// protocol thread never waits, so it calls [`try_lock`](Self::try_lock) and does something else when that fails.
///
/// # Ordering
///
/// - **A**: unlocking (A1, release) hands what was written inside to whoever locks next (A2, acquire).
///
/// ```
/// use darner_ring::spin::SpinLock;
///
/// let queue = SpinLock::new(vec![1]);
/// queue.lock().push(2);
/// let guard = queue.lock();
/// assert!(queue.try_lock().is_none(), "somebody is inside");
/// assert_eq!(*guard, [1, 2]);
/// ```
pub struct SpinLock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

impl<T> SpinLock<T> {
    /// An unlocked `value`.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// An unlocked `value`.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Waits for the lock: a while with the CPU's pause instruction, then by yielding to other threads.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let mut spins = 0;
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            // Waiting reads only, so the holder keeps its cache line for the unlock.
            while self.locked.load(Ordering::Relaxed) {
                if spins < SPINS_BEFORE_YIELD {
                    spins += 1;
                    spin_loop();
                } else {
                    yield_now();
                }
            }
        }
    }

    /// Takes the lock if it is free. One atomic instruction, never a loop.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let acquire = ordering(Ordering::Acquire, Fault::LockA2);
        let taken = self
            .locked
            .compare_exchange(false, true, acquire, Ordering::Relaxed) // A2
            .is_ok();
        (taken || is_on(Fault::LockUnasked))
            .then(|| SpinGuard { lock: self, not_send: PhantomData })
    }
}

// SAFETY: the value is reachable only through a guard, and a successful exchange of `locked` makes one guard at a
// time; A1 and A2 order its uses. Threads therefore take turns with the value, which needs `T: Send`.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

/// Holds the lock until dropped. Not `Send`: who locked unlocks.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    not_send: PhantomData<*mut T>,
}

// SAFETY: a shared guard gives only `&T`.
unsafe impl<T: Sync> Sync for SpinGuard<'_, T> {}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, and `&self` forbids `deref_mut` meanwhile.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and `&mut self` makes this its only borrow.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.locked.store(false, ordering(Ordering::Release, Fault::LockA1)); // A1
    }
}

/// About a microsecond: longer than any critical section whose holder is running.
const SPINS_BEFORE_YIELD: u32 = 64;

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns() {
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        let lock = SpinLock::new(0_u64);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..rounds).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 3 * rounds);
    }

    #[test]
    fn a_panic_inside_unlocks() {
        let lock = SpinLock::new(0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = lock.lock();
            panic!("inside");
        }));
        assert!(panicked.is_err());
        assert!(lock.try_lock().is_some());
    }
}
