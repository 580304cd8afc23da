//! An application on a thread of its own: the same object that would run on a protocol thread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::core::Registered;
use super::{Application, Core, Event, Interest, Poller, PollerWaker, Readiness, Token};
use crate::clock::Clock;
use crate::socket::thread::home_core;
use crate::stack::StackHandle;
use crate::time::Instant;

/// What stands in for a protocol loop: a poller, timers, and what is to be told again.
pub(crate) struct ThreadLoop {
    stack: StackHandle,
    poller: Poller,
    clock: Clock,
    now: Instant,
    timers: BinaryHeap<Reverse<(Instant, u64, Token)>>,
    /// Timers that were ever set: those due at once go off in this order.
    timers_set: u64,
    again: VecDeque<(Token, Readiness)>,
    wake: ThreadWaker,
}

/// Calls the application of a thread from another.
#[derive(Clone)]
pub(crate) struct ThreadWaker {
    poller: PollerWaker,
    /// The application is to be called.
    woken: Arc<AtomicBool>,
    /// The loop is to end.
    stopping: Arc<AtomicBool>,
}

impl ThreadWaker {
    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.poller.wake();
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.poller.wake();
    }
}

impl ThreadLoop {
    pub(crate) fn new(stack: StackHandle, clock: Clock) -> Self {
        let poller = Poller::with_capacity(SOCKETS);
        let wake = ThreadWaker {
            poller: poller.waker(),
            woken: Arc::new(AtomicBool::new(false)),
            stopping: Arc::new(AtomicBool::new(false)),
        };
        Self {
            stack,
            poller,
            clock,
            now: Instant::ZERO,
            timers: BinaryHeap::new(),
            timers_set: 0,
            again: VecDeque::new(),
            wake,
        }
    }

    /// Starts the application, and tells `started` what came of it; then runs it until it is to stop.
    pub(crate) fn run(
        mut self,
        mut application: Box<dyn Application>,
        started: impl FnOnce(io::Result<()>),
    ) {
        self.look_at_clock();
        let begun = application.start(&mut Core::on_thread(&mut self));
        let failed = begun.is_err();
        started(begun);
        if failed {
            return;
        }
        let mut events = Vec::new();
        while !self.wake.stopping.load(Ordering::Acquire) && !self.stack.has_ended() {
            let waited = self.poller.wait(&mut events, self.patience());
            debug_assert!(waited.is_ok(), "this is no protocol thread");
            self.look_at_clock();
            self.turn(application.as_mut(), &events);
        }
        application.stop(&mut Core::on_thread(&mut self));
    }

    /// Tells the application everything that has happened.
    fn turn(&mut self, application: &mut dyn Application, events: &[Event]) {
        // What is set meanwhile has its turn later.
        let set_before = self.timers_set;
        while let Some(Reverse((at, number, token))) = self.timers.peek().copied()
            && at <= self.now
            && number <= set_before
        {
            self.timers.pop();
            application.timeout(&mut Core::on_thread(self), token);
        }
        if self.wake.woken.swap(false, Ordering::AcqRel) {
            application.woken(&mut Core::on_thread(self));
        }
        for _ in 0..self.again.len() {
            let Some((token, readiness)) = self.again.pop_front() else { break };
            application.ready(&mut Core::on_thread(self), token, readiness);
        }
        for &Event { token, readiness } in events {
            application.ready(&mut Core::on_thread(self), token, readiness);
        }
    }

    /// How long nothing but sockets and wakers can bring anything.
    fn patience(&self) -> Option<Duration> {
        if !self.again.is_empty() || self.wake.woken.load(Ordering::Acquire) {
            return Some(Duration::ZERO);
        }
        let due = self.timers.peek().map(|Reverse((at, ..))| at.since(self.now));
        Some(due.map_or(LOOK_EVERY, |due| due.min(LOOK_EVERY)))
    }

    fn look_at_clock(&mut self) {
        self.now = self.now.max(self.clock.now());
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn home(&self) -> usize {
        home_core() % self.stack.cores().len().max(1)
    }

    pub(super) fn stack(&self) -> &StackHandle {
        &self.stack
    }

    pub(super) fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }

    /// A socket that the poller has no room for is told of once and no more, so that the application finds out.
    pub(super) fn register(&mut self, source: &impl Registered, token: Token) {
        if self.poller.register(source, token, Interest::BOTH).is_err() {
            self.again(token, Readiness::READABLE | Readiness::WRITABLE);
        }
    }

    pub(super) fn again(&mut self, token: Token, readiness: Readiness) {
        self.again.push_back((token, readiness));
    }

    pub(super) fn set_timer(&mut self, after: Duration, token: Token) {
        self.timers_set += 1;
        self.timers.push(Reverse((self.now + after, self.timers_set, token)));
    }

    pub(crate) fn waker(&self) -> ThreadWaker {
        self.wake.clone()
    }
}

/// Sockets of one application thread.
const SOCKETS: usize = 1 << 17;

/// How long a stack can have ended before an idle thread notices.
const LOOK_EVERY: Duration = Duration::from_millis(500);
