//! A process on the machine: its descriptors, and what calls do to them.

mod data;
mod epoll;
mod md5;
mod open;
mod options;
mod poll;
mod socket;
mod tcp_info;

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use rustix::io::Errno;

use crate::machine::Machine;
use epoll::Epoll;
pub(crate) use socket::{Family, Socket};

pub(crate) struct Process {
    sockets: BTreeMap<RawFd, Socket>,
    epolls: BTreeMap<RawFd, Epoll>,
    pub(crate) machine: Machine,
}

impl Process {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { sockets: BTreeMap::new(), epolls: BTreeMap::new(), machine }
    }

    pub(crate) fn socket(&mut self, fd: RawFd) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(&fd).ok_or(Errno::BADF)
    }

    fn parts(&mut self, fd: RawFd) -> Result<(&mut Machine, &mut Socket), Errno> {
        let socket = self.sockets.get_mut(&fd).ok_or(Errno::BADF)?;
        Ok((&mut self.machine, socket))
    }

    fn insert(&mut self, socket: Socket) -> RawFd {
        let fd = socket.placeholder.as_raw_fd();
        self.sockets.insert(fd, socket);
        fd
    }

    /// Ends all sockets. Their descriptors are left to the process that they are in: packetdrill has closed them by then.
    pub(crate) fn abandon(self) {
        let Self { sockets, mut epolls, mut machine } = self;
        for socket in sockets.into_values() {
            let Socket { placeholder, kind, .. } = socket;
            let _closed_already = placeholder.into_raw_fd();
            machine.with_core(|_| drop(kind));
        }
        while let Some((_, epoll)) = epolls.pop_first() {
            epoll.abandon();
        }
    }
}

/// What a call gives for an error of the stack.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    use std::io::ErrorKind;
    if let Some(errno) = Errno::from_io_error(error) {
        return errno;
    }
    match error.kind() {
        ErrorKind::WouldBlock => Errno::AGAIN,
        ErrorKind::BrokenPipe => Errno::PIPE,
        ErrorKind::AddrInUse => Errno::ADDRINUSE,
        ErrorKind::AddrNotAvailable => Errno::ADDRNOTAVAIL,
        ErrorKind::ConnectionAborted => Errno::CONNABORTED,
        ErrorKind::ConnectionRefused => Errno::CONNREFUSED,
        ErrorKind::ConnectionReset => Errno::CONNRESET,
        ErrorKind::TimedOut => Errno::TIMEDOUT,
        ErrorKind::InvalidInput => Errno::INVAL,
        _ => Errno::IO,
    }
}
