//! Claiming an address on the link: probe, announce, defend (RFC 5227).

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Action, Actions};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::arp::{ArpPacket, Operation};
use crate::wire::ethernet::MacAddr;

/// One address of ours, from the first probe on.
pub(super) struct Claim {
    address: Ipv4Addr,
    detection: Detection,
    phase: Phase,
    /// When the phase goes on.
    deadline: Option<Instant>,
    /// When we last told another station that the address is ours.
    defended: Option<Instant>,
}

/// How far a claim is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Asking whether somebody has the address; this many probes are out.
    Probing(u8),
    /// Ours; this many announcements are out.
    Announcing(u8),
    /// Ours.
    Held,
    /// Another station has it. We ask again later.
    Contested,
}

impl Claim {
    /// The claim waits for a moment that other stations, switched on with us, do not share.
    pub(super) fn new(
        now: Instant,
        address: Ipv4Addr,
        detection: Detection,
        rng: &mut Rng,
    ) -> Self {
        let deadline = Some(now + between(Duration::ZERO, detection.first_wait, rng));
        Self { address, detection, phase: Phase::Probing(0), deadline, defended: None }
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the address may be used. It may once the first announcement is out (RFC 5227, section 2.3).
    pub(super) fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Announcing(_) | Phase::Held)
    }

    pub(super) fn is_contested(&self) -> bool {
        self.phase == Phase::Contested
    }

    /// Goes on when the deadline has come.
    pub(super) fn step(
        &mut self,
        now: Instant,
        ours: MacAddr,
        rng: &mut Rng,
        actions: &mut Actions,
    ) {
        match self.phase {
            Phase::Probing(sent) if sent >= self.detection.probes => {
                actions.push(self.announcement(ours));
                actions.push(Action::Claimed(self.address));
                self.enter(Phase::Announcing(1), now + ANNOUNCE_INTERVAL);
            }
            Phase::Probing(sent) => self.probe(now, sent, ours, rng, actions),
            Phase::Contested => self.probe(now, 0, ours, rng, actions),
            Phase::Announcing(sent) if sent >= ANNOUNCEMENTS => {
                self.phase = Phase::Held;
                self.deadline = None;
            }
            Phase::Announcing(sent) => {
                actions.push(self.announcement(ours));
                self.enter(Phase::Announcing(sent + 1), now + ANNOUNCE_INTERVAL);
            }
            Phase::Held => self.deadline = None,
        }
    }

    /// Sends a probe (RFC 5227, section 2.1.1). `sent` of them went before it.
    fn probe(
        &mut self,
        now: Instant,
        sent: u8,
        ours: MacAddr,
        rng: &mut Rng,
        actions: &mut Actions,
    ) {
        actions.push(ask_all(ours, Ipv4Addr::UNSPECIFIED, self.address));
        let wait = if sent + 1 < self.detection.probes {
            between(self.detection.spacing_min, self.detection.spacing_max, rng)
        } else {
            self.detection.last_wait
        };
        self.enter(Phase::Probing(sent + 1), now + wait);
    }

    fn enter(&mut self, phase: Phase, deadline: Instant) {
        self.phase = phase;
        self.deadline = Some(deadline);
    }

    fn announcement(&self, ours: MacAddr) -> Action {
        ask_all(ours, self.address, self.address)
    }

    /// Whether a packet that another station sent shows that it uses the address, or is about to.
    pub(super) fn conflicts_with(&self, packet: &ArpPacket) -> bool {
        let is_probe = packet.operation == Operation::Request && packet.sender_ip.is_unspecified();
        let same_plan = is_probe && packet.target_ip == self.address && !self.is_held();
        packet.sender_ip == self.address || same_plan
    }

    /// Another station has shown that it uses the address.
    ///
    /// An address that we hold is defended for ever, but not more often than every ten seconds: choice (c) of RFC 5227,
    /// section 2.4, for hosts whose address others rely on. One that we were claiming is left alone for a minute.
    pub(super) fn contest(
        &mut self,
        now: Instant,
        ours: MacAddr,
        other: MacAddr,
        actions: &mut Actions,
    ) {
        if !self.is_held() {
            if !self.is_contested() {
                actions.push(Action::Conflict(self.address, other));
                self.enter(Phase::Contested, now + RETRY_INTERVAL);
            }
        } else if self.defended.is_none_or(|last| now.since(last) >= DEFEND_INTERVAL) {
            self.defended = Some(now);
            actions.push(self.announcement(ours));
            actions.push(Action::Conflict(self.address, other));
        }
    }
}

/// How carefully an address is probed before it is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Detection {
    /// PROBE_NUM.
    probes: u8,
    /// PROBE_WAIT: the longest random wait before the first probe.
    first_wait: Duration,
    /// PROBE_MIN.
    spacing_min: Duration,
    /// PROBE_MAX.
    spacing_max: Duration,
    /// ANNOUNCE_WAIT: how long to listen after the last probe.
    last_wait: Duration,
}

impl Detection {
    /// None: the address is announced and used at once.
    pub(crate) const OFF: Self = Self {
        probes: 0,
        first_wait: Duration::ZERO,
        spacing_min: Duration::ZERO,
        spacing_max: Duration::ZERO,
        last_wait: Duration::ZERO,
    };

    /// Three probes in at most 0.4 s. The times of the RFC allow for bridges that are slow to forward; where a link is
    /// up before we are, and its stations answer within milliseconds, 4 to 7 s without service are a high price.
    pub(crate) const QUICK: Self = Self {
        probes: 3,
        first_wait: Duration::from_millis(20),
        spacing_min: Duration::from_millis(50),
        spacing_max: Duration::from_millis(90),
        last_wait: Duration::from_millis(200),
    };

    /// As RFC 5227, section 1.1, has it: 4 to 7 seconds.
    pub(crate) const RFC_5227: Self = Self {
        probes: 3,
        first_wait: Duration::from_secs(1),
        spacing_min: Duration::from_secs(1),
        spacing_max: Duration::from_secs(2),
        last_wait: Duration::from_secs(2),
    };
}

/// A request to all stations.
pub(super) fn ask_all(ours: MacAddr, from: Ipv4Addr, about: Ipv4Addr) -> Action {
    Action::Arp(MacAddr::BROADCAST, request(ours, from, about))
}

/// A request. The hardware address that it asks for is left zero (RFC 5227, section 2.1.1).
pub(super) fn request(ours: MacAddr, from: Ipv4Addr, about: Ipv4Addr) -> ArpPacket {
    ArpPacket {
        operation: Operation::Request,
        sender_mac: ours,
        sender_ip: from,
        target_mac: MacAddr::ZERO,
        target_ip: about,
    }
}

fn between(min: Duration, max: Duration, rng: &mut Rng) -> Duration {
    let span_us = u32::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u32::MAX);
    min + Duration::from_micros(u64::from(rng.below(span_us)))
}

/// ANNOUNCE_NUM.
const ANNOUNCEMENTS: u8 = 2;
/// ANNOUNCE_INTERVAL.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// DEFEND_INTERVAL.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// RATE_LIMIT_INTERVAL: how long a contested address is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
