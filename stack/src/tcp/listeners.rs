//! Who listens where: at an address of ours, or with the unspecified one at all of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use super::{Tcp, TcpKeys};
use crate::api::{Readiness, Sharing, Token};
use crate::counters::Counter;
use crate::demux::{FlowHash, FlowKey4};
use crate::net::Net;
use crate::socket::readiness::Source;
use crate::socket::{ListenerEnd, ListenerShared, Readies, Told};

/// The listeners of one core.
pub(super) struct Listeners {
    /// In the order of address and port as one [number](number_of), which is compared at once.
    by_address: Vec<(u64, Group)>,
    /// The address that was asked for last, and where its group is: a handshake asks for one again and again.
    last: Option<(u64, usize)>,
    /// Closed, with children that somebody was in the way of.
    closing: Vec<ListenerEnd>,
    /// A child waits outside its shard, because somebody was inside.
    stashed: Stashed,
    /// Somebody has keys for peers.
    keyed: Keyed,
    /// Spreads connections over a group.
    hash: FlowHash,
    core: usize,
}

/// All who listen at one address: one, or several that share it. Their order is that of their coming.
type Group = Vec<ListenerEnd>;

/// Whether keys must be looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keyed {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stashed {
    No,
    Yes,
}

/// Whether something is left that an accepting thread is in the way of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Settled {
    Everything,
    NotYet,
}

/// Why nobody listens there now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ListenError {
    /// Somebody else does.
    AddressInUse,
    /// The address is not ours.
    AddressNotAvailable,
}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::AddressInUse => io::ErrorKind::AddrInUse.into(),
            ListenError::AddressNotAvailable => io::ErrorKind::AddrNotAvailable.into(),
        }
    }
}

impl Listeners {
    pub(super) fn new(hash: FlowHash, core: usize) -> Self {
        let (by_address, closing) = (Vec::new(), Vec::new());
        let (stashed, keyed) = (Stashed::No, Keyed::No);
        Self { by_address, last: None, closing, stashed, keyed, hash, core }
    }

    /// Whose connections of this flow are: the listener at exactly its address, else the one at all addresses.
    pub(super) fn find(&mut self, flow: &FlowKey4) -> Option<&mut ListenerEnd> {
        let exact = number_of(flow.local_port, flow.local);
        let index = match self.last {
            Some((last, index)) if last == exact => index,
            _ => {
                let everywhere = number_of(flow.local_port, Ipv4Addr::UNSPECIFIED);
                let index = self.place(exact).or_else(|_| self.place(everywhere)).ok()?;
                self.last = Some((exact, index));
                index
            }
        };
        let (_, group) = self.by_address.get_mut(index)?;
        match group.as_slice() {
            [_] => group.first_mut(),
            members => {
                let pinned = members.iter().position(|member| is_pinned_to(member, self.core));
                let by_flow = self.hash.of(flow) % group.len().max(1) as u64;
                let index = pinned.unwrap_or(usize::try_from(by_flow).unwrap_or(0));
                group.get_mut(index)
            }
        }
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        let first = match self.place(number_of(port, Ipv4Addr::UNSPECIFIED)) {
            Ok(index) | Err(index) => self.by_address.get(index),
        };
        first.is_some_and(|&(key, _)| key <= number_of(port, Ipv4Addr::BROADCAST))
    }

    /// Where the group of this address is, or would be.
    fn place(&self, key: u64) -> Result<usize, usize> {
        self.by_address.binary_search_by_key(&key, |&(key, _)| key)
    }

    fn group_at(&mut self, address: SocketAddr) -> Option<&mut Group> {
        let SocketAddr::V4(address) = address else { return None };
        let index = self.place(key_of(address)).ok()?;
        self.by_address.get_mut(index).map(|(_, group)| group)
    }

    fn insert(
        &mut self,
        address: SocketAddrV4,
        listener: Arc<ListenerShared>,
    ) -> Result<(), ListenError> {
        let key = key_of(address);
        let index = self.place(key).unwrap_or_else(|index| {
            self.by_address.insert(index, (key, Group::new()));
            self.last = None;
            index
        });
        let (_, group) = &mut self.by_address[index];
        let shared = |listener: &ListenerShared| listener.options().sharing != Sharing::Exclusive;
        let fits = group.iter().all(|member| shared(member.shared())) && shared(&listener);
        if !group.is_empty() && !fits {
            return Err(ListenError::AddressInUse);
        }
        group.push(ListenerEnd::new(listener, self.core));
        self.look_for_keys();
        Ok(())
    }

    fn remove(&mut self, listener: &Arc<ListenerShared>) -> Option<ListenerEnd> {
        let group = self.group_at(listener.address())?;
        let index = group.iter().position(|member| Arc::ptr_eq(member.shared(), listener))?;
        let end = group.remove(index);
        self.by_address.retain(|(_, group)| !group.is_empty());
        self.last = None;
        self.look_for_keys();
        Some(end)
    }

    /// Whether some listener has keys for its peers.
    pub(super) fn have_keys(&self) -> bool {
        self.keyed == Keyed::Yes
    }

    pub(super) fn set_keys(&mut self, listener: &Arc<ListenerShared>, keys: TcpKeys) {
        if let Some(end) = self.end_of(listener) {
            end.set_keys(keys);
        }
        self.look_for_keys();
    }

    fn look_for_keys(&mut self) {
        let mut ends = self.by_address.iter().flat_map(|(_, group)| group);
        let keyed = ends.any(|end| !end.keys().is_empty());
        self.keyed = if keyed { Keyed::Yes } else { Keyed::No };
    }

    fn end_of(&mut self, listener: &Arc<ListenerShared>) -> Option<&mut ListenerEnd> {
        let group = self.group_at(listener.address())?;
        group.iter_mut().find(|member| Arc::ptr_eq(member.shared(), listener))
    }

    /// A child could not be queued now.
    pub(super) fn note_stashed(&mut self) {
        self.stashed = Stashed::Yes;
    }
}

impl Tcp {
    /// Peers may connect to the listener's address from now on.
    pub(crate) fn listen(
        &mut self,
        net: &Net,
        listener: Arc<ListenerShared>,
    ) -> Result<(), ListenError> {
        let SocketAddr::V4(address) = listener.address() else {
            return Err(ListenError::AddressNotAvailable);
        };
        if !address.ip().is_unspecified() && !net.is_local(*address.ip()) {
            return Err(ListenError::AddressNotAvailable);
        }
        self.listeners.insert(address, listener)
    }

    /// Nobody connects to the listener's address any more, and those whom nobody accepted are reset. Handshakes that are under
    /// way find nobody when they end.
    pub(crate) fn unlisten(&mut self, readies: &mut Readies, listener: &Arc<ListenerShared>) {
        if let Some(mut end) = self.listeners.remove(listener)
            && end.close(readies).is_err()
        {
            self.listeners.closing.push(end);
        }
    }

    /// From now on readiness of the listener is told to `told`.
    pub(crate) fn attach_listener(
        &mut self,
        readies: &mut Readies,
        listener: &Arc<ListenerShared>,
        told: Told,
    ) {
        if let Some(end) = self.listeners.end_of(listener) {
            end.attach(readies, told);
        } else if let Told::Poller(key) = told {
            // It was closed meanwhile.
            readies.tell(key);
        }
    }

    /// Tells once more of what waits.
    pub(crate) fn announce_listener(
        &mut self,
        readies: &mut Readies,
        listener: &Arc<ListenerShared>,
    ) {
        if let Some(end) = self.listeners.end_of(listener) {
            end.announce(readies, 1);
        }
    }

    /// From now on the application on this core is told of the listener under `token`.
    pub(crate) fn attach_listener_application(
        &mut self,
        readies: &mut Readies,
        listener: &Arc<ListenerShared>,
        token: Token,
    ) {
        if let Some(end) = self.listeners.end_of(listener) {
            end.attach_application(readies, token);
        } else {
            // It is closed, or another core's: whoever looks finds that out.
            readies.push(Source::Again(token, Readiness::READABLE));
        }
    }

    /// Tries once more what an accepting thread was in the way of (contract 3.6).
    pub(crate) fn settle_listeners(&mut self, net: &mut Net) -> Settled {
        let listeners = &mut self.listeners;
        if listeners.stashed == Stashed::No && listeners.closing.is_empty() {
            return Settled::Everything;
        }
        if listeners.stashed == Stashed::Yes {
            let flush = |end: &mut ListenerEnd| end.flush(&mut net.readies).is_err();
            let ends = listeners.by_address.iter_mut().flat_map(|(_, group)| group);
            let busy = ends.map(flush).filter(|&busy| busy).count();
            net.metrics.add(Counter::AcceptDeferrals, busy as u64);
            listeners.stashed = if busy > 0 { Stashed::Yes } else { Stashed::No };
        }
        listeners.closing.retain_mut(|end| end.close(&mut net.readies).is_err());
        match listeners.stashed {
            Stashed::No if listeners.closing.is_empty() => Settled::Everything,
            _ => Settled::NotYet,
        }
    }
}

fn is_pinned_to(member: &ListenerEnd, core: usize) -> bool {
    member.shared().options().sharing == Sharing::GroupPinned(core)
}

fn key_of(address: SocketAddrV4) -> u64 {
    number_of(address.port(), *address.ip())
}

/// Those of one port lie together.
fn number_of(port: u16, address: Ipv4Addr) -> u64 {
    u64::from(port) << 32 | u64::from(address.to_bits())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::api::ListenOptions;
    use crate::tcp::harness::PEER;

    const ADDRESSES: [Ipv4Addr; 3] =
        [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::BROADCAST];

    proptest! {
        /// Whoever listens, comes and goes between two questions: the nearest answers.
        #[test]
        fn the_listener_at_exactly_the_address_comes_before_the_one_at_all(
            ops in prop::collection::vec((0..3_usize, 0..3_usize, 79_u16..82), 1..60),
        ) {
            let mut listeners = Listeners::new(FlowHash::new([1, 2]), 0);
            let mut there = BTreeSet::new();
            let mut shared: Vec<Arc<ListenerShared>> = vec![];
            for (op, which, port) in ops {
                let address = SocketAddrV4::new(ADDRESSES[which], port);
                match op {
                    0 => {
                        let new = ListenerShared::new(address.into(), ListenOptions::with_backlog(1), 1);
                        let answer = listeners.insert(address, new.clone());
                        prop_assert_eq!(answer.is_ok(), there.insert(address));
                        shared.extend(answer.is_ok().then_some(new));
                    }
                    1 => {
                        let index = shared.iter().position(|one| one.address() == address.into());
                        let gone = index.map(|index| shared.swap_remove(index));
                        let removed = gone.and_then(|gone| listeners.remove(&gone));
                        prop_assert_eq!(removed.is_some(), there.remove(&address));
                    }
                    _ => {}
                }
                let flow = FlowKey4 {
                    remote: PEER,
                    local: *address.ip(),
                    remote_port: 4000,
                    local_port: port,
                };
                let everywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
                let want = [address, everywhere].into_iter().find(|one| there.contains(one));
                let found = listeners.find(&flow).map(|end| end.shared().address());
                prop_assert_eq!(found, want.map(SocketAddr::from));
                let has_port = there.iter().any(|one| one.port() == port);
                prop_assert_eq!(listeners.has_port(port), has_port);
            }
        }
    }
}
