//! A listener as the application holds it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use super::TcpStream;
use crate::protocol::Order;
use crate::socket::{CoreShared, ListenerShared, Phase};

/// A socket that accepts TCP connections. Dropping it stops listening and resets what was not accepted.
pub struct TcpListener {
    shared: Arc<ListenerShared>,
    core: Arc<CoreShared>,
}

impl TcpListener {
    pub(crate) fn new(shared: Arc<ListenerShared>, core: Arc<CoreShared>) -> Self {
        Self { shared, core }
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address()
    }

    /// The next connection and its peer's address. [`ErrorKind::WouldBlock`] when none waits: the listener's token is
    /// told when one does.
    ///
    /// A connection that was reset while it waited is passed over.
    pub fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        while let Some(stream) = self.shared.pop(self.core.index) {
            if stream.words().phase() != Phase::Dead {
                let peer = stream.peer_addr();
                return Ok((stream, peer));
            }
            self.core.order(Order::CountSkipped);
        }
        Err(ErrorKind::WouldBlock.into())
    }

    pub(crate) fn shared(&self) -> &Arc<ListenerShared> {
        &self.shared
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.core.order(Order::Unlisten(self.shared.clone()));
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpListener").field("local", &self.local_addr()).finish()
    }
}
