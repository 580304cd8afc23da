//! Which core owns which flow: what all cores of a stack agree on.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pmd::toeplitz::{Key, RedirectionTable, Toeplitz};
use pmd::{Hashed, Rss, Scaling};

use super::verdict::Verdict;
use crate::config::SteeringConfig;
use crate::demux::FlowKey4;
use crate::rng::Rng;

/// The owner of every flow, computed as a device with receive-side scaling does it: hash and table are those of the device
/// where it has them, so that its packets come in where they belong (S-1, S-2).
///
/// All of it is constant for the life of the stack (S-8), three words aside:
///
/// | word | written by | read by | what it says |
/// |---|---|---|---|
/// | `mistrusted` | any core, once | all | the device was caught hashing otherwise |
/// | `pinging` | each core its own, once | all | the core has sent pings, and hears the answers |
/// | `idle` | each core adds itself, once | all | cores that have nothing left to do for a stack that stops |
pub(crate) struct Steering {
    toeplitz: Toeplitz,
    table: RedirectionTable,
    cores: usize,
    /// What is to be said of the device until it has shown what it does.
    basis: Basis,
    mistrusted: AtomicBool,
    pinging: Box<[AtomicBool]>,
    idle: AtomicUsize,
}

/// What is known of the device before it has received anything.
#[derive(Clone, Debug)]
pub(super) enum Basis {
    /// It hashes as the owner is computed, and each core polls the queue of its number. It can be checked.
    Hardware(What),
    /// It does not, and this is why.
    Software(Verdict),
}

/// What of a packet the device hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct What {
    pub(super) tcp: Hashed,
    pub(super) udp: Hashed,
}

impl Steering {
    /// `polled` says which queues each core polls, and `rss` how the device spreads over them.
    pub(crate) fn new(
        config: &SteeringConfig,
        rss: &Rss,
        polled: &[Vec<u16>],
        rng: &mut Rng,
    ) -> Self {
        let cores = polled.len();
        let ours = config.key.map(Key::new);
        let basis = basis(ours, rss, polled);
        let from_device = rss.scaling().filter(|_| matches!(basis, Basis::Hardware(_)));
        let (key, table) = match from_device {
            Some(Scaling { key, table, .. }) => (*key, table.clone()),
            None => (ours.unwrap_or_else(|| random_key(rng)), even(config.table_len, cores)),
        };
        Self {
            toeplitz: Toeplitz::new(&key),
            table,
            cores,
            basis,
            mistrusted: AtomicBool::new(false),
            pinging: (0..cores).map(|_| AtomicBool::new(false)).collect(),
            idle: AtomicUsize::new(0),
        }
    }

    /// The core that owns a flow. The tuple is the one that is received: `flow.remote` is its source (S-7).
    pub(crate) fn owner(&self, flow: &FlowKey4) -> usize {
        self.core_of(self.hash(flow))
    }

    /// The core that puts together the fragments from one address to another.
    pub(crate) fn owner_of_fragments(&self, source: Ipv4Addr, destination: Ipv4Addr) -> usize {
        self.core_of(self.toeplitz.ipv4(source, destination))
    }

    pub(super) fn hash(&self, flow: &FlowKey4) -> u32 {
        let source = SocketAddrV4::new(flow.remote, flow.remote_port);
        let destination = SocketAddrV4::new(flow.local, flow.local_port);
        self.toeplitz.ipv4_ports(source, destination)
    }

    pub(super) fn hash_of_addresses(&self, source: Ipv4Addr, destination: Ipv4Addr) -> u32 {
        self.toeplitz.ipv4(source, destination)
    }

    pub(super) fn core_of(&self, hash: u32) -> usize {
        usize::from(self.table.queue(hash))
    }

    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// What the device hashes, while it is trusted to.
    pub(super) fn trusted(&self) -> Option<What> {
        match self.basis {
            Basis::Hardware(what) if !self.mistrusted.load(Ordering::Relaxed) => Some(what),
            _ => None,
        }
    }

    /// From now on the device's hashes prove nothing. Nothing else changes: owners are computed either way.
    pub(super) fn mistrust(&self) {
        self.mistrusted.store(true, Ordering::Relaxed);
    }

    /// What is to be said of the device, when so many packets were checked and so many found to be wrong.
    pub(crate) fn verdict(&self, checked: u64, wrong: u64) -> Verdict {
        match &self.basis {
            Basis::Software(verdict) => verdict.clone(),
            Basis::Hardware(_) if wrong > 0 => Verdict::Differs { packets: wrong },
            Basis::Hardware(_) if checked == 0 => Verdict::Unproved,
            Basis::Hardware(_) => Verdict::Verified { packets: checked },
        }
    }

    /// A core sends pings: it hears their answers, wherever they come.
    pub(super) fn hear_answers(&self, core: usize) {
        if let Some(flag) = self.pinging.get(core)
            && !flag.load(Ordering::Relaxed)
        {
            flag.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn hears_answers(&self, core: usize) -> bool {
        self.pinging.get(core).is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// A core has nothing left to do. True for the last one.
    pub(super) fn idle_too(&self) -> bool {
        self.idle.fetch_add(1, Ordering::AcqRel) + 1 == self.cores
    }

    pub(super) fn all_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire) >= self.cores
    }
}

/// Whether packets come in where they belong, by the device's own account.
fn basis(ours: Option<Key>, rss: &Rss, polled: &[Vec<u16>]) -> Basis {
    let (cores, queues) = (polled.len(), polled.iter().flatten().count());
    if cores == 1 {
        return Basis::Software(Verdict::OneCore);
    }
    if queues < cores {
        return Basis::Software(Verdict::FewerQueues { queues, cores });
    }
    let scaling = match rss {
        Rss::AsAsked(scaling) => scaling,
        other => return Basis::Software(Verdict::NotScaled(other.to_string())),
    };
    let in_turn = polled.iter().zip(0..).all(|(queues, core)| queues.as_slice() == [core]);
    if !in_turn || scaling.table.entries().iter().any(|&queue| usize::from(queue) >= cores) {
        return Basis::Software(Verdict::OtherQueues);
    }
    if ours.is_some_and(|key| key != scaling.key) {
        return Basis::Software(Verdict::OtherKey);
    }
    if scaling.tcp != Hashed::Ports {
        return Basis::Software(Verdict::AddressesOnly);
    }
    Basis::Hardware(What { tcp: scaling.tcp, udp: scaling.udp })
}

fn random_key(rng: &mut Rng) -> Key {
    loop {
        let bytes = std::array::from_fn(|_| (rng.next_u32() >> 24) as u8);
        if let Some(key) = Key::from_random(bytes) {
            return key;
        }
    }
}

fn even(len: usize, cores: usize) -> RedirectionTable {
    RedirectionTable::even(len, u16::try_from(cores).unwrap_or(u16::MAX))
}
