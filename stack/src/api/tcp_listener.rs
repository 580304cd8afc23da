//! A listener as the application holds it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use darner_ring::Busy;

use super::TcpStream;
use super::listen_options::WaitingReset;
use super::waiting::Waiting;
use crate::protocol::Order;
use crate::socket::thread::{home_core, is_protocol_thread, refuse_child};
use crate::socket::{CoreShared, ListenerShared, Phase};
use crate::tcp::TcpKeys;

/// A socket that accepts TCP connections.
///
/// A listener of [`StackHandle::listen`](crate::StackHandle::listen) takes connections on every core of the stack; any number of threads
/// may accept from it, each beginning with the core that it is next to. One of
/// [`Core::listen`](super::Core::listen) takes those of its own core.
///
/// Dropping it stops listening and resets what was not accepted.
pub struct TcpListener {
    shared: Arc<ListenerShared>,
    /// The cores that listen.
    cores: Vec<Arc<CoreShared>>,
    nonblocking: AtomicBool,
}

impl TcpListener {
    pub(crate) fn new(shared: Arc<ListenerShared>, cores: Vec<Arc<CoreShared>>) -> Self {
        let nonblocking = AtomicBool::new(Waiting::at_birth() == Waiting::NEVER);
        Self { shared, cores, nonblocking }
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address()
    }

    /// The next connection and its peer's address; waits for one, unless the listener is non-blocking.
    ///
    /// A connection that was reset while it waited is passed over. On a protocol thread only what this core has is accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] when none waits and the listener is non-blocking: whoever it is registered with is told when
    /// one does. [`ErrorKind::ConnectionAborted`] once it was closed, or the stack has ended. [`ErrorKind::Deadlock`] on a
    /// protocol thread that would have to wait.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = match self.try_accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
            found => found?,
        };
        Ok(with_peer(stream))
    }

    /// Like [`accept`](Self::accept), but only what the core has that is next to the calling thread, and without waiting.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept) of a non-blocking listener.
    pub fn accept_local(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let home = home_core() % self.cores.len().max(1);
        let core = self.cores.get(home).map_or(home, |core| core.index);
        Ok(with_peer(self.try_local(core)?))
    }

    /// Whether [`accept`](Self::accept) gives [`ErrorKind::WouldBlock`] instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// How many connections may wait before their handshake is complete; see [`ListenOptions::fast_open`](super::ListenOptions::fast_open).
    pub fn set_fast_open(&self, limit: u32) {
        self.shared.set_fast_open(limit);
    }

    /// Most bytes of a segment of connections that are accepted from now on; see [`ListenOptions::max_segment_size`](super::ListenOptions::max_segment_size).
    pub fn set_max_segment_size(&self, size: Option<u16>) {
        self.shared.set_max_segment_size(size);
    }

    /// From now on peers have these keys, and no others; see [`ListenOptions::keys`](super::ListenOptions::keys). Connections that were accepted keep
    /// theirs, and so do handshakes under way as long as it is among these.
    pub fn set_keys(&self, keys: &TcpKeys) {
        for core in &self.cores {
            core.order(Order::SetListenerKeys(self.shared.clone(), keys.clone()));
        }
    }

    /// Stops listening, resets what was not accepted, and ends every call of [`accept`](Self::accept) that waits. Dropping
    /// the listener does the same.
    pub fn close(&self) {
        self.shared.close();
        for core in &self.cores {
            core.order(Order::Unlisten(self.shared.clone()));
        }
    }

    pub(crate) fn shared(&self) -> &Arc<ListenerShared> {
        &self.shared
    }

    pub(crate) fn cores(&self) -> &[Arc<CoreShared>] {
        &self.cores
    }

    fn wait(&self) -> io::Result<TcpStream> {
        let waiting = if self.nonblocking.load(Ordering::Relaxed) {
            Waiting::NEVER
        } else {
            Waiting::FOREVER
        };
        let deadline = waiting.deadline()?;
        let found = self.shared.wait(deadline, || match self.try_accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            found => Some(found),
        });
        found.unwrap_or(Err(ErrorKind::WouldBlock.into()))
    }

    fn try_accept(&self) -> io::Result<TcpStream> {
        refuse_child()?;
        if is_protocol_thread() {
            return self.try_local(home_core());
        }
        while !self.shared.is_closed() {
            match self.shared.pop(home_core()) {
                Some(stream) if self.is_alive(&stream) => return Ok(stream),
                Some(_) => {}
                None => return Err(ErrorKind::WouldBlock.into()),
            }
        }
        Err(ErrorKind::ConnectionAborted.into())
    }

    /// From one core's shard. Somebody who is inside is as good as an empty shard: then its core tells again.
    fn try_local(&self, core: usize) -> io::Result<TcpStream> {
        refuse_child()?;
        while !self.shared.is_closed() {
            match self.shared.try_pop_local(core) {
                Ok(Some(stream)) if self.is_alive(&stream) => return Ok(stream),
                Ok(Some(_)) => {}
                Ok(None) => return Err(ErrorKind::WouldBlock.into()),
                Err(Busy) => {
                    if let Some(core) = self.cores.iter().find(|known| known.index == core) {
                        core.order(Order::Announce(self.shared.clone()));
                    }
                    return Err(ErrorKind::WouldBlock.into());
                }
            }
        }
        Err(ErrorKind::ConnectionAborted.into())
    }

    /// Whether the connection was not reset while it waited, if that makes a difference; one that was is counted (decision 5).
    fn is_alive(&self, stream: &TcpStream) -> bool {
        let wanted = self.shared.options().reset_while_waiting == WaitingReset::Accept;
        let alive = wanted || stream.words().phase() != Phase::Dead;
        if !alive {
            stream.words().core().order(Order::CountSkipped);
        }
        alive
    }
}

/// It was made on its protocol thread, and waits from now on if it may.
fn with_peer(mut stream: TcpStream) -> (TcpStream, SocketAddr) {
    stream.set_nonblocking(is_protocol_thread());
    let peer = stream.peer_addr();
    (stream, peer)
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpListener").field("local", &self.local_addr()).finish_non_exhaustive()
    }
}
