//! Received bytes that an application has taken with it, out of the ring.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::chain::{Receiving, Words};
use crate::chunk::Chunk;

/// Bytes of a stream in the memory in which they arrived, for as long as the application likes.
///
/// They stay what they are whatever becomes of the connection and its ring. The ring has passed them, so the peer
/// may send more meanwhile: a reader that keeps many of these keeps their memory, a [chunk](crate::CHUNK) for each
/// at most.
pub struct Lent {
    /// Kept from being used again by the lease that this holds.
    chunk: NonNull<Chunk>,
    from: u64,
    to: u64,
    words: Words<Receiving>,
}

impl Lent {
    /// The bytes of positions `[from, to)`.
    ///
    /// # Safety
    /// `chunk` is alive, holds these bytes, and they are published.
    pub(crate) unsafe fn new(
        chunk: NonNull<Chunk>,
        from: u64,
        to: u64,
        words: Words<Receiving>,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe { chunk.as_ref() }.lease();
        words.lend();
        Self { chunk, from, to, words }
    }

    /// The stream position of the first byte.
    pub fn position(&self) -> u64 {
        self.from
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the lease keeps the chunk, and the bytes are published.
        unsafe { (*self.chunk.as_ptr()).read(self.from, self.to) }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: the lease is given back with the last use of the chunk here.
        unsafe { Chunk::free(self.chunk) };
        self.words.take_back();
    }
}

// SAFETY: published bytes are never written again, so any thread may read them, and the lease may be given back on any.
unsafe impl Send for Lent {}
// SAFETY: `&self` gives `&[u8]` only.
unsafe impl Sync for Lent {}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("position", &self.from).field("len", &self.len()).finish()
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::testing::cases;
    use crate::{CHUNK, Lent, receive_ring};

    proptest! {
        #![proptest_config(cases())]

        /// What is lent is the stream, whatever is read, lent, written and dropped after it.
        #[test]
        fn lent_bytes_stay_what_they_are(
            steps in prop::collection::vec((0..4, prop_oneof![0..40_usize, 0..2 * CHUNK]), 1..40),
        ) {
            let (mut producer, mut consumer, _closer) = receive_ring(4 * CHUNK);
            let mut kept: Vec<Lent> = vec![];
            for (step, len) in steps {
                match step {
                    0 => {
                        let start = producer.position();
                        let bytes: Vec<u8> = (start..start + len as u64).map(byte).collect();
                        producer.write(&bytes);
                        producer.publish();
                    }
                    1 => {
                        let position = consumer.position();
                        if let Some(lent) = consumer.lend(len) {
                            prop_assert!(lent.len() <= len && lent.position() == position);
                            prop_assert_eq!(consumer.position(), position + lent.len() as u64);
                            kept.push(lent);
                        }
                    }
                    2 => {
                        let len = consumer.fill_buf().len().min(len);
                        consumer.consume(len);
                    }
                    _ if kept.is_empty() => {}
                    _ => drop(kept.swap_remove(len % kept.len())),
                }
                prop_assert_eq!(producer.lent() as usize, kept.len());
                prop_assert!(kept.iter().all(is_stream));
            }
            drop((producer, consumer));
            prop_assert!(kept.iter().all(is_stream));
        }
    }

    /// The stream's byte at a position.
    fn byte(position: u64) -> u8 {
        u8::try_from(position * 7 % 251).expect("below 251")
    }

    fn is_stream(lent: &Lent) -> bool {
        lent.iter().zip(lent.position()..).all(|(&found, position)| found == byte(position))
    }

    #[test]
    fn lent_bytes_outlive_reset_and_ring() {
        let (mut producer, mut consumer, closer) = receive_ring(CHUNK);
        producer.write(b"kept");
        producer.publish();
        let lent = consumer.lend(3).unwrap();
        producer.reset();
        assert_eq!(producer.lent(), 1);
        drop((producer, consumer, closer));
        // A chunk given back would be used again here.
        let (mut other, _reader, _closer) = receive_ring(CHUNK);
        other.write(b"other");
        assert_eq!(std::thread::spawn(move || lent.to_vec()).join().unwrap(), b"kep");
    }

    #[test]
    fn there_is_nothing_to_lend_in_an_empty_or_shut_ring() {
        let (mut producer, mut consumer, closer) = receive_ring(CHUNK);
        assert!(consumer.lend(1).is_none());
        producer.write(b"late");
        producer.publish();
        assert!(consumer.lend(0).is_none());
        closer.shut();
        assert!(consumer.lend(1).is_none());
    }

    #[test]
    fn what_is_lent_frees_its_room() {
        let (mut producer, mut consumer, _closer) = receive_ring(4);
        producer.write(b"full");
        producer.publish();
        assert_eq!(producer.free(), 0);
        let lent = consumer.lend(4).unwrap();
        assert_eq!((producer.free(), &*lent), (4, &b"full"[..]));
        assert!(!consumer.holds_memory(), "it is the lease that holds it");
    }
}
