//! On which core the whole stack's UDP sockets live.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::demux::{FlowHash, FlowKey4, FlowTable};
use crate::rng::Rng;

/// One core's copy of who has which port (S-15). Sockets of single cores are not in it: those hear what comes to their core.
pub(super) struct Homes {
    cores: FlowTable<FlowKey4, u16>,
    count: usize,
}

impl Homes {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let hash = FlowHash::new([rng.next_u64(), rng.next_u64()]);
        Self { cores: FlowTable::new(hash), count: 0 }
    }

    /// The socket on `local` lives on this core from now on, or nowhere.
    pub(super) fn set(&mut self, local: SocketAddrV4, core: Option<usize>) {
        let core = core.and_then(|core| u16::try_from(core).ok());
        let before = match core {
            Some(core) => self.cores.insert(key(local), core),
            None => self.cores.remove(&key(local)),
        };
        self.count += usize::from(core.is_some());
        self.count -= usize::from(before.is_some());
    }

    /// Where the socket for `local` lives: one on that very address before one on all of ours.
    pub(super) fn find(&self, local: SocketAddrV4) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let anywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, local.port());
        let found = [local, anywhere].into_iter().find_map(|local| self.cores.get(&key(local)));
        found.map(usize::from)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_address_comes_before_all_of_ours() {
        let at = |text: &str| text.parse().unwrap();
        let mut homes = Homes::new(&mut Rng::new([1; 32]));
        assert_eq!(homes.find(at("10.0.0.1:7")), None);
        homes.set(at("0.0.0.0:7"), Some(1));
        homes.set(at("10.0.0.1:7"), Some(2));
        assert_eq!(homes.find(at("10.0.0.1:7")), Some(2));
        assert_eq!(homes.find(at("10.0.0.2:7")), Some(1));
        assert_eq!(homes.find(at("10.0.0.1:8")), None);
        homes.set(at("10.0.0.1:7"), Some(3));
        homes.set(at("10.0.0.1:7"), None);
        assert_eq!(homes.find(at("10.0.0.1:7")), Some(1));
        homes.set(at("0.0.0.0:7"), None);
        assert_eq!((homes.find(at("10.0.0.1:7")), homes.count), (None, 0));
    }
}
