//! What a protocol thread does when there is nothing to do.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use pmd::QueuePair;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::Idle;
use crate::socket::CoreShared;
use crate::time::Instant;

/// How long a thread spins before it rests otherwise: shorter than any wake-up.
const SPIN: Duration = Duration::from_micros(50);

/// How long it then offers its core to others before it sleeps.
const YIELD: Duration = Duration::from_micros(100);

/// Longest sleep while a device must be polled, for want of a descriptor to wait on. Bounds what is added to the latency
/// of the first packet after a pause.
const NAP: Duration = Duration::from_micros(400);

/// Longest sleep otherwise: nothing depends on it.
const SLEEP: Duration = Duration::from_secs(1);

/// Decides how to rest, from how long nothing has happened.
pub(crate) struct Rest {
    idle: Idle,
    since: Option<Instant>,
}

/// What a rest came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rested {
    Spun,
    Yielded,
    Slept,
}

impl Rest {
    pub(crate) fn new(idle: Idle) -> Self {
        Self { idle, since: None }
    }

    /// Something happened: the next idle turn begins a new pause.
    pub(crate) fn work(&mut self) {
        self.since = None;
    }

    /// A turn at `now` was idle; nothing is due before the deadline that is asked for if it comes to a sleep.
    pub(crate) fn rest(
        &mut self,
        now: Instant,
        deadline: impl FnOnce() -> Option<Instant>,
        queues: &[Box<dyn QueuePair>],
        shared: &CoreShared,
    ) -> Rested {
        let idle_for = now.since(*self.since.get_or_insert(now));
        match self.idle {
            Idle::Spin => spin(),
            _ if idle_for < SPIN => spin(),
            Idle::Yield => yield_core(),
            Idle::Sleep if idle_for < YIELD => yield_core(),
            Idle::Sleep => sleep(deadline().map(|at| at.since(now)), queues, shared),
        }
    }
}

fn spin() -> Rested {
    std::hint::spin_loop();
    Rested::Spun
}

fn yield_core() -> Rested {
    std::thread::yield_now();
    Rested::Yielded
}

/// Sleeps until a device has frames, the bell is rung or `due` has passed.
fn sleep(due: Option<Duration>, queues: &[Box<dyn QueuePair>], shared: &CoreShared) -> Rested {
    let descriptors: Vec<Option<BorrowedFd<'_>>> =
        queues.iter().map(|queue| queue.wait_descriptor()).collect();
    let longest = if descriptors.iter().any(Option::is_none) { NAP } else { SLEEP };
    let span = due.map_or(longest, |due| due.min(longest));
    if !shared.sleep() {
        return Rested::Spun;
    }
    let bell = shared.bell();
    let mut waits: Vec<PollFd<'_>> = descriptors
        .iter()
        .flatten()
        .chain([&bell])
        .map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN))
        .collect();
    let timeout = Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    };
    // Interrupted or not: the loop looks at everything again.
    let _ = poll(&mut waits, Some(&timeout));
    shared.wake();
    Rested::Slept
}
