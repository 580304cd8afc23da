//! The kernel is played by the other end of a socket pair, which keeps the bounds of what is written as the tun driver does.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use super::*;
use crate::tap::Statistics;
use crate::{IpVersion, L4Checksum, Medium, Pool, Rss, TxChecksum, TxOffload, TxSegmentation};

/// A queue, and the kernel's side of it.
struct World {
    queue: TapQueue,
    kernel: UnixDatagram,
    pool: Pool,
}

impl World {
    fn new(offload: Offload, frames: usize) -> Self {
        let (ours, kernel) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        kernel.set_nonblocking(true).unwrap();
        let shape = Shape::of(offload, 1500);
        let pool = Pool::heap(frames, shape.room);
        let info = QueueInfo {
            device: "vtap:test".to_owned(),
            queue: 0,
            medium: Medium::Ethernet([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            tx_offload: TxOffload::default(),
            rss: Rss::OneQueue,
            pool: pool.clone(),
        };
        let file = Arc::new(File::from(OwnedFd::from(ours)));
        let queue = TapQueue::new(file, info, shape, Arc::default());
        Self { queue, kernel, pool }
    }

    fn arrives(&self, header: [u8; virtio::LEN], frame: &[u8]) {
        self.kernel.send(&[&header[..], frame].concat()).unwrap();
    }

    fn received(&mut self) -> Vec<Frame> {
        let mut burst = Burst::new();
        self.queue.rx_burst(&mut burst);
        burst.drain().collect()
    }

    fn counted(&self) -> Statistics {
        let mut sum = Statistics::default();
        sum.add(&self.queue.counters);
        sum
    }

    /// What the kernel is given next: header and frame.
    fn taken(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut bytes = vec![0; 70_000];
        match self.kernel.recv(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                let frame = bytes.split_off(virtio::LEN);
                Some((bytes, frame))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| n.to_le_bytes()[n % 2]).collect()
}

fn contents(frame: &Frame) -> Vec<u8> {
    frame.segments().flatten().copied().collect()
}

const NOTHING: [u8; virtio::LEN] = [0; virtio::LEN];

#[test]
fn frames_of_every_size_arrive_whole() {
    for (offload, sizes) in [
        (Offload::Full, &[14, 60, 1514, 4095, 4096, 4097, 8192, 65_536, 65_553][..]),
        (Offload::None, &[14, 60, 1514, 1518]),
    ] {
        let mut world = World::new(offload, 64);
        for &size in sizes {
            let sent = bytes(size);
            world.arrives(NOTHING, &sent);
            let frames = world.received();
            let [frame] = &frames[..] else { panic!("{size}: {frames:?}") };
            assert!(contents(frame) == sent, "{size}: {frame:?}");
            let room = world.queue.shape.room;
            assert_eq!(frame.segment_count(), size.div_ceil(room), "{size}");
            assert_eq!(frame.segments().map(<[u8]>::len).sum::<usize>(), frame.len());
        }
        let ready = world.queue.ready.len();
        assert_eq!(world.pool.available() + ready, 64, "the rest came back");
        let counted = world.counted();
        assert_eq!(counted.rx_frames, sizes.len() as u64);
        assert_eq!(counted.rx_bytes, sizes.iter().sum::<usize>() as u64);
    }
}

#[test]
fn what_the_header_says_reaches_the_frame() {
    let mut world = World::new(Offload::Full, 64);
    for (flags, want) in
        [(0, ChecksumStatus::Unknown), (1, ChecksumStatus::Good), (2, ChecksumStatus::Good)]
    {
        world.arrives([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0], &bytes(60));
        let found = world.received()[0].rx_offload();
        assert_eq!((found.ip, found.l4), (ChecksumStatus::Unknown, want), "flags {flags}");
    }
}

#[test]
fn hostile_headers_and_runts_are_dropped_by_name() {
    let mut world = World::new(Offload::Full, 64);
    world.kernel.send(&[]).unwrap();
    world.kernel.send(&[0; 9]).unwrap();
    world.arrives(NOTHING, &bytes(13));
    world.arrives([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], &bytes(60));
    world.arrives([0xff; 10], &bytes(60));
    world.arrives(NOTHING, &bytes(61));
    let frames = world.received();
    assert_eq!(frames.len(), 1, "what follows arrives");
    assert_eq!(contents(&frames[0]), bytes(61));
    let counted = world.counted();
    assert_eq!((counted.rx_runt, counted.rx_bad_header, counted.rx_frames), (3, 2, 1));
}

#[test]
fn a_frame_waits_while_the_pool_is_empty() {
    let mut world = World::new(Offload::Full, MOST_SEGMENTS + 1);
    let held: Vec<Frame> = (0..2).map(|_| world.pool.alloc().unwrap()).collect();
    world.arrives(NOTHING, &bytes(60));
    assert_eq!(world.received().len(), 0);
    assert_eq!(world.counted().rx_no_frame, 1);
    drop(held);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn a_burst_of_large_frames_ends_early() {
    let mut world = World::new(Offload::Full, 200);
    for _ in 0..4 {
        world.arrives(NOTHING, &bytes(45_000));
    }
    assert_eq!(world.received().len(), 3, "135 kB");
    assert_eq!(world.received().len(), 1);
    assert_eq!(world.received().len(), 0);
}

#[test]
fn frames_leave_with_what_they_ask_for() {
    let mut world = World::new(Offload::Full, 64);
    let pool = Pool::heap(64, 40);
    let mut plain = pool.frame_of(&bytes(100)).unwrap();
    let mut open = pool.frame_of(&bytes(70)).unwrap();
    plain.clear_offload();
    let l4 = L4Checksum::Tcp;
    open.request_checksum(TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: false, l4 });
    let mut burst = Burst::new();
    burst.push(plain).unwrap();
    burst.push(open).unwrap();
    assert_eq!(world.queue.tx_burst(&mut burst), 2);
    assert!(burst.is_empty());
    assert_eq!(world.taken(), Some((NOTHING.to_vec(), bytes(100))));
    let (header, frame) = world.taken().unwrap();
    assert_eq!((header[0], &header[6..]), (1, &[34_u16, 16].map(u16::to_ne_bytes).concat()[..]));
    assert_eq!(frame, bytes(70));
    assert_eq!(pool.available(), 64);
    assert_eq!((world.counted().tx_frames, world.counted().tx_bytes), (2, 170));
}

#[test]
fn a_chain_of_many_segments_is_put_together() {
    let mut world = World::new(Offload::Full, 64);
    let pool = Pool::heap(200, 10);
    let mut burst = Burst::new();
    burst.push(pool.frame_of(&bytes(1500)).unwrap()).unwrap();
    assert_eq!(world.queue.tx_burst(&mut burst), 1);
    assert_eq!(world.taken(), Some((NOTHING.to_vec(), bytes(1500))));
    // As one that waits for a frame of the pool to be put together in.
    let held: Vec<Frame> = std::iter::from_fn(|| world.pool.alloc()).collect();
    burst.push(pool.frame_of(&bytes(1500)).unwrap()).unwrap();
    assert_eq!(world.queue.tx_burst(&mut burst), 0);
    drop(held);
    assert_eq!(world.queue.tx_burst(&mut burst), 1);
}

#[test]
fn what_cannot_be_sent_is_dropped_by_name() {
    let mut world = World::new(Offload::Full, 64);
    let mut burst = Burst::new();
    let mut misfit = world.pool.frame_of(&bytes(40)).unwrap();
    let l4 = L4Checksum::Udp;
    misfit.request_checksum(TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: false, l4 });
    burst.push(misfit).unwrap();
    burst.push(world.pool.frame_of(&bytes(1519)).unwrap()).unwrap();
    burst.push(world.pool.frame_of(&bytes(1518)).unwrap()).unwrap();
    assert_eq!(world.queue.tx_burst(&mut burst), 3);
    assert_eq!(world.taken(), Some((NOTHING.to_vec(), bytes(1518))));
    assert_eq!(world.taken(), None);
    assert_eq!(world.counted().tx_bad_request, 2);
}

/// A packet of `len` bytes of IP whose segments are of `segment_size`.
fn large(world: &World, len: u16, segment_size: u16) -> Frame {
    let mut bytes = vec![0; 14 + usize::from(len)];
    bytes[14] = 0x45;
    bytes[16..18].copy_from_slice(&len.to_be_bytes());
    bytes[23] = 6;
    bytes[46] = 5 << 4;
    let mut frame = world.pool.frame_of(&bytes).unwrap();
    frame.request_segmentation(TxSegmentation {
        l2_len: 14,
        l3_len: 20,
        l4_len: 20,
        segment_size,
        ip: IpVersion::V4,
        ipv4_header: false,
    });
    frame
}

#[test]
fn only_a_packet_to_be_cut_may_exceed_the_mtu() {
    let mut world = World::new(Offload::Full, 64);
    world.queue.info.tx_offload.tcp_segmentation = u16::MAX;
    let mut burst = Burst::new();
    for (len, segment_size) in [(u16::MAX, 1460), (u16::MAX, 1461)] {
        burst.push(large(&world, len, segment_size)).unwrap();
    }
    let mut plain = large(&world, 1505, 1000);
    plain.clear_offload();
    burst.push(plain).unwrap();
    assert_eq!(world.queue.tx_burst(&mut burst), 3);
    let (header, frame) = world.taken().unwrap();
    assert_eq!((header[1], frame.len()), (1, 65_549));
    assert_eq!(world.taken(), None, "segments that are too large, or none");
    assert_eq!(world.counted().tx_bad_request, 2);

    world.queue.info.tx_offload.tcp_segmentation = 0;
    burst.push(large(&world, 5000, 1000)).unwrap();
    world.queue.tx_burst(&mut burst);
    assert_eq!(world.counted().tx_bad_request, 3, "it was not to be asked");
}

#[test]
fn what_finds_no_room_stays_in_order() {
    let mut world = World::new(Offload::Full, 100);
    let (mut burst, mut sent, mut numbers) = (Burst::new(), 0_u32, vec![]);
    let mut send = |world: &mut World, burst: &mut Burst| {
        while burst.room() > 0 {
            burst
                .push(world.pool.frame_of(&[&sent.to_be_bytes()[..], &[0; 56]].concat()).unwrap())
                .unwrap();
            sent += 1;
        }
        world.queue.tx_burst(burst)
    };
    while send(&mut world, &mut burst) == Burst::CAPACITY {}
    assert!(!burst.is_empty(), "the pair holds no more");
    let number = |frame: Vec<u8>| u32::from_be_bytes(frame[..4].try_into().unwrap());
    numbers.extend(std::iter::from_fn(|| world.taken()).map(|(_, frame)| number(frame)));
    world.queue.tx_burst(&mut burst);
    assert!(burst.is_empty());
    numbers.extend(std::iter::from_fn(|| world.taken()).map(|(_, frame)| number(frame)));
    assert_eq!(numbers, (0..sent).collect::<Vec<_>>());
    assert_eq!(world.counted().tx_frames, u64::from(sent));
}
