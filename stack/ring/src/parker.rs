//! One thread that waits for something another thread publishes.

use std::fmt;
use std::time::Instant;

use crate::fault::{Fault, full_fence};
use crate::futex::{Futex, Slept};
use crate::sync::{Ordering, spin_loop};

/// Where one thread at a time sleeps until what it waits for is there.
///
/// The thread that publishes pays a fence and a load if nobody sleeps. If somebody does, the system call can be left for
/// later: [`take_waiter`](Self::take_waiter) now, [`unpark`](Self::unpark) after the burst.
///
/// # Ordering
///
/// - **A**: the waiter announces itself, fences (A1), and looks again; the waker publishes, fences (A2), and looks for a
///   waiter. Both fences are sequentially consistent, so one of the two sees what the other did (R-2).
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use darner_ring::Parker;
///
/// let (parker, value) = (Parker::new(), AtomicU32::new(0));
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         value.store(7, Ordering::Release);
///         parker.wake();
///     });
///     let found = parker.park(None, || Some(value.load(Ordering::Acquire)).filter(|&value| value > 0));
///     assert_eq!(found, Some(7));
/// });
/// ```
pub struct Parker(Futex);

impl Parker {
    /// Nobody waits.
    pub fn new() -> Self {
        Self(Futex::new(RUNNING))
    }

    /// Waits until `ready` gives something, or, with nothing, until `deadline`.
    ///
    /// `ready` is asked any number of times, the last time after the deadline. It must see what the waker published before
    /// it called [`take_waiter`](Self::take_waiter).
    pub fn park<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        for _ in 0..LOOKS_BEFORE_SLEEP {
            if let found @ Some(_) = ready() {
                return found;
            }
            spin_loop();
        }
        loop {
            // Not a store: so the waker's exchange comes before it or after it, and not in between for anybody.
            self.0.swap(PARKED, Ordering::Relaxed);
            full_fence(Fault::ParkerA1); // A1
            let found = ready();
            if found.is_some() || self.0.wait(PARKED, deadline) == Slept::TimedOut {
                self.0.store(RUNNING, Ordering::Relaxed);
                return found.or_else(ready);
            }
        }
    }

    /// Whether somebody sleeps, or is about to, who must now be [unparked](Self::unpark). To be asked after publishing.
    #[must_use = "a waiter that was taken must be unparked"]
    pub fn take_waiter(&self) -> bool {
        full_fence(Fault::ParkerA2); // A2
        self.0.load(Ordering::Relaxed) == PARKED && self.0.swap(RUNNING, Ordering::AcqRel) == PARKED
    }

    /// Wakes the waiter that was taken. A system call.
    pub fn unpark(&self) {
        self.0.wake(1);
    }

    /// Wakes whoever sleeps. To be called after publishing.
    pub fn wake(&self) {
        if self.take_waiter() {
            self.unpark();
        }
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parker")
            .field("parked", &(self.0.load(Ordering::Relaxed) == PARKED))
            .finish()
    }
}

const RUNNING: u32 = 0;
const PARKED: u32 = 1;

/// What is about to come does so while a system call would take as long.
pub(crate) const LOOKS_BEFORE_SLEEP: u32 = if cfg!(loom) { 0 } else { 50 };

#[cfg(not(loom))]
const _: () = assert!(size_of::<Parker>() == 4);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_ends_the_wait() {
        let parker = Parker::new();
        let start = Instant::now();
        let deadline = start + Duration::from_millis(20);
        assert_eq!(parker.park(Some(deadline), || None::<()>), None);
        assert!(Instant::now() >= deadline);
        assert!(!parker.take_waiter(), "nobody sleeps any more");
    }

    #[test]
    fn a_deadline_in_the_past_still_looks() {
        assert_eq!(Parker::new().park(Some(Instant::now()), || Some(5)), Some(5));
    }

    #[test]
    fn what_is_there_at_the_deadline_is_taken() {
        let mut looks = 0;
        let found = Parker::new().park(Some(Instant::now()), || {
            looks += 1;
            (looks == LOOKS_BEFORE_SLEEP + 2).then_some(())
        });
        assert_eq!(found, Some(()));
    }

    #[test]
    fn a_wake_without_news_is_no_end() {
        let (parker, value) = (Parker::new(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                parker.park(None, || Some(value.load(Ordering::Acquire)).filter(|&v| v == 2))
            });
            value.store(1, Ordering::Release);
            parker.unpark();
            parker.wake();
            assert!(!waiting.is_finished());
            value.store(2, Ordering::Release);
            parker.wake();
            assert_eq!(waiting.join().unwrap(), Some(2));
        });
    }

    #[test]
    fn turns_are_taken_by_parking() {
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        let (ping, pong, turn) = (Parker::new(), Parker::new(), AtomicU32::new(0));
        let turns = |own: &Parker, other: &Parker, first: u32| {
            for want in (first..rounds).step_by(2) {
                own.park(None, || (turn.load(Ordering::Acquire) == want).then_some(()));
                turn.store(want + 1, Ordering::Release);
                other.wake();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| turns(&ping, &pong, 0));
            scope.spawn(|| turns(&pong, &ping, 1));
        });
        assert_eq!(turn.into_inner(), rounds);
    }
}
