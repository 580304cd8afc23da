//! Which socket has which port.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::demux::{FlowHash, FlowKey4, FlowTable};
use crate::rng::Rng;
use crate::socket::SocketId;

/// Sockets by local address and port. A socket on one address takes precedence over one on all.
pub(super) struct Ports {
    bound: FlowTable<FlowKey4, SocketId>,
}

impl Ports {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let secret = [rng.next_u64(), rng.next_u64()];
        Self { bound: FlowTable::new(FlowHash::new(secret)) }
    }

    /// The sockets that a datagram to `local` may be for, best first.
    pub(super) fn find(&self, local: SocketAddrV4) -> impl Iterator<Item = SocketId> + use<> {
        let anywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, local.port());
        let found = [local, anywhere].map(|local| self.bound.get(&key(local)));
        found.into_iter().flatten()
    }

    pub(super) fn is_free(&self, local: SocketAddrV4) -> bool {
        self.bound.get(&key(local)).is_none()
    }

    /// A free dynamic port on `address`, by chance, that is not `taken` elsewhere; `None` when all are.
    pub(super) fn pick(
        &self,
        address: Ipv4Addr,
        rng: &mut Rng,
        taken: impl Fn(SocketAddrV4) -> bool,
    ) -> Option<SocketAddrV4> {
        let count = u32::from(DYNAMIC.end() - DYNAMIC.start()) + 1;
        let at = |offset: u32| {
            // Below the count, which is a u16.
            let port = DYNAMIC.start() + u16::try_from(offset % count).unwrap_or(0);
            Some(SocketAddrV4::new(address, port))
                .filter(|&local| self.is_free(local) && !taken(local))
        };
        let guessed = (0..GUESSES).find_map(|_| at(rng.below(count)));
        let first = rng.below(count);
        guessed.or_else(|| (0..count).find_map(|step| at(first + step)))
    }

    pub(super) fn claim(&mut self, local: SocketAddrV4, id: SocketId) {
        self.bound.insert(key(local), id);
    }

    pub(super) fn release(&mut self, local: SocketAddrV4) {
        self.bound.remove(&key(local));
    }
}

/// A local address as a flow without a remote end.
fn key(local: SocketAddrV4) -> FlowKey4 {
    FlowKey4 {
        remote: Ipv4Addr::UNSPECIFIED,
        local: *local.ip(),
        remote_port: 0,
        local_port: local.port(),
    }
}

/// The dynamic ports of RFC 6335.
const DYNAMIC: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// How many ports are tried by chance before one is searched for in order.
const GUESSES: u32 = 16;
