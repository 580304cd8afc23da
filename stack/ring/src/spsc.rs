//! A bounded queue from one thread to one other.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::fault::{Fault, ordering};
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell};

/// Makes the two ends of a queue that holds at least `capacity` values (rounded up to a power of two).
///
/// # Ordering
///
/// - **A**: the producer fills slots, then publishes `tail` (A1, release); the consumer that sees it (A2, acquire)
///   sees the values.
/// - **B**: the consumer takes values out, then publishes `head` (B1, release); the producer that sees it (B2,
///   acquire) may fill those slots again.
/// - **C**: an end that goes away has published everything before it says so (C1, release), so whoever knows (C2,
///   acquire) that the peer is gone also sees its last values.
///
/// ```
/// let (mut producer, mut consumer) = darner_ring::spsc::queue(2);
/// assert_eq!(producer.push('a'), Ok(()));
/// assert_eq!(producer.push('b'), Ok(()));
/// assert_eq!(producer.push('c'), Err('c'), "full");
/// assert_eq!(consumer.pop(), Some('a'));
/// assert_eq!(producer.push_all(&mut "cd".chars()), 1);
/// let mut batch = vec![];
/// assert_eq!(consumer.pop_into(&mut batch, 10), 2);
/// assert_eq!(batch, ['b', 'c']);
/// ```
pub fn queue<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let count = capacity.max(1).next_power_of_two();
    let shared = Arc::new(Shared {
        tail: CachePadded::new(Side::new()),
        head: CachePadded::new(Side::new()),
        slots: (0..count).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let slots = Slots::of(&shared);
    (
        Producer { tail: 0, head_seen: 0, slots, shared: shared.clone() },
        Consumer { head: 0, tail_seen: 0, slots, shared },
    )
}

/// The end that puts values in. Not `Clone`: one thread writes.
pub struct Producer<T: Send> {
    /// The next slot to fill; ahead of the published tail only while a batch is being pushed.
    tail: usize,
    /// A head that was current once: reloaded only when the queue looks full.
    head_seen: usize,
    slots: Slots<T>,
    shared: Arc<Shared<T>>,
}

impl<T: Send> Producer<T> {
    /// Appends `value`, or gives it back because the queue is full.
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.known_free() == 0 && self.free() == 0 {
            return Err(value);
        }
        self.fill(value);
        self.publish();
        Ok(())
    }

    /// Appends values as long as there is room, and publishes them at once. Takes no more from `values` than fit.
    pub fn push_all(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        let start = self.tail;
        // What is known to be free is filled without a look at the consumer's index.
        while self.known_free() > 0 || self.free() > 0 {
            let end = self.tail.wrapping_add(self.known_free());
            for value in values.take(self.known_free()) {
                self.fill(value);
            }
            if self.tail != end {
                break;
            }
        }
        self.publish();
        self.tail.wrapping_sub(start)
    }

    /// How many values fit now. It can only grow until the next push.
    pub fn free(&mut self) -> usize {
        let acquire = ordering(Ordering::Acquire, Fault::QueueB2);
        self.head_seen = self.shared.head.index.load(acquire); // B2
        self.known_free()
    }

    /// How many values the queue can hold.
    pub fn capacity(&self) -> usize {
        self.slots.mask + 1
    }

    /// Whether the consumer is gone, so that nobody will take what is pushed.
    pub fn is_abandoned(&self) -> bool {
        self.shared.head.gone.load(Ordering::Acquire) // C2
    }

    fn known_free(&self) -> usize {
        self.capacity() - self.tail.wrapping_sub(self.head_seen)
    }

    /// The caller has seen that a slot is free.
    fn fill(&mut self, value: T) {
        debug_assert!(self.known_free() > 0);
        // SAFETY: `tail - head_seen < capacity`, so by B the consumer has left this slot, and it looks at it again
        // only once A1 has published it. There is one producer, and this is it.
        self.slots.at(self.tail).with_mut(|slot| unsafe { (*slot).write(value) });
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        self.shared.tail.index.store(self.tail, ordering(Ordering::Release, Fault::QueueA1)); // A1
    }
}

impl<T: Send> Drop for Producer<T> {
    fn drop(&mut self) {
        // A batch that ended in a panic of its iterator is whole up to there.
        self.publish();
        self.shared.tail.gone.store(true, Ordering::Release); // C1
    }
}

impl<T: Send> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The end that takes values out. Not `Clone`: one thread reads.
///
/// Dropping it drops the values that are waiting; what is pushed later is dropped with the producer.
pub struct Consumer<T: Send> {
    /// The next slot to empty; ahead of the published head only while a batch is being popped.
    head: usize,
    /// A tail that was current once: reloaded only when the queue looks empty.
    tail_seen: usize,
    slots: Slots<T>,
    shared: Arc<Shared<T>>,
}

impl<T: Send> Consumer<T> {
    /// Takes the oldest value.
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let value = self.empty();
        self.publish();
        Some(value)
    }

    /// Moves up to `limit` values into `batch`, oldest first, and frees their slots at once.
    pub fn pop_into(&mut self, batch: &mut impl Extend<T>, limit: usize) -> usize {
        // What is known to be there is taken without a look at the producer's index.
        let count = if self.known_len() < limit { self.len().min(limit) } else { limit };
        batch.extend((0..count).map(|_| self.empty()));
        self.publish();
        count
    }

    /// How many values wait now. It can only grow until the next pop.
    pub fn len(&mut self) -> usize {
        let acquire = ordering(Ordering::Acquire, Fault::QueueA2);
        self.tail_seen = self.shared.tail.index.load(acquire); // A2
        self.known_len()
    }

    /// Whether no value waits now.
    pub fn is_empty(&mut self) -> bool {
        self.known_len() == 0 && self.len() == 0
    }

    /// Whether the producer is gone. What it pushed before is still there, so ask this first and pop after.
    pub fn is_abandoned(&self) -> bool {
        self.shared.tail.gone.load(Ordering::Acquire) // C2
    }

    fn known_len(&self) -> usize {
        self.tail_seen.wrapping_sub(self.head)
    }

    /// The caller has seen that a slot is filled.
    fn empty(&mut self) -> T {
        debug_assert!(self.known_len() > 0);
        // SAFETY: `head < tail_seen`, so by A this slot holds a value, which no one reads twice: there is one
        // consumer, its head moves past the slot here, and the producer refills it only after B1.
        let value = self.slots.at(self.head).with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        value
    }

    fn publish(&self) {
        self.shared.head.index.store(self.head, ordering(Ordering::Release, Fault::QueueB1)); // B1
    }
}

impl<T: Send> Drop for Consumer<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
        self.publish();
        self.shared.head.gone.store(true, Ordering::Release); // C1
    }
}

impl<T: Send> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

struct Shared<T> {
    /// Written by the producer.
    tail: CachePadded<Side>,
    /// Written by the consumer.
    head: CachePadded<Side>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is touched by one side at a time, in the order that A and B make; values move from the producer's
// thread to the consumer's, which is what `T: Send` allows.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; dropping it on either thread drops values there.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let slots = Slots::of(self);
        let mut index = self.head.index.load(Ordering::Relaxed);
        while index != self.tail.index.load(Ordering::Relaxed) {
            // SAFETY: both ends are gone (and published on the way), so [head, tail) is exactly what is filled.
            slots.at(index).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            index = index.wrapping_add(1);
        }
    }
}

/// Where the slots are, at hand in each end: found through the shared part, they would be looked up anew for every value.
struct Slots<T> {
    first: NonNull<UnsafeCell<MaybeUninit<T>>>,
    mask: usize,
}

impl<T> Slots<T> {
    fn of(shared: &Shared<T>) -> Self {
        Self { first: NonNull::from(&*shared.slots).cast(), mask: shared.slots.len() - 1 }
    }

    /// While the shared part lives, which each end makes sure of.
    fn at(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // SAFETY: masked, the index is below the number of slots, which is a power of two; the slots never move, and live
        // as long as the shared part, which whoever has this keeps or is.
        unsafe { self.first.add(index & self.mask).as_ref() }
    }
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slots<T> {}

// SAFETY: it is as good as a reference to the shared part, whose `Sync` says what may be done with the slots.
unsafe impl<T: Send> Send for Slots<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Slots<T> {}

/// What one side tells the other.
struct Side {
    index: AtomicUsize,
    gone: AtomicBool,
}

impl Side {
    fn new() -> Self {
        Self { index: AtomicUsize::new(0), gone: AtomicBool::new(false) }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
