//! The server on a thread of its own, beside the protocol thread.

use std::io;

use darner::{Application, Core, Readiness, Token};

use crate::device::pin;
use crate::serve::application::Server;

/// The same server, on a CPU of its own.
pub(super) struct Placed {
    pub(super) server: Server,
    pub(super) cpu: Option<usize>,
    pub(super) rest: Rest,
}

/// What its thread does while nothing is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    /// It looks again.
    Spins,
    /// It sleeps until it is woken.
    Parks,
}

/// No connection has it.
const LOOK: Token = Token(u64::MAX);

impl Placed {
    /// What is to be looked at again keeps a thread from sleeping.
    fn look_again(&self, core: &mut Core<'_>) {
        if self.rest == Rest::Spins {
            core.again(LOOK, Readiness::READABLE);
        }
    }
}

impl Application for Placed {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        pin(self.cpu).map_err(|failure| io::Error::other(failure.to_string()))?;
        self.look_again(core);
        self.server.start(core)
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, readiness: Readiness) {
        match token {
            LOOK => self.look_again(core),
            _ => self.server.ready(core, token, readiness),
        }
    }

    fn stop(&mut self, core: &mut Core<'_>) {
        self.server.stop(core);
    }
}
