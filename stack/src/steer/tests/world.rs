//! A stack of several cores behind a card, a peer of one core, and the time.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use pmd::mem::{self, MemHandle};
use pmd::{Pool, QueuePair};

use super::apps::{Log, Talker};
use super::nic::{Nic, Spread};
use super::packet::{self, Ends};
use crate::config::{Config, DuplicateDetection};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::protocol::Protocol;
use crate::rng::Rng;
use crate::snapshot::Snapshot;
use crate::socket::CoreShared;
use crate::steer::{Steering, seats};
use crate::time::Instant;

pub(super) const US: &str = "10.0.0.2";
pub(super) const PEER: &str = "10.0.0.1";
pub(super) const PEER_STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// How the wire from the peer treats what is sent to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Road {
    Straight,
    /// Cuts every packet into fragments of so many bytes, and shuffles them.
    Narrow(usize),
    /// Leads nowhere.
    Closed,
}

pub(super) struct World {
    pub(super) cores: Vec<Protocol>,
    pub(super) shared: Vec<Arc<CoreShared>>,
    pub(super) steering: Arc<Steering>,
    pub(super) nic: Nic,
    pub(super) peer: Protocol,
    pub(super) log: Log,
    pub(super) peer_log: Log,
    pub(super) road: Road,
    /// Packets, fragments and datagrams made of fragments that came to another core than their owner.
    pub(super) strays: u64,
    /// What we have sent last.
    pub(super) sent: Vec<Vec<u8>>,
    wire: MemHandle,
    pools: [Pool; 2],
    now: Instant,
    chance: Rng,
    identification: u16,
}

/// What a world is made of.
pub(super) struct Plan {
    pub(super) spread: Spread,
    pub(super) queues: u16,
    pub(super) cores: usize,
    pub(super) ring: usize,
    pub(super) ports: RangeInclusive<u16>,
}

impl Plan {
    pub(super) fn new(spread: Spread, queues: u16, cores: usize) -> Self {
        Self { spread, queues, cores, ring: 512, ports: 32_768..=60_999 }
    }
}

impl World {
    pub(super) fn new(
        plan: &Plan,
        mut application: impl FnMut(usize) -> Talker,
        peer: Talker,
    ) -> Self {
        let pools = [Pool::heap(16_384, 2048), Pool::heap(16_384, 2048)];
        let (nic, pairs) = Nic::new(plan.spread, plan.queues, pools[0].clone());
        let mut queues: Vec<Vec<Box<dyn QueuePair>>> =
            pairs.into_iter().map(|pair| vec![pair]).collect();
        queues.resize_with(plan.cores, Vec::new);
        let mut config = config(US);
        config.cores = (0..plan.cores).collect();
        config.steering.ring = plan.ring;
        config.tcp.ephemeral_ports = plan.ports.clone();
        let (steering, seats) = seats(&config, &queues, &mut Rng::new([4; 32])).unwrap();
        let shared = seats.iter().map(|seat| seat.shared.clone()).collect();
        let log = Log::default();
        let start = |(core, (queues, seat)): (usize, (Vec<Box<dyn QueuePair>>, _))| {
            let application = Talker { log: log.clone(), ..application(core) };
            let seed = [u8::try_from(core).unwrap(); 32];
            Protocol::on_core(&config, queues, Some(Box::new(application)), seed, seat).unwrap()
        };
        let cores = queues.into_iter().zip(seats).enumerate().map(start).collect();
        let (queue, wire) = mem::ethernet(pools[1].clone(), 1500, PEER_STATION);
        let peer_log = peer.log.clone();
        let queue: Vec<Box<dyn QueuePair>> = vec![Box::new(queue)];
        let peer = Protocol::new(&self::config(PEER), queue, Box::new(peer), [99; 32]).unwrap();
        Self {
            cores,
            shared,
            steering,
            nic,
            peer,
            log,
            peer_log,
            road: Road::Straight,
            strays: 0,
            sent: Vec::new(),
            wire,
            pools,
            now: Instant::from_millis(1),
            chance: Rng::new([5; 32]),
            identification: 0,
        }
    }

    /// Goes on for at most `span`, or until `done`.
    pub(super) fn run(&mut self, span: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + span;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            let everyone = self.cores.iter().chain([&self.peer]);
            let next = everyone.filter_map(Protocol::next_deadline).min().unwrap_or(end);
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
        }
    }

    /// Until nobody has anything to do at this moment.
    pub(super) fn settle(&mut self) {
        loop {
            let mut busy = self.peer.turn(self.now).is_busy();
            for core in &mut self.cores {
                busy |= core.turn(self.now).is_busy();
            }
            while let Some(frame) = self.wire.take_bytes() {
                self.give_us(&frame);
                busy = true;
            }
            while let Some(frame) = self.nic.take() {
                self.give_peer(frame);
                busy = true;
            }
            if !busy {
                return;
            }
        }
    }

    fn give_peer(&mut self, frame: Vec<u8>) {
        if self.road != Road::Closed || Ends::of(&frame).is_none() {
            self.wire.inject_bytes(&frame).expect("tests lose no frames");
        }
        if Ends::of(&frame).is_some() {
            self.sent.push(frame);
        }
    }

    pub(super) fn give_us(&mut self, frame: &[u8]) {
        let (Road::Narrow(len), Some(ends)) = (self.road, Ends::of(frame)) else {
            return self.arrive(frame);
        };
        self.identification += 1;
        let mut pieces = packet::cut(frame, len, self.identification);
        let together = self.steering.owner_of_fragments(ends.source, ends.destination);
        let is_cut = pieces.len() > 1;
        if is_cut
            && ends.is_tcp
            && ends.flow().map(|flow| self.steering.owner(&flow)) != Some(together)
        {
            self.strays += 1;
        }
        while !pieces.is_empty() {
            let count = u32::try_from(pieces.len()).unwrap();
            let piece = pieces.swap_remove(self.chance.below(count) as usize);
            self.arrive(&piece);
        }
    }

    fn arrive(&mut self, frame: &[u8]) {
        let queue = self.nic.receive(frame);
        let Some(ends) = Ends::of(frame) else { return };
        let owner = match ends.flow() {
            _ if ends.is_fragment => {
                self.steering.owner_of_fragments(ends.source, ends.destination)
            }
            Some(flow) if ends.is_tcp => self.steering.owner(&flow),
            _ => return,
        };
        self.strays += u64::from(owner != queue);
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.cores.iter().map(|core| core.metrics().counter(counter)).sum()
    }

    pub(super) fn dropped(&self, drop: Drop) -> u64 {
        self.cores.iter().map(|core| core.metrics().dropped(drop)).sum()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let metrics = self.cores.iter().map(|core| core.metrics().as_ref());
        Snapshot::new(Vec::new(), metrics, &self.steering)
    }

    /// Stops ours. Returns what it has sent from then on.
    pub(super) fn stop_within(&mut self, span: Duration) -> Vec<Vec<u8>> {
        self.sent.clear();
        let deadline = self.now + span;
        self.cores.iter_mut().for_each(|core| core.stop(deadline));
        while !self.cores.is_empty() {
            self.cores.retain_mut(|core| !core.turn(self.now).finished);
            while let Some(frame) = self.nic.take() {
                self.give_peer(frame);
            }
            let next = self.cores.iter().filter_map(Protocol::next_deadline).min();
            self.now = self.now.max(next.unwrap_or(deadline));
        }
        std::mem::take(&mut self.sent)
    }

    /// Stops both stacks and asserts that every frame has come home. Returns how long that took.
    pub(super) fn finish(mut self) -> Duration {
        let start = self.now;
        let deadline = start + Duration::from_secs(300);
        for protocol in self.cores.iter_mut().chain([&mut self.peer]) {
            protocol.stop(deadline);
        }
        let mut open = self.cores;
        open.push(self.peer);
        while !open.is_empty() {
            open.retain_mut(|core| !core.turn(self.now).finished);
            while let Some(frame) = self.wire.take_bytes() {
                self.nic.receive(&frame);
            }
            while let Some(frame) = self.nic.take() {
                self.wire.inject_bytes(&frame).expect("tests lose no frames");
            }
            let Some(next) = open.iter().filter_map(Protocol::next_deadline).min() else { break };
            self.now = self.now.max(next).min(deadline);
        }
        let took = self.now.since(start);
        let pools = self.pools;
        drop((self.nic, self.wire));
        for pool in pools {
            assert_eq!(pool.available(), pool.capacity(), "every frame is back in its pool");
        }
        took
    }
}

/// Port 80 there.
pub(super) fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 80)
}

fn config(address: &str) -> Config {
    Config {
        addresses: vec![format!("{address}/24").parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        ..Config::default()
    }
}
