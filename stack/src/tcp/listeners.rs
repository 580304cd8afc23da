//! Who listens where: at an address of ours, or with the unspecified one at all of them.

use std::collections::BTreeMap;
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
    /// By address and port as one [number](number_of), which is compared at once.
    by_address: BTreeMap<u64, Group>,
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
        let (by_address, closing) = (BTreeMap::new(), Vec::new());
        Self { by_address, closing, stashed: Stashed::No, keyed: Keyed::No, hash, core }
    }

    /// Whose connections of this flow are: the listener at exactly its address, else the one at all addresses.
    pub(super) fn find(&mut self, flow: &FlowKey4) -> Option<&mut ListenerEnd> {
        let exact = number_of(flow.local_port, flow.local);
        let key = if self.by_address.contains_key(&exact) {
            exact
        } else {
            number_of(flow.local_port, Ipv4Addr::UNSPECIFIED)
        };
        let group = self.by_address.get_mut(&key)?;
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
        let all = number_of(port, Ipv4Addr::UNSPECIFIED)..=number_of(port, Ipv4Addr::BROADCAST);
        self.by_address.range(all).next().is_some()
    }

    fn insert(
        &mut self,
        address: SocketAddrV4,
        listener: Arc<ListenerShared>,
    ) -> Result<(), ListenError> {
        let group = self.by_address.entry(key_of(address)).or_default();
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
        let SocketAddr::V4(address) = listener.address() else { return None };
        let key = key_of(address);
        let group = self.by_address.get_mut(&key)?;
        let index = group.iter().position(|member| Arc::ptr_eq(member.shared(), listener))?;
        let end = group.remove(index);
        if group.is_empty() {
            self.by_address.remove(&key);
        }
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
        let mut ends = self.by_address.values().flatten();
        let keyed = ends.any(|end| !end.keys().is_empty());
        self.keyed = if keyed { Keyed::Yes } else { Keyed::No };
    }

    fn end_of(&mut self, listener: &Arc<ListenerShared>) -> Option<&mut ListenerEnd> {
        let SocketAddr::V4(address) = listener.address() else { return None };
        let group = self.by_address.get_mut(&key_of(address))?;
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
            let busy = listeners.by_address.values_mut().flatten().map(flush).filter(|&busy| busy);
            let busy = busy.count();
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
