//! Completed connections of one core, waiting for whichever thread accepts them.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::mem;

use crate::fault::{Fault, is_on};
use crate::spin::SpinLock;
use crate::sync::{AtomicU32, Ordering};

/// A queue that its owning core only tries to get at, and any thread takes from.
///
/// What finds somebody inside waits in the core's own [`Stash`] for the next turn, in front of what comes after it (L-17). Closing
/// gives everything that was not taken back to the owning core, and nothing is taken any more (L-7, L-18).
///
/// Nothing is allocated or given back inside the lock, and nothing moved but one value: a full queue is continued
/// by a bigger segment, made outside.
///
/// Aligned so that the shards of two cores share no cache line.
///
/// ```
/// use darner_ring::{Shard, Stash};
///
/// let (shard, mut stash) = (Shard::new(), Stash::new());
/// shard.try_push(&mut stash, "first")?;
/// shard.try_push(&mut stash, "second")?;
/// assert_eq!(shard.pop(), Some("first"));
/// assert!(shard.try_close(&mut stash)?.eq(["second"]));
/// assert_eq!(shard.pop(), None);
/// # Ok::<(), darner_ring::Busy>(())
/// ```
#[repr(align(128))]
pub struct Shard<T> {
    /// How many values wait: a look that costs no lock. Written inside the lock.
    len: AtomicU32,
    queue: SpinLock<Queue<T>>,
}

/// Values of a core on their way to its [`Shard`]; only the core itself knows it.
pub struct Stash<T>(VecDeque<T>);

/// Somebody was inside. Try again in the next turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another thread is inside")
    }
}

impl Error for Busy {}

impl<T> Shard<T> {
    /// Empty and open.
    pub fn new() -> Self {
        Self { len: AtomicU32::new(0), queue: SpinLock::new(Queue::new()) }
    }

    /// How many values wait, without those in the stash.
    pub fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether no value waits, without those in the stash.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// For any thread.
impl<T> Shard<T> {
    /// Takes the oldest value. None if there is none, or the shard is closed.
    ///
    /// Waits for whoever is inside: another taker, or the core with one push.
    pub fn pop(&self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let (value, _used_up) = {
            let mut queue = self.queue.lock();
            let popped = queue.pop();
            self.tell_len(&queue);
            popped
        };
        value
    }

    /// As [`pop`](Self::pop), for protocol threads, which wait for nobody.
    ///
    /// # Errors
    /// If somebody is inside.
    pub fn try_pop(&self) -> Result<Option<T>, Busy> {
        if self.is_empty() {
            return Ok(None);
        }
        let (value, _used_up) = {
            let mut queue = self.queue.try_lock().ok_or(Busy)?;
            let popped = queue.pop();
            self.tell_len(&queue);
            popped
        };
        Ok(value)
    }
}

#[cfg(feature = "hold")]
impl<T> Shard<T> {
    /// Does something inside the lock that does not belong there, as a thread would that the kernel has put aside.
    pub fn hold(&self, act: impl FnOnce()) {
        let _inside = self.queue.lock();
        act();
    }
}

/// For the owning core.
impl<T> Shard<T> {
    /// Appends `value` behind what is in the stash.
    ///
    /// # Errors
    /// If somebody is inside: `value` is in the stash, to be [flushed](Self::try_flush) in the next turn.
    pub fn try_push(&self, stash: &mut Stash<T>, value: T) -> Result<(), Busy> {
        if is_on(Fault::StashOvertaken) {
            stash.0.push_front(value);
            return self.try_flush(stash);
        }
        stash.0.push_back(value);
        self.try_flush(stash)
    }

    /// Appends what is in the stash. The stash of a closed shard stays as it is.
    ///
    /// # Errors
    /// If somebody is inside: the rest is still in the stash.
    pub fn try_flush(&self, stash: &mut Stash<T>) -> Result<(), Busy> {
        let mut bigger = None;
        while !stash.is_empty() {
            let _used_up;
            let mut queue = self.queue.try_lock().ok_or(Busy)?;
            if queue.state == State::Closed && !is_on(Fault::PushedWhenClosed) {
                return Ok(());
            }
            if let Some(segment) = bigger.take() {
                _used_up = queue.grow(segment);
            }
            while queue.room() > 0
                && let Some(value) = stash.0.pop_front()
            {
                queue.push(value);
            }
            self.tell_len(&queue);
            let len = queue.len;
            drop(queue);
            bigger = (!stash.is_empty()).then(|| Segment::with_capacity(len.max(SMALLEST)));
        }
        Ok(())
    }

    /// Closes the shard and gives back what nobody has taken: what waits in it, then the stash. Twice changes nothing.
    ///
    /// # Errors
    /// If somebody is inside: nothing has changed.
    pub fn try_close(&self, stash: &mut Stash<T>) -> Result<Drained<T>, Busy> {
        let mut queue = self.queue.try_lock().ok_or(Busy)?;
        if !is_on(Fault::LeftOpen) {
            queue.state = State::Closed;
        }
        let queued = queue.take_all();
        self.tell_len(&queue);
        drop(queue);
        Ok(Drained { queued, stashed: mem::take(&mut stash.0) })
    }

    fn tell_len(&self, queue: &Queue<T>) {
        // Relaxed: who looks before, and misses what comes, is woken by an event count or comes again.
        self.len.store(u32::try_from(queue.len).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Shard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Stash<T> {
    /// Empty.
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// How many values wait for the shard.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no value waits for the shard.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Stash<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Stash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stash").field("len", &self.len()).finish()
    }
}

/// What nobody had taken when a shard was closed, oldest first.
pub struct Drained<T> {
    queued: Option<Box<Segment<T>>>,
    stashed: VecDeque<T>,
}

impl<T> Iterator for Drained<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while let Some(segment) = &mut self.queued {
            if let value @ Some(_) = segment.values.pop_front() {
                return value;
            }
            self.queued = segment.next.take();
        }
        self.stashed.pop_front()
    }
}

impl<T> fmt::Debug for Drained<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained").finish_non_exhaustive()
    }
}

/// What is inside the lock. No method allocates, or frees anything: what is used up is given to the caller.
struct Queue<T> {
    state: State,
    len: usize,
    /// Values are taken from the first segment and appended to the last; those between are full.
    first: Option<Box<Segment<T>>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    Closed,
}

/// Each about as big as all before it, so there are few.
struct Segment<T> {
    values: VecDeque<T>,
    next: Option<Box<Self>>,
}

impl<T> Queue<T> {
    const fn new() -> Self {
        Self { state: State::Open, len: 0, first: None }
    }

    /// The oldest value, and a segment that was its last's.
    fn pop(&mut self) -> (Option<T>, Option<Box<Segment<T>>>) {
        let Some(first) = &mut self.first else { return (None, None) };
        let Some(value) = first.values.pop_front() else { return (None, None) };
        self.len -= 1;
        if first.values.is_empty()
            && let Some(next) = first.next.take()
        {
            return (Some(value), self.first.replace(next));
        }
        (Some(value), None)
    }

    /// How many values the last segment has room for.
    fn room(&mut self) -> usize {
        self.last().map_or(0, |last| last.values.capacity() - last.values.len())
    }

    /// The caller has seen that there is room.
    fn push(&mut self, value: T) {
        let last = self.last().expect("there is room, so there is a segment");
        last.values.push_back(value);
        self.len += 1;
    }

    /// Goes on in `bigger`. Gives back a segment that is replaced by it.
    fn grow(&mut self, bigger: Box<Segment<T>>) -> Option<Box<Segment<T>>> {
        if self.len == 0 {
            return self.first.replace(bigger);
        }
        self.last().expect("there are values, so there is a segment").next = Some(bigger);
        None
    }

    fn take_all(&mut self) -> Option<Box<Segment<T>>> {
        self.len = 0;
        self.first.take()
    }

    fn last(&mut self) -> Option<&mut Segment<T>> {
        let mut last = self.first.as_deref_mut()?;
        while last.next.is_some() {
            last = last.next.as_deref_mut().expect("just seen");
        }
        Some(last)
    }
}

impl<T> Segment<T> {
    fn with_capacity(capacity: usize) -> Box<Self> {
        Box::new(Self { values: VecDeque::with_capacity(capacity), next: None })
    }
}

const SMALLEST: usize = if cfg!(loom) { 1 } else { 8 };

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
