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
    asleep: AtomicBool,
    bell: OwnedFd,
}

impl CoreShared {
    /// `hints` is how many sockets can have one pending; more are kept at the price of an allocation.
    pub(crate) fn new(index: usize, hints: usize) -> io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Arc::new(Self {
            index,
            hints: ArrayQueue::new(hints.max(1)),
            orders: SegQueue::new(),
            asleep: AtomicBool::new(false),
            bell,
        }))
    }

    /// A socket has at most one hint pending, so the queue is full only while it holds hints for sockets that are gone.
    pub(crate) fn push_hint(&self, target: Target) {
        if self.hints.push(target).is_err() {
            self.orders.push(Order::Look(target));
        }
        self.ring();
    }

    pub(crate) fn pop_hint(&self) -> Option<Target> {
        self.hints.pop()
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.push(order);
        self.ring();
    }

    pub(crate) fn pop_order(&self) -> Option<Order> {
        self.orders.pop()
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
    pub(crate) fn wake(&self) {
        if !self.asleep.swap(false, Ordering::AcqRel) {
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.bell, &mut count);
        }
    }

    /// Readable once the bell was rung.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

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
