//! What one protocol thread owns below the transports.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

use pmd::{Frame, Pool, QueueInfo, TxOffload};

use crate::drops::Drop;
use crate::ip::{
    Identification, Ipv4Prefix, NextHop, PathMtus, Reassembly, Route, RouteTable, Unreachable,
};
use crate::link::Link;
use crate::metrics::Metrics;
use crate::rng::Rng;
use crate::time::Instant;
use crate::timer::Wheel;

/// The layers from the device to IP, with what every layer needs: the time, chance, and where to count.
///
/// Each handler of the layers above gets `&mut Net`: it is how they send.
pub(crate) struct Net {
    /// Set once at the start of each turn of the protocol loop.
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) timers: Wheel<Timer>,
    pub(crate) metrics: Arc<Metrics>,
    /// Frames ready for the device, which the protocol loop transmits at the end of the turn.
    pub(crate) outbox: VecDeque<Frame>,
    /// IP packets that we sent to ourselves. The protocol loop takes them as input; they never reach the device.
    pub(crate) loopback: VecDeque<Frame>,
    pub(crate) interface: Interface,
    pub(crate) routes: RouteTable,
    pub(crate) path_mtus: PathMtus,
    pub(crate) identification: Identification,
    pub(crate) reassembly: Reassembly,
    pool: Pool,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// A datagram's missing fragments are late.
    Reassembly(u16),
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
#[derive(Clone, Debug, Default)]
pub(crate) struct NetConfig {
    pub(crate) addresses: Vec<Ipv4Prefix>,
    /// Routes besides those to the networks of our addresses.
    pub(crate) routes: Vec<Route>,
    pub(crate) vlan: Option<u16>,
    /// A smaller MTU than the device's.
    pub(crate) mtu: Option<u16>,
}

impl Net {
    /// The layers over a device. A route beyond the table's limit is left out.
    pub(crate) fn new(
        config: &NetConfig,
        device: &QueueInfo,
        mut rng: Rng,
        metrics: Arc<Metrics>,
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
        Self {
            now: Instant::ZERO,
            identification: Identification::new(&mut rng),
            rng,
            timers: Wheel::new(),
            metrics,
            outbox: VecDeque::with_capacity(OUTBOX_LIMIT),
            loopback: VecDeque::new(),
            interface,
            routes,
            path_mtus: PathMtus::default(),
            reassembly: Reassembly::new(device.pool.capacity() / 4),
            pool: device.pool.clone(),
        }
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

    /// Sends an IP packet to a neighbour.
    pub(crate) fn send_on_link(&mut self, _next_hop: Ipv4Addr, packet: Frame) -> Result<(), Drop> {
        self.transmit(packet)
    }

    /// Hands a complete frame to the device at the end of this turn.
    pub(crate) fn transmit(&mut self, frame: Frame) -> Result<(), Drop> {
        if self.outbox.len() >= OUTBOX_LIMIT {
            return Err(Drop::OutboxFull);
        }
        self.outbox.push_back(frame);
        Ok(())
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

#[cfg(test)]
impl Net {
    /// A network without a link layer, as `10.0.0.1/24` with an MTU of 1500 and frames from the heap.
    pub(crate) fn for_test() -> Self {
        let device = QueueInfo {
            device: "test".to_owned(),
            queue: 0,
            medium: pmd::Medium::Ip,
            mtu: 1500,
            tx_offload: TxOffload::default(),
            pool: Pool::heap(512, 2048),
        };
        let config = NetConfig {
            addresses: vec!["10.0.0.1/24".parse().unwrap()],
            routes: vec![Route {
                network: "0.0.0.0/0".parse().unwrap(),
                next: NextHop::Gateway(Ipv4Addr::new(10, 0, 0, 254)),
            }],
            ..NetConfig::default()
        };
        Self::new(&config, &device, Rng::new([7; 32]), Arc::new(Metrics::new()))
    }

    pub(crate) fn pool_available(&self) -> usize {
        self.pool.available()
    }

    pub(crate) fn frame_of(&self, bytes: &[u8]) -> Option<Frame> {
        self.pool.frame_of(bytes)
    }
}
