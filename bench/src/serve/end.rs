//! When a server is to end: Ctrl-C, SIGTERM, or the end of standard input.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// Begins to watch; the channel gets a message at the end.
pub(crate) fn watch() -> Result<Receiver<()>, Failure> {
    watch_input(|| ())
}

/// The same, and calls `heard` whenever there is input.
pub(super) fn watch_input(heard: impl Fn() + Send + 'static) -> Result<Receiver<()>, Failure> {
    let (tell, ends) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::start)?;
    let by_signal = tell.clone();
    spawn("signals", move || {
        signals.forever().next();
        let _ = by_signal.send(());
    })?;
    spawn("input", move || {
        let mut input = io::stdin().lock();
        while input.read(&mut [0; 64]).is_ok_and(|len| len > 0) {
            heard();
        }
        let _ = tell.send(());
    })?;
    Ok(ends)
}

fn spawn(name: &str, watch: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(watch);
    spawned.map(|_runs_as_long_as_the_process| ()).map_err(Failure::start)
}
