//! A UDP socket as the application holds it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use darner_ring::spsc::{Consumer, Producer};
use pmd::{Frame, Pool};
use rustix::io::Errno;

use super::Token;
use crate::protocol::Order;
use crate::socket::udp::{Received, Submitted};
use crate::socket::words::Words;
use crate::socket::{Hints, Target};

/// A UDP socket. It never blocks; [`ErrorKind::WouldBlock`] says that the application will be told when to try again.
pub struct UdpSocket {
    reader: Consumer<Received>,
    writer: Producer<Submitted>,
    words: Arc<Words>,
    pool: Pool,
    local: SocketAddrV4,
    peer: Option<SocketAddrV4>,
}

/// Longest payload of a UDP datagram over IPv4: 65,535 bytes less both headers.
const PAYLOAD_MAX: usize = 65_507;

impl UdpSocket {
    pub(crate) fn new(
        reader: Consumer<Received>,
        writer: Producer<Submitted>,
        words: Arc<Words>,
        pool: Pool,
        local: SocketAddrV4,
    ) -> Self {
        Self { reader, writer, words, pool, local, peer: None }
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
        let peer = ipv4(peer)?;
        self.peer = Some(peer);
        if let Target::Udp(id) = self.words.target() {
            self.words.core().order(Order::ConnectUdp(id, peer));
        }
        Ok(())
    }

    /// Sends `payload` to `to`, as one datagram of at most 65,507 bytes, in fragments if need be.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` for a longer one; [`ErrorKind::WouldBlock`] while the queue is full or no frame is free; the error that
    /// ICMP reported about an earlier datagram; `ENETDOWN` once the stack has ended.
    pub fn send_to(&mut self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        let to = ipv4(to)?;
        self.words.take_error().map_or(Ok(()), Err)?;
        if payload.len() > PAYLOAD_MAX {
            return Err(Errno::MSGSIZE.into());
        }
        if self.writer.is_abandoned() {
            return Err(Errno::NETDOWN.into());
        }
        if self.writer.free() == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(frame) = self.fill(payload) else {
            // Nobody is told when a frame becomes free: the protocol thread has us try again each turn.
            self.words.hint(Hints::SEND);
            return Err(ErrorKind::WouldBlock.into());
        };
        let pushed = self.writer.push(Submitted { to, frame });
        debug_assert!(pushed.is_ok(), "one producer, and room was seen");
        self.words.hint(Hints::SEND);
        Ok(payload.len())
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
    /// [`ErrorKind::WouldBlock`] when none waits; the error that ICMP reported about a datagram sent before; `ENETDOWN` once
    /// the stack has ended and none is left.
    pub fn recv_from(&mut self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.words.take_error().map_or(Ok(()), Err)?;
        let ended = self.reader.is_abandoned();
        while let Some(received) = self.reader.pop() {
            // Datagrams that were queued before `connect` may be somebody else's (C-8).
            if self.peer.is_none_or(|peer| peer == received.from) {
                return Ok((received.frame.copy_to(0, out), received.from.into()));
            }
        }
        Err(if ended { Errno::NETDOWN.into() } else { ErrorKind::WouldBlock.into() })
    }

    pub(crate) fn set_token(&self, token: Token) {
        self.words.events().set_token(token);
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

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.words.close();
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
