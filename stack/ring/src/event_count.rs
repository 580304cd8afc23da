//! Many threads that wait for something another thread publishes.

use std::fmt;
use std::time::Instant;

use crate::fault::{Fault, full_fence, is_on};
use crate::futex::{Futex, Slept};
use crate::parker::LOOKS_BEFORE_SLEEP;
use crate::sync::{AtomicU32, Ordering, spin_loop};

/// Where any number of threads sleep until what they wait for is there. For one thread, a [`Parker`](crate::Parker) does with
/// less.
///
/// The thread that publishes pays a fence and a load if nobody sleeps. If somebody does, the system call can be left for
/// later: [`take_waiter`](Self::take_waiter) for each thing published, [`unpark`](Self::unpark) after the burst.
///
/// # Ordering
///
/// - **A**: a waiter counts itself, fences (A1), and looks again; the waker publishes, fences (A2), and looks for
///   waiters. Both fences are sequentially consistent, so one of the two sees what the other did.
/// - **B**: a waker that sees waiters moves the epoch on (B1, release). A waiter that reads the new epoch (B2, acquire)
///   before it looks, sees what was published; one that has read the old epoch does not fall asleep on it any more.
pub struct EventCount {
    epoch: Futex,
    waiters: AtomicU32,
}

impl EventCount {
    /// Nobody waits.
    pub fn new() -> Self {
        Self { epoch: Futex::new(0), waiters: AtomicU32::new(0) }
    }

    /// Waits until `ready` gives something, or, with nothing, until `deadline`.
    ///
    /// `ready` is asked any number of times, the last time after the deadline. It must see what the waker published before
    /// it called [`take_waiter`](Self::take_waiter).
    pub fn wait<T>(
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
        let _waiting = Waiting::new(&self.waiters);
        full_fence(Fault::EventCountA1); // A1
        loop {
            let mut epoch = self.epoch.load(Ordering::Acquire); // B2
            let found = ready();
            if is_on(Fault::EpochReadLate) {
                epoch = self.epoch.load(Ordering::Acquire);
            }
            if found.is_some() || self.epoch.wait(epoch, deadline) == Slept::TimedOut {
                return found.or_else(ready);
            }
        }
    }

    /// Whether somebody sleeps, or is about to, who must now be [unparked](Self::unpark). To be asked after publishing.
    #[must_use = "a waiter that was taken must be unparked"]
    pub fn take_waiter(&self) -> bool {
        full_fence(Fault::EventCountA2); // A2
        let waiting = self.waiters.load(Ordering::Relaxed) > 0;
        if waiting && !is_on(Fault::EpochStays) {
            self.epoch.fetch_add(1, Ordering::Release); // B1
        }
        waiting
    }

    /// Wakes as many waiters as were taken: `most` of them. A system call.
    pub fn unpark(&self, most: u32) {
        self.epoch.wake(most);
    }

    /// Wakes one thread for one thing published.
    pub fn wake_one(&self) {
        if self.take_waiter() {
            self.unpark(1);
        }
    }

    /// Wakes all threads, for something that concerns each.
    pub fn wake_all(&self) {
        if self.take_waiter() {
            self.unpark(u32::MAX);
        }
    }
}

impl Default for EventCount {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EventCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventCount")
            .field("waiters", &self.waiters.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Counts a waiter for as long as it lives.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(waiters: &'a AtomicU32) -> Self {
        waiters.fetch_add(1, Ordering::Relaxed);
        Self(waiters)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_ends_the_wait() {
        let event = EventCount::new();
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(event.wait(Some(deadline), || None::<()>), None);
        assert!(Instant::now() >= deadline);
        assert!(!event.take_waiter(), "nobody sleeps any more");
    }

    #[test]
    fn a_panic_while_looking_leaves_no_waiter() {
        let event = EventCount::new();
        let mut looks = 0;
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            event.wait(None, || {
                looks += 1;
                assert!(looks <= LOOKS_BEFORE_SLEEP, "stop");
                None::<()>
            })
        }));
        assert!(panicked.is_err());
        assert!(!event.take_waiter());
    }

    #[test]
    fn all_are_woken() {
        let (event, over) = (EventCount::new(), AtomicU32::new(0));
        let ended = || (over.load(Ordering::Acquire) == 1).then_some(());
        std::thread::scope(|scope| {
            let waiting = [(); 3].map(|()| scope.spawn(|| event.wait(None, ended)));
            over.store(1, Ordering::Release);
            event.wake_all();
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Some(()));
            }
        });
    }

    #[test]
    fn each_thing_wakes_somebody_who_takes_it() {
        let things = if cfg!(miri) { 30 } else { 30_000 };
        let (event, there) = (EventCount::new(), AtomicU32::new(0));
        let take = || {
            let one_less = |count: u32| count.checked_sub(1);
            there.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).ok()
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    (0..things / 3).for_each(|_| assert!(event.wait(None, take).is_some()))
                });
            }
            for _ in 0..things {
                there.fetch_add(1, Ordering::Release);
                event.wake_one();
            }
        });
        assert_eq!(there.into_inner(), 0);
    }
}
