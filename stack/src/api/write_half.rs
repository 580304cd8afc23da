//! The sending half of a TCP connection.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use darner_ring::{SendClosed, SendProducer};

use super::waiting::Waiting;
use crate::socket::thread::refuse_child;
use crate::socket::words::{Words, WriterSide};
use crate::socket::{Hints, Phase};

/// The sending half of a [`TcpStream`](super::TcpStream).
///
/// One thread at a time writes: the half may be moved to another thread, and neither be shared nor cloned. A call that has
/// to wait sleeps after a short look, unless the half is non-blocking.
///
/// Dropping it shuts the direction down: what was written is sent, and then the end of the stream.
pub struct WriteHalf {
    ring: SendProducer,
    /// After the ring: whoever hears that the half is gone finds that the ring's end is.
    words: WriterSide,
    waiting: Waiting,
}

impl WriteHalf {
    pub(crate) fn new(ring: SendProducer, words: WriterSide) -> Self {
        Self { ring, words, waiting: Waiting::at_birth() }
    }

    /// How many bytes can be written without waiting.
    pub fn writable(&self) -> usize {
        self.ring.free()
    }

    /// How many of the bytes that were written are not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.ring.buffered()
    }

    /// Whether a write would take something at once, or tell something.
    pub fn is_ready(&self) -> bool {
        let connected = self.words.phase() != Phase::Connecting;
        self.ring.closed().is_err() || connected && self.ring.free() > 0
    }

    /// Writes as [`Write::write`] does. The peer hears at once, whatever else waits to be sent, that the last of `bytes` is
    /// urgent (RFC 6093), if that was taken too: of what was not taken, the rest is to be sent the same way. What was urgent
    /// before and is still to be sent becomes ordinary data.
    ///
    /// # Errors
    ///
    /// As a write.
    pub fn send_oob(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_by(bytes, SendProducer::write_urgent, Hints::SEND)
    }

    /// Writes as [`Write::write`] does, and says that more follows soon: what does not fill a segment may wait for it, until the next ACK or for a
    /// retransmission timeout at most. Like `MSG_MORE` of Linux.
    ///
    /// # Errors
    ///
    /// As a write.
    pub fn write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_by(bytes, SendProducer::write, Hints::SEND_MORE)
    }

    /// Whether calls give [`ErrorKind::WouldBlock`] instead of waiting.
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.waiting.set_nonblocking(nonblocking);
    }

    /// How long a write may wait before it gives [`ErrorKind::WouldBlock`], as a socket of Linux does. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.waiting.set_timeout(timeout)
    }

    /// How long a write may wait.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.waiting.timeout()
    }

    /// Room in the ring, to be filled in place and then [committed](Self::commit): what a write does without its copy.
    /// Empty if nothing can be written without waiting. What is in it before is arbitrary.
    pub fn reserve(&mut self) -> &mut [u8] {
        if self.words.phase() == Phase::Connecting { &mut [] } else { self.ring.reserve() }
    }

    /// Sends the first `len` bytes of what [`reserve`](Self::reserve) gave.
    ///
    /// # Errors
    ///
    /// As a write: then none of them was accepted.
    ///
    /// # Panics
    ///
    /// If `len` is more than was reserved.
    pub fn commit(&mut self, len: usize) -> io::Result<()> {
        refuse_child()?;
        self.ring.commit(len).map_err(|closed| self.why_closed(closed))?;
        if len > 0 {
            self.words.hint(Hints::SEND);
        }
        Ok(())
    }

    /// Why the connection failed; told once, here or by any other call.
    pub fn take_error(&self) -> Option<io::Error> {
        self.words.take_error()
    }

    /// Whether the handshake is done. A connection that has ended since counts as done.
    pub fn is_connected(&self) -> bool {
        self.words.phase() != Phase::Connecting
    }

    /// Writes what there is room for before the connection is open.
    pub(crate) fn preload(&mut self, bytes: &[u8]) -> usize {
        self.ring.write(bytes).unwrap_or(0)
    }

    pub(crate) fn waiting(&self) -> Waiting {
        self.waiting
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        self.words.words()
    }

    /// Waits until the handshake is done, or has failed.
    ///
    /// # Errors
    ///
    /// Why it failed; [`ErrorKind::TimedOut`] at the deadline. A connection that was made and ended since is no failure here:
    /// the next call tells (C-10).
    pub(crate) fn wait_connected(&self, deadline: Option<Instant>) -> io::Result<()> {
        refuse_child()?;
        let done = || (self.words.phase() != Phase::Connecting).then_some(());
        self.words.park(deadline, done).ok_or(ErrorKind::TimedOut)?;
        if self.words.was_connected() {
            return Ok(());
        }
        Err(self.words.take_error().unwrap_or(ErrorKind::ConnectionAborted.into()))
    }

    /// Sleeps until there is room, or something to be told.
    fn wait(&self) -> io::Result<()> {
        let deadline = self.waiting.deadline()?;
        self.words
            .park(deadline, || self.is_ready().then_some(()))
            .ok_or(ErrorKind::WouldBlock.into())
    }

    fn write_by(&mut self, bytes: &[u8], append: Append, hint: Hints) -> io::Result<usize> {
        loop {
            match self.try_write(bytes, append) {
                Ok(written) => {
                    if written > 0 {
                        self.words.hint(hint);
                    }
                    return Ok(written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends what fits, without waiting.
    fn try_write(&mut self, bytes: &[u8], append: Append) -> io::Result<usize> {
        refuse_child()?;
        if self.words.phase() == Phase::Connecting {
            self.ring.closed().map_err(|closed| self.why_closed(closed))?;
            return Err(ErrorKind::WouldBlock.into());
        }
        match append(&mut self.ring, bytes) {
            Ok(0) if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            Ok(written) => Ok(written),
            Err(closed) => Err(self.why_closed(closed)),
        }
    }

    fn why_closed(&self, closed: SendClosed) -> io::Error {
        let failure = match closed {
            SendClosed::Dead => self.words.take_error(),
            SendClosed::ShutDown | SendClosed::Aborted => None,
        };
        failure.unwrap_or(ErrorKind::BrokenPipe.into())
    }
}

/// How bytes are put into the ring.
type Append = fn(&mut SendProducer, &[u8]) -> Result<usize, SendClosed>;

impl Write for WriteHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_by(bytes, SendProducer::write, Hints::SEND)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(first) = pieces.iter().position(|piece| !piece.is_empty()) else { return Ok(0) };
        let mut written = self.write(&pieces[first])?;
        if written == pieces[first].len() {
            for piece in &pieces[first + 1..] {
                let Ok(more) = self.ring.write(piece) else { break };
                written += more;
                if more < piece.len() {
                    break;
                }
            }
            self.words.hint(Hints::SEND);
        }
        Ok(written)
    }

    /// Does nothing: what was written is sent without being asked for.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteHalf").field("phase", &self.words.phase()).finish_non_exhaustive()
    }
}
