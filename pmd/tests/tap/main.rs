//! A native tap against the kernel, in a network namespace of each test's own. No DPDK is needed.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests panic where they fail")]

mod forward;
#[path = "../dpdk/namespace.rs"]
mod namespace;
mod wire;

use std::time::Duration;

use forward::Router;
use namespace::{drop_capability, enter, has, ip};
use pmd::tap::{self, Error, MOST_QUEUES, Offload, Options, Spec, Tap};
use pmd::{Burst, ChecksumStatus, Medium, QueuePair, Rss};
use wire::{Wire, blank, is_udp, kernel_socket, text, within};

#[test]
fn the_kernel_and_raw_frames_talk_both_ways() {
    for offload in [Offload::Full, Offload::None] {
        enter();
        let mut wire = Wire::up(&Options { offload, ..small() });
        let socket = kernel_socket();
        socket.send_to(b"hello", "10.9.0.2:7").unwrap();
        let datagram = wire.receive(is_udp);
        assert_eq!(&datagram.head()[42..47], b"hello");
        let (want, asks) = match offload {
            // Nobody has summed it.
            Offload::Full => (ChecksumStatus::Good, true),
            Offload::None => (ChecksumStatus::Unknown, false),
        };
        assert_eq!(datagram.rx_offload().l4, want);
        let offered = wire.queues[0].info().tx_offload;
        assert_eq!((offered.ipv4, offered.tcp, offered.udp), (false, asks, asks));

        let pool = wire.device.pool().clone();
        wire.echo(&pool, &datagram);
        let mut bytes = [0; 64];
        let (len, from) = socket.recv_from(&mut bytes).expect("the echo arrives with its checksum");
        assert_eq!((&bytes[..len], from.to_string().as_str()), (&b"hello"[..], "10.9.0.2:7"));
        let counted = wire.device.statistics();
        assert_eq!((counted.tx_frames, counted.tx_bytes), (1, 47));
    }
}

#[test]
fn the_kernel_fills_in_what_was_left_open() {
    enter();
    let (mut wire, mut router) = (Wire::up(&small()), Router::new());
    let station = wire.kernels_mac();
    for frame in forward::open_checksums(wire.device.pool(), station, false) {
        wire.send(frame);
    }
    let packets = router.take(2);
    let came: Vec<_> = packets.iter().map(|packet| forward::checked(packet).1).collect();
    assert_eq!(came, [b"over UDP", b"over TCP"]);
}

#[test]
fn the_kernel_cuts_what_is_too_large_for_the_next_wire() {
    enter();
    let (mut wire, mut router) = (Wire::up(&small()), Router::new());
    let station = wire.kernels_mac();
    for (len, size) in [(65_483, 1448), (5000, 1000), (1448, 1448), (100, 1448)] {
        wire.send(forward::large(wire.device.pool(), station, false, (len, size)));
        let packets = router.take(len.div_ceil(size.into()));
        forward::check_segments(&packets, (len, size.into()));
    }
    assert_eq!(wire.device.statistics().tx_frames, 4);
}

#[test]
fn the_descriptor_wakes_when_a_frame_waits() {
    enter();
    let mut wire = Wire::up(&small());
    wire.quiet();
    assert!(!wire.wakes(50), "nothing waits");
    kernel_socket().send_to(b"hello", "10.9.0.2:7").unwrap();
    assert!(wire.wakes(2000), "it waits");
    assert!(wire.wakes(0), "still, until it is received");
    wire.receive(is_udp);
    assert!(!wire.wakes(50), "nothing waits any more");
}

#[test]
fn the_interface_is_configured_as_it_is_named() {
    enter();
    let spec: Spec = "vt1,address=10.1.2.3/20,mac=02:00:00:00:00:0e,mtu=9000".parse().unwrap();
    let (tap, queues) = tap::open(&spec, &small()).unwrap();
    let link = ip("link show vt1");
    assert!(link.contains("mtu 9000") && link.contains("02:00:00:00:00:0e"), "{link}");
    assert!(ip("addr show vt1").contains("inet 10.1.2.3/20"));
    assert_eq!(tap.name(), "vtap:vt1,address=10.1.2.3/20,mac=02:00:00:00:00:0e,mtu=9000");
    let ours = [2, 0, 0, 0, 0, 0x0f];
    assert_eq!((tap.mac(), tap.mtu()), (ours, 9000));
    assert_eq!((queues[0].info().medium, queues[0].info().mtu), (Medium::Ethernet(ours), 9000));
    assert!(tap.is_up());
    ip("link set vt1 down");
    assert!(!tap.is_up());
    // The program's own wish goes first.
    let (tap, _) =
        tap::open(&"vt2,mtu=9000".parse().unwrap(), &Options { mtu: Some(1400), ..small() })
            .unwrap();
    assert_eq!(tap.mtu(), 1400);
}

#[test]
fn the_interface_comes_and_goes_with_the_device() {
    enter();
    for _ in 0..3 {
        let (tap, queues) = open("vtap7", &small()).unwrap();
        assert!(has("vtap7"));
        drop(tap);
        assert!(has("vtap7"), "its queue pair keeps it");
        drop(queues);
        assert!(!has("vtap7"));
        let (tap, queues) = open("vtap7", &small()).unwrap();
        let pool = tap.pool().clone();
        drop(queues);
        assert!(has("vtap7"), "it is kept without queues");
        drop(tap);
        assert!(!has("vtap7"));
        assert_eq!(pool.available(), pool.capacity());
    }
}

#[test]
fn flows_come_back_to_the_queue_that_sent_them() {
    enter();
    let mut wire = Wire::up(&Options { queues: 4, ..small() });
    assert!(matches!(wire.queues[0].info().rss, Rss::Unsupported));
    assert_eq!(wire.queues[3].info().queue, 3);
    let socket = kernel_socket();
    socket.send_to(b"hello", "10.9.0.2:7").unwrap();
    let datagram = wire.receive(is_udp);
    for queue in [2, 0, 3] {
        let mut burst = Burst::new();
        burst.push(wire.answer(wire.device.pool(), &datagram)).unwrap();
        assert_eq!(wire.queues[queue].tx_burst(&mut burst), 1);
        socket.recv_from(&mut [0; 64]).unwrap();
        socket.send_to(b"again", "10.9.0.2:7").unwrap();
        let mut burst = Burst::new();
        let found = within(Duration::from_secs(5), || {
            wire.queues[queue].rx_burst(&mut burst);
            burst.iter().any(is_udp).then_some(())
        });
        assert!(found.is_some(), "at queue {queue}");
    }
}

#[test]
fn what_the_kernel_drops_is_counted() {
    enter();
    let wire = Wire::up(&small());
    let socket = kernel_socket();
    for _ in 0..2000 {
        let _ = socket.send_to(b"too many", "10.9.0.2:7");
    }
    assert!(wire.device.statistics().rx_missed > 0, "{:?}", wire.device.statistics());
    assert_eq!(wire.device.statistics().rx_frames, 0);
}

#[test]
fn frames_that_meet_a_link_that_is_down_are_lost() {
    enter();
    let mut wire = Wire::up(&small());
    ip("link set vtap0 down");
    wire.send(blank(wire.device.pool(), 60));
    let counted = wire.device.statistics();
    assert_eq!((counted.tx_link_down, counted.tx_frames), (1, 0));
    ip("link set vtap0 up");
    wire.send(blank(wire.device.pool(), 60));
    assert_eq!(wire.device.statistics().tx_frames, 1);
}

#[test]
fn a_deleted_interface_lets_its_thread_rest() {
    enter();
    let mut wire = Wire::up(&small());
    ip("link del vtap0");
    let mut burst = Burst::new();
    assert_eq!(wire.queues[0].rx_burst(&mut burst), 0);
    assert!(wire.queues[0].wait_descriptor().is_none(), "it would tell for ever of an error");
    wire.send(blank(wire.device.pool(), 60));
    assert_eq!(wire.device.statistics().tx_link_down, 1);
    assert!(!wire.device.is_up());
}

#[test]
fn wrong_use_has_its_own_words() {
    enter();
    let _first = open("vtap0", &small()).unwrap();
    let interface = || "vtap0".to_owned();
    let in_use = Error::InterfaceInUse { device: "vtap:vtap0".to_owned(), interface: interface() };
    assert_eq!(open("vtap0", &small()).err(), Some(in_use));
    // Another's, which is no tap at all.
    assert!(matches!(open("lo", &small()).err(), Some(Error::InterfaceInUse { .. })));
    for queues in [0, MOST_QUEUES + 1] {
        let error = open("vtap1", &Options { queues, ..small() }).err().unwrap();
        assert!(matches!(error, Error::Queues { asked, most: 256, .. } if asked == queues));
    }
    for (mtu, least) in [(67, 68), (u16::MAX, 68)] {
        let error = open("vtap1", &Options { mtu: Some(mtu), ..small() }).err().unwrap();
        assert!(
            matches!(error, Error::Mtu { asked, least: l, most: 65_521, .. } if asked == mtu && l == least),
            "{error}"
        );
    }
    assert!(!has("vtap1"), "what failed leaves nothing");
    drop_capability(CAP_NET_ADMIN);
    let error = open("vtap2", &small()).err().unwrap();
    assert!(error.to_string().contains("CAP_NET_ADMIN is missing"), "{error}");
}

#[test]
fn all_queues_that_the_kernel_has_can_be_used() {
    enter();
    let (_tap, queues) = open("vtap0", &Options { queues: MOST_QUEUES, ..small() }).unwrap();
    assert_eq!(queues.len(), 256);
}

impl Wire<Tap> {
    /// With an address on the kernel's side, which knows our station.
    fn up(options: &Options) -> Self {
        let (device, queues) = open("vtap0,address=10.9.0.1/24", options).unwrap();
        ip(&format!("neigh add 10.9.0.2 lladdr {} dev vtap0", text(device.mac())));
        Self { device, queues }
    }

    /// The station at the kernel's end.
    fn kernels_mac(&self) -> [u8; 6] {
        let mut mac = self.device.mac();
        mac[5] ^= 1;
        mac
    }
}

fn small() -> Options {
    Options { frames: 256, ..Options::default() }
}

fn open(spec: &str, options: &Options) -> Result<(Tap, Vec<Box<dyn QueuePair>>), Error> {
    tap::open(&spec.parse().unwrap(), options)
}

const CAP_NET_ADMIN: u32 = 12;
