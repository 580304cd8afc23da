//! The two rings of a connection.

use std::fmt;

use crate::chain::Pair;
use crate::receive::{self, ReceiveConsumer, ReceiveProducer, receive_ends};
use crate::send::{self, SendConsumer, SendProducer, send_ends};
use crate::sync::Arc;

/// What the words of a connection's rings take, with their reference counts.
pub const CONNECTION_WORDS: usize = size_of::<Pair>() + 2 * size_of::<usize>();

/// The ends of a connection's rings, by who holds them.
#[derive(Debug)]
pub struct ConnectionRings {
    /// The protocol thread's.
    pub protocol: (ReceiveProducer, SendConsumer),
    /// The application's.
    pub application: (ReceiveConsumer, SendProducer),
    /// Whoever has a control handle.
    pub control: ConnectionCloser,
}

/// Makes a receive and a send ring whose words lie together: they take less than those of [`receive_ring`] and [`send_ring`].
///
/// [`receive_ring`]: crate::receive_ring
/// [`send_ring`]: crate::send_ring
pub fn connection_rings(receive_limit: usize, send_limit: usize) -> ConnectionRings {
    let pair = Pair::new(receive_limit, send_limit);
    let (receive, read, _) = receive_ends(pair.clone());
    let (write, send, _) = send_ends(pair.clone());
    ConnectionRings {
        protocol: (receive, send),
        application: (read, write),
        control: ConnectionCloser { pair },
    }
}

/// Ends what is read or written over a connection's rings, from any thread: a [`ReceiveCloser`] and a [`SendCloser`] in one.
///
/// [`ReceiveCloser`]: crate::ReceiveCloser
/// [`SendCloser`]: crate::SendCloser
#[derive(Clone)]
pub struct ConnectionCloser {
    pair: Arc<Pair>,
}

impl ConnectionCloser {
    /// Nobody reads any more. When this returns, no read gives a byte. Twice changes nothing.
    pub fn shut_reading(&self) {
        receive::shut(&self.pair);
    }

    /// Whether bytes wait that nobody has read, or said that nobody would. An urgent byte that the stream skips does not count.
    pub fn has_unread(&self) -> bool {
        receive::has_unread(&self.pair)
    }

    /// Ends the stream that is written with a FIN after the last byte accepted, whose position this gives. Twice changes nothing.
    pub fn shut_writing(&self) -> u64 {
        send::shut_down(&self.pair)
    }

    /// Ends the connection with an RST. Nothing more is sent.
    pub fn abort(&self) {
        send::abort(&self.pair);
    }
}

impl fmt::Debug for ConnectionCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionCloser").finish_non_exhaustive()
    }
}
