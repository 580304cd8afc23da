//! Where completed connections wait for an application: one shard per core.
//!
//! | word | written by | read by |
//! |---|---|---|
//! | `state` | whoever closes the listener, once | acceptors |
//! | `backlog` | each core reserves, who takes a child releases | all |
//! | `events` | protocol threads add, application takes all | |
//! | `waiters` | acceptors announce, who wakes them looks | |
//! | `ends` | each core counts itself in and out | the last to leave |
//! | `children` | each core counts its own in and out | all |
//! | `fast_open_limit` | application | protocol threads |
//! | `max_segment_size` | application | protocol threads |
//! | `fast_opening` | each core counts its own in and out | all |
//! | `token` | the listener's only core | the same |
//! | a shard | its core pushes, any acceptor pops, under its spin lock | |
//!
//! The child of a shard is owned by that shard's core for life. A core only ever *tries* the lock: what finds it taken waits
//! in the core's own stash, in front of what comes later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use darner_ring::{Backlog, Busy, EventCount, EventSource, Full, Shard, Stash};

use super::readiness::{Readies, Source};
use super::words::Told;
use crate::api::{ListenOptions, Readiness, TcpStream, Token};
use crate::tcp::TcpKeys;

/// A listener as all sides see it.
pub(crate) struct ListenerShared {
    address: SocketAddr,
    options: ListenOptions,
    state: AtomicU32,
    /// Cores that have it in their tables.
    ends: AtomicU32,
    /// Connections that wait, and places reserved for ones about to.
    backlog: Backlog,
    /// Connections that live and were accepted here, or wait to be.
    children: AtomicU32,
    /// How many of them may be there before their handshake is complete (TCP Fast Open), and how many are.
    fast_open_limit: AtomicU32,
    /// Zero: none was said.
    max_segment_size: AtomicU16,
    fast_opening: AtomicU32,
    events: EventSource,
    token: AtomicU64,
    waiters: EventCount,
    shards: Box<[Shard<TcpStream>]>,
}

const OPEN: u32 = 0;
const CLOSED: u32 = 1;

/// Why a child is not made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoPlace {
    BacklogFull,
    /// The listener has as many connections as it may have.
    TooManyChildren,
}

impl ListenerShared {
    /// For a listener on `cores` cores.
    pub(crate) fn new(address: SocketAddr, options: ListenOptions, cores: usize) -> Arc<Self> {
        Arc::new(Self {
            address,
            state: AtomicU32::new(OPEN),
            ends: AtomicU32::new(0),
            backlog: Backlog::new(options.backlog.max(1)),
            fast_open_limit: AtomicU32::new(options.fast_open),
            max_segment_size: AtomicU16::new(options.max_segment_size.unwrap_or(0)),
            fast_opening: AtomicU32::new(0),
            options,
            children: AtomicU32::new(0),
            events: EventSource::new(),
            token: AtomicU64::new(Token::NONE.0),
            waiters: EventCount::new(),
            shards: std::iter::repeat_with(Shard::new).take(cores.max(1)).collect(),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn options(&self) -> &ListenOptions {
        &self.options
    }
}

/// The application's side.
impl ListenerShared {
    /// The oldest child of the first shard that has one, beginning with `home`. Waits only for whoever takes or pushes one
    /// child just now.
    pub(crate) fn pop(&self, home: usize) -> Option<TcpStream> {
        let count = self.shards.len();
        let child = (0..count).find_map(|step| self.shards.get((home + step) % count)?.pop())?;
        self.backlog.release();
        Some(child)
    }

    /// The oldest child of the shard of `core`, for the protocol thread of that core, which waits for nobody.
    pub(crate) fn try_pop_local(&self, core: usize) -> Result<Option<TcpStream>, Busy> {
        let child = self.shards.get(core).map_or(Ok(None), Shard::try_pop)?;
        if child.is_some() {
            self.backlog.release();
        }
        Ok(child)
    }

    /// Waits until `ready` gives something or `deadline` has passed.
    pub(crate) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        self.waiters.wait(deadline, ready)
    }

    /// Nobody accepts any more. Each core then resets the children of its own shard.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
        self.waiters.wake_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) != OPEN
    }

    /// Wakes so many acceptors that were announced to the protocol thread.
    pub(crate) fn wake_acceptors(&self, count: u32) {
        self.waiters.unpark(count);
    }

    pub(crate) fn take_events(&self) -> Readiness {
        Readiness::from_bits_truncate(self.events.take())
    }

    pub(crate) fn take_for_application(&self) -> (Token, Readiness) {
        let readiness = self.take_events();
        (Token(self.token.load(Ordering::Relaxed)), readiness)
    }
}

/// A core's end of a listener.
pub(crate) struct ListenerEnd {
    shared: Arc<ListenerShared>,
    core: usize,
    stash: Stash<TcpStream>,
    told: Told,
    /// Of its peers, as set last.
    keys: TcpKeys,
}

impl ListenerEnd {
    pub(crate) fn new(shared: Arc<ListenerShared>, core: usize) -> Self {
        shared.ends.fetch_add(1, Ordering::Relaxed);
        let keys = shared.options.keys.clone();
        Self { shared, core, stash: Stash::new(), told: Told::Nobody, keys }
    }

    pub(crate) fn keys(&self) -> &TcpKeys {
        &self.keys
    }

    pub(crate) fn set_keys(&mut self, keys: TcpKeys) {
        self.keys = keys;
    }

    pub(crate) fn shared(&self) -> &Arc<ListenerShared> {
        &self.shared
    }

    /// Queues a child, for which a place was reserved.
    pub(crate) fn push(&mut self, child: TcpStream, readies: &mut Readies) -> Result<(), Busy> {
        let waiting = self.stash.len() + 1;
        let pushed = self.shared.shard(self.core).try_push(&mut self.stash, child);
        self.announce(readies, waiting - self.stash.len());
        pushed
    }

    /// Tries again to queue what somebody was in the way of.
    pub(crate) fn flush(&mut self, readies: &mut Readies) -> Result<(), Busy> {
        let waiting = self.stash.len();
        let pushed = self.shared.shard(self.core).try_flush(&mut self.stash);
        self.announce(readies, waiting - self.stash.len());
        pushed
    }

    /// From now on readiness is told to `told`, beginning with what it is now.
    pub(crate) fn attach(&mut self, readies: &mut Readies, told: Told) {
        self.told = told;
        let waits = self.shared.backlog.len() > 0;
        let level = if waits { Readiness::READABLE } else { Readiness::empty() };
        self.shared.events.attach(level.bits(), || self.queue(readies));
    }

    /// The application on this core, which is the listener's only one, is told under `token`.
    pub(crate) fn attach_application(&mut self, readies: &mut Readies, token: Token) {
        self.shared.token.store(token.0, Ordering::Relaxed);
        self.attach(readies, Told::Application);
    }

    /// Resets the children that nobody has accepted; nobody will.
    pub(crate) fn close(&mut self, readies: &mut Readies) -> Result<(), Busy> {
        if let Told::Poller(key) = std::mem::take(&mut self.told) {
            readies.tell(key);
        }
        for child in self.shared.shard(self.core).try_close(&mut self.stash)? {
            self.shared.backlog.release();
            child.control().abort();
        }
        Ok(())
    }

    /// So many children more wait: each is worth one acceptor.
    pub(crate) fn announce(&self, readies: &mut Readies, children: usize) {
        if children == 0 {
            return;
        }
        let shared = &self.shared;
        shared.events.raise(Readiness::READABLE.bits(), || self.queue(readies));
        for _ in 0..children {
            if shared.waiters.take_waiter() {
                readies.wake_acceptor(shared.clone());
            }
        }
    }

    fn queue(&self, readies: &mut Readies) {
        match self.told {
            Told::Nobody => {}
            Told::Application => readies.push(Source::Listener(self.shared.clone())),
            Told::Poller(key) => readies.tell(key),
        }
    }
}

/// The protocol threads' side.
impl ListenerShared {
    /// Takes a place in the backlog, before the child is made: the limit holds exactly over all cores (C-34).
    pub(crate) fn reserve(&self) -> Result<(), NoPlace> {
        let most = self.options.max_connections.unwrap_or(u32::MAX);
        let counted = self.children.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| {
            (count < most).then_some(count + 1)
        });
        counted.map_err(|_| NoPlace::TooManyChildren)?;
        self.backlog.reserve().map_err(|Full| {
            self.children.fetch_sub(1, Ordering::AcqRel);
            NoPlace::BacklogFull
        })
    }

    /// Whether no place is left in the backlog just now.
    pub(crate) fn is_full(&self) -> bool {
        self.backlog.len() >= self.backlog.limit()
    }

    /// Whether another connection may be made before its handshake is complete.
    pub(crate) fn has_room_for_fast_open(&self) -> bool {
        self.fast_opening.load(Ordering::Relaxed) < self.fast_open_limit.load(Ordering::Relaxed)
    }

    /// One is made.
    pub(crate) fn fast_open_begun(&self) {
        self.fast_opening.fetch_add(1, Ordering::Relaxed);
    }

    /// Its handshake is complete, or never will be.
    pub(crate) fn fast_open_done(&self) {
        self.fast_opening.fetch_sub(1, Ordering::Relaxed);
    }

    /// From now on so many may be.
    pub(crate) fn set_fast_open(&self, limit: u32) {
        self.fast_open_limit.store(limit, Ordering::Relaxed);
    }

    /// Most bytes in a segment of a child, if that was said.
    pub(crate) fn max_segment_size(&self) -> Option<u16> {
        Some(self.max_segment_size.load(Ordering::Relaxed)).filter(|&size| size > 0)
    }

    pub(crate) fn set_max_segment_size(&self, size: Option<u16>) {
        self.max_segment_size.store(size.unwrap_or(0), Ordering::Relaxed);
    }

    /// Gives back a place that no child came to.
    pub(crate) fn release(&self) {
        self.backlog.release();
        self.child_gone();
    }

    /// What the core with this number fills.
    pub(super) fn shard(&self, core: usize) -> &Shard<TcpStream> {
        &self.shards[core]
    }

    /// A connection that came this way is gone.
    pub(crate) fn child_gone(&self) {
        self.children.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The core has no use for the listener any more, or ends. After the last one acceptors learn that nobody will come.
impl Drop for ListenerEnd {
    fn drop(&mut self) {
        (0..self.stash.len()).for_each(|_| self.shared.backlog.release());
        if self.shared.ends.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
        }
    }
}

#[cfg(test)]
impl ListenerShared {
    /// Connections that wait, and connections that live.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.backlog.len(), self.children.load(Ordering::Acquire))
    }

    /// Does something while somebody is inside a core's shard, as a thread would that the kernel has put aside.
    pub(crate) fn hold(&self, core: usize, act: impl FnOnce()) {
        self.shard(core).hold(act);
    }
}
