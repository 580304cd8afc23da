use pmd::{Medium, TxOffload};

use super::*;
use crate::link::Link;
use crate::neighbor::Detection;
use crate::wire::arp::{ArpPacket, Operation, PACKET_LEN};
use crate::wire::ethernet::{EthernetView, MacAddr};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Behind the gateway, and in the peer's place among the ways.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const OUR_STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn net(medium: Medium, vlan: Option<u16>, tx_offload: TxOffload) -> Net {
    let mut net = Net::for_test_on(medium, Detection::OFF);
    net.interface.link = Link::new(medium, vlan);
    net.interface.tx_offload = tx_offload;
    net.neighbors_timeout();
    if medium != Medium::Ip {
        hear(&mut net, PEER, 2);
        hear(&mut net, GATEWAY, 3);
    }
    net.outbox.clear();
    net
}

/// `address` asks who we are, from a station of this number.
fn hear(net: &mut Net, address: Ipv4Addr, station: u8) {
    let packet = ArpPacket {
        operation: Operation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, station]),
        sender_ip: address,
        target_mac: MacAddr([0; 6]),
        target_ip: US,
    };
    let mut frame = net.alloc().unwrap();
    packet.emit(frame.append(PACKET_LEN).unwrap().first_chunk_mut().unwrap());
    net.arp_input(frame).unwrap();
}

fn outgoing(destination: Ipv4Addr, tos: u8) -> Outgoing {
    let (transport, fragment) = (Transport::Tcp, Fragment::DontFragment);
    Outgoing { source: US, destination, transport, ttl: 64, tos, fragment }
}

/// A segment of `len` bytes with a checksum of zero.
fn segment(net: &Net, len: usize) -> Frame {
    let mut bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
    bytes[tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2].fill(0);
    net.frame_of(&bytes).unwrap()
}

/// The same in two pieces, which goes by no way.
fn in_pieces(net: &Net, len: usize) -> Frame {
    let mut first = segment(net, len);
    let rest = first.head()[len - 3..].to_vec();
    first.truncate(len - 3);
    first.chain(net.frame_of(&rest).unwrap());
    first
}

fn only(net: &mut Net) -> (Vec<u8>, Option<TxChecksum>) {
    assert_eq!(net.outbox.len(), 1);
    let frame = net.outbox.pop_front().unwrap();
    (frame.segments().flatten().copied().collect(), frame.requested_checksum())
}

#[test]
fn a_packet_that_goes_by_a_way_is_the_one_that_asks_everyone() {
    let ethernet = Medium::Ethernet(OUR_STATION.0);
    let none = TxOffload { multi_segment: true, ..TxOffload::default() };
    let all = TxOffload { ipv4: true, tcp: true, udp: true, ..none };
    for (medium, vlan) in [(Medium::Ip, None), (ethernet, None), (ethernet, Some(7))] {
        for offload in
            [all, none, TxOffload { ipv4: false, ..all }, TxOffload { tcp: false, ..all }]
        {
            let mut net = net(medium, vlan, offload);
            for (destination, len, tos) in [(PEER, 32, 0), (FAR, 33, 2), (PEER, 1480, 3)] {
                let by_way = segment(&net, len);
                assert_eq!(net.send_by_way(&outgoing(destination, tos), by_way).ok(), Some(Ok(())));
                let by_way = only(&mut net);
                let in_pieces = in_pieces(&net, len);
                net.send_ipv4(outgoing(destination, tos), in_pieces).unwrap();
                assert_eq!(by_way, only(&mut net), "{medium:?} {vlan:?} {offload:?} {len}");
            }
        }
    }
}

#[test]
fn only_where_everything_is_plain_there_is_a_way() {
    let mut net = net(Medium::Ethernet(OUR_STATION.0), None, TxOffload::default());
    let taken = |net: &mut Net, header: Outgoing, len: usize| {
        let frame = segment(net, len);
        net.send_by_way(&header, frame).is_ok()
    };
    assert!(taken(&mut net, outgoing(PEER, 0), 40));
    for other in [US, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255)] {
        assert!(!taken(&mut net, outgoing(other, 0), 40), "{other}");
    }
    let unknown = Ipv4Addr::new(10, 0, 0, 77);
    assert!(!taken(&mut net, outgoing(unknown, 0), 40), "a neighbour that is to be asked for");
    assert!(!taken(&mut net, outgoing(PEER, 0), 1481), "longer than the MTU");
    let udp = Outgoing { transport: Transport::Udp, ..outgoing(PEER, 0) };
    assert!(!taken(&mut net, udp, 40));
    let fragments = Outgoing { fragment: Fragment::MayFragment, ..outgoing(PEER, 0) };
    assert!(!taken(&mut net, fragments, 40));
}

#[test]
fn a_way_is_forgotten_when_what_it_rests_on_changes() {
    let mut net = net(Medium::Ethernet(OUR_STATION.0), None, TxOffload::default());
    let station = |net: &mut Net| {
        let frame = segment(net, 40);
        net.send_ipv4(outgoing(PEER, 0), frame).unwrap();
        let (bytes, _) = only(net);
        EthernetView::parse(&bytes).unwrap().destination().0[5]
    };
    assert_eq!(station(&mut net), 2);
    hear(&mut net, PEER, 9);
    net.outbox.clear();
    assert_eq!(station(&mut net), 9);
    net.narrow_path(PEER, 600, 1500);
    let frame = segment(&net, 1000);
    assert_eq!(net.send_ipv4(outgoing(PEER, 0), frame), Err(Drop::IpTooBig));
}

#[test]
fn a_way_holds_for_a_moment() {
    let mut net = net(Medium::Ethernet(OUR_STATION.0), None, TxOffload::default());
    assert!(net.has_way(US, PEER));
    let until = net.ways.entries[place(PEER)].as_ref().unwrap().until;
    net.now = until;
    assert!(net.has_way(US, PEER));
    assert!(net.ways.entries[place(PEER)].as_ref().unwrap().until > until);
}
