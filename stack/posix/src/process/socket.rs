//! A socket as its process has it.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use darner::{TcpKeys, TcpListener, TcpStream};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::options::Options;

/// A socket, and the descriptor of the kernel's that holds its place: nobody else is given the number.
pub(crate) struct Socket {
    pub(crate) placeholder: OwnedFd,
    pub(crate) nonblocking: bool,
    pub(crate) family: Family,
    /// Where it was bound.
    pub(crate) local: Option<SocketAddrV4>,
    pub(crate) options: Options,
    /// Keys of peers (`TCP_MD5SIG`).
    pub(crate) keys: TcpKeys,
    pub(crate) kind: Kind,
    /// It was shut down for reading: reads that would wait find the end. As in Linux, what comes is still acknowledged and can be read.
    pub(crate) read_shut: bool,
    /// Why the connection failed, if that was found out and not told.
    pub(crate) error: Option<Errno>,
}

/// What has become of a socket.
pub(crate) enum Kind {
    /// Neither listens nor connects.
    Fresh,
    Listener {
        listener: TcpListener,
        /// Accepted to see whether there is one, and not yet taken.
        found: VecDeque<TcpStream>,
    },
    /// It connects with the first bytes that are written (`TCP_FASTOPEN_CONNECT`).
    Deferred(SocketAddrV4),
    Stream {
        stream: TcpStream,
        opening: Opening,
    },
}

/// Whether the caller knows how connecting has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    UnderWay,
    Told,
}

/// How addresses are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    V4,
    /// IPv4 addresses mapped into those of IPv6.
    Mapped,
}

impl Socket {
    pub(crate) fn new(family: Family, kind: Kind) -> Result<Self, Errno> {
        Ok(Self {
            placeholder: eventfd(0, EventfdFlags::CLOEXEC)?,
            nonblocking: false,
            family,
            local: None,
            options: Options::default(),
            keys: TcpKeys::NONE,
            kind,
            read_shut: false,
            error: None,
        })
    }

    /// The connection, if it is one.
    pub(crate) fn stream(&mut self) -> Result<&mut TcpStream, Errno> {
        match &mut self.kind {
            Kind::Stream { stream, .. } => Ok(stream),
            Kind::Fresh | Kind::Deferred(_) | Kind::Listener { .. } => Err(Errno::NOTCONN),
        }
    }
}
