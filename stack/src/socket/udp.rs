//! The two ends of a UDP socket: a queue of datagrams each way.

use std::net::SocketAddrV4;
use std::sync::Arc;

use darner_ring::spsc::{self, Consumer, Producer};
use pmd::{Frame, Pool};

use super::mailbox::{CoreShared, Mailboxes};
use super::words::{Failure, Hints, Phase, SocketId, Target, Words};
use crate::api::{Readiness, UdpSocket};

/// A datagram on its way to the application.
pub(crate) struct Received {
    pub(crate) from: SocketAddrV4,
    /// The payload alone.
    pub(crate) frame: Frame,
}

/// A datagram on its way from the application.
pub(crate) struct Submitted {
    pub(crate) to: SocketAddrV4,
    /// The payload alone, with headroom for the headers in its first segment.
    pub(crate) frame: Frame,
}

/// The protocol thread's end.
pub(crate) struct UdpEndpoint {
    pub(crate) receive: Producer<Received>,
    pub(crate) send: Consumer<Submitted>,
    words: Arc<Words>,
}

/// Makes the ends of a fresh socket; `queue` is how many datagrams wait in each direction at most.
pub(crate) fn udp_pair(
    core: &Arc<CoreShared>,
    queue: usize,
    pool: &Pool,
    local: SocketAddrV4,
    id: SocketId,
) -> (UdpEndpoint, UdpSocket) {
    let (receive, reader) = spsc::queue(queue);
    let (writer, send) = spsc::queue(queue);
    let words = Words::new(core.clone(), Target::Udp(id), Phase::Connected);
    let socket = UdpSocket::new(reader, writer, words.clone(), pool.clone(), local);
    (UdpEndpoint { receive, send, words }, socket)
}

impl UdpEndpoint {
    /// Takes the hints; what they are about is read afterwards.
    pub(crate) fn take_hints(&self) -> Hints {
        self.words.take_hints()
    }

    pub(crate) fn raise(&self, mailboxes: &mut Mailboxes, readiness: Readiness) {
        self.words.raise(mailboxes, readiness);
    }

    /// Hints at itself: more is to be done than one turn allows.
    pub(crate) fn look_again(&self) {
        self.words.hint(Hints::SEND);
    }

    /// Reports an ICMP error about something that was sent: told once, by the next call. The socket lives on.
    pub(crate) fn report(&self, mailboxes: &mut Mailboxes, failure: Failure) {
        self.words.set_error(failure);
        self.raise(mailboxes, Readiness::ERROR | Readiness::READABLE);
    }
}
