//! The functions of the interface.
//!
//! Each is called by packetdrill as [`PacketdrillInterface`](super::PacketdrillInterface) has it: `userdata` is what
//! [`packetdrill_interface_init`](super::packetdrill_interface_init) gave and not freed, and pointers are what POSIX wants
//! of the function of that name. That is what the callers owe, and what the SAFETY sentences speak of.

use std::ffi::{c_int, c_longlong, c_uint, c_ulong, c_void};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t,
    timeval, timezone,
};
use rustix::io::Errno;

use super::preload::Inside;
use super::{memory, preload};
use crate::host::Host;
use crate::process::{Family, Process};

pub(super) unsafe extern "C" fn free(userdata: *mut c_void) {
    preload::forget(userdata.cast());
    let _inside = Inside::enter();
    // SAFETY: it came out of a box in `packetdrill_interface_init`, and this is the last call.
    let host = unsafe { Box::from_raw(userdata.cast::<Host>()) };
    let _ended_or_panicked = catch_unwind(AssertUnwindSafe(|| host.end()));
}

pub(super) unsafe extern "C" fn socket(
    userdata: *mut c_void,
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe {
        enter(userdata, |host| {
            let family = match domain {
                libc::AF_INET => Family::V4,
                libc::AF_INET6 => Family::Mapped,
                _ => return Err(Errno::AFNOSUPPORT),
            };
            host.call(|process| process.open(family, kind, protocol))
        })
    }
}

pub(super) unsafe extern "C" fn bind(
    userdata: *mut c_void,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's `userdata` and address.
    unsafe {
        enter(userdata, |host| {
            let address = memory::address(address, len)?;
            host.call(|process| process.bind(fd, address)).map(done)
        })
    }
}

pub(super) unsafe extern "C" fn listen(userdata: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe { enter(userdata, |host| host.call(|process| process.listen(fd, backlog)).map(done)) }
}

pub(super) unsafe extern "C" fn accept(
    userdata: *mut c_void,
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's `userdata`, and room for an address.
    unsafe {
        enter(userdata, |host| {
            let (fd, peer, family) =
                host.wait(|process| process.accept(fd), |process| process.patience(fd, 0))?;
            memory::tell_address(peer, family, address, len);
            Ok(fd)
        })
    }
}

pub(super) unsafe extern "C" fn connect(
    userdata: *mut c_void,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's `userdata` and address.
    unsafe {
        enter(userdata, |host| {
            let remote = memory::address(address, len)?;
            host.call(|process| process.connect(fd, remote))?;
            let connected = host
                .wait(|process| process.connected(fd), |process| process.patience_to_send(fd, 0));
            match connected {
                Err(Errno::AGAIN) => Err(Errno::INPROGRESS),
                connected => connected.map(done),
            }
        })
    }
}

pub(super) unsafe extern "C" fn read(
    userdata: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
) -> ssize_t {
    // SAFETY: as for `recv`.
    unsafe { recv(userdata, fd, to, len, 0) }
}

pub(super) unsafe extern "C" fn readv(
    userdata: *mut c_void,
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: the caller's `userdata` and rooms.
    unsafe {
        enter(userdata, |host| {
            let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
            let mut rooms = memory::rooms(vectors, count)?;
            host.read(fd, &mut rooms, 0).map(size)
        })
    }
}

pub(super) unsafe extern "C" fn recv(
    userdata: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's `userdata` and room.
    unsafe {
        enter(userdata, |host| {
            let mut rooms = [std::io::IoSliceMut::new(memory::room(to, len)?)];
            host.read(fd, &mut rooms, flags).map(size)
        })
    }
}

pub(super) unsafe extern "C" fn recvfrom(
    userdata: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
    _address: *mut sockaddr,
    _address_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: as for `recv`. A connection says nothing of where its bytes come from.
    unsafe { recv(userdata, fd, to, len, flags) }
}

pub(super) unsafe extern "C" fn recvmsg(
    userdata: *mut c_void,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's `userdata` and message.
    unsafe {
        enter(userdata, |host| {
            let message = message.as_mut().ok_or(Errno::FAULT)?;
            let mut rooms = memory::rooms(message.msg_iov, message.msg_iovlen)?;
            let len = host.read(fd, &mut rooms, flags)?;
            message.msg_namelen = 0;
            message.msg_controllen = 0;
            message.msg_flags = 0;
            Ok(size(len))
        })
    }
}

pub(super) unsafe extern "C" fn write(
    userdata: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
) -> ssize_t {
    // SAFETY: as for `send`.
    unsafe { send(userdata, fd, from, len, 0) }
}

pub(super) unsafe extern "C" fn writev(
    userdata: *mut c_void,
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: the caller's `userdata` and pieces.
    unsafe {
        enter(userdata, |host| {
            let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
            let pieces = memory::pieces(vectors, count)?;
            host.write(fd, &pieces, 0).map(size)
        })
    }
}

pub(super) unsafe extern "C" fn send(
    userdata: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's `userdata` and bytes.
    unsafe {
        enter(userdata, |host| {
            let pieces = [std::io::IoSlice::new(memory::bytes(from, len)?)];
            host.write(fd, &pieces, flags).map(size)
        })
    }
}

pub(super) unsafe extern "C" fn sendto(
    userdata: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> ssize_t {
    // SAFETY: the caller's `userdata`, bytes and address.
    unsafe {
        enter(userdata, |host| {
            let pieces = [std::io::IoSlice::new(memory::bytes(from, len)?)];
            if flags & libc::MSG_FASTOPEN == 0 {
                return host.write(fd, &pieces, flags).map(size);
            }
            let remote = memory::address_to_connect_to(address, address_len)?;
            host.write_connecting(fd, remote, &pieces, flags).map(size)
        })
    }
}

pub(super) unsafe extern "C" fn sendmsg(
    userdata: *mut c_void,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's `userdata` and message.
    unsafe {
        enter(userdata, |host| {
            let message = message.as_ref().ok_or(Errno::FAULT)?;
            let pieces = memory::pieces(message.msg_iov, message.msg_iovlen)?;
            if flags & libc::MSG_FASTOPEN == 0 {
                return host.write(fd, &pieces, flags).map(size);
            }
            let name = message.msg_name.cast();
            let remote = memory::address_to_connect_to(name, message.msg_namelen)?;
            host.write_connecting(fd, remote, &pieces, flags).map(size)
        })
    }
}

pub(super) unsafe extern "C" fn fcntl(
    userdata: *mut c_void,
    fd: c_int,
    command: c_int,
    argument: c_int,
) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe {
        enter(userdata, |host| {
            host.call(|process| match command {
                libc::F_GETFL => process.flags(fd),
                libc::F_SETFL => process.set_flags(fd, argument).map(done),
                libc::F_GETFD | libc::F_SETFD => Ok(0),
                _ => Err(Errno::INVAL),
            })
        })
    }
}

pub(super) unsafe extern "C" fn ioctl(
    userdata: *mut c_void,
    fd: c_int,
    request: c_ulong,
    to: *mut c_int,
) -> c_int {
    // SAFETY: the caller's `userdata` and place for a number.
    unsafe {
        enter(userdata, |host| {
            let bytes = host.call(|process| match request {
                libc::FIONREAD => process.readable(fd),
                libc::TIOCOUTQ => process.unacknowledged(fd),
                _ => Err(Errno::NOTTY),
            })?;
            *to.as_mut().ok_or(Errno::FAULT)? = c_int::try_from(bytes).unwrap_or(c_int::MAX);
            Ok(0)
        })
    }
}

pub(super) unsafe extern "C" fn close(userdata: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe { enter(userdata, |host| host.call(|process| process.close(fd)).map(done)) }
}

pub(super) unsafe extern "C" fn shutdown(userdata: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe {
        enter(userdata, |host| {
            let how = match how {
                libc::SHUT_RD => Shutdown::Read,
                libc::SHUT_WR => Shutdown::Write,
                libc::SHUT_RDWR => Shutdown::Both,
                _ => return Err(Errno::INVAL),
            };
            host.call(|process| process.shutdown(fd, how)).map(done)
        })
    }
}

pub(super) unsafe extern "C" fn getsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's `userdata`, and room for `*len` bytes.
    unsafe {
        enter(userdata, |host| {
            let len = len.as_mut().ok_or(Errno::FAULT)?;
            let room = memory::room(to, *len as usize)?;
            let value = host.call(|process| process.option(fd, level, name))?;
            let told = value.len().min(room.len());
            room[..told].copy_from_slice(&value[..told]);
            *len = told.try_into().unwrap_or(*len);
            Ok(0)
        })
    }
}

pub(super) unsafe extern "C" fn setsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's `userdata` and bytes.
    unsafe {
        enter(userdata, |host| {
            let value = memory::bytes(value, len as usize)?;
            host.call(|process| process.set_option(fd, level, name, value)).map(done)
        })
    }
}

pub(super) unsafe extern "C" fn poll(
    userdata: *mut c_void,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's `userdata` and `count` of them.
    unsafe {
        enter(userdata, |host| {
            let fds = memory::polled(fds, usize::try_from(count).map_err(|_| Errno::INVAL)?)?;
            host.poll(fds, u64::try_from(timeout).ok().map(Duration::from_millis))
        })
    }
}

pub(super) unsafe extern "C" fn netdev_send(
    userdata: *mut c_void,
    packet: *const c_void,
    len: size_t,
) -> c_int {
    // SAFETY: the caller's `userdata` and bytes.
    unsafe { enter(userdata, |host| host.netdev_send(memory::bytes(packet, len)?).map(done)) }
}

pub(super) unsafe extern "C" fn netdev_receive(
    userdata: *mut c_void,
    packet: *mut c_void,
    len: *mut size_t,
    time: *mut c_longlong,
) -> c_int {
    // SAFETY: the caller's `userdata`, `*len` bytes of room, and places for a length and a time.
    unsafe {
        enter(userdata, |host| {
            let room = memory::room(packet, *len)?;
            *len = 0;
            if let Some((bytes, at)) = host.netdev_receive()? {
                room.get_mut(..bytes.len()).ok_or(Errno::MSGSIZE)?.copy_from_slice(&bytes);
                *len = bytes.len();
                *time = at.cast_signed();
            }
            Ok(0)
        })
    }
}

pub(super) unsafe extern "C" fn usleep(userdata: *mut c_void, micros: c_uint) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe {
        enter(userdata, |host| {
            host.usleep(micros.into());
            Ok(0)
        })
    }
}

pub(super) unsafe extern "C" fn gettimeofday(
    userdata: *mut c_void,
    time: *mut timeval,
    _zone: *mut timezone,
) -> c_int {
    // SAFETY: the caller's `userdata` and place for a time.
    unsafe {
        enter(userdata, |host| {
            let micros = host.time().cast_signed();
            let time = time.as_mut().ok_or(Errno::FAULT)?;
            time.tv_sec = micros / 1_000_000;
            time.tv_usec = micros % 1_000_000;
            Ok(0)
        })
    }
}

pub(super) unsafe extern "C" fn epoll_create(userdata: *mut c_void, _size: c_int) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe { enter(userdata, |host| host.call(Process::epoll_create)) }
}

pub(super) unsafe extern "C" fn epoll_ctl(
    userdata: *mut c_void,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: the caller's `userdata` and event.
    unsafe {
        enter(userdata, |host| {
            let event = (!event.is_null()).then(|| event.read_unaligned());
            let event = event.map(|event| (event.events, event.u64));
            host.call(|process| process.epoll_control(epoll, operation, fd, event)).map(done)
        })
    }
}

pub(super) unsafe extern "C" fn epoll_wait(
    userdata: *mut c_void,
    epoll: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's `userdata` and room for `count` events.
    unsafe {
        enter(userdata, |host| {
            let most = usize::try_from(count).ok().filter(|most| *most > 0).ok_or(Errno::INVAL)?;
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            let told = host.epoll_wait(epoll, most, timeout)?;
            for (index, &(bits, data)) in told.iter().enumerate() {
                events.add(index).write_unaligned(epoll_event { events: bits, u64: data });
            }
            Ok(c_int::try_from(told.len()).unwrap_or(c_int::MAX))
        })
    }
}

pub(super) unsafe extern "C" fn pipe(userdata: *mut c_void, _ends: *mut c_int) -> c_int {
    // SAFETY: the caller's `userdata`.
    unsafe { enter(userdata, |_| Err(Errno::NOSYS)) }
}

pub(super) unsafe extern "C" fn splice(
    userdata: *mut c_void,
    _from: c_int,
    _from_offset: *mut loff_t,
    _to: c_int,
    _to_offset: *mut loff_t,
    _len: size_t,
    _flags: c_uint,
) -> ssize_t {
    // SAFETY: the caller's `userdata`.
    unsafe { enter(userdata, |_| Err(Errno::NOSYS)) }
}

/// Makes a call on the host: an error, or a panic, becomes -1 and `errno`.
///
/// # Safety
///
/// `userdata` is what `packetdrill_interface_init` gave, and not freed.
unsafe fn enter<T: From<i8>>(
    userdata: *mut c_void,
    call: impl FnOnce(&Host) -> Result<T, Errno>,
) -> T {
    // SAFETY: the caller says that it is a host, and those are only ever shared.
    let host = unsafe { &*userdata.cast::<Host>() };
    let _inside = Inside::enter();
    let outcome =
        catch_unwind(AssertUnwindSafe(|| call(host))).unwrap_or(Err(Errno::NOTRECOVERABLE));
    outcome.unwrap_or_else(|error| {
        // SAFETY: the C library gives each thread a place for it.
        unsafe { *libc::__errno_location() = error.raw_os_error() };
        T::from(-1)
    })
}

fn done((): ()) -> c_int {
    0
}

/// A count of bytes of one call, which never are more than memory holds.
fn size(count: usize) -> ssize_t {
    count.cast_signed()
}
