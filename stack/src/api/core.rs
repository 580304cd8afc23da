//! What an application may ask of its core.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::udp_socket::ipv4;
use super::{Readiness, TcpListener, TcpStream, Token, UdpSocket, Waker};
use crate::protocol::{Layers, Order};
use crate::socket::mailbox::Source;
use crate::time::Instant;

/// What an application may ask of the core that it runs on.
pub struct Core<'a> {
    layers: &'a mut Layers,
}

impl<'a> Core<'a> {
    pub(crate) fn new(layers: &'a mut Layers) -> Self {
        Self { layers }
    }

    /// When this turn of the protocol loop began.
    pub fn now(&self) -> Instant {
        self.layers.net.now
    }

    /// Which of the stack's cores this is, from 0.
    pub fn index(&self) -> usize {
        self.layers.shared.index
    }

    /// Listens for TCP connections to `address` (`0.0.0.0` for all our addresses; port 0 is not allowed). Up to `backlog`
    /// connections wait to be accepted.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) for an address that
    /// is not ours, [`InvalidInput`](io::ErrorKind::InvalidInput) for port 0, `EAFNOSUPPORT` for IPv6.
    pub fn listen(
        &mut self,
        address: SocketAddr,
        backlog: u32,
        token: Token,
    ) -> io::Result<TcpListener> {
        let listener = self.layers.listen(ipv4(address)?, backlog)?;
        listener.shared().events().set_token(token);
        Ok(listener)
    }

    /// Begins to connect to `remote`. The token is told [`Readiness::CONNECTED`], or an error.
    ///
    /// # Errors
    ///
    /// `ENETUNREACH` without a route, [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) when every source port
    /// toward `remote` is taken, [`InvalidInput`](io::ErrorKind::InvalidInput) for an address that nobody can connect
    /// to, `EAFNOSUPPORT` for IPv6.
    pub fn connect(&mut self, remote: SocketAddr, token: Token) -> io::Result<TcpStream> {
        let stream = self.layers.connect(ipv4(remote)?)?;
        stream.set_token(token);
        Ok(stream)
    }

    /// Opens a UDP socket on `local` (`0.0.0.0` for all our addresses, port 0 for any free one).
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) for an address that
    /// is not ours, `EAFNOSUPPORT` for IPv6.
    pub fn bind_udp(&mut self, local: SocketAddr, token: Token) -> io::Result<UdpSocket> {
        let socket = self.layers.bind_udp(ipv4(local)?)?;
        socket.set_token(token);
        Ok(socket)
    }

    /// Tells `token` of `stream` from now on, beginning with what it is ready for already.
    pub fn register(&mut self, stream: &mut TcpStream, token: Token) {
        // What was raised for nobody is taken first: raising it again must find nothing pending, or it is not told.
        stream.words().events().take();
        stream.set_token(token);
        let level = stream.level();
        if !level.is_empty() {
            self.again(token, level);
        }
    }

    /// Calls [`Application::ready`](super::Application::ready) once more in the next turn, after other sockets had theirs.
    pub fn again(&mut self, token: Token, readiness: Readiness) {
        self.layers.net.mailboxes.push(Source::Again(token, readiness));
    }

    /// Calls [`Application::timeout`](super::Application::timeout) with `token` in `after`. Timers cannot be cancelled:
    /// ignore the ones that have lost their meaning.
    pub fn set_timer(&mut self, after: Duration, token: Token) {
        self.layers.set_timer(after, token);
    }

    /// Sends an ICMP echo request with `len` bytes of payload. The answer comes to
    /// [`Application::echo_reply`](super::Application::echo_reply).
    ///
    /// # Errors
    ///
    /// `ENETUNREACH` without a route, `EMSGSIZE` above 65,507 bytes,
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when no frame is free.
    pub fn ping(
        &mut self,
        to: Ipv4Addr,
        identifier: u16,
        sequence: u16,
        len: usize,
    ) -> io::Result<()> {
        self.layers.ping(to, identifier, sequence, len)
    }

    /// A handle with which another thread calls [`Application::woken`](super::Application::woken).
    pub fn waker(&self) -> Waker {
        Waker::new(self.layers.shared.clone())
    }

    /// Asks the whole stack to stop, as [`Stack::stop`](crate::Stack::stop) does, within `deadline`.
    pub fn stop(&mut self, deadline: Duration) {
        self.layers.shared.order(Order::Stop(deadline));
    }
}
