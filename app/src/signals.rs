//! Ctrl-C and SIGTERM: the first asks, the second insists.

use std::io;
use std::path::PathBuf;
use std::thread;

use crossbeam_channel::Receiver;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::INTERRUPTED;

/// Begins to watch. The channel gets a message at the first signal; at the second the program ends at once, with
/// `leftover` removed.
pub(crate) fn watch(leftover: Option<PathBuf>) -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (asked, asks) = crossbeam_channel::bounded(1);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for count in 0.. {
            if signals.forever().next().is_none() {
                return;
            }
            if count > 0 {
                if let Some(path) = &leftover {
                    let _ = std::fs::remove_file(path);
                }
                std::process::exit(INTERRUPTED);
            }
            let _ = asked.send(());
        }
    })?;
    Ok(asks)
}
