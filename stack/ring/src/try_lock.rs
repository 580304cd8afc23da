//! A lock that a protocol thread never waits for.

use std::error::Error;
use std::fmt;

use crate::fault::{Fault, is_on, ordering};
use crate::futex::{Futex, Slept};
use crate::sync::{Ordering, UnsafeCell, spin_loop};

/// A value that application threads take turns with, and that one protocol thread *tries* to get at: if somebody is inside, it is
/// told when he is out, and goes on with something else (R-37, C-14).
///
/// Inside belongs no system call, no bulk copy and no callback. Not reentrant.
///
/// | bit              | set by                                | cleared by                                    |
/// |------------------|---------------------------------------|-----------------------------------------------|
/// | `LOCKED`         | who gets the lock                     | unlocking                                     |
/// | `PROTOCOL_WAITS` | who only tries, refused               | unlocking, which notifies the protocol thread |
/// | `PARKED`         | an application thread, going to sleep | unlocking, which wakes one                    |
///
/// # Ordering
///
/// - **A**: unlocking (A1, release) hands what was written inside to whoever locks next (A2, acquire).
/// - **B**: unlocking swaps the whole word, so a wish that was added to a locked word is found by that unlocking. A
///   thread that locks keeps the protocol thread's wish (L-3b), unless it is that, and one that has slept leaves the bit
///   that others sleep.
///
/// ```
/// use darner_ring::{Deferred, TryLock};
///
/// let cell = TryLock::new(1);
/// assert_eq!(cell.try_with(|value| *value), Ok(1));
/// let mut notified = false;
/// cell.with(|| notified = true, |value| {
///     assert_eq!(cell.try_with(|_| ()), Err(Deferred), "somebody is inside");
///     *value = 2;
/// });
/// assert!(notified, "so the protocol thread tries again");
/// ```
pub struct TryLock<T> {
    word: Futex,
    value: UnsafeCell<T>,
}

/// Somebody was inside. Whoever it was notifies the protocol thread on leaving.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deferred;

impl fmt::Display for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deferred until whoever is inside has left")
    }
}

impl Error for Deferred {}

impl<T> TryLock<T> {
    /// An unlocked `value`.
    pub fn new(value: T) -> Self {
        Self { word: Futex::new(0), value: UnsafeCell::new(value) }
    }

    /// For application threads: waits for the lock, a while spinning, then asleep. Calls `notify` after unlocking if
    /// the protocol thread was refused meanwhile.
    pub fn with<R>(&self, notify: impl FnOnce(), f: impl FnOnce(&mut T) -> R) -> R {
        self.lock();
        self.inside(notify, f)
    }

    /// For the one protocol thread: at most three atomic instructions, and never a loop.
    ///
    /// # Errors
    /// If somebody is inside: then `f` was not called, and whoever is inside will notify.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Result<R, Deferred> {
        // Its wish has come true.
        self.try_lock(0)?;
        Ok(self.inside(|| (), f))
    }

    /// The same for a thread that does not wait either, and is not the one protocol thread: calls `notify` after unlocking if
    /// that was refused meanwhile, or may have been.
    ///
    /// # Errors
    /// If somebody is inside: then `f` was not called, and whoever is inside will notify the protocol thread.
    pub fn try_with_notifying<R>(
        &self,
        notify: impl FnOnce(),
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Deferred> {
        // The wish that it finds may be the protocol thread's.
        self.try_lock(if is_on(Fault::WishTakenAlong) { 0 } else { PROTOCOL_WAITS })?;
        Ok(if is_on(Fault::WishSwallowed) { self.inside(|| (), f) } else { self.inside(notify, f) })
    }

    /// Locks, or leaves the protocol thread's wish. `kept` is what stays of that in a lock that was free after all.
    fn try_lock(&self, kept: u32) -> Result<(), Deferred> {
        if self.take(0, LOCKED) {
            return Ok(());
        }
        let before = self.wish();
        // Freed just now: nobody notifies for that, so take it. If somebody was faster, he has kept the wish.
        let refused = before & LOCKED != 0
            || !self.take(before | PROTOCOL_WAITS, (before & PARKED) | kept | LOCKED);
        if refused { Err(Deferred) } else { Ok(()) }
    }

    /// The lock is the caller's.
    fn inside<R>(&self, notify: impl FnOnce(), f: impl FnOnce(&mut T) -> R) -> R {
        let _locked = Locked { word: &self.word, notify: Some(notify) };
        // SAFETY: `LOCKED` is this thread's until `_locked` is dropped, so this is the only borrow.
        self.value.with_mut(|value| f(unsafe { &mut *value }))
    }

    fn lock(&self) {
        for _ in 0..SPINS_BEFORE_SLEEP {
            let word = self.word.load(Ordering::Relaxed);
            if word & LOCKED == 0 && self.take(word, kept(word) | LOCKED) {
                return;
            }
            spin_loop();
        }
        self.sleep_and_lock();
    }

    #[cold]
    fn sleep_and_lock(&self) {
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & LOCKED == 0 {
                // Whoever woke this thread has cleared the bit of all sleepers. There may be others.
                let parked = if is_on(Fault::SleepersForgotten) { 0 } else { PARKED };
                if self.take(word, kept(word) | parked | LOCKED) {
                    return;
                }
            } else if word & PARKED != 0 || self.announce_sleep(word) {
                let slept = self.word.wait(word | PARKED, None);
                debug_assert_eq!(slept, Slept::Perhaps);
            }
        }
    }

    fn announce_sleep(&self, word: u32) -> bool {
        let relaxed = Ordering::Relaxed;
        self.word.compare_exchange(word, word | PARKED, relaxed, relaxed).is_ok()
    }

    /// Puts the protocol thread's wish into the word. Gives the word as it was.
    fn wish(&self) -> u32 {
        if is_on(Fault::WishByStore) {
            let word = self.word.load(Ordering::Acquire);
            self.word.store(word | PROTOCOL_WAITS, Ordering::Release);
            return word;
        }
        self.word.fetch_or(PROTOCOL_WAITS, Ordering::Relaxed) // B
    }

    fn take(&self, from: u32, to: u32) -> bool {
        let acquire = ordering(Ordering::Acquire, Fault::TryLockA2);
        self.word.compare_exchange(from, to, acquire, Ordering::Relaxed).is_ok() // A2
    }
}

/// What of the word an application thread keeps when it locks.
fn kept(word: u32) -> u32 {
    if is_on(Fault::WishForgotten) { 0 } else { word }
}

// SAFETY: the value is reachable only inside, where one thread is at a time; A1 and A2 order its uses. Threads
// therefore take turns with the value, which needs `T: Send`.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> fmt::Debug for TryLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryLock").finish_non_exhaustive()
    }
}

/// Unlocks when dropped, on unwinding too.
struct Locked<'a, N: FnOnce()> {
    word: &'a Futex,
    notify: Option<N>,
}

impl<N: FnOnce()> Drop for Locked<'_, N> {
    fn drop(&mut self) {
        let word = self.word.swap(0, ordering(Ordering::Release, Fault::TryLockA1)); // A1, B
        if word & PARKED != 0 {
            self.word.wake(1);
        }
        if word & PROTOCOL_WAITS != 0
            && let Some(notify) = self.notify.take()
        {
            notify();
        }
    }
}

const LOCKED: u32 = 1;
const PROTOCOL_WAITS: u32 = 1 << 1;
const PARKED: u32 = 1 << 2;

/// About a microsecond: longer than any critical section whose holder is running.
const SPINS_BEFORE_SLEEP: u32 = if cfg!(loom) { 1 } else { 64 };

#[cfg(not(loom))]
const _: () = assert!(size_of::<TryLock<u32>>() == 8);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn threads_take_turns_and_the_protocol_thread_is_always_told() {
        let rounds = if cfg!(miri) { 30 } else { 20_000 };
        let (lock, bell) = (TryLock::new(0_u32), AtomicU32::new(0));
        let mut added = 0;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (lock, bell) = (&lock, &bell);
                let ring = move || {
                    bell.fetch_add(1, Ordering::Release);
                };
                scope.spawn(move || (0..rounds).for_each(|_| lock_and_add(lock, ring)));
            }
            while added < rounds {
                let rung = bell.load(Ordering::Acquire);
                if lock.try_with(|value| *value += 1).is_ok() {
                    added += 1;
                } else {
                    while bell.load(Ordering::Acquire) == rung {
                        std::thread::yield_now();
                    }
                }
            }
        });
        assert_eq!(lock.try_with(|value| *value), Ok(3 * rounds));
    }

    fn lock_and_add(lock: &TryLock<u32>, ring: impl FnOnce()) {
        lock.with(ring, |value| *value += 1);
    }

    #[test]
    fn sleepers_are_woken_one_after_the_other() {
        let lock = TryLock::new(0);
        let (enter, entered) = channel::<()>();
        std::thread::scope(|scope| {
            let holding = scope.spawn({
                let lock = &lock;
                move || lock.with(|| (), |_| entered.recv())
            });
            while !is_held(&lock) {
                std::thread::yield_now();
            }
            let waiting = [(); 3].map(|()| scope.spawn(|| lock_and_add(&lock, || ())));
            while lock.word.load(Ordering::Relaxed) & PARKED == 0 {
                std::thread::yield_now();
            }
            assert_eq!(lock.try_with(|_| ()), Err(Deferred));
            enter.send(()).unwrap();
            assert!(holding.join().unwrap().is_ok());
            waiting.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(lock.try_with(|value| *value), Ok(3));
    }

    #[test]
    fn a_panic_inside_unlocks_and_notifies() {
        let lock = TryLock::new(0);
        let mut notified = false;
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lock.with(
                || notified = true,
                |_| {
                    assert_eq!(lock.try_with(|_| ()), Err(Deferred));
                    panic!("inside");
                },
            )
        }));
        assert!(panicked.is_err() && notified);
        assert!(!is_held(&lock));
    }

    #[test]
    fn the_protocol_thread_is_told_by_others_that_do_not_wait_either() {
        let lock = TryLock::new(0);
        let mut notified = false;
        let inside = lock.try_with_notifying(
            || notified = true,
            |_| assert_eq!(lock.try_with(|_| ()), Err(Deferred)),
        );
        assert!(inside.is_ok() && notified);
    }

    #[test]
    fn nobody_is_notified_without_a_wish() {
        TryLock::new(0).with(|| panic!("nobody was refused"), |_| ());
    }

    fn is_held<T>(lock: &TryLock<T>) -> bool {
        lock.word.load(Ordering::Relaxed) & LOCKED != 0
    }
}
