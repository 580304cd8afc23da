//! Servers that do one simple thing with every byte and datagram: what [`echo`](crate::echo) and [`sink`](crate::sink)
//! have in common.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crossbeam_channel::Sender;
use darner::Ipv4Prefix;
use darner::{Application, Core, Readiness, TcpStream, Token, UdpSocket};
use slotmap::{DefaultKey, Key, KeyData, SlotMap};

use crate::config::OneOrMore;
use crate::listen::{Owner, Sockets};
use crate::placement::Placement;
use crate::run::Totals;
use crate::settings::Settings;

/// What a server does.
pub(crate) trait Service: Send {
    /// Uses some input of a connection. None is used at the end of the stream, when there is nothing left to do.
    fn bytes(&mut self, stream: &mut TcpStream) -> io::Result<Used>;

    /// Uses a datagram.
    fn datagram(&mut self, socket: &mut UdpSocket, payload: &[u8], from: SocketAddr) -> Used;
}

/// Bytes of payload that were read, and those that were written in answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) read: usize,
    pub(crate) written: usize,
}

/// One server: a core's, or a thread's.
pub(crate) struct Server<S> {
    service: S,
    listen: Vec<SocketAddr>,
    ours: Vec<Ipv4Prefix>,
    placement: Placement,
    sockets: Sockets,
    streams: SlotMap<DefaultKey, TcpStream>,
    payload: Box<[u8]>,
    totals: Totals,
    tell: Sender<Totals>,
}

/// Bytes of a connection, connections and datagrams handled before others get their turn.
const BYTES_AT_ONCE: usize = 256 << 10;
const ACCEPT_AT_ONCE: usize = 64;
const DATAGRAMS_AT_ONCE: usize = 64;

impl<S: Service> Server<S> {
    pub(crate) fn new(
        service: S,
        listen: Vec<SocketAddr>,
        (settings, placement): (&Settings, Placement),
        tell: Sender<Totals>,
    ) -> Self {
        Self {
            service,
            listen,
            ours: settings.stack.addresses.clone(),
            placement,
            sockets: Sockets::default(),
            streams: SlotMap::new(),
            payload: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
            totals: Totals::default(),
            tell,
        }
    }

    fn accept(&mut self, core: &mut Core<'_>, token: Token, listener: usize) {
        for _ in 0..ACCEPT_AT_ONCE {
            let Some(Ok((stream, _))) =
                self.sockets.listeners.get_mut(listener).map(|l| l.accept())
            else {
                return;
            };
            self.totals.connections += 1;
            stream.set_nodelay(true);
            // Nobody times these connections out, so that the dead are noticed by asking them.
            stream.set_keepalive(true);
            let key = self.streams.insert(stream);
            core.register(&mut self.streams[key], Token(key.data().as_ffi()));
        }
        core.again(token, Readiness::READABLE);
    }

    fn serve(&mut self, core: &mut Core<'_>, token: Token) {
        let key = KeyData::from_ffi(token.0).into();
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut used = 0;
        while used < BYTES_AT_ONCE {
            match self.service.bytes(stream) {
                Ok(Used { read: 0, .. }) => return drop(self.streams.remove(key)),
                Ok(step) => {
                    used += step.read;
                    self.totals.add(step);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return drop(self.streams.remove(key)),
            }
        }
        core.again(token, Readiness::READABLE);
    }

    fn receive(&mut self, core: &mut Core<'_>, token: Token, index: usize) {
        let Some(socket) = self.sockets.datagrams.get_mut(index) else { return };
        for _ in 0..DATAGRAMS_AT_ONCE {
            match socket.recv_from(&mut self.payload) {
                Ok((len, from)) => {
                    self.totals.add(self.service.datagram(socket, &self.payload[..len], from));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What ICMP said about an answer is between that client and us; the socket goes on.
                Err(_) => {}
            }
        }
        core.again(token, Readiness::READABLE);
    }
}

impl<S: Service> Application for Server<S> {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.sockets.listen(core, &self.listen, &self.ours, self.placement)?;
        if self.placement.takes_datagrams(core) {
            self.sockets.bind(core, &self.listen, &self.ours)?;
        }
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        match Owner::of(token) {
            Owner::Listener(index) => self.accept(core, token, index),
            Owner::Datagrams(index) => self.receive(core, token, index),
            Owner::Connection => self.serve(core, token),
        }
    }

    fn stop(&mut self, _: &mut Core<'_>) {
        let _ = self.tell.send(self.totals);
    }
}

impl Totals {
    fn add(&mut self, used: Used) {
        self.bytes_in += used.read as u64;
        self.bytes_out += used.written as u64;
    }
}

/// Where to listen: as the flags say, else the file, else on `port` of every address.
pub(crate) fn addresses(
    flags: &[SocketAddr],
    file: &OneOrMore<SocketAddr>,
    port: u16,
) -> Vec<SocketAddr> {
    match (flags, file.0.as_slice()) {
        ([], []) => vec![([0, 0, 0, 0], port).into()],
        ([], from_file) => from_file.to_vec(),
        (from_flags, _) => from_flags.to_vec(),
    }
}

/// Addresses as messages show them.
pub(crate) fn shown(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}
