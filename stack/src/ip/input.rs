//! From a received packet to a datagram for us (RFC 791; RFC 1122, section 3.2.1).

use std::net::Ipv4Addr;

use pmd::Frame;

use super::plain::is_summed;
use super::reassembly::{Key, Piece};
use super::{Addressed, Datagram, Passed};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::link::{Cast, Inbound};
use crate::net::Net;
use crate::steer::Forwarded;
use crate::wire::ipv4::{FragmentField, HEADER_LEN, Ipv4View};
use crate::wire::tcp;

impl Net {
    /// Takes a frame from the device. `None` means that it was of use, but there is no datagram to deliver: it was ARP, or
    /// a fragment that waits for others.
    pub(crate) fn input(&mut self, frame: Frame) -> Result<Option<Datagram>, Drop> {
        let head = Passed::of(&self.interface.link, &frame);
        match self.interface.link.input(frame)? {
            Inbound::Arp(packet) => self.arp_input(packet).map(|()| None),
            Inbound::Ipv4(packet, cast) => self.ipv4_input(packet, cast, head),
        }
    }

    /// Takes the next packet that we sent to ourselves. An answer to it may be another one, so a caller that goes on until
    /// there is none may never come back.
    pub(crate) fn loopback_input(&mut self) -> Option<Result<Option<Datagram>, Drop>> {
        let packet = self.loopback.pop_front()?;
        self.metrics.count(Counter::IpInReceives);
        Some(self.judge(packet, Cast::Unicast, Via::Loopback))
    }

    /// A packet from the device, and the head of its frame.
    fn ipv4_input(
        &mut self,
        packet: Frame,
        cast: Cast,
        head: Option<Passed>,
    ) -> Result<Option<Datagram>, Drop> {
        self.metrics.count(Counter::IpInReceives);
        if cast != Cast::Unicast {
            return self.judge(packet, cast, Via::Device);
        }
        match self.plain_datagram(packet) {
            Ok(datagram) => {
                self.passed = head.or(self.passed);
                self.metrics.count(Counter::IpInDelivers);
                self.check_steering(&datagram);
                Ok(Some(datagram))
            }
            Err(packet) => self.judge(packet, cast, Via::Device),
        }
    }

    /// Takes whatever packet may come.
    fn judge(&mut self, mut packet: Frame, cast: Cast, via: Via) -> Result<Option<Datagram>, Drop> {
        let header = read_header(&mut packet)?;
        self.check_source(header.source, via)?;
        let to = self.addressed(header.destination, cast, via)?;
        // Behind the datagram stands what fills a frame up to the link's shortest.
        packet.truncate(header.total_len);
        if header.fragment.is_fragment() {
            return self.fragment_input(ReceivedFragment { header, packet, to });
        }
        self.metrics.count(Counter::IpInDelivers);
        let datagram = header.datagram(packet, to)?;
        if via == Via::Device {
            self.check_steering(&datagram);
        }
        Ok(Some(datagram))
    }

    /// A fragment says nothing of ports: all between two addresses meet on one core.
    fn fragment_input(&mut self, fragment: ReceivedFragment) -> Result<Option<Datagram>, Drop> {
        let Header { source, destination, .. } = fragment.header;
        match self.steer.fragments_elsewhere(source, destination) {
            Some(core) => self.forward(core, Forwarded::Fragment(fragment)).map(|()| None),
            None => self.put_together(fragment),
        }
    }

    /// Takes a fragment between addresses that are this core's. `None` means that it waits for others.
    pub(crate) fn put_together(
        &mut self,
        fragment: ReceivedFragment,
    ) -> Result<Option<Datagram>, Drop> {
        let ReceivedFragment { header, packet, to } = fragment;
        let Some(whole) = self.collect(&header, packet)? else { return Ok(None) };
        self.metrics.count(Counter::IpInDelivers);
        header.datagram(whole, to).map(Some)
    }

    /// Addresses that no single host can send from (RFC 1122, section 3.2.1.3), and our own where the device gives it: a
    /// packet from us does not come from the link.
    fn check_source(&self, source: Ipv4Addr, via: Via) -> Result<(), Drop> {
        let from_us = source.is_loopback() || self.interface.has(source);
        let nobody = is_this_network(source)
            || source.is_multicast()
            || is_reserved(source)
            || self.interface.is_broadcast(source);
        let wrong = match via {
            Via::Device => nobody || from_us,
            Via::Loopback => nobody,
        };
        if wrong { Err(Drop::IpSource) } else { Ok(()) }
    }

    /// Whether a packet is for us, and for whom else. We do not forward.
    fn addressed(&self, destination: Ipv4Addr, cast: Cast, via: Via) -> Result<Addressed, Drop> {
        if self.interface.is_broadcast(destination) {
            return Ok(Addressed::Broadcast);
        }
        if destination == ALL_HOSTS {
            return Ok(Addressed::Multicast);
        }
        let ours = match via {
            Via::Device => self.holds(destination),
            Via::Loopback => self.is_local(destination),
        };
        // What the link sent to many must be for many (RFC 1122, section 3.3.6).
        if ours && cast == Cast::Unicast {
            Ok(Addressed::Unicast)
        } else {
            Err(Drop::IpDestination)
        }
    }

    /// Takes a fragment; returns its datagram when it was the last one missing.
    fn collect(&mut self, header: &Header, packet: Frame) -> Result<Option<Frame>, Drop> {
        self.metrics.count(Counter::IpReasmReqds);
        let key = Key {
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            identification: header.identification,
        };
        let piece = Piece::new(packet, header.header_len, header.fragment)?;
        let pushed_out = self.reassembly.make_room(&key, &piece, &mut self.timers);
        if pushed_out > 0 {
            self.metrics.count(Counter::IpReasmFails);
            (0..pushed_out).for_each(|_| self.metrics.count_drop(Drop::FragmentLimit));
        }
        let whole = self.reassembly.insert(key, piece, self.now, &mut self.timers);
        match &whole {
            Ok(Some(_)) => self.metrics.count(Counter::IpReasmOks),
            Err(Drop::FragmentOverlap) => self.metrics.count(Counter::IpReasmFails),
            _ => {}
        }
        whole
    }
}

#[cfg(test)]
impl Net {
    /// What becomes of a packet from the device, however plain it is.
    pub(super) fn general_input(&mut self, packet: Frame) -> Result<Option<Datagram>, Drop> {
        self.judge(packet, Cast::Unicast, Via::Device)
    }
}

/// A part of a datagram for us, its header checked.
pub(crate) struct ReceivedFragment {
    header: Header,
    packet: Frame,
    to: Addressed,
}

/// How a packet reached us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Via {
    /// Through the device.
    Device,
    /// We sent it ourselves.
    Loopback,
}

/// What a header says, once it has been checked.
struct Header {
    header_len: usize,
    total_len: usize,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    ttl: u8,
    tos: u8,
    identification: u16,
    fragment: FragmentField,
}

impl Header {
    /// Joins the header with its datagram, and makes the transport's header contiguous with it.
    fn datagram(&self, mut frame: Frame, to: Addressed) -> Result<Datagram, Drop> {
        let header_len = usize::from(frame.head().first().copied().unwrap_or(0) & 0x0f) * 4;
        let headers = header_len + tcp::MAX_HEADER_LEN;
        if !frame.pull_up(headers.min(frame.len())) {
            return Err(Drop::FrameHeadroom);
        }
        Ok(Datagram {
            frame,
            header_len,
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            ttl: self.ttl,
            tos: self.tos,
            to,
        })
    }
}

/// Checks everything about the header that does not depend on who we are.
fn read_header(packet: &mut Frame) -> Result<Header, Drop> {
    if !packet.pull_up(HEADER_LEN) {
        return Err(Drop::IpTruncated);
    }
    let header_len = usize::from(packet.head().first().copied().unwrap_or(0) & 0x0f) * 4;
    // What cannot be made contiguous is too short, and found to be so by the view.
    let _whole = packet.pull_up(header_len);
    let view = Ipv4View::parse_head(packet.head(), packet.len())?;
    if !is_summed(packet, || view.checksum_is_valid()) {
        return Err(Drop::IpChecksum);
    }
    // All other options are for routers, or harmless to ignore (RFC 7126).
    if view.options().source_route()?.is_some() {
        return Err(Drop::IpSourceRoute);
    }
    Ok(Header {
        header_len: view.header_len(),
        total_len: view.total_len(),
        source: view.source(),
        destination: view.destination(),
        protocol: view.protocol(),
        ttl: view.ttl(),
        tos: view.tos(),
        identification: view.identification(),
        fragment: view.fragment(),
    })
}

/// 0.0.0.0/8: hosts that do not know their network yet (RFC 1122, section 3.2.1.3, cases a and b).
fn is_this_network(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
}

/// 240.0.0.0/4, the limited broadcast among them (RFC 1112, section 4).
fn is_reserved(address: Ipv4Addr) -> bool {
    address.octets()[0] >= 240
}

/// The group that every host belongs to (RFC 1112, section 4). We join no other.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

#[cfg(test)]
mod tests;
