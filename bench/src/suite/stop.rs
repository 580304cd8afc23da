//! SIGINT and SIGTERM: what runs is ended first, and what was made for it is taken away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// Written by the thread that hears signals, read by whoever waits.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// From now on signals do not end this process; those who wait [`check`].
pub(super) fn watch() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::start)?;
    let listens = move || {
        for _ in signals.forever() {
            STOPPED.store(true, Ordering::Relaxed);
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(listens);
    thread.map(|_runs_as_long_as_the_process| ()).map_err(Failure::start)
}

/// An error once a signal has come.
pub(super) fn check() -> Result<(), Failure> {
    match STOPPED.load(Ordering::Relaxed) {
        true => Err(Failure::failed("stopped by a signal; nothing of it is left running")),
        false => Ok(()),
    }
}
