//! A device whose other side is a handle: what is injected arrives, what was transmitted is taken.
//!
//! There is no wire and no time in it. A test says exactly which packets arrive and sees exactly which leave, in their
//! order; a benchmark counts instructions with nothing else in the way.
//!
//! ```
//! use pmd::{Burst, Pool, QueuePair, mem};
//!
//! let (mut queue, handle) = mem::device(Pool::heap(64, 2048), 1500);
//! handle.inject_bytes(b"an IP packet").unwrap();
//!
//! let mut burst = Burst::new();
//! assert_eq!(queue.rx_burst(&mut burst), 1);
//! assert_eq!(queue.tx_burst(&mut burst), 1);
//! assert_eq!(handle.take_bytes().unwrap(), b"an IP packet");
//! assert_eq!(handle.take_bytes(), None);
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Burst, Frame, Medium, Pool, QueueInfo, QueuePair, Rss, TxOffload};

/// A device without a link layer: its frames begin with the IP header.
///
/// `mtu` is the largest IP packet in bytes, and only told: the device takes whatever it is given. Frames for
/// transmission and for [`MemHandle::inject_bytes`] come from `pool`.
pub fn device(pool: Pool, mtu: u16) -> (MemQueue, MemHandle) {
    open(Medium::Ip, pool, mtu)
}

/// A device whose frames begin with an Ethernet II header, and whose own address is `address`. Else as [`device`].
pub fn ethernet(pool: Pool, mtu: u16, address: [u8; 6]) -> (MemQueue, MemHandle) {
    open(Medium::Ethernet(address), pool, mtu)
}

fn open(medium: Medium, pool: Pool, mtu: u16) -> (MemQueue, MemHandle) {
    let shared = Arc::new(Mutex::new(Shared {
        arriving: VecDeque::new(),
        transmitted: VecDeque::new(),
        transmit_limit: usize::MAX,
    }));
    let info = QueueInfo {
        device: "mem".to_owned(),
        queue: 0,
        medium,
        mtu,
        tx_offload: TxOffload { multi_segment: true, ..TxOffload::default() },
        rss: Rss::default(),
        pool: pool.clone(),
    };
    (MemQueue { info, shared: shared.clone() }, MemHandle { pool, shared })
}

/// The stack's side of the device.
pub struct MemQueue {
    info: QueueInfo,
    shared: Arc<Mutex<Shared>>,
}

impl MemQueue {
    /// The same queue, said to fill in checksums and to cut packets as `offload` tells. It does neither: the frames come out as
    /// they went in, with [`Frame::requested_checksum`] or [`Frame::requested_segmentation`] as it was asked for.
    #[must_use]
    pub fn with_tx_offload(mut self, offload: TxOffload) -> Self {
        self.info.tx_offload = offload;
        self
    }
}

impl QueuePair for MemQueue {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let mut shared = lock(&self.shared);
        let count = burst.room().min(shared.arriving.len());
        // Most polls find nothing.
        if count == 0 {
            return 0;
        }
        for frame in shared.arriving.drain(..count) {
            burst.push(frame).expect("no more than there is room for");
        }
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let mut shared = lock(&self.shared);
        let room = shared.transmit_limit.saturating_sub(shared.transmitted.len());
        let count = room.min(burst.len());
        shared.transmitted.extend(burst.drain_front(count));
        count
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }
}

/// The other side of the device. A clone is another handle to the same one.
#[derive(Clone)]
pub struct MemHandle {
    pool: Pool,
    shared: Arc<Mutex<Shared>>,
}

impl MemHandle {
    /// Lets `frame` arrive, behind what was injected before, with the offload results it carries.
    pub fn inject(&self, frame: Frame) {
        lock(&self.shared).arriving.push_back(frame);
    }

    /// Lets a copy of `bytes` arrive in a frame of the device's pool; `None` when the pool has none left.
    #[must_use]
    pub fn inject_bytes(&self, bytes: &[u8]) -> Option<()> {
        self.inject(self.pool.frame_of(bytes)?);
        Some(())
    }

    /// How many frames were injected and not yet received.
    pub fn arriving(&self) -> usize {
        lock(&self.shared).arriving.len()
    }

    /// The frame that was transmitted first among those not yet taken.
    pub fn take(&self) -> Option<Frame> {
        lock(&self.shared).transmitted.pop_front()
    }

    /// The bytes of what [`take`](Self::take) takes; the frame is freed.
    pub fn take_bytes(&self) -> Option<Vec<u8>> {
        self.take().map(|frame| frame.segments().collect::<Vec<_>>().concat())
    }

    /// How many frames were transmitted and not yet taken.
    pub fn transmitted(&self) -> usize {
        lock(&self.shared).transmitted.len()
    }

    /// From now on the device accepts a frame only while fewer than `frames` wait to be taken: a transmit ring that is
    /// full. At first there is no limit.
    pub fn limit_transmit(&self, frames: usize) {
        lock(&self.shared).transmit_limit = frames;
    }
}

struct Shared {
    arriving: VecDeque<Frame>,
    transmitted: VecDeque<Frame>,
    transmit_limit: usize,
}

/// Every change under the lock is complete in itself, so a panic elsewhere leaves nothing half done.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IpVersion, TxSegmentation};

    #[test]
    fn frames_keep_their_order_both_ways_and_over_bursts() {
        let (mut queue, handle) = device(Pool::heap(200, 64), 1500);
        for n in 0..150_u8 {
            handle.inject_bytes(&[n]).unwrap();
        }
        let mut burst = Burst::new();
        let most = Burst::CAPACITY;
        for want in [most, most, most, most, 150 - 4 * most, 0] {
            assert_eq!(queue.rx_burst(&mut burst), want);
            assert_eq!(queue.tx_burst(&mut burst), want);
        }
        let taken: Vec<u8> = std::iter::from_fn(|| handle.take_bytes()).flatten().collect();
        assert_eq!(taken, (0..150).collect::<Vec<_>>());
    }

    #[test]
    fn a_receive_burst_takes_no_more_than_its_room() {
        let (mut queue, handle) = device(Pool::heap(100, 64), 1500);
        let mut burst = Burst::new();
        for n in 0..38 {
            handle.inject_bytes(&[n]).unwrap();
        }
        assert_eq!(queue.rx_burst(&mut burst), Burst::CAPACITY);
        assert_eq!(queue.rx_burst(&mut burst), 0);
        assert_eq!(handle.arriving(), 6);
    }

    #[test]
    fn a_full_transmit_ring_leaves_the_rest_in_the_burst() {
        let (mut queue, handle) = device(Pool::heap(8, 64), 1500);
        handle.limit_transmit(2);
        let mut burst = Burst::new();
        for n in 0..3 {
            burst.push(queue.info().pool.frame_of(&[n]).unwrap()).unwrap();
        }
        assert_eq!((queue.tx_burst(&mut burst), burst.len()), (2, 1));
        assert_eq!(queue.tx_burst(&mut burst), 0);
        assert_eq!(handle.take_bytes(), Some(vec![0]));
        assert_eq!((queue.tx_burst(&mut burst), burst.len()), (1, 0));
        assert_eq!((handle.take_bytes(), handle.take_bytes()), (Some(vec![1]), Some(vec![2])));
    }

    #[test]
    fn the_medium_is_what_was_opened() {
        let address = [2, 0, 0, 0, 0, 9];
        let (ip, _) = device(Pool::heap(1, 64), 1400);
        let (ethernet, _) = ethernet(Pool::heap(1, 64), 9000, address);
        assert_eq!((ip.info().medium, ip.info().mtu), (Medium::Ip, 1400));
        assert_eq!(ethernet.info().medium, Medium::Ethernet(address));
        assert_eq!(ethernet.info().mtu, 9000);
        let tcp = TxOffload { tcp: true, ..TxOffload::default() };
        assert_eq!(ethernet.with_tx_offload(tcp).info().tx_offload, tcp);
    }

    #[test]
    fn requests_come_out_as_they_went_in() {
        let (queue, handle) = device(Pool::heap(2, 64), 1500);
        let offload = TxOffload { tcp_segmentation: 9000, tcp_segments: 6, ..TxOffload::default() };
        let mut queue = queue.with_tx_offload(offload);
        assert_eq!(queue.info().tx_offload.tcp_segmentation, 9000);
        let (l2_len, l3_len, l4_len, ip) = (0, 20, 20, IpVersion::V4);
        let wanted =
            TxSegmentation { l2_len, l3_len, l4_len, segment_size: 1460, ip, ipv4_header: true };
        let mut frame = queue.info().pool.frame_of(b"whatever").unwrap();
        frame.request_segmentation(wanted);
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        queue.tx_burst(&mut burst);
        assert_eq!(handle.take().unwrap().requested_segmentation(), Some(wanted));
    }

    #[test]
    fn every_frame_returns_to_its_pool() {
        let pool = Pool::heap(10, 64);
        let (mut queue, handle) = device(pool.clone(), 1500);
        for n in 0..10 {
            handle.inject_bytes(&[n]).unwrap();
        }
        assert!(handle.inject_bytes(b"one too many").is_none());
        let mut burst = Burst::new();
        queue.rx_burst(&mut burst);
        let foreign: Vec<Frame> = burst.drain_front(3).collect();
        std::thread::spawn(move || drop(foreign)).join().unwrap();
        assert_eq!(pool.available(), 3);
        queue.tx_burst(&mut burst);
        handle.inject_bytes(b"never received").unwrap();
        drop((queue, handle));
        assert_eq!(pool.available(), 10);
    }
}
