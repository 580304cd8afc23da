//! Frames on the heap: for devices in software, and for tests that count what comes back.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use super::HEADROOM;
use crate::Frame;
use crate::frame::Segment;

pub(crate) struct HeapPool {
    /// Segments that were used before and came back.
    idle: ArrayQueue<Idle>,
    /// Segments ever made, at most the capacity.
    made: AtomicUsize,
    room: usize,
}

/// What one allocation holds: the segment, whose pool it is, and then the buffer.
#[repr(C)]
struct HeapSegment {
    segment: Segment,
    /// A strong reference while the segment is out, so that the pool outlives its frames; null while idle.
    owner: *const HeapPool,
    /// Bytes of the buffer behind this struct.
    buffer_len: usize,
}

struct Idle(NonNull<HeapSegment>);

// SAFETY: an idle segment is owned by the queue that it sits in, and used by nobody.
unsafe impl Send for Idle {}

impl HeapPool {
    pub(super) fn new(count: usize, room: usize) -> Arc<Self> {
        assert!(
            HEADROOM + room <= usize::from(u16::MAX),
            "room of {room} B is more than a segment counts"
        );
        Arc::new(Self { idle: ArrayQueue::new(count), made: AtomicUsize::new(0), room })
    }

    pub(super) fn alloc(self: &Arc<Self>) -> Option<Frame> {
        let mut segment = match self.idle.pop() {
            Some(Idle(segment)) => segment,
            None => self.make()?,
        };
        // SAFETY: the segment came from the idle queue or was just made: nobody else has it.
        let fields = unsafe { segment.as_mut() };
        fields.owner = Arc::into_raw(self.clone());
        fields.segment.reset();
        // SAFETY: a chain of one segment that nobody else uses.
        Some(unsafe { Frame::from_raw(segment.cast()) })
    }

    pub(super) fn capacity(&self) -> usize {
        self.idle.capacity()
    }

    pub(super) fn available(&self) -> usize {
        self.idle.len() + self.capacity() - self.made.load(Ordering::Acquire)
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    fn make(&self) -> Option<NonNull<HeapSegment>> {
        self.made
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |made| {
                (made < self.capacity()).then_some(made + 1)
            })
            .ok()?;
        let buffer_len = HEADROOM + self.room;
        let layout = layout(buffer_len);
        // SAFETY: the layout is not empty.
        let Some(memory) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        let header: NonNull<HeapSegment> = memory.cast();
        // SAFETY: the allocation is large and aligned enough for the header, then the buffer; all zeros is a valid header.
        unsafe {
            let fields = &mut *header.as_ptr();
            fields.buffer_len = buffer_len;
            fields.segment.buf_addr = memory.as_ptr().add(size_of::<HeapSegment>());
            fields.segment.buf_len = u16::try_from(buffer_len).unwrap_or(u16::MAX);
        }
        Some(header)
    }
}

impl Drop for HeapPool {
    fn drop(&mut self) {
        while let Some(Idle(segment)) = self.idle.pop() {
            // SAFETY: idle segments are owned by the queue, and were made with this layout.
            unsafe { dealloc(segment.as_ptr().cast(), layout(segment.as_ref().buffer_len)) };
        }
    }
}

/// Takes a segment back.
///
/// # Safety
///
/// `segment` is a single heap segment (its `pool` is null) that the caller owns and does not use afterwards.
pub(crate) unsafe fn free(segment: NonNull<Segment>) {
    let mut segment: NonNull<HeapSegment> = segment.cast();
    // SAFETY: `owner` was made by `Arc::into_raw` when the segment was handed out, and is given back once.
    let pool = unsafe { Arc::from_raw(ptr::replace(&raw mut segment.as_mut().owner, ptr::null())) };
    let queued = pool.idle.push(Idle(segment));
    debug_assert!(queued.is_ok(), "the queue has room for every segment of its pool");
}

impl Segment {
    /// Makes a used segment a fresh one; where its buffer is stays.
    fn reset(&mut self) {
        *self = Self {
            buf_addr: self.buf_addr,
            buf_iova: 0,
            data_off: u16::try_from(HEADROOM).unwrap_or(u16::MAX),
            refcnt: 1,
            nb_segs: 1,
            port: u16::MAX,
            ol_flags: 0,
            packet_type: 0,
            pkt_len: 0,
            data_len: 0,
            vlan_tci: 0,
            hash_rss: 0,
            hash_high: 0,
            vlan_tci_outer: 0,
            buf_len: self.buf_len,
            pool: ptr::null_mut(),
            next: ptr::null_mut(),
            tx_offload: 0,
            shinfo: ptr::null_mut(),
            priv_size: 0,
            timesync: 0,
            dynfield1: [0; 9],
        };
    }
}

fn layout(buffer_len: usize) -> Layout {
    Layout::from_size_align(size_of::<HeapSegment>() + buffer_len, align_of::<HeapSegment>())
        .expect("a segment is far below isize::MAX")
}
