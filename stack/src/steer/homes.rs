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

    pub(super) fn insert(&mut self, local: SocketAddrV4, core: usize) {
        let Ok(core) = u16::try_from(core) else { return };
        self.count += usize::from(self.cores.insert(key(local), core).is_none());
    }

    /// Forgets a socket if it lives on `core`, and not on another one by now. Whether it did.
    pub(super) fn remove(&mut self, local: SocketAddrV4, core: usize) -> bool {
        let is_there = self.cores.get(&key(local)).map(usize::from) == Some(core);
        if is_there {
            self.cores.remove(&key(local));
            self.count -= 1;
        }
        is_there
    }

    /// Where the socket lives that is bound to exactly this address.
    pub(super) fn at(&self, local: SocketAddrV4) -> Option<usize> {
        let core = if self.count == 0 { None } else { self.cores.get(&key(local)) };
        core.map(usize::from)
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
        homes.insert(at("0.0.0.0:7"), 1);
        homes.insert(at("10.0.0.1:7"), 2);
        assert_eq!(homes.find(at("10.0.0.1:7")), Some(2));
        assert_eq!(homes.find(at("10.0.0.2:7")), Some(1));
        assert_eq!(homes.find(at("10.0.0.1:8")), None);
        assert_eq!((homes.at(at("0.0.0.0:7")), homes.at(at("10.0.0.2:7"))), (Some(1), None));
        assert!(homes.remove(at("10.0.0.1:7"), 2));
        assert_eq!(homes.find(at("10.0.0.1:7")), Some(1));
        assert!(homes.remove(at("0.0.0.0:7"), 1));
        assert_eq!((homes.find(at("10.0.0.1:7")), homes.count), (None, 0));
    }

    #[test]
    fn who_has_moved_in_meanwhile_stays() {
        let local = "0.0.0.0:7".parse().unwrap();
        let mut homes = Homes::new(&mut Rng::new([1; 32]));
        homes.insert(local, 1);
        homes.insert(local, 2);
        assert!(!homes.remove(local, 1), "news of the one before");
        assert_eq!((homes.find(local), homes.count), (Some(2), 1));
    }
}
