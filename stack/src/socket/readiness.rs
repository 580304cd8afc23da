//! Readiness on its way to applications: to the one on this core, to pollers, and to calls that sleep.
//!
//! Everything is collected while a turn goes on. Pollers and sleepers are woken when it ends, so that nobody is woken more
//! than once for a burst of packets, and no system call stands between two packets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use darner_ring::Parker;
use darner_ring::spsc::Producer;

use super::listener::ListenerShared;
use super::words::{Part, Words};
use crate::api::{Readiness, Token};

/// What one core has to tell.
#[derive(Default)]
pub(crate) struct Readies {
    application: VecDeque<Source>,
    pollers: Vec<Option<PollerEnd>>,
    /// Pollers that were told something in this turn.
    rung: Vec<u16>,
    sleepers: VecDeque<Sleeper>,
}

/// A socket with readiness to tell the application on this core.
pub(crate) enum Source {
    Socket(Arc<Words>),
    Listener(Arc<ListenerShared>),
    /// The application asked for another turn.
    Again(Token, Readiness),
}

/// A registration with a poller: the poller's number on this core, and its own key of the registration. Every socket has two of
/// them, so they are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C, packed(2))]
pub(crate) struct PollerKey {
    pub(crate) slot: u16,
    pub(crate) key: u32,
}

/// What a poller shares with the cores that tell it.
pub(crate) struct PollerShared {
    pub(crate) parker: Parker,
    /// A ring was full: look at every registration.
    lost: AtomicBool,
}

impl PollerShared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { parker: Parker::new(), lost: AtomicBool::new(false) })
    }

    /// Has the poller look at every registration.
    pub(crate) fn look_at_all(&self) {
        self.lost.store(true, Ordering::Release);
        self.parker.wake();
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn take_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::AcqRel)
    }
}

/// A poller as the protocol thread knows it.
pub(crate) struct PollerEnd {
    keys: Producer<u32>,
    shared: Arc<PollerShared>,
    rung: bool,
}

impl PollerEnd {
    pub(crate) fn new(keys: Producer<u32>, shared: Arc<PollerShared>) -> Self {
        Self { keys, shared, rung: false }
    }
}

/// Nobody tells this poller any more, or ever will: it looks at everything once more, and finds what has ended.
impl Drop for PollerEnd {
    fn drop(&mut self) {
        self.shared.look_at_all();
    }
}

impl std::fmt::Debug for PollerEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollerEnd").finish_non_exhaustive()
    }
}

/// A thread that sleeps in a call.
enum Sleeper {
    Socket(Arc<Words>, Part),
    /// So many of those that wait to accept.
    Listener(Arc<ListenerShared>, u32),
}

/// Sleepers woken in one turn. A system call each: more would keep packets waiting.
const WAKES: usize = 64;

impl Readies {
    pub(crate) fn push(&mut self, source: Source) {
        self.application.push_back(source);
    }

    /// The next socket that has something to tell the application on this core, and what.
    pub(crate) fn pop(&mut self) -> Option<(Token, Readiness)> {
        loop {
            let (token, readiness) = match self.application.pop_front()? {
                Source::Socket(words) => words.take_for_application(),
                Source::Listener(listener) => listener.take_for_application(),
                Source::Again(token, readiness) => (token, readiness),
            };
            if !readiness.is_empty() && token != Token::NONE {
                return Some((token, readiness));
            }
        }
    }

    /// Whether nobody is to be told of anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.application.is_empty() && self.rung.is_empty() && self.sleepers.is_empty()
    }

    /// How many sockets wait to be told of.
    pub(crate) fn len(&self) -> usize {
        self.application.len()
    }

    /// Tells a poller to look at one of its registrations.
    ///
    /// A registration is told again only after its events were taken, so that its ring has room; should it have none, the
    /// poller is told to look at all of them.
    pub(crate) fn tell(&mut self, PollerKey { slot, key }: PollerKey) {
        let Some(Some(poller)) = self.pollers.get_mut(usize::from(slot)) else { return };
        if poller.keys.push(key).is_err() {
            poller.shared.lost.store(true, Ordering::Release);
        }
        if !poller.rung {
            poller.rung = true;
            self.rung.push(slot);
        }
    }

    /// Has a call that sleeps woken at the end of the turn.
    pub(crate) fn wake(&mut self, words: Arc<Words>, part: Part) {
        self.sleepers.push_back(Sleeper::Socket(words, part));
    }

    /// Has an accepting thread woken at the end of the turn.
    pub(crate) fn wake_acceptor(&mut self, listener: Arc<ListenerShared>) {
        if let Some(Sleeper::Listener(last, count)) = self.sleepers.back_mut()
            && Arc::ptr_eq(last, &listener)
        {
            *count += 1;
        } else {
            self.sleepers.push_back(Sleeper::Listener(listener, 1));
        }
    }

    /// The end of a turn: wakes who was told something. Returns how many are left for the next.
    pub(crate) fn wake_all(&mut self) -> usize {
        // Most turns tell nobody who sleeps.
        if self.rung.is_empty() && self.sleepers.is_empty() {
            return 0;
        }
        for slot in self.rung.drain(..) {
            if let Some(Some(poller)) = self.pollers.get_mut(usize::from(slot)) {
                poller.rung = false;
                #[cfg(test)]
                super::stress::count_wake();
                poller.shared.parker.wake();
            }
        }
        for sleeper in self.sleepers.drain(..self.sleepers.len().min(WAKES)) {
            #[cfg(test)]
            super::stress::count_wake();
            match sleeper {
                Sleeper::Socket(words, part) => words.unpark(part),
                Sleeper::Listener(listener, count) => listener.wake_acceptors(count),
            }
        }
        self.sleepers.len()
    }

    pub(crate) fn open_poller(&mut self, slot: u16, end: PollerEnd) {
        let index = usize::from(slot);
        if self.pollers.len() <= index {
            self.pollers.resize_with(index + 1, || None);
        }
        if let Some(place) = self.pollers.get_mut(index) {
            *place = Some(end);
        }
    }

    pub(crate) fn close_poller(&mut self, slot: u16) {
        if let Some(place) = self.pollers.get_mut(usize::from(slot)) {
            *place = None;
        }
    }
}

/// The protocol thread ends: nobody is to sleep on.
impl Drop for Readies {
    fn drop(&mut self) {
        while self.wake_all() > 0 {}
    }
}
