//! What few connections have, in one box: those that have none of it pay for a pointer.

use super::auth::Auth;
use super::connection::Connection;
use super::fast_open::FastOpen;

/// No connection has both: a cookie and a signature do not fit into one SYN.
pub(super) enum Rare {
    /// TCP Fast Open, until the handshake is complete.
    FastOpen(FastOpen),
    /// What its segments are signed with.
    Auth(Auth),
}

impl Rare {
    pub(super) fn auth(&self) -> Option<&Auth> {
        if let Self::Auth(auth) = self { Some(auth) } else { None }
    }

    pub(super) fn auth_mut(&mut self) -> Option<&mut Auth> {
        if let Self::Auth(auth) = self { Some(auth) } else { None }
    }
}

impl Connection {
    pub(super) fn fast_open(&self) -> Option<&FastOpen> {
        if let Some(Rare::FastOpen(fast_open)) = self.rare.as_deref() {
            Some(fast_open)
        } else {
            None
        }
    }

    pub(super) fn set_fast_open(&mut self, fast_open: FastOpen) {
        self.rare = Some(Box::new(Rare::FastOpen(fast_open)));
    }

    /// What was kept of Fast Open is needed no more.
    pub(super) fn take_fast_open(&mut self) -> Option<FastOpen> {
        self.fast_open()?;
        match *self.rare.take()? {
            Rare::FastOpen(fast_open) => Some(fast_open),
            Rare::Auth(_) => None,
        }
    }
}
