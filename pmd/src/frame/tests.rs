use proptest::prelude::*;

use super::*;
use crate::{Burst, Pool};

fn bytes(frame: &Frame) -> Vec<u8> {
    frame.segments().flatten().copied().collect()
}

/// A frame of one segment per part.
fn frame(pool: &Pool, parts: &[&[u8]]) -> Frame {
    let mut frames = parts.iter().map(|part| {
        let mut frame = pool.alloc().unwrap();
        frame.extend_from_slice(part).unwrap();
        frame
    });
    let mut first = frames.next().unwrap();
    frames.for_each(|next| first.chain(next));
    first
}

#[test]
fn headers_go_in_front_and_come_off() {
    let pool = Pool::heap(1, 100);
    let mut frame = pool.alloc().unwrap();
    frame.extend_from_slice(b"payload").unwrap();
    frame.prepend(3).unwrap().copy_from_slice(b"hdr");
    assert_eq!(frame.head(), b"hdrpayload");
    frame.trim_front(3);
    assert_eq!(frame.head(), b"payload");
    assert!(frame.prepend(crate::HEADROOM + 1).is_none());
    assert!(frame.append(94).is_none());
    assert_eq!(frame.append(93).unwrap().len(), 93);
    assert_eq!(frame.len(), 100);
}

#[test]
fn a_used_frame_comes_back_fresh() {
    let pool = Pool::heap(1, 64);
    let mut frame = pool.alloc().unwrap();
    frame.extend_from_slice(b"old").unwrap();
    frame.set_rx_offload(RxOffload {
        ip: ChecksumStatus::Bad,
        l4: ChecksumStatus::Good,
        rss_hash: Some(7),
    });
    drop(frame);
    let fresh = pool.alloc().unwrap();
    assert_eq!((fresh.len(), fresh.headroom()), (0, crate::HEADROOM));
    assert_eq!(fresh.rx_offload().ip, ChecksumStatus::Unknown);
    assert_eq!(fresh.rx_offload().rss_hash, None);
}

#[test]
fn requests_to_cut_are_read_back() {
    let pool = Pool::heap(1, 64);
    let mut frame = pool.alloc().unwrap();
    for (ip, ipv4_header) in [(IpVersion::V4, true), (IpVersion::V4, false), (IpVersion::V6, false)]
    {
        let (l2_len, l3_len, l4_len, segment_size) = (127, 511, 60, u16::MAX);
        let wanted = TxSegmentation { l2_len, l3_len, l4_len, segment_size, ip, ipv4_header };
        frame.request_segmentation(wanted);
        assert_eq!(frame.requested_segmentation(), Some(wanted));
        assert_eq!(frame.requested_checksum(), None);
    }
    let l4 = L4Checksum::Tcp;
    let checksum = TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: false, l4 };
    frame.request_checksum(checksum);
    assert_eq!(frame.requested_checksum(), Some(checksum));
    assert_eq!(frame.requested_segmentation(), None);
    frame.request_segmentation(TxSegmentation {
        l2_len: 14,
        l3_len: 20,
        l4_len: 20,
        segment_size: 1,
        ip: IpVersion::V6,
        ipv4_header: false,
    });
    frame.clear_offload();
    assert_eq!((frame.requested_segmentation(), frame.requested_checksum()), (None, None));
}

#[test]
fn offload_requests_are_read_back() {
    let pool = Pool::heap(1, 64);
    let mut frame = pool.alloc().unwrap();
    assert_eq!(frame.requested_checksum(), None);
    for l4 in [L4Checksum::None, L4Checksum::Tcp, L4Checksum::Udp] {
        let wanted = TxChecksum { l2_len: 18, l3_len: 60, ipv4_header: true, l4 };
        frame.request_checksum(wanted);
        assert_eq!(frame.requested_checksum(), Some(wanted));
    }
}

#[test]
fn an_empty_pool_refuses_and_recovers() {
    let pool = Pool::heap(2, 64);
    let (one, two) = (pool.alloc().unwrap(), pool.alloc().unwrap());
    assert!(pool.alloc().is_none());
    assert_eq!(pool.available(), 0);
    drop(one);
    assert_eq!(pool.available(), 1);
    drop(two);
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn a_frame_outlives_every_handle_of_its_pool() {
    let frame = {
        let pool = Pool::heap(1, 64);
        frame(&pool, &[b"still here"])
    };
    assert_eq!(frame.head(), b"still here");
    std::thread::spawn(move || drop(frame)).join().unwrap();
}

#[test]
fn a_burst_frees_in_bulk_and_a_drop_is_counted() {
    let pool = Pool::heap(8, 64);
    let before = frames_dropped_singly();
    let mut burst = Burst::new();
    for _ in 0..4 {
        burst.push(frame(&pool, &[b"a", b"b"])).unwrap();
    }
    assert_eq!(pool.available(), 0);
    burst.clear();
    assert_eq!(pool.available(), 8);
    let singly = pool.alloc().unwrap();
    drop(singly);
    assert!(frames_dropped_singly() > before);
}

#[test]
fn a_full_burst_gives_the_frame_back() {
    let pool = Pool::heap(Burst::CAPACITY + 1, 8);
    let mut burst = Burst::new();
    while burst.room() > 0 {
        burst.push(pool.alloc().unwrap()).unwrap();
    }
    assert!(burst.push(pool.alloc().unwrap()).is_err());
    assert_eq!(burst.drain_front(3).len(), 3);
    assert_eq!(burst.drain().len(), Burst::CAPACITY - 3);
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn a_copy_is_as_long_as_it_is_and_carries_no_offload() {
    let (large, small) = (Pool::heap(1, 100), Pool::heap(4, 3));
    let mut original = frame(&large, &[b"seven b"]);
    original.set_rx_offload(RxOffload {
        ip: ChecksumStatus::Good,
        l4: ChecksumStatus::Bad,
        rss_hash: None,
    });
    let copy = small.copy_of(&original).unwrap();
    assert_eq!((bytes(&copy), copy.segment_count()), (b"seven b".to_vec(), 3));
    assert_eq!(copy.rx_offload().l4, ChecksumStatus::Unknown);
    assert!(small.frame_of(b"four").is_none(), "one frame of three bytes is left");
    assert_eq!(small.available(), 1, "what was taken in vain went back");
    assert_eq!(bytes(&small.frame_of(b"").unwrap()), b"");
    assert!(Pool::heap(9, 0).frame_of(b"x").is_none(), "a frame without room ends no loop");
}

#[test]
fn a_frame_forgets_what_devices_said() {
    let pool = Pool::heap(1, 64);
    let mut frame = pool.alloc().unwrap();
    frame.set_rx_offload(RxOffload {
        ip: ChecksumStatus::Bad,
        l4: ChecksumStatus::Bad,
        rss_hash: Some(7),
    });
    frame.request_checksum(TxChecksum {
        l2_len: 14,
        l3_len: 20,
        ipv4_header: true,
        l4: L4Checksum::Tcp,
    });
    frame.clear_offload();
    let unknown = ChecksumStatus::Unknown;
    assert_eq!(frame.rx_offload(), RxOffload { ip: unknown, l4: unknown, rss_hash: None });
    assert_eq!(frame.requested_checksum(), None);
}

proptest! {
    /// Trimming, truncating and pulling up a chain do to its bytes what they would do to one buffer.
    #[test]
    fn a_chain_is_its_bytes(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        steps in prop::collection::vec((0..4_u8, 0..120_usize), 0..8),
    ) {
        let pool = Pool::heap(16, 100);
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut frame = frame(&pool, &slices);
        let mut model = parts.concat();
        for (step, len) in steps {
            match step {
                0 => {
                    frame.trim_front(len);
                    model.drain(..len.min(model.len()));
                }
                1 => {
                    frame.truncate(len);
                    model.truncate(len);
                }
                2 => {
                    if frame.pull_up(len) {
                        prop_assert_eq!(&frame.head()[..len], &model[..len]);
                    } else {
                        let missing = len - frame.head().len();
                        prop_assert!(len > model.len() || missing > frame.segment().tailroom());
                    }
                }
                _ => {
                    let mut out = vec![0; 30];
                    let copied = frame.copy_to(len, &mut out);
                    let want: Vec<u8> = model.iter().skip(len).take(30).copied().collect();
                    prop_assert_eq!(&out[..copied], &want[..]);
                }
            }
            prop_assert_eq!(bytes(&frame), model.clone());
            prop_assert_eq!(frame.len(), model.len());
            prop_assert_eq!(frame.segments().count(), frame.segment_count());
        }
        drop(frame);
        prop_assert_eq!(pool.available(), pool.capacity());
    }
}
