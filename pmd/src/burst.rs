//! Frames that move together.

use std::ptr::NonNull;

use arrayvec::ArrayVec;

use crate::Frame;
use crate::frame::{Segment, free_chain};

/// Up to [`Burst::CAPACITY`] frames in order: the unit in which a device gives and takes.
#[derive(Default)]
pub struct Burst {
    frames: ArrayVec<Frame, { Self::CAPACITY }>,
}

impl Burst {
    /// Most frames in one burst.
    pub const CAPACITY: usize = 32;

    /// An empty burst.
    pub const fn new() -> Self {
        Self { frames: ArrayVec::new_const() }
    }

    /// How many frames are in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no frame is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many more frames fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.frames.remaining_capacity()
    }

    /// Adds a frame at the end, or gives it back when the burst is full.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        self.frames.try_push(frame).map_err(arrayvec::CapacityError::element)
    }

    /// Takes all frames out, in order.
    #[inline]
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = Frame> + '_ {
        self.frames.drain(..)
    }

    /// Takes the first `count` frames out (all if there are fewer), in order.
    #[inline]
    pub fn drain_front(&mut self, count: usize) -> impl ExactSizeIterator<Item = Frame> + '_ {
        let count = count.min(self.frames.len());
        self.frames.drain(..count)
    }

    /// The frames, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Frame> {
        self.frames.iter()
    }

    /// Frees the first `count` frames (all if there are fewer), in bulk.
    pub(crate) fn free_front(&mut self, count: usize) {
        if count >= self.len() {
            return self.clear();
        }
        let mut front = Self::new();
        front.frames.extend(self.frames.drain(..count));
    }

    /// Frees every frame, in bulk where the memory is a device's.
    pub fn clear(&mut self) {
        free_all(&mut self.frames);
    }
}

/// Frees every frame, in bulk where the memory is a device's, and leaves nothing.
pub fn free_all<const MOST: usize>(frames: &mut ArrayVec<Frame, MOST>) {
    #[cfg(feature = "dpdk")]
    free_mbufs(frames);
    let segments = frames.as_ptr().cast::<NonNull<Segment>>();
    let count = frames.len();
    // SAFETY: `Frame` is a transparent pointer to a segment; after `set_len` the chains are owned by this function
    // alone, which frees each once.
    unsafe {
        frames.set_len(0);
        for index in 0..count {
            free_chain(*segments.add(index));
        }
    }
}

/// Frees the frames that are wholly device memory, if all are; that is so in every burst of a running device.
#[cfg(feature = "dpdk")]
fn free_mbufs<const MOST: usize>(frames: &mut ArrayVec<Frame, MOST>) {
    if !frames.iter().all(Frame::is_all_mbuf) {
        return;
    }
    let count = u32::try_from(frames.len()).unwrap_or(0);
    // SAFETY: all segments are mbufs of chains that this owns, and forgets.
    unsafe {
        dpdk_sys::rte_pktmbuf_free_bulk(frames.as_mut_ptr().cast(), count);
        frames.set_len(0);
    }
}

/// What only devices of DPDK need.
#[cfg(feature = "dpdk")]
impl Burst {
    /// Has `fill` write chains behind the frames; it is told the place and for how many there is room, and returns how many it
    /// wrote. Returns that number.
    ///
    /// # Safety
    ///
    /// `fill` writes as many pointers as it says, each to a chain that it hands over.
    #[inline]
    pub(crate) unsafe fn extend_raw(
        &mut self,
        fill: impl FnOnce(*mut NonNull<Segment>, u16) -> u16,
    ) -> usize {
        let (len, room) = (self.len(), self.room());
        // SAFETY: `len` is within the capacity; the caller vouches for what `fill` writes, and `Frame` is a transparent
        // pointer to a segment.
        unsafe {
            let place = self.frames.as_mut_ptr().add(len).cast();
            let filled = usize::from(fill(place, u16::try_from(room).unwrap_or(0)));
            self.frames.set_len(len + filled.min(room));
            filled
        }
    }

    /// Where the first chain's pointer is; the others follow it.
    #[inline]
    pub(crate) fn as_raw(&mut self) -> *mut NonNull<Segment> {
        self.frames.as_mut_ptr().cast()
    }

    /// Forgets the first `count` frames, which somebody else has taken over.
    #[inline]
    pub(crate) fn forget_front(&mut self, count: usize) {
        if count == self.len() {
            // SAFETY: no element is left.
            unsafe { self.frames.set_len(0) };
        } else {
            self.frames.drain(..count).for_each(std::mem::forget);
        }
    }

    /// The frames, to be looked at and replaced in place.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Frame] {
        &mut self.frames
    }

    /// Takes one frame out of the middle.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Frame> {
        self.frames.pop_at(index)
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.clear();
    }
}

impl std::fmt::Debug for Burst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
