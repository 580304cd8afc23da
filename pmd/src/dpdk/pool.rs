//! Frame pools in DPDK's memory.
//!
//! A pool is never freed, because frames of it may outlive the device that it was made for. A device that closes gives its
//! pool back, and the next one of the same shape on the same NUMA node takes it.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dpdk_sys::rte_mempool;

use crate::Frame;
use crate::pool::HEADROOM;

/// A handle to one of DPDK's mempools, which live for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MbufPool {
    mempool: NonNull<rte_mempool>,
    shape: Shape,
}

// SAFETY: a mempool of the default kind may be used by any number of threads, and is never freed.
unsafe impl Send for MbufPool {}
// SAFETY: as above.
unsafe impl Sync for MbufPool {}

/// What distinguishes pools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// NUMA node; -1 is any.
    pub(super) node: i32,
    pub(super) frames: u32,
    /// Bytes of a frame behind the headroom.
    pub(super) room: u16,
}

/// A pool taken for a device, until this is dropped.
pub(super) struct Lease {
    index: usize,
    pub(super) pool: MbufPool,
}

impl Lease {
    /// A pool of that shape which no device has; `None` when EAL has no memory for one.
    ///
    /// A pool whose frames are still out is taken only for want of memory: net_af_xdp never gives back those in its rings.
    pub(super) fn take(shape: Shape) -> Option<Self> {
        let mut pools = pools();
        let idle = |entry: &Entry| entry.pool.shape == shape && !entry.leased;
        let complete = |entry: &Entry| entry.pool.available() == entry.pool.capacity();
        let index = match pools.iter().position(|entry| idle(entry) && complete(entry)) {
            Some(index) => index,
            None => match MbufPool::make(pools.len(), shape) {
                Some(pool) => {
                    pools.push(Entry { pool, leased: false });
                    pools.len() - 1
                }
                None => pools.iter().position(idle)?,
            },
        };
        pools[index].leased = true;
        Some(Self { index, pool: pools[index].pool })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        pools()[self.index].leased = false;
    }
}

impl MbufPool {
    fn make(number: usize, shape: Shape) -> Option<Self> {
        let name = CString::new(format!("darner-{number}")).ok()?;
        let headroom = u16::try_from(HEADROOM).ok()?;
        let data_room = shape.room.checked_add(headroom)?;
        // EAL allows a cache of two thirds of the pool at most.
        let cache = CACHE.min(shape.frames / 2);
        // SAFETY: the name is a C string and is copied.
        let mempool = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                name.as_ptr(),
                shape.frames,
                cache,
                0,
                data_room,
                shape.node,
            )
        };
        Some(Self { mempool: NonNull::new(mempool)?, shape })
    }

    #[inline]
    pub(crate) fn alloc(self) -> Option<Frame> {
        // SAFETY: the mempool lives for ever.
        let segment = unsafe { dpdk_sys::pmd_mbuf_alloc(self.as_ptr()) };
        // SAFETY: a fresh mbuf is a chain of one segment that nobody else uses.
        NonNull::new(segment.cast()).map(|segment| unsafe { Frame::from_raw(segment) })
    }

    pub(crate) fn capacity(self) -> usize {
        self.shape.frames as usize
    }

    /// Counts what threads hold in their caches as available, too.
    pub(crate) fn available(self) -> usize {
        // SAFETY: the mempool lives for ever.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.as_ptr()) as usize }
    }

    pub(crate) fn room(self) -> usize {
        usize::from(self.shape.room)
    }

    pub(super) fn as_ptr(self) -> *mut rte_mempool {
        self.mempool.as_ptr()
    }
}

struct Entry {
    pool: MbufPool,
    leased: bool,
}

fn pools() -> MutexGuard<'static, Vec<Entry>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every pool ever made; the number in a pool's name is its index.
static POOLS: Mutex<Vec<Entry>> = Mutex::new(vec![]);

/// Frames that a thread holds ready for itself: a burst or two each way, of at most 512 that DPDK allows.
const CACHE: u32 = 256;
