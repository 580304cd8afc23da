use pmd::ChecksumStatus;
use proptest::prelude::*;

use super::*;
use crate::demux::FlowKey4;
use crate::icmp::Sent;
use crate::tcp::seq::Seq;
use crate::wire::icmpv4::Unreachable;
use crate::wire::ipv4::{FragmentField, Ipv4Header, Ipv4View};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

fn ip(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Header {
        tos: 0,
        total_len: u16::try_from(20 + payload.len()).unwrap(),
        identification: 0,
        fragment: FragmentField::WHOLE,
        ttl: 64,
        protocol,
        source,
        destination,
    };
    let mut packet = vec![0; 20];
    header.emit(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(payload);
    packet
}

fn icmp(header: IcmpHeader, body: &[u8]) -> Vec<u8> {
    let mut message = [0; HEADER_LEN];
    header.emit(Sum::of(body), &mut message);
    [&message, body].concat()
}

fn receive(net: &mut Net, destination: Ipv4Addr, message: &[u8]) -> Result<Option<Message>, Drop> {
    let frame = net.frame_of(&ip(1, PEER, destination, message)).unwrap();
    let datagram = net.input(frame)?.unwrap();
    net.icmp_input(datagram)
}

#[test]
fn an_echo_comes_back_with_its_data() {
    for len in [0, 1, 56, 1472, 9001, 60_000] {
        let mut net = Net::for_test();
        let data: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let header = IcmpHeader::EchoRequest { identifier: 0xfff8, sequence: 2 };
        assert!(receive(&mut net, US, &icmp(header, &data)).unwrap().is_none());

        let mut message = vec![];
        for packet in net.outbox.drain(..) {
            let view = Ipv4View::parse(packet.head()).unwrap();
            assert_eq!((view.source(), view.destination()), (US, PEER));
            message.extend_from_slice(view.payload());
        }
        assert!(Sum::of(&message).is_valid());
        let view = IcmpView::parse(&message).unwrap();
        assert_eq!(view.header(), IcmpHeader::EchoReply { identifier: 0xfff8, sequence: 2 });
        assert_eq!(view.body(), data);
        assert_eq!(net.pool_available(), 512);
    }
}

#[test]
fn messages_are_taken_or_dropped_for_a_reason() {
    let echo = IcmpHeader::EchoRequest { identifier: 1, sequence: 2 };
    let reply = IcmpHeader::EchoReply { identifier: 1, sequence: 2 };
    let other = |kind| IcmpHeader::Other { kind, code: 0, rest: [0; 4] };
    let port = IcmpHeader::DestinationUnreachable(Unreachable::Port);
    let quote = |source| ip(17, source, PEER, &[0, 1, 0, 2, 0, 8, 0, 0]);
    let mut damaged = icmp(echo, b"data");
    damaged[9] ^= 1;
    for (name, destination, message, want) in [
        ("broadcast echo", Ipv4Addr::BROADCAST, icmp(echo, b""), Err(Drop::IcmpBroadcastEcho)),
        ("echo", US, icmp(echo, b""), Ok(())),
        ("reply", US, icmp(reply, b""), Ok(())),
        ("damaged", US, damaged, Err(Drop::IcmpChecksum)),
        ("source quench (RFC 6633)", US, icmp(other(4), b""), Err(Drop::IcmpType)),
        ("redirect", US, icmp(other(5), &quote(US)), Err(Drop::IcmpType)),
        ("timestamp", US, icmp(other(13), &[0; 12]), Err(Drop::IcmpType)),
        ("error about us", US, icmp(port, &quote(US)), Ok(())),
        ("error about another", US, icmp(port, &quote(FAR)), Err(Drop::IcmpUnmatched)),
        ("error for all", Ipv4Addr::BROADCAST, icmp(port, &quote(US)), Err(Drop::IcmpUnmatched)),
        (
            "error for all about all",
            Ipv4Addr::BROADCAST,
            icmp(port, &quote(Ipv4Addr::BROADCAST)),
            Err(Drop::IcmpUnmatched),
        ),
        ("nothing quoted", US, icmp(port, b""), Err(Drop::IcmpMalformed)),
        ("cut quote", US, icmp(port, &quote(US)[..27]), Err(Drop::IcmpMalformed)),
        ("error about IGMP", US, icmp(port, &ip(2, US, PEER, &[0; 8])), Err(Drop::IcmpUnmatched)),
    ] {
        let mut net = Net::for_test();
        assert_eq!(receive(&mut net, destination, &message).map(|_| ()), want, "{name}");
    }
}

#[test]
fn an_error_says_what_was_sent_and_what_went_wrong() {
    let flow = FlowKey4 { remote: FAR, local: US, remote_port: 80, local_port: 5000 };
    let tcp = ip(6, US, FAR, &[0x13, 0x88, 0, 80, 1, 2, 3, 4]);
    let udp = ip(17, US, FAR, &[0x13, 0x88, 0, 80, 0, 8, 0, 0]);
    let ping = ip(1, US, FAR, &icmp(IcmpHeader::EchoRequest { identifier: 3, sequence: 4 }, b""));
    let needed = Unreachable::FragmentationNeeded { next_hop_mtu: 1400 };
    for (quote, why, sent, error) in [
        (
            tcp,
            needed,
            Sent::Tcp { flow, seq: Seq(0x0102_0304) },
            IcmpError::TooBig { mtu: 1400, len: 28 },
        ),
        (udp, Unreachable::Port, Sent::Udp { flow }, IcmpError::PortUnreachable),
        (
            ping,
            Unreachable::Other { code: 10 },
            Sent::Echo { destination: FAR, identifier: 3, sequence: 4 },
            IcmpError::Prohibited,
        ),
    ] {
        let mut net = Net::for_test();
        let message = icmp(IcmpHeader::DestinationUnreachable(why), &quote);
        let got = receive(&mut net, US, &message).unwrap().unwrap();
        let Message::Trouble(trouble) = got else { panic!("{got:?}") };
        assert_eq!(trouble, Trouble { sent, error });
    }
}

#[test]
fn a_ping_of_ours_is_answered_by_ourselves() {
    let mut net = Net::for_test();
    let data = net.frame_of(b"data").unwrap();
    net.send_echo_request(US, 7, 8, data).unwrap();
    let request = net.loopback_input().unwrap().unwrap().unwrap();
    assert!(net.icmp_input(request).unwrap().is_none());
    let reply = net.loopback_input().unwrap().unwrap().unwrap();
    let Ok(Some(Message::EchoReply(reply))) = net.icmp_input(reply) else { panic!() };
    assert_eq!((reply.from, reply.identifier, reply.sequence), (US, 7, 8));
    assert_eq!(reply.data.head(), b"data");
}

proptest! {
    #[test]
    fn damaged_messages_never_panic(
        kind in 0_u8..16,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..6),
        cut in 0_usize..70,
    ) {
        let mut quote = ip(6, US, FAR, &[0x13, 0x88, 0, 80, 1, 2, 3, 4]);
        for (at, bit) in flips {
            let at = at.index(quote.len());
            quote[at] ^= 1 << bit;
        }
        let mut message = icmp(IcmpHeader::Other { kind, code: 1, rest: [0; 4] }, &quote);
        message.truncate(message.len().saturating_sub(cut));
        // Truncated messages are given a valid sum where they can hold one.
        if let Some([_, _, c0, c1, ..]) = message.first_chunk_mut::<4>() {
            (*c0, *c1) = (0, 0);
            let sum = Sum::of(&message).finish().to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        let mut net = Net::for_test();
        let got = receive(&mut net, US, &message);
        prop_assert!(!matches!(got, Err(Drop::IcmpChecksum)) || message.len() < 4);
        drop(got);
        net.outbox.clear();
        prop_assert_eq!(net.pool_available(), 512);
    }
}

#[test]
fn the_l4_status_of_the_device_says_nothing_about_icmp() {
    let mut net = Net::for_test();
    let mut damaged = icmp(IcmpHeader::EchoRequest { identifier: 1, sequence: 2 }, b"data");
    damaged[9] ^= 1;
    let mut frame = net.frame_of(&ip(1, PEER, US, &damaged)).unwrap();
    let good = ChecksumStatus::Good;
    frame.set_rx_offload(pmd::RxOffload { ip: good, l4: good, rss_hash: None });
    let datagram = net.input(frame).unwrap().unwrap();
    assert_eq!(net.icmp_input(datagram).err(), Some(Drop::IcmpChecksum));
}
