//! Whether a call waits, and for how long.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::socket::thread::{is_protocol_thread, refuse_child};

/// What a socket does when a call cannot be served at once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Waiting {
    /// It gives [`ErrorKind::WouldBlock`].
    Never,
    #[default]
    Forever,
    /// It waits for so long, and then gives [`ErrorKind::WouldBlock`].
    AtMost(Duration),
}

impl Waiting {
    /// What a socket is born with: one of a protocol thread never waits.
    pub(crate) fn at_birth() -> Self {
        if is_protocol_thread() { Self::Never } else { Self::Forever }
    }

    /// Until when to wait. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] if the socket does not wait; [`ErrorKind::Deadlock`] on a protocol thread, which would wait
    /// for itself; `EBADF` in a forked child, which would wait for nobody.
    pub(crate) fn deadline(self) -> io::Result<Option<Instant>> {
        refuse_child()?;
        match self {
            Self::Never => Err(ErrorKind::WouldBlock.into()),
            _ if is_protocol_thread() => Err(ErrorKind::Deadlock.into()),
            Self::Forever => Ok(None),
            // A moment too far to name is never.
            Self::AtMost(span) => Ok(Instant::now().checked_add(span)),
        }
    }

    /// The time limit, if there is one.
    pub(crate) fn timeout(self) -> Option<Duration> {
        match self {
            Self::AtMost(span) => Some(span),
            Self::Never | Self::Forever => None,
        }
    }

    /// Waits from now on, or does not.
    pub(crate) fn set_nonblocking(&mut self, nonblocking: bool) {
        match (nonblocking, *self) {
            (true, _) => *self = Self::Never,
            (false, Self::Never) => *self = Self::Forever,
            (false, _) => {}
        }
    }

    /// Waits for at most so long from now on; a socket that does not wait goes on not waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for no time at all, as in `std`.
    pub(crate) fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            let message = "a timeout of zero: use set_nonblocking to wait for nothing";
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        if *self != Self::Never {
            *self = timeout.map_or(Self::Forever, Self::AtMost);
        }
        Ok(())
    }
}
