//! The two ends of a TCP socket.

use std::net::SocketAddr;
use std::sync::Arc;

use darner_ring::{ReceiveProducer, SendConsumer, receive_ring, send_ring};

use super::mailbox::{CoreShared, Mailboxes};
use super::words::{Failure, Hints, Phase, SocketId, SocketOptions, Target, Words};
use crate::api::{Readiness, TcpStream};

/// The protocol thread's end.
pub(crate) struct TcpSocket {
    pub(crate) receive: ReceiveProducer,
    pub(crate) send: SendConsumer,
    words: Arc<Words>,
}

/// Most bytes that a socket buffers in each direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BufferLimits {
    pub(crate) receive: usize,
    pub(crate) send: usize,
}

/// Who holds a socket first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Birth {
    Application,
    /// A listener's queue, until it is accepted.
    Queue,
}

/// Makes the ends of a fresh socket. The application's end goes to who connects, or into a listener's queue.
pub(crate) fn tcp_pair(
    core: &Arc<CoreShared>,
    limits: BufferLimits,
    (local, remote): (SocketAddr, SocketAddr),
    id: SocketId,
    birth: Birth,
) -> (TcpSocket, TcpStream) {
    let (receive, reader, read_closer) = receive_ring(limits.receive);
    let (writer, send, write_closer) = send_ring(limits.send);
    let phase = match birth {
        Birth::Application => Phase::Connecting,
        Birth::Queue => Phase::Connected,
    };
    let words = Words::new(core.clone(), Target::Tcp(id), phase);
    let stream = TcpStream::new(
        (reader, read_closer),
        (writer, write_closer),
        words.clone(),
        (local, remote),
        limits.receive,
    );
    (TcpSocket { receive, send, words }, stream)
}

impl TcpSocket {
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.words.set_phase(phase);
    }

    /// Takes the hints; what they are about is read afterwards.
    pub(crate) fn take_hints(&self) -> Hints {
        self.words.take_hints()
    }

    pub(crate) fn raise(&self, mailboxes: &mut Mailboxes, readiness: Readiness) {
        self.words.raise(mailboxes, readiness);
    }

    /// Asks for a hint as soon as the application reads anything, because the peer was told of no room. Look at the
    /// ring's head once more after this.
    pub(crate) fn set_window_closed(&self, closed: bool) {
        self.words.set_window_closed(closed);
    }

    /// The connection died of `failure`: told to the application once, by its next call.
    pub(crate) fn fail(&mut self, mailboxes: &mut Mailboxes, failure: Failure) {
        self.words.set_error(failure);
        self.receive.reset();
        self.die(mailboxes, Readiness::ERROR);
    }

    /// The connection ended in good order.
    pub(crate) fn end(&mut self, mailboxes: &mut Mailboxes) {
        self.die(mailboxes, Readiness::empty());
    }

    fn die(&mut self, mailboxes: &mut Mailboxes, also: Readiness) {
        self.send.kill();
        self.set_phase(Phase::Dead);
        let told =
            Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED | Readiness::CLOSED;
        self.raise(mailboxes, told | also);
    }

    pub(crate) fn options(&self) -> SocketOptions {
        self.words.options()
    }

    /// Whether the application holds no handle any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.words.is_closed()
    }
}
