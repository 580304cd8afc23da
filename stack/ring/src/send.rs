//! The ring in which an application hands bytes to a protocol thread for sending.

use std::fmt;

use crate::chain::{Direction, Pair, Reader, Sending, Words, Writer, chain};
use crate::fault::{Fault, is_on};
use crate::mark::{Mark, UrgentDelivery};
use crate::sync::Arc;
use crate::word::Word;

/// Makes the three ends of an empty ring that buffers at most `limit` bytes.
///
/// | end              | may                                                   | held by                          |
/// |------------------|-------------------------------------------------------|----------------------------------|
/// | [`SendProducer`] | append bytes                                          | one application thread           |
/// | [`SendConsumer`] | read anything not yet released; release; declare dead | the protocol thread              |
/// | [`SendCloser`]   | end the stream, once and for ever                     | any thread with a control handle |
///
/// Appending *is* the check whether the stream is still open: position and flag share one word, so no byte is
/// accepted that the FIN overtakes.
///
/// ```
/// use darner_ring::{SendClosed, SendEnd, send_ring};
///
/// let (mut producer, mut consumer, closer) = send_ring(64 * 1024);
/// assert_eq!(producer.write(b"hello"), Ok(5));
/// assert_eq!(closer.shut_down(), 5, "where the FIN goes");
/// assert_eq!(producer.write(b"more"), Err(SendClosed::ShutDown));
///
/// let tail = consumer.tail();
/// assert_eq!((tail.position, tail.end), (5, SendEnd::Shut));
/// let mut segment = [0; 3];
/// assert_eq!(consumer.read_at(1, &mut segment), 3);
/// assert_eq!(&segment, b"ell");
/// consumer.release(5);
/// ```
pub fn send_ring(limit: usize) -> (SendProducer, SendConsumer, SendCloser) {
    send_ends(Pair::new(0, limit))
}

/// The ends of the send ring of a pair.
pub(crate) fn send_ends(pair: Arc<Pair>) -> (SendProducer, SendConsumer, SendCloser) {
    let (writer, reader) = chain(pair);
    let words = writer.words().clone();
    (SendProducer { writer, reserved: 0 }, SendConsumer { reader }, SendCloser { words })
}

/// The application's end.
pub struct SendProducer {
    writer: Writer<Sending>,
    /// What [`reserve`](Self::reserve) gave last, and [`commit`](Self::commit) has not taken.
    reserved: u32,
}

impl SendProducer {
    /// Appends as much of `bytes` as fits, for the protocol thread to see at once. `Ok(0)`: full.
    ///
    /// # Errors
    /// If the stream is closed: then nothing of `bytes` was accepted.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SendClosed> {
        let len = self.append(bytes)?;
        self.publish()?;
        Ok(len)
    }

    /// Appends as [`write`](Self::write) does, with the last of `bytes` as urgent data if that fits too. Then whatever was
    /// urgent before is ordinary data.
    ///
    /// # Errors
    /// If the stream is closed: then nothing of `bytes` was accepted.
    pub fn write_urgent(&mut self, bytes: &[u8]) -> Result<usize, SendClosed> {
        let len = self.append(bytes)?;
        let urgent = len > 0 && len == bytes.len();
        if urgent && !is_on(Fault::MarkAfterTail) {
            self.mark_urgent();
        }
        self.publish()?;
        if urgent && is_on(Fault::MarkAfterTail) {
            self.mark_urgent();
        }
        Ok(len)
    }

    /// Room for the next bytes, to be filled in place and then [committed](Self::commit). Empty if the ring is full
    /// or closed. What is in it before is arbitrary.
    ///
    /// The memory stays with the ring until the next `commit`, so commit nothing if nothing came of it.
    pub fn reserve(&mut self) -> &mut [u8] {
        self.reserved = 0;
        let room = self.closed().and_then(|()| self.room()).unwrap_or(0);
        if room == 0 {
            return &mut [];
        }
        let space = self.writer.space(room);
        let len = space.len().min(room);
        // No more than a chunk.
        self.reserved = u32::try_from(len).unwrap_or(u32::MAX);
        &mut space[..len]
    }

    /// Appends the first `len` bytes of what [`reserve`](Self::reserve) gave.
    ///
    /// # Errors
    /// If the stream is closed: then none of them was accepted.
    ///
    /// # Panics
    /// If `len` is more than was reserved.
    pub fn commit(&mut self, len: usize) -> Result<(), SendClosed> {
        assert!(
            len <= self.reserved as usize,
            "committed {len} bytes of {} reserved",
            self.reserved
        );
        self.reserved = 0;
        self.writer.filled(len);
        if len == 0 {
            self.writer.let_go();
            return self.closed();
        }
        self.publish()
    }

    /// How many bytes fit now.
    pub fn free(&self) -> usize {
        self.writer.words().limit().saturating_sub(self.buffered())
    }

    /// How many bytes are accepted and not released yet: not acknowledged by the peer.
    pub fn buffered(&self) -> usize {
        let released = self.writer.words().head().load().position(); // D2
        usize::try_from(self.writer.tail().saturating_sub(released)).unwrap_or(usize::MAX)
    }

    /// The stream position of the next byte to be accepted.
    pub fn position(&self) -> u64 {
        self.writer.tail()
    }

    /// Whether the connection is dead, so that nothing will be sent any more.
    pub fn is_dead(&self) -> bool {
        self.writer.words().head().load().has(DEAD)
    }

    /// Why nothing can be appended, if so.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn closed(&self) -> Result<(), SendClosed> {
        let words = self.writer.words();
        closed(words.tail().load(), words.head().load())
    }

    /// How many bytes fit, unless the connection is dead. Whether the stream is open, publishing will tell.
    fn room(&self) -> Result<usize, SendClosed> {
        let words = self.writer.words();
        let head = words.head().load(); // D2
        if head.has(DEAD) {
            return closed(words.tail().load(), head).map(|()| 0);
        }
        let buffered = self.writer.tail() - head.position();
        Ok(words.limit().saturating_sub(usize::try_from(buffered).unwrap_or(usize::MAX)))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<usize, SendClosed> {
        self.reserved = 0;
        let len = self.room()?.min(bytes.len());
        let before = self.writer.tail();
        self.writer.append(&bytes[..len]);
        // A writer that was refused once takes nothing more, and then no byte of before may be marked for what was not taken.
        if self.writer.tail() == before {
            self.closed()?;
        }
        Ok(len)
    }

    /// The last byte written is urgent.
    fn mark_urgent(&self) {
        let mark = Mark { position: self.writer.tail() - 1, delivery: UrgentDelivery::Apart };
        self.writer.words().mark().store(mark);
    }

    fn publish(&mut self) -> Result<(), SendClosed> {
        let refused = self.writer.publish_unless_flagged();
        refused.map_err(
            |tail| if tail.has(ABORT) { SendClosed::Aborted } else { SendClosed::ShutDown },
        )
    }
}

impl Drop for SendProducer {
    fn drop(&mut self) {
        self.writer.words().tail().mark(WRITER_GONE);
    }
}

impl fmt::Debug for SendProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendProducer").field("position", &self.position()).finish_non_exhaustive()
    }
}

/// An abort is our own doing and hides what follows from it; a dead connection has a cause to report, which a
/// shutdown must not hide.
fn closed(tail: Word, head: Word) -> Result<(), SendClosed> {
    if tail.has(ABORT) {
        Err(SendClosed::Aborted)
    } else if head.has(DEAD) {
        Err(SendClosed::Dead)
    } else if tail.has(SHUT) {
        Err(SendClosed::ShutDown)
    } else {
        Ok(())
    }
}

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendClosed {
    /// This side has ended the stream (`EPIPE`).
    ShutDown,
    /// This side has aborted the connection.
    Aborted,
    /// The connection is dead: reset by the peer, timed out, closed.
    Dead,
}

impl fmt::Display for SendClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShutDown => "sending was shut down",
            Self::Aborted => "the connection was aborted",
            Self::Dead => "the connection is dead",
        })
    }
}

impl std::error::Error for SendClosed {}

/// The protocol thread's end.
///
/// It reads anywhere from what is [released](Self::released) to the [tail](Self::tail) that it saw last, as often as
/// it must retransmit. Dropping it declares the connection dead.
pub struct SendConsumer {
    reader: Reader<Sending>,
}

impl SendConsumer {
    /// Asks for the memory of what is to be released first.
    #[inline]
    pub fn prefetch(&self) {
        self.reader.prefetch();
    }

    /// How far the application has written, and what follows there: one look at one word.
    #[inline]
    pub fn tail(&mut self) -> SendTail {
        let before = self.reader.seen();
        let word = self.reader.look();
        if word != before {
            self.reader.look_ahead();
        }
        let end = if word.has(ABORT) {
            SendEnd::Aborted
        } else if word.has(SHUT) {
            SendEnd::Shut
        } else {
            SendEnd::Open
        };
        SendTail { position: word.position(), end }
    }

    /// The stream position of the newest urgent byte, if it was seen and is not released.
    pub fn urgent(&self) -> Option<u64> {
        let mark = self.reader.words().mark().load()?; // after A2
        let unreleased = self.released()..self.reader.seen().position();
        unreleased.contains(&mark.position).then_some(mark.position)
    }

    /// Copies the bytes from `position` on; as many as `out` holds, and are there. A position outside gives none.
    pub fn read_at(&self, position: u64, out: &mut [u8]) -> usize {
        let mut copied = 0;
        for slice in self.slices_at(position, out.len()) {
            out[copied..copied + slice.len()].copy_from_slice(slice);
            copied += slice.len();
        }
        copied
    }

    /// The bytes `[position, position + len)` in place, cut to what is there. A position outside gives none.
    pub fn slices_at(&self, position: u64, len: usize) -> Slices<'_> {
        let from = if position < self.released() { u64::MAX } else { position };
        let end = from.saturating_add(len as u64).min(self.reader.seen().position());
        Slices { reader: &self.reader, position: from, end }
    }

    /// The peer has acknowledged everything below `position`: gives back memory that lies wholly below. A position
    /// outside of what was seen of the stream is cut to it.
    pub fn release(&mut self, position: u64) {
        self.pass_to(position);
        let dead = self.reader.words().head().load().flags();
        self.publish_head(dead);
    }

    /// The stream position below which everything is released.
    pub fn released(&self) -> u64 {
        self.reader.head()
    }

    /// Declares the connection dead: releases everything, and what is written from now on is refused.
    pub fn kill(&mut self) {
        self.reader.look();
        self.pass_to(u64::MAX);
        self.publish_head(DEAD);
    }

    /// The most bytes that are buffered.
    pub fn limit(&self) -> usize {
        self.reader.words().limit()
    }

    /// Changes the limit. If more is buffered than that, nothing fits until it is released.
    pub fn set_limit(&mut self, limit: usize) {
        self.reader.words().set_limit(limit);
    }

    /// Whether the application's end was dropped.
    pub fn is_abandoned(&self) -> bool {
        self.reader.words().tail().load().has(WRITER_GONE)
    }

    fn pass_to(&mut self, position: u64) {
        let len = position.saturating_sub(self.released()).min(self.reader.known());
        self.reader.pass(len);
    }

    fn publish_head(&mut self, flags: u64) {
        self.reader.words().head().store(Word::new(self.reader.head(), flags)); // D1
        self.reader.give_back_if_read();
    }
}

#[cfg(test)]
impl SendConsumer {
    pub(crate) fn holds_memory(&self) -> bool {
        self.reader.words().holds_memory()
    }
}

impl Drop for SendConsumer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for SendConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendConsumer").field("released", &self.released()).finish_non_exhaustive()
    }
}

/// The end of what the application has written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendTail {
    /// The stream position after the last byte.
    pub position: u64,
    /// What follows at that position.
    pub end: SendEnd,
}

/// What follows the last byte that the application has written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendEnd {
    /// More may come.
    Open,
    /// A FIN, exactly there.
    Shut,
    /// Nothing is to be sent but an RST.
    Aborted,
}

/// Bytes of the stream in place, piece by piece.
#[derive(Clone)]
pub struct Slices<'a> {
    reader: &'a Reader<Sending>,
    position: u64,
    end: u64,
}

impl<'a> Iterator for Slices<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.position >= self.end {
            return None;
        }
        let slice = self.reader.slice_at(self.position);
        let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let slice = &slice[..slice.len().min(wanted)];
        if slice.is_empty() {
            return None;
        }
        self.position += slice.len() as u64;
        Some(slice)
    }
}

impl fmt::Debug for Slices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Ends the stream from any thread.
#[derive(Clone)]
pub struct SendCloser {
    words: Words<Sending>,
}

impl SendCloser {
    /// Ends the stream with a FIN after the last byte accepted, whose position this gives. Twice changes nothing.
    pub fn shut_down(&self) -> u64 {
        shut_down(self.words.pair())
    }

    /// Ends the connection with an RST. Nothing more is sent.
    pub fn abort(&self) {
        abort(self.words.pair());
    }
}

/// [`SendCloser::shut_down`] of a connection's send ring.
pub(crate) fn shut_down(pair: &Pair) -> u64 {
    Sending::writer(pair).tail().mark(SHUT).position()
}

/// [`SendCloser::abort`] of a connection's send ring.
pub(crate) fn abort(pair: &Pair) {
    Sending::writer(pair).tail().mark(SHUT | ABORT);
}

impl fmt::Debug for SendCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendCloser").finish_non_exhaustive()
    }
}

/// In the tail: the application has ended the stream.
const SHUT: u64 = 1 << 63;
/// In the tail: the application has aborted the connection.
const ABORT: u64 = 1 << 62;
/// In the tail: the producer was dropped.
const WRITER_GONE: u64 = 1 << 61;
/// In the head: the connection is dead.
const DEAD: u64 = 1 << 63;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
