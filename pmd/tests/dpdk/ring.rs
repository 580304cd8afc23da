//! net_ring: what is sent is received, so frames can be followed.

use std::thread;

use pmd::{Pool, frames_dropped_singly};

use super::{completes, eal, numbered, open, small};

const RING: &str = "vdev:net_ring0";

#[test]
fn what_is_sent_comes_back_in_order() {
    let (device, mut queues) = open(eal(), RING, &small());
    assert_eq!(device.driver(), "net_ring");
    let mut burst = numbered(device.pool(), 32);
    assert_eq!(queues[0].tx_burst(&mut burst), 32);
    assert!(burst.is_empty());

    assert_eq!(queues[0].rx_burst(&mut burst), 32);
    let numbers: Vec<[u8; 4]> = burst.iter().map(|f| f.head()[..4].try_into().unwrap()).collect();
    let sent: Vec<[u8; 4]> = (0..32_u32).map(u32::to_be_bytes).collect();
    assert_eq!(numbers, sent);

    let before = frames_dropped_singly();
    burst.clear();
    assert_eq!(frames_dropped_singly(), before, "a burst is freed in bulk");
    assert!(completes(device.pool()));
    assert_eq!((device.statistics().tx_frames, device.statistics().rx_frames), (32, 32));
}

#[test]
fn frames_are_freed_on_threads_that_dpdk_does_not_know() {
    let (device, mut queues) = open(eal(), RING, &small());
    let mut burst = numbered(device.pool(), 32);
    queues[0].tx_burst(&mut burst);
    queues[0].rx_burst(&mut burst);
    let one = burst.drain_front(1).next();
    thread::spawn(move || drop((one, burst))).join().unwrap();
    assert!(completes(device.pool()));
}

#[test]
fn frames_are_freed_on_another_registered_core() {
    let (device, mut queues) = open(eal(), RING, &small());
    let pool = device.pool().clone();
    thread::spawn(move || {
        let mut burst = numbered(&pool, 32);
        queues[0].tx_burst(&mut burst);
        queues[0].rx_burst(&mut burst);
        // The other thread is the one that allocated, on a core of its own.
        thread::spawn(move || {
            pmd::dpdk::register_thread().unwrap();
            drop(burst);
        })
        .join()
        .unwrap();
    })
    .join()
    .unwrap();
    assert!(completes(device.pool()));
}

#[test]
fn frames_outlive_their_device() {
    let (device, mut queues) = open(eal(), RING, &small());
    let pool = device.pool().clone();
    let mut burst = numbered(&pool, 32);
    queues[0].tx_burst(&mut burst);
    queues[0].rx_burst(&mut burst);
    // Eight are with us, the others in the device when it closes.
    let kept: Vec<_> = burst.drain_front(8).collect();
    assert_eq!(queues[0].tx_burst(&mut burst), 24);
    drop(device);
    drop(queues);
    assert_eq!(pool.available(), pool.capacity() - 8, "the device gave its frames back");
    assert_eq!(kept[7].head()[..4], 7_u32.to_be_bytes());
    drop(kept);
    assert!(completes(&pool));
}

#[test]
fn a_device_opens_again_with_the_same_memory() {
    let eal = eal();
    let mut first = None;
    for _ in 0..3 {
        let (device, mut queues) = open(eal, RING, &small());
        let mut burst = numbered(device.pool(), 16);
        assert_eq!(queues[0].tx_burst(&mut burst), 16);
        assert_eq!(queues[0].rx_burst(&mut burst), 16);
        burst.clear();
        let frames: Vec<_> = std::iter::from_fn(|| device.pool().alloc()).collect();
        assert_eq!(frames.len(), device.pool().capacity());
        let lowest = frames.iter().map(|frame| frame.head().as_ptr()).min();
        assert_eq!(*first.get_or_insert(lowest), lowest);
    }
}

#[test]
fn queue_pairs_keep_the_device_running() {
    let (device, mut queues) = open(eal(), RING, &small());
    let pool = device.pool().clone();
    drop(device);
    let mut burst = numbered(&pool, 4);
    assert_eq!(queues[0].tx_burst(&mut burst), 4);
    assert_eq!(queues[0].rx_burst(&mut burst), 4);
}

#[test]
fn heap_frames_are_copied_into_the_devices_memory() {
    let (device, mut queues) = open(eal(), RING, &small());
    let heap = Pool::heap(64, 2048);
    let mut burst = numbered(&heap, 3);
    // One chain mixes both kinds of memory.
    let mut mixed = device.pool().alloc().unwrap();
    mixed.extend_from_slice(b"head ").unwrap();
    let mut tail = heap.alloc().unwrap();
    tail.extend_from_slice(b"tail").unwrap();
    mixed.chain(tail);
    burst.push(mixed).unwrap();

    assert_eq!(queues[0].tx_burst(&mut burst), 4);
    assert_eq!(heap.available(), 64);
    assert_eq!(queues[0].rx_burst(&mut burst), 4);
    assert!(burst.iter().all(pmd::Frame::is_mbuf));
    let lens: Vec<usize> = burst.iter().map(pmd::Frame::len).collect();
    assert_eq!(lens, [64, 64, 64, 9]);
    assert_eq!(burst.iter().last().unwrap().head(), b"head tail");
    burst.clear();
    assert!(completes(device.pool()));
}

#[test]
fn what_is_longer_than_the_mtu_is_discarded_and_counted() {
    let (device, mut queues) = open(eal(), RING, &small());
    let mut burst = numbered(device.pool(), 3);
    let heap = Pool::heap(1, 9000);
    let mut giant = heap.alloc().unwrap();
    giant.append(1519).unwrap();
    burst.push(giant).unwrap();
    assert_eq!(queues[0].tx_burst(&mut burst), 4, "taken, though not sent");
    assert_eq!(heap.available(), 1);
    assert_eq!(device.statistics().tx_discarded, 1);
    assert_eq!(queues[0].rx_burst(&mut burst), 3);
}

#[test]
fn a_full_device_leaves_the_rest_in_the_burst() {
    let (device, mut queues) = open(eal(), RING, &small());
    // net_ring holds 1023 frames.
    let mut sent = 0;
    let left = loop {
        let mut burst = numbered(device.pool(), 30);
        sent += queues[0].tx_burst(&mut burst);
        if !burst.is_empty() {
            break burst;
        }
    };
    assert_eq!(sent, 1023);
    let first = left.iter().next().unwrap().head()[..4].to_vec();
    assert_eq!(first, u32::try_from(1023 % 30).unwrap().to_be_bytes());
    drop(left);
    drop(queues);
    let pool = device.pool().clone();
    drop(device);
    assert!(completes(&pool), "frames in the ring are freed when it closes");
}

#[test]
fn an_exhausted_pool_gives_no_frame() {
    let (device, _queues) = open(eal(), RING, &small());
    let pool = device.pool();
    let frames: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!((frames.len(), pool.available()), (pool.capacity(), 0));
    drop(frames);
    assert_eq!(pool.available(), pool.capacity());
}
