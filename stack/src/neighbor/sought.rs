//! Neighbours whose station we look for, and the packets that wait for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use pmd::Frame;

use super::claim::ask_all;
use super::{Action, Actions, Neighbor, Standing};
use crate::drops::Drop;
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// Bounded three times: in neighbours, in packets for each of them, and in packets over all.
#[derive(Default)]
pub(super) struct SoughtNeighbors {
    entries: BTreeMap<Ipv4Addr, Sought>,
    /// Of those that were asked for.
    deadlines: BTreeSet<(Instant, Ipv4Addr)>,
    /// Packets in all queues.
    waiting: usize,
    /// Packets that have ever been put into one.
    enqueued: u64,
}

struct Sought {
    /// The address of ours to ask with.
    from: Ipv4Addr,
    asked: u8,
    /// `None` until we may ask.
    deadline: Option<Instant>,
    queue: VecDeque<Frame>,
}

impl SoughtNeighbors {
    /// Lets a packet wait, and gives it back with a reason where it cannot.
    ///
    /// In a full queue the oldest packet makes room: RFC 1122, section 2.3.2.2, wants the latest to be saved.
    pub(super) fn enqueue(
        &mut self,
        (from, address): (Ipv4Addr, Ipv4Addr),
        frame: Frame,
        actions: &mut Actions,
    ) -> Result<(), (Frame, Drop)> {
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(&address) {
            return Err((frame, Drop::NeighborCacheFull));
        }
        let sought = self.entries.entry(address).or_insert_with(|| Sought::new(from));
        if sought.queue.len() >= QUEUE_LIMIT || self.waiting >= WAITING_LIMIT {
            match sought.queue.pop_front() {
                Some(oldest) => actions.push(Action::Discard(oldest, Drop::NeighborQueueFull)),
                None => {
                    // Nobody will be asked for it, so nothing would ever end the search.
                    self.entries.remove(&address);
                    return Err((frame, Drop::NeighborQueueFull));
                }
            }
            self.waiting -= 1;
        }
        sought.queue.push_back(frame);
        self.waiting += 1;
        self.enqueued += 1;
        Ok(())
    }

    pub(super) fn enqueued(&self) -> u64 {
        self.enqueued
    }

    /// Asks for a neighbour, unless that is under way.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        ours: MacAddr,
        address: Ipv4Addr,
        actions: &mut Actions,
    ) {
        if let Some(sought) = self.entries.get_mut(&address)
            && sought.deadline.is_none()
        {
            self.deadlines.insert((sought.ask(now, ours, address, actions), address));
        }
    }

    /// Asks for every neighbour that had to wait until `from` may be used.
    pub(super) fn ask_from(
        &mut self,
        now: Instant,
        ours: MacAddr,
        from: Ipv4Addr,
        actions: &mut Actions,
    ) {
        for (&address, sought) in &mut self.entries {
            if sought.from == from && sought.deadline.is_none() {
                self.deadlines.insert((sought.ask(now, ours, address, actions), address));
            }
        }
    }

    /// Fails every packet that waited until `from` may be used: it will not be soon.
    pub(super) fn give_up_from(&mut self, from: Ipv4Addr, actions: &mut Actions) {
        let lost: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, sought)| sought.from == from)
            .map(|(&address, _)| address)
            .collect();
        for address in lost {
            self.give_up(address, actions);
        }
    }

    /// The packets that waited for a neighbour, now that its station is known; `None` if nobody looked for it.
    pub(super) fn found(&mut self, address: Ipv4Addr) -> Option<VecDeque<Frame>> {
        let sought = self.entries.remove(&address)?;
        if let Some(at) = sought.deadline {
            self.deadlines.remove(&(at, address));
        }
        self.waiting -= sought.queue.len();
        Some(sought.queue)
    }

    fn give_up(&mut self, address: Ipv4Addr, actions: &mut Actions) {
        let queue = self.found(address).unwrap_or_default();
        actions.extend(queue.into_iter().map(Action::Unreachable));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Asks again, or gives up on who did not answer.
    pub(super) fn expire(&mut self, now: Instant, ours: MacAddr, actions: &mut Actions) {
        while let Some(&(at, address)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            match self.entries.get_mut(&address) {
                Some(sought) if sought.asked < REQUESTS => {
                    self.deadlines.insert((sought.ask(now, ours, address, actions), address));
                }
                _ => self.give_up(address, actions),
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Neighbor> + '_ {
        self.entries.keys().map(|&address| Neighbor { address, standing: Standing::Sought })
    }
}

impl Sought {
    fn new(from: Ipv4Addr) -> Self {
        Self { from, asked: 0, deadline: None, queue: VecDeque::new() }
    }

    /// Asks all stations, and says until when one should answer.
    fn ask(
        &mut self,
        now: Instant,
        ours: MacAddr,
        address: Ipv4Addr,
        actions: &mut Actions,
    ) -> Instant {
        let deadline = now + REQUEST_INTERVAL;
        self.asked += 1;
        self.deadline = Some(deadline);
        actions.push(ask_all(ours, self.from, address));
        deadline
    }
}

/// How many neighbours are looked for at a time.
pub(super) const CAPACITY: usize = 256;
/// Packets that wait for one neighbour. The fragments of the longest datagram are 45.
pub(super) const QUEUE_LIMIT: usize = 64;
/// Packets that wait in all. They are missing from the pool that we receive with.
pub(super) const WAITING_LIMIT: usize = 512;
/// How often all stations are asked for a neighbour.
pub(super) const REQUESTS: u8 = 3;
/// One second is the least that RFC 1122, section 2.3.2.1, recommends. More would only keep the sender waiting: three
/// requests are no flood.
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
