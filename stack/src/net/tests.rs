use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::link::Link;
use crate::udp::Udp;
use crate::wire::arp::{ArpPacket, Operation, PACKET_LEN};
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::Unreachable as Why;
use crate::wire::ipv4::{FragmentField, Ipv4Header, Position, protocol};

#[test]
fn the_source_is_the_address_nearest_to_the_next_hop() {
    let mut net = Net::for_test();
    let second = ["10.9.0.1/16", "10.9.1.1/24", "10.9.1.2/24"];
    for prefix in second.map(|text| text.parse::<Ipv4Prefix>().unwrap()) {
        net.interface.addresses.push(prefix);
        net.routes.insert(Route { network: prefix, next: NextHop::Destination }).unwrap();
    }
    for (name, destination, want) in [
        ("on the first network", "10.0.0.77", "10.0.0.1"),
        ("on the second", "10.9.7.7", "10.9.0.1"),
        ("on a smaller one within it, the first of two", "10.9.1.7", "10.9.1.1"),
        ("behind the gateway", "192.0.2.1", "10.0.0.1"),
        ("ourselves", "10.9.1.2", "10.9.1.2"),
        ("loopback", "127.0.0.5", "127.0.0.5"),
        ("everyone on a network", "10.9.255.255", "10.9.0.1"),
    ] {
        let got = net.source_for(destination.parse().unwrap());
        assert_eq!(got, Ok(want.parse().unwrap()), "{name}");
    }
    assert_eq!(net.source_for(Ipv4Addr::new(224, 0, 0, 1)), Err(Unreachable));
}

#[test]
fn a_narrow_path_is_remembered_for_its_destination_alone() {
    let mut net = Net::for_test();
    let (narrow, wide) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    assert_eq!(net.narrow_path(narrow, 1400, 1500), Some(1400));
    assert_eq!((net.path_mtu(narrow), net.path_mtu(wide)), (1400, 1500));
}

#[test]
fn a_stuck_device_does_not_make_us_hold_frames_without_bound() {
    let mut net = Net::for_test();
    let frames = net.outbox_room();
    let pool = Pool::heap(2 * frames, 64);
    let sent: Vec<_> = (0..2 * frames).map(|_| net.transmit(pool.alloc().unwrap())).collect();
    assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), frames);
    assert_eq!(sent.last(), Some(&Err(Drop::OutboxFull)));
}

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OUR_STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIR_STATION: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Every layer from the link to UDP, on Ethernet.
struct Layers {
    net: Net,
    udp: Udp,
}

impl Layers {
    fn new() -> Self {
        let medium = pmd::Medium::Ethernet(OUR_STATION);
        let mut net = Net::for_test_on(medium, Detection::OFF);
        while net.timers.pop_due(net.now).is_some() {
            net.neighbors_timeout();
        }
        net.outbox.clear();
        let udp = Udp::new(8, &mut net.rng);
        Self { net, udp }
    }

    fn input(&mut self, bytes: &[u8]) -> Result<(), Drop> {
        let frame = self.net.frame_of(bytes).unwrap();
        let Some(datagram) = self.net.input(frame)? else { return Ok(()) };
        match datagram.protocol {
            protocol::ICMP => self.net.icmp_input(datagram).map(|_| ()),
            protocol::UDP => self.udp.input(&mut self.net, datagram),
            _ => Err(Drop::IpProtocol),
        }
    }

    /// Nothing is kept of what came, once all that waits was given up.
    fn leaves_nothing(mut self) -> bool {
        for _ in 0..60 {
            self.net.now = self.net.now + Duration::from_secs(1);
            while let Some((_, timer)) = self.net.timers.pop_due(self.net.now) {
                match timer {
                    Timer::Reassembly(index) => self.net.reassembly_timeout(index),
                    _ => self.net.neighbors_timeout(),
                }
            }
        }
        self.net.outbox.clear();
        self.net.pool_available() == 512
    }
}

/// Frames that are taken, or dropped only because there is no socket. Each is as short as it may be.
fn valid_frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut arp = [0; PACKET_LEN];
    let question = ArpPacket {
        operation: Operation::Request,
        sender_mac: MacAddr(THEIR_STATION),
        sender_ip: PEER,
        target_mac: MacAddr::ZERO,
        target_ip: US,
    };
    question.emit(&mut arp);
    let whole = FragmentField::WHOLE;
    let quote = ip(protocol::UDP, US, PEER, whole, &udp(US, PEER));
    let unreachable = icmp(IcmpHeader::DestinationUnreachable(Why::Port), &quote);
    let echo = icmp(IcmpHeader::EchoRequest { identifier: 1, sequence: 2 }, b"data");
    let fragment = FragmentField::of(8, Position::MoreFollow);
    vec![
        ("ARP request", [&[0xff; 6][..], &THEIR_STATION, &[8, 6], &arp].concat()),
        ("echo", from_peer(&ip(protocol::ICMP, PEER, US, whole, &echo))),
        ("error", from_peer(&ip(protocol::ICMP, PEER, US, whole, &unreachable))),
        ("datagram", from_peer(&ip(protocol::UDP, PEER, US, whole, &udp(PEER, US)))),
        ("fragment", from_peer(&ip(protocol::UDP, PEER, US, fragment, &[7; 16]))),
        ("TCP", from_peer(&ip(protocol::TCP, PEER, US, whole, &[7; 20]))),
    ]
}

fn from_peer(packet: &[u8]) -> Vec<u8> {
    [&OUR_STATION[..], &THEIR_STATION, &[8, 0], packet].concat()
}

fn ip(
    protocol: u8,
    from: Ipv4Addr,
    to: Ipv4Addr,
    fragment: FragmentField,
    payload: &[u8],
) -> Vec<u8> {
    let header = Ipv4Header {
        tos: 0,
        total_len: u16::try_from(20 + payload.len()).unwrap(),
        identification: 1,
        fragment,
        ttl: 64,
        protocol,
        source: from,
        destination: to,
    };
    let mut packet = vec![0; 20];
    header.emit(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(payload);
    packet
}

fn udp(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut datagram = [5000_u16, 53, 12, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(b"data");
    let mut sum = Sum::pseudo_header_v4(from, to, protocol::UDP, 12);
    sum.add_bytes(&datagram);
    datagram[6..8].copy_from_slice(&sum.finish_udp().to_be_bytes());
    datagram
}

fn icmp(header: IcmpHeader, body: &[u8]) -> Vec<u8> {
    let mut message = [0; 8];
    header.emit(Sum::of(body), &mut message);
    [&message, body].concat()
}

#[test]
fn valid_frames_are_taken() {
    for (name, frame) in valid_frames() {
        let want = match name {
            "datagram" => Err(Drop::UdpNoSocket),
            "TCP" => Err(Drop::IpProtocol),
            _ => Ok(()),
        };
        assert_eq!(Layers::new().input(&frame), want, "{name}");
    }
}

#[test]
fn every_truncation_is_dropped_with_a_name() {
    for (name, frame) in valid_frames() {
        for len in 0..frame.len() {
            let mut layers = Layers::new();
            let got = layers.input(&frame[..len]);
            assert!(got.is_err(), "{name}: {len} of {} bytes", frame.len());
            assert!(layers.leaves_nothing(), "{name}: {len} of {} bytes", frame.len());
        }
    }
}

/// A sum of 16 bits finds every flip of one bit, so what is summed is never taken with one.
#[test]
fn every_flipped_bit_is_survived() {
    for (name, frame) in valid_frames() {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut layers = Layers::new();
            let got = layers.input(&flipped);
            let is_summed = bit / 8 >= 14 && !matches!(name, "ARP request" | "fragment");
            assert!(!is_summed || got.is_err(), "{name}: bit {bit}");
            assert!(layers.leaves_nothing(), "{name}: bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn a_host_survives_any_mixture_of_damaged_frames(
        steps in prop::collection::vec(
            (0_usize..6, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)),
            1..60,
        ),
        vlan in any::<bool>(),
    ) {
        let mut layers = Layers::new();
        if vlan {
            layers.net.interface.link = Link::new(pmd::Medium::Ethernet(OUR_STATION), Some(7));
        }
        let frames = valid_frames();
        for (index, changes) in steps {
            let mut bytes = frames[index].1.clone();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = layers.input(&bytes);
        }
        prop_assert!(layers.leaves_nothing());
    }
}
