//! The unit of ring memory: a piece of a stream, linked to the piece after it.
//!
//! A chain that begins with little begins with a small piece, for most connections carry a request and a response at a time: with a hundred thousand
//! of them that is the difference between 100 megabytes and 1.6 gigabytes. Every further piece is a large one, and the second begins where the
//! small one began, its first bytes unused: so pieces end at the same positions whatever they began with.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};

use crate::fault::{Fault, is_on, ordering};
#[cfg(not(loom))]
use crate::stock::{self, Unused};
use crate::sync::{AtomicPtr, AtomicU32, Ordering, Watch};

/// Bytes of stream that one piece of ring memory holds, unless it is a small one.
pub const CHUNK: usize = if cfg!(loom) {
    2
} else if cfg!(miri) {
    16
} else {
    16 * 1024
};

/// Bytes of stream that a small piece holds: with its header it has a kilobyte.
pub const SMALL_CHUNK: usize = if cfg!(loom) {
    1
} else if cfg!(miri) {
    4
} else {
    1024 - 32
};

/// How much a chunk holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Size {
    Small,
    Large,
}

impl Size {
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Small => SMALL_CHUNK,
            Self::Large => CHUNK,
        }
    }

    /// What holds `len` bytes, or as many of them as fit.
    pub(crate) const fn holding(len: usize) -> Self {
        if len <= SMALL_CHUNK { Self::Small } else { Self::Large }
    }

    /// Of a chunk and its bytes behind it.
    pub(crate) const fn layout(self) -> Layout {
        match Layout::from_size_align(size_of::<Chunk>() + self.len(), align_of::<Chunk>()) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    }
}

/// Holds the stream's bytes `[base, base + size.len())`, which lie behind it in memory.
///
/// The writer writes bytes at and above the published tail, the reader reads bytes below it: no byte is ever
/// written again in the life of a chunk. All bytes are initialized from the start.
///
/// # Ordering
///
/// - **A**: whoever gives up a share is done with the bytes (A1, release) before the memory is used again by whoever gives up
///   the last (A2, acquire).
pub(crate) struct Chunk {
    base: u64,
    /// One for the chain, and one for each lease.
    shares: AtomicU32,
    size: Size,
    /// Stored by the writer when the stream enters the next chunk; from then on only the reader touches this one.
    next: AtomicPtr<Self>,
    watch: Watch,
    /// The first, with the provenance of all.
    bytes: *const UnsafeCell<u8>,
}

impl Chunk {
    /// A chunk for the bytes from `base` on.
    pub(crate) fn allocate(base: u64, size: Size) -> NonNull<Self> {
        let chunk = recycled(size).unwrap_or_else(|| zeros(size));
        let memory = chunk.as_ptr();
        // SAFETY: memory of the size's layout, that nobody else knows. What the fields held needs no drop; the bytes behind
        // them are initialized.
        unsafe {
            (&raw mut (*memory).base).write(base);
            (&raw mut (*memory).shares).write(AtomicU32::new(1));
            (&raw mut (*memory).next).write(AtomicPtr::new(ptr::null_mut()));
            (&raw mut (*memory).size).write(size);
            (&raw mut (*memory).watch).write(Watch::new());
            (&raw mut (*memory).bytes).write(memory.add(1).cast());
        }
        chunk
    }

    /// One share more, beside the one that makes this call sound.
    pub(crate) fn lease(&self) {
        self.shares.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a share back, and with the last one the memory.
    ///
    /// # Safety
    /// `chunk` comes from [`allocate`](Self::allocate), whose share this is, or has been [leased](Self::lease), and whoever has
    /// the share does not use the chunk any more. Only who has the chain's share leases.
    pub(crate) unsafe fn free(chunk: NonNull<Self>) {
        // SAFETY: the caller's promise: his share is still there.
        if unsafe { chunk.as_ref() }.give_up() == Shares::Last {
            // SAFETY: the last share is the caller's.
            unsafe { Self::reuse(chunk) };
        }
    }

    /// Gives up one share, without a locked instruction if there is no other: for if this is the last one, nobody is there
    /// to lease.
    fn give_up(&self) -> Shares {
        let acquire = ordering(Ordering::Acquire, Fault::LeaseA2);
        if self.shares.load(acquire) == 1 {
            return Shares::Last; // A2
        }
        if is_on(Fault::LeaseForgotten) {
            return Shares::Last;
        }
        let both = ordering(Ordering::AcqRel, Fault::LeaseA1);
        match self.shares.fetch_sub(1, both) {
            1 => Shares::Last, // A1, A2
            _ => Shares::More,
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// `chunk` comes from [`allocate`](Self::allocate) and nobody uses it any more.
    unsafe fn reuse(chunk: NonNull<Self>) {
        #[cfg(loom)]
        // SAFETY: the caller's promise.
        unsafe { chunk.as_ref() }.watch.free();
        #[cfg(not(loom))]
        {
            // SAFETY: the caller's promise.
            let unused = unsafe { Unused::new(chunk, chunk.as_ref().size) };
            // Miri is to notice whoever comes late.
            if !cfg!(miri) {
                stock::give(unused);
            }
        }
    }

    /// The position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.watch.base();
        self.base + self.size.len() as u64
    }

    /// Where the chunk behind this one begins.
    pub(crate) fn next_base(&self) -> u64 {
        match self.size {
            Size::Small => self.base,
            Size::Large => self.end(),
        }
    }

    /// How many chunks of a chain that begins here end at or before `position`.
    pub(crate) fn chunks_before(&self, position: u64) -> usize {
        self.watch.base();
        let large = usize::try_from(position.saturating_sub(self.base) / CHUNK as u64);
        let small = self.size == Size::Small && position >= self.end();
        large.unwrap_or(usize::MAX).saturating_add(small.into())
    }

    /// The chunk that begins where this one ends, once the stream has entered it.
    pub(crate) fn next(&self) -> Option<NonNull<Self>> {
        NonNull::new(self.next.load(ordering(Ordering::Acquire, Fault::LinkB2))) // B2
    }

    /// The writer leaves this chunk for `next` and never comes back.
    pub(crate) fn link(&self, next: NonNull<Self>) {
        self.next.store(next.as_ptr(), ordering(Ordering::Release, Fault::LinkB1)); // B1
    }

    /// The bytes of positions `[from, to)`, cut to this chunk.
    ///
    /// # Safety
    /// They are published, and the chunk is not given back while the slice lives.
    pub(crate) unsafe fn read(&self, from: u64, to: u64) -> &[u8] {
        let start = self.offset(from);
        let end = self.offset(to).max(start);
        self.watch.read(start, end);
        // SAFETY: inside `bytes` because `offset` clamps; nobody writes published bytes.
        unsafe { std::slice::from_raw_parts(self.byte(start), end - start) }
    }

    /// The bytes from position `from` to the end of the chunk.
    ///
    /// # Safety
    /// None of them is published, the caller is the writer and has one such slice at a time, and the chunk is not
    /// given back while the slice lives.
    #[expect(
        clippy::mut_from_ref,
        reason = "the bytes are cells, whose unpublished part is the writer's"
    )]
    pub(crate) unsafe fn write(&self, from: u64) -> &mut [u8] {
        let start = self.offset(from);
        let end = self.size.len();
        self.watch.write(start, end);
        // SAFETY: inside `bytes` because `offset` clamps; nobody else looks at unpublished bytes.
        unsafe { std::slice::from_raw_parts_mut(self.byte(start), end - start) }
    }

    /// Where `position` lies in `bytes`, clamped to the chunk.
    fn offset(&self, position: u64) -> usize {
        let len = self.size.len();
        usize::try_from(position.saturating_sub(self.base)).unwrap_or(len).min(len)
    }

    /// With the provenance of all bytes.
    fn byte(&self, index: usize) -> *mut u8 {
        UnsafeCell::raw_get(self.bytes).wrapping_add(index)
    }
}

/// What is left of a chunk's shares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shares {
    More,
    Last,
}

/// Memory of a chunk that was given back, with arbitrary bytes.
#[cfg(not(loom))]
fn recycled(size: Size) -> Option<NonNull<Chunk>> {
    stock::take(size).map(Unused::into_inner)
}

/// Models watch over every chunk until their end, so none is used again.
#[cfg(loom)]
fn recycled(_: Size) -> Option<NonNull<Chunk>> {
    None
}

/// New memory for a chunk.
fn zeros(size: Size) -> NonNull<Chunk> {
    let layout = size.layout();
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(cfg!(miri) || Size::Small.layout().size() == 1024);
