//! Chunks between two uses.
//!
//! A ring that carries one request after another empties each time, and must not ask the allocator each time for
//! 16 KiB of zeros. So a thread keeps a few chunks of each size that it was given back. Where one thread allocates and
//! another gives back, as in a download, boxes of them travel through a depot.

use std::alloc::dealloc;
use std::cell::RefCell;
use std::mem;
use std::ptr::NonNull;

use crate::chunk::{Chunk, Size};
use crate::spin::SpinLock;

/// A chunk that nobody uses; goes back to the allocator when dropped.
pub(crate) struct Unused(NonNull<Chunk>, Size);

impl Unused {
    /// # Safety
    /// `chunk` is initialized memory from the global allocator, with the layout of a chunk of this size, and the caller's own.
    pub(crate) const unsafe fn new(chunk: NonNull<Chunk>, size: Size) -> Self {
        Self(chunk, size)
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
        unsafe { dealloc(self.0.as_ptr().cast(), self.1.layout()) };
    }
}

// SAFETY: nobody else knows the memory.
unsafe impl Send for Unused {}

/// A chunk of that size from this thread's stock, if there is one.
pub(crate) fn take(size: Size) -> Option<Unused> {
    STOCKS
        .try_with(|stocks| stocks.borrow_mut()[size as usize].take(&DEPOTS[size as usize]))
        .ok()?
}

/// Puts a chunk on this thread's stock, or sends it on.
pub(crate) fn give(chunk: Unused) {
    let size = chunk.1 as usize;
    // At the end of a thread there is no stock any more: the chunk is dropped with the closure.
    STOCKS.try_with(|stocks| stocks.borrow_mut()[size].give(chunk, &DEPOTS[size])).ok();
}

thread_local! {
    static STOCKS: RefCell<[Stock; 2]> =
        const { RefCell::new([Stock::of(Size::Small), Stock::of(Size::Large)]) };
}

/// What one thread keeps: at most two boxes, so that after passing one on it has room as well as chunks.
struct Stock {
    chunks: Vec<Unused>,
    boxful: usize,
}

impl Stock {
    const fn of(size: Size) -> Self {
        Self { chunks: Vec::new(), boxful: boxful(size) }
    }

    fn take(&mut self, depot: &SpinLock<Depot>) -> Option<Unused> {
        if self.chunks.is_empty() {
            self.chunks = depot.try_lock()?.pop()?;
        }
        self.chunks.pop()
    }

    fn give(&mut self, chunk: Unused, depot: &SpinLock<Depot>) {
        if self.chunks.len() == 2 * self.boxful {
            let mut full = self.chunks.split_off(self.boxful);
            // The lock is only tried, for this may be a protocol thread. What finds no place is dropped outside.
            if let Some(mut depot) = depot.try_lock() {
                full = depot.push(full);
            }
            drop(full);
        }
        self.chunks.push(chunk);
    }
}

/// By size.
static DEPOTS: [SpinLock<Depot>; 2] = [const { SpinLock::new(Depot::new()) }; 2];

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

/// How many chunks a box holds. What finds no place is given back a box at a time.
const fn boxful(size: Size) -> usize {
    match size {
        Size::Small => 128,
        Size::Large => 32,
    }
}

/// 256 megabytes of large chunks and 128 of small ones, if so many were ever in use at once: a hundred thousand connections whose peers acknowledge all together
/// give back as much, and take it again with the next requests.
const BOXES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: usize = boxful(Size::Large);

    #[test]
    fn a_chunk_given_back_is_used_again() {
        let depot = SpinLock::new(Depot::new());
        let mut stock = stock();
        assert!(stock.take(&depot).is_none());
        let chunk = unused();
        let address = chunk.0;
        stock.give(chunk, &depot);
        assert_eq!(stock.take(&depot).map(|chunk| chunk.0), Some(address));
    }

    #[test]
    fn chunks_travel_from_the_reader_to_the_writer() {
        let depot = SpinLock::new(Depot::new());
        let (mut reader, mut writer) = (stock(), stock());
        for _ in 0..3 * BOX {
            reader.give(unused(), &depot);
        }
        let taken: Vec<_> = std::iter::from_fn(|| writer.take(&depot)).collect();
        assert_eq!((taken.len(), reader.chunks.len()), (BOX, 2 * BOX));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let depot = SpinLock::new(Depot::new());
        let mut stock = stock();
        for _ in 0..(BOXES + 5) * BOX {
            stock.give(unused(), &depot);
        }
        assert!(stock.chunks.len() <= 2 * BOX);
        let kept: usize = depot.lock().boxes.iter().map(Vec::len).sum();
        assert_eq!(kept, BOXES * BOX);
    }

    #[test]
    fn nobody_waits_for_the_depot() {
        let depot = SpinLock::new(Depot::new());
        let mut stock = stock();
        let _inside = depot.lock();
        assert!(stock.take(&depot).is_none());
        for _ in 0..3 * BOX {
            stock.give(unused(), &depot);
        }
        assert_eq!(stock.chunks.len(), 2 * BOX);
    }

    #[test]
    fn sizes_are_kept_apart() {
        for size in [Size::Small, Size::Large, Size::Small] {
            // SAFETY: just allocated, and this test's own.
            give(unsafe { Unused::new(Chunk::allocate(0, size), size) });
        }
        let taken = |size| std::iter::from_fn(move || take(size)).map(|unused| unused.1);
        assert!(taken(Size::Large).all(|size| size == Size::Large));
        assert!(taken(Size::Small).all(|size| size == Size::Small));
    }

    fn stock() -> Stock {
        Stock::of(Size::Large)
    }

    fn unused() -> Unused {
        // SAFETY: just allocated, and this test's own.
        unsafe { Unused::new(Chunk::allocate(0, Size::Large), Size::Large) }
    }
}
