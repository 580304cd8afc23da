//! Ways: where packets to a destination go, with the headers that stand before each of them, found once for many packets.
//!
//! A way is what routes, path MTUs, claims and neighbours say together. It holds for a moment, and is forgotten as soon as any of them
//! changes; so a packet that goes by a way goes as it would have by asking all of them again.

use std::net::Ipv4Addr;

use pmd::{Frame, L4Checksum, TxChecksum, TxOffload};

use super::{Fragment, Outgoing, Transport};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::net::Net;
use crate::time::{Instant, Span};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, TAGGED_LEN};
use crate::wire::ipv4::{FragmentField, HEADER_LEN, Ipv4Header};
use crate::wire::tcp;

mod train;

pub(crate) use train::{Stopped, Train};

/// Ways of the last moment, by destination: two whose numbers end alike push each other out.
pub(crate) struct Ways {
    entries: Box<[Option<Way>; WAYS]>,
    /// Tests compare, and count.
    #[cfg(test)]
    pub(crate) trains: TrainsMade,
}

/// How many trains there were.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TrainsMade {
    Forbidden,
    Many(u32),
}

/// The way from an address of ours to a destination, for TCP segments in whole packets.
#[derive(Clone)]
struct Way {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    until: Instant,
    /// Largest IP packet.
    mtu: u16,
    /// Header of the link and of IP, without length, TOS and checksum; the last [`Way::headers_len`] bytes count.
    headers: [u8; HEADERS_MAX],
    headers_len: u8,
    /// Over the IP header.
    ip_sum: Sum,
    /// Over the pseudo header without its length.
    pseudo_sum: Sum,
}

impl Ways {
    pub(crate) fn new() -> Self {
        Self {
            entries: Box::new([const { None }; WAYS]),
            #[cfg(test)]
            trains: TrainsMade::Many(0),
        }
    }

    /// Something has changed on which a way may rest.
    pub(crate) fn forget(&mut self) {
        self.entries.fill_with(|| None);
    }
}

fn place(destination: Ipv4Addr) -> usize {
    usize::from(destination.octets()[3]) % WAYS
}

impl Net {
    /// Sends a segment by the way to its destination. Gives it back where there is none, or the packet is no ordinary one.
    #[inline]
    pub(super) fn send_by_way(
        &mut self,
        header: &Outgoing,
        frame: Frame,
    ) -> Result<Result<(), Drop>, Frame> {
        let ordinary = header.transport == Transport::Tcp
            && header.fragment == Fragment::DontFragment
            && header.ttl == super::DEFAULT_TTL
            && frame.segment_count() == 1
            && frame.headroom() >= HEADERS_MAX;
        if !ordinary || !self.has_way(header.source, header.destination) {
            return Err(frame);
        }
        let offload = self.interface.tx_offload;
        let Some(way) = &self.ways.entries[place(header.destination)] else { return Err(frame) };
        let Some(len) = way.packet_len(frame.len()) else { return Err(frame) };
        let mut frame = frame;
        let asked = way.asked(offload);
        way.sum_segment(&mut frame, len, asked.l4);
        way.put_headers(&mut frame, (len, header.tos), asked.ipv4_header);
        if asked.ipv4_header || asked.l4 != L4Checksum::None {
            frame.request_checksum(asked);
        }
        self.metrics.count(Counter::IpOutTransmits);
        Ok(self.transmit(frame))
    }

    /// Whether there is a way, which is looked for unless it is known.
    #[inline]
    fn has_way(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let known = self.ways.entries[place(destination)].as_ref().is_some_and(|way| {
            way.destination == destination && way.source == source && self.now < way.until
        });
        known || self.find_way(source, destination)
    }

    /// Asks everyone. Only what needs nothing else has a way: no broadcast, nobody who is looked for or in doubt, not ourselves.
    #[inline(never)]
    fn find_way(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let way = self.look_for_way(source, destination);
        let found = way.is_some();
        if found {
            self.ways.entries[place(destination)] = way;
        }
        found
    }

    fn look_for_way(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<Way> {
        if self.is_local(destination) {
            return None;
        }
        let next_hop = self.next_hop(destination)?;
        if self.interface.is_broadcast(next_hop) {
            return None;
        }
        let mtu = self.path_mtu(destination);
        let ip = Ipv4Header {
            tos: 0,
            total_len: 0,
            // Where no fragment will ever need the number to find its datagram (RFC 6864, section 4.1).
            identification: 0,
            fragment: FragmentField::DONT_FRAGMENT,
            ttl: super::DEFAULT_TTL,
            protocol: Transport::Tcp.number(),
            source,
            destination,
        };
        let mut headers = [0; HEADERS_MAX];
        let (link, out) = headers.split_last_chunk_mut::<HEADER_LEN>()?;
        ip.emit_unsummed(out);
        let ip_sum = Sum::of(out);
        let link_len = self.interface.link.header_len();
        let link = link.get_mut(TAGGED_LEN - link_len..)?;
        if let Some(neighbors) = &mut self.neighbors {
            let station = neighbors.station(self.now, next_hop)?;
            self.interface.link.write_header(link, station, EtherType::IPV4)?;
        }
        let pseudo_sum = Sum::pseudo_header_v4(source, destination, ip.protocol, 0);
        let headers_len = u8::try_from(link_len + HEADER_LEN).ok()?;
        let until = self.now + HOLDS_FOR;
        Some(Way { source, destination, until, mtu, headers, headers_len, ip_sum, pseudo_sum })
    }
}

impl Way {
    /// Bytes of the packet that holds a segment of so many, unless it is too long for the way.
    #[inline]
    fn packet_len(&self, segment_len: usize) -> Option<u16> {
        u16::try_from(HEADER_LEN + segment_len).ok().filter(|&len| len <= self.mtu)
    }

    /// What is left for the device to sum.
    #[inline]
    fn asked(&self, offload: TxOffload) -> TxChecksum {
        TxChecksum {
            l2_len: self.headers_len - L3_LEN,
            l3_len: L3_LEN.into(),
            ipv4_header: offload.ipv4,
            l4: if offload.tcp { L4Checksum::Tcp } else { L4Checksum::None },
        }
    }

    /// Over the pseudo header of a packet of `len` bytes.
    #[inline]
    fn pseudo_sum_of(&self, len: u16) -> Sum {
        let mut sum = self.pseudo_sum;
        sum.add_u16(len - u16::from(L3_LEN));
        sum
    }

    /// Fills in the segment's checksum, or as much of it as the device wants. The packet will have `len` bytes.
    #[inline]
    fn sum_segment(&self, frame: &mut Frame, len: u16, asked: L4Checksum) {
        let mut sum = self.pseudo_sum_of(len);
        let checksum = if asked == L4Checksum::None {
            sum.add_bytes(frame.head());
            sum.finish()
        } else {
            sum.folded()
        };
        let field = frame.head_mut().get_mut(tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2);
        field.expect("TCP writes whole headers").copy_from_slice(&checksum.to_be_bytes());
    }

    #[inline]
    fn put_headers(&self, frame: &mut Frame, (len, tos): (u16, u8), summed_by_device: bool) {
        let count = usize::from(self.headers_len);
        let out = frame.prepend(count).expect("frames of the pool have room for headers");
        out.copy_from_slice(&self.headers[HEADERS_MAX - count..]);
        let ip: &mut [u8; HEADER_LEN] = out.last_chunk_mut().expect("longer than an IP header");
        self.complete(ip, (len, tos), summed_by_device);
    }

    /// The headers of a packet of `len` bytes.
    fn headers_of(&self, (len, tos): (u16, u8), summed_by_device: bool) -> [u8; HEADERS_MAX] {
        let mut headers = self.headers;
        let ip = headers.last_chunk_mut().expect("longer than an IP header");
        self.complete(ip, (len, tos), summed_by_device);
        headers
    }

    #[inline]
    fn complete(&self, ip: &mut [u8; HEADER_LEN], (len, tos): (u16, u8), summed_by_device: bool) {
        ip[1] = tos;
        ip[2..4].copy_from_slice(&len.to_be_bytes());
        if !summed_by_device {
            let mut sum = self.ip_sum;
            sum.add_u16(tos.into());
            sum.add_u16(len);
            ip[10..12].copy_from_slice(&sum.finish().to_be_bytes());
        }
    }
}

/// Ways that are known at once.
const WAYS: usize = 64;
/// Neighbours are forgotten after minutes, and narrow paths as well: a moment more makes no difference.
const HOLDS_FOR: Span = Span::from_millis(1);
const L3_LEN: u8 = 20;
const HEADERS_MAX: usize = TAGGED_LEN + HEADER_LEN;
const _: () = assert!(L3_LEN as usize == HEADER_LEN && HEADERS_MAX <= u8::MAX as usize);

#[cfg(test)]
mod tests;
