//! The last step out and the first one in: which station of the link has which address.

use std::net::Ipv4Addr;

use pmd::{Frame, Medium};

use super::{ClaimNews, Net, NetConfig, Timer};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::icmp::{IcmpError, Trouble};
use crate::neighbor::{Action, Actions, Neighbor, Neighbors, Resolution};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::arp::{ArpPacket, Operation, PACKET_LEN};
use crate::wire::ethernet::{EtherType, MacAddr};
use crate::wire::quoted::Quoted;

/// The stations of the link; none where frames have no link header.
pub(super) fn neighbors(
    config: &NetConfig,
    medium: Medium,
    now: Instant,
    rng: &mut Rng,
) -> Option<Neighbors> {
    let Medium::Ethernet(ours) = medium else { return None };
    let mut neighbors = Neighbors::new(MacAddr(ours));
    for prefix in &config.addresses {
        neighbors.claim(now, prefix.address(), config.detection, rng);
    }
    Some(neighbors)
}

impl Net {
    /// Sends a packet of ours, which begins with its IP header, to a neighbour or to everyone on the link.
    pub(crate) fn send_on_link(
        &mut self,
        from: Ipv4Addr,
        next_hop: Ipv4Addr,
        packet: Frame,
    ) -> Result<(), Drop> {
        let Some(neighbors) = &mut self.neighbors else { return self.transmit(packet) };
        if self.interface.is_broadcast(next_hop) {
            return self.send_to_station(MacAddr::BROADCAST, EtherType::IPV4, packet);
        }
        let mut actions = Actions::new();
        let resolution = neighbors.resolve(self.now, next_hop, from, packet, &mut actions);
        if let Resolution::Send(station, packet) = resolution {
            if !actions.is_empty() {
                self.carry_out(actions);
            }
            return self.send_to_station(station, EtherType::IPV4, packet);
        }
        self.carry_out(actions);
        match resolution {
            Resolution::Refused(_packet, drop) => Err(drop),
            _ => Ok(()),
        }
    }

    /// Takes an ARP packet from the link.
    pub(crate) fn arp_input(&mut self, mut frame: Frame) -> Result<(), Drop> {
        let Some(neighbors) = &mut self.neighbors else { return Err(Drop::ArpForeign) };
        let _whole = frame.pull_up(PACKET_LEN);
        let packet = ArpPacket::parse(frame.head())?;
        let mut actions = Actions::new();
        let outcome = neighbors.arp_input(self.now, &packet, &mut actions);
        self.carry_out(actions);
        self.tell_arp(packet);
        outcome
    }

    /// Learns from an ARP packet that another core has received. That core answers and counts: here nothing is said.
    pub(crate) fn arp_heard_elsewhere(&mut self, packet: &ArpPacket) {
        let Some(neighbors) = &mut self.neighbors else { return };
        let mut actions = Actions::new();
        let _counted_there = neighbors.arp_input(self.now, packet, &mut actions);
        for conflict in actions.extract_if(.., |action| matches!(action, Action::Conflict(..))) {
            if let Action::Conflict(address, station) = conflict {
                self.claims.push_back(ClaimNews::Contested(address, station));
            }
        }
        actions.retain(|action| !matches!(action, Action::Arp(..)));
        self.carry_out(actions);
    }

    /// Does what has become due with neighbours and claims.
    pub(crate) fn neighbors_timeout(&mut self) {
        self.neighbor_timer = None;
        let Some(neighbors) = &mut self.neighbors else { return };
        let mut actions = Actions::new();
        neighbors.expire(self.now, &mut self.rng, &mut actions);
        self.carry_out(actions);
    }

    /// Does what the neighbours ask for. Drops are counted here: they are not the packet's that the caller is about.
    fn carry_out(&mut self, actions: Actions) {
        self.ways.forget();
        for action in actions {
            let done = match action {
                Action::Arp(station, packet) => self.send_arp(station, &packet),
                Action::Send(station, frame) => {
                    self.send_to_station(station, EtherType::IPV4, frame)
                }
                Action::Discard(_packet, drop) => Err(drop),
                Action::Unreachable(packet) => {
                    let quoted = Quoted::parse(packet.head()).map_err(Drop::from);
                    let error = IcmpError::HostUnreachable;
                    self.troubles.extend(quoted.and_then(|quoted| Trouble::with(&quoted, error)));
                    Err(Drop::NeighborUnreachable)
                }
                Action::Claimed(address) => {
                    self.claims.push_back(ClaimNews::Held(address));
                    Ok(())
                }
                Action::Conflict(address, station) => {
                    self.metrics.count(Counter::ArpConflicts);
                    self.claims.push_back(ClaimNews::Contested(address, station));
                    Ok(())
                }
            };
            if let Err(drop) = done {
                self.metrics.count_drop(drop);
            }
        }
        self.arm_neighbor_timer();
    }

    pub(super) fn arm_neighbor_timer(&mut self) {
        let next = self.neighbors.as_ref().and_then(Neighbors::next_deadline);
        if next == self.neighbor_timer.map(|(at, _)| at) {
            return;
        }
        if let Some((_, key)) = self.neighbor_timer.take() {
            self.timers.cancel(key);
        }
        self.neighbor_timer = next.map(|at| (at, self.timers.insert(at, Timer::Neighbors)));
    }

    fn send_arp(&mut self, station: MacAddr, packet: &ArpPacket) -> Result<(), Drop> {
        self.metrics.count(match packet.operation {
            Operation::Request => Counter::ArpRequestsSent,
            Operation::Reply => Counter::ArpRepliesSent,
        });
        let mut frame = self.alloc().ok_or(Drop::PoolEmpty)?;
        let out = frame.append(PACKET_LEN).and_then(<[u8]>::first_chunk_mut);
        packet.emit(out.ok_or(Drop::FrameHeadroom)?);
        self.send_to_station(station, EtherType::ARP, frame)
    }

    fn send_to_station(
        &mut self,
        station: MacAddr,
        ethertype: EtherType,
        mut frame: Frame,
    ) -> Result<(), Drop> {
        self.interface.link.output(&mut frame, station, ethertype)?;
        self.transmit(frame)
    }

    /// Every neighbour that we know of or are looking for.
    pub(crate) fn neighbors(&self) -> impl Iterator<Item = Neighbor> + '_ {
        self.neighbors.iter().flat_map(|neighbors| neighbors.iter(self.now))
    }

    /// How many packets of ours have had to wait for a station so far: two looks tell whether what was sent between them has left.
    pub(crate) fn delayed_by_stations(&self) -> u64 {
        self.neighbors.as_ref().map_or(0, Neighbors::enqueued)
    }

    /// Whether `address` is ours, and nobody on the link objects.
    pub(crate) fn holds(&self, address: Ipv4Addr) -> bool {
        self.interface.has(address) && self.neighbors.as_ref().is_none_or(|n| n.holds(address))
    }
}

#[cfg(test)]
mod tests;
