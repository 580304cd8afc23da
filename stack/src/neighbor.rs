//! Neighbours on the link: which station has an IP address (ARP, RFC 826), and that ours are ours alone (RFC 5227).
//!
//! Nothing here sends. What is to be done is pushed to [`Actions`], which the caller carries out in order.

use std::net::Ipv4Addr;

use pmd::Frame;

use crate::drops::Drop;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::arp::{ArpPacket, Operation};
use crate::wire::ethernet::MacAddr;
use claim::Claim;
use known::{Heard, KnownNeighbors, Lookup};
use sought::SoughtNeighbors;

mod claim;
mod known;
mod sought;

pub(crate) use claim::Detection;

/// What one protocol thread knows about the stations of its link, and which addresses it claims there.
pub(crate) struct Neighbors {
    ours: MacAddr,
    claims: Vec<Claim>,
    /// No address is in both of these.
    known: KnownNeighbors,
    sought: SoughtNeighbors,
}

impl Neighbors {
    /// Knows nobody, and claims nothing.
    pub(crate) fn new(ours: MacAddr) -> Self {
        Self {
            ours,
            claims: Vec::new(),
            known: KnownNeighbors::default(),
            sought: SoughtNeighbors::default(),
        }
    }

    /// Sets out to use `address`. [`Action::Claimed`] tells when nobody objected.
    pub(crate) fn claim(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        detection: Detection,
        rng: &mut Rng,
    ) {
        if self.claim_of(address).is_none() {
            self.claims.push(Claim::new(now, address, detection, rng));
        }
    }

    /// Whether `address` is ours to receive on and to send from. False while its claim is being tested or contested.
    pub(crate) fn holds(&self, address: Ipv4Addr) -> bool {
        self.claim_of(address).is_some_and(Claim::is_held)
    }

    /// Finds the station of `next_hop` for a packet that we send from our address `from`.
    ///
    /// While that address is being claimed we may not ask with it: the packet then waits for the claim as well.
    pub(crate) fn resolve(
        &mut self,
        now: Instant,
        next_hop: Ipv4Addr,
        from: Ipv4Addr,
        frame: Frame,
        actions: &mut Actions,
    ) -> Resolution {
        let station = match self.known.lookup(now, next_hop) {
            Lookup::Fresh(station) => return Resolution::Send(station, frame),
            Lookup::Stale(station) => Some(station),
            Lookup::Unknown => None,
        };
        let permission = self.permission(from);
        if permission == Permission::Denied {
            return Resolution::Refused(frame, Drop::ArpConflict);
        }
        if let Some(station) = station {
            if permission == Permission::Granted {
                self.known.check(now, self.ours, (from, next_hop), actions);
            }
            return Resolution::Send(station, frame);
        }
        if let Err((frame, why)) = self.sought.enqueue((from, next_hop), frame, actions) {
            return Resolution::Refused(frame, why);
        }
        if permission == Permission::Granted {
            self.sought.ask(now, self.ours, next_hop, actions);
        }
        Resolution::Queued
    }

    /// The station of `next_hop`, if it is known and there is no doubt.
    pub(crate) fn station(&mut self, now: Instant, next_hop: Ipv4Addr) -> Option<MacAddr> {
        match self.known.lookup(now, next_hop) {
            Lookup::Fresh(station) => Some(station),
            Lookup::Stale(_) | Lookup::Unknown => None,
        }
    }

    /// How many packets have had to wait so far.
    pub(crate) fn enqueued(&self) -> u64 {
        self.sought.enqueued()
    }

    /// Whether we may ask with an address. One that was never claimed, such as on a link of one station, we may.
    fn permission(&self, from: Ipv4Addr) -> Permission {
        match self.claim_of(from) {
            Some(claim) if claim.is_contested() => Permission::Denied,
            Some(claim) if !claim.is_held() => Permission::Pending,
            _ => Permission::Granted,
        }
    }

    /// Takes a received ARP packet: the algorithm of RFC 826, "Packet Reception", behind the conflict check of RFC 5227.
    pub(crate) fn arp_input(
        &mut self,
        now: Instant,
        packet: &ArpPacket,
        actions: &mut Actions,
    ) -> Result<(), Drop> {
        if !packet.sender_mac.is_unicast() || packet.sender_mac == self.ours {
            return Err(Drop::ArpMalformed);
        }
        if self.contested(now, packet, actions) {
            return Err(Drop::ArpConflict);
        }
        let for_us = packet.operation == Operation::Request && self.holds(packet.target_ip);
        let heard = self.hear(now, packet, actions);
        if for_us {
            // Who asks for us will talk to us. An answer to nobody's question is not worth an entry, nor is what others
            // ask each other.
            if heard == Heard::Stranger {
                self.known.insert(now, packet.sender_ip, packet.sender_mac);
            }
            actions.push(self.reply_to(packet));
            return Ok(());
        }
        if heard == Heard::Noted { Ok(()) } else { Err(Drop::ArpForeign) }
    }

    /// Notes the sender's station if we know it or look for it.
    fn hear(&mut self, now: Instant, packet: &ArpPacket, actions: &mut Actions) -> Heard {
        let (address, station) = (packet.sender_ip, packet.sender_mac);
        if !can_be_station(address) {
            return Heard::Nobody;
        }
        if let Some(queue) = self.sought.found(address) {
            self.known.insert(now, address, station);
            actions.extend(queue.into_iter().map(|frame| Action::Send(station, frame)));
            return Heard::Noted;
        }
        self.known.hear(now, address, station)
    }

    /// Whether another station uses an address of ours; what follows from that is done.
    fn contested(&mut self, now: Instant, packet: &ArpPacket, actions: &mut Actions) -> bool {
        let Some(claim) = self.claims.iter_mut().find(|claim| claim.conflicts_with(packet)) else {
            return false;
        };
        claim.contest(now, self.ours, packet.sender_mac, actions);
        if claim.is_contested() {
            self.sought.give_up_from(claim.address(), actions);
        }
        true
    }

    fn reply_to(&self, request: &ArpPacket) -> Action {
        let reply = ArpPacket {
            operation: Operation::Reply,
            sender_mac: self.ours,
            sender_ip: request.target_ip,
            target_mac: request.sender_mac,
            target_ip: request.sender_ip,
        };
        Action::Arp(request.sender_mac, reply)
    }

    /// When [`Neighbors::expire`] is next needed.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let claims = self.claims.iter().filter_map(Claim::deadline);
        claims.chain(self.known.next_deadline()).chain(self.sought.next_deadline()).min()
    }

    /// Does what has become due: asks again, gives up, goes on with claims.
    pub(crate) fn expire(&mut self, now: Instant, rng: &mut Rng, actions: &mut Actions) {
        for claim in &mut self.claims {
            while claim.deadline().is_some_and(|at| at <= now) {
                let was_held = claim.is_held();
                claim.step(now, self.ours, rng, actions);
                if claim.is_held() && !was_held {
                    self.sought.ask_from(now, self.ours, claim.address(), actions);
                }
            }
        }
        self.known.expire(now, self.ours, actions);
        self.sought.expire(now, self.ours, actions);
    }

    /// Every neighbour that we know of or are looking for.
    pub(crate) fn iter(&self, now: Instant) -> impl Iterator<Item = Neighbor> + '_ {
        self.known.iter(now).chain(self.sought.iter())
    }

    fn claim_of(&self, address: Ipv4Addr) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.address() == address)
    }
}

/// What becomes of a packet for a neighbour.
#[must_use]
pub(crate) enum Resolution {
    /// It can go to this station.
    Send(MacAddr, Frame),
    /// It waits until the neighbour answers ([`Action::Send`]) or does not ([`Action::Unreachable`]).
    Queued,
    /// It can neither go nor wait.
    Refused(Frame, Drop),
}

/// What the caller is to do, in order.
pub(crate) type Actions = Vec<Action>;

/// One thing to do.
pub(crate) enum Action {
    /// Send an ARP packet to a station, or to all.
    Arp(MacAddr, ArpPacket),
    /// The address is ours: nobody objected.
    Claimed(Ipv4Addr),
    /// Another station uses the address. We go on using it if we held it, and try again later if we were claiming it.
    Conflict(Ipv4Addr, MacAddr),
    /// Drop a packet that waited.
    Discard(Frame, Drop),
    /// Send an IP packet that waited.
    Send(MacAddr, Frame),
    /// The next hop of a packet that waited does not answer: tell who sent it.
    Unreachable(Frame),
}

/// A neighbour, as `darner stat` shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Neighbor {
    pub(crate) address: Ipv4Addr,
    pub(crate) standing: Standing,
}

/// What we know of a neighbour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Its station, which we are asking whether it is still there.
    Checked(MacAddr),
    /// Its station, heard from lately.
    Fresh(MacAddr),
    /// Nothing yet: packets wait.
    Sought,
    /// Its station, not heard from lately.
    Stale(MacAddr),
}

/// Whether we may ask with an address of ours.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Permission {
    /// Another station has it.
    Denied,
    Granted,
    /// Not yet.
    Pending,
}

/// Whether one station can have this address. Ours are sorted out before.
fn can_be_station(address: Ipv4Addr) -> bool {
    let special = address.is_unspecified() || address.is_loopback();
    !(special || address.is_multicast() || address.is_broadcast())
}

#[cfg(test)]
mod tests;
