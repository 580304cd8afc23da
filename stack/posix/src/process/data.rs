//! Reading and writing.

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::RawFd;

use darner::TcpStream;
use rustix::io::Errno;

use super::socket::Kind;
use super::{Process, errno};

impl Process {
    pub(crate) fn read(
        &mut self,
        fd: RawFd,
        outs: &mut [IoSliceMut<'_>],
        flags: c_int,
    ) -> Result<usize, Errno> {
        let (machine, socket) = self.parts(fd)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if matches!(socket.kind, Kind::Deferred(_)) {
            return Err(Errno::AGAIN);
        }
        let read_shut = socket.read_shut;
        let waits = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0 && !read_shut;
        let most = outs.iter().map(|out| out.len()).sum::<usize>();
        let stream = socket.stream()?;
        if waits && !machine.with_core(|_| stream.is_read_ready() || stream.readable() >= most) {
            return Err(Errno::AGAIN);
        }
        let read = machine
            .with_core(|_| match outs.first_mut() {
                Some(out) if flags & libc::MSG_PEEK != 0 => stream.peek(out),
                _ => stream.read_vectored(outs),
            })
            .map_err(|error| errno(&error));
        if read_shut && read == Err(Errno::AGAIN) { Ok(0) } else { read }
    }

    /// Writes what there is room for of `pieces`, of which `skip` bytes were written before.
    pub(crate) fn write(
        &mut self,
        fd: RawFd,
        pieces: &[IoSlice<'_>],
        mut skip: usize,
        flags: c_int,
    ) -> Result<usize, Errno> {
        let (machine, socket) = self.parts(fd)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        // Linux says so of a socket that was never connected.
        let stream = socket.stream().map_err(|_| Errno::PIPE)?;
        let mut rest = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (_, behind) = piece.split_at(skip.min(piece.len()));
            skip -= piece.len() - behind.len();
            rest.push(IoSlice::new(behind));
        }
        let more = flags & libc::MSG_MORE != 0;
        machine
            .with_core(
                |_| if more { write_more(stream, &rest) } else { stream.write_vectored(&rest) },
            )
            .map_err(|error| errno(&error))
    }
}

/// Writes what there is room for, and says that more follows.
fn write_more(stream: &mut TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut written = 0;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        match stream.write_more(piece) {
            Ok(len) => written += len,
            Err(_) if written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

impl Process {
    /// Bytes that can be read without waiting (`SIOCINQ`).
    pub(crate) fn readable(&mut self, fd: RawFd) -> Result<usize, Errno> {
        let (machine, socket) = self.parts(fd)?;
        let stream = socket.stream().map_err(|_| Errno::INVAL)?;
        Ok(machine.with_core(|_| stream.readable()))
    }

    /// Bytes that were written and not acknowledged (`SIOCOUTQ`).
    pub(crate) fn unacknowledged(&mut self, fd: RawFd) -> Result<usize, Errno> {
        let (machine, socket) = self.parts(fd)?;
        let stream = socket.stream().map_err(|_| Errno::INVAL)?;
        Ok(machine.with_core(|_| stream.unacknowledged()))
    }
}
