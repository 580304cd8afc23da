//! Memory that C gave: addresses, and pieces of bytes.

use std::ffi::{c_int, c_void};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use libc::{
    in_addr, in6_addr, iovec, pollfd, sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, socklen_t,
};
use rustix::io::Errno;

use crate::process::Family;

/// The address at `from`, for a call that connects by sending: that does not also take a connection back.
///
/// # Safety
///
/// `from` is null or valid for reading `len` bytes.
pub(super) unsafe fn address_to_connect_to(
    from: *const sockaddr,
    len: socklen_t,
) -> Result<SocketAddrV4, Errno> {
    if !from.is_null() && len as usize >= size_of::<sa_family_t>() {
        // SAFETY: there are enough bytes for the family, which comes first.
        let family = unsafe { from.cast::<sa_family_t>().read_unaligned() };
        if c_int::from(family) == libc::AF_UNSPEC {
            return Err(Errno::OPNOTSUPP);
        }
    }
    // SAFETY: as the caller says.
    unsafe { address(from, len) }
}

/// The address at `from`.
///
/// # Safety
///
/// `from` is null or valid for reading `len` bytes.
pub(super) unsafe fn address(from: *const sockaddr, len: socklen_t) -> Result<SocketAddrV4, Errno> {
    if from.is_null() {
        return Err(Errno::FAULT);
    }
    let len = len as usize;
    if len < size_of::<sa_family_t>() {
        return Err(Errno::INVAL);
    }
    // SAFETY: there are enough bytes for the family, which comes first.
    match c_int::from(unsafe { from.cast::<sa_family_t>().read_unaligned() }) {
        libc::AF_INET if len >= size_of::<sockaddr_in>() => {
            // SAFETY: there are enough bytes, and any are an address.
            let inet = unsafe { from.cast::<sockaddr_in>().read_unaligned() };
            let address = Ipv4Addr::from(u32::from_be(inet.sin_addr.s_addr));
            Ok(SocketAddrV4::new(address, u16::from_be(inet.sin_port)))
        }
        libc::AF_INET6 if len >= size_of::<sockaddr_in6>() => {
            // SAFETY: there are enough bytes, and any are an address.
            let inet6 = unsafe { from.cast::<sockaddr_in6>().read_unaligned() };
            let address = mapped(Ipv6Addr::from(inet6.sin6_addr.s6_addr))?;
            Ok(SocketAddrV4::new(address, u16::from_be(inet6.sin6_port)))
        }
        libc::AF_INET | libc::AF_INET6 => Err(Errno::INVAL),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "address families have small numbers")]
fn family_number(family: c_int) -> sa_family_t {
    family as sa_family_t
}

/// The IPv4 address that is meant. The stack has no other.
fn mapped(address: Ipv6Addr) -> Result<Ipv4Addr, Errno> {
    if address.is_unspecified() {
        return Ok(Ipv4Addr::UNSPECIFIED);
    }
    address.to_ipv4_mapped().ok_or(Errno::AFNOSUPPORT)
}

/// Writes as much of `address` as there is room for to `to`, and says how long it is.
///
/// # Safety
///
/// `to` is null, or `len` valid for reading and writing and `to` for writing that many bytes.
pub(super) unsafe fn tell_address(
    address: SocketAddrV4,
    family: Family,
    to: *mut sockaddr,
    len: *mut socklen_t,
) {
    if to.is_null() || len.is_null() {
        return;
    }
    let port = address.port().to_be();
    match family {
        Family::V4 => {
            let inet = sockaddr_in {
                sin_family: family_number(libc::AF_INET),
                sin_port: port,
                sin_addr: in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: as the caller says.
            unsafe { tell(&inet, to.cast(), len) };
        }
        Family::Mapped => {
            let inet6 = sockaddr_in6 {
                sin6_family: family_number(libc::AF_INET6),
                sin6_port: port,
                sin6_flowinfo: 0,
                sin6_addr: in6_addr { s6_addr: address.ip().to_ipv6_mapped().octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: as the caller says.
            unsafe { tell(&inet6, to.cast(), len) };
        }
    }
}

/// Writes as much of `value` as there is room for, and how long it is.
///
/// # Safety
///
/// `len` is valid for reading and writing, `to` for writing that many bytes, and every byte of a `T` is initialized.
unsafe fn tell<T: Copy>(value: &T, to: *mut u8, len: *mut socklen_t) {
    // SAFETY: as the caller says.
    unsafe {
        let room = (*len as usize).min(size_of::<T>());
        std::ptr::from_ref(value).cast::<u8>().copy_to(to, room);
        *len = size_of::<T>().try_into().unwrap_or(socklen_t::MAX);
    }
}

/// The bytes that a call sends.
///
/// # Safety
///
/// `from` is null or valid for reading `len` bytes while the slice lives.
pub(super) unsafe fn bytes<'a>(from: *const c_void, len: usize) -> Result<&'a [u8], Errno> {
    match (from.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno::FAULT),
        // SAFETY: as the caller says.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(from.cast(), len) }),
    }
}

/// The room that a call receives into.
///
/// # Safety
///
/// `to` is null or valid for writing `len` initialized bytes while the slice lives, by nobody else.
pub(super) unsafe fn room<'a>(to: *mut c_void, len: usize) -> Result<&'a mut [u8], Errno> {
    match (to.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno::FAULT),
        // SAFETY: as the caller says.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(to.cast(), len) }),
    }
}

/// The pieces that a call sends.
///
/// What a call is to look at.
///
/// # Safety
///
/// `fds` is null or valid for reading and writing `count` of them while the slice lives, by nobody else.
pub(super) unsafe fn polled<'a>(fds: *mut pollfd, count: usize) -> Result<&'a mut [pollfd], Errno> {
    match (fds.is_null(), count) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno::FAULT),
        // SAFETY: as the caller says.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(fds, count) }),
    }
}

/// # Safety
///
/// `from` is null or valid for reading `count` of them, and each is as for [`bytes`].
pub(super) unsafe fn pieces<'a>(
    from: *const iovec,
    count: usize,
) -> Result<Vec<IoSlice<'a>>, Errno> {
    // SAFETY: as the caller says.
    let pieces = unsafe { vectors(from, count)? };
    pieces
        .iter()
        // SAFETY: as the caller says.
        .map(|piece| unsafe { bytes(piece.iov_base, piece.iov_len) }.map(IoSlice::new))
        .collect()
}

/// The pieces that a call receives into.
///
/// # Safety
///
/// `from` is null or valid for reading `count` of them, and each is as for [`room`].
pub(super) unsafe fn rooms<'a>(
    from: *const iovec,
    count: usize,
) -> Result<Vec<IoSliceMut<'a>>, Errno> {
    // SAFETY: as the caller says.
    let pieces = unsafe { vectors(from, count)? };
    pieces
        .iter()
        // SAFETY: as the caller says.
        .map(|piece| unsafe { room(piece.iov_base, piece.iov_len) }.map(IoSliceMut::new))
        .collect()
}

/// # Safety
///
/// `from` is null or valid for reading `count` of them while the slice lives.
unsafe fn vectors<'a>(from: *const iovec, count: usize) -> Result<&'a [iovec], Errno> {
    if count > VECTORS_MAX {
        return Err(Errno::INVAL);
    }
    match (from.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno::FAULT),
        // SAFETY: as the caller says.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(from, count) }),
    }
}

/// `IOV_MAX` of Linux.
const VECTORS_MAX: usize = 1024;
