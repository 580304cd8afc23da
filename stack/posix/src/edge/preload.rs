//! Functions of the C library that packetdrill calls on a script's descriptors itself, not through its interface:
//! `getsockopt` where a script looks at `TCP_INFO`, and `close` in the end.
//!
//! With the library in `LD_PRELOAD` they come here first. What is not the descriptor of a host of this process goes on to the C
//! library. Children do not get the library: a host is not theirs.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::socklen_t;

use super::calls;
use crate::host::Host;

/// The host that was made last and not freed.
static HOST: AtomicPtr<Host> = AtomicPtr::new(null_mut());

pub(super) fn announce(host: *mut Host) {
    HOST.store(host, Ordering::Release);
}

/// `host` is about to be freed.
pub(super) fn forget(host: *mut Host) {
    let _another_is_kept =
        HOST.compare_exchange(host, null_mut(), Ordering::AcqRel, Ordering::Relaxed);
}

thread_local! {
    /// The calling thread makes a call on the host, which closes what is the kernel's.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Until this is dropped, what the calling thread closes is the kernel's.
pub(super) struct Inside(bool);

impl Inside {
    pub(super) fn enter() -> Self {
        Self(INSIDE.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// The host, as `userdata`, if the descriptor is one of its own.
fn owner(fd: c_int) -> Option<*mut c_void> {
    if INSIDE.get() {
        return None;
    }
    let host = HOST.load(Ordering::Acquire);
    // SAFETY: it is forgotten before it is freed, and packetdrill frees it when nothing else runs any more.
    let is_ours = unsafe { host.as_ref() }.is_some_and(|host| host.has(fd));
    is_ours.then_some(host.cast())
}

/// # Safety
///
/// As the C library has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    type Function = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    // SAFETY: the arguments are the caller's, and the C library's function is of this type.
    unsafe {
        match owner(fd) {
            Some(host) => calls::getsockopt(host, fd, level, name, value, len),
            None => {
                transmute::<*mut c_void, Function>(next(c"getsockopt"))(fd, level, name, value, len)
            }
        }
    }
}

/// # Safety
///
/// As the C library has it.
#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    type Function = unsafe extern "C" fn(c_int) -> c_int;
    // SAFETY: the argument is the caller's, and the C library's function is of this type.
    unsafe {
        match owner(fd) {
            Some(host) => calls::close(host, fd),
            None => transmute::<*mut c_void, Function>(next(c"close"))(fd),
        }
    }
}

/// The C library's function of this name.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in a zero.
    let function = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!function.is_null(), "the C library has {name:?}");
    function
}
