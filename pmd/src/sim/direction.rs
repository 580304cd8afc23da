//! One direction of a wire at work.

use std::collections::VecDeque;

use super::chance::Chance;
use super::{Rate, Statistics, Target, Wire, nanos};
use crate::{Frame, Pool};

pub(super) struct Direction {
    pub(super) wire: Wire,
    pub(super) target: Target,
    pub(super) statistics: Statistics,
    chance: Chance,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// When the last frame that was sent arrives, those that were made late aside.
    last_arrival: u64,
    burst: Burst,
}

/// A frame that was accepted for sending.
struct Queued {
    /// When its last bit is sent.
    sent_at: u64,
    len: usize,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Burst {
    Good,
    Bad,
}

impl Direction {
    pub(super) fn new(wire: Wire, target: Target, chance: Chance) -> Self {
        Self {
            wire,
            target,
            statistics: Statistics::default(),
            chance,
            queue: VecDeque::new(),
            queue_bytes: 0,
            last_arrival: 0,
            burst: Burst::Good,
        }
    }

    /// When a frame that is sent now arrives; `None` if it never does. It may be marked on the way.
    pub(super) fn carry(&mut self, now: u64, frame: &mut Frame) -> Option<u64> {
        self.statistics.sent += 1;
        self.statistics.sent_bytes += frame.len() as u64;
        self.fit(frame)?;
        let sent_at = match self.wire.rate {
            Some(rate) => self.enqueue(now, rate, frame.len())?,
            None => now,
        };
        self.survive_bursts()?;
        self.survive()?;
        if self.wire.rate.is_some_and(|rate| self.queue_bytes >= rate.mark_bytes) {
            self.statistics.marked += u64::from(mark(frame).is_some());
        }
        Some(self.delay(sent_at))
    }

    fn fit(&mut self, frame: &Frame) -> Option<()> {
        let header = link_header_len(frame).unwrap_or(ETHERNET_LEN);
        if frame.len() > header + usize::from(self.wire.mtu) {
            self.statistics.oversized += 1;
            return None;
        }
        Some(())
    }

    /// Takes a place in the queue; returns when the frame's last bit is sent.
    fn enqueue(&mut self, now: u64, rate: Rate, len: usize) -> Option<u64> {
        while self.queue.front().is_some_and(|first| first.sent_at <= now) {
            self.queue_bytes -= self.queue.pop_front().map_or(0, |first| first.len);
        }
        let bytes = self.queue_bytes + len;
        if self.queue.len() >= rate.queue_frames || bytes > rate.queue_bytes {
            self.statistics.overflowed += 1;
            return None;
        }
        let begin = self.queue.back().map_or(now, |last| last.sent_at);
        let sent_at = begin.saturating_add(rate.occupation(len));
        self.queue.push_back(Queued { sent_at, len });
        self.queue_bytes = bytes;
        Some(sent_at)
    }

    fn survive_bursts(&mut self) -> Option<()> {
        let Some(model) = self.wire.burst_loss else { return Some(()) };
        self.burst = match self.burst {
            Burst::Good if self.chance.happens(model.begin) => Burst::Bad,
            Burst::Bad if self.chance.happens(model.end) => Burst::Good,
            same => same,
        };
        if self.burst == Burst::Bad && self.chance.happens(model.loss) {
            self.statistics.lost_in_burst += 1;
            return None;
        }
        Some(())
    }

    fn survive(&mut self) -> Option<()> {
        if self.chance.happens(self.wire.loss) {
            self.statistics.lost += 1;
            return None;
        }
        Some(())
    }

    fn delay(&mut self, sent_at: u64) -> u64 {
        let jitter = match nanos(self.wire.jitter) {
            0 => 0,
            most => self.chance.below(most.saturating_add(1)),
        };
        let on_time = sent_at.saturating_add(nanos(self.wire.delay)).saturating_add(jitter);
        let in_order = on_time.max(self.last_arrival);
        if self.chance.happens(self.wire.reorder) {
            self.statistics.reordered += 1;
            return in_order.saturating_add(nanos(self.wire.reorder_by));
        }
        self.last_arrival = in_order;
        in_order
    }

    /// A copy of the frame, if chance wants one.
    pub(super) fn duplicate(&mut self, frame: &Frame, copies: &Pool) -> Option<Frame> {
        if !self.chance.happens(self.wire.duplicate) {
            return None;
        }
        let copy = copies.copy_of(frame);
        match copy {
            Some(_) => self.statistics.duplicated += 1,
            None => self.statistics.uncopied += 1,
        }
        copy
    }

    /// The frame, or a copy in which one bit of the IP packet is wrong. A copy, because the bytes of a frame's later
    /// segments may be anywhere and are not ours to change.
    pub(super) fn corrupt(&mut self, frame: Frame, copies: &Pool) -> Frame {
        if !self.chance.happens(self.wire.corrupt) {
            return frame;
        }
        let Some(header) = link_header_len(&frame) else { return frame };
        let Some(mut copy) = copies.copy_of(&frame) else {
            self.statistics.uncopied += 1;
            return frame;
        };
        let bits = copy.head().len().saturating_sub(header) as u64 * 8;
        let bit = usize::try_from(self.chance.below(bits)).unwrap_or(usize::MAX);
        if let Some(byte) = copy.head_mut().get_mut(header + bit / 8) {
            *byte ^= 1 << (bit % 8);
            self.statistics.corrupted += 1;
        }
        copy
    }
}

/// Sets "congestion experienced" in an IPv4 packet that allows it (RFC 3168, section 5), and its header's checksum right (RFC 1624, equation 3).
fn mark(frame: &mut Frame) -> Option<()> {
    let ip = link_header_len(frame)?;
    let header = frame.head_mut().get_mut(ip..ip + IPV4_LEN)?;
    let word = u16::from_be_bytes([header[0], header[1]]);
    if header[0] >> 4 != 4 || word & CONGESTION_EXPERIENCED == 0 {
        return None;
    }
    let marked = word | CONGESTION_EXPERIENCED;
    let checksum = u16::from_be_bytes([header[10], header[11]]);
    let sum = u32::from(!checksum) + u32::from(!word) + u32::from(marked);
    let [_, carry, high, low] = sum.to_be_bytes();
    let folded = u32::from(u16::from_be_bytes([high, low])) + u32::from(carry);
    let [_, _, high, low] = (!(folded + (folded >> 16))).to_be_bytes();
    header[..2].copy_from_slice(&marked.to_be_bytes());
    header[10..12].copy_from_slice(&[high, low]);
    Some(())
}

/// Length of the Ethernet header with at most one VLAN tag, if an IP packet follows.
pub(super) fn link_header_len(frame: &Frame) -> Option<usize> {
    let mut header = [0; ETHERNET_LEN + VLAN_LEN];
    frame.copy_to(0, &mut header);
    let ether_type = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    match (ether_type(12), ether_type(16)) {
        (IPV4 | IPV6, _) => Some(ETHERNET_LEN),
        (VLAN, IPV4 | IPV6) => Some(ETHERNET_LEN + VLAN_LEN),
        _ => None,
    }
}

/// Both ECN bits of the TOS field, in the header's first 16 bits.
const CONGESTION_EXPERIENCED: u16 = 3;
const IPV4_LEN: usize = 20;
const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
