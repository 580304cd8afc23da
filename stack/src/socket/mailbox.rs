//! The ways between a protocol thread and everybody else: hints and orders in, readiness out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_queue::{ArrayQueue, SegQueue};
use rustix::event::{EventfdFlags, eventfd};

use super::listener::ListenerShared;
use super::words::{Target, Words};
use crate::api::{Readiness, Token};
use crate::protocol::Order;

/// What any thread may do to a core: hint at a socket, give an order, ring the bell.
pub(crate) struct CoreShared {
    pub(crate) index: usize,
    hints: ArrayQueue<Target>,
    orders: SegQueue<Order>,
    /// An [`Order::Wake`] is among the orders.
    waking: AtomicBool,
    asleep: AtomicBool,
    ended: AtomicBool,
    bell: OwnedFd,
}

impl CoreShared {
    /// `hints` is how many sockets can have one pending, up to a limit; more are kept at the price of an allocation.
    pub(crate) fn new(index: usize, hints: usize) -> io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Arc::new(Self {
            index,
            hints: ArrayQueue::new(hints.clamp(1, MOST_HINTS)),
            orders: SegQueue::new(),
            waking: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            bell,
        }))
    }

    /// A socket has at most one hint pending, so the queue is full only while it holds hints for sockets that are gone, or
    /// there are more sockets than it is made for.
    pub(crate) fn push_hint(&self, target: Target) {
        if self.hints.push(target).is_err() {
            self.orders.push(Order::Look(target));
        }
        self.ring();
    }

    pub(crate) fn hints_waiting(&self) -> usize {
        self.hints.len()
    }

    pub(crate) fn pop_hint(&self) -> Option<Target> {
        self.hints.pop()
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.push(order);
        self.ring();
        if self.ended.load(Ordering::Relaxed) {
            self.discard_orders();
        }
    }

    /// The protocol thread has ended: orders that nobody follows any more are dropped, now and whenever one comes. They
    /// hold listeners whose children hold this, and somebody may wait for an answer.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        // Pairs with the one in `ring`: either this sees what was pushed, or whoever pushed it sees the end.
        fence(Ordering::SeqCst);
        self.discard_orders();
    }

    fn discard_orders(&self) {
        while self.orders.pop().is_some() {}
    }

    pub(crate) fn orders_waiting(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn pop_order(&self) -> Option<Order> {
        let order = self.orders.pop()?;
        if matches!(order, Order::Wake) {
            // Before the application is called: who wakes it from now on wants another call.
            self.waking.swap(false, Ordering::AcqRel);
        }
        Some(order)
    }

    /// Orders the application to be called, unless that is to come anyway: so that however often it is woken, one order
    /// waits.
    pub(crate) fn wake_application(&self) {
        if !self.waking.swap(true, Ordering::AcqRel) {
            self.order(Order::Wake);
        }
    }

    /// Wakes the protocol thread if it sleeps. Pairs with [`sleep`](Self::sleep): either it sees what was pushed before
    /// this call, or this call sees that it sleeps.
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            // A full counter wakes the sleeper just as well.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Announces sleep. False when something was pushed meanwhile: stay awake then.
    pub(crate) fn sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.hints.is_empty() && self.orders.is_empty() {
            return true;
        }
        self.wake();
        false
    }

    /// Awake again: the bell is silenced.
    ///
    /// Even if nobody seems to have rung it: whoever rings writes after he has seen us asleep, perhaps only once we are
    /// awake for another reason. A bell that nobody silences would end every later sleep at once.
    pub(crate) fn wake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
    }

    /// Readable once the bell was rung.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Memory for hints is taken at the start: more sockets than that do not all hint within one turn.
const MOST_HINTS: usize = 1 << 17;

/// Readiness on its way to the application that runs on this core.
#[derive(Default)]
pub(crate) struct Mailboxes {
    ready: VecDeque<Source>,
}

/// A socket with readiness to tell.
pub(crate) enum Source {
    Socket(Arc<Words>),
    Listener(Arc<ListenerShared>),
    /// The application asked for another turn.
    Again(Token, Readiness),
}

impl Mailboxes {
    pub(crate) fn push(&mut self, source: Source) {
        self.ready.push_back(source);
    }

    /// The next socket that has something to tell, and what.
    pub(crate) fn pop(&mut self) -> Option<(Token, Readiness)> {
        loop {
            let (token, readiness) = match self.ready.pop_front()? {
                Source::Socket(words) => words.events().take(),
                Source::Listener(listener) => listener.events().take(),
                Source::Again(token, readiness) => (token, readiness),
            };
            if !readiness.is_empty() && token != Token::NONE {
                return Some((token, readiness));
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{TryRecvError, sync_channel};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn a_bell_that_rings_late_ends_one_sleep_and_not_all() {
        let core = CoreShared::new(0, 1).unwrap();
        assert!(core.sleep());
        // Somebody has seen us asleep; before he writes, a packet wakes us.
        assert!(core.asleep.swap(false, Ordering::AcqRel));
        core.wake();
        rustix::io::write(&core.bell, &1_u64.to_ne_bytes()).unwrap();
        assert!(core.sleep());
        assert!(is_ringing(&core));
        core.wake();
        assert!(core.sleep());
        assert!(!is_ringing(&core));
    }

    #[test]
    fn an_application_is_woken_once_for_any_number_of_calls() {
        let core = CoreShared::new(0, 1).unwrap();
        (0..3).for_each(|_| core.wake_application());
        assert!(matches!(core.pop_order(), Some(Order::Wake)));
        assert!(core.pop_order().is_none());
        core.wake_application();
        assert!(matches!(core.pop_order(), Some(Order::Wake)));
    }

    #[test]
    fn hints_beyond_the_queue_are_kept() {
        let core = CoreShared::new(0, usize::MAX).unwrap();
        let target = Target::Udp(super::super::SocketId { index: 0, generation: 0 });
        (0..=MOST_HINTS).for_each(|_| core.push_hint(target));
        assert!(matches!(core.pop_order(), Some(Order::Look(_))));
    }

    #[test]
    fn orders_that_nobody_follows_any_more_are_dropped() {
        let core = CoreShared::new(0, 1).unwrap();
        let ask = || {
            let (answer, answered) = sync_channel(1);
            core.order(Order::Snapshot(answer));
            answered
        };
        let before = ask();
        assert_eq!(before.try_recv().err(), Some(TryRecvError::Empty));
        core.end();
        assert_eq!(before.try_recv().err(), Some(TryRecvError::Disconnected));
        assert_eq!(ask().try_recv().err(), Some(TryRecvError::Disconnected));
    }

    fn is_ringing(core: &CoreShared) -> bool {
        let mut bell = [PollFd::from_borrowed_fd(core.bell(), PollFlags::IN)];
        poll(&mut bell, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }
}
