//! What an application has chosen for one connection; most choose nothing.

use super::connection::Connection;
use super::fast_open::FastOpen;
use super::low_water::Unsent;

/// Choices of the application, and what follows from them.
#[derive(Default)]
pub(super) struct Chosen {
    /// The user timeout; zero if none is set.
    pub(super) user_timeout_ms: u32,
    pub(super) unsent: Option<Unsent>,
    /// TCP Fast Open, until the handshake is complete.
    pub(super) fast_open: Option<FastOpen>,
}

impl Chosen {
    fn is_nothing(&self) -> bool {
        self.fast_open.is_none() && self.unsent.is_none() && self.user_timeout_ms == 0
    }
}

impl Connection {
    /// The choices, begun if there are none yet.
    pub(super) fn chosen(&mut self) -> &mut Chosen {
        self.chosen.get_or_insert_default()
    }

    pub(super) fn fast_open(&self) -> Option<&FastOpen> {
        self.chosen.as_ref().and_then(|chosen| chosen.fast_open.as_ref())
    }

    /// Takes out what was there for TCP Fast Open, and gives the memory back if that was all.
    pub(super) fn take_fast_open(&mut self) -> Option<FastOpen> {
        let chosen = self.chosen.as_mut()?;
        let fast_open = chosen.fast_open.take();
        if chosen.is_nothing() {
            self.chosen = None;
        }
        fast_open
    }
}
