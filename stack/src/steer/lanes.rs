//! One core's ends of the rings to and from all others.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use darner_ring::spsc::{Consumer, Producer};
use pmd::Frame;

use super::homes::Homes;
use super::self_test::SelfTest;
use super::steering::Steering;
use crate::api::EchoReply;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::icmp::Trouble;
use crate::ip::{Datagram, ReceivedFragment};
use crate::protocol::Order;
use crate::rng::Rng;
use crate::socket::CoreShared;
use crate::tcp::Stray;
use crate::wire::arp::ArpPacket;

/// What one core has taken in, or made, for another.
///
/// The core that gets it is the one that it is for, and none of the functions that take it asks for another owner.
pub(crate) enum Forwarded {
    /// An ARP packet, heard and answered elsewhere.
    Arp(ArpPacket),
    /// A UDP datagram, its checksum verified, for a socket that lives here.
    Datagram(Datagram),
    /// An answer to a ping.
    EchoReply(EchoReply),
    /// A fragment between two addresses that are this core's.
    Fragment(ReceivedFragment),
    /// A segment of a flow of this core's.
    Segment(Stray),
    /// A frame for the device, of a core that has no queue.
    Transmit(Frame),
    /// What became of something that a flow of this core's has sent.
    Trouble(Trouble),
}

/// A core's part in steering: it knows who owns what, and has a ring to everybody.
pub(crate) struct Steer {
    core: usize,
    steering: Arc<Steering>,
    /// To each core; none to itself.
    lanes: Box<[Option<Lane>]>,
    /// From each other core.
    incoming: Vec<Consumer<Forwarded>>,
    /// Who sends for this core, if it has no queue.
    carrier: Option<usize>,
    homes: Homes,
    pub(super) self_test: SelfTest,
    /// Whether the others know that there is nothing left to do here.
    idle: bool,
}

/// A ring to another core. What is forwarded in one turn is published at its end, at once.
pub(super) struct Lane {
    ring: Producer<Forwarded>,
    staged: Vec<Forwarded>,
    /// Values that certainly fit behind those that are staged.
    room: usize,
    core: Arc<CoreShared>,
}

/// The ends of one core, before they are joined with the rest.
pub(super) struct Ends {
    pub(super) lanes: Box<[Option<Lane>]>,
    pub(super) incoming: Vec<Consumer<Forwarded>>,
    pub(super) carrier: Option<usize>,
}

impl Steer {
    pub(super) fn new(core: usize, steering: Arc<Steering>, ends: Ends, rng: &mut Rng) -> Self {
        let Ends { lanes, incoming, carrier } = ends;
        let (homes, self_test) = (Homes::new(rng), SelfTest::new(&steering));
        Self { core, steering, lanes, incoming, carrier, homes, self_test, idle: false }
    }

    /// A core alone, as layers have it that are tested without a stack.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        let mut rng = Rng::new([9; 32]);
        let steering =
            Steering::new(&Default::default(), &pmd::Rss::OneQueue, &[vec![0]], &mut rng);
        let ends = Ends { lanes: Box::new([None]), incoming: Vec::new(), carrier: None };
        Self::new(0, Arc::new(steering), ends, &mut rng)
    }

    pub(crate) fn steering(&self) -> &Steering {
        &self.steering
    }

    pub(crate) fn core(&self) -> usize {
        self.core
    }

    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.lanes.len() == 1
    }

    /// Whether a flow is this core's.
    pub(crate) fn owns(&self, flow: &FlowKey4) -> bool {
        self.is_alone() || self.steering.owner(flow) == self.core
    }

    /// The other core that owns a flow; `None` if it is this core's own.
    pub(crate) fn elsewhere(&self, flow: &FlowKey4) -> Option<usize> {
        self.other(|steering| steering.owner(flow))
    }

    /// The other core that puts these fragments together.
    pub(crate) fn fragments_elsewhere(&self, from: Ipv4Addr, to: Ipv4Addr) -> Option<usize> {
        self.other(|steering| steering.owner_of_fragments(from, to))
    }

    fn other(&self, owner: impl FnOnce(&Steering) -> usize) -> Option<usize> {
        if self.is_alone() {
            return None;
        }
        Some(owner(&self.steering)).filter(|&core| core != self.core)
    }

    /// The other core on which the stack's socket for `local` lives.
    pub(crate) fn socket_elsewhere(&self, local: SocketAddrV4) -> Option<usize> {
        self.homes.find(local).filter(|&core| core != self.core && !self.has_ended(core))
    }

    /// Whether the whole stack has a socket on exactly this address.
    pub(crate) fn has_socket(&self, local: SocketAddrV4) -> bool {
        self.homes.at(local).is_some_and(|core| !self.has_ended(core))
    }

    /// Whether another core has ended, and with it its sockets.
    fn has_ended(&self, core: usize) -> bool {
        self.lanes.get(core).and_then(Option::as_ref).is_some_and(|lane| lane.core.has_ended())
    }

    /// A socket of the whole stack lives on `core` from now on.
    pub(crate) fn socket_opened(&mut self, local: SocketAddrV4, core: usize) {
        self.homes.insert(local, core);
    }

    /// The socket that lived on `core` is gone. The core itself has all others know.
    pub(crate) fn socket_closed(&mut self, local: SocketAddrV4, core: usize) {
        let was_known = self.homes.remove(local, core);
        if was_known && core == self.core {
            for other in self.other_cores() {
                other.order(Order::SocketGone(local, core));
            }
        }
    }

    /// Puts something on the way to another core, which gets it when the turn ends. Never waits: what does not fit is dropped
    /// (S-6).
    pub(super) fn stage(&mut self, to: usize, item: Forwarded) -> Result<(), Drop> {
        let lane = self.lanes.get_mut(to).and_then(Option::as_mut).ok_or(Drop::ForwardCoreEnded)?;
        if lane.ring.is_abandoned() {
            return Err(Drop::ForwardCoreEnded);
        }
        if lane.room() == 0 {
            return Err(Drop::ForwardFull);
        }
        lane.room -= 1;
        lane.staged.push(item);
        Ok(())
    }

    /// How many frames can be given to the core that sends for this one.
    pub(super) fn carrier_room(&mut self) -> Option<(usize, usize)> {
        let carrier = self.carrier?;
        let lane = self.lanes.get_mut(carrier).and_then(Option::as_mut)?;
        Some((carrier, lane.room()))
    }

    /// Every other core's number.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let core = self.core;
        (0..self.lanes.len()).filter(move |&other| other != core)
    }

    /// What any thread may do to each other core.
    pub(crate) fn other_cores(&self) -> impl Iterator<Item = &Arc<CoreShared>> {
        self.lanes.iter().flatten().map(|lane| &lane.core)
    }

    /// The end of a turn: what is on its way is published, and those whom it is for are woken, each once.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if !self.is_alone() {
            self.publish_all();
        }
    }

    fn publish_all(&mut self) {
        for lane in self.lanes.iter_mut().flatten() {
            if !lane.staged.is_empty() {
                lane.publish();
            }
        }
    }

    /// Takes what others have forwarded, at most so much from each.
    pub(crate) fn take(&mut self, batch: &mut Vec<Forwarded>, limit: usize) {
        for ring in &mut self.incoming {
            if !ring.is_empty() {
                ring.pop_into(batch, limit);
            }
        }
    }

    /// This core stops, and has nothing left to do. Whether that is so everywhere, and all that was forwarded has arrived: until
    /// then it goes on receiving and sending for the others.
    pub(crate) fn is_over(&mut self) -> bool {
        if !self.idle {
            self.leave();
        }
        self.steering.all_idle() && self.incoming.iter_mut().all(Consumer::is_empty)
    }

    /// The others need not wait for this core any more.
    fn leave(&mut self) {
        self.idle = true;
        if self.steering.idle_too() {
            self.other_cores().for_each(|core| core.nudge());
        }
    }
}

/// However it ends, nobody waits for it.
impl std::ops::Drop for Steer {
    fn drop(&mut self) {
        self.publish();
        if !self.idle {
            self.leave();
        }
    }
}

impl Lane {
    pub(super) fn new(ring: Producer<Forwarded>, core: Arc<CoreShared>) -> Self {
        Self { ring, staged: Vec::new(), room: 0, core }
    }

    /// Looks at the other side only when the room that was known is used up.
    fn room(&mut self) -> usize {
        if self.room == 0 {
            self.room = self.ring.free() - self.staged.len();
        }
        self.room
    }

    fn publish(&mut self) {
        let count = self.staged.len();
        let pushed = self.ring.push_all(&mut self.staged.drain(..));
        debug_assert_eq!(pushed, count, "room was seen");
        self.core.nudge();
    }
}
