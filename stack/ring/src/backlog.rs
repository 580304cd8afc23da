//! A limit that holds exactly, whoever counts.

use std::error::Error;
use std::fmt;

use crate::fault::{Fault, is_on};
use crate::sync::{AtomicU32, Ordering};

/// Places that any core may reserve and any thread give back, never more than there are (R-22, C-34).
///
/// It hands nothing over: what was done before a place was given back is seen through whatever else is shared.
///
/// ```
/// use darner_ring::{Backlog, Full};
///
/// let backlog = Backlog::new(1);
/// assert_eq!(backlog.reserve(), Ok(()));
/// assert_eq!(backlog.reserve(), Err(Full));
/// backlog.release();
/// assert_eq!(backlog.len(), 0);
/// ```
pub struct Backlog {
    taken: AtomicU32,
    limit: u32,
}

/// All places are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all places are taken")
    }
}

impl Error for Full {}

impl Backlog {
    /// `limit` places, none of them taken.
    pub fn new(limit: u32) -> Self {
        Self { taken: AtomicU32::new(0), limit }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// If there is none.
    pub fn reserve(&self) -> Result<(), Full> {
        if is_on(Fault::LimitCheckedFirst) {
            if self.len() >= self.limit {
                return Err(Full);
            }
            self.taken.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let one_more = |taken| (taken < self.limit).then(|| taken + 1);
        let reserved = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        reserved.map(drop).map_err(|_| Full)
    }

    /// Gives back a place that was reserved.
    pub fn release(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        debug_assert_ne!(before, 0, "a place was reserved");
    }

    /// How many places are taken.
    #[expect(clippy::len_without_is_empty, reason = "a number of places, not a collection")]
    pub fn len(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many places there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backlog({} of {})", self.len(), self.limit)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_over_threads() {
        let tries = if cfg!(miri) { 20 } else { 2000 };
        let backlog = Backlog::new(tries);
        let reserved = std::thread::scope(|scope| {
            let reserve = || (0..tries).filter(|_| backlog.reserve().is_ok()).count();
            let reserving = [(); 3].map(|()| scope.spawn(reserve));
            reserving.map(|thread| thread.join().unwrap()).iter().sum::<usize>()
        });
        assert_eq!((reserved, backlog.len()), (tries as usize, tries));
    }

    #[test]
    fn a_backlog_of_nothing_is_full() {
        assert_eq!(Backlog::new(0).reserve(), Err(Full));
    }
}
