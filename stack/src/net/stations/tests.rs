use std::time::Duration;

use super::*;
use crate::icmp::Sent;
use crate::ip::{Fragment, Outgoing, Transport};
use crate::neighbor::Detection;
use crate::wire::ethernet::EthernetView;
use crate::wire::ipv4::Ipv4View;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const OUR_STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEIR_STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn net(detection: Detection) -> Net {
    let mut net = Net::for_test_on(Medium::Ethernet(OUR_STATION.0), detection);
    pass(&mut net, Duration::ZERO);
    net
}

/// Lets time pass, in steps of at most a millisecond.
fn pass(net: &mut Net, span: Duration) {
    let end = net.now + span;
    while net.timers.next_deadline().is_some_and(|at| at <= end) {
        net.now = net.now.max(net.timers.next_deadline().unwrap());
        while let Some((_, timer)) = net.timers.pop_due(net.now) {
            assert_eq!(timer, Timer::Neighbors);
            net.neighbors_timeout();
        }
    }
    net.now = end;
}

fn send(net: &mut Net, destination: Ipv4Addr, len: usize) -> Result<(), Drop> {
    let outgoing = Outgoing {
        source: US,
        destination,
        transport: Transport::Udp,
        ttl: 64,
        tos: 0,
        fragment: Fragment::MayFragment,
    };
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(&[0x13, 0x88, 0, 80]);
    let frame = net.frame_of(&bytes).unwrap();
    net.send_ipv4(outgoing, frame)
}

/// What was sent: the station, and for ARP the packet.
fn sent(net: &mut Net) -> Vec<(MacAddr, Option<ArpPacket>)> {
    let frames = net.outbox.drain(..);
    let read = frames.map(|frame| {
        let view = EthernetView::parse(frame.head()).unwrap();
        assert_eq!(view.source(), OUR_STATION);
        let arp =
            (view.ethertype() == EtherType::ARP).then(|| ArpPacket::parse(view.payload()).unwrap());
        (view.destination(), arp)
    });
    read.collect()
}

fn hear(net: &mut Net, packet: ArpPacket) -> Result<(), Drop> {
    let mut bytes = [0; PACKET_LEN];
    packet.emit(&mut bytes);
    let frame = [&[0xff; 6][..], &packet.sender_mac.0, &[8, 6], &bytes].concat();
    let frame = net.frame_of(&frame).unwrap();
    net.input(frame).map(|datagram| assert!(datagram.is_none()))
}

fn reply(address: Ipv4Addr) -> ArpPacket {
    ArpPacket {
        operation: Operation::Reply,
        sender_mac: THEIR_STATION,
        sender_ip: address,
        target_mac: OUR_STATION,
        target_ip: US,
    }
}

#[test]
fn packets_wait_for_their_next_hop_and_leave_in_order() {
    for (destination, next_hop) in [(PEER, PEER), (Ipv4Addr::new(192, 0, 2, 1), GATEWAY)] {
        let mut net = net(Detection::OFF);
        sent(&mut net);
        // A datagram of 60,000 bytes is of no use unless all its fragments wait.
        send(&mut net, destination, 60_000).unwrap();
        let asked = sent(&mut net);
        assert_eq!(asked.len(), 1);
        let (station, request) = (asked[0].0, asked[0].1.unwrap());
        assert_eq!((station, request.target_ip), (MacAddr::BROADCAST, next_hop));
        hear(&mut net, reply(next_hop)).unwrap();
        let fragments = sent(&mut net);
        assert_eq!(fragments.len(), 41);
        assert!(fragments.iter().all(|fragment| *fragment == (THEIR_STATION, None)));
        send(&mut net, destination, 100).unwrap();
        assert_eq!(sent(&mut net), [(THEIR_STATION, None)]);
        assert_eq!(net.pool_available(), 512);
    }
}

#[test]
fn a_silent_neighbour_is_reported_to_who_sent() {
    let mut net = net(Detection::OFF);
    send(&mut net, PEER, 100).unwrap();
    pass(&mut net, Duration::from_secs(10));
    let trouble = net.troubles.pop_front().unwrap();
    assert_eq!(trouble.error, IcmpError::HostUnreachable);
    let Sent::Udp { flow } = trouble.sent else { panic!("{trouble:?}") };
    assert_eq!((flow.remote, flow.local_port, flow.remote_port), (PEER, 5000, 80));
    assert_eq!(net.metrics.dropped(Drop::NeighborUnreachable), 1);
    sent(&mut net);
    assert_eq!(net.pool_available(), 512);
}

#[test]
fn an_address_is_ours_once_it_was_claimed() {
    let mut net = net(Detection::QUICK);
    assert!(!net.holds(US));
    let question = ArpPacket { operation: Operation::Request, sender_ip: PEER, ..reply(PEER) };
    assert_eq!(hear(&mut net, question), Err(Drop::ArpForeign));
    sent(&mut net);
    pass(&mut net, Duration::from_secs(3));
    assert!(net.holds(US));
    let probes =
        sent(&mut net).into_iter().filter(|(_, arp)| arp.unwrap().sender_ip.is_unspecified());
    assert!(probes.count() >= 2);
    hear(&mut net, question).unwrap();
    let answer = sent(&mut net);
    assert_eq!((answer[0].0, answer[0].1.unwrap().sender_ip), (THEIR_STATION, US));
}

#[test]
fn a_rival_is_reported() {
    let mut net = net(Detection::OFF);
    assert_eq!(hear(&mut net, reply(US)), Err(Drop::ArpConflict));
    assert_eq!(net.claims, [ClaimNews::Held(US), ClaimNews::Contested(US, THEIR_STATION)]);
    assert_eq!(net.metrics.counter(Counter::ArpConflicts), 1);
}

#[test]
fn broadcasts_go_to_every_station() {
    let mut net = net(Detection::OFF);
    sent(&mut net);
    for destination in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255)] {
        send(&mut net, destination, 100).unwrap();
        assert_eq!(sent(&mut net), [(MacAddr::BROADCAST, None)]);
    }
}

#[test]
fn offload_requests_count_the_link_header() {
    let mut net = net(Detection::OFF);
    net.interface.tx_offload.udp = true;
    sent(&mut net);
    send(&mut net, Ipv4Addr::BROADCAST, 100).unwrap();
    let frame = net.outbox.pop_front().unwrap();
    assert_eq!(frame.requested_checksum().unwrap().l2_len, 14);
    assert!(Ipv4View::parse(&frame.head()[14..]).unwrap().checksum_is_valid());
}
