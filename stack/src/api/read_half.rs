//! The receiving half of a TCP connection.

use std::io::{self, BufRead, ErrorKind, IoSliceMut, Read};
use std::sync::Arc;
use std::time::Duration;

use darner_ring::{Lent, ReceiveConsumer, ReceiveEnd};

use super::waiting::Waiting;
use crate::socket::Hints;
use crate::socket::thread::refuse_child;
use crate::socket::words::{ReaderSide, Words};

/// The receiving half of a [`TcpStream`](super::TcpStream).
///
/// One thread at a time reads: the half may be moved to another thread, and neither be shared nor cloned. [`Read`] and
/// [`BufRead`] behave as they do for [`std::net::TcpStream`]; `BufRead` reads in place, without a copy. A call that has to
/// wait sleeps after a short look, unless the half is non-blocking.
///
/// Dropping it says that nobody reads any more: what arrives is acknowledged and thrown away. Once both halves are dropped
/// the connection closes, and bytes that were received and never read make the close a reset (RFC 1122, section 4.2.2.13).
pub struct ReadHalf {
    ring: ReceiveConsumer,
    /// After the ring: whoever hears that the half is gone finds that the ring's end is.
    words: ReaderSide,
    waiting: Waiting,
    /// Bytes read since the protocol thread was last told.
    unreported: u32,
    /// So many that it is told.
    report_at: u32,
    /// Fewer bytes are waited for to become as many.
    low_water: u32,
    /// The stream position up to which there were as many: they may be read in pieces.
    granted: u64,
}

/// Two full segments, the least that is worth a window update (RFC 9293, section 3.8.6.2.2).
const REPORT_AT_LEAST: u32 = 2 * 1460;

impl ReadHalf {
    pub(crate) fn new(ring: ReceiveConsumer, words: ReaderSide, limit: usize) -> Self {
        let report_at = saturating(limit / 2).clamp(1, REPORT_AT_LEAST);
        Self {
            ring,
            words,
            waiting: Waiting::at_birth(),
            unreported: 0,
            report_at,
            low_water: 1,
            granted: 0,
        }
    }

    /// How many bytes can be read without waiting.
    pub fn readable(&mut self) -> usize {
        self.ring.len()
    }

    /// Whether calls give [`ErrorKind::WouldBlock`] instead of waiting.
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.waiting.set_nonblocking(nonblocking);
    }

    /// How long a read may wait before it gives [`ErrorKind::WouldBlock`], as a socket of Linux does. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.waiting.set_timeout(timeout)
    }

    /// How long a read may wait.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.waiting.timeout()
    }

    /// Copies the next bytes and leaves them to be read: as many as lie together, at least one. Zero at the end of the
    /// stream.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.wait_for_bytes(out.len())? == Found::End {
            return Ok(0);
        }
        let bytes = self.ring.fill_buf();
        let len = bytes.len().min(out.len());
        out[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    /// Takes the next bytes without a copy, to keep: as many as lie together, `most` at most. `None` at the end of the stream, or for a `most` of zero.
    ///
    /// They stay what they are whatever becomes of the connection. Their room in the receive window is free at once, and their
    /// memory when they are dropped, up to 16 KiB for each piece.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn lend(&mut self, most: usize) -> io::Result<Option<Lent>> {
        match self.wait_for_bytes(most)? {
            Found::End => Ok(None),
            Found::Bytes => {
                let lent = self.ring.lend(most);
                self.report(lent.as_ref().map_or(0, |bytes| bytes.len()));
                Ok(lent)
            }
        }
    }

    /// Fetches the byte that the peer sent as urgent (RFC 6093), out of turn and once: no read gives it again. It never waits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if there is none: the peer has sent none, it was fetched, reading has gone past it, or urgent
    /// bytes are [inline](super::Control::set_oob_inline). [`ErrorKind::WouldBlock`] if it was announced and has not come.
    pub fn recv_oob(&mut self) -> io::Result<u8> {
        let mut mark = None;
        let byte = self.words.fetch_oob(|| {
            mark = self.ring.mark();
            mark
        })?;
        if let Some(mark) = mark {
            self.ring.skip_taken(mark.position);
        }
        Ok(byte)
    }

    /// Whether reading has come to the byte that the peer sent as urgent, and not gone past it: what is read next comes right
    /// behind it, or is it where urgent bytes are [inline](super::Control::set_oob_inline). A read never goes past it that has
    /// got bytes from before.
    pub fn at_mark(&self) -> bool {
        self.ring.at_mark()
    }

    /// How many bytes a read waits for, if it waits and has room for so many, and how many are told as
    /// [`READABLE`](super::Readiness::READABLE); 1 at first, unless [`TcpConfig::receive_low_water`](crate::TcpConfig::receive_low_water) says
    /// otherwise. The end of the stream, an error, an urgent byte and a closed window end the waiting as well. What was waited for once may be
    /// read in place piece by piece. Like `SO_RCVLOWAT` of Linux.
    ///
    /// More than half of the receive buffer does not count: the peer could not send it. A buffer that grows by itself grows for it, up to
    /// [`TcpConfig::receive_buffer_max`](crate::TcpConfig::receive_buffer_max).
    pub fn set_low_water(&mut self, bytes: usize) {
        self.begin_low_water(bytes);
        self.words.hint(Hints::LOW_WATER);
    }

    /// How many bytes a read waits for.
    pub fn low_water(&self) -> usize {
        if self.low_water == 1 { 1 } else { self.ring.wanted_of(self.low_water as usize) }
    }

    /// Whether a read that waits would return at once: with as many bytes as it wants, fewer of which there will be no more for now, or the
    /// end.
    pub fn is_ready(&mut self) -> bool {
        let least = self.low_water();
        has_enough(&mut self.ring, least)
    }

    /// Whether no more will come than what is there already: the peer has closed its side, the connection has ended, or this side has shut down
    /// reading, and then nothing is there, either.
    pub fn is_finished(&mut self) -> bool {
        self.ring.look_for_end() != ReceiveEnd::Open
    }

    /// Why the connection failed; told once, here or by any other call.
    pub fn take_error(&self) -> Option<io::Error> {
        self.words.take_error()
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        self.words.words()
    }

    /// The half begins with this [low-water mark](Self::set_low_water), before anybody is told anything.
    pub(crate) fn begin_low_water(&mut self, bytes: usize) {
        self.low_water = saturating(bytes).max(1);
        self.ring.want(self.low_water as usize);
    }

    /// Sleeps until there are `least` bytes to read, or something to be told.
    fn wait(&mut self, least: usize) -> io::Result<()> {
        let deadline = self.waiting.deadline()?;
        self.ring.want(least);
        let ring = &mut self.ring;
        let waited = self.words.park(deadline, || has_enough(ring, least).then_some(()));
        self.ring.want(self.low_water as usize);
        waited.ok_or(ErrorKind::WouldBlock.into())
    }

    /// What a read gives when no byte is there, in the order that C-4 fixes.
    fn end_of_bytes(&mut self) -> io::Result<()> {
        match self.ring.end() {
            ReceiveEnd::Open => Err(ErrorKind::WouldBlock.into()),
            // Whoever has shut down reading still hears of a failure, if nobody did before.
            ReceiveEnd::Reset | ReceiveEnd::Shut => self.words.take_error().map_or(Ok(()), Err),
            ReceiveEnd::Finished => Ok(()),
        }
    }

    /// Waits until there are `most` bytes or as many as the mark wants, or the end of the stream. Says which.
    fn wait_for_bytes(&mut self, most: usize) -> io::Result<Found> {
        refuse_child()?;
        let least = self.low_water().min(most).max(1);
        let granted = self.ring.position() < self.granted;
        if !granted && !has_enough(&mut self.ring, least) {
            let waited = self.wait(least);
            // Who does not wait, or has waited long enough, gets what there is.
            if self.ring.len() == 0 {
                waited?;
            }
        }
        let len = self.ring.len();
        if len == 0 {
            return self.end_of_bytes().map(|()| Found::End);
        }
        self.granted = self.ring.position() + len as u64;
        Ok(Found::Bytes)
    }

    /// The same for whoever takes what there is: one look, where a byte is as good as many.
    #[inline]
    fn find_bytes(&mut self) -> io::Result<Found> {
        if self.low_water == 1 {
            refuse_child()?;
            let len = self.ring.fill_buf().len();
            if len > 0 {
                self.granted = self.ring.position() + len as u64;
                return Ok(Found::Bytes);
            }
            if self.waiting == Waiting::NEVER && self.ring.end() == ReceiveEnd::Open {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        let found = self.wait_for_bytes(usize::MAX)?;
        if found == Found::Bytes {
            self.ring.fill_buf();
        }
        Ok(found)
    }

    /// Has read fewer bytes than the mark wants, and goes on until `least` are filled, for as long as it may wait.
    fn read_on(&mut self, out: &mut [u8], mut filled: usize, least: usize) -> usize {
        while filled < least && !self.ring.at_mark() && self.wait(least - filled).is_ok() {
            let more = self.copy_out(&mut out[filled..]);
            if more == 0 {
                break;
            }
            filled += more;
        }
        filled
    }

    /// So many bytes more were read: the protocol thread is told now and then, or at once if the peer waits for it.
    fn report(&mut self, count: usize) {
        self.unreported = self.unreported.saturating_add(saturating(count));
        if self.unreported >= self.report_at || self.ring.window_is_closed() {
            self.unreported = 0;
            self.words.hint(Hints::RECEIVE);
        }
    }

    /// Copies what there is, up to the mark.
    fn copy_out(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < out.len() && (filled == 0 || !self.ring.at_mark()) {
            let bytes = self.ring.fill_buf();
            let take = bytes.len().min(out.len() - filled);
            if take == 0 {
                break;
            }
            out[filled..filled + take].copy_from_slice(&bytes[..take]);
            filled += take;
            self.consume(take);
        }
        filled
    }
}

fn saturating(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Whether there are `least` bytes, or fewer that none will follow until some are read.
fn has_enough(ring: &mut ReceiveConsumer, least: usize) -> bool {
    let len = ring.len();
    len >= least
        || ring.end() != ReceiveEnd::Open
        || len > 0 && (ring.mark().is_some() || ring.window_is_closed())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Bytes,
    End,
}

impl Read for ReadHalf {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        refuse_child()?;
        let filled = self.copy_out(out);
        let least = self.low_water().min(out.len());
        if filled >= least {
            return Ok(filled);
        }
        if filled > 0 {
            return Ok(self.read_on(out, filled, least));
        }
        match self.wait_for_bytes(least)? {
            Found::Bytes => Ok(self.copy_out(out)),
            Found::End => Ok(0),
        }
    }

    fn read_vectored(&mut self, outs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some(first) = outs.iter().position(|out| !out.is_empty()) else { return Ok(0) };
        let mut filled = self.read(&mut outs[first])?;
        if filled == outs[first].len() {
            for out in &mut outs[first + 1..] {
                if self.ring.at_mark() {
                    break;
                }
                let more = self.copy_out(out);
                filled += more;
                if more < out.len() {
                    break;
                }
            }
        }
        Ok(filled)
    }
}

impl BufRead for ReadHalf {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.find_bytes()? {
            Found::Bytes => Ok(self.ring.shown()),
            Found::End => Ok(&[]),
        }
    }

    fn consume(&mut self, count: usize) {
        self.ring.consume(count);
        self.report(count);
    }
}

impl std::fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadHalf").field("phase", &self.words.phase()).finish_non_exhaustive()
    }
}
