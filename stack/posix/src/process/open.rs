//! Calls that make sockets, and end them.

use std::ffi::c_int;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4};
use std::os::fd::RawFd;

use darner::{ConnectOptions, ListenOptions, Token, WaitingReset};
use rustix::io::Errno;

use super::socket::{Family, Kind, Opening, Socket};
use super::{Process, errno};
use crate::host::Patience;
use crate::sysctl::FAST_OPEN_CLIENT;

impl Process {
    pub(crate) fn open(
        &mut self,
        family: Family,
        kind: c_int,
        protocol: c_int,
    ) -> Result<RawFd, Errno> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        match (kind & !flags, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => {}
            (libc::SOCK_STREAM, _) => return Err(Errno::PROTONOSUPPORT),
            _ => return Err(Errno::SOCKTNOSUPPORT),
        }
        self.machine.reread_settings();
        let mut socket = Socket::new(family, Kind::Fresh)?;
        socket.nonblocking = kind & libc::SOCK_NONBLOCK != 0;
        Ok(self.insert(socket))
    }

    pub(crate) fn flags(&mut self, fd: RawFd) -> Result<c_int, Errno> {
        let nonblocking = if self.socket(fd)?.nonblocking { libc::O_NONBLOCK } else { 0 };
        Ok(libc::O_RDWR | nonblocking)
    }

    pub(crate) fn set_flags(&mut self, fd: RawFd, flags: c_int) -> Result<(), Errno> {
        self.socket(fd)?.nonblocking = flags & libc::O_NONBLOCK != 0;
        Ok(())
    }

    /// How long a call on the descriptor may wait that reads or accepts.
    pub(crate) fn patience(&self, fd: RawFd, flags: c_int) -> Patience {
        self.patience_by(fd, flags, libc::SO_RCVTIMEO)
    }

    /// The same for one that writes or connects.
    pub(crate) fn patience_to_send(&self, fd: RawFd, flags: c_int) -> Patience {
        self.patience_by(fd, flags, libc::SO_SNDTIMEO)
    }

    fn patience_by(&self, fd: RawFd, flags: c_int, option: c_int) -> Patience {
        match self.sockets.get(&fd) {
            Some(socket) if !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0 => socket
                .options
                .timeout(option)
                .map_or(Patience::Forever, |span| Patience::Until(self.machine.now() + span)),
            _ => Patience::None,
        }
    }

    pub(crate) fn bind(&mut self, fd: RawFd, address: SocketAddrV4) -> Result<(), Errno> {
        let socket = self.socket(fd)?;
        match (&socket.kind, socket.local) {
            (Kind::Fresh, None) => {
                socket.local = Some(address);
                Ok(())
            }
            _ => Err(Errno::INVAL),
        }
    }

    pub(crate) fn listen(&mut self, fd: RawFd, backlog: i32) -> Result<(), Errno> {
        let (machine, socket) = self.parts(fd)?;
        let Kind::Fresh = socket.kind else { return Err(Errno::INVAL) };
        let local = socket.local.ok_or(Errno::DESTADDRREQ)?;
        // One more than asked for, as Linux has it.
        let backlog = u32::try_from(backlog).unwrap_or(0).saturating_add(1);
        let buffers = socket.options.buffers();
        let options = ListenOptions {
            defer_accept: socket.options.defer_accept(),
            reset_while_waiting: WaitingReset::Accept,
            fast_open: socket.options.fast_open(machine.fast_open()),
            keys: socket.keys.clone(),
            max_segment_size: socket.options.max_segment_size(),
            receive_buffer: buffers.0,
            send_buffer: buffers.1,
            ..ListenOptions::with_backlog(backlog)
        };
        let listener = machine
            .with_core(|core| core.listen_with(local.into(), options, UNHEARD))
            .map_err(|error| errno(&error))?;
        socket.kind = Kind::Listener { listener, found: Default::default() };
        Ok(())
    }

    /// The next connection and its peer.
    pub(crate) fn accept(&mut self, fd: RawFd) -> Result<(RawFd, SocketAddrV4, Family), Errno> {
        let (machine, socket) = self.parts(fd)?;
        let (family, options, keys) = (socket.family, socket.options.clone(), socket.keys.clone());
        let Kind::Listener { listener, found } = &mut socket.kind else {
            return Err(Errno::INVAL);
        };
        let mut stream = match found.pop_front() {
            Some(stream) => stream,
            None => machine.with_core(|_| listener.accept()).map_err(|error| errno(&error))?.0,
        };
        let peer = v4(stream.peer_addr());
        machine.with_core(|_| options.apply(&mut stream));
        let kind = Kind::Stream { stream, opening: Opening::Told };
        let fd = self.insert(Socket { options, keys, ..Socket::new(family, kind)? });
        Ok((fd, peer, family))
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, fd: RawFd, remote: SocketAddrV4) -> Result<(), Errno> {
        let (machine, socket) = self.parts(fd)?;
        match &socket.kind {
            Kind::Fresh => {}
            Kind::Stream { stream, opening: Opening::UnderWay } if stream.is_connected() => {
                return Ok(());
            }
            Kind::Stream { opening: Opening::UnderWay, .. } => return Err(Errno::ALREADY),
            Kind::Deferred(_) | Kind::Stream { .. } | Kind::Listener { .. } => {
                return Err(Errno::ISCONN);
            }
        }
        // A cookie does not fit beside a signature.
        if socket.options.fast_open_connect() && socket.keys.is_empty() {
            if machine.knows_cookie_of(*remote.ip()) {
                socket.kind = Kind::Deferred(remote);
                return Ok(());
            }
            return self.connect_with_data(fd, remote, &[]).map(|_| ());
        }
        let how = how_to_connect(socket);
        let mut stream = machine
            .with_core(|core| core.connect_with(remote.into(), how, UNHEARD))
            .map_err(|error| errno(&error))?;
        machine.with_core(|_| socket.options.apply(&mut stream));
        socket.kind = Kind::Stream { stream, opening: Opening::UnderWay };
        Ok(())
    }

    /// Begins to connect with data on the SYN (`MSG_FASTOPEN`), and returns how much of it that was.
    pub(crate) fn connect_with_data(
        &mut self,
        fd: RawFd,
        remote: SocketAddrV4,
        data: &[u8],
    ) -> Result<usize, Errno> {
        let (machine, socket) = self.parts(fd)?;
        if machine.fast_open() & FAST_OPEN_CLIENT == 0 {
            return Err(Errno::OPNOTSUPP);
        }
        match &socket.kind {
            Kind::Fresh | Kind::Deferred(_) => {}
            Kind::Stream { stream, .. } if !stream.is_connected() => return Err(Errno::ALREADY),
            Kind::Stream { opening: Opening::UnderWay, .. } => return Ok(0),
            Kind::Stream { .. } | Kind::Listener { .. } => return Err(Errno::ISCONN),
        }
        let how = how_to_connect(socket);
        let (mut stream, taken) = machine
            .with_core(|core| core.connect_with_data(remote.into(), how, data, UNHEARD))
            .map_err(|error| errno(&error))?;
        machine.with_core(|_| socket.options.apply(&mut stream));
        socket.kind = Kind::Stream { stream, opening: Opening::UnderWay };
        Ok(taken)
    }

    /// Where the first bytes connect to that are written.
    pub(crate) fn deferred(&self, fd: RawFd) -> Option<SocketAddrV4> {
        match self.sockets.get(&fd)?.kind {
            Kind::Deferred(remote) => Some(remote),
            _ => None,
        }
    }

    /// How connecting has ended: `EAGAIN` while it has not.
    pub(crate) fn connected(&mut self, fd: RawFd) -> Result<(), Errno> {
        let (machine, socket) = self.parts(fd)?;
        let (stream, opening) = match &mut socket.kind {
            Kind::Stream { stream, opening } => (stream, opening),
            Kind::Deferred(_) => return Ok(()),
            Kind::Fresh | Kind::Listener { .. } => return Err(Errno::NOTCONN),
        };
        if !stream.is_connected() {
            return Err(Errno::AGAIN);
        }
        *opening = Opening::Told;
        if !stream.has_ended() {
            return Ok(());
        }
        let failed = machine.with_core(|_| socket.take_error());
        if failed == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(failed)) }
    }

    pub(crate) fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> Result<(), Errno> {
        let (machine, socket) = self.parts(fd)?;
        let stream = socket.stream()?;
        if how != Shutdown::Read {
            machine.with_core(|_| stream.control().shutdown(Shutdown::Write));
        }
        socket.read_shut |= how != Shutdown::Write;
        Ok(())
    }

    pub(crate) fn is_open(&self, fd: RawFd) -> bool {
        self.sockets.contains_key(&fd) || self.epolls.contains_key(&fd)
    }

    pub(crate) fn close(&mut self, fd: RawFd) -> Result<(), Errno> {
        if self.close_epoll(fd).is_some() {
            return Ok(());
        }
        let Socket { kind, .. } = self.sockets.remove(&fd).ok_or(Errno::BADF)?;
        self.machine.with_core(|_| drop(kind));
        Ok(())
    }
}

fn how_to_connect(socket: &Socket) -> ConnectOptions {
    ConnectOptions {
        local: socket.local.map(SocketAddr::from),
        keys: socket.keys.clone(),
        max_segment_size: socket.options.max_segment_size(),
        syn_retries: socket.options.syn_retries(),
    }
}

/// An address of the stack's, which knows no other family.
fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port()),
    }
}

/// Nobody hears what this token is told.
const UNHEARD: Token = Token(0);
