//! Chunks between two uses.
//!
//! A ring that carries one request after another empties each time, and must not ask the allocator each time for
//! 16 KiB of zeros. So a thread keeps a few chunks that it was given back. Where one thread allocates and
//! another gives back, as in a download, boxes of them travel through a depot.

use std::alloc::{Layout, dealloc};
use std::cell::RefCell;
use std::mem;
use std::ptr::NonNull;

use crate::chunk::Chunk;
use crate::spin::SpinLock;

/// A chunk that nobody uses; goes back to the allocator when dropped.
pub(crate) struct Unused(NonNull<Chunk>);

impl Unused {
    /// # Safety
    /// `chunk` is initialized memory from the global allocator, with the layout of a chunk, and the caller's own.
    pub(crate) const unsafe fn new(chunk: NonNull<Chunk>) -> Self {
        Self(chunk)
    }

    /// The caller's own from now on.
    pub(crate) const fn into_inner(self) -> NonNull<Chunk> {
        let chunk = self.0;
        mem::forget(self);
        chunk
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        // SAFETY: what `new` was promised.
        unsafe { dealloc(self.0.as_ptr().cast(), Layout::new::<Chunk>()) };
    }
}

// SAFETY: nobody else knows the memory.
unsafe impl Send for Unused {}

/// A chunk from this thread's stock, if there is one.
pub(crate) fn take() -> Option<Unused> {
    STOCK.try_with(|stock| stock.borrow_mut().take(&DEPOT)).ok()?
}

/// Puts a chunk on this thread's stock, or sends it on.
pub(crate) fn give(chunk: Unused) {
    // At the end of a thread there is no stock any more: the chunk is dropped with the closure.
    STOCK.try_with(|stock| stock.borrow_mut().give(chunk, &DEPOT)).ok();
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock(Vec::new())) };
}

/// What one thread keeps: at most two boxes, so that after passing one on it has room as well as chunks.
struct Stock(Vec<Unused>);

impl Stock {
    fn take(&mut self, depot: &SpinLock<Depot>) -> Option<Unused> {
        if self.0.is_empty() {
            self.0 = depot.try_lock()?.pop()?;
        }
        self.0.pop()
    }

    fn give(&mut self, chunk: Unused, depot: &SpinLock<Depot>) {
        if self.0.len() == 2 * BOX {
            let mut full = self.0.split_off(BOX);
            // The lock is only tried, for this may be a protocol thread. What finds no place is dropped outside.
            if let Some(mut depot) = depot.try_lock() {
                full = depot.push(full);
            }
            drop(full);
        }
        self.0.push(chunk);
    }
}

static DEPOT: SpinLock<Depot> = SpinLock::new(Depot::new());

/// Full boxes of any thread.
struct Depot {
    boxes: [Vec<Unused>; BOXES],
    count: usize,
}

impl Depot {
    const fn new() -> Self {
        Self { boxes: [const { Vec::new() }; BOXES], count: 0 }
    }

    /// Gives back what finds no place.
    fn push(&mut self, full: Vec<Unused>) -> Vec<Unused> {
        match self.boxes.get_mut(self.count) {
            Some(place) => {
                self.count += 1;
                mem::replace(place, full)
            }
            None => full,
        }
    }

    fn pop(&mut self) -> Option<Vec<Unused>> {
        self.count = self.count.checked_sub(1)?;
        Some(mem::take(&mut self.boxes[self.count]))
    }
}

/// Half a megabyte.
const BOX: usize = 32;
/// 128 megabytes, if so many were ever in use at once: ten thousand connections whose peers acknowledge all together give back as much, and
/// take it again with the next requests.
const BOXES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_given_back_is_used_again() {
        let depot = SpinLock::new(Depot::new());
        let mut stock = Stock(vec![]);
        assert!(stock.take(&depot).is_none());
        let chunk = unused();
        let address = chunk.0;
        stock.give(chunk, &depot);
        assert_eq!(stock.take(&depot).map(|chunk| chunk.0), Some(address));
    }

    #[test]
    fn chunks_travel_from_the_reader_to_the_writer() {
        let depot = SpinLock::new(Depot::new());
        let (mut reader, mut writer) = (Stock(vec![]), Stock(vec![]));
        for _ in 0..3 * BOX {
            reader.give(unused(), &depot);
        }
        let taken: Vec<_> = std::iter::from_fn(|| writer.take(&depot)).collect();
        assert_eq!((taken.len(), reader.0.len()), (BOX, 2 * BOX));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let depot = SpinLock::new(Depot::new());
        let mut stock = Stock(vec![]);
        for _ in 0..(BOXES + 5) * BOX {
            stock.give(unused(), &depot);
        }
        assert!(stock.0.len() <= 2 * BOX);
        let kept: usize = depot.lock().boxes.iter().map(Vec::len).sum();
        assert_eq!(kept, BOXES * BOX);
    }

    #[test]
    fn nobody_waits_for_the_depot() {
        let depot = SpinLock::new(Depot::new());
        let mut stock = Stock(vec![]);
        let _inside = depot.lock();
        assert!(stock.take(&depot).is_none());
        for _ in 0..3 * BOX {
            stock.give(unused(), &depot);
        }
        assert_eq!(stock.0.len(), 2 * BOX);
    }

    fn unused() -> Unused {
        // SAFETY: just allocated, and this test's own.
        unsafe { Unused::new(Chunk::allocate(0)) }
    }
}
