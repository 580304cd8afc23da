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
    pub const CAPACITY: usize = 64;

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

    /// Frees every frame, in bulk where the memory is a device's.
    pub fn clear(&mut self) {
        let segments = self.frames.as_ptr().cast::<NonNull<Segment>>();
        let count = self.frames.len();
        // SAFETY: `Frame` is a transparent pointer to a segment; after `set_len` the chains are owned by this function
        // alone, which frees each once.
        unsafe {
            self.frames.set_len(0);
            for index in 0..count {
                free_chain(*segments.add(index));
            }
        }
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
