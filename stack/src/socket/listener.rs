//! Where completed connections wait for an application: one shard per core.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use darner_ring::spin::SpinLock;

use super::events::Events;
use super::mailbox::{Mailboxes, Source};
use crate::api::{Readiness, TcpStream};

/// A listener as both sides see it.
pub(crate) struct ListenerShared {
    address: SocketAddr,
    backlog: u32,
    /// Connections that wait, and places reserved for ones about to.
    waiting: AtomicU32,
    events: Events,
    shards: Box<[Shard]>,
}

/// What one core completed. Aligned so that cores do not share a line.
#[repr(align(128))]
struct Shard {
    queue: SpinLock<VecDeque<TcpStream>>,
}

/// The backlog is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BacklogFull;

impl ListenerShared {
    pub(crate) fn new(address: SocketAddr, backlog: u32, cores: usize) -> Arc<Self> {
        let shard = || Shard { queue: SpinLock::new(VecDeque::new()) };
        Arc::new(Self {
            address,
            backlog: backlog.max(1),
            waiting: AtomicU32::new(0),
            events: Events::new(),
            shards: std::iter::repeat_with(shard).take(cores.max(1)).collect(),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes a place in the backlog, before the child is made: the limit holds exactly over all cores (C-34).
    pub(crate) fn reserve(&self) -> Result<(), BacklogFull> {
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |waiting| {
                (waiting < self.backlog).then_some(waiting + 1)
            })
            .map(drop)
            .map_err(|_| BacklogFull)
    }

    /// Gives back a place that no child was pushed for.
    pub(crate) fn release(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Queues a child, for which a place was reserved, on its core's shard.
    pub(crate) fn push(self: &Arc<Self>, core: usize, child: TcpStream, mailboxes: &mut Mailboxes) {
        if let Some(shard) = self.shards.get(core) {
            shard.queue.lock().push_back(child);
        }
        self.events.raise(mailboxes, Readiness::READABLE, || Source::Listener(self.clone()));
    }

    /// The oldest child of the first shard that has one, beginning with `home`.
    pub(crate) fn pop(&self, home: usize) -> Option<TcpStream> {
        let count = self.shards.len();
        (0..count).find_map(|step| {
            let child = self.shards.get((home + step) % count)?.queue.lock().pop_front()?;
            self.release();
            Some(child)
        })
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }
}
