use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use pmd::{Frame, RxOffload};
use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::api::{Readiness, Token};
use crate::counters::Counter;
use crate::icmp::{Message, Sent};
use crate::socket::thread::InTurn;
use crate::socket::{Inbox, Target};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{FragmentField, Ipv4Header, Ipv4View, protocol};

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

mod packetimpact;

/// One host without a loop: tests call its layers.
struct Host {
    net: Net,
    udp: Udp,
    core: Arc<CoreShared>,
    inbox: Inbox,
    pool: Pool,
    _turn: InTurn,
}

impl Host {
    fn new(address: Ipv4Addr) -> Self {
        let mut net = Net::for_test();
        net.interface.addresses = vec![format!("{address}/24").parse().unwrap()];
        let udp = Udp::new(8, &mut net.rng);
        Self {
            udp,
            core: CoreShared::for_test(),
            inbox: Inbox::default(),
            pool: net.test_pool().clone(),
            net,
            _turn: InTurn::enter(0),
        }
    }

    fn bind(&mut self, address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
        let local = SocketAddrV4::new(address, port);
        self.udp.bind(&mut self.net, &self.core, &self.pool, local)
    }

    /// Follows every hint and order.
    fn work(&mut self) {
        use crate::protocol::Order;
        let hints = self.inbox.drain(&self.core);
        while let Some(order) = self.core.pop_order() {
            if let Order::ConnectUdp(id, peer) = order {
                self.udp.connect(id, peer);
            }
        }
        for hint in hints {
            self.udp.follow_hint(&mut self.net, hint);
        }
    }

    fn receive(&mut self, frame: Frame) -> Result<(), Drop> {
        let Some(datagram) = self.net.input(frame)? else { return Ok(()) };
        if datagram.protocol == protocol::UDP {
            return self.udp.input(&mut self.net, datagram);
        }
        match self.net.icmp_input(datagram)? {
            Some(Message::Trouble(trouble)) => {
                let Sent::Udp { flow } = trouble.sent else { panic!("{trouble:?}") };
                self.udp.icmp_error(&mut self.net, flow, trouble.error)
            }
            _ => Ok(()),
        }
    }
}

/// Carries what one host has sent to the other; returns why packets were dropped there.
fn carry(from: &mut Host, to: &mut Host) -> Vec<Drop> {
    from.work();
    let frames: Vec<_> = from.net.outbox.drain(..).collect();
    frames.into_iter().filter_map(|frame| to.receive(frame).err()).collect()
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddrV4::new(address, port).into()
}

fn read(socket: &mut UdpSocket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut bytes = vec![0; 65_535];
    let (len, from) = socket.recv_from(&mut bytes)?;
    bytes.truncate(len);
    Ok((bytes, from))
}

/// A datagram from B to A, as it comes from the link.
fn packet(from_port: u16, to_port: u16, payload: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    packet_between((B, from_port), (A, to_port), payload, change)
}

fn packet_between(
    (from, from_port): (Ipv4Addr, u16),
    (to, to_port): (Ipv4Addr, u16),
    payload: &[u8],
    change: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = [from_port, to_port, len, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(payload);
    let mut sum = Sum::pseudo_header_v4(from, to, protocol::UDP, len);
    sum.add_bytes(&datagram);
    datagram[6..8].copy_from_slice(&sum.finish_udp().to_be_bytes());
    change(&mut datagram);
    let header = Ipv4Header {
        tos: 0,
        total_len: 20 + u16::try_from(datagram.len()).unwrap(),
        identification: 1,
        fragment: FragmentField::WHOLE,
        ttl: 64,
        protocol: protocol::UDP,
        source: from,
        destination: to,
    };
    let mut packet = vec![0; 20];
    header.emit(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(&datagram);
    packet
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn datagrams_of_any_length_arrive_whole(len in 0_usize..=65_507, mtu in 576_u16..=1500) {
        let (mut a, mut b) = (Host::new(A), Host::new(B));
        a.net.interface.mtu = mtu;
        let mut client = a.bind(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        let mut server = b.bind(Ipv4Addr::UNSPECIFIED, 53).unwrap();
        let sent: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        client.send_to(&sent, at(B, 53)).unwrap();
        prop_assert_eq!(carry(&mut a, &mut b), []);
        let (got, from) = read(&mut server).unwrap();
        prop_assert!(got == sent);
        server.send_to(&got, from).unwrap();
        prop_assert_eq!(carry(&mut b, &mut a), []);
        prop_assert!(read(&mut client).unwrap() == (sent, at(B, 53)));
        drop((client, server));
        a.work();
        b.work();
        prop_assert_eq!((a.udp.len(), b.udp.len()), (0, 0));
        prop_assert_eq!((a.net.pool_available(), b.net.pool_available()), (512, 512));
    }
}

#[test]
fn the_longest_datagram_is_65507_bytes() {
    let mut a = Host::new(A);
    let mut socket = a.bind(A, 0).unwrap();
    assert!(socket.send_to(&vec![0; 65_507], at(B, 53)).is_ok());
    assert!(socket.send_to(&vec![0; 65_508], at(B, 53)).is_err());
}

#[test]
fn the_socket_that_fits_best_gets_the_datagram() {
    let mut a = Host::new(A);
    let mut anywhere = a.bind(Ipv4Addr::UNSPECIFIED, 53).unwrap();
    let mut here = a.bind(A, 53).unwrap();
    let feed = |a: &mut Host, from_port| {
        a.work();
        let frame = a.net.frame_of(&packet(from_port, 53, b"?", |_| {})).unwrap();
        a.receive(frame)
    };
    feed(&mut a, 1).unwrap();
    assert_eq!(read(&mut here).unwrap().1, at(B, 1));
    here.connect(at(B, 2)).unwrap();
    feed(&mut a, 1).unwrap();
    feed(&mut a, 2).unwrap();
    assert_eq!(read(&mut anywhere).unwrap().1, at(B, 1), "the other has a peer");
    assert_eq!(read(&mut here).unwrap().1, at(B, 2));
    drop(anywhere);
    assert_eq!(feed(&mut a, 1), Err(Drop::UdpPeer));
    drop(here);
    assert_eq!(feed(&mut a, 2), Err(Drop::UdpNoSocket));
}

#[test]
fn a_closed_port_is_told_to_a_connected_socket_alone() {
    let (mut a, mut b) = (Host::new(A), Host::new(B));
    let mut connected = a.bind(A, 1000).unwrap();
    connected.connect(at(B, 53)).unwrap();
    let mut unconnected = a.bind(A, 1001).unwrap();
    connected.send(b"?").unwrap();
    unconnected.send_to(b"?", at(B, 53)).unwrap();
    assert_eq!(carry(&mut a, &mut b), [Drop::UdpNoSocket, Drop::UdpNoSocket]);
    assert_eq!(carry(&mut b, &mut a), []);
    assert_eq!(read(&mut connected).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(read(&mut connected).unwrap_err().kind(), ErrorKind::WouldBlock, "told once");
    assert_eq!(read(&mut unconnected).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(b.net.metrics.counter(Counter::UdpNoPorts), 2);
}

#[test]
fn checksums_are_verified_unless_none_was_sent_or_the_device_did() {
    use pmd::ChecksumStatus::{Bad, Good, Unknown};
    type Change = fn(&mut [u8]);
    let (keep, damage, none): (Change, Change, Change) =
        (|_| {}, |d| d[8] ^= 1, |d| d[6..8].fill(0));
    for (change, l4, want) in [
        (keep, Unknown, Ok(())),
        (damage, Unknown, Err(Drop::UdpChecksum)),
        (none, Unknown, Ok(())),
        (damage, Good, Ok(())),
        (keep, Bad, Err(Drop::UdpChecksum)),
    ] {
        let mut a = Host::new(A);
        let socket = a.bind(A, 53).unwrap();
        let mut frame = a.net.frame_of(&packet(1, 53, b"payload", change)).unwrap();
        frame.set_rx_offload(RxOffload { ip: Unknown, l4, rss_hash: None });
        assert_eq!(a.receive(frame), want);
        drop(socket);
        a.work();
        assert_eq!(a.net.pool_available(), 512);
    }
}

#[test]
fn a_slow_reader_loses_datagrams_with_a_name() {
    let mut a = Host::new(A);
    let mut socket = a.bind(A, 53).unwrap();
    for n in 0..20 {
        let frame = a.net.frame_of(&packet(n, 53, b"?", |_| {})).unwrap();
        let want = if n < 8 { Ok(()) } else { Err(Drop::UdpQueueFull) };
        assert_eq!(a.receive(frame), want, "{n}");
    }
    assert_eq!(read(&mut socket).unwrap().1, at(B, 0));
    assert_eq!(a.net.pool_available(), 512 - 7);
}

#[test]
fn slow_readers_together_leave_the_device_its_frames() {
    let mut a = Host::new(A);
    let sockets: Vec<_> = (0..100).map(|n| a.bind(A, 1000 + n).unwrap()).collect();
    let mut scarce = 0;
    for n in 0..800 {
        let frame = a.net.frame_of(&packet(1, 1000 + n % 100, b"?", |_| {})).unwrap();
        match a.receive(frame) {
            Ok(()) => {}
            drop => {
                assert_eq!(drop, Err(Drop::UdpFramesScarce));
                scarce += 1;
            }
        }
    }
    assert!(scarce > 0 && a.net.pool_available() >= 64, "{}", a.net.pool_available());
    drop(sockets);
    a.work();
    let _socket = a.bind(A, 1000).unwrap();
    let frame = a.net.frame_of(&packet(1, 1000, b"?", |_| {})).unwrap();
    assert_eq!(a.receive(frame), Ok(()));
}

#[test]
fn a_datagram_shorter_than_its_packet_is_cut_and_a_longer_one_dropped() {
    let mut a = Host::new(A);
    let mut socket = a.bind(A, 53).unwrap();
    for (len, want) in [(7, Err(Drop::UdpTruncated)), (16, Err(Drop::UdpTruncated)), (8, Ok(()))] {
        let bytes = packet(1, 53, b"payload", |datagram| {
            datagram[4..8].copy_from_slice(&[0, len, 0, 0]);
        });
        let frame = a.net.frame_of(&bytes).unwrap();
        assert_eq!(a.receive(frame), want, "{len}");
    }
    assert_eq!(read(&mut socket).unwrap(), (vec![], at(B, 1)));
}

#[test]
fn ports_are_taken_once_and_chosen_by_chance() {
    let mut a = Host::new(A);
    let taken = a.bind(A, 53).unwrap();
    let kind = |result: io::Result<UdpSocket>| result.err().map(|error| error.kind());
    assert_eq!(kind(a.bind(A, 53)), Some(ErrorKind::AddrInUse));
    assert_eq!(kind(a.bind(B, 54)), Some(ErrorKind::AddrNotAvailable));
    drop(taken);
    a.work();
    assert_eq!(kind(a.bind(A, 53)), None);
    let sockets: Vec<_> = (0..100).map(|_| a.bind(A, 0).unwrap()).collect();
    let ports: HashSet<_> = sockets.iter().map(|socket| socket.local_addr().port()).collect();
    assert_eq!(ports.len(), 100);
    assert!(ports.iter().all(|&port| port >= 49_152));
    let steps = ports.iter().filter(|&&port| ports.contains(&(port.wrapping_add(1))));
    assert!(steps.count() < 10, "they do not follow each other");
}

#[test]
fn the_path_mtu_is_learnt_for_a_socket_that_exists() {
    for (port, want) in [(1000, 1000), (1001, 1500)] {
        let mut a = Host::new(A);
        let _socket = a.bind(A, 1000).unwrap();
        let flow = FlowKey4 { remote: B, local: A, remote_port: 53, local_port: port };
        let _ = a.udp.icmp_error(&mut a.net, flow, IcmpError::TooBig { mtu: 1000, len: 1500 });
        assert_eq!(a.net.path_mtu(B), want);
    }
}

#[test]
fn what_was_submitted_is_sent_before_the_socket_closes() {
    let (mut a, mut b) = (Host::new(A), Host::new(B));
    let mut server = b.bind(B, 53).unwrap();
    let mut client = a.bind(A, 0).unwrap();
    (0..5).for_each(|n| assert!(client.send_to(&[n], at(B, 53)).is_ok()));
    drop(client);
    assert_eq!(carry(&mut a, &mut b), []);
    assert_eq!(a.udp.len(), 0);
    (0..5).for_each(|n| assert_eq!(read(&mut server).unwrap().0, [n]));
}

#[test]
fn no_way_to_the_destination_is_told() {
    let mut a = Host::new(A);
    a.net.routes.remove(crate::ip::Ipv4Prefix::ALL);
    let mut socket = a.bind(Ipv4Addr::UNSPECIFIED, 0).unwrap();
    socket.send_to(b"?", at(Ipv4Addr::new(192, 0, 2, 1), 53)).unwrap();
    a.work();
    assert_eq!(read(&mut socket).unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    assert_eq!(a.net.metrics.dropped(Drop::IpNoRoute), 1);
    assert_eq!(a.net.pool_available(), 512);
}

#[test]
fn who_found_no_frame_to_send_with_is_told_to_try_again() {
    let mut us = Host::new(A);
    let mut socket = us.bind(A, 1000).unwrap();
    let Target::Udp(id) = socket.words().target() else { panic!("a UDP socket") };
    us.udp.endpoint(id).unwrap().attach_application(&mut us.net.readies, Token(7));
    let hoard: Vec<Frame> = std::iter::from_fn(|| us.pool.alloc()).collect();
    assert_eq!(socket.send_to(b"x", at(B, 9)).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(hoard);
    us.work();
    assert_eq!(us.net.readies.pop(), Some((Token(7), Readiness::WRITABLE)));
    socket.send_to(b"x", at(B, 9)).unwrap();
}

#[test]
fn a_socket_that_outlives_the_stack_says_so() {
    let (mut a, mut b) = (Host::new(A), Host::new(B));
    let mut client = a.bind(A, 1000).unwrap();
    let mut server = b.bind(B, 53).unwrap();
    client.send_to(b"last", at(B, 53)).unwrap();
    assert_eq!(carry(&mut a, &mut b), []);
    drop((a, b));
    assert_eq!(client.send_to(b"x", at(B, 53)).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(read(&mut server).unwrap().0, b"last");
    assert_eq!(read(&mut server).unwrap_err().kind(), ErrorKind::NetworkDown);
}

/// C-6, C-8: without a peer there is no destination, and no call says that the socket is not connected. What strangers have
/// sent is not read any more once there is a peer, whenever it came.
#[test]
fn a_peer_is_a_destination_and_the_only_source() {
    let (mut a, mut b) = (Host::new(A), Host::new(B));
    let mut socket = a.bind(A, 1000).unwrap();
    let nowhere = Some(Errno::DESTADDRREQ.raw_os_error());
    assert_eq!(socket.send(b"x").unwrap_err().raw_os_error(), nowhere);
    assert_eq!(socket.recv(&mut [0; 9]).unwrap_err().raw_os_error(), nowhere);
    assert_eq!(read(&mut socket).unwrap_err().kind(), ErrorKind::WouldBlock);
    let (mut server, mut stranger) = (b.bind(B, 53).unwrap(), b.bind(B, 7).unwrap());
    stranger.send_to(b"before", at(A, 1000)).unwrap();
    assert_eq!(carry(&mut b, &mut a), []);
    socket.connect(at(B, 53)).unwrap();
    assert_eq!(socket.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    a.work();
    stranger.send_to(b"after", at(A, 1000)).unwrap();
    server.send_to(b"answer", at(A, 1000)).unwrap();
    assert_eq!(carry(&mut b, &mut a), [Drop::UdpPeer], "nor takes up room in the queue");
    let mut bytes = [0; 9];
    assert_eq!(socket.recv(&mut bytes).unwrap(), 6);
    assert_eq!(&bytes[..6], b"answer");
    assert_eq!(socket.recv(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(socket.send(b"question").unwrap(), 8);
    carry(&mut a, &mut b);
    assert_eq!(read(&mut server).unwrap(), (b"question".to_vec(), at(A, 1000)));
}

#[test]
fn a_stuck_device_holds_back_what_an_application_sends() {
    let mut a = Host::new(A);
    let mut socket = a.bind(A, 0).unwrap();
    let filler = Pool::heap(1024, 64);
    while a.net.outbox_room() > 100 {
        a.net.transmit(filler.alloc().unwrap()).unwrap();
    }
    socket.send_to(b"?", at(B, 53)).unwrap();
    let hints = a.inbox.drain(&a.core);
    assert_eq!(hints.len(), 1);
    a.udp.follow_hint(&mut a.net, hints[0]);
    assert_eq!(a.net.outbox_room(), 100);
    a.net.outbox.clear();
    a.work();
    let packet = a.net.outbox.pop_front().unwrap();
    assert_eq!(Ipv4View::parse(packet.head()).unwrap().destination(), B);
}

proptest! {
    #[test]
    fn damaged_datagrams_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..6),
        cut in 0_usize..36,
        good in any::<bool>(),
    ) {
        let mut a = Host::new(A);
        let socket = a.bind(A, 53).unwrap();
        let mut bytes = packet(1, 53, b"payload", |_| {});
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(bytes.len() - cut);
        let mut frame = a.net.frame_of(&bytes).unwrap();
        if good {
            let good = pmd::ChecksumStatus::Good;
            frame.set_rx_offload(RxOffload { ip: good, l4: good, rss_hash: None });
        }
        let datagram = a.net.input(frame);
        if let Ok(Some(datagram)) = datagram {
            let _ = a.udp.input(&mut a.net, datagram);
        }
        drop(socket);
        a.work();
        a.net.outbox.clear();
        prop_assert_eq!(a.net.pool_available() + a.net.reassembly.buffers(), 512);
    }
}
