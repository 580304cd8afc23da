//! What a descriptor is ready for.

use std::ffi::c_short;
use std::io::BufRead;
use std::os::fd::RawFd;

use darner::TcpStream;

use super::socket::{Kind, Socket};
use super::{Process, errno};

impl Process {
    /// What of `asked` is the case now, with what is told unasked: `POLLERR`, `POLLHUP` and `POLLNVAL`.
    pub(crate) fn readiness(&mut self, fd: RawFd, asked: c_short) -> c_short {
        let Ok((machine, socket)) = self.parts(fd) else { return libc::POLLNVAL };
        let ready = machine.with_core(|_| socket.ready());
        ready & (asked | libc::POLLERR | libc::POLLHUP)
    }
}

impl Socket {
    fn ready(&mut self) -> c_short {
        let read_shut = self.read_shut;
        let unsent_mark = self.options.unsent_low_water();
        match &mut self.kind {
            Kind::Deferred(_) => WRITABLE,
            Kind::Fresh => libc::POLLOUT | libc::POLLHUP,
            Kind::Listener { listener, found } => {
                if found.is_empty() {
                    found.extend(listener.accept().map(|(stream, _)| stream));
                }
                if found.is_empty() { 0 } else { READABLE }
            }
            Kind::Stream { stream, .. } => {
                let mut ready = 0;
                let mut ended = false;
                match stream.fill_buf() {
                    Ok(bytes) => {
                        ended = bytes.is_empty();
                        if ended || stream.is_read_ready() {
                            ready |= READABLE;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    // It is told once, and was told to us.
                    Err(error) => {
                        self.error = Some(errno(&error));
                        ended = true;
                    }
                }
                if ended || read_shut {
                    ready |= READABLE;
                }
                if ended || read_shut || stream.is_read_finished() {
                    ready |= libc::POLLRDHUP;
                }
                let dead = stream.is_connected() && stream.has_ended();
                if stream.is_connected() && (has_room(stream, unsent_mark) || dead) {
                    ready |= WRITABLE;
                }
                if dead {
                    ready |= libc::POLLHUP;
                }
                if self.error.is_some() {
                    ready |= libc::POLLERR;
                }
                ready
            }
        }
    }
}

/// Whether there is room to write: with a limit for what may wait unsent, for more than half of that, as in Linux.
fn has_room(stream: &TcpStream, unsent_mark: Option<u32>) -> bool {
    let room = stream.writable();
    let Some(mark) = unsent_mark else { return room > 0 };
    let most = (mark as usize).min(room + stream.unacknowledged());
    2 * room > most
}

const READABLE: c_short = libc::POLLIN | libc::POLLRDNORM;
const WRITABLE: c_short = libc::POLLOUT | libc::POLLWRNORM;
