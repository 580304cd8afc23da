//! A path: how wide, how long, and what it does to packets.

use std::fmt;
use std::time::Duration;

use pmd::sim::{BurstLoss, Rate, Wire};

/// What lies between two hosts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) bits_per_second: u64,
    /// Both ways, without any queue.
    pub(crate) round_trip: Duration,
    pub(crate) loss: Loss,
    pub(crate) order: Order,
    pub(crate) queue: Queue,
}

/// What is lost on the way to the receiver, besides what finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    None,
    /// So much of a hundred.
    Percent(f64),
    /// One packet in a thousand begins a burst of ten, of which half are lost.
    Bursts,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    Kept,
    /// One packet in a hundred is late by a quarter of the round trip.
    Mixed,
}

/// What waits before the bottleneck.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Queue {
    /// Half of what fills the path, but 20 packets at least.
    Shallow,
    /// Four times what fills the path.
    Bloated,
    /// Twice what fills the path, and packets are marked (ECN) once there is half of it.
    Marking,
    /// The same, and both ends count the marks (AccECN).
    Counting,
}

impl Path {
    /// Bytes that fill the path.
    pub(crate) fn product(&self) -> u64 {
        let bits = u128::from(self.bits_per_second) * self.round_trip.as_nanos() / 1_000_000_000;
        (bits / 8) as u64
    }

    pub(crate) fn queue_bytes(&self) -> u64 {
        let least = 20 * FRAME;
        match self.queue {
            Queue::Shallow => (self.product() / 2).max(least),
            Queue::Bloated => (self.product() * 4).max(2 * least),
            Queue::Marking | Queue::Counting => (self.product() * 2).max(2 * least),
        }
    }

    fn mark_bytes(&self) -> usize {
        match self.queue {
            Queue::Marking | Queue::Counting => (self.product() / 2).max(20 * FRAME) as usize,
            Queue::Shallow | Queue::Bloated => usize::MAX,
        }
    }

    /// Payload per second, if nothing is ever sent twice.
    pub(crate) fn capacity(&self) -> f64 {
        self.bits_per_second as f64 / 8.0 * f64::from(SEGMENT) / FRAME as f64
    }

    /// The share of packets that is lost.
    pub(crate) fn loss_rate(&self) -> f64 {
        match self.loss {
            Loss::None => 0.0,
            Loss::Percent(percent) => percent / 100.0,
            Loss::Bursts => BURSTS.begin / (BURSTS.begin + BURSTS.end) * BURSTS.loss,
        }
    }

    /// The share of packets that is the first to be lost: what comes in a burst is one loss for a congestion window.
    pub(crate) fn loss_events(&self) -> f64 {
        if self.loss == Loss::Bursts { BURSTS.begin } else { self.loss_rate() }
    }

    /// The way of the data; without what is lost, as long as connections are being made.
    pub(crate) fn forth(&self, established: bool) -> Wire {
        let mut wire = self.back();
        wire.rate = Some(Rate {
            bits_per_second: self.bits_per_second,
            queue_bytes: self.queue_bytes() as usize,
            queue_frames: usize::MAX,
            mark_bytes: self.mark_bytes(),
        });
        if established {
            if let Loss::Percent(percent) = self.loss {
                wire.loss = percent / 100.0;
            }
            wire.burst_loss = (self.loss == Loss::Bursts).then_some(BURSTS);
            wire.reorder = if self.order == Order::Mixed { 0.01 } else { 0.0 };
            wire.reorder_by = self.round_trip / 4;
        }
        wire
    }

    /// The way of the ACKs.
    pub(crate) fn back(&self) -> Wire {
        Wire { delay: self.round_trip / 2, ..Wire::default() }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = match self.bits_per_second {
            mega @ ..1_000_000_000 => format!("{}M", mega / 1_000_000),
            giga => format!("{}G", giga / 1_000_000_000),
        };
        let loss = match self.loss {
            Loss::None => "0%".to_owned(),
            Loss::Percent(percent) => format!("{percent}%"),
            Loss::Bursts => "bursts".to_owned(),
        };
        let order = if self.order == Order::Kept { "ordered" } else { "mixed" };
        let queue = match self.queue {
            Queue::Shallow => "shallow",
            Queue::Bloated => "bloated",
            Queue::Marking => "marking",
            Queue::Counting => "counted",
        };
        let round_trip = self.round_trip.as_micros() as f64 / 1000.0;
        write!(f, "{rate:>4} {round_trip:>5}ms {loss:>6} {order:>7} {queue:>7}")
    }
}

/// Bytes of a full frame on the simulated wire, and of the payload in it: timestamps take twelve.
pub(crate) const FRAME: u64 = 1514;
pub(crate) const SEGMENT: u32 = 1448;

const BURSTS: BurstLoss = BurstLoss { begin: 0.001, end: 0.1, loss: 0.5 };
