//! Connections that are asked for while more arrives than can be taken wait until those that are there have been served.
//!
//! A thread that gets twice as many SYNs as it can make connections of would begin them all, have no time for what belongs to those that it has begun, lose that where
//! the device overflows, and finish few. So while the device's bursts are full, SYNs are set aside unread, which costs next to nothing; the device is
//! emptied of everything else; and only then as many of them are taken as one burst would hold. The queue is short: what has waited in it for long has been
//! sent again. Beyond that, SYNs are dropped: that is the early and cheap refusal.

use std::collections::VecDeque;

use pmd::{Burst, Frame};

use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::link::Link;
use crate::net::Net;
use crate::wire::ipv4::{HEADER_LEN, Ipv4View, PLAIN, protocol};
use crate::wire::tcp::{Flags, TcpView};

/// SYNs that wait.
pub(super) struct Openings {
    waiting: VecDeque<Frame>,
    /// Most that wait.
    most: usize,
    /// To be freed together, and to be taken at once.
    refused: Burst,
    others: Burst,
}

impl Openings {
    /// For a device with so many frames, of which most are to be for other things.
    pub(super) fn new(frames: usize) -> Self {
        let most = (frames / 8).min(MOST);
        let waiting = VecDeque::with_capacity(most);
        Self { waiting, most, refused: Burst::new(), others: Burst::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keeps the frames of a burst that ask for connections for later, or refuses them. Leaves the others; returns how many it took.
    ///
    /// What another core is asked for is only passed on here, which costs little; how many that core takes is its own affair.
    pub(super) fn set_aside(&mut self, net: &Net, received: &mut Burst) -> usize {
        if !received.iter().any(|frame| may_ask(&net.interface.link, frame)) {
            return 0;
        }
        let arrived = received.len();
        for frame in received.drain() {
            let asks = asks_for_connection(&net.interface.link, &frame);
            let here = asks.is_some_and(|flow| net.steer.elsewhere(&flow).is_none());
            let full = if !here {
                self.others.push(frame)
            } else if self.waiting.len() < self.most {
                self.waiting.push_back(frame);
                Ok(())
            } else {
                net.metrics.count_drop(Drop::TcpSynOverload);
                self.refused.push(frame)
            };
            debug_assert!(full.is_ok(), "each holds as much as was received");
        }
        self.refused.clear();
        std::mem::swap(received, &mut self.others);
        arrived - received.len()
    }

    /// The SYN that has waited longest.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.waiting.pop_front()
    }
}

/// Whether it is worth a closer look: most packets have no options of IP, and no SYN where the flags of TCP are then.
#[inline]
fn may_ask(link: &Link, frame: &Frame) -> bool {
    let Some(packet) = frame.head().get(link.header_len()..) else { return false };
    let plain = packet.first() == Some(&PLAIN);
    !plain || packet.get(FLAGS_AT).is_some_and(|flags| u16::from(*flags) & Flags::SYN.0 != 0)
}

/// The byte of TCP's flags behind such a header.
const FLAGS_AT: usize = HEADER_LEN + 13;

/// The flow that a SYN is to open, as far as can be told from a glance. What is not plain is taken as it comes.
#[inline]
fn asks_for_connection(link: &Link, frame: &Frame) -> Option<FlowKey4> {
    let packet = frame.head().get(link.header_len()..)?;
    let ip = Ipv4View::parse_head(packet, usize::MAX).ok()?;
    if ip.protocol() != protocol::TCP || ip.fragment().is_fragment() {
        return None;
    }
    let tcp = TcpView::parse(packet.get(ip.header_len()..)?).ok()?;
    let asks = tcp.flags().0 & (Flags::SYN | Flags::ACK | Flags::RST).0 == Flags::SYN.0;
    asks.then(|| FlowKey4 {
        remote: ip.source(),
        local: ip.destination(),
        remote_port: tcp.source_port(),
        local_port: tcp.destination_port(),
    })
}

/// What a core makes connections of in a few milliseconds.
const MOST: usize = 1024;
/// Bursts that are taken in one turn to empty a device of everything else.
pub(super) const BURSTS: usize = 16;
/// How many of those that wait have their turn once the device is empty, and in any case.
pub(super) const AT_ONCE: usize = Burst::CAPACITY;
pub(super) const ANYWAY: usize = 4;

#[cfg(test)]
mod tests;
