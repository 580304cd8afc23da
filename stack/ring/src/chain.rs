//! The memory of a byte ring: a chain of chunks with one writer and one reader. All `unsafe` of the byte rings that
//! concerns two threads is here; [`receive`](crate::receive) and [`send`](crate::send) give the flags their meaning.
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

use std::ptr::{self, NonNull};

use crate::chunk::Chunk;
use crate::fault::{Fault, is_on, ordering};
use crate::sync::{Arc, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::word::{SharedWord, Word};

/// Makes an empty chain, which holds no memory but its words, for at most `limit` bytes.
pub(crate) fn chain(limit: usize) -> (Writer, Reader) {
    let words = Arc::new(Words {
        tail: SharedWord::new(),
        claim: AtomicU64::new(NO_CHAIN),
        first: AtomicPtr::new(ptr::null_mut()),
        limit: AtomicU32::new(0),
        _apart: [0; APART],
        head: SharedWord::new(),
    });
    words.set_limit(limit);
    (
        Writer { words: words.clone(), tail: 0, unpublished: 0, chunk: None, hold: Hold::Free },
        Reader { words, head: 0, seen: Word::new(0, 0), chunk: None },
    )
}

/// What both sides share.
///
/// What the writer writes and what the reader writes are so far apart that no cache line holds both, wherever the
/// allocator puts them; the writer's words share theirs with the reference counts, which nobody touches in passing.
#[repr(C)]
pub(crate) struct Words {
    pub(crate) tail: SharedWord,
    /// [`CLAIMED`], [`NO_CHAIN`], or the tail at which the writer last let go of the chain.
    claim: AtomicU64,
    /// The first chunk of the chain, for a reader that knows none.
    first: AtomicPtr<Chunk>,
    limit: AtomicU32,
    _apart: [u8; APART],
    pub(crate) head: SharedWord,
}

impl Words {
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(u32::try_from(limit).unwrap_or(u32::MAX), Ordering::Relaxed);
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

/// The end that fills chunks and publishes positions. There is one per chain.
pub(crate) struct Writer {
    words: Arc<Words>,
    /// How far bytes are written.
    tail: u64,
    /// How many of them are not published. Never read back from the shared tail: under loom, such a load would hide
    /// the reader's from the store that follows.
    unpublished: u32,
    /// Where `tail` is, or one chunk before that; to be trusted only while the chain is claimed.
    chunk: Option<NonNull<Chunk>>,
    hold: Hold,
}

/// What the writer may do with the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hold {
    /// Nothing: the reader may be giving it back.
    Free,
    /// Write; no byte of this chain has been published, so the reader does not know it.
    Fresh,
    /// Write.
    Claimed,
    /// Nothing any more: a publication was refused.
    Refused,
}

impl Writer {
    pub(crate) fn words(&self) -> &Arc<Words> {
        &self.words
    }

    /// How far bytes are written.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// Whether bytes are written that are not published.
    pub(crate) const fn has_unpublished(&self) -> bool {
        self.unpublished > 0
    }

    /// The next bytes to fill, up to the end of a chunk; never empty unless a publication was refused.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        match self.hold {
            Hold::Refused => return &mut [],
            Hold::Free => self.claim(),
            Hold::Fresh | Hold::Claimed => {}
        }
        let chunk = self.chunk_at_tail();
        // SAFETY: the chain is claimed, so the reader leaves its last chunk alone; bytes from `tail` on are not
        // published, and `&mut self` makes this the only slice of them.
        unsafe { (*chunk.as_ptr()).write(self.tail) }
    }

    /// The first `len` bytes of [`space`](Self::space) are written.
    pub(crate) fn filled(&mut self, len: usize) {
        if len > 0 {
            assert!(matches!(self.hold, Hold::Fresh | Hold::Claimed), "filled without space");
            let chunk = self.chunk.expect("a claimed chain has a chunk");
            // SAFETY: the chain is claimed, so its last chunk is alive.
            let left = unsafe { chunk.as_ref() }.end() - self.tail;
            assert!(len as u64 <= left, "filled more than there was space");
            self.tail += len as u64;
            // At most a chunk.
            self.unpublished += u32::try_from(len).unwrap_or(u32::MAX);
        }
    }

    /// Copies `bytes` behind what is written.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let len = space.len().min(bytes.len());
            if len == 0 {
                return;
            }
            let (now, later) = bytes.split_at(len);
            space[..len].copy_from_slice(now);
            self.filled(len);
            bytes = later;
        }
    }

    /// Publishes what is written, with `flags`, where nobody else writes the tail.
    pub(crate) fn publish(&mut self, flags: u64) {
        if is_on(Fault::TailBeforeClaim) {
            self.words.tail.store(Word::new(self.tail, flags));
        }
        self.let_go();
        self.words.tail.store(Word::new(self.tail, flags)); // A1
        self.unpublished = 0;
    }

    /// Publishes what is written, or, if there is a flag in the tail, none of it, now and for ever.
    pub(crate) fn publish_unless_flagged(&mut self) -> Result<(), Word> {
        let hold = self.hold;
        if hold == Hold::Refused {
            return Err(self.words.tail.load());
        }
        self.let_go();
        let len = u64::from(std::mem::take(&mut self.unpublished));
        if len == 0 {
            return Ok(());
        }
        let published = self.tail - len;
        let result = self.words.tail.advance_unless_flagged(published, self.tail); // A1
        if result.is_err() {
            self.refused(published, hold);
        }
        result
    }

    /// Makes sure that there is a chain which the reader does not take away.
    fn claim(&mut self) {
        let claimed = self.words.claim.compare_exchange(
            self.tail,
            CLAIMED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        self.hold = if claimed.is_ok() {
            Hold::Claimed
        } else {
            // The reader has taken the chain away: it knows no chunk and looks for none before the tail moves.
            let chunk = Chunk::allocate(self.tail);
            self.words.claim.store(CLAIMED, Ordering::Relaxed);
            self.words.first.store(chunk.as_ptr(), Ordering::Relaxed);
            self.chunk = Some(chunk);
            Hold::Fresh
        };
    }

    /// Lets the reader give back what it has read. Comes before the publication: a reader that sees the tail must
    /// find the chain free, for nobody tells it later.
    pub(crate) fn let_go(&mut self) {
        match self.hold {
            Hold::Free | Hold::Refused => return,
            Hold::Fresh if self.unpublished == 0 => self.abandon(),
            Hold::Fresh | Hold::Claimed => {
                let release = ordering(Ordering::Release, Fault::ClaimC1);
                self.words.claim.store(self.tail, release); // C1
            }
        }
        self.hold = Hold::Free;
    }

    /// Gives back a chain that the reader has never heard of.
    fn abandon(&mut self) {
        let first = self.words.first.load(Ordering::Relaxed);
        self.words.claim.store(NO_CHAIN, Ordering::Relaxed);
        self.chunk = None;
        // SAFETY: no position inside this chain was published, so only this writer knows its chunks.
        unsafe { free_chain(NonNull::new(first)) };
    }

    /// What was written since the last publication never happened.
    fn refused(&mut self, published: u64, hold: Hold) {
        self.tail = published;
        if hold == Hold::Fresh {
            self.abandon();
        } else {
            // The reader found another position here, or none: only now can it give the chain back.
            self.words.claim.store(published, Ordering::Release); // C1
        }
        self.hold = Hold::Refused;
    }

    /// The chunk that `tail` is in; a new one if it is at the end of the last. The chain is claimed.
    fn chunk_at_tail(&mut self) -> NonNull<Chunk> {
        let last = self.chunk.expect("a claimed chain has a chunk");
        // SAFETY: the chain is claimed, so its last chunk is alive.
        let last_ref = unsafe { last.as_ref() };
        if self.tail < last_ref.end() {
            return last;
        }
        if is_on(Fault::TailBeforeLink) {
            self.words.tail.store(Word::new(self.tail + 1, 0));
        }
        let next = Chunk::allocate(self.tail);
        last_ref.link(next);
        self.chunk = Some(next);
        next
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What was not published is nobody's.
        self.tail -= u64::from(std::mem::take(&mut self.unpublished));
        self.let_go();
    }
}

// SAFETY: the writer's chunk is touched under the claim only, whatever thread the writer is on.
unsafe impl Send for Writer {}

/// The end that reads in place and gives chunks back. There is one per chain.
pub(crate) struct Reader {
    words: Arc<Words>,
    /// How far the reader has read; what it has published, too, except inside a call.
    head: u64,
    /// The tail as last seen.
    seen: Word,
    /// Where `head` is, or one chunk before that; none if the reader knows of no chain.
    chunk: Option<NonNull<Chunk>>,
}

impl Reader {
    pub(crate) fn words(&self) -> &Arc<Words> {
        &self.words
    }

    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// The tail as last looked at.
    pub(crate) const fn seen(&self) -> Word {
        self.seen
    }

    /// Bytes that were published when last looked.
    pub(crate) const fn known(&self) -> u64 {
        self.seen.position() - self.head
    }

    /// Looks at the tail, and gives the memory back if there is nothing to read.
    pub(crate) fn look(&mut self) -> Word {
        self.seen = self.words.tail.load(); // A2
        if self.known() == 0 {
            self.give_back_if_read();
        } else if self.chunk.is_none() {
            // Bytes are published, so the writer has stored it, and stores no other before they are read.
            self.chunk = NonNull::new(self.words.first.load(Ordering::Relaxed));
        } else {
            self.step();
        }
        self.seen
    }

    /// The next readable bytes, up to the end of a chunk.
    pub(crate) fn front(&self) -> &[u8] {
        self.slice(self.chunk, self.head)
    }

    /// The bytes from `position` on, which is readable, up to the end of its chunk.
    pub(crate) fn slice_at(&self, position: u64) -> &[u8] {
        let mut at = self.chunk;
        // SAFETY: only this reader gives chunks back, by `&mut self`.
        while let Some(chunk) = at.map(|chunk| unsafe { &*chunk.as_ptr() })
            && position >= chunk.end()
        {
            at = chunk.next();
        }
        self.slice(at, position)
    }

    /// The readable bytes from `position` on, up to the end of `chunk`, in which it must be.
    fn slice(&self, chunk: Option<NonNull<Chunk>>, position: u64) -> &[u8] {
        match chunk {
            // SAFETY: only this reader gives chunks back, by `&mut self`; bytes below the seen tail are published.
            Some(chunk) => unsafe { (*chunk.as_ptr()).read(position, self.seen.position()) },
            None => &[],
        }
    }

    /// `len` bytes at the head, all of them known, are read: gives back the chunks that lie below the new head.
    ///
    /// The caller publishes the head.
    pub(crate) fn pass(&mut self, len: u64) {
        assert!(len <= self.known(), "passed more than was published");
        self.head += len;
        self.step();
    }

    /// Leaves chunks that lie below `head`, as far as the stream has entered the next.
    fn step(&mut self) {
        while let Some(chunk) = self.chunk {
            // SAFETY: only this reader gives chunks back, and this one it still has.
            let here = unsafe { chunk.as_ref() };
            if self.head + u64::from(is_on(Fault::GiveBackEarly)) < here.end() {
                break;
            }
            let Some(next) = here.next() else { break };
            self.chunk = Some(next);
            // SAFETY: wholly read, and the writer left it when it linked the next.
            unsafe { Chunk::free(chunk) };
        }
    }

    /// Gives the rest of the chain back if everything is read and the writer is not in it.
    pub(crate) fn give_back_if_read(&mut self) {
        let Some(chunk) = self.chunk else { return };
        let tail = self.seen.position();
        if self.head == tail && self.take_chain(tail) {
            self.chunk = None;
            // SAFETY: the chain is taken: the writer will begin another.
            unsafe { free_chain(Some(chunk)) };
        }
    }

    /// Whether the writer has not been in the chain since it published `tail`; from now on it stays out.
    fn take_chain(&self, tail: u64) -> bool {
        let claim = &self.words.claim;
        if is_on(Fault::TakeUnasked) {
            claim.store(NO_CHAIN, Ordering::Release);
            return true;
        }
        let acquire = ordering(Ordering::Acquire, Fault::ClaimC2);
        claim.compare_exchange(tail, NO_CHAIN, acquire, Ordering::Relaxed).is_ok() // C2
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.look();
        self.pass(self.known());
        self.give_back_if_read();
        if let Some(chunk) = self.chunk {
            // For `Words::drop`. The writer stores here only after the reader took the chain, and it did not.
            self.words.first.store(chunk.as_ptr(), Ordering::Relaxed);
        }
    }
}

// SAFETY: chunks are reached through `&self` for reading published bytes and given back through `&mut self`, both
// of which mean the same on any thread.
unsafe impl Send for Reader {}

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
/// From the last word of the writer to the reader's, less than a cache line of 64 bytes.
const APART: usize = 52;
