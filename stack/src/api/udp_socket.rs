//! A UDP socket as the application holds it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use darner_ring::spsc::{Consumer, Producer};
use pmd::{Frame, Pool};
use rustix::io::Errno;

use super::waiting::Waiting;
use crate::protocol::Order;
use crate::socket::thread::refuse_child;
use crate::socket::udp::{Received, Submitted};
use crate::socket::words::{ReaderSide, Words, WriterSide};
use crate::socket::{Hints, Phase, Target};

/// A UDP socket.
///
/// It behaves as a [`std::net::UdpSocket`] that one thread uses. A call that has to wait sleeps after a short look; a
/// non-blocking socket gives [`ErrorKind::WouldBlock`] instead, and whoever it is registered with is told when to try again.
/// Sockets that were made on a protocol thread are born non-blocking.
pub struct UdpSocket {
    reader: Consumer<Received>,
    reader_words: ReaderSide,
    reading: Waiting,
    writer: Producer<Submitted>,
    writer_words: WriterSide,
    writing: Waiting,
    pool: Pool,
    local: SocketAddrV4,
    peer: Option<SocketAddrV4>,
}

/// Longest payload of a UDP datagram over IPv4: 65,535 bytes less both headers.
const PAYLOAD_MAX: usize = 65_507;

/// Long enough for a device to have given frames back.
const TRY_AGAIN_AFTER: Duration = Duration::from_micros(200);

impl UdpSocket {
    pub(crate) fn new(
        (reader, reader_words): (Consumer<Received>, ReaderSide),
        (writer, writer_words): (Producer<Submitted>, WriterSide),
        pool: Pool,
        local: SocketAddrV4,
    ) -> Self {
        let waiting = Waiting::at_birth();
        Self {
            reader,
            reader_words,
            reading: waiting,
            writer,
            writer_words,
            writing: waiting,
            pool,
            local,
            peer: None,
        }
    }

    pub(crate) fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local.into()
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.map(SocketAddr::from)
    }

    /// Makes `peer` the destination of [`send`](Self::send), and receives from nobody else from now on. ICMP errors
    /// about what is sent to it are reported by the next call.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` for an IPv6 address.
    pub fn connect(&mut self, peer: SocketAddr) -> io::Result<()> {
        refuse_child()?;
        let peer = ipv4(peer)?;
        self.peer = Some(peer);
        let words = self.words();
        if let Target::Udp(id) = words.target() {
            words.core().order(Order::ConnectUdp(id, peer));
        }
        Ok(())
    }

    /// Whether calls give [`ErrorKind::WouldBlock`] instead of waiting.
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.reading.set_nonblocking(nonblocking);
        self.writing.set_nonblocking(nonblocking);
    }

    /// How long receiving may wait before it gives [`ErrorKind::WouldBlock`]. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.reading.set_timeout(timeout)
    }

    /// How long sending may wait before it gives [`ErrorKind::WouldBlock`]. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a time of zero.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.writing.set_timeout(timeout)
    }

    /// What ICMP reported about a datagram that was sent; told once, here or by the next call.
    pub fn take_error(&self) -> Option<io::Error> {
        self.reader_words.take_error()
    }

    /// Sends `payload` to `to`, as one datagram of at most 65,507 bytes, in fragments if need be.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` for a longer one; [`ErrorKind::WouldBlock`] while the queue is full or no frame is free, if the socket does
    /// not wait; the error that ICMP reported about an earlier datagram; `ENETDOWN` once the stack has ended.
    pub fn send_to(&mut self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        let to = ipv4(to)?;
        if payload.len() > PAYLOAD_MAX {
            return Err(Errno::MSGSIZE.into());
        }
        loop {
            match self.try_send(payload, to) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_for_room()?,
                sent => return sent,
            }
        }
    }

    /// Sends to the peer that the socket is connected to.
    ///
    /// # Errors
    ///
    /// `EDESTADDRREQ` if there is none; otherwise as [`send_to`](Self::send_to).
    pub fn send(&mut self, payload: &[u8]) -> io::Result<usize> {
        let peer = self.peer.ok_or(Errno::DESTADDRREQ)?;
        self.send_to(payload, peer.into())
    }

    /// The next datagram and who sent it; what does not fit `out` is cut off.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when none waits and the socket does not wait either; the error that ICMP reported about a
    /// datagram sent before; `ENETDOWN` once the stack has ended and none is left.
    pub fn recv_from(&mut self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            match self.try_recv(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_for_datagram()?,
                received => return received,
            }
        }
    }

    /// The next datagram of the peer that the socket is connected to.
    ///
    /// # Errors
    ///
    /// `EDESTADDRREQ` if there is none; otherwise as [`recv_from`](Self::recv_from).
    pub fn recv(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.peer.ok_or(Errno::DESTADDRREQ)?;
        self.recv_from(out).map(|(len, _)| len)
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        self.reader_words.words()
    }

    fn try_send(&mut self, payload: &[u8], to: SocketAddrV4) -> io::Result<usize> {
        refuse_child()?;
        self.writer_words.take_error().map_or(Ok(()), Err)?;
        if self.writer_words.phase() == Phase::Dead {
            return Err(Errno::NETDOWN.into());
        }
        if self.writer.free() == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(frame) = self.fill(payload) else {
            // Nobody is told when a frame becomes free: the protocol thread has us try again each turn.
            self.writer_words.hint(Hints::SEND);
            return Err(ErrorKind::WouldBlock.into());
        };
        let pushed = self.writer.push(Submitted { to, frame });
        debug_assert!(pushed.is_ok(), "one producer, and room was seen");
        self.writer_words.hint(Hints::SEND);
        Ok(payload.len())
    }

    fn try_recv(&mut self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        refuse_child()?;
        self.reader_words.take_error().map_or(Ok(()), Err)?;
        // Asked first: what was queued before the end is still there.
        let ended = self.reader_words.phase() == Phase::Dead;
        while let Some(received) = self.reader.pop() {
            // Datagrams that were queued before `connect` may be somebody else's (C-8).
            if self.peer.is_none_or(|peer| peer == received.from) {
                return Ok((received.frame.copy_to(0, out), received.from.into()));
            }
        }
        Err(if ended { Errno::NETDOWN.into() } else { ErrorKind::WouldBlock.into() })
    }

    fn wait_for_datagram(&mut self) -> io::Result<()> {
        let deadline = self.reading.deadline()?;
        let (reader, words) = (&mut self.reader, &self.reader_words);
        let ready = || {
            let told = words.has_error() || words.phase() == Phase::Dead;
            (told || !reader.is_empty()).then_some(())
        };
        words.park(deadline, ready).ok_or(ErrorKind::WouldBlock.into())
    }

    /// Waits for room in the queue; if there is room, it was a frame that was missing, and none says when one is free.
    fn wait_for_room(&mut self) -> io::Result<()> {
        let deadline = self.writing.deadline()?;
        let (writer, words) = (&mut self.writer, &self.writer_words);
        if writer.free() > 0 {
            let soon = Instant::now() + TRY_AGAIN_AFTER;
            let soon = deadline.map_or(soon, |deadline| deadline.min(soon));
            let _ = words.park(Some(soon), || None::<()>);
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            return if late { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) };
        }
        let ready = || (words.phase() == Phase::Dead || writer.free() > 0).then_some(());
        words.park(deadline, ready).ok_or(ErrorKind::WouldBlock.into())
    }

    /// The payload in as many segments as it takes.
    fn fill(&self, payload: &[u8]) -> Option<Frame> {
        let room = self.pool.room();
        let mut chunks = payload.chunks(room);
        let mut frame = self.pool.alloc()?;
        frame.extend_from_slice(chunks.next().unwrap_or_default())?;
        for chunk in chunks {
            let mut more = self.pool.alloc()?;
            more.extend_from_slice(chunk)?;
            frame.chain(more);
        }
        Some(frame)
    }
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpSocket").field("local", &self.local).field("peer", &self.peer).finish()
    }
}

pub(crate) fn ipv4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(Errno::AFNOSUPPORT.into()),
    }
}
