//! Making a thread known to DPDK, and telling it which signals are its own.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use super::{Error, log};

/// Gives the calling thread its own cache in every frame pool, until it ends. Twice is as good as once.
///
/// A queue pair does it for the thread that first receives on it. Other threads that allocate or free many frames gain by it;
/// every thread may do so without.
pub fn register_thread() -> Result<(), Error> {
    REGISTRATION.with(|registration| {
        if registration.held.get() {
            return Ok(());
        }
        // SAFETY: EAL runs, or this fails; the thread is not registered.
        if unsafe { dpdk_sys::rte_thread_register() } < 0 {
            // SAFETY: a plain query of the thread's error number.
            let code = unsafe { dpdk_sys::pmd_errno() };
            return Err(Error::Thread { reason: log::reason(code) });
        }
        registration.held.set(true);
        Ok(())
    })
}

/// Registers the calling thread the first time it comes here. Failing costs the cache and nothing else: there are more than
/// 127 such threads.
#[inline]
pub(super) fn register_once() {
    if !TRIED.replace(true) {
        let _ = register_thread();
    }
}

/// Keeps net_tap's signals away from the calling thread, and from the threads that it starts from now on.
///
/// net_tap has the kernel send a real-time signal for each burst to the process, and whichever thread gets it is woken up for
/// nothing. After this call it is the threads that poll a tap's queues, which are awake: they take the signals all the same.
/// Call it on the first thread, before it starts others.
pub fn leave_signals_to_pollers() {
    mask_real_time_signals(libc::SIG_BLOCK);
}

/// Takes the signals that [`leave_signals_to_pollers`] has left to this thread: without them net_tap receives nothing.
pub(super) fn take_signals() {
    mask_real_time_signals(libc::SIG_UNBLOCK);
}

fn mask_real_time_signals(how: c_int) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call makes the set valid, and the signals are the C library's own numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
    }
    // SAFETY: the set is valid; only the calling thread's mask changes, and the old one is not asked for.
    unsafe { libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut()) };
}

struct Registration {
    held: Cell<bool>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.held.get() {
            // SAFETY: this thread was registered, and ends.
            unsafe { dpdk_sys::rte_thread_unregister() }
        }
    }
}

thread_local! {
    static TRIED: Cell<bool> = const { Cell::new(false) };
    static REGISTRATION: Registration = const { Registration { held: Cell::new(false) } };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_inherit_what_the_first_one_leaves_to_pollers() {
        leave_signals_to_pollers();
        let poller = std::thread::spawn(|| {
            let inherited = is_blocked(libc::SIGRTMAX());
            take_signals();
            (inherited, is_blocked(libc::SIGRTMAX()))
        });
        assert_eq!(poller.join().unwrap(), (true, false));
        assert!(is_blocked(libc::SIGRTMIN()) && !is_blocked(libc::SIGTERM));
    }

    fn is_blocked(signal: c_int) -> bool {
        let mut set = MaybeUninit::uninit();
        // SAFETY: without a new set the call only fills in the old one.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr());
            libc::sigismember(set.as_ptr(), signal) == 1
        }
    }
}
