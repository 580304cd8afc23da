//! What one protocol thread owns below the transports.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

use pmd::{Frame, Pool, QueueInfo, TxOffload};

use crate::api::Token;
use crate::backlog::Backlog;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::icmp::{RateLimit, Trouble};
use crate::ip::{
    Heard, Identification, Ipv4Prefix, NextHop, Passed, PathMtus, Reassembly, Route, RouteTable,
    Unreachable, Ways,
};
use crate::link::Link;
use crate::metrics::Metrics;
use crate::neighbor::{Detection, Neighbors};
use crate::rng::Rng;
use crate::socket::Readies;
use crate::steer::Steer;
use crate::tcp;
use crate::time::Instant;
use crate::timer::{TimerKey, Wheel};
use crate::wire::ethernet::MacAddr;
use crate::wire::icmpv4::{Exceeded, IcmpHeader};

mod stations;

/// The layers from the device to IP, with what every layer needs: the time, chance, and where to count.
///
/// Each handler of the layers above gets `&mut Net`: it is how they send.
pub(crate) struct Net {
    /// Set once at the start of each turn of the protocol loop.
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) timers: Wheel<Timer>,
    pub(crate) metrics: Arc<Metrics>,
    /// Readiness on its way to applications.
    pub(crate) readies: Readies,
    /// Frames ready for the device, which the protocol loop transmits at the end of the turn.
    pub(crate) outbox: VecDeque<Frame>,
    /// How much of that is streams'.
    pub(crate) backlog: Backlog,
    /// IP packets that we sent to ourselves. The protocol loop takes them as input; they never reach the device.
    pub(crate) loopback: VecDeque<Frame>,
    pub(crate) interface: Interface,
    pub(crate) routes: RouteTable,
    pub(crate) path_mtus: PathMtus,
    pub(crate) ways: Ways,
    /// The head of the last plain segment that link and IP have let pass.
    pub(crate) passed: Option<Passed>,
    pub(crate) identification: Identification,
    pub(crate) reassembly: Reassembly,
    pub(crate) icmp_limit: RateLimit,
    /// Who gets what is not this core's.
    pub(crate) steer: Steer,
    /// `None` on a device without link headers.
    pub(crate) neighbors: Option<Neighbors>,
    neighbor_timer: Option<(Instant, TimerKey)>,
    /// Packets of ours that could not be sent on: the protocol loop tells the sockets.
    pub(crate) troubles: VecDeque<Trouble>,
    /// What became of the claims to our addresses: the protocol loop tells the application. Claims are slow, so that a
    /// turn adds no more than one or two for each address.
    pub(crate) claims: VecDeque<ClaimNews>,
    pool: Pool,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// A neighbour, or a claim of ours, wants to be looked at.
    Neighbors,
    /// A datagram's missing fragments are late.
    Reassembly(u16),
    /// A connection, or one in the making or after its end, has something to do.
    Tcp(tcp::Timer),
    /// The application asked to be called.
    Application(Token),
}

/// What became of a claim to an address of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClaimNews {
    /// Nobody objected: it is ours.
    Held(Ipv4Addr),
    /// This station uses it as well.
    Contested(Ipv4Addr, MacAddr),
}

/// The device's end of the link, and the addresses that we have on it.
pub(crate) struct Interface {
    pub(crate) link: Link,
    /// Largest IP packet in bytes.
    pub(crate) mtu: u16,
    pub(crate) tx_offload: TxOffload,
    /// Our addresses. The first is the source of what goes where none of them is a neighbour.
    pub(crate) addresses: Vec<Ipv4Prefix>,
}

/// What the network below the transports is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct NetConfig {
    pub(crate) addresses: Vec<Ipv4Prefix>,
    /// Routes besides those to the networks of our addresses.
    pub(crate) routes: Vec<Route>,
    pub(crate) vlan: Option<u16>,
    /// A smaller MTU than the device's.
    pub(crate) mtu: Option<u16>,
    /// How carefully our addresses are probed before they are used.
    pub(crate) detection: Detection,
}

impl Net {
    /// The layers over a device. A route beyond the table's limit is left out.
    pub(crate) fn new(
        config: &NetConfig,
        device: &QueueInfo,
        now: Instant,
        mut rng: Rng,
        metrics: Arc<Metrics>,
        steer: Steer,
    ) -> Self {
        let interface = Interface {
            link: Link::new(device.medium, config.vlan),
            mtu: config.mtu.map_or(device.mtu, |mtu| mtu.min(device.mtu)),
            tx_offload: device.tx_offload,
            addresses: config.addresses.clone(),
        };
        let connected =
            config.addresses.iter().map(|&network| Route { network, next: NextHop::Destination });
        let mut routes = RouteTable::default();
        for route in config.routes.iter().copied().chain(connected) {
            let _left_out = routes.insert(route);
        }
        let neighbors = stations::neighbors(config, device.medium, now, &mut rng);
        let mut net = Self {
            now,
            neighbors,
            neighbor_timer: None,
            troubles: VecDeque::new(),
            claims: VecDeque::new(),
            icmp_limit: RateLimit::default(),
            identification: Identification::new(&mut rng),
            rng,
            timers: Wheel::new(),
            metrics,
            readies: Readies::default(),
            outbox: VecDeque::with_capacity(OUTBOX_LIMIT),
            backlog: Backlog::default(),
            loopback: VecDeque::new(),
            interface,
            routes,
            path_mtus: PathMtus::default(),
            ways: Ways::new(),
            passed: None,
            // All cores together may hold a quarter of the device's frames.
            reassembly: Reassembly::new(device.pool.capacity() / 4 / steer.steering().cores()),
            steer,
            pool: device.pool.clone(),
        };
        net.arm_neighbor_timer();
        net
    }

    /// Gives up a datagram whose fragments did not come in time.
    pub(crate) fn reassembly_timeout(&mut self, index: u16) {
        let expired = self.reassembly.expire(index, &mut self.timers);
        self.metrics.count(Counter::IpReasmFails);
        (0..expired.fragments).for_each(|_| self.metrics.count_drop(Drop::FragmentTimeout));
        let late = IcmpHeader::TimeExceeded(Exceeded::Reassembly);
        if let Some(first) = expired.first
            && let Err(drop) = self.send_icmp_error(&first, late)
        {
            self.metrics.count_drop(drop);
        }
    }

    /// Remembers that packets to `destination` must be smaller. For transports that believe what they were told
    /// ([`IcmpError::TooBig`](crate::icmp::IcmpError::TooBig)); returns the new path MTU, if it is smaller than before.
    pub(crate) fn narrow_path(&mut self, destination: Ipv4Addr, mtu: u16, len: u16) -> Option<u16> {
        self.ways.forget();
        let link_mtu = self.interface.mtu;
        let heard = Heard { reported: mtu, refused: len, link_mtu, now: self.now };
        self.path_mtus.learn(destination, heard)
    }

    /// An empty frame with headroom for every header down to the link's. `None`, which is counted, when the pool is empty.
    pub(crate) fn transport_frame(&mut self) -> Option<Frame> {
        let frame = self.alloc();
        if frame.is_none() {
            self.metrics.count_drop(Drop::PoolEmpty);
        }
        frame
    }

    /// Bytes that fit in one fresh frame.
    pub(crate) fn frame_room(&self) -> usize {
        self.pool.room()
    }

    /// An empty frame. `None` when the pool is empty, which is for the caller to count.
    pub(crate) fn alloc(&self) -> Option<Frame> {
        self.pool.alloc()
    }

    /// Frames that are free beyond those that the device needs to go on.
    pub(crate) fn spare_frames(&self) -> usize {
        self.pool.available().saturating_sub(self.pool.capacity() / 8)
    }

    /// A copy of a frame in fresh ones. `None`, when the pool has too few, is for the caller to count.
    pub(crate) fn copy(&self, frame: &Frame) -> Option<Frame> {
        self.pool.copy_of(frame)
    }

    /// Whether `address` is one of ours.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        self.interface.has(address) || address.is_loopback()
    }

    /// The address of ours from which to send to `destination`.
    pub(crate) fn source_for(&self, destination: Ipv4Addr) -> Result<Ipv4Addr, Unreachable> {
        if self.is_local(destination) {
            return Ok(destination);
        }
        let next_hop = self.next_hop(destination).ok_or(Unreachable)?;
        self.interface.source_near(next_hop).ok_or(Unreachable)
    }

    /// Who on our link gets what goes to `destination`. Groups are not supported.
    pub(crate) fn next_hop(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.interface.is_broadcast(destination) {
            return Some(destination);
        }
        if destination.is_multicast() || destination.is_unspecified() {
            return None;
        }
        Some(match self.routes.lookup(destination)?.next {
            NextHop::Destination => destination,
            NextHop::Gateway(gateway) => gateway,
        })
    }

    /// The largest IP packet that reaches `destination` unfragmented, as far as we know.
    pub(crate) fn path_mtu(&self, destination: Ipv4Addr) -> u16 {
        self.path_mtus.narrow(destination, self.interface.mtu, self.now)
    }

    /// Hands a complete frame to the device at the end of this turn.
    pub(crate) fn transmit(&mut self, frame: Frame) -> Result<(), Drop> {
        if self.outbox.len() >= OUTBOX_LIMIT {
            return Err(Drop::OutboxFull);
        }
        self.outbox.push_back(frame);
        self.backlog.give();
        Ok(())
    }

    /// The end of a turn begins: connections send what they may.
    pub(crate) fn begin_flush(&mut self) {
        self.backlog.begin(self.outbox.len());
    }

    /// How many more full segments of new data may leave in this flush.
    pub(crate) fn backlog_room(&self) -> u32 {
        let frames = (self.outbox_room() + 1).saturating_sub(OUTBOX_RESERVE);
        self.backlog.room().min(u32::try_from(frames).unwrap_or(u32::MAX))
    }

    /// How many more frames [`Net::transmit`] takes in this turn.
    pub(crate) fn outbox_room(&self) -> usize {
        OUTBOX_LIMIT.saturating_sub(self.outbox.len())
    }
}

impl Interface {
    /// Whether `address` is one of ours on this link.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|prefix| prefix.address() == address)
    }

    /// Whether `address` reaches everyone on the link: the limited broadcast, or that of a network of ours.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast()
            || self.addresses.iter().any(|prefix| prefix.broadcast() == Some(address))
    }

    /// Our address in the smallest network that also holds `neighbor`, else our first.
    fn source_near(&self, neighbor: Ipv4Addr) -> Option<Ipv4Addr> {
        let near = self.addresses.iter().filter(|prefix| prefix.contains(neighbor));
        // Of equals the first: `max_by_key` would give the last.
        let nearest = near.rev().max_by_key(|prefix| prefix.len());
        nearest.or(self.addresses.first()).map(|prefix| prefix.address())
    }
}

/// Frames that may wait for the device. More than one turn makes, unless the device is stuck.
const OUTBOX_LIMIT: usize = 1024;

/// Frames kept for others while one connection has much to send, or many timers have: they go on in the next turn.
pub(crate) const OUTBOX_RESERVE: usize = 64;

#[cfg(test)]
impl Net {
    /// A network without a link layer, as `10.0.0.1/24` with an MTU of 1500 and frames from the heap.
    pub(crate) fn for_test() -> Self {
        Self::for_test_on(pmd::Medium::Ip, Detection::OFF)
    }

    /// The same over another medium.
    pub(crate) fn for_test_on(medium: pmd::Medium, detection: Detection) -> Self {
        let device = QueueInfo {
            device: "test".to_owned(),
            queue: 0,
            medium,
            mtu: 1500,
            tx_offload: TxOffload::default(),
            rss: pmd::Rss::default(),
            pool: Pool::heap(512, 2048),
        };
        let config = NetConfig {
            addresses: vec!["10.0.0.1/24".parse().unwrap()],
            routes: vec![Route {
                network: "0.0.0.0/0".parse().unwrap(),
                next: NextHop::Gateway(Ipv4Addr::new(10, 0, 0, 254)),
            }],
            vlan: None,
            mtu: None,
            detection,
        };
        let (rng, metrics) = (Rng::new([7; 32]), Arc::new(Metrics::new()));
        Self::new(&config, &device, Instant::ZERO, rng, metrics, Steer::for_test())
    }

    pub(crate) fn test_pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn pool_available(&self) -> usize {
        self.pool.available()
    }

    pub(crate) fn frame_of(&self, bytes: &[u8]) -> Option<Frame> {
        self.pool.frame_of(bytes)
    }
}

#[cfg(test)]
mod tests;
