//! The two ends of a UDP socket: a queue of datagrams each way.

use std::net::SocketAddrV4;
use std::sync::Arc;

use darner_ring::spsc::{self, Consumer, Producer};
use pmd::{Frame, Pool};

use super::core::CoreShared;
use super::failure::Failure;
use super::readiness::Readies;
use super::words::{Hints, Part, Phase, ProtocolSide, SocketId, Target, Told, sides};
use crate::api::{Readiness, Token, UdpSocket};

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
    pub(crate) words: ProtocolSide,
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
    let words = sides(core, Target::Udp(id), Phase::Connected);
    let socket =
        UdpSocket::new((reader, words.reader), (writer, words.writer), pool.clone(), local);
    (UdpEndpoint { receive, send, words: words.protocol }, socket)
}

impl UdpEndpoint {
    pub(crate) fn raise(&self, readies: &mut Readies, readiness: Readiness) {
        self.words.raise(readies, readiness);
    }

    /// From now on readiness of `part` is told to `told`, beginning with what it may be now.
    pub(crate) fn attach(&mut self, readies: &mut Readies, part: Part, told: Told) {
        self.words.attach(readies, part, told, Readiness::READABLE | Readiness::WRITABLE);
    }

    /// From now on the application on this core is told under `token`.
    pub(crate) fn attach_application(&mut self, readies: &mut Readies, token: Token) {
        let level = Readiness::empty();
        self.words.attach_application(readies, token, level);
    }

    /// Hints at itself: more is to be done than one turn allows.
    pub(crate) fn look_again(&self) {
        self.words.hint(Hints::SEND);
    }

    /// Reports an ICMP error about something that was sent: told once, by the next call. The socket lives on.
    pub(crate) fn report(&self, readies: &mut Readies, failure: Failure) {
        self.words.set_error(failure);
        self.raise(readies, Readiness::ERROR | Readiness::READABLE);
    }
}

/// Who waits on a socket whose protocol thread goes is woken, and finds its queues given up.
impl Drop for UdpEndpoint {
    fn drop(&mut self) {
        self.words.set_phase(Phase::Dead);
        self.words.wake_all();
    }
}
