//! Whole packets: built by others and read by us, built by us and read by others, and damaged on the way.

use std::net::Ipv4Addr;

use etherparse::{Ipv4Options, PacketBuilder, TcpOptionElement};
use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpAddress, Ipv4Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr,
    UdpPacket,
};

use super::checksum::Sum;
use super::ethernet::{EtherType, EthernetView, VlanView};
use super::icmpv4::{IcmpHeader, IcmpView};
use super::ipv4::{FragmentField, Ipv4Header, Ipv4View, protocol};
use super::tcp::{Flags, TcpHeader, TcpView};
use super::tcp_options::{SackBlock, TcpOptions, Timestamps};
use super::udp::{UdpHeader, UdpView};
use crate::tcp::seq::Seq;

proptest! {
    #[test]
    fn we_read_segments_that_etherparse_builds(
        vlan in prop::option::of(0..4096_u16), alert: bool, window: u16, seq: u32, shift in 0..15_u8, mss in 1..=u16::MAX,
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let options: &[u8] = if alert { &[148, 4, 0, 0] } else { &[] };
        let mut header = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, OURS.octets(), THEIRS.octets()).unwrap();
        header.options = Ipv4Options::try_from(options).unwrap();
        let ip = etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default());
        let start = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let step = match vlan {
            Some(id) => start.single_vlan(id.try_into().unwrap()).ip(ip),
            None => start.ip(ip),
        };
        let elements = [
            TcpOptionElement::MaximumSegmentSize(mss),
            TcpOptionElement::WindowScale(shift),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
        ];
        let mut bytes = vec![];
        step.tcp(1000, 80, seq, window).syn().options(&elements).unwrap().write(&mut bytes, &payload).unwrap();

        let packet = untagged(&bytes, vlan)?;
        prop_assert!(packet.checksum_is_valid());
        prop_assert_eq!((packet.source(), packet.destination(), packet.protocol()), (OURS, THEIRS, protocol::TCP));
        prop_assert_eq!(packet.options().count(), usize::from(alert));
        prop_assert_eq!(packet.options().source_route(), Ok(None));
        prop_assert!(transport_sum(&packet).is_valid());
        let segment = TcpView::parse(packet.payload()).unwrap();
        prop_assert_eq!((segment.source_port(), segment.destination_port()), (1000, 80));
        prop_assert_eq!((segment.seq(), segment.flags(), segment.window()), (Seq(seq), Flags::SYN, window));
        let want = TcpOptions {
            max_segment_size: Some(mss),
            window_scale: Some(shift),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        prop_assert_eq!(segment.options(), want);
        prop_assert_eq!(segment.payload(), &payload);
    }

    #[test]
    fn we_read_segments_that_smoltcp_builds(
        numbers: (u32, u32), window: u16, stamps: (u32, u32), block: (u32, u32),
        payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let repr = TcpRepr {
            src_port: 1000,
            dst_port: 80,
            control: TcpControl::Psh,
            seq_number: TcpSeqNumber(numbers.0.cast_signed()),
            ack_number: Some(TcpSeqNumber(numbers.1.cast_signed())),
            window_len: window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [Some(block), None, None],
            timestamp: Some(TcpTimestampRepr::new(stamps.0, stamps.1)),
            payload: &payload,
        };
        let mut bytes = vec![0xaa; repr.buffer_len()];
        repr.emit(
            &mut TcpPacket::new_unchecked(&mut bytes),
            &IpAddress::from(OURS),
            &IpAddress::from(THEIRS),
            &ChecksumCapabilities::default(),
        );
        let len = u16::try_from(bytes.len()).unwrap();
        let mut sum = Sum::pseudo_header_v4(OURS, THEIRS, protocol::TCP, len);
        sum.add_bytes(&bytes);
        prop_assert!(sum.is_valid());
        let segment = TcpView::parse(&bytes).unwrap();
        prop_assert_eq!((segment.seq(), segment.ack()), (Seq(numbers.0), Seq(numbers.1)));
        prop_assert_eq!((segment.flags(), segment.window()), (Flags::PSH | Flags::ACK, window));
        let options = segment.options();
        prop_assert_eq!(options.timestamps, Some(Timestamps { value: stamps.0, echo: stamps.1 }));
        prop_assert_eq!(options.sack_blocks.as_slice(), &[SackBlock { left: Seq(block.0), right: Seq(block.1) }]);
        prop_assert_eq!(segment.payload(), &payload);
    }

    #[test]
    fn smoltcp_verifies_what_we_build(
        tcp: bool, payload in prop::collection::vec(any::<u8>(), 0..1400), echo: (u32, u32),
    ) {
        let bytes = packet(if tcp { protocol::TCP } else { protocol::UDP }, &payload, echo);
        let ip = Ipv4Packet::new_checked(&bytes).unwrap();
        prop_assert!(ip.verify_checksum());
        let (source, destination) = (IpAddress::from(OURS), IpAddress::from(THEIRS));
        if tcp {
            let segment = TcpPacket::new_checked(ip.payload()).unwrap();
            prop_assert!(segment.verify_checksum(&source, &destination));
            prop_assert_eq!(segment.payload(), &payload);
        } else {
            let datagram = UdpPacket::new_checked(ip.payload()).unwrap();
            prop_assert!(datagram.verify_checksum(&source, &destination));
            prop_assert_eq!(datagram.payload(), &payload);
        }
    }

    #[test]
    fn we_read_datagrams_and_echoes_that_etherparse_builds(
        echo: (u16, u16), payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let ip = || PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(OURS.octets(), THEIRS.octets(), 64);
        let mut bytes = vec![];
        ip().udp(echo.0, echo.1).write(&mut bytes, &payload).unwrap();
        let packet = untagged(&bytes, None)?;
        prop_assert!(transport_sum(&packet).is_valid());
        let datagram = UdpView::parse(packet.payload()).unwrap();
        prop_assert_eq!((datagram.source_port(), datagram.destination_port()), echo);
        prop_assert_eq!(datagram.payload(), &payload);

        let mut bytes = vec![];
        ip().icmpv4_echo_request(echo.0, echo.1).write(&mut bytes, &payload).unwrap();
        let packet = untagged(&bytes, None)?;
        prop_assert!(Sum::of(packet.payload()).is_valid());
        let message = IcmpView::parse(packet.payload()).unwrap();
        prop_assert_eq!(message.header(), IcmpHeader::EchoRequest { identifier: echo.0, sequence: echo.1 });
        prop_assert_eq!(message.body(), &payload);
    }

    /// A flipped bit or a cut in a packet never panics, is noticed by a checksum or a length, and is judged as smoltcp does.
    #[test]
    fn damage_is_noticed(
        protocol in prop_oneof![Just(protocol::TCP), Just(protocol::UDP)], echo: (u32, u32),
        payload in prop::collection::vec(any::<u8>(), 0..30), bit in any::<prop::sample::Index>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = packet(protocol, &payload, echo);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let ours = Ipv4View::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), bytes.first().is_some_and(|b| b >> 4 == 4) && smoltcp_takes(&bytes));
        let Ok(ours) = ours else { return Ok(()) };
        if bit < 160 {
            prop_assert!(!ours.checksum_is_valid(), "bit {}", bit);
            return Ok(());
        }
        prop_assert!(ours.checksum_is_valid());
        let is_whole = match protocol {
            protocol::TCP => TcpView::parse(ours.payload()).is_ok(),
            // A flip may say that no checksum was sent only if that was the one bit set in it.
            _ => UdpView::parse(ours.payload()).is_ok_and(|view| view.checksum() == super::udp::Checksum::Sent),
        };
        prop_assert!(!is_whole || !transport_sum(&ours).is_valid(), "bit {}", bit);
    }
}

/// The payload of a frame that has the tag it should have.
fn untagged(frame: &[u8], vlan: Option<u16>) -> Result<Ipv4View<'_>, TestCaseError> {
    let ethernet = EthernetView::parse(frame).unwrap();
    let Some(id) = vlan else {
        prop_assert_eq!(ethernet.ethertype(), EtherType::IPV4);
        return Ok(Ipv4View::parse(ethernet.payload()).unwrap());
    };
    prop_assert_eq!(ethernet.ethertype(), EtherType::VLAN);
    let tag = VlanView::parse(ethernet.payload()).unwrap();
    prop_assert_eq!((tag.id(), tag.ethertype()), (id, EtherType::IPV4));
    Ok(Ipv4View::parse(tag.payload()).unwrap())
}

fn smoltcp_takes(bytes: &[u8]) -> bool {
    Ipv4Packet::new_checked(bytes).is_ok_and(|packet| packet.header_len() >= 20)
}

/// The sum over pseudo header and payload.
fn transport_sum(packet: &Ipv4View<'_>) -> Sum {
    let len = u16::try_from(packet.payload().len()).unwrap();
    let mut sum =
        Sum::pseudo_header_v4(packet.source(), packet.destination(), packet.protocol(), len);
    sum.add_bytes(packet.payload());
    sum
}

/// A packet as our output path puts it together, its parts in several pieces.
fn packet(protocol: u8, payload: &[u8], (value, echo): (u32, u32)) -> Vec<u8> {
    let mut transport = vec![];
    let checksum_offset = if protocol == protocol::TCP {
        let header = TcpHeader {
            source_port: 1000,
            destination_port: 80,
            seq: Seq(value),
            ack: Seq(echo),
            flags: Flags::ACK,
            window: 1000,
            urgent_pointer: 0,
            options: TcpOptions {
                timestamps: Some(Timestamps { value, echo }),
                ..TcpOptions::default()
            },
        };
        transport.resize(header.header_len(), 0xaa);
        header.emit(&mut transport);
        super::tcp::CHECKSUM_OFFSET
    } else {
        let datagram_len = u16::try_from(super::udp::HEADER_LEN + payload.len()).unwrap();
        transport.resize(super::udp::HEADER_LEN, 0xaa);
        let header = UdpHeader { source_port: 1000, destination_port: 80, datagram_len };
        header.emit(transport.first_chunk_mut().unwrap());
        super::udp::CHECKSUM_OFFSET
    };
    let len = u16::try_from(transport.len() + payload.len()).unwrap();
    let mut sum = Sum::pseudo_header_v4(OURS, THEIRS, protocol, len);
    sum.add_bytes(&transport);
    sum.add_bytes(payload);
    transport[checksum_offset..checksum_offset + 2]
        .copy_from_slice(&sum.finish_udp().to_be_bytes());
    let mut bytes = vec![0xaa; 20];
    Ipv4Header {
        tos: 0,
        total_len: 20 + len,
        identification: 1,
        fragment: FragmentField::DONT_FRAGMENT,
        ttl: 64,
        protocol,
        source: OURS,
        destination: THEIRS,
    }
    .emit(bytes.first_chunk_mut().unwrap());
    [bytes, transport, payload.to_vec()].concat()
}

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
