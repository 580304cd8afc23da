//! UDP (RFC 768; RFC 1122, section 4.1).

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use pmd::Pool;

use crate::api::UdpSocket;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::icmp::IcmpError;
use crate::net::Net;
use crate::rng::Rng;
use crate::socket::{CoreShared, Hint, Hints, SocketId, Target, UdpEndpoint, udp_pair};
use crate::table::Table;
use ports::Ports;

mod input;
mod output;
mod ports;

/// The UDP sockets of one core.
pub(crate) struct Udp {
    sockets: Table<Socket>,
    ports: Ports,
    /// Datagrams that a socket holds in each direction.
    queue: usize,
    /// Frames that sockets may take before the pool is looked at again.
    spare_frames: usize,
}

struct Socket {
    endpoint: UdpEndpoint,
    local: SocketAddrV4,
    /// The only one that it receives from.
    peer: Option<SocketAddrV4>,
}

impl Udp {
    pub(crate) fn new(queue: usize, rng: &mut Rng) -> Self {
        Self { sockets: Table::new(MOST_SOCKETS), ports: Ports::new(rng), queue, spare_frames: 0 }
    }

    /// Opens a socket on `local`, which is ours or unspecified; port 0 takes a free one by chance (RFC 6056).
    pub(crate) fn bind(
        &mut self,
        net: &mut Net,
        core: &Arc<CoreShared>,
        pool: &Pool,
        local: SocketAddrV4,
    ) -> io::Result<UdpSocket> {
        if !local.ip().is_unspecified() && !net.is_local(*local.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let local = match local.port() {
            0 => self.ports.pick(*local.ip(), &mut net.rng, |local| net.steer.has_socket(local)),
            _ => Some(local).filter(|&local| self.ports.is_free(local)),
        };
        let local = local.ok_or(io::ErrorKind::AddrInUse)?;
        let mut handle = None;
        let id = self.sockets.insert_with(|id| {
            let (endpoint, socket) = udp_pair(core, self.queue, pool, local, id);
            handle = Some(socket);
            Socket { endpoint, local, peer: None }
        });
        let (Some(id), Some(handle)) = (id, handle) else {
            return Err(io::ErrorKind::AddrInUse.into());
        };
        self.ports.claim(local, id);
        Ok(handle)
    }

    /// Receives from `peer` only, from now on.
    pub(crate) fn connect(&mut self, id: SocketId, peer: SocketAddrV4) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.peer = Some(peer);
        }
    }

    /// Follows a hint: sends what was submitted, or closes.
    fn hint(&mut self, net: &mut Net, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !socket.endpoint.words.take_hints().contains(Hints::CLOSE) {
            return socket.send_some(net);
        }
        socket.send_all(net);
        if let Some(socket) = self.sockets.remove(id) {
            socket.endpoint.words.tell_gone(&mut net.readies);
            self.ports.release(socket.local);
            let here = net.steer.core();
            net.steer.socket_closed(socket.local, here);
        }
    }

    /// Follows a hint, if it is about a UDP socket.
    pub(crate) fn follow_hint(&mut self, net: &mut Net, hint: Hint) {
        let id = match hint {
            Hint::Socket(Target::Udp(id)) => Some(id),
            Hint::UdpPlace(index) => self.sockets.id_at(index),
            Hint::Socket(Target::Tcp(_)) | Hint::TcpPlace(_) => None,
        };
        if let Some(id) = id {
            self.hint(net, id);
        }
    }

    /// What the application is told through, if the socket is there.
    pub(crate) fn endpoint(&mut self, id: SocketId) -> Option<&mut UdpEndpoint> {
        self.sockets.get_mut(id).map(|socket| &mut socket.endpoint)
    }

    /// Whether a socket here hears what comes to `local` from `from`.
    pub(crate) fn has(&mut self, local: SocketAddrV4, from: SocketAddrV4) -> bool {
        self.socket_for(local, from).is_ok()
    }

    /// An ICMP error about a datagram of ours: told to the socket that sent it, if it is connected. An unconnected one
    /// could not tell which of its peers it is about.
    pub(crate) fn icmp_error(
        &mut self,
        net: &mut Net,
        flow: FlowKey4,
        error: IcmpError,
    ) -> Result<(), Drop> {
        let local = SocketAddrV4::new(flow.local, flow.local_port);
        let peer = SocketAddrV4::new(flow.remote, flow.remote_port);
        let socket = self.socket_for(local, peer).map_err(|_| Drop::IcmpUnmatched)?;
        match error {
            // Told to nobody: what is sent from now on is cut as the path wants it.
            IcmpError::TooBig { mtu, len } => {
                net.narrow_path(flow.remote, mtu, len);
            }
            _ if socket.peer.is_some() => {
                socket.endpoint.report(&mut net.readies, error.failure());
            }
            _ => {}
        }
        Ok(())
    }

    /// The socket for what comes to `local` from `from`: one on that very address before one on all of ours. One that is
    /// connected to another peer does not count.
    fn socket_for(&mut self, local: SocketAddrV4, from: SocketAddrV4) -> Result<&mut Socket, Drop> {
        let mut why = Drop::UdpNoSocket;
        let mut found = None;
        for id in self.ports.find(local) {
            let Some(socket) = self.sockets.get_mut(id) else { continue };
            if socket.peer.is_none_or(|peer| peer == from) {
                found = Some(id);
                break;
            }
            why = Drop::UdpPeer;
        }
        found.and_then(|id| self.sockets.get_mut(id)).ok_or(why)
    }

    /// How many sockets are open.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }
}

/// Most UDP sockets of a core.
pub(crate) const MOST_SOCKETS: usize = 1 << 16;

#[cfg(test)]
mod tests;
