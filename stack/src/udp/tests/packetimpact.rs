//! The behaviours of packetimpact's list (`docs/conformance.md`) that are UDP's, IP's and ICMP's, each as a test of the same name.

use super::*;
use crate::wire::icmpv4::{IcmpHeader, IcmpView};
use crate::wire::ipv4::Position;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const EVERYBODY: Ipv4Addr = Ipv4Addr::BROADCAST;
const OUR_LINK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 255);
const A_GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);

fn feed(host: &mut Host, packet: &[u8]) -> Result<(), Drop> {
    let frame = host.net.frame_of(packet).unwrap();
    let received = host.receive(frame);
    host.work();
    received
}

#[test]
fn udp_any_addr_recv_unicast() {
    let mut a = Host::new(A);
    let mut socket = a.bind(ANY, 53).unwrap();
    feed(&mut a, &packet(1, 53, b"?", |_| {})).unwrap();
    assert_eq!(read(&mut socket).unwrap(), (b"?".to_vec(), at(B, 1)));
}

#[test]
fn udp_discard_mcast_source_addr() {
    let mut a = Host::new(A);
    let mut socket = a.bind(ANY, 53).unwrap();
    for source in [A_GROUP, [224, 0, 0, 1].into(), EVERYBODY, OUR_LINK] {
        let sent = packet_between((source, 1), (A, 53), b"?", |_| {});
        assert_eq!(feed(&mut a, &sent), Err(Drop::IpSource), "{source}");
    }
    assert_eq!(read(&mut socket).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(a.net.outbox.is_empty(), "and nobody is told");
}

#[test]
fn udp_icmp_error_propagation() {
    let (mut a, mut b) = (Host::new(A), Host::new(B));
    let mut connected = a.bind(A, 1000).unwrap();
    connected.connect(at(B, 53)).unwrap();
    let mut unconnected = a.bind(A, 1001).unwrap();
    for _ in 0..3 {
        connected.send(b"?").unwrap();
        unconnected.send_to(b"?", at(B, 53)).unwrap();
        carry(&mut a, &mut b);
        carry(&mut b, &mut a);
        let told = read(&mut connected).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(read(&mut connected).unwrap_err().kind(), ErrorKind::WouldBlock, "told once");
        assert_eq!(read(&mut unconnected).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    // What was told does not close it.
    feed(&mut a, &packet(53, 1000, b"!", |_| {})).unwrap();
    assert_eq!(read(&mut connected).unwrap().0, b"!");
}

/// Who is bound to what hears what is sent to whom; what we send to each of them leaves with that destination.
#[test]
fn udp_socket_send_recv() {
    for (bound, to, hears) in [
        (ANY, A, true),
        (ANY, OUR_LINK, true),
        (ANY, EVERYBODY, true),
        (ANY, A_GROUP, false),
        (A, A, true),
        (A, OUR_LINK, false),
        (A, EVERYBODY, false),
        (A, A_GROUP, false),
    ] {
        for len in [0, 1, 8, 1472, 1473, 9000] {
            let (mut a, mut b) = (Host::new(A), Host::new(B));
            let mut socket = a.bind(bound, 53).unwrap();
            let mut sender = b.bind(B, 1).unwrap();
            let sent = vec![7; len];
            if to.is_multicast() || to.is_broadcast() || to == OUR_LINK {
                let whole = packet_between((B, 1), (to, 53), &sent[..len.min(1472)], |_| {});
                let _dropped = feed(&mut a, &whole);
            } else {
                sender.send_to(&sent, at(to, 53)).unwrap();
                assert_eq!(carry(&mut b, &mut a), []);
            }
            let got = read(&mut socket).map(|(bytes, from)| (bytes.len(), from));
            let want = (if to == A { len } else { len.min(1472) }, at(B, 1));
            assert_eq!(got.ok(), hears.then_some(want), "{bound} hears {to}, {len} bytes");
        }
    }
}

/// Pings are answered if they are for us alone; what others answer is told to who has asked.
#[test]
fn icmpv4_socket_send_recv() {
    for (to, answered) in [(A, true), (OUR_LINK, false), (EVERYBODY, false)] {
        let mut a = Host::new(A);
        let request = IcmpHeader::EchoRequest { identifier: 5, sequence: 6 };
        let got = feed(&mut a, &icmp(to, request, b"payload"));
        assert_eq!(got.err(), (!answered).then_some(Drop::IcmpBroadcastEcho), "{to}");
        let sent: Vec<Vec<u8>> = a
            .net
            .outbox
            .drain(..)
            .map(|frame| frame.segments().flatten().copied().collect())
            .collect();
        assert_eq!(sent.len(), usize::from(answered), "{to}");
        for packet in sent {
            let view = Ipv4View::parse(&packet).unwrap();
            assert_eq!((view.source(), view.destination()), (A, B));
            let reply = IcmpView::parse(view.payload()).unwrap();
            assert_eq!(reply.header(), IcmpHeader::EchoReply { identifier: 5, sequence: 6 });
            assert_eq!(reply.body(), b"payload");
        }
    }
    let mut a = Host::new(A);
    let reply = icmp(A, IcmpHeader::EchoReply { identifier: 5, sequence: 6 }, b"payload");
    let frame = a.net.frame_of(&reply).unwrap();
    let datagram = a.net.input(frame).unwrap().unwrap();
    let Ok(Some(Message::EchoReply(reply))) = a.net.icmp_input(datagram) else { panic!() };
    assert_eq!((reply.from, reply.identifier, reply.sequence), (B, 5, 6));
}

/// A message from B.
fn icmp(to: Ipv4Addr, header: IcmpHeader, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 8];
    header.emit(Sum::of(body), message.first_chunk_mut().unwrap());
    message.extend_from_slice(body);
    fragment(to, protocol::ICMP, 1, &message, 0..message.len())
}

/// Whatever may be cut on its way has a number of its own, also if it is the same once more.
#[test]
fn ipv4_id_uniqueness() {
    let mut a = Host::new(A);
    let mut socket = a.bind(A, 1000).unwrap();
    let mut seen = HashSet::new();
    for n in 0..2000 {
        socket.send_to(b"the same once more", at(B, 53)).unwrap();
        a.work();
        let packet: Vec<u8> =
            a.net.outbox.pop_front().unwrap().segments().flatten().copied().collect();
        let view = Ipv4View::parse(&packet).unwrap();
        assert!(!view.fragment().dont_fragment(), "it may be cut");
        assert!(seen.insert(view.identification()), "number {n} has one that was there");
    }
}

#[test]
fn ipv4_fragment_reassembly() {
    let datagram = packet(1, 53, &[9; 2980], |_| {})[20..].to_vec();
    assert_eq!(datagram.len(), 2988);
    let (first, middle, last) = (0..1000, 1000..2000, 2000..2988);
    for (name, pieces, whole) in [
        ("in order", vec![&first, &middle, &last], true),
        ("the last first", vec![&last, &middle, &first], true),
        ("the middle last", vec![&first, &last, &middle], true),
        ("a gap", vec![&first, &last], false),
        ("one of them twice", vec![&first, &first, &middle, &last], true),
        ("an overlap", vec![&first, &(504..2000), &last], false),
        ("an overlap of the end", vec![&(0..2000), &(1504..2988)], false),
    ] {
        let mut a = Host::new(A);
        let mut socket = a.bind(ANY, 53).unwrap();
        for piece in pieces {
            let _dropped = feed(&mut a, &fragment(A, protocol::UDP, 7, &datagram, piece.clone()));
        }
        let got = read(&mut socket).map(|(bytes, _)| bytes);
        assert_eq!(got.ok(), whole.then(|| vec![9; 2980]), "{name}");
    }
    // The pieces of two datagrams are told apart.
    let mut a = Host::new(A);
    let mut socket = a.bind(ANY, 53).unwrap();
    for number in [7, 8] {
        feed(&mut a, &fragment(A, protocol::UDP, number, &datagram, first.clone())).unwrap();
    }
    for piece in [middle, last] {
        feed(&mut a, &fragment(A, protocol::UDP, 8, &datagram, piece)).unwrap();
    }
    assert_eq!(read(&mut socket).unwrap().0.len(), 2980);
    assert_eq!(read(&mut socket).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A part of what B sends, which is the whole if it is all.
fn fragment(
    to: Ipv4Addr,
    protocol: u8,
    identification: u16,
    payload: &[u8],
    part: std::ops::Range<usize>,
) -> Vec<u8> {
    let position = if part.end == payload.len() { Position::Last } else { Position::MoreFollow };
    let header = Ipv4Header {
        tos: 0,
        total_len: u16::try_from(20 + part.len()).unwrap(),
        identification,
        fragment: FragmentField::of(u16::try_from(part.start).unwrap(), position),
        ttl: 64,
        protocol,
        source: B,
        destination: to,
    };
    let mut packet = vec![0; 20];
    header.emit(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(&payload[part]);
    packet
}
