//! Whether a call waits, and for how long.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::socket::thread::{is_protocol_thread, refuse_child};

/// What a socket does when a call cannot be served at once: it gives [`ErrorKind::WouldBlock`] now ([`NEVER`](Self::NEVER)), waits for some time before it
/// does, or waits [for ever](Self::FOREVER). Sockets are many, so it is one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    /// Zero for never, the largest number for ever.
    nanos: u64,
}

impl Waiting {
    pub(crate) const NEVER: Self = Self { nanos: 0 };
    pub(crate) const FOREVER: Self = Self { nanos: u64::MAX };

    /// What a socket is born with: one of a protocol thread never waits.
    pub(crate) fn at_birth() -> Self {
        if is_protocol_thread() { Self::NEVER } else { Self::FOREVER }
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
            Self::NEVER => Err(ErrorKind::WouldBlock.into()),
            _ if is_protocol_thread() => Err(ErrorKind::Deadlock.into()),
            // A moment too far to name is never.
            _ => Ok(self.timeout().and_then(|span| Instant::now().checked_add(span))),
        }
    }

    /// The time limit, if there is one.
    pub(crate) fn timeout(self) -> Option<Duration> {
        let limited = self != Self::NEVER && self != Self::FOREVER;
        limited.then(|| Duration::from_nanos(self.nanos))
    }

    /// Waits from now on, or does not.
    pub(crate) fn set_nonblocking(&mut self, nonblocking: bool) {
        match (nonblocking, *self) {
            (true, _) => *self = Self::NEVER,
            (false, Self::NEVER) => *self = Self::FOREVER,
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
        if *self != Self::NEVER {
            // More than 584 years are for ever.
            let nanos = timeout.and_then(|span| u64::try_from(span.as_nanos()).ok());
            self.nanos = nanos.unwrap_or(u64::MAX);
        }
        Ok(())
    }
}
