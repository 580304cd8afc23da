//! Something that has news, and is named in a queue once until somebody has taken them.

use std::fmt;

use crate::fault::{Fault, is_on};
use crate::flags::Flags;

/// The news of one source, on their way to one reader through a queue of names.
///
/// While there are news, the name is in the queue or on its way there, and only once: a queue with room for every source that is
/// attached to it is never full (L-15), if its reader takes a name out before it [takes](Self::take) the news. What
/// the news are about is read after that (L-4).
///
/// ```
/// use darner_ring::{EventSource, spsc};
///
/// let (mut names, mut reader) = spsc::queue(1);
/// let source = EventSource::new();
/// for news in [0b01, 0b10] {
///     source.raise(news, || names.push("stream 7").expect("once until taken"));
/// }
/// assert_eq!(reader.pop(), Some("stream 7"));
/// assert_eq!(source.take(), 0b11);
/// ```
#[derive(Default)]
pub struct EventSource {
    raised: Flags,
}

impl EventSource {
    /// No news.
    pub fn new() -> Self {
        Self { raised: Flags::new() }
    }

    /// Adds `news`, and lets `push` queue the name unless it is queued already.
    pub fn raise(&self, news: u32, push: impl FnOnce()) {
        let before = self.raised.raise(news);
        if before == 0 || is_on(Fault::EventPushedAlways) {
            push();
        }
    }

    /// The reader has changed: adds `level`, which is everything that is the case now, and lets `push` queue the name for the new
    /// one if there are news at all, even if they were queued for the old one (R-25).
    ///
    /// The old reader no longer takes from this source: it finds the name in its queue and knows it not.
    pub fn attach(&self, level: u32, push: impl FnOnce()) {
        let before = self.raised.raise(level);
        if before | level != 0 && (before == 0 || !is_on(Fault::EventAttachedAsRaised)) {
            push();
        }
    }

    /// Takes the news. To be called after the name was taken out of the queue, and before looking at what the news are about.
    pub fn take(&self) -> u32 {
        self.raised.take()
    }

    /// The news that nobody has taken.
    pub fn peek(&self) -> u32 {
        self.raised.peek()
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventSource").field(&self.raised).finish()
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<EventSource>() == 4);

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_queued_once_until_its_news_are_taken() {
        let source = EventSource::new();
        let mut queued = 0;
        source.raise(1, || queued += 1);
        source.raise(2, || queued += 1);
        assert_eq!((queued, source.take()), (1, 3));
        source.raise(2, || queued += 1);
        assert_eq!((queued, source.take()), (2, 2));
    }

    #[test]
    fn a_new_reader_is_told_what_an_old_one_has_not_taken() {
        let source = EventSource::new();
        source.raise(1, || ());
        let mut told = false;
        source.attach(0, || told = true);
        assert_eq!((told, source.take()), (true, 1));

        source.attach(0, || panic!("there are no news"));
        told = false;
        source.attach(4, || told = true);
        assert_eq!((told, source.take()), (true, 4));
    }
}
