//! What any thread may do to a core: hint at a socket, give an order, ring the bell.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam_queue::{ArrayQueue, SegQueue};
use darner_ring::{Doorbell, HintMap, fork};
use rustix::event::{EventfdFlags, eventfd};

use super::mailbox;
use super::words::Target;
use crate::protocol::Order;

/// A core as every other thread sees it.
pub(crate) struct CoreShared {
    pub(crate) index: usize,
    orders: SegQueue<Order>,
    /// An [`Order::Wake`] is among the orders.
    waking: AtomicBool,
    /// Which mailboxes hold hints, and whether the protocol thread sleeps.
    pub(super) doorbell: Doorbell,
    /// Slots of the doorbell that no mailbox has.
    pub(super) slots: ArrayQueue<usize>,
    /// Hints that found their ring full, by the place of the socket.
    pub(super) overflow: Overflow,
    /// Numbers that no poller has.
    poller_slots: SegQueue<u16>,
    /// How many numbers were ever given to pollers.
    pollers: AtomicUsize,
    ended: AtomicBool,
    bell: OwnedFd,
}

/// Sockets that hinted while their thread's ring was full. A hint carries no state, so a bit is as good as a place in a ring,
/// and cannot be lost.
pub(super) struct Overflow {
    pub(super) tcp: HintMap,
    pub(super) udp: HintMap,
}

/// How many sockets a core may have, for the bits of their hints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Places {
    pub(crate) tcp: u32,
    pub(crate) udp: u32,
}

impl CoreShared {
    pub(crate) fn new(index: usize, places: Places) -> io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let slots = ArrayQueue::new(mailbox::SLOTS);
        for slot in mailbox::FIRST_SLOT..mailbox::SLOTS {
            let _fits = slots.push(slot);
        }
        Ok(Arc::new(Self {
            index,
            orders: SegQueue::new(),
            waking: AtomicBool::new(false),
            doorbell: Doorbell::new(),
            slots,
            overflow: Overflow { tcp: HintMap::new(places.tcp), udp: HintMap::new(places.udp) },
            poller_slots: SegQueue::new(),
            pollers: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            bell,
        }))
    }

    /// Has the protocol thread look at a socket. Never refused, never lost; a forked child has no protocol thread.
    pub(crate) fn hint(self: &Arc<Self>, target: Target) {
        if fork::is_child() {
            return;
        }
        let slot = mailbox::push(self, target);
        self.doorbell.ring(slot);
        self.wake_if_asleep();
    }

    /// Has the protocol thread do something. In a forked child, and after its end, the order is dropped: who waits for an
    /// answer gets none.
    pub(crate) fn order(&self, order: Order) {
        if fork::is_child() {
            return;
        }
        self.orders.push(order);
        self.wake_if_asleep();
        if self.ended.load(Ordering::Relaxed) {
            self.discard_orders();
        }
    }

    /// Wakes the protocol thread, if it sleeps, for something that neither a hint nor an order tells it.
    pub(crate) fn nudge(&self) {
        if fork::is_child() {
            return;
        }
        self.doorbell.ring(mailbox::NUDGE_SLOT);
        self.wake_if_asleep();
    }

    /// The protocol thread has ended: orders that nobody follows any more are dropped, now and whenever one comes. They
    /// hold listeners whose children hold this, and somebody may wait for an answer.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        // Pairs with the one in `wake_if_asleep`: either this sees what was pushed, or whoever pushed it sees the end.
        fence(Ordering::SeqCst);
        self.discard_orders();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn discard_orders(&self) {
        while self.orders.pop().is_some() {}
    }

    pub(crate) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
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

    /// A number for a poller on this core; `None` when there are too many.
    pub(crate) fn claim_poller(&self) -> Option<u16> {
        self.poller_slots
            .pop()
            .or_else(|| u16::try_from(self.pollers.fetch_add(1, Ordering::Relaxed)).ok())
    }

    pub(crate) fn release_poller(&self, slot: u16) {
        self.poller_slots.push(slot);
    }

    /// Wakes the protocol thread if it sleeps. Pairs with [`sleep`](Self::sleep): either it sees what was pushed before
    /// this call, or this call sees that it sleeps.
    fn wake_if_asleep(&self) {
        if self.doorbell.must_wake() {
            // A full counter wakes the sleeper just as well.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Announces sleep. False when something was pushed meanwhile: stay awake then.
    pub(crate) fn sleep(&self) -> bool {
        self.doorbell.sleep(|| self.orders.is_empty())
    }

    /// Awake again: the bell is silenced.
    ///
    /// Even if nobody seems to have rung it: whoever rings writes after he has seen us asleep, perhaps only once we are
    /// awake for another reason. A bell that nobody silences would end every later sleep at once.
    pub(crate) fn wake(&self) {
        self.doorbell.awake();
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
    }

    /// Readable once the bell was rung.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
impl CoreShared {
    /// A core for tests.
    pub(crate) fn for_test() -> Arc<Self> {
        Self::new(0, Places { tcp: 1 << 16, udp: 1 << 16 }).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{TryRecvError, sync_channel};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn a_bell_that_rings_late_ends_one_sleep_and_not_all() {
        let core = CoreShared::for_test();
        assert!(core.sleep());
        // Somebody has seen us asleep; before he writes, a packet wakes us.
        assert!(core.doorbell.must_wake());
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
        let core = CoreShared::for_test();
        (0..3).for_each(|_| core.wake_application());
        assert!(matches!(core.pop_order(), Some(Order::Wake)));
        assert!(core.pop_order().is_none());
        core.wake_application();
        assert!(matches!(core.pop_order(), Some(Order::Wake)));
    }

    #[test]
    fn orders_that_nobody_follows_any_more_are_dropped() {
        let core = CoreShared::for_test();
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
