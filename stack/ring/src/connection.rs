//! The two rings of a connection.

use crate::chain::Pair;
use crate::receive::{ReceiveCloser, ReceiveConsumer, ReceiveProducer, receive_ends};
use crate::send::{SendCloser, SendConsumer, SendProducer, send_ends};

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
    pub control: (ReceiveCloser, SendCloser),
}

/// Makes a receive and a send ring whose words lie together: they take less than those of [`receive_ring`] and [`send_ring`].
///
/// [`receive_ring`]: crate::receive_ring
/// [`send_ring`]: crate::send_ring
pub fn connection_rings(receive_limit: usize, send_limit: usize) -> ConnectionRings {
    let pair = Pair::new(receive_limit, send_limit);
    let (receive, read, read_closer) = receive_ends(pair.clone());
    let (write, send, write_closer) = send_ends(pair);
    ConnectionRings {
        protocol: (receive, send),
        application: (read, write),
        control: (read_closer, write_closer),
    }
}
