//! What the calling thread is: a protocol thread, which must not wait, or one of an application; or one of a forked child,
//! where nobody serves sockets.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use darner_ring::fork;
use rustix::io::Errno;

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Unknown) };
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Unknown,
    /// An application's, whose connections begin with this core, modulo the number of cores.
    Application {
        home: usize,
    },
    /// In a turn of the protocol loop of this core.
    Protocol {
        core: usize,
    },
}

/// The calling thread is in a turn of a protocol loop until this is dropped: nothing in it may wait.
#[derive(Debug)]
pub(crate) struct InTurn {
    before: Place,
}

impl InTurn {
    pub(crate) fn enter(core: usize) -> Self {
        Self { before: PLACE.replace(Place::Protocol { core }) }
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        PLACE.set(self.before);
    }
}

/// Whether the calling thread runs a protocol loop, so that it must not wait.
pub(crate) fn is_protocol_thread() -> bool {
    matches!(PLACE.get(), Place::Protocol { .. })
}

/// Refuses a forked child: its sockets are pictures of the parent's.
///
/// # Errors
///
/// `EBADF` in one.
pub(crate) fn refuse_child() -> io::Result<()> {
    if fork::is_child() { Err(Errno::BADF.into()) } else { Ok(()) }
}

/// The core that the calling thread is on, or that its accepting and connecting begin with. Threads are dealt out evenly.
pub(crate) fn home_core() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    match PLACE.get() {
        Place::Protocol { core } => core,
        Place::Application { home } => home,
        Place::Unknown => {
            let home = NEXT.fetch_add(1, Ordering::Relaxed);
            PLACE.set(Place::Application { home });
            home
        }
    }
}

/// The calling thread is an application's from now on, whose connections begin with this core.
pub(crate) fn settle(home: usize) {
    PLACE.set(Place::Application { home });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_makes_a_protocol_thread_of_any() {
        assert!(!is_protocol_thread());
        let home = home_core();
        {
            let _turn = InTurn::enter(7);
            assert!(is_protocol_thread());
            assert_eq!(home_core(), 7);
        }
        assert!(!is_protocol_thread());
        assert_eq!(home_core(), home, "a thread keeps its home");
    }
}
