//! The end of a chain that grows it.

use std::mem;
use std::ptr::NonNull;

use super::{CLAIMED, Direction, NO_CHAIN, Words, free_chain};
use crate::chunk::{CHUNK, Chunk, SMALL_CHUNK, Size};
use crate::fault::{Fault, is_on, ordering};
use crate::sync::Ordering;
use crate::word::Word;

/// The end that fills chunks and publishes positions. There is one per chain.
pub(crate) struct Writer<D: Direction> {
    words: Words<D>,
    /// How far bytes are written.
    tail: u64,
    /// How many of them are not published. Never read back from the shared tail: under loom, such a load would hide
    /// the reader's from the store that follows.
    unpublished: u32,
    /// Where `tail` is, or one chunk before that; to be trusted only while the chain is claimed.
    chunk: Option<NonNull<Chunk>>,
    /// Where the chunks of the chain begin, modulo their length.
    phase: u16,
    /// The size of the chain's only chunk; large, if there are more.
    extent: Size,
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

impl<D: Direction> Writer<D> {
    pub(super) const fn new(words: Words<D>) -> Self {
        let (chunk, extent, hold) = (None, Size::Large, Hold::Free);
        Self { words, tail: 0, unpublished: 0, chunk, phase: 0, extent, hold }
    }

    pub(crate) fn words(&self) -> &Words<D> {
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

    /// How many bytes of chunks the chain has, as far as the reader has told. A small chunk does not count any more once there are others.
    pub(crate) fn memory(&self) -> usize {
        if self.words.claim().load(Ordering::Relaxed) == NO_CHAIN {
            return 0;
        }
        if self.extent == Size::Small {
            return SMALL_CHUNK;
        }
        let head = self.words.head().load().position();
        let last = self.tail.saturating_sub(1).max(head);
        self.bytes_of_chunks(head, last)
    }

    /// How many bytes [`memory`](Self::memory) would grow by for `len` bytes more.
    pub(crate) fn growth(&self, len: usize) -> usize {
        let Some(last) = (self.tail + len as u64).checked_sub(1).filter(|_| len > 0) else {
            return 0;
        };
        if self.words.claim().load(Ordering::Relaxed) == NO_CHAIN {
            return len.next_multiple_of(Size::holding(len).len());
        }
        // A chain has at least one byte before its tail.
        let before = self.tail.saturating_sub(1);
        let grown = self.bytes_of_chunks(before, last);
        match self.extent {
            Size::Large => grown - CHUNK,
            Size::Small if self.offset(before) + len < SMALL_CHUNK => 0,
            Size::Small => grown - SMALL_CHUNK,
        }
    }

    /// Of the chunks from that of one position to that of another.
    fn bytes_of_chunks(&self, first: u64, last: u64) -> usize {
        let number = |position: u64| position.saturating_sub(self.phase.into()) / CHUNK as u64;
        let count = 1 + number(last) - number(first);
        usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(CHUNK)
    }

    /// Where `position` stands in its chunk.
    fn offset(&self, position: u64) -> usize {
        let offset = position.wrapping_sub(self.phase.into()) % CHUNK as u64;
        usize::try_from(offset).unwrap_or(usize::MAX)
    }

    /// The next bytes to fill, up to the end of a chunk; never empty unless a publication was refused. How many it will be in all is a hint.
    pub(crate) fn space(&mut self, hint: usize) -> &mut [u8] {
        match self.hold {
            Hold::Refused => return &mut [],
            Hold::Free => self.claim(hint),
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
            let space = self.space(bytes.len());
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
            self.words.tail().store(Word::new(self.tail, flags));
        }
        self.let_go();
        self.words.tail().store(Word::new(self.tail, flags)); // A1
        self.unpublished = 0;
    }

    /// Publishes what is written, or, if there is a flag in the tail, none of it, now and for ever.
    pub(crate) fn publish_unless_flagged(&mut self) -> Result<(), Word> {
        let hold = self.hold;
        if hold == Hold::Refused {
            return Err(self.words.tail().load());
        }
        self.let_go();
        let len = u64::from(mem::take(&mut self.unpublished));
        if len == 0 {
            return Ok(());
        }
        let published = self.tail - len;
        let result = self.words.tail().advance_unless_flagged(published, self.tail); // A1
        if result.is_err() {
            self.refused(published, hold);
        }
        result
    }

    /// Makes sure that there is a chain which the reader does not take away.
    fn claim(&mut self, hint: usize) {
        let claimed = self.words.claim().compare_exchange(
            self.tail,
            CLAIMED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        self.hold = if claimed.is_ok() {
            Hold::Claimed
        } else {
            // The reader has taken the chain away: it knows no chunk and looks for none before the tail moves.
            let size = Size::holding(hint);
            let chunk = Chunk::allocate(self.tail, size);
            self.words.claim().store(CLAIMED, Ordering::Relaxed);
            self.words.first().store(chunk.as_ptr(), Ordering::Relaxed);
            self.chunk = Some(chunk);
            self.extent = size;
            self.phase = phase_of(self.tail);
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
                self.words.claim().store(self.tail, release); // C1
            }
        }
        self.hold = Hold::Free;
    }

    /// Gives back a chain that the reader has never heard of.
    fn abandon(&mut self) {
        let first = self.words.first().load(Ordering::Relaxed);
        self.words.claim().store(NO_CHAIN, Ordering::Relaxed);
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
            self.words.claim().store(published, Ordering::Release); // C1
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
            self.words.tail().store(Word::new(self.tail + 1, 0));
        }
        let next = Chunk::allocate(last_ref.next_base(), Size::Large);
        self.extent = Size::Large;
        last_ref.link(next);
        self.chunk = Some(next);
        next
    }
}

impl<D: Direction> Drop for Writer<D> {
    fn drop(&mut self) {
        // What was not published is nobody's.
        self.tail -= u64::from(mem::take(&mut self.unpublished));
        self.let_go();
    }
}

// SAFETY: the writer's chunk is touched under the claim only, whatever thread the writer is on.
unsafe impl<D: Direction> Send for Writer<D> {}

fn phase_of(position: u64) -> u16 {
    u16::try_from(position % CHUNK as u64).expect("chunks are shorter than that")
}

const _: () = assert!(CHUNK <= 1 << 16);
