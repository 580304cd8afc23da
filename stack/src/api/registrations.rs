//! What a poller knows of the sockets that are registered with it.

use std::collections::HashMap;
use std::sync::Arc;

use super::poller::{Event, Kind};
use super::{Readiness, Token};
use crate::socket::words::Words;
use crate::socket::{CoreShared, ListenerShared, Part, Phase};

/// The registrations of a poller, each under a key that is used again, but seldom.
pub(super) struct Registrations {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    keys: HashMap<(usize, u8), u32>,
    capacity: usize,
}

struct Slot {
    generation: u32,
    registered: Option<Registered>,
}

/// One registration.
pub(super) struct Registered {
    pub(super) what: What,
    pub(super) token: Token,
    /// What it wants to be told.
    pub(super) mask: Readiness,
}

/// What is registered.
#[derive(Clone)]
pub(super) enum What {
    Socket(Arc<Words>, &'static [Part]),
    Listener(Arc<ListenerShared>, Vec<Arc<CoreShared>>),
}

impl What {
    pub(super) fn of(kind: &Kind<'_>) -> Self {
        const READ: &[Part] = &[Part::Read];
        const WRITE: &[Part] = &[Part::Write];
        const BOTH: &[Part] = &[Part::Read, Part::Write];
        match kind {
            Kind::Stream(stream) => Self::Socket(stream.words().clone(), BOTH),
            Kind::Read(half) => Self::Socket(half.words().clone(), READ),
            Kind::Write(half) => Self::Socket(half.words().clone(), WRITE),
            Kind::Udp(socket) => Self::Socket(socket.words().clone(), BOTH),
            Kind::Listener(listener) => {
                Self::Listener(listener.shared().clone(), listener.cores().to_vec())
            }
        }
    }

    /// Tells registrations apart while they last: each keeps what its address is of alive.
    fn identity(&self) -> (usize, u8) {
        match self {
            Self::Socket(words, parts) => {
                let parts = parts.iter().fold(0, |bits, &part| bits | 1 << part as u8);
                (Arc::as_ptr(words).addr(), parts)
            }
            Self::Listener(listener, _) => (Arc::as_ptr(listener).addr(), 0),
        }
    }

    /// What is told and was not taken before; and what holds for as long as the socket is dead.
    fn take(&self) -> Readiness {
        match self {
            Self::Socket(words, parts) => {
                let told = parts.iter().map(|&part| words.take_events(part));
                let told = told.fold(Readiness::empty(), |all, some| all | some);
                if words.phase() == Phase::Dead { told | DEAD } else { told }
            }
            Self::Listener(listener, _) if listener.is_closed() => {
                listener.take_events() | Readiness::READABLE | Readiness::CLOSED
            }
            Self::Listener(listener, _) => listener.take_events(),
        }
    }

    /// Whether its core tells nothing any more, or all its cores do.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Socket(words, _) => words.phase() == Phase::Dead,
            Self::Listener(listener, _) => listener.is_closed(),
        }
    }

    /// Whether the application has dropped it.
    fn is_gone(&self) -> bool {
        match self {
            Self::Socket(words, parts) => words.is_left(parts),
            Self::Listener(listener, _) => listener.is_closed(),
        }
    }
}

/// What a dead socket is ready for: every call tells something.
const DEAD: Readiness = Readiness::READABLE
    .union(Readiness::WRITABLE)
    .union(Readiness::READ_CLOSED)
    .union(Readiness::CLOSED);

/// A key: a place below, and how often it was taken before above.
const PLACE_BITS: u32 = 20;
const PLACES: u32 = 1 << PLACE_BITS;

impl Registrations {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, PLACES as usize);
        Self { slots: Vec::new(), vacant: Vec::new(), keys: HashMap::new(), capacity }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Its key; `None` at the limit.
    pub(super) fn insert(&mut self, registered: Registered) -> Option<u32> {
        if self.keys.len() >= self.capacity {
            self.sweep();
        }
        if self.keys.len() >= self.capacity {
            return None;
        }
        let identity = registered.what.identity();
        let place = self.vacant.pop().or_else(|| {
            self.slots.push(Slot { generation: 0, registered: None });
            u32::try_from(self.slots.len() - 1).ok()
        })?;
        let slot = self.slots.get_mut(place as usize)?;
        slot.registered = Some(registered);
        let key = slot.generation << PLACE_BITS | place;
        self.keys.insert(identity, key);
        Some(key)
    }

    /// Forgets whatever is registered of the directions of a socket: another registration would take its news.
    pub(super) fn replace(&mut self, what: &What) {
        let (address, parts) = what.identity();
        // A listener has no directions.
        let others = if parts == 0 { 0..=0 } else { 1..=3 };
        for other in others.filter(|other| other & parts != 0 || parts == 0) {
            if let Some(key) = self.keys.remove(&(address, other)) {
                self.vacate(key % PLACES);
            }
        }
    }

    pub(super) fn remove(&mut self, what: &What) -> Option<Registered> {
        let key = self.keys.remove(&what.identity())?;
        self.vacate(key % PLACES)
    }

    /// What the registration with this key has to tell. A key that is stale tells nothing.
    pub(super) fn collect(&mut self, key: u32, events: &mut Vec<Event>) {
        let place = key % PLACES;
        let Some(slot) = self.slots.get(place as usize) else { return };
        if slot.generation << PLACE_BITS | place != key {
            return;
        }
        let Some(registered) = &slot.registered else { return };
        let readiness = registered.what.take() & registered.mask;
        let gone = registered.what.is_gone().then(|| registered.what.clone());
        // A listener may be closed by another thread than the one that waits for it; a socket is dropped by its holder.
        let told = gone.is_none() || matches!(gone, Some(What::Listener(..)));
        if told && !readiness.is_empty() {
            events.push(Event { token: registered.token, readiness });
        }
        if let Some(gone) = gone {
            self.remove(&gone);
        }
    }

    /// What all of them have to tell.
    pub(super) fn collect_all(&mut self, events: &mut Vec<Event>) {
        let keys: Vec<u32> = self.keys.values().copied().collect();
        keys.into_iter().for_each(|key| self.collect(key, events));
    }

    /// Forgets those that the application has dropped.
    fn sweep(&mut self) {
        let gone: Vec<What> = self
            .slots
            .iter()
            .filter_map(|slot| slot.registered.as_ref())
            .filter(|registered| registered.what.is_gone())
            .map(|registered| registered.what.clone())
            .collect();
        for what in gone {
            self.remove(&what);
        }
    }

    fn vacate(&mut self, place: u32) -> Option<Registered> {
        let slot = self.slots.get_mut(place as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(place);
        slot.registered.take()
    }
}
