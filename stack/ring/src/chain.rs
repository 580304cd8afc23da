//! The memory of a byte ring: a chain of chunks with one writer and one reader. All `unsafe` of the byte rings that
//! concerns two threads is here and below; [`receive`](crate::receive) and [`send`](crate::send) give the flags their meaning.
//!
//! A chain comes into being when the writer wants to write into an empty ring, grows at the writer's end, is given
//! back chunk by chunk behind the reader, and is gone when the reader has read everything.
//!
//! | word    | writer                                        | reader     |
//! |---------|-----------------------------------------------|------------|
//! | `tail`  | writer; flags also by closers                 | reader     |
//! | `claim` | writer, and the reader in one case (see C)    | both       |
//! | `first` | writer while the reader knows no chunk        | reader     |
//! | `head`  | reader; flags also by closers                 | writer     |
//! | `limit` | whoever decides about memory                  | writer     |
//! | `window` | writer                                       | reader     |
//! | `lent`  | reader, and who has a lease                   | writer     |
//! | `mark`  | writer, before the tail (A1)                  | reader     |
//!
//! # Ordering
//!
//! - **A**: the writer fills bytes and links chunks, then publishes `tail` (A1, release). A reader that sees the new
//!   tail (A2, acquire) sees the bytes below it, and `first`.
//! - **B**: a chunk is made ready before it is linked (B1, release); a reader that follows the link (B2, acquire) sees
//!   it whole, even before the tail has entered it.
//! - **C**: who may use the last chunk of an empty ring? The writer *claims* the chain before it writes and lets go of
//!   it before it publishes, by storing the new tail in `claim` (C1, release). The reader, once it has read
//!   everything, takes the chain away if `claim` is still the tail that it has read to (C2, acquire). Positions
//!   never repeat, so an exchange that succeeds proves that the writer has not been there since.
//! - **D**: the reader reads bytes, then moves `head` (D1, release) and gives chunks back. The writer (D2, acquire) counts
//!   room by it; it never writes a byte a second time, so memory does not depend on D.
//! - **E**: the writer says that there is no window, fences (E1), and looks at the head once more. The reader moves the head,
//!   fences (E2), and looks whether there is a window. Both fences are sequentially consistent, so one of the two sees what
//!   the other did.

use std::ptr::{self, NonNull};

use crate::chunk::Chunk;
use crate::fault::{Fault, full_fence};
use crate::mark::MarkWord;
use crate::sync::{Arc, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::word::SharedWord;

mod reader;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Makes an empty chain, which holds no memory but its words, for at most `limit` bytes.
pub(crate) fn chain(limit: usize) -> (Writer, Reader) {
    let words = Arc::new(Words {
        tail: SharedWord::new(),
        claim: AtomicU64::new(NO_CHAIN),
        first: AtomicPtr::new(ptr::null_mut()),
        limit: AtomicU32::new(0),
        window: AtomicU32::new(OPEN),
        mark: MarkWord::new(),
        _apart: [0; APART],
        lent: AtomicU32::new(0),
        head: SharedWord::new(),
    });
    words.set_limit(limit);
    (Writer::new(words.clone()), Reader::new(words))
}

/// What both sides share.
///
/// What the writer writes and what the reader writes are so far apart that no cache line holds both, wherever the
/// allocator puts them; the writer's words share theirs with the reference counts, which nobody touches in passing.
/// `limit`, `window` and `mark` hardly ever change, and may be on either line.
#[repr(C)]
pub(crate) struct Words {
    pub(crate) tail: SharedWord,
    /// [`CLAIMED`], [`NO_CHAIN`], or the tail at which the writer last let go of the chain.
    claim: AtomicU64,
    /// The first chunk of the chain, for a reader that knows none.
    first: AtomicPtr<Chunk>,
    limit: AtomicU32,
    window: AtomicU32,
    /// The newest urgent byte.
    pub(crate) mark: MarkWord,
    _apart: [u8; APART],
    /// How many leases of chunks there are.
    lent: AtomicU32,
    pub(crate) head: SharedWord,
}

impl Words {
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(u32::try_from(limit).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// For the writer. It looks at the head afterwards.
    pub(crate) fn close_window(&self) {
        self.window.store(CLOSED, Ordering::Relaxed);
        full_fence(Fault::WindowE1); // E1
    }

    /// For the writer.
    pub(crate) fn open_window(&self) {
        self.window.store(OPEN, Ordering::Relaxed);
    }

    /// For the reader, which has moved the head.
    pub(crate) fn window_is_closed(&self) -> bool {
        full_fence(Fault::WindowE2); // E2
        self.window.load(Ordering::Relaxed) == CLOSED
    }

    pub(crate) fn lend(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_back(&self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn lent(&self) -> u32 {
        self.lent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Words {
    pub(crate) fn holds_memory(&self) -> bool {
        self.claim.load(Ordering::Relaxed) != NO_CHAIN
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if self.claim.load(Ordering::Relaxed) != NO_CHAIN {
            // SAFETY: both sides are gone; a reader that knew a chunk has left it in `first`.
            unsafe { free_chain(NonNull::new(self.first.load(Ordering::Relaxed))) };
        }
    }
}

/// Gives back `first` and all chunks linked behind it.
///
/// # Safety
/// Nobody uses them any more.
unsafe fn free_chain(first: Option<NonNull<Chunk>>) {
    let mut rest = first;
    while let Some(chunk) = rest {
        // SAFETY: the caller's promise.
        unsafe {
            rest = chunk.as_ref().next();
            Chunk::free(chunk);
        }
    }
}

/// The writer is in the chain.
const CLAIMED: u64 = 1 << 63;
/// There is no chain.
const NO_CHAIN: u64 = 1 << 62;
/// There is room in the window that the peer was told of.
const OPEN: u32 = 0;
/// There is none, and the reader is to say when it has read.
const CLOSED: u32 = 1;
/// Fills the line that begins with `first` up to the reader's words.
const APART: usize = 36;

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;

    // An idle connection has two of these, with 16 bytes of reference counts each.
    assert!(size_of::<Words>() <= 88);
    assert!(offset_of!(Words, head) - offset_of!(Words, first) >= 64);
};
