//! An application: what it is told.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Core, Readiness, ThreadWaker, Token};
use crate::socket::CoreShared;

/// A program that is told what happens to its sockets, on a protocol thread or on a thread of its own.
///
/// On a protocol thread its methods are called between bursts of packets and must not block: every socket of the core waits
/// meanwhile. Slow
/// work, such as reading a disk, belongs on a thread of its own that calls [`Waker::wake`] when it is done.
pub trait Application: Send {
    /// Called once, before the first packet: listen and connect here.
    ///
    /// # Errors
    ///
    /// An error stops the stack; [`Stack::start`](crate::Stack::start) returns it.
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()>;

    /// The socket that was given `token` is ready.
    ///
    /// Readiness is told when it changes and not again: go on until the socket gives
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), or ask for another turn with [`Core::again`]. It may be told although
    /// nothing is there to do any more.
    fn ready(&mut self, core: &mut Core<'_>, token: Token, readiness: Readiness);

    /// A timer of [`Core::set_timer`] has run out.
    fn timeout(&mut self, core: &mut Core<'_>, token: Token) {
        let _ = (core, token);
    }

    /// Somebody called [`Waker::wake`]; once for any number of calls since the last time.
    fn woken(&mut self, core: &mut Core<'_>) {
        let _ = core;
    }

    /// A ping of [`Core::ping`] was answered.
    fn echo_reply(&mut self, core: &mut Core<'_>, reply: EchoReply) {
        let _ = (core, reply);
    }

    /// Nobody on the link objected: `address`, which is one of ours, is used from now on. Packets from it wait until then.
    /// Told again when a [conflict](Self::address_conflict) is over; never where the device has no link headers.
    fn address_claimed(&mut self, core: &mut Core<'_>, address: Ipv4Addr) {
        let _ = (core, address);
    }

    /// The station with the link address `station` uses `address` too, which is one of ours (RFC 5227). An address that
    /// was claimed already is defended and kept; one that was not is left to the other, and claimed again a minute later.
    /// Told at most every ten seconds for an address.
    fn address_conflict(&mut self, core: &mut Core<'_>, address: Ipv4Addr, station: [u8; 6]) {
        let _ = (core, address, station);
    }

    /// The stack is about to stop: the last chance to write. The application is dropped next, and with it its sockets,
    /// which then close in good order until the deadline.
    fn stop(&mut self, core: &mut Core<'_>) {
        let _ = core;
    }
}

/// An answer to a ping.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EchoReply {
    /// Who answered.
    pub from: Ipv4Addr,
    /// As it was sent.
    pub identifier: u16,
    /// As it was sent.
    pub sequence: u16,
    /// The time to live that was left.
    pub ttl: u8,
    /// Bytes of payload.
    pub len: usize,
}

/// Calls an application from another thread.
#[derive(Clone)]
pub struct Waker {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Core(Arc<CoreShared>),
    Thread(ThreadWaker),
}

impl Waker {
    pub(crate) fn of_core(core: Arc<CoreShared>) -> Self {
        Self { place: Place::Core(core) }
    }

    pub(crate) fn of_thread(thread: ThreadWaker) -> Self {
        Self { place: Place::Thread(thread) }
    }

    /// Has [`Application::woken`] called soon, on its own thread.
    pub fn wake(&self) {
        match &self.place {
            Place::Core(core) => core.wake_application(),
            Place::Thread(thread) => thread.wake(),
        }
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}
