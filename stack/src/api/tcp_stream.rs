//! A TCP connection as the application holds it.

use std::io::{self, BufRead, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddrV4};
use std::ops::Deref;
use std::time::{Duration, Instant};

use darner_ring::{ConnectionCloser, ReceiveConsumer, SendProducer};

use super::waiting::Waiting;
use super::{Control, ReadHalf, WriteHalf};
use crate::socket::BufferLimits;
use crate::socket::thread::{is_protocol_thread, refuse_child};
use crate::socket::words::{ControlSide, ReaderSide, WriterSide};

/// A TCP connection.
///
/// [`Read`], [`Write`] and [`BufRead`] behave as they do for [`std::net::TcpStream`]; `BufRead` reads in place, without a
/// copy. A call that has to wait sleeps after a short look: no thread burns a core while it waits. A non-blocking stream gives
/// [`ErrorKind::WouldBlock`] instead, and a [`Poller`](super::Poller), or
/// [`Application::ready`](super::Application::ready), tells when to try again. Streams that were made on a protocol thread
/// are born non-blocking; one that is told to wait there gives [`ErrorKind::Deadlock`].
///
/// One thread at a time uses each direction: [`split`](Self::split) gives both a half of their own. What any thread may do
/// to a connection is [`Control`]'s, and can be called here as well.
///
/// Dropping the stream closes the connection. Bytes that were written are still sent; bytes that were received and not
/// read make the close a reset (RFC 1122, section 4.2.2.13).
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// # let stack: darner::Stack = unimplemented!();
/// use std::io::{Read, Write};
///
/// let mut stream = stack.connect("10.0.0.1:7".parse().unwrap())?;
/// stream.write_all(b"hello")?;
/// let mut answer = [0; 5];
/// stream.read_exact(&mut answer)?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    /// First, so that who lingers does so before the halves are gone.
    closing: Closing,
    read: ReadHalf,
    write: WriteHalf,
}

// A server has as many as it has connections.
const _: () = assert!(size_of::<TcpStream>() <= 176);

/// A stream's control handle, which lingers when it is dropped.
struct Closing {
    control: Control,
    on_drop: OnDrop,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OnDrop {
    Linger,
    /// The halves go on without it, or have ended already.
    Nothing,
}

impl TcpStream {
    pub(crate) fn new(
        (reader, reader_words, limits): (ReceiveConsumer, ReaderSide, BufferLimits),
        (writer, writer_words): (SendProducer, WriterSide),
        closers: (ConnectionCloser, ControlSide),
        addresses: (SocketAddrV4, SocketAddrV4),
    ) -> Self {
        let mut read = ReadHalf::new(reader, reader_words, limits.receive);
        read.begin_low_water(limits.receive_low_water);
        Self {
            closing: Closing { control: Control::new(closers, addresses), on_drop: OnDrop::Linger },
            read,
            write: WriteHalf::new(writer, writer_words),
        }
    }

    /// A half for each direction, for two threads, and a handle for any other. The connection lives as long as a half does;
    /// without the stream nobody lingers.
    pub fn split(self) -> (ReadHalf, WriteHalf, Control) {
        let Self { mut closing, read, write } = self;
        closing.on_drop = OnDrop::Nothing;
        (read, write, closing.control.clone())
    }

    /// A handle to end the connection or set its options from any thread.
    pub fn control(&self) -> &Control {
        &self.closing.control
    }

    /// Whether the handshake is done. A connection that has ended since counts as done.
    pub fn is_connected(&self) -> bool {
        self.write.is_connected()
    }

    /// How many bytes can be read without waiting.
    pub fn readable(&mut self) -> usize {
        self.read.readable()
    }

    /// How many bytes a read waits for; see [`ReadHalf::set_low_water`].
    pub fn set_receive_low_water(&mut self, bytes: usize) {
        self.read.set_low_water(bytes);
    }

    /// How many bytes a read waits for.
    pub fn receive_low_water(&self) -> usize {
        self.read.low_water()
    }

    /// Whether a read that waits would return at once; see [`ReadHalf::is_ready`].
    pub fn is_read_ready(&mut self) -> bool {
        self.read.is_ready()
    }

    /// Whether no more will come than what is there already; see [`ReadHalf::is_finished`].
    pub fn is_read_finished(&mut self) -> bool {
        self.read.is_finished()
    }

    /// How many bytes can be written without waiting.
    pub fn writable(&self) -> usize {
        self.write.writable()
    }

    /// Whether a write would return at once; see [`WriteHalf::is_ready`].
    pub fn is_write_ready(&self) -> bool {
        self.write.is_ready()
    }

    /// How many of the bytes that were written are not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.write.unacknowledged()
    }

    /// Copies the next bytes and leaves them to be read; see [`ReadHalf::peek`].
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read.peek(out)
    }

    /// Fetches the byte that the peer sent as urgent; see [`ReadHalf::recv_oob`].
    ///
    /// # Errors
    ///
    /// If there is none, or it has not come.
    pub fn recv_oob(&mut self) -> io::Result<u8> {
        self.read.recv_oob()
    }

    /// Whether reading has come to the byte that the peer sent as urgent; see [`ReadHalf::at_mark`].
    pub fn at_mark(&self) -> bool {
        self.read.at_mark()
    }

    /// Writes what more follows soon; see [`WriteHalf::write_more`].
    ///
    /// # Errors
    ///
    /// As a write.
    pub fn write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write.write_more(bytes)
    }

    /// Writes, the last byte as urgent; see [`WriteHalf::send_oob`].
    ///
    /// # Errors
    ///
    /// As a write.
    pub fn send_oob(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write.send_oob(bytes)
    }

    /// Whether calls give [`ErrorKind::WouldBlock`] instead of waiting.
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.read.set_nonblocking(nonblocking);
        self.write.set_nonblocking(nonblocking);
    }

    /// How long a read may wait; see [`ReadHalf::set_read_timeout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.read.set_read_timeout(timeout)
    }

    /// How long a write may wait; see [`WriteHalf::set_write_timeout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.write.set_write_timeout(timeout)
    }

    /// How long a read may wait.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.read.read_timeout()
    }

    /// How long a write may wait.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.write.write_timeout()
    }

    /// Closes the connection and says what became of what was written. Without [linger](Control::set_linger) it returns at
    /// once; so it does with bytes that were received and not read, which make it a reset (RFC 1122, section 4.2.2.13).
    ///
    /// # Errors
    ///
    /// Why the connection failed, if it has. [`ErrorKind::TimedOut`] when the peer does not have everything after the time of
    /// linger: the connection goes on closing by itself. [`ErrorKind::WouldBlock`] where it would have to wait and the
    /// stream is non-blocking or on a protocol thread; it goes on closing as well.
    pub fn close(mut self) -> io::Result<()> {
        refuse_child()?;
        self.closing.on_drop = OnDrop::Nothing;
        let end = self.closing.end();
        if let End::Linger(span) = end {
            self.closing.linger(span, self.write_waiting())?;
        }
        let error = self.take_error();
        if end == End::Reset {
            self.closing.control.abort();
        }
        error.map_or(Ok(()), Err)
    }

    /// Writes what there is room for before the connection is open.
    pub(crate) fn preload(&mut self, bytes: &[u8]) -> usize {
        self.write.preload(bytes)
    }

    /// Waits until the handshake is done, or has failed.
    pub(crate) fn wait_connected(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.write.wait_connected(deadline)
    }

    fn write_waiting(&self) -> Waiting {
        self.write.waiting()
    }
}

/// How a connection ends that is closed now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// Because that was asked for, or bytes are lost that nobody has read. It is reset before a half is gone: the protocol thread may look between the two, and would take
    /// the end of the sending one for that of the stream.
    Reset,
    /// When the peer has everything, or after so long.
    Linger(Duration),
    ByItself,
}

impl Closing {
    fn end(&self) -> End {
        match self.control.linger() {
            Some(Duration::ZERO) => End::Reset,
            // An end in good order, and waiting for it, would say that nothing is lost.
            _ if self.control.has_unread() => End::Reset,
            Some(span) => End::Linger(span),
            None => End::ByItself,
        }
    }

    /// Ends the connection and waits for so long until the peer has everything.
    fn linger(&self, span: Duration, waiting: Waiting) -> io::Result<()> {
        self.control.shutdown(Shutdown::Write);
        let side = self.control.side();
        if side.is_settled() {
            return Ok(());
        }
        if waiting == Waiting::NEVER || is_protocol_thread() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let settled = || side.is_settled().then_some(());
        side.park(Instant::now().checked_add(span), settled).ok_or(ErrorKind::TimedOut.into())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Nothing || is_protocol_thread() {
            return;
        }
        match self.end() {
            End::Reset => self.control.abort(),
            End::Linger(span) => _ = self.linger(span, Waiting::FOREVER),
            End::ByItself => {}
        }
    }
}

/// What any thread may do to the connection.
impl Deref for TcpStream {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.closing.control
    }
}

impl Read for TcpStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read.read(out)
    }

    fn read_vectored(&mut self, outs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read.read_vectored(outs)
    }
}

impl BufRead for TcpStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.read.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.read.consume(count);
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write.flush()
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpStream")
            .field("local", &self.local_addr())
            .field("peer", &self.peer_addr())
            .finish_non_exhaustive()
    }
}
