//! Whether this process is a forked copy.
//!
//! Neither protocol threads nor devices survive a fork: in the child, memory is a picture of the parent's that nobody
//! works on. Whoever would wait there for ever asks here first, and fails instead.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// From now on, a child of this process is marked. Twice changes nothing.
///
/// A child made by `vfork`, or by the bare system call, is not noticed: it may not do more than `exec` anyway.
pub fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: `mark_child` may run between fork and exec: it stores to an atomic, no more. It is never unregistered,
        // and neither is its code ever unloaded.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(mark_child)) };
        // Out of memory: then children cannot be told from their parents, as if nobody had asked.
        debug_assert_eq!(failed, 0);
    });
}

/// Whether this process was forked from one that [watched](watch).
pub fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}

extern "C" fn mark_child() {
    CHILD.store(true, Ordering::Relaxed);
}

static CHILD: AtomicBool = AtomicBool::new(false);

#[cfg(not(miri))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_knows_and_its_parent_is_none() {
        watch();
        assert!(!is_child());
        assert_eq!(status_of(|| i32::from(is_child())), 1);
        assert!(!is_child());
    }

    /// The exit status of a forked child that does no more than `body`.
    fn status_of(body: fn() -> i32) -> i32 {
        // SAFETY: the child of this process of many threads reads an atomic and exits, which is allowed there.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: ends the child without running what is the parent's to run.
            unsafe { libc::_exit(body()) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made; `status` is this function's.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        libc::WEXITSTATUS(status)
    }
}
