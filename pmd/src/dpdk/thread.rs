//! Making a thread known to DPDK.

use std::cell::Cell;

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
