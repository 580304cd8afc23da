//! From a transport's bytes to packets on the link.

use std::net::Ipv4Addr;

use pmd::{ChecksumStatus, Frame, L4Checksum, RxOffload, TxChecksum};

use super::{Fragment, Outgoing, Transport};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::net::Net;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{FragmentField, HEADER_LEN, Ipv4Header};
use crate::wire::{ethernet, tcp, udp};

impl Net {
    /// Sends `frame`, which holds a transport's header and payload, as one packet or in fragments.
    ///
    /// TCP and UDP leave their checksum field zero: it is filled in here, or by the device.
    pub(crate) fn send_ipv4(&mut self, header: Outgoing, frame: Frame) -> Result<(), Drop> {
        self.metrics.count(Counter::IpOutRequests);
        let frame = match self.send_by_way(&header, frame) {
            Ok(sent) => return sent,
            Err(frame) => frame,
        };
        if self.is_local(header.destination) {
            return self.send_to_ourselves(&header, frame);
        }
        let next_hop = self.next_hop(header.destination).ok_or(Drop::IpNoRoute)?;
        let fits = HEADER_LEN + frame.len() <= usize::from(self.path_mtu(header.destination));
        match header.fragment {
            _ if fits => self.send_whole(&header, next_hop, frame),
            Fragment::DontFragment => Err(Drop::IpTooBig),
            Fragment::MayFragment => self.send_fragments(&header, next_hop, frame),
        }
    }

    fn send_whole(
        &mut self,
        header: &Outgoing,
        next_hop: Ipv4Addr,
        frame: Frame,
    ) -> Result<(), Drop> {
        let mut frame = self.fit_for_device(frame)?;
        let l4 = self.sum_transport(header, &mut frame)?;
        let field = match header.fragment {
            Fragment::DontFragment => FragmentField::DONT_FRAGMENT,
            Fragment::MayFragment => FragmentField::WHOLE,
        };
        let identification = self.identification_for(header);
        let header = ip_header(header, field, identification, frame.len())?;
        self.send_packet(&header, l4, next_hop, frame)
    }

    /// Puts the IP header before a payload that is ready otherwise, and gives the packet to the link.
    pub(super) fn send_packet(
        &mut self,
        header: &Ipv4Header,
        l4: L4Checksum,
        next_hop: Ipv4Addr,
        mut frame: Frame,
    ) -> Result<(), Drop> {
        let ipv4_header = self.interface.tx_offload.ipv4;
        let out = header_space(&mut frame);
        if ipv4_header {
            header.emit_unsummed(out);
        } else {
            header.emit(out);
        }
        if ipv4_header || l4 != L4Checksum::None {
            let l2_len = u8::try_from(self.interface.link.header_len()).unwrap_or(0);
            frame.request_checksum(TxChecksum { l2_len, l3_len: L3_LEN, ipv4_header, l4 });
        }
        self.metrics.count(Counter::IpOutTransmits);
        self.send_on_link(header.source, next_hop, frame)
    }

    /// Feeds a packet back to our own input: it never reaches the device, so its sums are not worth computing.
    fn send_to_ourselves(&mut self, header: &Outgoing, frame: Frame) -> Result<(), Drop> {
        if self.loopback.len() >= LOOPBACK_LIMIT {
            return Err(Drop::LoopbackFull);
        }
        let mut frame = self.with_headroom(frame)?;
        let header = ip_header(header, FragmentField::DONT_FRAGMENT, 0, frame.len())?;
        header.emit_unsummed(header_space(&mut frame));
        frame.set_rx_offload(RxOffload {
            ip: ChecksumStatus::Good,
            l4: ChecksumStatus::Good,
            rss_hash: None,
        });
        self.loopback.push_back(frame);
        Ok(())
    }

    /// Zero where no fragment will ever need the number to find its datagram (RFC 6864, section 4.1).
    pub(super) fn identification_for(&mut self, header: &Outgoing) -> u16 {
        match header.fragment {
            Fragment::DontFragment => 0,
            Fragment::MayFragment => {
                let protocol = header.transport.number();
                self.identification.next(header.source, header.destination, protocol)
            }
        }
    }

    /// Fills in the transport's checksum, or as much of it as the device wants; says what the device is to do.
    fn sum_transport(&self, header: &Outgoing, frame: &mut Frame) -> Result<L4Checksum, Drop> {
        let offload = self.interface.tx_offload;
        let l4 = match header.transport {
            Transport::Tcp if offload.tcp => L4Checksum::Tcp,
            Transport::Udp if offload.udp => L4Checksum::Udp,
            _ => {
                sum_in_software(header, frame)?;
                return Ok(L4Checksum::None);
            }
        };
        let sum = pseudo_header(header, frame)?;
        write_checksum(header.transport, sum.folded(), frame);
        Ok(l4)
    }

    /// The frame itself, or a copy of it where the device cannot send it as it is.
    fn fit_for_device(&self, frame: Frame) -> Result<Frame, Drop> {
        if frame.segment_count() == 1 || self.interface.tx_offload.multi_segment {
            return self.with_headroom(frame);
        }
        self.copy(&frame).filter(|copy| copy.segment_count() == 1).ok_or(Drop::PoolEmpty)
    }

    /// The frame itself, or a copy of it where it has no room for our headers.
    fn with_headroom(&self, frame: Frame) -> Result<Frame, Drop> {
        if frame.headroom() >= HEADERS_BELOW_TRANSPORT {
            return Ok(frame);
        }
        self.copy(&frame).ok_or(Drop::PoolEmpty)
    }
}

/// Fills in the transport's checksum.
pub(super) fn sum_in_software(header: &Outgoing, frame: &mut Frame) -> Result<(), Drop> {
    let finish = match header.transport {
        Transport::Icmp => return Ok(()),
        Transport::Tcp => Sum::finish,
        Transport::Udp => Sum::finish_udp,
    };
    let mut sum = pseudo_header(header, frame)?;
    sum.add_frame(frame, 0);
    write_checksum(header.transport, finish(sum), frame);
    Ok(())
}

fn pseudo_header(header: &Outgoing, frame: &Frame) -> Result<Sum, Drop> {
    let len = u16::try_from(frame.len()).map_err(|_| Drop::IpTooBig)?;
    let protocol = header.transport.number();
    Ok(Sum::pseudo_header_v4(header.source, header.destination, protocol, len))
}

fn write_checksum(transport: Transport, checksum: u16, frame: &mut Frame) {
    let at = match transport {
        Transport::Icmp => return,
        Transport::Tcp => tcp::CHECKSUM_OFFSET,
        Transport::Udp => udp::CHECKSUM_OFFSET,
    };
    let field = frame.head_mut().get_mut(at..at + 2).expect("transports write whole headers");
    field.copy_from_slice(&checksum.to_be_bytes());
}

fn header_space(frame: &mut Frame) -> &mut [u8; HEADER_LEN] {
    let space = frame.prepend(HEADER_LEN).and_then(<[u8]>::first_chunk_mut);
    space.expect("headroom was made before")
}

/// The header of a packet with `payload_len` bytes behind it.
pub(super) fn ip_header(
    outgoing: &Outgoing,
    fragment: FragmentField,
    identification: u16,
    payload_len: usize,
) -> Result<Ipv4Header, Drop> {
    Ok(Ipv4Header {
        tos: outgoing.tos,
        total_len: u16::try_from(HEADER_LEN + payload_len).map_err(|_| Drop::IpTooBig)?,
        identification,
        fragment,
        ttl: outgoing.ttl,
        protocol: outgoing.transport.number(),
        source: outgoing.source,
        destination: outgoing.destination,
    })
}

/// Our headers have no options.
const L3_LEN: u16 = 20;
const _: () = assert!(L3_LEN as usize == HEADER_LEN);

/// Bytes of IP header, Ethernet header and VLAN tag.
const HEADERS_BELOW_TRANSPORT: usize = HEADER_LEN + ethernet::TAGGED_LEN;

/// Packets to ourselves that may wait for input.
const LOOPBACK_LIMIT: usize = 256;

#[cfg(test)]
mod tests {
    use pmd::TxOffload;

    use super::*;
    use crate::wire::ipv4::Ipv4View;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn a_segment_leaves_with_valid_sums_and_the_fields_asked_for() {
        let mut net = Net::for_test();
        for fragment in [Fragment::DontFragment, Fragment::MayFragment] {
            let frame = net.frame_of(&[1; 33]).unwrap();
            let mut header = outgoing(Transport::Tcp, PEER);
            header.fragment = fragment;
            net.send_ipv4(header, zero_checksum(frame)).unwrap();

            let packet = net.outbox.pop_back().unwrap();
            let view = Ipv4View::parse(packet.head()).unwrap();
            assert!(view.checksum_is_valid());
            assert_eq!(view.total_len(), 53);
            assert_eq!((view.ttl(), view.tos(), view.protocol()), (61, 3, 6));
            assert_eq!((view.source(), view.destination()), (US, PEER));
            let dont_fragment = fragment == Fragment::DontFragment;
            assert_eq!(view.fragment().dont_fragment(), dont_fragment);
            assert_eq!(view.identification() == 0, dont_fragment);
            assert!(tcp_sum(view.payload()).is_valid());
            assert_eq!(packet.requested_checksum(), None);
        }
    }

    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
        let mut net = Net::for_test();
        // A payload that brings the sum to all ones.
        let mut bytes = [0, 1, 0, 1, 0, 10, 0, 0, 0, 0];
        let missing = {
            let mut sum = Sum::pseudo_header_v4(US, PEER, 17, 10);
            sum.add_bytes(&bytes);
            sum.finish()
        };
        bytes[8..].copy_from_slice(&missing.to_be_bytes());
        let frame = net.frame_of(&bytes).unwrap();
        net.send_ipv4(outgoing(Transport::Udp, PEER), frame).unwrap();
        let packet = net.outbox.pop_back().unwrap();
        assert_eq!(packet.head().get(26..28), Some(&[0xff, 0xff][..]));
    }

    #[test]
    fn a_device_that_sums_gets_the_pseudo_header() {
        let mut net = Net::for_test();
        net.interface.tx_offload =
            TxOffload { ipv4: true, tcp: true, udp: true, ..TxOffload::default() };
        let frame = net.frame_of(&[1; 33]).unwrap();
        net.send_ipv4(outgoing(Transport::Tcp, PEER), zero_checksum(frame)).unwrap();

        let packet = net.outbox.pop_back().unwrap();
        let view = Ipv4View::parse(packet.head()).unwrap();
        assert_eq!(view.header().get(10..12), Some(&[0, 0][..]));
        let pseudo = Sum::pseudo_header_v4(US, PEER, 6, 33).folded();
        assert_eq!(view.payload().get(16..18), Some(&pseudo.to_be_bytes()[..]));
        let asked = packet.requested_checksum().unwrap();
        assert_eq!((asked.l2_len, asked.l3_len, asked.ipv4_header), (0, 20, true));
        assert_eq!(asked.l4, L4Checksum::Tcp);
    }

    #[test]
    fn what_may_not_be_cut_and_does_not_fit_is_an_error() {
        let mut net = Net::for_test();
        let mut header = outgoing(Transport::Tcp, PEER);
        header.fragment = Fragment::DontFragment;
        for (len, want) in [(1480, Ok(())), (1481, Err(Drop::IpTooBig))] {
            let frame = zero_checksum(net.frame_of(&vec![0; len]).unwrap());
            assert_eq!(net.send_ipv4(header, frame), want, "{len}");
        }
    }

    #[test]
    fn a_chain_is_made_one_segment_for_a_device_that_wants_one() {
        let mut net = Net::for_test();
        let mut frame = zero_checksum(net.frame_of(&[1; 40]).unwrap());
        frame.chain(net.frame_of(&[2; 5]).unwrap());
        net.send_ipv4(outgoing(Transport::Tcp, PEER), frame).unwrap();
        let packet = net.outbox.pop_back().unwrap();
        assert_eq!((packet.segment_count(), packet.len()), (1, 65));
        assert!(packet.head().ends_with(&[1, 2, 2, 2, 2, 2]));
    }

    #[test]
    fn our_own_addresses_never_reach_the_device() {
        let mut net = Net::for_test();
        for destination in [US, Ipv4Addr::LOCALHOST] {
            let frame = net.frame_of(&[0; 40]).unwrap();
            net.send_ipv4(outgoing(Transport::Udp, destination), frame).unwrap();
        }
        assert_eq!((net.outbox.len(), net.loopback.len()), (0, 2));
        let sent = (0..1000).map(|_| {
            let frame = net.frame_of(&[0; 40]).unwrap();
            net.send_ipv4(outgoing(Transport::Udp, US), frame)
        });
        assert_eq!(sent.last(), Some(Err(Drop::LoopbackFull)));
    }

    #[test]
    fn no_route_no_packet() {
        let mut net = Net::for_test();
        net.routes.remove("0.0.0.0/0".parse().unwrap());
        let nowhere = [[192, 0, 2, 1], [224, 0, 0, 1], [0, 0, 0, 0]].map(Ipv4Addr::from);
        for destination in nowhere {
            let frame = net.frame_of(&[0; 40]).unwrap();
            let sent = net.send_ipv4(outgoing(Transport::Udp, destination), frame);
            assert_eq!(sent, Err(Drop::IpNoRoute), "{destination}");
        }
        assert_eq!(net.pool_available(), 512);
    }

    fn outgoing(transport: Transport, destination: Ipv4Addr) -> Outgoing {
        let fragment = Fragment::MayFragment;
        Outgoing { source: US, destination, transport, ttl: 61, tos: 3, fragment }
    }

    fn zero_checksum(mut frame: Frame) -> Frame {
        frame.head_mut()[16..18].fill(0);
        frame
    }

    fn tcp_sum(segment: &[u8]) -> Sum {
        let len = u16::try_from(segment.len()).unwrap();
        let mut sum = Sum::pseudo_header_v4(US, PEER, 6, len);
        sum.add_bytes(segment);
        sum
    }
}
