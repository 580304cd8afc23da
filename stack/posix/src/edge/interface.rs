//! `struct packetdrill_interface`, and how it is filled.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_ulong, c_void};

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t,
    timeval, timezone,
};

use super::{calls, preload};
use crate::host::Host;
use crate::settings::Settings;

/// packetdrill's interface to a stack: the first argument of each function is `userdata`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the functions are POSIX's by their names")]
#[repr(C)]
pub struct PacketdrillInterface {
    pub userdata: *mut c_void,
    pub free: Option<unsafe extern "C" fn(*mut c_void)>,
    pub socket: Option<unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int>,
    pub bind: Option<unsafe extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int>,
    pub listen: Option<unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int>,
    pub accept:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *mut sockaddr, *mut socklen_t) -> c_int>,
    pub connect:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int>,
    pub read: Option<unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, size_t) -> ssize_t>,
    pub readv: Option<unsafe extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t>,
    pub recv:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, size_t, c_int) -> ssize_t>,
    pub recvfrom: Option<
        unsafe extern "C" fn(
            *mut c_void,
            c_int,
            *mut c_void,
            size_t,
            c_int,
            *mut sockaddr,
            *mut socklen_t,
        ) -> ssize_t,
    >,
    pub recvmsg: Option<unsafe extern "C" fn(*mut c_void, c_int, *mut msghdr, c_int) -> ssize_t>,
    pub write: Option<unsafe extern "C" fn(*mut c_void, c_int, *const c_void, size_t) -> ssize_t>,
    pub writev: Option<unsafe extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t>,
    pub send:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *const c_void, size_t, c_int) -> ssize_t>,
    pub sendto: Option<
        unsafe extern "C" fn(
            *mut c_void,
            c_int,
            *const c_void,
            size_t,
            c_int,
            *const sockaddr,
            socklen_t,
        ) -> ssize_t,
    >,
    pub sendmsg: Option<unsafe extern "C" fn(*mut c_void, c_int, *const msghdr, c_int) -> ssize_t>,
    /// C has a variadic function here, whose one further argument comes as if it was declared.
    pub fcntl: Option<unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int>,
    /// As `fcntl`.
    pub ioctl: Option<unsafe extern "C" fn(*mut c_void, c_int, c_ulong, *mut c_int) -> c_int>,
    pub close: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    pub shutdown: Option<unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int>,
    pub getsockopt: Option<
        unsafe extern "C" fn(
            *mut c_void,
            c_int,
            c_int,
            c_int,
            *mut c_void,
            *mut socklen_t,
        ) -> c_int,
    >,
    pub setsockopt: Option<
        unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    >,
    pub poll: Option<unsafe extern "C" fn(*mut c_void, *mut pollfd, nfds_t, c_int) -> c_int>,
    pub netdev_send: Option<unsafe extern "C" fn(*mut c_void, *const c_void, size_t) -> c_int>,
    pub netdev_receive: Option<
        unsafe extern "C" fn(*mut c_void, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    >,
    pub usleep: Option<unsafe extern "C" fn(*mut c_void, c_uint) -> c_int>,
    pub gettimeofday:
        Option<unsafe extern "C" fn(*mut c_void, *mut timeval, *mut timezone) -> c_int>,
    pub epoll_create: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    pub epoll_ctl:
        Option<unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut epoll_event) -> c_int>,
    pub epoll_wait:
        Option<unsafe extern "C" fn(*mut c_void, c_int, *mut epoll_event, c_int, c_int) -> c_int>,
    pub pipe: Option<unsafe extern "C" fn(*mut c_void, *mut c_int) -> c_int>,
    pub splice: Option<
        unsafe extern "C" fn(
            *mut c_void,
            c_int,
            *mut loff_t,
            c_int,
            *mut loff_t,
            size_t,
            c_uint,
        ) -> ssize_t,
    >,
}

/// Fills `interface` with the functions of a machine of its own. `flags` says what it is like, as `--so_flags` has it.
///
/// # Safety
///
/// `flags` is null or a string that a zero ends; `interface` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut PacketdrillInterface,
) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: the caller says that it is a string.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let settings = match Settings::parse(&flags) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("darner: --so_flags={flags}: {error}");
            std::process::exit(1);
        }
    };
    let host = Box::into_raw(Box::new(Host::new(settings)));
    preload::announce(host);
    // SAFETY: the caller says that it may be written.
    unsafe { interface.write(interface_of(host)) };
}

fn interface_of(host: *mut Host) -> PacketdrillInterface {
    PacketdrillInterface {
        userdata: host.cast(),
        free: Some(calls::free),
        socket: Some(calls::socket),
        bind: Some(calls::bind),
        listen: Some(calls::listen),
        accept: Some(calls::accept),
        connect: Some(calls::connect),
        read: Some(calls::read),
        readv: Some(calls::readv),
        recv: Some(calls::recv),
        recvfrom: Some(calls::recvfrom),
        recvmsg: Some(calls::recvmsg),
        write: Some(calls::write),
        writev: Some(calls::writev),
        send: Some(calls::send),
        sendto: Some(calls::sendto),
        sendmsg: Some(calls::sendmsg),
        fcntl: Some(calls::fcntl),
        ioctl: Some(calls::ioctl),
        close: Some(calls::close),
        shutdown: Some(calls::shutdown),
        getsockopt: Some(calls::getsockopt),
        setsockopt: Some(calls::setsockopt),
        poll: Some(calls::poll),
        netdev_send: Some(calls::netdev_send),
        netdev_receive: Some(calls::netdev_receive),
        usleep: Some(calls::usleep),
        gettimeofday: Some(calls::gettimeofday),
        epoll_create: Some(calls::epoll_create),
        epoll_ctl: Some(calls::epoll_ctl),
        epoll_wait: Some(calls::epoll_wait),
        pipe: Some(calls::pipe),
        splice: Some(calls::splice),
    }
}
