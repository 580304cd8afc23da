use std::time::Duration;

use super::*;
use crate::ip::{Fragment, Outgoing, Transport};
use crate::time::Instant;
use crate::wire::icmpv4::{Exceeded, Unreachable};
use crate::wire::ipv4::{FragmentField, Ipv4Header, Position};
use crate::wire::quoted::Quoted;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: IcmpHeader = IcmpHeader::DestinationUnreachable(Unreachable::Port);

fn packet(protocol: u8, destination: Ipv4Addr, fragment: FragmentField, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Header {
        tos: 0,
        total_len: u16::try_from(20 + payload.len()).unwrap(),
        identification: 9,
        fragment,
        ttl: 64,
        protocol,
        source: PEER,
        destination,
    };
    let mut packet = vec![0; 20];
    header.emit(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(payload);
    packet
}

fn error_about(net: &mut Net, packet: &[u8]) -> Result<Option<Vec<u8>>, Drop> {
    let frame = net.frame_of(packet).unwrap();
    net.send_icmp_error(&frame, PORT)?;
    Ok(net.outbox.pop_front().map(|frame| frame.head().to_vec()))
}

#[test]
fn an_error_quotes_as_much_as_fits_576_bytes() {
    for (len, quoted) in [(8, 28), (528, 548), (529, 548), (1400, 548)] {
        let mut net = Net::for_test();
        let about = packet(17, US, FragmentField::WHOLE, &vec![5; len]);
        let sent = error_about(&mut net, &about).unwrap().unwrap();
        let ip = Ipv4View::parse(&sent).unwrap();
        assert_eq!((ip.source(), ip.destination(), ip.protocol()), (US, PEER, protocol::ICMP));
        assert!(Sum::of(ip.payload()).is_valid());
        let message = IcmpView::parse(ip.payload()).unwrap();
        assert_eq!(message.header(), PORT);
        assert_eq!(message.body(), &about[..quoted]);
        assert!(Quoted::parse(message.body()).is_ok());
    }
}

#[test]
fn silence_where_the_rfc_demands_it() {
    let whole = FragmentField::WHOLE;
    let mut unreachable = [0; 16];
    unreachable[0] = 3;
    let mut echo = [0; 16];
    echo[0] = 8;
    for (name, about, told) in [
        ("a datagram", packet(17, US, whole, &[0; 8]), true),
        ("an echo", packet(1, US, whole, &echo), true),
        ("an error", packet(1, US, whole, &unreachable), false),
        ("half a message", packet(1, US, whole, &echo[..7]), false),
        ("a broadcast", packet(17, Ipv4Addr::BROADCAST, whole, &[0; 8]), false),
        ("a network's broadcast", packet(17, Ipv4Addr::new(10, 0, 0, 255), whole, &[0; 8]), false),
        ("a group", packet(17, Ipv4Addr::new(224, 0, 0, 1), whole, &[0; 8]), false),
        (
            "a first fragment",
            packet(17, US, FragmentField::of(0, Position::MoreFollow), &[0; 8]),
            true,
        ),
        ("a later fragment", packet(17, US, FragmentField::of(8, Position::Last), &[0; 8]), false),
    ] {
        let mut net = Net::for_test();
        assert_eq!(error_about(&mut net, &about).unwrap().is_some(), told, "{name}");
    }
}

#[test]
fn a_flood_is_answered_at_the_limit_only() {
    let mut net = Net::for_test();
    let about = packet(17, US, FragmentField::WHOLE, &[0; 8]);
    let mut answers = 0;
    for turn in 0..1000 {
        net.now = Instant::ZERO + Duration::from_millis(turn);
        for _ in 0..10 {
            match error_about(&mut net, &about) {
                Ok(sent) => answers += usize::from(sent.is_some()),
                Err(drop) => assert_eq!(drop, Drop::IcmpRateLimited),
            }
        }
    }
    assert!((100..=250).contains(&answers), "{answers} in a second");
}

#[test]
fn a_lost_fragment_is_told_to_the_sender_after_30_seconds() {
    let mut net = Net::for_test();
    for (offset, position) in [(0, Position::MoreFollow), (16, Position::Last)] {
        let frame = packet(17, US, FragmentField::of(offset, position), &[0; 8]);
        let frame = net.frame_of(&frame).unwrap();
        assert!(net.input(frame).unwrap().is_none());
    }
    net.now = Instant::ZERO + Duration::from_secs(30);
    let Some((_, crate::net::Timer::Reassembly(index))) = net.timers.pop_due(net.now) else {
        panic!()
    };
    net.reassembly_timeout(index);
    let sent = net.outbox.pop_front().unwrap();
    let ip = Ipv4View::parse(sent.head()).unwrap();
    let message = IcmpView::parse(ip.payload()).unwrap();
    assert_eq!(message.header(), IcmpHeader::TimeExceeded(Exceeded::Reassembly));
    assert_eq!(message.body().len(), 28);
    assert_eq!(net.metrics.dropped(Drop::FragmentTimeout), 2);
    drop(sent);
    assert_eq!(net.pool_available(), 512);
}

#[test]
fn an_error_about_what_we_sent_to_ourselves_comes_back_to_us() {
    let mut net = Net::for_test();
    let outgoing = Outgoing {
        source: US,
        destination: US,
        transport: Transport::Udp,
        ttl: 64,
        tos: 0,
        fragment: Fragment::MayFragment,
    };
    let frame = net.frame_of(&[0; 8]).unwrap();
    net.send_ipv4(outgoing, frame).unwrap();
    let datagram = net.loopback_input().unwrap().unwrap().unwrap();
    net.send_icmp_error(&datagram.frame, PORT).unwrap();
    let error = net.loopback_input().unwrap().unwrap().unwrap();
    assert_eq!(error.protocol, protocol::ICMP);
    assert!(matches!(net.icmp_input(error), Ok(Some(crate::icmp::Message::Trouble(_)))));
}
