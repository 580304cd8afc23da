//! A word that threads sleep on until another thread has changed it.

use std::ops::Deref;
use std::time::Instant;

use crate::sync::AtomicU32;

/// An atomic word, and whoever sleeps on it.
pub(crate) struct Futex {
    word: AtomicU32,
    #[cfg(loom)]
    sleepers: modelled::Sleepers,
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slept {
    /// Woken, or the word had another value, or for no reason at all: look again.
    Perhaps,
    TimedOut,
}

impl Deref for Futex {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}

#[cfg(not(loom))]
mod real {
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Timespec};

    use super::{AtomicU32, Futex, Instant, Slept};

    impl Futex {
        pub(crate) const fn new(value: u32) -> Self {
            Self { word: AtomicU32::new(value) }
        }

        /// Sleeps if the word is `value`.
        pub(crate) fn wait(&self, value: u32, deadline: Option<Instant>) -> Slept {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Slept::TimedOut;
            }
            // What is too long for the kernel's clock does not end.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match futex::wait(&self.word, Flags::PRIVATE, value, left.as_ref()) {
                Err(Errno::TIMEDOUT) => Slept::TimedOut,
                _ => Slept::Perhaps,
            }
        }

        /// Wakes at most `most` sleepers. A system call.
        pub(crate) fn wake(&self, most: u32) {
            // The kernel takes a signed number. It has no reason to fail: the word is in this process.
            let most = most.min(i32::MAX.cast_unsigned());
            let _ = futex::wake(&self.word, Flags::PRIVATE, most);
        }
    }
}

#[cfg(loom)]
mod modelled {
    use loom::sync::{Condvar, Mutex};

    use super::{AtomicU32, Futex, Instant, Slept};
    use crate::sync::Ordering;

    /// As in the kernel, a sleeper compares the word under a lock that wakers take, too. Who is never woken makes loom
    /// report a deadlock; so deadlines do not pass here.
    pub(super) struct Sleepers {
        asleep: Mutex<u32>,
        woken: Condvar,
    }

    impl Futex {
        pub(crate) fn new(value: u32) -> Self {
            let sleepers = Sleepers { asleep: Mutex::new(0), woken: Condvar::new() };
            Self { word: AtomicU32::new(value), sleepers }
        }

        pub(crate) fn wait(&self, value: u32, _deadline: Option<Instant>) -> Slept {
            let mut asleep = self.sleepers.asleep.lock().unwrap();
            if self.word.load(Ordering::Relaxed) == value {
                *asleep += 1;
                drop(self.sleepers.woken.wait(asleep).unwrap());
            }
            Slept::Perhaps
        }

        pub(crate) fn wake(&self, most: u32) {
            let mut asleep = self.sleepers.asleep.lock().unwrap();
            let count = most.min(*asleep);
            *asleep -= count;
            (0..count).for_each(|_| self.sleepers.woken.notify_one());
        }
    }
}
