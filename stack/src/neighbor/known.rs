//! Neighbours whose station we know.
//!
//! They age after RFC 1122, section 2.3.2.1. What was heard of lately is fresh. A use after that is answered at once,
//! and checked on the side by asking that station alone; who does not answer is forgotten.
//!
//! The table is bounded. Neighbours that no packet was sent to since they were last looked at give way first, in the
//! order in which they came: a station that invents neighbours displaces its own inventions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::claim::request;
use super::{Action, Actions, Neighbor, Standing};
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// A sorted map, not a hash: an entry is found in ten steps, and an attacker has no collisions to choose.
#[derive(Default)]
pub(super) struct KnownNeighbors {
    entries: BTreeMap<Ipv4Addr, Known>,
    /// The same addresses, as they are to be considered for eviction.
    order: VecDeque<Ipv4Addr>,
    /// Of checks.
    deadlines: BTreeSet<(Instant, Ipv4Addr)>,
}

struct Known {
    station: MacAddr,
    /// When we last heard from it.
    heard: Instant,
    /// Whether a packet went to it since it was last considered for eviction.
    used: bool,
    check: Option<Check>,
}

/// We have doubts, and ask the station whether it is still there.
struct Check {
    /// The address of ours to ask with.
    from: Ipv4Addr,
    asked: u8,
    deadline: Instant,
}

impl KnownNeighbors {
    /// The station to send a packet to.
    pub(super) fn lookup(&mut self, now: Instant, address: Ipv4Addr) -> Lookup {
        let Some(known) = self.entries.get_mut(&address) else { return Lookup::Unknown };
        let age = now.since(known.heard);
        if known.check.is_none() && age >= FORGOTTEN_AFTER {
            self.remove(address);
            return Lookup::Unknown;
        }
        known.used = true;
        if known.check.is_none() && age >= FRESH_FOR {
            Lookup::Stale(known.station)
        } else {
            Lookup::Fresh(known.station)
        }
    }

    /// Asks a stale neighbour whether it is still there.
    pub(super) fn check(
        &mut self,
        now: Instant,
        ours: MacAddr,
        (from, address): (Ipv4Addr, Ipv4Addr),
        actions: &mut Actions,
    ) {
        let Some(known) = self.entries.get_mut(&address) else { return };
        let deadline = now + CHECK_INTERVAL;
        known.check = Some(Check { from, asked: 1, deadline });
        self.deadlines.insert((deadline, address));
        actions.push(Action::Arp(known.station, request(ours, from, address)));
    }

    /// Notes what a neighbour that is known says of itself.
    pub(super) fn hear(&mut self, now: Instant, address: Ipv4Addr, station: MacAddr) -> Heard {
        let Some(known) = self.entries.get_mut(&address) else { return Heard::Stranger };
        known.station = station;
        known.heard = now;
        if let Some(check) = known.check.take() {
            self.deadlines.remove(&(check.deadline, address));
        }
        Heard::Noted
    }

    /// Adds a neighbour that is not known.
    pub(super) fn insert(&mut self, now: Instant, address: Ipv4Addr, station: MacAddr) {
        if self.entries.len() >= CAPACITY {
            self.evict();
        }
        self.entries.insert(address, Known { station, heard: now, used: false, check: None });
        self.order.push_back(address);
    }

    /// Removes the first neighbour that no packet was sent to since it was last here. Each round clears a mark that a
    /// packet had set, so the work per packet is constant over time.
    fn evict(&mut self) {
        while let Some(address) = self.order.pop_front() {
            match self.entries.get_mut(&address) {
                Some(known) if known.used => {
                    known.used = false;
                    self.order.push_back(address);
                }
                _ => return self.remove_entry(address),
            }
        }
    }

    fn remove(&mut self, address: Ipv4Addr) {
        self.order.retain(|&other| other != address);
        self.remove_entry(address);
    }

    fn remove_entry(&mut self, address: Ipv4Addr) {
        if let Some(check) = self.entries.remove(&address).and_then(|known| known.check) {
            self.deadlines.remove(&(check.deadline, address));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Asks again, or forgets who did not answer.
    pub(super) fn expire(&mut self, now: Instant, ours: MacAddr, actions: &mut Actions) {
        while let Some(&(at, address)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            let known = self.entries.get_mut(&address);
            let Some((station, check)) = known.and_then(|k| Some((k.station, k.check.as_mut()?)))
            else {
                continue;
            };
            if check.asked >= CHECKS {
                self.remove(address);
                continue;
            }
            check.asked += 1;
            check.deadline = now + CHECK_INTERVAL;
            self.deadlines.insert((check.deadline, address));
            actions.push(Action::Arp(station, request(ours, check.from, address)));
        }
    }

    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = Neighbor> + '_ {
        self.entries.iter().map(move |(&address, known)| {
            let standing = match known.check {
                Some(_) => Standing::Checked(known.station),
                None if now.since(known.heard) < FRESH_FOR => Standing::Fresh(known.station),
                None => Standing::Stale(known.station),
            };
            Neighbor { address, standing }
        })
    }
}

/// What is known of a packet's next hop.
pub(super) enum Lookup {
    /// Its station, heard from lately or being checked.
    Fresh(MacAddr),
    /// Its station, which is to be checked.
    Stale(MacAddr),
    /// Nothing.
    Unknown,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// Nobody who could be a neighbour.
    Nobody,
    /// A neighbour that we know, or were looking for.
    Noted,
    /// Somebody we do not know.
    Stranger,
}

/// How many neighbours are known at most.
pub(super) const CAPACITY: usize = 1024;
/// How long after it was heard from a neighbour needs no check.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(30);
/// When what is known of a neighbour that nobody talked to is no longer believed.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// How often a station is asked before it is forgotten.
pub(super) const CHECKS: u8 = 3;
/// One second is the least that RFC 1122 recommends between requests for one address.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
