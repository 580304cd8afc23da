//! Frames as bytes: what stands in them, and how they are cut and made.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::nic;
use crate::demux::FlowKey4;
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{self, IcmpHeader};
use crate::wire::ipv4::{FragmentField, Ipv4Header, Ipv4View, Position, protocol};
use crate::wire::tcp::{Flags, TcpView};
use crate::wire::udp::{self, UdpHeader};

/// Ethernet's header.
const LINK: usize = 14;
/// IPv4's, without options.
const IP: usize = 20;

/// Whom a frame with an IPv4 packet is from, and whom it is for.
pub(super) struct Ends {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    /// None of a fragment, nor of what is neither TCP nor UDP.
    ports: Option<(u16, u16)>,
    pub(super) is_tcp: bool,
    pub(super) is_fragment: bool,
}

impl Ends {
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(LINK..).filter(|_| frame[12..14] == [8, 0])?;
        let view = Ipv4View::parse(packet).ok()?;
        let is_fragment = view.fragment().is_fragment();
        let has_ports = [protocol::TCP, protocol::UDP].contains(&view.protocol()) && !is_fragment;
        let ports = view.payload().first_chunk().filter(|_| has_ports);
        Some(Self {
            source: view.source(),
            destination: view.destination(),
            ports: ports
                .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
            is_tcp: view.protocol() == protocol::TCP,
            is_fragment,
        })
    }

    pub(super) fn sockets(&self) -> Option<(SocketAddrV4, SocketAddrV4)> {
        let (from, to) = self.ports?;
        Some((SocketAddrV4::new(self.source, from), SocketAddrV4::new(self.destination, to)))
    }

    /// The flow as its receiver sees it.
    pub(super) fn flow(&self) -> Option<FlowKey4> {
        let (remote_port, local_port) = self.ports?;
        Some(FlowKey4 { remote: self.source, local: self.destination, remote_port, local_port })
    }
}

/// The port that a frame resets a connection of.
pub(super) fn reset_port(frame: &[u8]) -> Option<u16> {
    Ends::of(frame).filter(|ends| ends.is_tcp)?;
    let segment = TcpView::parse(Ipv4View::parse(&frame[LINK..]).ok()?.payload()).ok()?;
    segment.flags().contains(Flags::RST).then(|| segment.destination_port())
}

/// Cuts a frame's packet into fragments of at most `len` bytes of payload.
pub(super) fn cut(frame: &[u8], len: usize, identification: u16) -> Vec<Vec<u8>> {
    let view = Ipv4View::parse(&frame[LINK..]).unwrap();
    let payload = view.payload();
    let pieces = payload.chunks(len);
    let last = pieces.len() - 1;
    let piece = |(index, bytes): (usize, &[u8])| {
        let position = if index == last { Position::Last } else { Position::MoreFollow };
        let header = Ipv4Header {
            source: view.source(),
            destination: view.destination(),
            protocol: view.protocol(),
            ttl: view.ttl(),
            tos: view.tos(),
            identification,
            fragment: FragmentField::of(u16::try_from(index * len).unwrap(), position),
            total_len: u16::try_from(IP + bytes.len()).unwrap(),
        };
        let mut head = [0; IP];
        header.emit(&mut head);
        [&frame[..LINK], &head, bytes].concat()
    };
    pieces.enumerate().map(piece).collect()
}

/// An ICMP error about the packet in `frame`, from `router`.
pub(super) fn icmp_error(frame: &[u8], router: Ipv4Addr, error: IcmpHeader) -> Vec<u8> {
    let view = Ipv4View::parse(&frame[LINK..]).unwrap();
    let quoted = &frame[LINK..LINK + IP + 8];
    let mut message = [0; icmpv4::HEADER_LEN];
    error.emit(Sum::of(quoted), &mut message);
    let header = Ipv4Header {
        source: router,
        destination: view.source(),
        protocol: protocol::ICMP,
        ttl: 64,
        tos: 0,
        identification: 0,
        fragment: FragmentField::DONT_FRAGMENT,
        total_len: u16::try_from(IP + message.len() + quoted.len()).unwrap(),
    };
    let mut head = [0; IP];
    header.emit(&mut head);
    [&link_to_us()[..], &head, &message, quoted].concat()
}

/// A datagram to us without a checksum.
pub(super) fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; udp::HEADER_LEN];
    let header = UdpHeader {
        source_port: from.port(),
        destination_port: to.port(),
        datagram_len: u16::try_from(head.len() + payload.len()).unwrap(),
    };
    header.emit(&mut head);
    let ip = Ipv4Header {
        source: *from.ip(),
        destination: *to.ip(),
        protocol: protocol::UDP,
        ttl: 64,
        tos: 0,
        identification: 0,
        fragment: FragmentField::WHOLE,
        total_len: u16::try_from(IP + head.len() + payload.len()).unwrap(),
    };
    let mut ip_head = [0; IP];
    ip.emit(&mut ip_head);
    [&link_to_us()[..], &ip_head, &head, payload].concat()
}

fn link_to_us() -> [u8; LINK] {
    let mut link = [0; LINK];
    link[..6].copy_from_slice(&nic::ADDRESS);
    link[6..12].copy_from_slice(&super::world::PEER_STATION);
    link[12..].copy_from_slice(&[8, 0]);
    link
}
