//! Where frames come from.

use std::sync::Arc;

use crate::Frame;
#[cfg(feature = "dpdk")]
use crate::dpdk::pool::MbufPool;

pub(crate) mod heap;

/// Bytes kept free before the data of a fresh frame, for headers.
pub const HEADROOM: usize = 128;

/// A bounded store of frames, all of one size. A clone is another handle to the same store.
///
/// A frame may outlive every handle of its pool.
#[derive(Clone)]
pub struct Pool(Kind);

#[derive(Clone)]
enum Kind {
    Heap(Arc<heap::HeapPool>),
    #[cfg(feature = "dpdk")]
    Mbuf(MbufPool),
}

impl Pool {
    /// A pool of `count` frames on the heap, each with room for `room` bytes behind [`HEADROOM`]. Memory is taken as
    /// frames are first needed.
    ///
    /// # Panics
    ///
    /// When `count` is zero, or `room` above 65,407 bytes (segments count in 16 bits).
    pub fn heap(count: usize, room: usize) -> Self {
        Self(Kind::Heap(heap::HeapPool::new(count, room)))
    }

    /// A device's pool.
    #[cfg(feature = "dpdk")]
    pub(crate) fn mbuf(pool: MbufPool) -> Self {
        Self(Kind::Mbuf(pool))
    }

    /// An empty frame of one segment, or `None` when all frames are in use.
    #[inline]
    pub fn alloc(&self) -> Option<Frame> {
        match &self.0 {
            Kind::Heap(pool) => pool.alloc(),
            #[cfg(feature = "dpdk")]
            Kind::Mbuf(pool) => pool.alloc(),
        }
    }

    /// A frame that holds a copy of `bytes`, in as many segments as they need; `None` when the pool has too few.
    ///
    /// ```
    /// let pool = pmd::Pool::heap(4, 2048);
    /// assert_eq!(pool.frame_of(b"hello").unwrap().head(), b"hello");
    /// ```
    pub fn frame_of(&self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.alloc()?;
        self.fill(&mut frame, bytes)?;
        Some(frame)
    }

    /// A copy of `frame`'s bytes alone, without what devices found or were asked; `None` when the pool has too few.
    pub fn copy_of(&self, frame: &Frame) -> Option<Frame> {
        let mut copy = self.alloc()?;
        frame.segments().try_for_each(|bytes| self.fill(&mut copy, bytes))?;
        Some(copy)
    }

    /// Appends `bytes` to `frame`, in further segments where its last one has no room.
    fn fill(&self, frame: &mut Frame, mut bytes: &[u8]) -> Option<()> {
        loop {
            let (now, later) = bytes.split_at(bytes.len().min(frame.tailroom()));
            frame.extend_from_slice(now)?;
            if later.is_empty() {
                return Some(());
            }
            bytes = later;
            let next = self.alloc().filter(|next| next.tailroom() > 0)?;
            frame.chain(next);
        }
    }

    /// How many frames the pool has.
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Kind::Heap(pool) => pool.capacity(),
            #[cfg(feature = "dpdk")]
            Kind::Mbuf(pool) => pool.capacity(),
        }
    }

    /// How many frames are not in use just now.
    pub fn available(&self) -> usize {
        match &self.0 {
            Kind::Heap(pool) => pool.available(),
            #[cfg(feature = "dpdk")]
            Kind::Mbuf(pool) => pool.available(),
        }
    }

    /// Bytes that fit in one fresh frame, headroom aside.
    pub fn room(&self) -> usize {
        match &self.0 {
            Kind::Heap(pool) => pool.room(),
            #[cfg(feature = "dpdk")]
            Kind::Mbuf(pool) => pool.room(),
        }
    }
}
