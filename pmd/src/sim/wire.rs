//! What one direction of a wire does to frames, and what it has done.

use std::time::Duration;

use super::segmentation::Uncut;
use crate::Frame;

/// What one direction of a wire does to frames. The default is a perfect wire without delay.
///
/// Probabilities are per frame, from 0.0 to 1.0. A frame meets the fields in this order: MTU, rate and its queue, losses,
/// delay and reordering, duplication, corruption.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Largest IP packet in bytes (1500 by default); the Ethernet header and one VLAN tag come on top. Larger frames are
    /// dropped.
    pub mtu: u16,
    /// How fast frames can follow each other. By default nothing limits it, and then nothing queues.
    pub rate: Option<Rate>,
    /// Probability that a frame is lost.
    pub loss: f64,
    /// Losses that come in bursts, besides [`loss`](Self::loss).
    pub burst_loss: Option<BurstLoss>,
    /// How long a frame takes from one side to the other, serialisation aside.
    pub delay: Duration,
    /// Up to this much is added to the delay, equally distributed. Jitter alone does not reorder: a frame arrives no
    /// earlier than the one before.
    pub jitter: Duration,
    /// Probability that a frame is late by [`reorder_by`](Self::reorder_by), and may be overtaken.
    pub reorder: f64,
    /// How late a reordered frame is.
    pub reorder_by: Duration,
    /// Probability that a copy of the frame follows it.
    pub duplicate: f64,
    /// Probability that one bit of an IP packet is flipped. The link header is spared, and so are frames of other
    /// protocols: no checksum of theirs could tell.
    pub corrupt: f64,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            mtu: 1500,
            rate: None,
            loss: 0.0,
            burst_loss: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            duplicate: 0.0,
            corrupt: 0.0,
        }
    }
}

/// A transmission rate, and the queue before it. A frame counts in the queue until its last bit is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Bits of frames per second; preamble, check sequence and gap are not counted. Zero counts as one.
    pub bits_per_second: u64,
    /// Most bytes in the queue: a frame with which there would be more is dropped.
    pub queue_bytes: usize,
    /// Most frames in the queue: further ones are dropped.
    pub queue_frames: usize,
    /// With so many bytes in the queue, IPv4 packets that allow it are marked (ECN, RFC 3168): congestion is experienced.
    pub mark_bytes: usize,
}

impl Rate {
    /// A rate before which 1000 frames of any size can queue, none of which is marked.
    pub const fn new(bits_per_second: u64) -> Self {
        Self {
            bits_per_second,
            queue_bytes: usize::MAX,
            queue_frames: 1000,
            mark_bytes: usize::MAX,
        }
    }

    /// Nanoseconds for which a frame of `len` bytes occupies the wire, rounded up.
    pub(super) fn occupation(&self, len: usize) -> u64 {
        let bits = u128::from(len as u64) * 8;
        let nanos = (bits * 1_000_000_000).div_ceil(u128::from(self.bits_per_second.max(1)));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// Losses that come in bursts: the two states of Gilbert and Elliott. A wire begins in the good one, in which this loses
/// nothing. Each frame first may change the state, and then meets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstLoss {
    /// Probability, per frame, that the good state turns bad.
    pub begin: f64,
    /// Probability, per frame, that the bad state turns good: a burst lasts `1 / end` frames in the mean.
    pub end: f64,
    /// Probability that a frame is lost in the bad state.
    pub loss: f64,
}

/// What has happened in one direction of a wire, counted in frames.
///
/// `sent + duplicated` is `delivered` and all that was dropped (`oversized`, `overflowed`, `lost`, `lost_in_burst`,
/// `filtered`, `missed`), and what is on its way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Frames that were put on the wire.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames that came out at the other side.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Dropped: larger than the MTU allows.
    pub oversized: u64,
    /// Dropped: no room in the queue.
    pub overflowed: u64,
    /// Dropped by [`Wire::loss`].
    pub lost: u64,
    /// Dropped by [`Wire::burst_loss`].
    pub lost_in_burst: u64,
    /// Dropped by a switch: the destination is on the side from which the frame came, or there is no other side.
    pub filtered: u64,
    /// Dropped at the receiving end: its ring was full.
    pub missed: u64,
    /// Frames that were marked because of the queue.
    pub marked: u64,
    /// Frames that were made late by [`Wire::reorder`].
    pub reordered: u64,
    /// Copies that were made by [`Wire::duplicate`].
    pub duplicated: u64,
    /// Frames of which a bit was flipped by [`Wire::corrupt`].
    pub corrupted: u64,
    /// Times that a copy was due, or segments of a packet, and could not be made: too many copies were around.
    pub uncopied: u64,
    /// Dropped before they were sent: packets to be cut into segments of which what was asked for does not fit them.
    pub misfit: u64,
}

impl Statistics {
    pub(super) fn deliver(&mut self, frame: &Frame) {
        self.delivered += 1;
        self.delivered_bytes += frame.len() as u64;
    }

    pub(super) fn leave_uncut(&mut self, why: Uncut) {
        match why {
            Uncut::Misfit => self.misfit += 1,
            Uncut::NoFrames => self.uncopied += 1,
        }
    }

    pub(super) fn pass_switch(&mut self, frame: &Frame, ports: &[usize]) {
        if ports.is_empty() {
            self.filtered += 1;
        } else {
            self.deliver(frame);
        }
    }
}
