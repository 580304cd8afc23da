//! OPEN, actively (RFC 9293, section 3.10.1): a port of our own, a socket, and the first SYN.

use std::io;
use std::net::SocketAddrV4;

use super::Tcp;
use super::autotune::Sizing;
use super::connection::{Connection, Context};
use super::seq::Seq;
use super::state::State;
use rustix::io::Errno;

use crate::api::{ConnectOptions, TcpStream};
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::net::Net;
use crate::socket::{Birth, BufferLimits, SocketId, TcpSocket, tcp_pair};

/// Why no connection was begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnectError {
    /// A connection between the same two addresses exists, or is in TIME-WAIT.
    AddressInUse,
    /// The local address is not ours, or no port is left.
    AddressNotAvailable,
    /// The remote address cannot be a peer's.
    RemoteInvalid,
    /// No route.
    Unreachable,
    /// The core has as many connections as it may have, or no memory for what another would receive.
    TooMany,
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::AddressInUse => Self::from(io::ErrorKind::AddrInUse),
            ConnectError::AddressNotAvailable => Self::from(io::ErrorKind::AddrNotAvailable),
            ConnectError::RemoteInvalid => Self::from(io::ErrorKind::InvalidInput),
            ConnectError::Unreachable => Self::from(Errno::NETUNREACH),
            ConnectError::TooMany => Self::from(Errno::NOBUFS),
        }
    }
}

impl Tcp {
    /// Begins a connection, from `local` if that is given; its port may be zero for any. Where `options` say another address it does not count.
    pub(crate) fn connect_with(
        &mut self,
        net: &mut Net,
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
        options: &ConnectOptions,
    ) -> Result<TcpStream, ConnectError> {
        self.memory.admit_connection().map_err(|_| ConnectError::TooMany)?;
        let flow = self.flow_to(net, local, remote)?;
        let (id, stream) = self.open(net, flow)?;
        self.with_connection(net, id, |connection, cx| {
            connection.apply(options);
            connection.send_syn(cx);
        });
        Ok(stream)
    }

    /// The same without options.
    #[cfg(test)]
    pub(crate) fn connect(
        &mut self,
        net: &mut Net,
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
    ) -> Result<TcpStream, ConnectError> {
        self.connect_with(net, local, remote, &ConnectOptions::default())
    }

    /// A connection in SYN-SENT, whose SYN is still to be sent.
    pub(super) fn open(
        &mut self,
        net: &mut Net,
        flow: FlowKey4,
    ) -> Result<(SocketId, TcpStream), ConnectError> {
        let numbers = (self.isn.first(&flow, net.now), self.isn.timestamp_offset(&flow));
        let opened = self.create(net, flow, (Birth::Application, State::SynSent), numbers)?;
        net.metrics.count(Counter::TcpActiveOpens);
        Ok(opened)
    }

    /// Makes a connection and its socket. `numbers` are ISS and the offset of our timestamps.
    pub(super) fn create(
        &mut self,
        net: &mut Net,
        flow: FlowKey4,
        (birth, state): (Birth, State),
        numbers: (Seq, u32),
    ) -> Result<(SocketId, TcpStream), ConnectError> {
        let (core, config) = (&self.core, &self.config);
        let (challenges, memory) = (&mut self.challenges, &mut self.memory);
        let cx = Context { net, config, challenges, memory, cookies: &mut self.cookies };
        let chosen = match &birth {
            Birth::Application => [None; 2],
            Birth::Queue(listener) => {
                let options = listener.options();
                [options.receive_buffer, options.send_buffer]
            }
        };
        let segment_size = match &birth {
            Birth::Application => None,
            Birth::Queue(listener) => listener.max_segment_size(),
        };
        let limits = BufferLimits {
            receive: chosen[0].unwrap_or(config.receive_buffer),
            send: chosen[1].unwrap_or(config.send_buffer),
            receive_low_water: config.receive_low_water,
        };
        let mut stream = None;
        let id = self.connections.insert_with(|id| {
            let (socket, application) = pair(core, limits, &flow, id, birth);
            stream = Some(application);
            let mut connection = Connection::new(&cx, (flow, socket), state, numbers);
            [connection.rcv.sizing, connection.snd.sizing] = chosen.map(Sizing::of);
            connection.rare.set_max_segment_size(segment_size);
            connection
        });
        let (id, stream) = id.zip(stream).ok_or(ConnectError::TooMany)?;
        self.flows.insert(&self.connections, &flow, id.index);
        Ok((id, stream))
    }

    pub(super) fn flow_to(
        &mut self,
        net: &mut Net,
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
    ) -> Result<FlowKey4, ConnectError> {
        let to = *remote.ip();
        if remote.port() == 0
            || to.is_unspecified()
            || to.is_multicast()
            || net.interface.is_broadcast(to)
        {
            return Err(ConnectError::RemoteInvalid);
        }
        let from = local.map(|local| *local.ip()).filter(|from| !from.is_unspecified());
        let from = match from {
            Some(from) if net.is_local(from) => from,
            Some(_) => return Err(ConnectError::AddressNotAvailable),
            None => net.source_for(to).map_err(|_| ConnectError::Unreachable)?,
        };
        let flow = |port| FlowKey4 {
            remote: to,
            local: from,
            remote_port: remote.port(),
            local_port: port,
        };
        match local.map_or(0, |local| local.port()) {
            0 => self.free_flow(net, flow).ok_or(ConnectError::AddressNotAvailable),
            // Another core would get the answers.
            port if !net.steer.owns(&flow(port)) => Err(ConnectError::AddressNotAvailable),
            port if self.is_free(&flow(port)) => Ok(flow(port)),
            _ => Err(ConnectError::AddressInUse),
        }
    }

    /// The next port towards the peer (RFC 6056) that is free and whose flow is this core's: the answers to it come here, and no other
    /// core can take the same one (S-10, S-11).
    fn free_flow(&mut self, net: &mut Net, flow: impl Fn(u16) -> FlowKey4) -> Option<FlowKey4> {
        let ports = &self.config.ephemeral_ports;
        let mut search = self.source_ports.search(ports, &flow(0), &mut net.rng);
        let suits = |flow: &FlowKey4| net.steer.owns(flow) && self.is_free(flow);
        let found = search.by_ref().map(flow).find(suits);
        self.source_ports.remember(&search);
        found
    }
}

fn pair(
    core: &std::sync::Arc<crate::socket::CoreShared>,
    limits: BufferLimits,
    flow: &FlowKey4,
    id: SocketId,
    birth: Birth,
) -> (TcpSocket, TcpStream) {
    let local = SocketAddrV4::new(flow.local, flow.local_port);
    let addresses = (local, SocketAddrV4::new(flow.remote, flow.remote_port));
    tcp_pair(core, limits, addresses, id, birth)
}

impl Connection {
    /// What the application has said before the SYN.
    pub(super) fn apply(&mut self, options: &ConnectOptions) {
        self.open_with_keys(&options.keys);
        self.rare.set_syn_retries(options.syn_retries);
        self.rare.set_max_segment_size(options.max_segment_size);
    }
}
