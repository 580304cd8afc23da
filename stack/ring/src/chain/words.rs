//! The words that the two sides of a ring share, for both rings of a connection in one piece of memory: idle connections are
//! many.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::reader::{Ahead, Chunks};
use super::{NO_CHAIN, free_chain};
use crate::chunk::Chunk;
use crate::fault::{Fault, full_fence};
use crate::mark::MarkWord;
use crate::prefetch::prefetch;
use crate::sync::{Arc, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::word::SharedWord;

/// The words of one ring of a pair.
pub(crate) struct Words<D> {
    pair: Arc<Pair>,
    direction: PhantomData<D>,
}

/// The words of a connection's two rings.
///
/// What the protocol thread writes and what the application writes are so far apart that no cache line holds both, wherever
/// the allocator puts them; the protocol thread's share theirs with the reference counts, which nobody touches in passing. What
/// hardly ever changes lies between, and may be on either line.
#[repr(C)]
pub(crate) struct Pair {
    // The protocol thread's.
    send_head: SharedWord,
    receive: WriterWords,
    // Nobody's in particular.
    receive_rare: RareWords,
    send_rare: RareWords,
    _apart: [u8; APART],
    /// How many leases of received chunks there are.
    lent: AtomicU32,
    /// How many received bytes the reader wants to hear of.
    wanted: AtomicU32,
    // The application's.
    send: WriterWords,
    receive_head: SharedWord,
}

#[repr(C)]
pub(crate) struct WriterWords {
    tail: SharedWord,
    /// [`CLAIMED`](super::CLAIMED), [`NO_CHAIN`], or the tail at which the writer last let go of the chain.
    claim: AtomicU64,
    /// The first chunk of the chain, for a reader that knows none.
    first: AtomicPtr<Chunk>,
}

#[repr(C)]
pub(crate) struct RareWords {
    limit: AtomicU32,
    window: AtomicU32,
    /// The newest urgent byte.
    mark: MarkWord,
}

impl Pair {
    /// For rings of at most so many bytes.
    pub(crate) fn new(receive_limit: usize, send_limit: usize) -> Arc<Self> {
        let pair = Arc::new(Self {
            send_head: SharedWord::new(),
            receive: WriterWords::new(),
            receive_rare: RareWords::new(),
            send_rare: RareWords::new(),
            _apart: [0; APART],
            lent: AtomicU32::new(0),
            wanted: AtomicU32::new(1),
            send: WriterWords::new(),
            receive_head: SharedWord::new(),
        });
        pair.receive_rare.set_limit(receive_limit);
        pair.send_rare.set_limit(send_limit);
        pair
    }
}

/// Which ring of a pair.
pub(crate) trait Direction {
    /// What its reader looks ahead with.
    type Ahead: Ahead;

    fn writer(pair: &Pair) -> &WriterWords;
    fn rare(pair: &Pair) -> &RareWords;
    fn head(pair: &Pair) -> &SharedWord;
}

/// From the protocol thread to the application.
pub(crate) struct Receiving;

/// From the application to the protocol thread.
pub(crate) struct Sending;

impl Direction for Receiving {
    type Ahead = ();

    fn writer(pair: &Pair) -> &WriterWords {
        &pair.receive
    }

    fn rare(pair: &Pair) -> &RareWords {
        &pair.receive_rare
    }

    fn head(pair: &Pair) -> &SharedWord {
        &pair.receive_head
    }
}

impl Direction for Sending {
    type Ahead = Chunks;

    fn writer(pair: &Pair) -> &WriterWords {
        &pair.send
    }

    fn rare(pair: &Pair) -> &RareWords {
        &pair.send_rare
    }

    fn head(pair: &Pair) -> &SharedWord {
        &pair.send_head
    }
}

impl<D> Words<D> {
    pub(crate) const fn new(pair: Arc<Pair>) -> Self {
        Self { pair, direction: PhantomData }
    }
}

impl<D> Clone for Words<D> {
    fn clone(&self) -> Self {
        Self::new(self.pair.clone())
    }
}

impl<D: Direction> Words<D> {
    pub(crate) fn prefetch(&self) {
        prefetch(&*self.pair);
    }

    pub(crate) fn pair(&self) -> &Pair {
        &self.pair
    }

    pub(crate) fn tail(&self) -> &SharedWord {
        &D::writer(&self.pair).tail
    }

    pub(crate) fn head(&self) -> &SharedWord {
        D::head(&self.pair)
    }

    pub(crate) fn mark(&self) -> &MarkWord {
        &D::rare(&self.pair).mark
    }

    pub(super) fn claim(&self) -> &AtomicU64 {
        &D::writer(&self.pair).claim
    }

    pub(super) fn first(&self) -> &AtomicPtr<Chunk> {
        &D::writer(&self.pair).first
    }

    pub(crate) fn limit(&self) -> usize {
        D::rare(&self.pair).limit.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        D::rare(&self.pair).set_limit(limit);
    }

    /// For the writer. It looks at the head afterwards.
    pub(crate) fn close_window(&self) {
        D::rare(&self.pair).window.store(CLOSED, Ordering::Relaxed);
        full_fence(Fault::WindowE1); // E1
    }

    /// For the writer.
    pub(crate) fn open_window(&self) {
        D::rare(&self.pair).window.store(OPEN, Ordering::Relaxed);
    }

    /// For the reader, which has moved the head.
    pub(crate) fn window_is_closed(&self) -> bool {
        full_fence(Fault::WindowE2); // E2
        D::rare(&self.pair).window.load(Ordering::Relaxed) == CLOSED
    }
}

impl Words<Receiving> {
    pub(crate) fn lend(&self) {
        self.pair.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_back(&self) {
        self.pair.lent.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn lent(&self) -> u32 {
        self.pair.lent.load(Ordering::Relaxed)
    }

    /// For the reader. It looks at the tail afterwards, behind the fence of the [`Parker`](crate::Parker), or has the writer look.
    pub(crate) fn want(&self, len: u32) {
        self.pair.wanted.store(len, Ordering::Relaxed);
    }

    pub(crate) fn wanted(&self) -> u32 {
        self.pair.wanted.load(Ordering::Relaxed)
    }

    /// For the writer, which has moved the tail.
    pub(crate) fn wanted_now(&self) -> u32 {
        full_fence(Fault::WantedF1); // F1
        self.wanted()
    }

    /// For the writer: whether it has closed the window.
    pub(crate) fn has_closed_window(&self) -> bool {
        self.pair.receive_rare.window.load(Ordering::Relaxed) == CLOSED
    }
}

#[cfg(test)]
impl<D: Direction> Words<D> {
    pub(crate) fn holds_memory(&self) -> bool {
        self.claim().load(Ordering::Relaxed) != NO_CHAIN
    }
}

impl WriterWords {
    pub(crate) fn tail(&self) -> &SharedWord {
        &self.tail
    }

    fn new() -> Self {
        Self {
            tail: SharedWord::new(),
            claim: AtomicU64::new(NO_CHAIN),
            first: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

impl Drop for WriterWords {
    fn drop(&mut self) {
        if self.claim.load(Ordering::Relaxed) != NO_CHAIN {
            // SAFETY: both sides are gone; a reader that knew a chunk has left it in `first`.
            unsafe { free_chain(NonNull::new(self.first.load(Ordering::Relaxed))) };
        }
    }
}

impl RareWords {
    pub(crate) fn mark(&self) -> &MarkWord {
        &self.mark
    }

    fn new() -> Self {
        Self { limit: AtomicU32::new(0), window: AtomicU32::new(OPEN), mark: MarkWord::new() }
    }

    fn set_limit(&self, limit: usize) {
        self.limit.store(u32::try_from(limit).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

/// There is room in the window that the peer was told of.
const OPEN: u32 = 0;
/// There is none, and the reader is to say when it has read.
const CLOSED: u32 = 1;
/// Fills the line that begins with the protocol thread's last word up to the application's first.
const APART: usize = 16;

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;

    // An idle connection has one of these, with 16 bytes of reference counts.
    assert!(size_of::<Pair>() <= 120);
    // `first` is stored when a chain begins, and stands last.
    let last = offset_of!(Pair, receive) + offset_of!(WriterWords, first);
    assert!(offset_of!(Pair, send) - last >= 64);
};
