//! net_tap against the kernel, in a network namespace of the test's own.

use std::time::Duration;

use pmd::dpdk::{Device, DeviceConfig};
use pmd::{Burst, ChecksumStatus, Frame, Medium, Pool, Rss};

use super::forward::{self, Router};
use super::namespace::{enter, has, ip};
use super::wire::{Wire, blank, is_udp, kernel_socket, text, within};
use super::{completes, eal, open, small};

const OURS: [u8; 4] = [10, 9, 0, 2];
const KERNELS: [u8; 4] = [10, 9, 0, 1];

#[test]
fn the_kernel_and_raw_frames_talk_both_ways() {
    enter();
    let mut wire = Wire::up(&small());
    let socket = kernel_socket();
    socket.send_to(b"hello", "10.9.0.2:7").unwrap();

    // The kernel asks who has our address before it sends.
    let request = wire.receive(|frame| ethertype(frame) == ARP && frame.head()[38..42] == OURS);
    wire.send(arp_reply(&wire, &request));
    let datagram = wire.receive(is_udp);
    assert_eq!(&datagram.head()[42..47], b"hello");
    let found = datagram.rx_offload();
    assert_eq!((found.ip, found.l4), (ChecksumStatus::Good, ChecksumStatus::Good));
    // Both are left to it in what is sent back.
    let offered = wire.queues[0].info().tx_offload;
    assert!(offered.ipv4 && offered.udp);

    // From the device's memory, and from the heap, whose frames are copied with what they ask for.
    for pool in [wire.device.pool().clone(), Pool::heap(1, 2048)] {
        wire.echo(&pool, &datagram);
        let mut bytes = [0; 64];
        let (len, from) =
            socket.recv_from(&mut bytes).expect("the echo arrives, its checksums filled in");
        assert_eq!((&bytes[..len], from.to_string().as_str()), (&b"hello"[..], "10.9.0.2:7"));
    }
}

/// A fragment's checksum covers what is not there: to call it bad would lose the datagram.
#[test]
fn fragments_have_no_verdict_on_their_datagram() {
    enter();
    let mut wire = Wire::up(&small());
    ip(&format!("neigh add 10.9.0.2 lladdr {} dev dtap0", text(wire.device.mac())));
    kernel_socket().send_to(&[7; 4000], "10.9.0.2:7").unwrap();
    let mut fragments = vec![];
    let all = within(Duration::from_secs(5), || {
        let mut burst = Burst::new();
        wire.queues[0].rx_burst(&mut burst);
        fragments.extend(burst.drain().filter(is_udp));
        (fragments.len() == 3).then_some(())
    });
    assert!(all.is_some(), "the kernel sends them within 5 s");
    for (fragment, offset) in fragments.iter().zip([0, 1480, 2960]) {
        let field = u16::from_be_bytes([fragment.head()[20], fragment.head()[21]]);
        assert_eq!((field & 0x1fff) * 8, offset);
        let found = fragment.rx_offload();
        assert_eq!((found.ip, found.l4), (ChecksumStatus::Good, ChecksumStatus::Unknown));
    }
}

/// Out of frames of the device's, and of the heap's, which are copied with what they ask for.
#[test]
fn large_packets_are_cut_as_they_are_asked_for() {
    enter();
    let (mut wire, mut router) = (Wire::up(&small()), Router::new());
    let offered = wire.queues[0].info().tx_offload;
    // It makes up to twice as many of a packet, for they may have to be shorter than they are asked to be.
    assert_eq!((offered.tcp_segmentation, offered.tcp_segments), (u16::MAX, 32));
    let mut station = wire.device.mac();
    station[5] ^= 1;
    for pool in [wire.device.pool().clone(), Pool::heap(64, 1500)] {
        // net_tap's segments are no longer with Ethernet's header than the MTU.
        for (len, asked, size) in
            [(60_000, 1448, 1434), (5000, 1000, 1000), (1448, 1448, 1448), (100, 1448, 1448)]
        {
            wire.send(forward::large(&pool, station, true, (len, asked)));
            let packets = router.take(len.div_ceil(size));
            forward::check_segments(&packets, (len, size));
        }
        for frame in forward::open_checksums(&pool, station, true) {
            wire.send(frame);
        }
        router.take(2).iter().for_each(|packet| drop(forward::checked(packet)));
    }
    // More segments than it has room for, and ones that are too large: neither stays in the way.
    for asked in [500, 1461] {
        wire.send(forward::large(wire.device.pool(), station, true, (40_000, asked)));
    }
    assert_eq!(wire.device.statistics().tx_discarded, 2);
    wire.send(forward::large(wire.device.pool(), station, true, (2000, 1000)));
    assert_eq!(router.take(2).len(), 2);
    let pool = wire.device.pool().clone();
    drop((wire, router));
    assert!(completes(&pool));
}

#[test]
fn the_descriptor_wakes_when_a_frame_waits() {
    enter();
    let mut wire = Wire::up(&small());
    wire.quiet();
    assert!(!wire.wakes(50), "nothing waits");

    kernel_socket().send_to(b"hello", "10.9.0.2:7").unwrap();
    assert!(wire.wakes(2000), "the request waits");
    assert!(wire.wakes(0), "still, until it is received");
    wire.receive(|frame| ethertype(frame) == ARP);
    wire.quiet();
    assert!(!wire.wakes(50), "nothing waits any more");
}

#[test]
fn the_interface_comes_and_goes_with_the_device() {
    enter();
    let eal = eal();
    for _ in 0..3 {
        let (device, queues) = open(eal, "tap:dtap7", &small());
        assert!(has("dtap7"));
        assert!(device.link().up);
        let pool = device.pool().clone();
        drop(device);
        assert!(has("dtap7"), "its queue pair keeps it");
        drop(queues);
        assert!(!has("dtap7"));
        assert!(completes(&pool));
    }
}

#[test]
fn two_taps_run_side_by_side_with_several_queues() {
    enter();
    let eal = eal();
    let config = DeviceConfig { queues: 4, ..small() };
    let (first, queues) = open(eal, "tap:dtap0", &config);
    let (second, others) = open(eal, "tap:dtap1", &small());
    assert_eq!((queues.len(), others.len()), (4, 1));
    assert!(has("dtap0") && has("dtap1"));
    assert_ne!(first.mac(), second.mac());
    assert!(matches!(first.rss(), Rss::Unsupported), "the kernel spreads by a hash of its own");
    assert_eq!(queues[3].info().queue, 3);
    assert_eq!(queues[3].info().medium, Medium::Ethernet(first.mac()));
}

#[test]
fn the_mtu_is_the_interfaces_too() {
    enter();
    let config = DeviceConfig { mtu: Some(1400), ..small() };
    let (device, queues) = open(eal(), "tap:dtap0", &config);
    assert_eq!((device.mtu(), queues[0].info().mtu), (1400, 1400));
    assert!(ip("link show dtap0").contains("mtu 1400"));
}

#[test]
fn frames_that_meet_a_link_that_is_down_are_lost() {
    enter();
    let mut wire = Wire::up(&small());
    ip("link set dtap0 down");
    let frame = blank(wire.device.pool(), 60);
    let mut burst = Burst::new();
    burst.push(frame).unwrap();
    let gone = within(Duration::from_secs(2), || {
        wire.queues[0].tx_burst(&mut burst);
        burst.is_empty().then_some(())
    });
    assert!(gone.is_some(), "nothing waits for ever");
    assert_eq!(wire.device.statistics().tx_discarded, 1);

    ip("link set dtap0 up");
    kernel_socket().send_to(b"hello", "10.9.0.2:7").unwrap();
    wire.receive(|frame| ethertype(frame) == ARP);
    wire.send(blank(wire.device.pool(), 60));
    assert_eq!(wire.device.statistics().tx_frames, 1);
}

impl Wire<Device> {
    /// With an address on the kernel's side.
    fn up(config: &DeviceConfig) -> Self {
        let (device, queues) = open(eal(), "tap:dtap0", config);
        ip("link set dtap0 up");
        ip("addr add 10.9.0.1/24 dev dtap0");
        Self { device, queues }
    }
}

const ARP: u16 = 0x0806;

fn ethertype(frame: &Frame) -> u16 {
    u16::from_be_bytes(frame.head()[12..14].try_into().unwrap())
}

/// To `request`: our address is at the device's.
fn arp_reply(wire: &Wire<Device>, request: &Frame) -> Frame {
    let (mac, asked) = (wire.device.mac(), request.head());
    let mut reply = blank(wire.device.pool(), 42);
    let bytes = reply.head_mut();
    bytes[..6].copy_from_slice(&asked[6..12]);
    bytes[6..12].copy_from_slice(&mac);
    bytes[12..20].copy_from_slice(&asked[12..20]);
    bytes[21] = 2;
    bytes[22..28].copy_from_slice(&mac);
    bytes[28..32].copy_from_slice(&OURS);
    bytes[32..38].copy_from_slice(&asked[22..28]);
    bytes[38..42].copy_from_slice(&KERNELS);
    reply
}
