//! A native tap against the kernel, in a network namespace of each test's own. No DPDK is needed.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests panic where they fail")]

mod forward;
#[path = "../dpdk/namespace.rs"]
mod namespace;

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use forward::Router;
use namespace::{drop_capability, enter, has, ip};
use pmd::tap::{self, Error, MOST_QUEUES, Offload, Options, Spec, Tap};
use pmd::{Burst, ChecksumStatus, Frame, L4Checksum, Medium, QueuePair, Rss, TxChecksum};

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

        wire.send(echo(&wire, &datagram));
        let mut bytes = [0; 64];
        let (len, from) = socket.recv_from(&mut bytes).expect("the echo arrives with its checksum");
        assert_eq!((&bytes[..len], from.to_string().as_str()), (&b"hello"[..], "10.9.0.2:7"));
        let counted = wire.tap.statistics();
        assert_eq!((counted.tx_frames, counted.tx_bytes), (1, 47));
    }
}

#[test]
fn the_kernel_fills_in_what_was_left_open() {
    enter();
    let (mut wire, mut router) = (Wire::up(&small()), Router::new());
    let station = wire.kernels_mac();
    for frame in forward::open_checksums(wire.tap.pool(), station, false) {
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
        wire.send(forward::large(wire.tap.pool(), station, false, (len, size)));
        let packets = router.take(len.div_ceil(size.into()));
        forward::check_segments(&packets, (len, size.into()));
    }
    assert_eq!(wire.tap.statistics().tx_frames, 4);
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
        burst.push(echo(&wire, &datagram)).unwrap();
        assert_eq!(wire.queues[queue].tx_burst(&mut burst), 1);
        socket.recv_from(&mut [0; 64]).unwrap();
        socket.send_to(b"again", "10.9.0.2:7").unwrap();
        let mut burst = Burst::new();
        let found = within(|| {
            wire.queues[queue].rx_burst(&mut burst);
            burst.iter().any(is_udp)
        });
        assert!(found, "at queue {queue}");
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
    assert!(wire.tap.statistics().rx_missed > 0, "{:?}", wire.tap.statistics());
    assert_eq!(wire.tap.statistics().rx_frames, 0);
}

#[test]
fn frames_that_meet_a_link_that_is_down_are_lost() {
    enter();
    let mut wire = Wire::up(&small());
    ip("link set vtap0 down");
    wire.send(wire.frame(60));
    let counted = wire.tap.statistics();
    assert_eq!((counted.tx_link_down, counted.tx_frames), (1, 0));
    ip("link set vtap0 up");
    wire.send(wire.frame(60));
    assert_eq!(wire.tap.statistics().tx_frames, 1);
}

#[test]
fn a_deleted_interface_lets_its_thread_rest() {
    enter();
    let mut wire = Wire::up(&small());
    ip("link del vtap0");
    let mut burst = Burst::new();
    assert_eq!(wire.queues[0].rx_burst(&mut burst), 0);
    assert!(wire.queues[0].wait_descriptor().is_none(), "it would tell for ever of an error");
    wire.send(wire.frame(60));
    assert_eq!(wire.tap.statistics().tx_link_down, 1);
    assert!(!wire.tap.is_up());
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

/// A tap of ours, with an address on the kernel's side that knows our station.
struct Wire {
    tap: Tap,
    queues: Vec<Box<dyn QueuePair>>,
}

impl Wire {
    fn up(options: &Options) -> Self {
        let (tap, queues) = open("vtap0,address=10.9.0.1/24", options).unwrap();
        let mac = tap.mac().map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("neigh add 10.9.0.2 lladdr {mac} dev vtap0"));
        Self { tap, queues }
    }

    /// The station at the kernel's end.
    fn kernels_mac(&self) -> [u8; 6] {
        let mut mac = self.tap.mac();
        mac[5] ^= 1;
        mac
    }

    fn frame(&self, len: usize) -> Frame {
        let mut frame = self.tap.pool().alloc().unwrap();
        frame.append(len).unwrap().fill(0);
        frame
    }

    /// The first frame that is `wanted`, at any queue; others are dropped.
    fn receive(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let mut found = None;
        within(|| {
            for queue in &mut self.queues {
                let mut burst = Burst::new();
                queue.rx_burst(&mut burst);
                found = found.take().or_else(|| burst.drain().find(&wanted));
            }
            found.is_some()
        });
        found.expect("the kernel sends it within 5 s")
    }

    fn send(&mut self, frame: Frame) {
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        assert_eq!(self.queues[0].tx_burst(&mut burst), 1);
    }

    /// Receives until the kernel has been silent for a while.
    fn quiet(&mut self) {
        while self.wakes(500) {
            self.queues[0].rx_burst(&mut Burst::new());
        }
    }

    /// Whether the descriptor is readable within so many milliseconds.
    fn wakes(&self, milliseconds: i32) -> bool {
        let descriptor = self.queues[0].wait_descriptor().expect("a tap has one");
        let mut wanted =
            libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, of ours.
        unsafe { libc::poll(&raw mut wanted, 1, milliseconds) > 0 }
    }
}

fn small() -> Options {
    Options { frames: 256, ..Options::default() }
}

fn open(spec: &str, options: &Options) -> Result<(Tap, Vec<Box<dyn QueuePair>>), Error> {
    tap::open(&spec.parse().unwrap(), options)
}

fn kernel_socket() -> UdpSocket {
    let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn within(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn is_udp(frame: &Frame) -> bool {
    frame.head()[12..14] == [8, 0] && frame.head()[23] == 17
}

/// The datagram sent back. Its checksum is left to the device that can, and left out (UDP may) for one that cannot.
fn echo(wire: &Wire, datagram: &Frame) -> Frame {
    let mut answer = wire.tap.pool().frame_of(datagram.head()).unwrap();
    let bytes = answer.head_mut();
    // Swapping leaves the IP header's checksum right.
    for (at, len) in [(0, 6), (26, 4), (34, 2)] {
        let (front, back) = bytes.split_at_mut(at + len);
        front[at..].swap_with_slice(&mut back[..len]);
    }
    if !wire.queues[0].info().tx_offload.udp {
        bytes[40..42].fill(0);
        return answer;
    }
    // The pseudo-header's sum: addresses, protocol, length.
    let words = bytes[26..34].chunks(2).chain([&[0, 17][..], &bytes[38..40]]);
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    bytes[40..42].copy_from_slice(&folded.to_be_bytes());
    let l4 = L4Checksum::Udp;
    answer.request_checksum(TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: false, l4 });
    answer
}

const CAP_NET_ADMIN: u32 = 12;
