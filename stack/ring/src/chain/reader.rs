//! The end of a chain that reads it and gives it back.

use std::collections::VecDeque;
use std::ptr::NonNull;

use super::{Direction, NO_CHAIN, Receiving, Sending, Words, free_chain};
use crate::chunk::Chunk;
use crate::fault::{Fault, is_on, ordering};
use crate::lent::Lent;
use crate::prefetch::prefetch;
use crate::sync::Ordering;
use crate::word::Word;

/// The end that reads in place and gives chunks back. There is one per chain.
pub(crate) struct Reader<D: Direction> {
    words: Words<D>,
    /// How far the reader has read; what it has published, too, except inside a call.
    head: u64,
    /// The tail as last seen.
    seen: Word,
    /// Where `head` is, or one chunk before that; none if the reader knows of no chain.
    chunk: Option<NonNull<Chunk>>,
    /// For a reader that jumps about in a long chain.
    ahead: D::Ahead,
}

/// What a reader knows of the chunks behind the one that it is in.
pub(crate) trait Ahead: Default {
    /// The first of them is given back.
    fn leave_first(&mut self);
}

/// A reader that goes on from byte to byte needs to know nothing.
impl Ahead for () {
    fn leave_first(&mut self) {}
}

/// All of them, with the one that it is in as the first. Idle connections have none, and are many.
#[expect(clippy::box_collection, reason = "it is to be small while it is not there")]
#[derive(Default)]
pub(crate) struct Chunks(Option<Box<VecDeque<NonNull<Chunk>>>>);

impl Ahead for Chunks {
    fn leave_first(&mut self) {
        if let Some(ahead) = &mut self.0 {
            ahead.pop_front();
        }
    }
}

impl<D: Direction> Reader<D> {
    pub(super) fn new(words: Words<D>) -> Self {
        Self { words, head: 0, seen: Word::new(0, 0), chunk: None, ahead: D::Ahead::default() }
    }

    pub(crate) fn words(&self) -> &Words<D> {
        &self.words
    }

    /// Asks for what says where the first chunk ends.
    pub(crate) fn prefetch(&self) {
        if let Some(chunk) = self.chunk {
            // SAFETY: only this reader gives chunks back, by `&mut self`.
            prefetch(unsafe { chunk.as_ref() });
        }
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
    #[inline]
    pub(crate) fn look(&mut self) -> Word {
        let tail = self.words.tail().load(); // A2
        if tail == self.seen && self.known() > 0 {
            // What was found there then is all that there is: the writer has entered no other chunk.
            return tail;
        }
        self.look_at(tail)
    }

    /// Apart, so that what is most often asked of a reader needs no registers for this.
    #[inline(never)]
    fn look_at(&mut self, tail: Word) -> Word {
        self.seen = tail;
        if self.known() == 0 {
            self.give_back_if_read();
        } else if self.chunk.is_none() {
            // Bytes are published, so the writer has stored it, and stores no other before they are read.
            self.chunk = NonNull::new(self.words.first().load(Ordering::Relaxed));
        } else {
            self.step();
        }
        self.seen
    }

    /// The next readable bytes, up to the end of a chunk.
    pub(crate) fn front(&self) -> &[u8] {
        self.slice(self.chunk, self.head)
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
            self.ahead.leave_first();
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
            self.ahead = D::Ahead::default();
            // SAFETY: the chain is taken: the writer will begin another.
            unsafe { free_chain(Some(chunk)) };
        }
    }

    /// Whether the writer has not been in the chain since it published `tail`; from now on it stays out.
    fn take_chain(&self, tail: u64) -> bool {
        let claim = self.words.claim();
        if is_on(Fault::TakeUnasked) {
            claim.store(NO_CHAIN, Ordering::Release);
            return true;
        }
        let acquire = ordering(Ordering::Acquire, Fault::ClaimC2);
        claim.compare_exchange(tail, NO_CHAIN, acquire, Ordering::Relaxed).is_ok() // C2
    }
}

impl Reader<Sending> {
    /// The bytes from `position` on, which is readable, up to the end of its chunk. Takes the same time wherever
    /// that is, if [`look_ahead`](Self::look_ahead) came after the last [`look`](Self::look).
    pub(crate) fn slice_at(&self, position: u64) -> &[u8] {
        let Some(first) = self.chunk else { return &[] };
        // SAFETY: only this reader gives chunks back, by `&mut self`.
        let hops = unsafe { first.as_ref() }.chunks_before(position);
        let chunk = match &self.ahead.0 {
            Some(ahead) => ahead.get(hops).copied(),
            // SAFETY: as above.
            None => (0..hops).try_fold(first, |chunk, _| unsafe { chunk.as_ref() }.next()),
        };
        self.slice(chunk, position)
    }

    /// Prepares for [`slice_at`](Self::slice_at), if the chain is so long that following its links takes time.
    #[inline(never)]
    pub(crate) fn look_ahead(&mut self) {
        let Some(first) = self.chunk else { return };
        // SAFETY: only this reader gives chunks back, by `&mut self`.
        let chunks = 1 + unsafe { first.as_ref() }.chunks_before(self.seen.position());
        if chunks <= NEAR && self.ahead.0.is_none() {
            return;
        }
        let ahead = self.ahead.0.get_or_insert_default();
        let mut last = ahead.back().copied();
        while ahead.len() < chunks {
            // The chunk after the tail does not exist yet.
            let chunk = match last {
                None => Some(first),
                // SAFETY: as above.
                Some(last) => unsafe { last.as_ref() }.next(),
            };
            let Some(chunk) = chunk else { break };
            ahead.push_back(chunk);
            last = Some(chunk);
        }
    }
}

impl Reader<Receiving> {
    /// The first `len` bytes of [`front`](Self::front), to keep.
    pub(crate) fn lend(&self, len: usize) -> Lent {
        assert!(len <= self.front().len(), "lent more than was readable");
        let chunk = self.chunk.expect("bytes are readable, so there is a chunk");
        let end = self.head + len as u64;
        // SAFETY: the chunk is still the chain's, and these bytes of it are published.
        unsafe { Lent::new(chunk, self.head, end, self.words.clone()) }
    }
}

impl<D: Direction> Drop for Reader<D> {
    fn drop(&mut self) {
        self.look();
        self.pass(self.known());
        self.give_back_if_read();
        if let Some(chunk) = self.chunk {
            // For `Words::drop`. The writer stores here only after the reader took the chain, and it did not.
            self.words.first().store(chunk.as_ptr(), Ordering::Relaxed);
        }
    }
}

// SAFETY: chunks are reached through `&self` for reading published bytes and given back through `&mut self`, both
// of which mean the same on any thread.
unsafe impl<D: Direction> Send for Reader<D> {}

/// How many chunks are found by following links.
const NEAR: usize = 4;
