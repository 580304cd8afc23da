//! A TCP connection as the application holds it.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use darner_ring::{
    ReceiveCloser, ReceiveConsumer, ReceiveEnd, SendClosed, SendCloser, SendProducer,
};

use super::{Readiness, Token};
use crate::socket::words::Words;
use crate::socket::{Hints, Phase};

/// A TCP connection.
///
/// It is never blocking: a call that would have to wait gives [`ErrorKind::WouldBlock`], and the application is told
/// through [`Application::ready`](super::Application::ready) when to try again. [`Read`], [`Write`] and [`BufRead`]
/// behave as they do for [`std::net::TcpStream`]; `BufRead` reads in place, without a copy.
///
/// Dropping the stream closes the connection. Bytes that were written are still sent; bytes that were received and not
/// read make the close a reset (RFC 1122, section 4.2.2.13).
pub struct TcpStream {
    reader: ReceiveConsumer,
    read_closer: ReceiveCloser,
    writer: SendProducer,
    write_closer: SendCloser,
    words: Arc<Words>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Bytes read since the protocol thread was last told.
    unreported: usize,
    /// So many that it is told.
    report_at: usize,
}

/// Two full segments, the least that is worth a window update (RFC 9293, section 3.8.6.2.2).
const REPORT_AT_LEAST: usize = 2 * 1460;

impl TcpStream {
    pub(crate) fn new(
        (reader, read_closer): (ReceiveConsumer, ReceiveCloser),
        (writer, write_closer): (SendProducer, SendCloser),
        words: Arc<Words>,
        (local, remote): (SocketAddr, SocketAddr),
        receive_limit: usize,
    ) -> Self {
        let report_at = REPORT_AT_LEAST.min(receive_limit / 2).max(1);
        Self {
            reader,
            read_closer,
            writer,
            write_closer,
            words,
            local,
            remote,
            unreported: 0,
            report_at,
        }
    }

    /// Our address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    /// Whether the handshake is done. A connection that has ended since counts as done.
    pub fn is_connected(&self) -> bool {
        self.words.phase() != Phase::Connecting
    }

    /// How many bytes can be read without waiting.
    pub fn readable(&mut self) -> usize {
        self.reader.len()
    }

    /// How many bytes can be written without waiting.
    pub fn writable(&mut self) -> usize {
        self.writer.free()
    }

    /// How many of the bytes that were written are not acknowledged yet.
    pub fn unacknowledged(&mut self) -> usize {
        self.writer.buffered()
    }

    /// Ends one direction or both.
    ///
    /// After [`Shutdown::Write`] the peer gets what was written and then the end of the stream. After
    /// [`Shutdown::Read`] reads give zero bytes, and what arrives is acknowledged and thrown away.
    pub fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.read_closer.shut();
            self.words.hint(Hints::SHUT_READ);
        }
        if how != Shutdown::Read {
            self.write_closer.shut_down();
            self.words.hint(Hints::SHUT_WRITE);
        }
    }

    /// Resets the connection: what was written and not sent is lost, and so is what was not read.
    pub fn abort(&self) {
        self.write_closer.abort();
        self.words.hint(Hints::ABORT);
    }

    /// Sends small segments at once (Nagle's algorithm off, RFC 9293 section 3.7.4). Off by default.
    pub fn set_nodelay(&self, on: bool) {
        self.words.set_nodelay(on);
    }

    /// Probes the peer while the connection is idle (RFC 9293, section 3.8.4). Off by default.
    pub fn set_keepalive(&self, on: bool) {
        self.words.set_keepalive(on);
    }

    /// How long written bytes may stay unacknowledged before the connection is given up (RFC 9293, section 3.8.3);
    /// whole milliseconds. `None`: the stack's default.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) {
        self.words.set_user_timeout(timeout);
    }

    /// Why the connection failed; told once, here or by a read or a write.
    pub fn take_error(&self) -> Option<io::Error> {
        self.words.take_error()
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        &self.words
    }

    pub(crate) fn set_token(&self, token: Token) {
        self.words.events().set_token(token);
    }

    /// What could be done without waiting, as it is now.
    pub(crate) fn level(&mut self) -> Readiness {
        let mut level = Readiness::empty();
        if self.reader.len() > 0 || self.reader.end() != ReceiveEnd::Open {
            level |= Readiness::READABLE;
        }
        if self.is_connected() && (self.writer.free() > 0 || self.writer.is_dead()) {
            level |= Readiness::WRITABLE;
        }
        level
    }

    /// What a read gives when no byte is there, in the order that C-4 fixes.
    fn end_of_bytes(&mut self) -> io::Result<()> {
        match self.reader.end() {
            ReceiveEnd::Open => Err(ErrorKind::WouldBlock.into()),
            ReceiveEnd::Reset => self.words.take_error().map_or(Ok(()), Err),
            ReceiveEnd::Shut | ReceiveEnd::Finished => Ok(()),
        }
    }
}

impl Read for TcpStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let bytes = self.reader.fill_buf();
            let take = bytes.len().min(out.len() - filled);
            if take == 0 {
                break;
            }
            out[filled..filled + take].copy_from_slice(&bytes[..take]);
            filled += take;
            self.consume(take);
        }
        if filled == 0 && !out.is_empty() {
            self.end_of_bytes()?;
        }
        Ok(filled)
    }
}

impl BufRead for TcpStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.reader.len() == 0 {
            self.end_of_bytes()?;
        }
        Ok(self.reader.fill_buf())
    }

    fn consume(&mut self, count: usize) {
        self.reader.consume(count);
        self.unreported += count;
        if self.unreported >= self.report_at || self.words.window_closed() {
            self.unreported = 0;
            self.words.hint(Hints::RECEIVE);
        }
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.words.phase() == Phase::Connecting {
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.writer.write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            Ok(0) => Ok(0),
            Ok(written) => {
                self.words.hint(Hints::SEND);
                Ok(written)
            }
            Err(SendClosed::Dead) => {
                Err(self.words.take_error().unwrap_or(ErrorKind::BrokenPipe.into()))
            }
            Err(SendClosed::ShutDown | SendClosed::Aborted) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// Does nothing: what was written is sent without being asked for.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.words.close();
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpStream")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish()
    }
}
