//! Where a wire ends: a network card of its own.

use std::collections::VecDeque;

use super::segmentation;
use super::{Network, Shared, Statistics, offload};
use crate::{Burst, Frame, Medium, Pool, QueueInfo, QueuePair, Rss, TxOffload};

/// What to put at the end of a wire.
#[derive(Clone)]
pub struct End {
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// Largest IP packet in bytes that it says it can send. What the wire lets pass is [`Wire::mtu`](super::Wire::mtu).
    pub mtu: u16,
    /// Where its frames come from.
    pub pool: Pool,
    /// Most frames that wait to be received; further ones are dropped.
    pub rx_ring: usize,
    /// What it computes itself.
    pub offload: Offload,
}

/// What a card computes itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offload {
    /// Nothing: whoever receives must verify checksums.
    None,
    /// It fills in the IPv4, TCP and UDP checksums that it is asked for, and verifies those that arrive.
    Checksums,
    /// That, and it cuts TCP packets of up to 65,535 bytes into segments where it is asked to (TSO). The segments are made in
    /// [`Sim::copies`](super::Sim::copies).
    Segmentation,
}

impl Offload {
    fn sums(self) -> bool {
        self != Self::None
    }

    fn tx(self) -> TxOffload {
        let fills = self.sums();
        let most = if self == Self::Segmentation { u16::MAX } else { 0 };
        TxOffload {
            ipv4: fills,
            tcp: fills,
            udp: fills,
            multi_segment: true,
            tcp_segmentation: most,
            tcp_segments: most,
        }
    }
}

impl End {
    /// The `n`-th end: address `02:00:00:00:nn:nn`, an MTU of 1500, a heap pool of 4096 frames with room for 2048 bytes
    /// each, a ring of 1024 frames, no offload.
    pub fn new(n: u16) -> Self {
        let [high, low] = n.to_be_bytes();
        Self {
            address: [2, 0, 0, 0, high, low],
            mtu: 1500,
            pool: Pool::heap(4096, 2048),
            rx_ring: 1024,
            offload: Offload::None,
        }
    }

    /// The same with another pool.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }
}

/// Names an end of a [`Sim`](super::Sim), as long as that lives.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EndId(pub(super) usize);

/// An end of a simulated wire, as a queue pair.
///
/// It accepts every frame at once: queueing is the wire's ([`Rate`](super::Rate)). As on a real wire, frames below 60
/// bytes are padded with zeros.
pub struct SimQueue {
    id: EndId,
    info: QueueInfo,
    offload: Offload,
    network: Shared,
}

impl SimQueue {
    pub(super) fn new(end: End, id: EndId, network: Shared) -> Self {
        let info = QueueInfo {
            device: format!("sim{}", id.0),
            queue: 0,
            medium: Medium::Ethernet(end.address),
            mtu: end.mtu,
            tx_offload: end.offload.tx(),
            rss: Rss::default(),
            pool: end.pool,
        };
        Self { id, info, offload: end.offload, network }
    }

    /// The end's name in its simulation.
    pub fn id(&self) -> EndId {
        self.id
    }

    fn send(&self, network: &mut Network, direction: usize, mut frame: Frame) {
        if self.offload.sums() {
            offload::fill(&mut frame);
        }
        frame.clear_offload();
        pad(&mut frame);
        network.send(direction, frame);
    }
}

impl QueuePair for SimQueue {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        self.network.lock().inlets[self.id.0].take(burst, self.offload)
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let mut network = self.network.lock();
        let direction = network.inlets[self.id.0].outgoing;
        let count = burst.len();
        for frame in burst.drain() {
            match frame.requested_segmentation().filter(|_| self.offload == Offload::Segmentation) {
                None => self.send(&mut network, direction, frame),
                Some(wanted) => match segmentation::cut(&frame, &wanted, &network.copies) {
                    Ok(segments) => segments
                        .into_iter()
                        .for_each(|segment| self.send(&mut network, direction, segment)),
                    Err(uncut) => network.directions[direction].statistics.leave_uncut(uncut),
                },
            }
        }
        count
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }
}

/// Fills a frame to the least that Ethernet carries (IEEE 802.3, 64 bytes with the check sequence).
fn pad(frame: &mut Frame) {
    let missing = SHORTEST.saturating_sub(frame.len());
    if let Some(padding) = frame.append(missing) {
        padding.fill(0);
    }
}

/// What the network knows of an end.
pub(super) struct Inlet {
    /// The direction in which the end sends.
    pub(super) outgoing: usize,
    /// The direction that leads to the end.
    pub(super) incoming: usize,
    ring: VecDeque<Frame>,
    ring_size: usize,
}

impl Inlet {
    pub(super) fn new(end: &End, outgoing: usize, incoming: usize) -> Self {
        Self { outgoing, incoming, ring: VecDeque::new(), ring_size: end.rx_ring }
    }

    pub(super) fn receive(&mut self, frame: Frame, statistics: &mut Statistics) {
        if self.ring.len() < self.ring_size {
            statistics.deliver(&frame);
            self.ring.push_back(frame);
        } else {
            statistics.missed += 1;
        }
    }

    fn take(&mut self, burst: &mut Burst, offload: Offload) -> usize {
        let count = burst.room().min(self.ring.len());
        for mut frame in self.ring.drain(..count) {
            if offload.sums() {
                frame.set_rx_offload(offload::verify(&frame));
            }
            burst.push(frame).expect("no more than there is room for");
        }
        count
    }
}

const SHORTEST: usize = 60;
