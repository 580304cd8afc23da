use pmd::{ChecksumStatus, Medium, RxOffload};
use proptest::prelude::*;

use super::*;
use crate::link::Link;
use crate::wire::ipv4::{Ipv4Header, Position, protocol};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A packet of `payload` with `options`, both checksum and lengths right, changed by `change` before it is summed.
fn packet_with(options: &[u8], payload: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header = Ipv4Header {
        tos: 0,
        total_len: u16::try_from(HEADER_LEN + options.len() + payload.len()).unwrap(),
        identification: 7,
        fragment: FragmentField::WHOLE,
        ttl: 64,
        protocol: protocol::UDP,
        source: PEER,
        destination: US,
    };
    let mut bytes = vec![0; HEADER_LEN];
    header.emit_unsummed(bytes.first_chunk_mut().unwrap());
    bytes.extend_from_slice(options);
    bytes[0] = 0x40 | u8::try_from(bytes.len() / 4).unwrap();
    change(&mut bytes);
    let checksum = crate::wire::checksum::Sum::of(&bytes).finish();
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn packet(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    packet_with(&[], b"payload", change)
}

fn input(net: &mut Net, bytes: &[u8]) -> Result<Option<Datagram>, Drop> {
    let frame = net.frame_of(bytes).unwrap();
    net.input(frame)
}

#[test]
fn every_field_is_judged() {
    let addresses = |source: [u8; 4], destination: [u8; 4]| {
        packet(|header| {
            header[12..16].copy_from_slice(&source);
            header[16..20].copy_from_slice(&destination);
        })
    };
    let from = |source| addresses(source, US.octets());
    let to = |destination| addresses(PEER.octets(), destination);
    for (name, bytes, want) in [
        ("plain", packet(|_| {}), Ok(Addressed::Unicast)),
        ("with padding", [packet(|_| {}), vec![0; 20]].concat(), Ok(Addressed::Unicast)),
        ("another version", packet(|h| h[0] = 0x55), Err(Drop::IpVersion)),
        ("short header", packet(|h| h[0] = 0x44), Err(Drop::IpHeaderLength)),
        ("header beyond the packet", packet(|h| h[0] = 0x4f), Err(Drop::IpHeaderLength)),
        ("shorter than its header", packet(|h| h[3] = 19), Err(Drop::IpTotalLength)),
        ("longer than the frame", packet(|h| h[3] += 1), Err(Drop::IpTotalLength)),
        ("the last hop", packet(|h| h[8] = 0), Ok(Addressed::Unicast)),
        ("from this network", from([0, 0, 0, 0]), Err(Drop::IpSource)),
        ("from loopback", from([127, 0, 0, 1]), Err(Drop::IpSource)),
        ("from a group", from([224, 0, 0, 1]), Err(Drop::IpSource)),
        ("from class E", from([240, 0, 0, 1]), Err(Drop::IpSource)),
        ("from everyone", from([255; 4]), Err(Drop::IpSource)),
        ("from everyone here", from([10, 0, 0, 255]), Err(Drop::IpSource)),
        ("from us", from([10, 0, 0, 1]), Err(Drop::IpSource)),
        ("to another", to([10, 0, 0, 3]), Err(Drop::IpDestination)),
        ("to loopback", to([127, 0, 0, 1]), Err(Drop::IpDestination)),
        ("to everyone", to([255; 4]), Ok(Addressed::Broadcast)),
        ("to everyone here", to([10, 0, 0, 255]), Ok(Addressed::Broadcast)),
        ("to everyone elsewhere", to([10, 0, 1, 255]), Err(Drop::IpDestination)),
        ("to all hosts", to([224, 0, 0, 1]), Ok(Addressed::Multicast)),
        ("to another group", to([224, 0, 0, 251]), Err(Drop::IpDestination)),
        ("to our second address", to([10, 9, 0, 1]), Ok(Addressed::Unicast)),
    ] {
        let mut net = Net::for_test();
        net.interface.addresses.push("10.9.0.1/24".parse().unwrap());
        let got = input(&mut net, &bytes);
        assert_eq!(got.as_ref().map(|d| d.as_ref().unwrap().to), want.as_ref().copied(), "{name}");
        if let Ok(Some(datagram)) = &got {
            assert_eq!(datagram.payload_head(), b"payload", "{name}");
            assert_eq!((datagram.source, datagram.protocol), (PEER, protocol::UDP), "{name}");
        }
        drop(got);
        assert_eq!(net.pool_available(), 512, "{name}");
    }
}

#[test]
fn options_are_skipped_or_end_the_packet() {
    for (name, options, want) in [
        ("padding", &[1, 1, 1, 0][..], Ok(())),
        ("record route", &[7, 7, 4, 0, 0, 0, 0, 0], Ok(())),
        ("router alert", &[148, 4, 0, 0], Ok(())),
        ("loose source route", &[131, 7, 4, 10, 0, 0, 9, 0], Err(Drop::IpSourceRoute)),
        ("strict source route", &[1, 137, 3, 4], Err(Drop::IpSourceRoute)),
        ("length beyond the header", &[7, 40, 4, 0], Err(Drop::IpOption)),
        ("length below two", &[7, 1, 0, 0], Err(Drop::IpOption)),
    ] {
        let mut net = Net::for_test();
        let got = input(&mut net, &packet_with(options, b"payload", |_| {}));
        match (got, want) {
            (Ok(Some(datagram)), Ok(())) => assert_eq!(datagram.payload_head(), b"payload"),
            (got, want) => assert_eq!(got.err(), want.err(), "{name}"),
        }
    }
}

#[test]
fn the_device_may_have_looked_at_the_checksum() {
    let good = packet(|_| {});
    let mut bad = good.clone();
    bad[11] ^= 1;
    for (bytes, ip, want) in [
        (&good, ChecksumStatus::Unknown, None),
        (&bad, ChecksumStatus::Unknown, Some(Drop::IpChecksum)),
        (&good, ChecksumStatus::Bad, Some(Drop::IpChecksum)),
        (&bad, ChecksumStatus::Good, None),
    ] {
        let mut net = Net::for_test();
        let mut frame = net.frame_of(bytes).unwrap();
        frame.set_rx_offload(RxOffload { ip, l4: ChecksumStatus::Unknown, rss_hash: None });
        assert_eq!(net.input(frame).err(), want);
    }
}

#[test]
fn a_unicast_packet_in_a_broadcast_frame_is_dropped() {
    let mut net = Net::for_test();
    let ours = [2, 0, 0, 0, 0, 1];
    net.interface.link = Link::new(Medium::Ethernet(ours), None);
    for (station, want) in [(ours, None), ([0xff; 6], Some(Drop::IpDestination))] {
        let frame = [&station[..], &[2, 0, 0, 0, 0, 2], &[8, 0], &packet(|_| {})].concat();
        assert_eq!(input(&mut net, &frame).err(), want);
    }
}

#[test]
fn every_truncation_has_a_name() {
    let bytes = packet_with(&[7, 7, 4, 0, 0, 0, 0, 0], b"payload", |_| {});
    for len in 0..bytes.len() {
        let mut net = Net::for_test();
        let want = match len {
            0..20 => Drop::IpTruncated,
            20..28 => Drop::IpHeaderLength,
            _ => Drop::IpTotalLength,
        };
        assert_eq!(input(&mut net, &bytes[..len]).err(), Some(want), "{len}");
        assert_eq!(net.pool_available(), 512);
    }
}

#[test]
fn headers_may_be_spread_over_segments() {
    let bytes = packet_with(&[1; 8], b"payload", |_| {});
    for cut in 1..bytes.len() {
        let mut net = Net::for_test();
        let mut frame = net.frame_of(&bytes[..cut]).unwrap();
        frame.chain(net.frame_of(&bytes[cut..]).unwrap());
        let datagram = net.input(frame).unwrap().unwrap();
        assert_eq!(datagram.payload_head(), b"payload", "cut at {cut}");
    }
}

#[test]
fn what_we_send_to_ourselves_comes_back_with_loopback_addresses_too() {
    let mut net = Net::for_test();
    for address in [US, Ipv4Addr::LOCALHOST] {
        let mut frame = net.frame_of(&[0; 8]).unwrap();
        frame.chain(net.frame_of(&vec![0; 1800]).unwrap());
        let header = crate::ip::Outgoing {
            source: address,
            destination: address,
            transport: crate::ip::Transport::Udp,
            ttl: 64,
            tos: 0,
            fragment: crate::ip::Fragment::MayFragment,
        };
        net.send_ipv4(header, frame).unwrap();
        let datagram = net.loopback_input().unwrap().unwrap().unwrap();
        assert_eq!((datagram.source, datagram.destination), (address, address));
        assert_eq!(datagram.payload_len(), 1808);
    }
    assert!(net.loopback_input().is_none());
}

#[test]
fn fragments_make_one_datagram_whose_headers_are_contiguous() {
    let mut net = Net::for_test();
    let payload: Vec<u8> = (0..104).collect();
    let mut whole = None;
    for offset in (0..104).step_by(8).rev() {
        let position = if offset == 96 { Position::Last } else { Position::MoreFollow };
        let field = FragmentField::of(u16::try_from(offset).unwrap(), position);
        let piece = packet_with(&[], &payload[offset..offset + 8], |header| {
            header[6..8].copy_from_slice(&field.0.to_be_bytes());
        });
        whole = input(&mut net, &piece).unwrap();
    }
    let datagram = whole.unwrap();
    assert_eq!(datagram.frame.segments().collect::<Vec<_>>().concat()[HEADER_LEN..], payload);
    assert!(datagram.payload_head().len() >= 60);
    drop(datagram);
    assert_eq!(net.pool_available(), 512);
    assert_eq!(net.metrics.counter(Counter::IpReasmOks), 1);
}

proptest! {
    #[test]
    fn damaged_packets_never_panic_and_leave_nothing_behind(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
        good_sum in any::<bool>(),
        cut in 0_usize..12,
    ) {
        let mut bytes = packet_with(&[7, 7, 4, 0, 0, 0, 0, 0], b"payload", |_| {});
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(bytes.len() - cut);
        let mut net = Net::for_test();
        let mut frame = net.frame_of(&bytes).unwrap();
        if good_sum {
            let (ip, l4) = (ChecksumStatus::Good, ChecksumStatus::Good);
            frame.set_rx_offload(RxOffload { ip, l4, rss_hash: None });
        }
        if let Ok(Some(datagram)) = net.input(frame) {
            prop_assert_eq!(datagram.header_len + datagram.payload_len(), datagram.frame.len());
            prop_assert!(datagram.frame.len() <= bytes.len());
        }
        prop_assert_eq!(net.pool_available() + net.reassembly.buffers(), 512);
    }
}
