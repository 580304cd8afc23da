//! The ring in which a protocol thread hands received bytes to an application.

use std::collections::VecDeque;
use std::fmt;

use crate::chain::{Direction, Pair, Reader, Receiving, Words, Writer, chain};
use crate::fault::{Fault, is_on};
use crate::lent::Lent;
use crate::mark::{Mark, MarkWord, UrgentDelivery};
use crate::sync::Arc;
use crate::word::Word;

/// Makes the three ends of an empty ring that buffers at most `limit` bytes.
///
/// | end                 | may                                           | held by                          |
/// |---------------------|-----------------------------------------------|----------------------------------|
/// | [`ReceiveProducer`] | write bytes; say that FIN or RST follows them | the protocol thread              |
/// | [`ReceiveConsumer`] | read in place, and consume                    | one application thread           |
/// | [`ReceiveCloser`]   | stop the reading, once and for ever           | any thread with a control handle |
///
/// ```
/// use darner_ring::{ReceiveEnd, receive_ring};
///
/// let (mut producer, mut consumer, _closer) = receive_ring(64 * 1024);
/// assert_eq!(producer.write(b"hello"), 5);
/// assert!(consumer.fill_buf().is_empty(), "not published yet");
/// producer.finish();
///
/// assert_eq!(consumer.fill_buf(), b"hello");
/// consumer.consume(5);
/// assert!(consumer.fill_buf().is_empty());
/// assert_eq!(consumer.end(), ReceiveEnd::Finished);
/// ```
pub fn receive_ring(limit: usize) -> (ReceiveProducer, ReceiveConsumer, ReceiveCloser) {
    receive_ends(Pair::new(limit, 0))
}

/// The ends of the receive ring of a pair.
pub(crate) fn receive_ends(pair: Arc<Pair>) -> (ReceiveProducer, ReceiveConsumer, ReceiveCloser) {
    let (writer, reader) = chain(pair);
    let words = writer.words().clone();
    (
        ReceiveProducer { writer, discarded: 0, reading: Reading::Yes, end: End::Open },
        ReceiveConsumer { reader, taken: None },
        ReceiveCloser { words },
    )
}

/// The protocol thread's end. Dropped before FIN or RST, it leaves an RST, so that no reader waits for ever.
pub struct ReceiveProducer {
    writer: Writer<Receiving>,
    /// Bytes of the stream that were not stored because nobody reads any more.
    discarded: u64,
    reading: Reading,
    end: End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reading {
    Yes,
    /// Shut down by the application, or its end was dropped.
    Over,
}

/// What the producer has said to follow its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Open,
    Finished,
    Reset,
}

impl ReceiveProducer {
    /// Asks for the memory that the next call will need: of both rings of a connection.
    #[inline]
    pub fn prefetch(&self) {
        self.writer.words().prefetch();
    }

    /// How many bytes fit now: the room in the receive window. Everything, once nobody reads any more.
    pub fn free(&mut self) -> usize {
        let buffered = self.position() - self.consumed();
        self.limit().saturating_sub(usize::try_from(buffered).unwrap_or(usize::MAX))
    }

    /// Copies as much of `bytes` as fits behind what is written, not yet visible to the reader. Nothing after FIN.
    ///
    /// Once nobody reads any more, bytes are taken and thrown away.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let len = self.free().min(bytes.len());
        self.write_all(&bytes[..len])
    }

    /// The same for all of `bytes`, also beyond the limit: who sent them was offered room for them when there was more
    /// ([`set_limit`](Self::set_limit)).
    pub fn write_all(&mut self, bytes: &[u8]) -> usize {
        if self.end != End::Open {
            return 0;
        }
        self.look();
        if self.reading == Reading::Over {
            self.discarded += bytes.len() as u64;
        } else {
            self.writer.append(bytes);
        }
        bytes.len()
    }

    /// Whether what is published is worth telling the reader: as much as it [wants](ReceiveConsumer::want), or all that comes before an
    /// urgent byte, or while the window is closed. What more it may want than half of the limit would close the window.
    pub fn is_wanted(&self) -> bool {
        let words = self.writer.words();
        if words.wanted() <= 1 {
            return true;
        }
        let wanted = words.wanted_now().min(half(words.limit()));
        self.unread() >= u64::from(wanted) || words.has_closed_window() || self.has_mark()
    }

    /// How many bytes the reader wants to be told of.
    pub fn wanted(&self) -> usize {
        self.writer.words().wanted() as usize
    }

    /// Makes what is written visible. Cheap enough for every segment, meant for once per burst.
    pub fn publish(&mut self) {
        if self.writer.has_unpublished() {
            self.store_tail();
        }
    }

    /// Says that the byte at a position is urgent, in place of one that was said to be before: that becomes ordinary
    /// data. The byte must not be published yet; it need not even be written.
    pub fn set_mark(&mut self, mark: Mark) {
        if is_on(Fault::MarkAfterTail) {
            self.publish();
        }
        self.writer.words().mark().store(mark);
    }

    /// Publishes, and says that the peer's FIN follows.
    pub fn finish(&mut self) {
        if is_on(Fault::FinFirst) {
            self.writer.words().tail().mark(FIN);
        }
        if self.end == End::Open {
            self.end = End::Finished;
            self.store_tail();
        }
    }

    /// Publishes, and says that the connection was reset there. The cause must be readable before.
    pub fn reset(&mut self) {
        self.end = End::Reset;
        self.store_tail();
    }

    /// The stream position after the last byte written.
    pub fn position(&self) -> u64 {
        self.writer.tail() + self.discarded
    }

    /// The stream position that the reader has come to; [`position`](Self::position) once nobody reads any more.
    pub fn consumed(&mut self) -> u64 {
        let head = self.look();
        if self.reading == Reading::Over { self.position() } else { head.position() }
    }

    /// How many bytes were written that nobody has read, or said that nobody would: to be asked when the reader's end
    /// is dropped. Zero once it was shut. An urgent byte that the stream skips does not count.
    pub fn unread(&self) -> u64 {
        let words = self.writer.words();
        unread(words.head().load(), self.writer.tail(), words.mark()) // D2
    }

    /// Whether a byte is urgent that reading has not gone past.
    pub fn has_mark(&self) -> bool {
        let words = self.writer.words();
        words.mark().load().is_some_and(|mark| !mark.is_passed(words.head().load().position()))
    }

    /// Whether the application reads no more: shut down, or its end was dropped.
    pub fn is_shut(&mut self) -> bool {
        self.look();
        self.reading == Reading::Over
    }

    /// Whether FIN or RST was said to follow the bytes.
    pub fn has_ended(&self) -> bool {
        self.end != End::Open
    }

    /// Whether the reader's end was dropped.
    pub fn is_abandoned(&self) -> bool {
        self.writer.words().head().load().has(READER_GONE)
    }

    /// How much memory the bytes take that are written and not read, as far as the reader has told: it gives memory back without
    /// a word.
    pub fn memory(&self) -> usize {
        self.writer.memory()
    }

    /// How much more memory it takes to write `len` bytes more.
    pub fn memory_for(&mut self, len: usize) -> usize {
        if self.is_shut() { 0 } else { self.writer.growth(len) }
    }

    /// The most bytes that are buffered.
    pub fn limit(&self) -> usize {
        self.writer.words().limit()
    }

    /// Changes the limit. If more is buffered than that, nothing fits until it is read; what was offered before still
    /// [may be written](Self::write_all).
    pub fn set_limit(&mut self, limit: usize) {
        self.writer.words().set_limit(limit);
    }

    /// Says that the peer was told of no window, so that the reader [knows](ReceiveConsumer::window_is_closed), and looks once
    /// more (R-16): how many bytes fit now. If none does, the reader will tell when it has read.
    pub fn close_window(&mut self) -> usize {
        self.writer.words().close_window();
        self.free()
    }

    /// The peer was told of a window: the reader need not tell.
    pub fn open_window(&mut self) {
        self.writer.words().open_window();
    }

    /// How many pieces the reader has [taken with it](ReceiveConsumer::lend) and not dropped.
    pub fn lent(&self) -> u32 {
        self.writer.words().lent()
    }

    fn store_tail(&mut self) {
        self.writer.publish(match self.end {
            End::Open => 0,
            End::Finished => FIN,
            End::Reset => RST,
        });
    }

    fn look(&mut self) -> Word {
        let head = self.writer.words().head().load(); // D2
        if head.has(SHUT | READER_GONE) && self.reading == Reading::Yes {
            // From here on the shared tail stands still.
            self.publish();
            self.reading = Reading::Over;
        }
        head
    }
}

impl Drop for ReceiveProducer {
    fn drop(&mut self) {
        if self.end == End::Open {
            self.reset();
        }
    }
}

impl fmt::Debug for ReceiveProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveProducer")
            .field("position", &self.position())
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

/// The application's end.
///
/// Bytes are read in place: [`fill_buf`](Self::fill_buf) until it is empty, then [`end`](Self::end) says why.
///
/// An urgent byte is a [mark](Self::at_mark) in the stream: what is shown at once ends before it. What is shown next
/// begins with it, or behind it if it is to be read apart.
pub struct ReceiveConsumer {
    reader: Reader<Receiving>,
    /// Where urgent bytes are that were taken ahead of their turn, in order.
    #[expect(clippy::box_collection, reason = "hardly any connection has some")]
    taken: Option<Box<VecDeque<u64>>>,
}

impl ReceiveConsumer {
    /// The next readable bytes, as far as they lie together and before the mark; empty if there is none, or nobody may
    /// read any more.
    pub fn fill_buf(&mut self) -> &[u8] {
        if self.is_shut() {
            self.discard();
            return &[];
        }
        let mut run = self.next_run();
        if run.len == 0 {
            self.look();
            run = self.next_run();
        }
        if run.skipped > 0 {
            self.advance(run.skipped);
        }
        self.first_of(run.len)
    }

    /// What [`fill_buf`](Self::fill_buf) has shown, if nothing else was called since.
    pub fn shown(&self) -> &[u8] {
        if self.is_shut() { &[] } else { self.first_of(self.next_run().len) }
    }

    fn first_of(&self, len: u64) -> &[u8] {
        let front = self.reader.front();
        &front[..front.len().min(usize::try_from(len).unwrap_or(usize::MAX))]
    }

    /// Moves on by `len` bytes, and gives back memory that lies behind.
    ///
    /// # Panics
    /// If that is more than was published.
    pub fn consume(&mut self, len: usize) {
        self.advance(len as u64);
        self.pass_taken();
    }

    /// Moves on by at most `most` bytes and gives them away, as far as they lie together: to keep, whatever becomes of the
    /// ring. None if there is no byte, or nobody may read any more.
    ///
    /// Their memory is used again when the [`Lent`] is dropped; the room in the receive window is free at once.
    pub fn lend(&mut self, most: usize) -> Option<Lent> {
        let len = self.fill_buf().len().min(most);
        if len == 0 {
            return None;
        }
        let lent = self.reader.lend(len);
        self.consume(len);
        Some(lent)
    }

    /// Says that fewer readable bytes than `len` are not worth telling. To be followed by a look at what is there, once a
    /// [`Parker`](crate::Parker) knows of the sleeper, or by a hint to look again.
    pub fn want(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if self.reader.words().wanted() != len {
            self.reader.words().want(len);
        }
    }

    /// The least of `len` and what may be wanted, which is half of the limit.
    pub fn wanted_of(&self, len: usize) -> usize {
        len.min(half(self.reader.words().limit()) as usize)
    }

    /// Whether the protocol thread must be told of what was just [consumed](Self::consume), however little it is, for the peer
    /// waits for a window.
    pub fn window_is_closed(&self) -> bool {
        self.reader.words().window_is_closed()
    }

    /// How many bytes are readable now, up to the mark.
    #[expect(clippy::len_without_is_empty, reason = "fill_buf().is_empty() is the way to ask")]
    pub fn len(&mut self) -> usize {
        if self.is_shut() {
            self.discard();
            return 0;
        }
        self.look();
        usize::try_from(self.next_run().len).unwrap_or(usize::MAX)
    }

    /// Whether reading has come to the urgent byte, and has not gone past it. A read that has got something ends here.
    pub fn at_mark(&self) -> bool {
        self.mark().is_some_and(|mark| mark.position <= self.position())
    }

    /// The newest urgent byte, unless reading has gone past it.
    pub fn mark(&self) -> Option<Mark> {
        self.reader.words().mark().load().filter(|mark| !mark.is_passed(self.position()))
    }

    /// The urgent byte at `position` was taken out of turn: no read gives it, whatever is urgent by then.
    pub fn skip_taken(&mut self, position: u64) {
        if position >= self.position() {
            self.taken.get_or_insert_default().push_back(position);
            self.look();
        }
    }

    /// What follows the bytes that [`fill_buf`](Self::fill_buf) or [`len`](Self::len) showed last.
    pub fn end(&self) -> ReceiveEnd {
        let seen = self.reader.seen();
        if self.is_shut() {
            ReceiveEnd::Shut
        } else if seen.has(RST) {
            ReceiveEnd::Reset
        } else if seen.has(FIN) {
            ReceiveEnd::Finished
        } else {
            ReceiveEnd::Open
        }
    }

    /// What follows everything that has come by now. Unlike [`len`](Self::len) it leaves what [`fill_buf`](Self::fill_buf) has shown where it is.
    pub fn look_for_end(&mut self) -> ReceiveEnd {
        self.look();
        self.end()
    }

    /// The stream position of the next byte to read.
    pub fn position(&self) -> u64 {
        self.reader.head()
    }

    fn is_shut(&self) -> bool {
        self.reader.words().head().load().has(SHUT)
    }

    fn discard(&mut self) {
        self.reader.look();
        let len = self.reader.known();
        if len > 0 {
            self.advance(len);
        }
    }

    fn look(&mut self) {
        self.reader.look();
        self.pass_taken();
    }

    fn advance(&mut self, len: u64) {
        self.reader.pass(len);
        self.reader.words().head().advance(len); // D1
        self.reader.give_back_if_read();
    }

    /// What can be read at once, as the tail was seen last. Every way of reading shows this and no more.
    fn next_run(&self) -> Run {
        let (head, end) = (self.reader.head(), self.reader.seen().position());
        let mark = self.reader.words().mark().load(); // after A2
        let mut run = Run { skipped: 0, len: end - head };
        match mark {
            Some(mark) if mark.position > head => run.cut(mark.position - head),
            Some(Mark { position, delivery: UrgentDelivery::Apart }) if position == head => {
                // While nothing is behind it, it may yet become ordinary data.
                let over = self.reader.seen().has(FIN | RST);
                run.skipped = u64::from(run.len > 1 || (run.len > 0 && over));
                run.len = run.len.saturating_sub(1);
            }
            _ => {}
        }
        if let Some(&taken) = self.taken.as_ref().and_then(|taken| taken.front()) {
            run.cut(taken.saturating_sub(head + run.skipped));
        }
        run
    }

    /// Reading never rests before a byte that was taken.
    #[inline]
    fn pass_taken(&mut self) {
        if self.taken.is_some() {
            self.pass_those_taken();
        }
    }

    #[cold]
    fn pass_those_taken(&mut self) {
        let Some(taken) = &mut self.taken else { return };
        let (head, end) = (self.reader.head(), self.reader.seen().position());
        let mut next = head;
        while let Some(at) = taken.pop_front_if(|&mut at| at <= next && at < end) {
            next = next.max(at + 1);
        }
        if taken.is_empty() {
            self.taken = None;
        }
        if next > head {
            self.advance(next - head);
        }
    }
}

/// A stretch of readable bytes.
struct Run {
    /// Bytes before it that are not part of the stream.
    skipped: u64,
    len: u64,
}

impl Run {
    fn cut(&mut self, len: u64) {
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
impl ReceiveConsumer {
    pub(crate) fn holds_memory(&self) -> bool {
        self.reader.words().holds_memory()
    }

    #[cfg(loom)]
    pub(crate) fn has_seen_everything(&self) -> bool {
        self.reader.known() == 0
    }
}

impl Drop for ReceiveConsumer {
    fn drop(&mut self) {
        self.reader.words().head().mark(READER_GONE);
    }
}

impl fmt::Debug for ReceiveConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveConsumer")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// What follows the readable bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReceiveEnd {
    /// More may come.
    Open,
    /// The peer's FIN: the stream is complete.
    Finished,
    /// The connection was reset, by the peer or by giving up.
    Reset,
    /// This side has shut down reading; whatever was or will be there is discarded.
    Shut,
}

/// Stops the reading from any thread.
#[derive(Clone)]
pub struct ReceiveCloser {
    words: Words<Receiving>,
}

impl ReceiveCloser {
    /// Nobody reads any more. When this returns, no read gives a byte. Twice changes nothing.
    pub fn shut(&self) {
        shut(self.words.pair());
    }

    /// Whether bytes wait that nobody has read, or said that nobody would. An urgent byte that the stream skips does not count.
    pub fn has_unread(&self) -> bool {
        has_unread(self.words.pair())
    }
}

/// [`ReceiveCloser::shut`] of a connection's receive ring.
pub(crate) fn shut(pair: &Pair) {
    Receiving::head(pair).mark(SHUT);
}

/// [`ReceiveCloser::has_unread`] of a connection's receive ring.
pub(crate) fn has_unread(pair: &Pair) -> bool {
    let head = Receiving::head(pair).load(); // D2
    let tail = Receiving::writer(pair).tail().load().position(); // A2
    unread(head, tail, Receiving::rare(pair).mark()) > 0
}

/// How many bytes before `tail` nobody has read, or said that nobody would. An urgent byte that the stream skips is none of them.
fn unread(head: Word, tail: u64, mark: &MarkWord) -> u64 {
    if head.has(SHUT) {
        return 0;
    }
    let unread = head.position()..tail;
    let skipped = mark.load().is_some_and(|mark| {
        mark.delivery == UrgentDelivery::Apart && unread.contains(&mark.position)
    });
    unread.end.saturating_sub(unread.start) - u64::from(skipped)
}

impl fmt::Debug for ReceiveCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveCloser").finish_non_exhaustive()
    }
}

/// So many bytes may be waited for without closing the window.
fn half(limit: usize) -> u32 {
    u32::try_from(limit / 2).unwrap_or(u32::MAX).max(1)
}

/// In the tail: the stream ends here.
const FIN: u64 = 1 << 63;
/// In the tail: the connection was reset here.
const RST: u64 = 1 << 62;
/// In the head: the application reads no more.
const SHUT: u64 = 1 << 63;
/// In the head: the consumer was dropped.
const READER_GONE: u64 = 1 << 62;

#[cfg(not(loom))]
#[cfg(test)]
mod mark_tests;
#[cfg(not(loom))]
#[cfg(test)]
mod tests;
