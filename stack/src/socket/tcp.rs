//! The two ends of a TCP socket.

use std::net::SocketAddrV4;
use std::sync::Arc;

use darner_ring::{ConnectionRings, ReceiveProducer, SendConsumer, connection_rings};

use super::core::CoreShared;
use super::failure::Failure;
use super::listener::ListenerShared;
use super::readiness::Readies;
use super::words::{Part, Phase, ProtocolSide, SocketId, Target, Told, sides};
use crate::api::{Readiness, TcpStream, Token};

/// The protocol thread's end.
pub(crate) struct TcpSocket {
    pub(crate) receive: ReceiveProducer,
    pub(crate) send: SendConsumer,
    pub(crate) words: ProtocolSide,
    /// Where the connection was accepted, or waits to be.
    listener: Option<Arc<ListenerShared>>,
}

/// Most bytes that a socket buffers in each direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BufferLimits {
    pub(crate) receive: usize,
    pub(crate) send: usize,
    /// How many bytes a read waits for, at first.
    pub(crate) receive_low_water: usize,
}

/// Who holds a socket first.
#[derive(Clone)]
pub(crate) enum Birth {
    Application,
    /// A listener's queue, until it is accepted.
    Queue(Arc<ListenerShared>),
}

/// Makes the ends of a fresh socket. The application's end goes to who connects, or into a listener's queue.
pub(crate) fn tcp_pair(
    core: &Arc<CoreShared>,
    limits: BufferLimits,
    addresses: (SocketAddrV4, SocketAddrV4),
    id: SocketId,
    birth: Birth,
) -> (TcpSocket, TcpStream) {
    let ConnectionRings {
        protocol: (receive, send),
        application: (reader, writer),
        control: closer,
    } = connection_rings(limits.receive, limits.send);
    let (phase, listener) = match birth {
        Birth::Application => (Phase::Connecting, None),
        Birth::Queue(listener) => (Phase::Connected, Some(listener)),
    };
    let words = sides(core, Target::Tcp(id), phase);
    let stream = TcpStream::new(
        (reader, words.reader, limits),
        (writer, words.writer),
        (closer, words.control),
        addresses,
    );
    (TcpSocket { receive, send, words: words.protocol, listener }, stream)
}

impl TcpSocket {
    /// Asks for the memory that is shared with the application.
    pub(crate) fn prefetch(&self) {
        self.receive.prefetch();
        self.send.prefetch();
        self.words.prefetch();
    }

    pub(crate) fn raise(&self, readies: &mut Readies, readiness: Readiness) {
        self.words.raise(readies, readiness);
    }

    /// From now on readiness of `part` is told to `told`, beginning with what it is now.
    pub(crate) fn attach(&mut self, readies: &mut Readies, part: Part, told: Told) {
        let level = self.level();
        self.words.attach(readies, part, told, level);
    }

    /// From now on the application on this core is told under `token`, beginning with what it is now.
    pub(crate) fn attach_application(&mut self, readies: &mut Readies, token: Token) {
        let level = self.level();
        self.words.attach_application(readies, token, level);
    }

    /// The connection died of `failure`: told to the application once, by its next call.
    pub(crate) fn fail(&mut self, readies: &mut Readies, failure: Failure) {
        self.words.set_error(failure);
        // What had come is whole where the peer had finished.
        if failure != Failure::BrokenPipe {
            self.receive.reset();
        }
        self.die(readies, Readiness::ERROR);
    }

    /// The connection ended in good order.
    pub(crate) fn end(&mut self, readies: &mut Readies) {
        self.die(readies, Readiness::empty());
    }

    fn die(&mut self, readies: &mut Readies, also: Readiness) {
        self.send.kill();
        self.words.set_phase(Phase::Dead);
        let told =
            Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED | Readiness::CLOSED;
        self.raise(readies, told | also);
    }

    /// Whether the application holds no half any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.words.is_closed()
    }

    /// Everything that is the case now, whoever was told of it before.
    fn level(&mut self) -> Readiness {
        let phase = self.words.phase();
        let buffered = self.send.tail().position - self.send.released();
        let room = buffered < self.send.limit() as u64;
        let (ended, dead) = (self.receive.has_ended(), phase == Phase::Dead);
        let mut level = Readiness::empty();
        let enough = self.receive.unread() > 0 && self.receive.is_wanted();
        level.set(Readiness::READABLE, enough || ended || dead);
        level.set(Readiness::WRITABLE, phase > Phase::Connecting && room || dead);
        level.set(Readiness::CONNECTED, self.words.was_connected());
        level.set(Readiness::READ_CLOSED, ended || dead);
        level.set(Readiness::CLOSED, dead);
        level.set(Readiness::URGENT, self.receive.has_mark());
        level
    }
}

/// A socket that is dropped alive loses its protocol thread: who waits is told.
impl Drop for TcpSocket {
    fn drop(&mut self) {
        if self.words.phase() != Phase::Dead {
            self.words.set_error(Failure::StackStopped);
            self.receive.reset();
            self.send.kill();
            self.words.set_phase(Phase::Dead);
            self.words.wake_all();
        }
        if let Some(listener) = &self.listener {
            listener.child_gone();
        }
    }
}
