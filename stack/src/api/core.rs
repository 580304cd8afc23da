//! What an application may ask of the core or thread that it runs on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::poller::{Kind, Source};
use super::thread::ThreadLoop;
use super::udp_socket::ipv4;
use super::{
    ConnectOptions, Interest, ListenOptions, Readiness, TcpListener, TcpStream, Token, UdpSocket,
    Waker,
};
use crate::protocol::{Layers, Order};
use crate::socket::readiness;
use crate::time::Instant;

/// What an application may ask of where it runs: a protocol thread, or a thread of its own
/// ([`Stack::spawn`](crate::Stack::spawn)).
pub struct Core<'a> {
    place: Place<'a>,
}

enum Place<'a> {
    Protocol(&'a mut Layers),
    Thread(&'a mut ThreadLoop),
}

impl<'a> Core<'a> {
    pub(crate) fn new(layers: &'a mut Layers) -> Self {
        Self { place: Place::Protocol(layers) }
    }

    pub(super) fn on_thread(thread: &'a mut ThreadLoop) -> Self {
        Self { place: Place::Thread(thread) }
    }

    /// When this turn of the loop began.
    pub fn now(&self) -> Instant {
        match &self.place {
            Place::Protocol(layers) => layers.net.now,
            Place::Thread(thread) => thread.now(),
        }
    }

    /// Which of the stack's cores this is, from 0; on a thread of its own, the one that its connections begin with.
    pub fn index(&self) -> usize {
        match &self.place {
            Place::Protocol(layers) => layers.shared.index,
            Place::Thread(thread) => thread.home(),
        }
    }

    /// Listens for TCP connections to `address` (`0.0.0.0` for all our addresses; port 0 is not allowed). Up to `backlog`
    /// connections wait to be accepted. On a protocol thread those of this core only, on a thread of its own those of all.
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
        self.listen_with(address, ListenOptions::with_backlog(backlog), token)
    }

    /// The same with more to say about it.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_with(
        &mut self,
        address: SocketAddr,
        options: ListenOptions,
        token: Token,
    ) -> io::Result<TcpListener> {
        match &mut self.place {
            Place::Protocol(layers) => layers.listen_here(ipv4(address)?, options, token),
            Place::Thread(thread) => {
                let listener = thread.stack().listen_with(address, options)?;
                listener.set_nonblocking(true);
                thread.poller().register(&listener, token, Interest::READABLE)?;
                Ok(listener)
            }
        }
    }

    /// Begins to connect to `remote`. The token is told [`Readiness::CONNECTED`], or an error.
    ///
    /// # Errors
    ///
    /// `ENETUNREACH` without a route, [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) when every source port
    /// toward `remote` is taken, [`InvalidInput`](io::ErrorKind::InvalidInput) for an address that nobody can connect
    /// to, `EAFNOSUPPORT` for IPv6.
    pub fn connect(&mut self, remote: SocketAddr, token: Token) -> io::Result<TcpStream> {
        self.connect_from(None, remote, token)
    }

    /// The same from `local`: an address of ours or `0.0.0.0`, and a port or 0 for any.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`AddrInUse`](io::ErrorKind::AddrInUse) when there is a connection between these two
    /// addresses, [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) for an address that is not ours.
    pub fn connect_from(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        token: Token,
    ) -> io::Result<TcpStream> {
        self.connect_with(remote, ConnectOptions { local, ..ConnectOptions::default() }, token)
    }

    /// The same with more to say about it.
    ///
    /// # Errors
    ///
    /// As [`connect_from`](Self::connect_from).
    pub fn connect_with(
        &mut self,
        remote: SocketAddr,
        options: ConnectOptions,
        token: Token,
    ) -> io::Result<TcpStream> {
        let mut stream = match &mut self.place {
            Place::Protocol(layers) => {
                let local = options.local.map(ipv4).transpose()?;
                layers.connect(local, ipv4(remote)?, &options)?
            }
            Place::Thread(thread) => thread.stack().begin_connect_with(remote, options)?,
        };
        stream.set_nonblocking(true);
        self.register(&mut stream, token);
        Ok(stream)
    }

    /// Begins to connect as [`connect_with`](Self::connect_with) does, with TCP Fast Open (RFC 7413): to a peer who has handed out a cookie before the
    /// beginning of `data` goes with the SYN, up to a segment of it; else a cookie is asked for, and nothing is taken. Returns how many bytes were taken:
    /// the rest is to be written once the stream is connected. What goes with a SYN may be handled twice, if the network doubles it.
    /// Where segments are signed nothing is taken.
    ///
    /// # Errors
    ///
    /// As [`connect_from`](Self::connect_from).
    pub fn connect_with_data(
        &mut self,
        remote: SocketAddr,
        options: ConnectOptions,
        data: &[u8],
        token: Token,
    ) -> io::Result<(TcpStream, usize)> {
        let (mut stream, taken) = match &mut self.place {
            Place::Protocol(layers) => {
                let local = options.local.map(ipv4).transpose()?;
                layers.connect_with_data(local, ipv4(remote)?, &options, data)?
            }
            Place::Thread(thread) => {
                thread.stack().begin_connect_with_data(remote, options, data)?
            }
        };
        stream.set_nonblocking(true);
        self.register(&mut stream, token);
        Ok((stream, taken))
    }

    /// Opens a UDP socket on `local` (`0.0.0.0` for all our addresses, port 0 for any free one).
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) for an address that
    /// is not ours, `EAFNOSUPPORT` for IPv6.
    pub fn bind_udp(&mut self, local: SocketAddr, token: Token) -> io::Result<UdpSocket> {
        let mut socket = match &mut self.place {
            Place::Protocol(layers) => layers.bind_udp(ipv4(local)?)?,
            Place::Thread(thread) => thread.stack().bind_udp(local)?,
        };
        socket.set_nonblocking(true);
        self.register(&mut socket, token);
        Ok(socket)
    }

    /// Tells `token` of a socket from now on, beginning with what it is ready for already, and makes it non-blocking. On a
    /// protocol thread both directions of a socket have one token, and the socket must be one of that core: another core's is
    /// told of once, and no more.
    pub fn register(&mut self, source: &mut impl Registered, token: Token) {
        source.stop_waiting();
        match &mut self.place {
            Place::Protocol(layers) => layers.attach_application(&source.what().0, token),
            Place::Thread(thread) => thread.register(source, token),
        }
    }

    /// Calls [`Application::ready`](super::Application::ready) once more in the next turn, after other sockets had theirs.
    pub fn again(&mut self, token: Token, readiness: Readiness) {
        match &mut self.place {
            Place::Protocol(layers) => {
                layers.net.readies.push(readiness::Source::Again(token, readiness));
            }
            Place::Thread(thread) => thread.again(token, readiness),
        }
    }

    /// Calls [`Application::timeout`](super::Application::timeout) with `token` in `after`. Timers cannot be cancelled:
    /// ignore the ones that have lost their meaning.
    pub fn set_timer(&mut self, after: Duration, token: Token) {
        match &mut self.place {
            Place::Protocol(layers) => layers.set_timer(after, token),
            Place::Thread(thread) => thread.set_timer(after, token),
        }
    }

    /// Sends an ICMP echo request with `len` bytes of payload. The answer comes to
    /// [`Application::echo_reply`](super::Application::echo_reply).
    ///
    /// # Errors
    ///
    /// `ENETUNREACH` without a route, `EMSGSIZE` above 65,507 bytes,
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when no frame is free; [`Unsupported`](io::ErrorKind::Unsupported) on a
    /// thread of its own.
    pub fn ping(
        &mut self,
        to: Ipv4Addr,
        identifier: u16,
        sequence: u16,
        len: usize,
    ) -> io::Result<()> {
        match &mut self.place {
            Place::Protocol(layers) => layers.ping(to, identifier, sequence, len),
            Place::Thread(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A handle with which another thread calls [`Application::woken`](super::Application::woken).
    pub fn waker(&self) -> Waker {
        match &self.place {
            Place::Protocol(layers) => Waker::of_core(layers.shared.clone()),
            Place::Thread(thread) => Waker::of_thread(thread.waker()),
        }
    }

    /// Asks the whole stack to stop, as [`StackHandle::stop`](crate::StackHandle::stop) does, within `deadline`.
    pub fn stop(&mut self, deadline: Duration) {
        match &mut self.place {
            Place::Protocol(layers) => {
                for core in layers.net.steer.other_cores().chain([&layers.shared]) {
                    core.order(Order::Stop(deadline));
                }
            }
            Place::Thread(thread) => thread.stack().stop(deadline),
        }
    }
}

/// What a [`Core`] can tell an application of.
pub trait Registered: Source {
    #[doc(hidden)]
    fn stop_waiting(&mut self);
}

impl Registered for TcpStream {
    fn stop_waiting(&mut self) {
        self.set_nonblocking(true);
    }
}

impl Registered for TcpListener {
    fn stop_waiting(&mut self) {
        self.set_nonblocking(true);
    }
}

impl Registered for UdpSocket {
    fn stop_waiting(&mut self) {
        self.set_nonblocking(true);
    }
}

impl Layers {
    /// The application on this core is told of a socket, which is this core's own.
    fn attach_application(&mut self, what: &Kind<'_>, token: Token) {
        let words = match what {
            Kind::Stream(stream) => stream.words(),
            Kind::Read(half) => half.words(),
            Kind::Write(half) => half.words(),
            Kind::Udp(socket) => socket.words(),
            Kind::Listener(listener) => {
                return self.attach_listener_application(listener.shared(), token);
            }
        };
        if Arc::ptr_eq(words.core(), &self.shared) {
            self.attach_socket_application(words.target(), token);
        } else {
            // Its place here is another socket's.
            let once = Readiness::READABLE | Readiness::WRITABLE;
            self.net.readies.push(readiness::Source::Again(token, once));
        }
    }
}
